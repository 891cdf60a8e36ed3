//! Files that are whole or not there: written under a name of their own, synced, renamed.

use super::DiskError;
use crate::image::ImageError;
use crate::position::LogIndex;
use crate::store::{Schema, Snapshot};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What the name of a file ends with before it is whole.
pub(in super::super) const UNFINISHED: &str = ".unfinished";
const IMAGE: &str = "image-";

/// The names in a directory.
pub(in super::super) fn names(dir: &Path) -> Result<Vec<String>, DiskError> {
    let failed = |e| DiskError::io(dir, "list", e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}

/// The name a file is written under before it is whole.
pub(in super::super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Gives a whole, synced file its name, durably.
pub(in super::super) fn publish(unfinished: &Path, path: &Path) -> Result<(), DiskError> {
    fs::rename(unfinished, path).map_err(|e| DiskError::io(unfinished, "rename", e))?;
    sync_dir(path.parent().unwrap_or(path))
}

pub(in super::super) fn remove(path: &Path) -> Result<(), DiskError> {
    fs::remove_file(path).map_err(|e| DiskError::io(path, "remove", e))
}

/// Makes the names in a directory durable.
pub(in super::super) fn sync_dir(dir: &Path) -> Result<(), DiskError> {
    // Windows cannot open a directory as a file, and makes renames durable by itself.
    if cfg!(unix) {
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|e| DiskError::io(dir, "sync", e))?;
    }
    Ok(())
}

/// The name of the image at an index: `image-` and twenty digits, so that names sort as indexes.
pub(in super::super) fn image_path(dir: &Path, index: LogIndex) -> PathBuf {
    dir.join(format!("{IMAGE}{:020}", index.0))
}

/// The index of an image, by its file's name.
pub(in super::super) fn image_index(name: &str) -> Option<LogIndex> {
    let digits = name.strip_prefix(IMAGE)?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(LogIndex)
}

/// Whether it is a file that was not finished, of a name that begins so.
pub(in super::super) fn is_unfinished(name: &str, begins: &str) -> bool {
    name.ends_with(UNFINISHED) && name.starts_with(begins)
}

/// Why an image could not be written to a file.
#[derive(Debug)]
pub(in super::super) enum WriteImageError {
    Disk(DiskError),
    Image(Box<ImageError>),
}

impl From<DiskError> for WriteImageError {
    fn from(error: DiskError) -> Self {
        WriteImageError::Disk(error)
    }
}

/// Writes an image durably. It is there whole when this returns, or, on an error, not at all or
/// whole.
pub(in super::super) fn write_image<S: Schema>(
    unfinished: &Path,
    path: &Path,
    snapshot: &Snapshot<S>,
) -> Result<(), WriteImageError> {
    let written = write_file(unfinished, snapshot);
    if written.is_err() {
        let _ = fs::remove_file(unfinished);
    }
    written?;
    publish(unfinished, path)?;
    Ok(())
}

fn write_file<S: Schema>(path: &Path, snapshot: &Snapshot<S>) -> Result<(), WriteImageError> {
    let failed = |doing| move |e| DiskError::io(path, doing, e);
    let file = File::create(path).map_err(failed("create"))?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    snapshot.write_image(&mut out).map_err(|e| match e {
        ImageError::Write { source, .. } => failed("write")(source).into(),
        other => WriteImageError::Image(Box::new(other)),
    })?;
    out.flush().map_err(failed("write"))?;
    out.get_ref().sync_all().map_err(failed("sync"))?;
    Ok(())
}
