//! The file `acknowledged`: how far the log had come, told apart from the log.
//!
//! A copy-on-write tree that is opened after its newest commit was damaged goes back to the commit
//! before, and cannot tell that from a commit that was cut off half-way. This file can: it says
//! what was being appended, written before the append, and what was appended for good, written
//! after the fsync and before anybody is told. It is overwritten in place and not synced, which
//! survives the death of the process; after a loss of power it may lag behind the log, never run
//! ahead of it, and then a damaged last commit is taken for a torn one.
//!
//! ```text
//! | appended: u64 | appending: u64 | bytes: u64 | closed: u8 | crc32 of these 25 bytes: u32 |
//! ```
//!
//! All integers are big-endian.

use super::error::{JournalError, io_error};
use crate::position::LogIndex;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const BODY: usize = 25;
const SIZE: usize = BODY + 4;

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The last entry that is in the log for good.
    pub(super) appended: LogIndex,
    /// The last entry of the batch that is being appended, or was last.
    pub(super) appending: LogIndex,
    /// How many bytes of commands that batch has.
    pub(super) bytes: u64,
    /// The journal was closed in order.
    pub(super) closed: bool,
}

impl Marks {
    fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&self.appended.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.appending.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.bytes.to_be_bytes());
        bytes[24] = u8::from(self.closed);
        let crc = crc32fast::hash(&bytes[..BODY]);
        bytes[BODY..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Marks> {
        let bytes: &[u8; SIZE] = bytes.try_into().ok()?;
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*crc) != crc32fast::hash(body) {
            return None;
        }
        let word = |at: usize| Some(u64::from_be_bytes(*body.get(at..)?.first_chunk()?));
        Some(Marks {
            appended: LogIndex(word(0)?),
            appending: LogIndex(word(8)?),
            bytes: word(16)?,
            closed: bytes[24] == 1,
        })
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Acknowledged {
    path: PathBuf,
    file: File,
    marks: Marks,
}

impl Acknowledged {
    pub(super) const NAME: &'static str = "acknowledged";

    /// What the file of an earlier run says; nothing if there is none, or it is not intact.
    pub(super) fn read(dir: &Path) -> Result<Option<Marks>, JournalError> {
        let path = dir.join(Self::NAME);
        match fs::read(&path) {
            Ok(bytes) => Ok(Marks::decode(&bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io_error(&path, "read", e)),
        }
    }

    /// Begins a run with a log that ends at `last`.
    pub(super) fn begin(dir: &Path, last: LogIndex) -> Result<Self, JournalError> {
        let path = dir.join(Self::NAME);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| io_error(&path, "open", e))?;
        let marks = Marks {
            appended: last,
            appending: last,
            bytes: 0,
            closed: false,
        };
        let mut this = Acknowledged { path, file, marks };
        let length = this.file.set_len(SIZE as u64);
        length.map_err(|e| io_error(&this.path, "set the length of", e))?;
        this.write()?;
        Ok(this)
    }

    /// Before an append.
    pub(super) fn appending(&mut self, last: LogIndex, bytes: u64) -> Result<(), JournalError> {
        self.marks.appending = last;
        self.marks.bytes = bytes;
        self.write()
    }

    /// After the append has reached the disk.
    pub(super) fn appended(&mut self) -> Result<(), JournalError> {
        self.marks.appended = self.marks.appending;
        self.write()
    }

    /// After the log was closed.
    pub(super) fn close(mut self) -> Result<(), JournalError> {
        self.marks.closed = true;
        self.write()?;
        self.file
            .sync_all()
            .map_err(|e| io_error(&self.path, "sync", e))
    }

    fn write(&mut self) -> Result<(), JournalError> {
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&self.marks.encode()))
            .map_err(|e| io_error(&self.path, "write", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_back_and_damage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Acknowledged::read(dir.path()).unwrap(), None);
        let mut file = Acknowledged::begin(dir.path(), LogIndex(4)).unwrap();
        file.appending(LogIndex(6), 99).unwrap();
        let at = |appended: u64, closed| Marks {
            appended: LogIndex(appended),
            appending: LogIndex(6),
            bytes: 99,
            closed,
        };
        assert_eq!(Acknowledged::read(dir.path()).unwrap(), Some(at(4, false)));
        file.appended().unwrap();
        assert_eq!(Acknowledged::read(dir.path()).unwrap(), Some(at(6, false)));
        file.close().unwrap();
        assert_eq!(Acknowledged::read(dir.path()).unwrap(), Some(at(6, true)));

        let path = dir.path().join(Acknowledged::NAME);
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Marks::decode(&bytes), None, "bit {bit}");
        }
        assert_eq!(Marks::decode(&whole[1..]), None);
        assert_eq!(Marks::decode(&[]), None);
    }
}
