//! The images beside the log: `image-` and the log index in twenty digits.
//!
//! An image is written to a name of its own, synced, and then renamed, so that a file with an
//! image's name is whole. The newest two are kept, and the log is cut only up to the older: should
//! the newest be damaged later, the older and the log still make up the state.

use super::error::JournalError;
use crate::driver::disk::DiskError;
use crate::driver::disk::files::{self, WriteImageError};
use crate::position::LogIndex;
use crate::store::{Schema, Snapshot};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// An image in the journal's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) index: LogIndex,
    pub(super) path: PathBuf,
}

/// The images there are, newest first.
pub(super) fn list(dir: &Path) -> Result<Vec<Image>, DiskError> {
    let mut images: Vec<Image> = files::names(dir)?
        .iter()
        .filter_map(|name| files::image_index(name))
        .map(|index| Image {
            index,
            path: files::image_path(dir, index),
        })
        .collect();
    images.sort_unstable_by_key(|image| Reverse(image.index));
    Ok(images)
}

/// Removes what a write that was interrupted left.
pub(super) fn remove_unfinished(dir: &Path) -> Result<(), DiskError> {
    for name in files::names(dir)? {
        if files::is_unfinished(&name, "image-") || files::is_unfinished(&name, "journal") {
            files::remove(&dir.join(name))?;
        }
    }
    Ok(())
}

/// Removes all images but these.
pub(super) fn prune(dir: &Path, keep: &[Image]) -> Result<(), DiskError> {
    list(dir)?
        .iter()
        .filter(|image| !keep.contains(image))
        .try_for_each(|image| files::remove(&image.path))
}

/// Writes an image durably. It is there whole when this returns, or, on an error, not at all or
/// whole.
pub(super) fn write<S: Schema>(dir: &Path, snapshot: &Snapshot<S>) -> Result<Image, JournalError> {
    let index = snapshot.index();
    let path = files::image_path(dir, index);
    let unfinished = files::unfinished(&path);
    match files::write_image(&unfinished, &path, snapshot) {
        Ok(()) => Ok(Image { index, path }),
        Err(WriteImageError::Disk(error)) => Err(error.into()),
        Err(WriteImageError::Image(error)) => Err(JournalError::Image {
            path: unfinished,
            source: error,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_are_recognized() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "image-00000000000000000007",
            "image-00000000000000000012",
            "image-00000000000000000003",
            "image-00000000000000000020.unfinished",
            "journal.redb.unfinished",
            "image-7",
            "image-+0000000000000000007",
            "notes",
        ] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let indexes = || -> Vec<u64> {
            list(dir.path())
                .unwrap()
                .iter()
                .map(|image| image.index.0)
                .collect()
        };
        assert_eq!(indexes(), [12, 7, 3]);
        remove_unfinished(dir.path()).unwrap();
        let all = list(dir.path()).unwrap();
        prune(dir.path(), &all[..2]).unwrap();
        assert_eq!(indexes(), [12, 7]);
        let mut left = files::names(dir.path()).unwrap();
        left.sort();
        assert_eq!(
            left,
            [
                "image-+0000000000000000007",
                "image-00000000000000000007",
                "image-00000000000000000012",
                "image-7",
                "notes",
            ]
        );
    }
}
