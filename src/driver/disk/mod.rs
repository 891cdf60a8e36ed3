//! What drivers share of the disk: files that are whole or not there, and checked `redb` files.
//!
//! **Promises.** A file that [`files::publish`] has given its name is whole and durable. A record of
//! a `redb` file that has changed is found by its checksum. Errors say which file, what was to be
//! done with it, and what to do; a panic of the storage is an error, too.
//!
//! **May not know.** What is in the files: logs, votes and images are the drivers'.
//!
//! **The one data structure** is [`DiskError`].

pub(super) mod files;
pub(super) mod table;

use crate::position::LogIndex;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong with a file of a driver.
#[derive(Debug)]
#[non_exhaustive]
pub enum DiskError {
    /// The directory is in use, by this process or another.
    InUse {
        /// The directory.
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
    /// A log's storage failed otherwise.
    Storage {
        /// The file.
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
}

impl DiskError {
    pub(super) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        DiskError::Io {
            path: path.to_owned(),
            doing,
            source,
        }
    }

    pub(super) fn damaged(path: &Path, index: Option<LogIndex>, what: impl Into<String>) -> Self {
        DiskError::Damaged {
            path: path.to_owned(),
            index,
            what: what.into(),
        }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskError::InUse { dir } => write!(
                f,
                "{} is in use; close what has it open, or choose another directory",
                dir.display()
            ),
            DiskError::Io {
                path,
                doing,
                source,
            } => write!(f, "cannot {doing} {}: {source}", path.display()),
            DiskError::Storage { path, what } => {
                write!(f, "the log {} failed: {what}", path.display())
            }
            DiskError::Damaged { path, index, what } => {
                write!(f, "{} is damaged", path.display())?;
                if let Some(index) = index {
                    write!(f, " at entry {index}")?;
                }
                write!(f, ": {what}")
            }
        }
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DiskError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
