//! An image on its way between nodes.

use super::NodeError;
use crate::driver::disk::DiskError;
use crate::driver::raft::images::Images;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An image as a file: what a network layer sends, and what it gives to
/// `Raft::install_full_snapshot` when it has received it. Reading and writing it block.
#[derive(Debug)]
pub struct ImageFile {
    file: File,
    path: PathBuf,
    /// It is being received: removed if it is not installed.
    unfinished: bool,
}

impl ImageFile {
    pub(super) fn sending(path: PathBuf, file: File) -> Self {
        ImageFile {
            file,
            path,
            unfinished: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes it has.
    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

impl Drop for ImageFile {
    fn drop(&mut self) {
        if self.unfinished {
            // It is not there if it was installed, which gave it another name.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Read for ImageFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}

impl Write for ImageFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for ImageFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

/// Where a node's network layer puts the images it receives.
#[derive(Clone)]
pub struct Inbox(pub(super) Arc<Images>);

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inbox").field(&self.0.dir()).finish()
    }
}

impl Inbox {
    /// A new, empty file in the node's directory. It is removed when it is dropped, unless it was
    /// installed.
    pub fn receive(&self) -> Result<ImageFile, NodeError> {
        let path = self.0.unfinished();
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = options
            .open(&path)
            .map_err(|e| DiskError::io(&path, "create", e))?;
        Ok(ImageFile {
            file,
            path,
            unfinished: true,
        })
    }
}
