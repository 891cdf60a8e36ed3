//! What can go wrong on a node.

use crate::driver::disk::DiskError;
use crate::fsm::Halt;
use crate::image::ImageError;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a node's log or state machine cannot go on, or cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeError {
    /// A file failed.
    Disk(DiskError),
    /// An image cannot be written, or not be installed: it is older than the state
    /// ([`ImageError::Older`]), damaged, or of another schema. The state is as it was.
    Image {
        /// The image's file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ImageError>,
    },
    /// An entry cannot be applied; the store is halted.
    Entry(Halt),
    /// Bytes are not what this driver writes, or do not fit the rest.
    Foreign {
        /// What they should have been.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The log failed before, and takes nothing more: what is on the disk is not known any more.
    Failed {
        /// The first error.
        why: String,
    },
}

impl NodeError {
    pub(in super::super) fn foreign(what: &'static str, why: &dyn fmt::Display) -> Self {
        NodeError::Foreign {
            what,
            why: why.to_string(),
        }
    }

    pub(super) fn image(path: &Path, error: ImageError) -> Self {
        match error {
            ImageError::Read { source, .. } => DiskError::io(path, "read", source).into(),
            error => NodeError::Image {
                path: path.to_owned(),
                source: Box::new(error),
            },
        }
    }
}

impl From<DiskError> for NodeError {
    fn from(error: DiskError) -> Self {
        NodeError::Disk(error)
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Disk(error) => error.fmt(f),
            NodeError::Image { path, source } => {
                write!(f, "the image {}: {source}", path.display())
            }
            NodeError::Entry(halt) => halt.fmt(f),
            NodeError::Foreign { what, why } => write!(f, "{what}: {why}"),
            NodeError::Failed { why } => write!(
                f,
                "the log has failed and takes nothing more: {why}; open the node again"
            ),
        }
    }
}

impl std::error::Error for NodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NodeError::Disk(error) => Some(error),
            NodeError::Image { source, .. } => Some(source),
            NodeError::Entry(halt) => Some(halt),
            NodeError::Foreign { .. } | NodeError::Failed { .. } => None,
        }
    }
}
