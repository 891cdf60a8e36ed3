//! The images beside the log: `image-` and the log index in twenty digits.
//!
//! An image is written to a name of its own, synced, and then renamed, so that a file with an
//! image's name is whole. The newest two are kept, and the log is cut only up to the older: should
//! the newest be damaged later, the older and the log still make up the state.

use super::error::{JournalError, io_error};
use crate::image::ImageError;
use crate::position::LogIndex;
use crate::store::{Snapshot, Views};
use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const PREFIX: &str = "image-";
const UNFINISHED: &str = ".unfinished";
/// An image in the journal's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) index: LogIndex,
    pub(super) path: PathBuf,
}

fn path_of(dir: &Path, index: LogIndex) -> PathBuf {
    dir.join(format!("{PREFIX}{:020}", index.0))
}

fn index_of(name: &str) -> Option<LogIndex> {
    let digits = name.strip_prefix(PREFIX)?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(LogIndex)
}

/// The names in a directory.
fn names(dir: &Path) -> Result<Vec<String>, JournalError> {
    let failed = |e| io_error(dir, "list", e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}

/// The images there are, newest first.
pub(super) fn list(dir: &Path) -> Result<Vec<Image>, JournalError> {
    let mut images: Vec<Image> = names(dir)?
        .iter()
        .filter_map(|name| index_of(name))
        .map(|index| Image {
            index,
            path: path_of(dir, index),
        })
        .collect();
    images.sort_unstable_by_key(|image| Reverse(image.index));
    Ok(images)
}

/// Removes what a write that was interrupted left.
pub(super) fn remove_unfinished(dir: &Path) -> Result<(), JournalError> {
    for name in names(dir)? {
        if name.ends_with(UNFINISHED) && (name.starts_with(PREFIX) || name.starts_with("journal")) {
            remove(&dir.join(name))?;
        }
    }
    Ok(())
}

/// Removes all images but these.
pub(super) fn prune(dir: &Path, keep: &[Image]) -> Result<(), JournalError> {
    list(dir)?
        .iter()
        .filter(|image| !keep.contains(image))
        .try_for_each(|image| remove(&image.path))
}

/// Writes an image durably. It is there whole when this returns, or, on an error, not at all or
/// whole.
pub(super) fn write<S: Views>(dir: &Path, snapshot: &Snapshot<S>) -> Result<Image, JournalError> {
    let path = path_of(dir, snapshot.index());
    let unfinished = unfinished(&path);
    let written = write_file(&unfinished, snapshot);
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    publish(&unfinished, &path)?;
    Ok(Image {
        index: snapshot.index(),
        path,
    })
}

fn write_file<S: Views>(path: &Path, snapshot: &Snapshot<S>) -> Result<(), JournalError> {
    let file = File::create(path).map_err(|e| io_error(path, "create", e))?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    snapshot.write_image(&mut out).map_err(|e| match e {
        ImageError::Write { source, .. } => io_error(path, "write", source),
        source => JournalError::Image {
            path: path.to_owned(),
            source: Box::new(source),
        },
    })?;
    out.flush().map_err(|e| io_error(path, "write", e))?;
    out.get_ref()
        .sync_all()
        .map_err(|e| io_error(path, "sync", e))
}

/// The name a file is written under before it is whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Gives a whole, synced file its name, durably.
pub(super) fn publish(unfinished: &Path, path: &Path) -> Result<(), JournalError> {
    fs::rename(unfinished, path).map_err(|e| io_error(unfinished, "rename", e))?;
    sync_dir(path.parent().unwrap_or(path))
}

fn remove(path: &Path) -> Result<(), JournalError> {
    fs::remove_file(path).map_err(|e| io_error(path, "remove", e))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    // Windows cannot open a directory as a file, and makes renames durable by itself.
    if cfg!(unix) {
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|e| io_error(dir, "sync", e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut left = names(dir.path()).unwrap();
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
