//! What can go wrong with a journal.

use super::queue::Shut;
use crate::driver::disk::DiskError;
use crate::fsm::{Halt, ProposalError};
use crate::image::ImageError;
use crate::position::LogIndex;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a journal cannot be opened, written or closed.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// The directory is in use by another journal, of this process or another.
    InUse {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// The operating system refused an operation on a file.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was to be done with it.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The log's storage failed otherwise.
    Storage {
        /// The log's file.
        path: PathBuf,
        /// What the storage said.
        what: String,
    },
    /// A file does not hold what was written to it, or files do not fit each other.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The log index at which it was seen, if there is one.
        index: Option<LogIndex>,
        /// What is wrong.
        what: String,
    },
    /// The log was written in another format.
    Format {
        /// The log's file.
        path: PathBuf,
        /// Of the log.
        found: u16,
        /// What this program reads and writes.
        supported: u16,
    },
    /// An image is intact, but is not one of this program's schema, or cannot be written.
    Image {
        /// The image's file.
        path: PathBuf,
        /// What the store said.
        source: Box<ImageError>,
    },
    /// An entry of the log cannot be applied.
    Entry(Halt),
    /// The journal has stopped because of an earlier error.
    Halted {
        /// The earlier error.
        reason: String,
    },
    /// A journal in memory keeps no images.
    InMemory,
    /// The journal is closed.
    Closed,
}

impl From<DiskError> for JournalError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::InUse { dir } => JournalError::InUse { dir },
            DiskError::Io {
                path,
                doing,
                source,
            } => JournalError::Io {
                path,
                doing,
                source,
            },
            DiskError::Storage { path, what } => JournalError::Storage { path, what },
            DiskError::Damaged { path, index, what } => JournalError::Damaged { path, index, what },
        }
    }
}

pub(super) fn io_error(path: &Path, doing: &'static str, source: io::Error) -> JournalError {
    JournalError::Io {
        path: path.to_owned(),
        doing,
        source,
    }
}

impl From<Shut> for JournalError {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::Closed => JournalError::Closed,
            Shut::Halted(reason) => JournalError::Halted { reason },
        }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::InUse { dir } => write!(
                f,
                "the journal in {} is in use; close the other journal or choose another directory",
                dir.display()
            ),
            JournalError::Io {
                path,
                doing,
                source,
            } => {
                write!(f, "cannot {doing} {}: {source}", path.display())
            }
            JournalError::Storage { path, what } => {
                write!(
                    f,
                    "the log {} failed: {what}; open the journal again",
                    path.display()
                )
            }
            JournalError::Damaged { path, index, what } => {
                write!(f, "{} is damaged", path.display())?;
                if let Some(index) = index {
                    write!(f, " at entry {index}")?;
                }
                write!(f, ": {what}; restore the directory from a backup")
            }
            JournalError::Format {
                path,
                found,
                supported,
            } => write!(
                f,
                "the log {} has format {found}, this program reads format {supported}; \
                 open it with the version that wrote it",
                path.display()
            ),
            JournalError::Image { path, source } => {
                write!(f, "the image {}: {source}", path.display())
            }
            JournalError::Entry(halt) => halt.fmt(f),
            JournalError::Halted { reason } => {
                write!(f, "the journal has stopped: {reason}; open it again")
            }
            JournalError::InMemory => {
                f.write_str("a journal in memory keeps no images; write one of a snapshot instead")
            }
            JournalError::Closed => f.write_str("the journal is closed; open it again"),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JournalError::Io { source, .. } => Some(source),
            JournalError::Image { source, .. } => Some(source),
            JournalError::Entry(halt) => Some(halt),
            _ => None,
        }
    }
}

/// Why a proposal has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProposeError {
    /// The command cannot be put into a log; it was not.
    Command(ProposalError),
    /// The command's encoding is above the limit; it was not logged.
    TooLarge {
        /// Bytes of the encoding.
        len: usize,
        /// [`JournalOptions::max_entry_bytes`](super::JournalOptions::max_entry_bytes).
        limit: usize,
    },
    /// The journal is closed; the command was not logged.
    Closed,
    /// The journal has stopped because of an error. Unless it had stopped before the proposal,
    /// the command may be in the log: opened again, the journal tells.
    Halted {
        /// The error.
        reason: String,
    },
}

impl From<Shut> for ProposeError {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::Closed => ProposeError::Closed,
            Shut::Halted(reason) => ProposeError::Halted { reason },
        }
    }
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposeError::Command(e) => e.fmt(f),
            ProposeError::TooLarge { len, limit } => write!(
                f,
                "the command takes {len} bytes, more than the {limit} an entry may have; \
                 split it, or raise JournalOptions::max_entry_bytes"
            ),
            ProposeError::Closed => {
                f.write_str("the journal is closed, and the command was not logged; open it again")
            }
            ProposeError::Halted { reason } => write!(
                f,
                "the journal has stopped: {reason}; open it again, which tells whether it has the command"
            ),
        }
    }
}

impl std::error::Error for ProposeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProposeError::Command(e) => Some(e),
            _ => None,
        }
    }
}
