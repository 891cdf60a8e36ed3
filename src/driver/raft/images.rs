//! The images of a node: at most one is kept, the newest.
//!
//! An image is written, or received, under a name of its own, and gets its name when it is whole.
//! One may be built while another is installed; the newer stays, whichever is done first.

use super::NodeError;
use crate::driver::disk::DiskError;
use crate::driver::disk::files::{self, WriteImageError};
use crate::position::LogIndex;
use crate::store::{Schema, Snapshot, Store};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The directory of a node's images.
#[derive(Debug)]
pub(in super::super) struct Images {
    dir: PathBuf,
    newest: Mutex<Option<Image>>,
    /// Names for what is not whole yet.
    names: AtomicU64,
}

/// An image on the disk.
#[derive(Clone, Debug)]
pub(in super::super) struct Image {
    pub(in super::super) index: LogIndex,
    pub(in super::super) path: PathBuf,
    /// The driver's state in it: the entry it is of, the membership.
    pub(in super::super) driver: Arc<[u8]>,
}

impl Image {
    fn of<S: Schema>(dir: &Path, snapshot: &Snapshot<S>) -> Self {
        Image {
            index: snapshot.index(),
            path: files::image_path(dir, snapshot.index()),
            driver: snapshot.driver_state().unwrap_or_default().into(),
        }
    }
}

impl Images {
    /// Opens the directory, removes what is not whole or not the newest, and restores a new store
    /// from the newest.
    pub(in super::super) fn open<S: Schema>(
        dir: &Path,
        store: &Store<S>,
    ) -> Result<Self, NodeError> {
        fs::create_dir_all(dir).map_err(|e| DiskError::io(dir, "create", e))?;
        let images = Images {
            dir: dir.to_owned(),
            newest: Mutex::new(None),
            names: AtomicU64::new(0),
        };
        let names = files::names(dir)?;
        for name in names
            .iter()
            .filter(|name| files::is_unfinished(name, "image-"))
        {
            files::remove(&dir.join(name))?;
        }
        let newest = names
            .iter()
            .filter_map(|name| files::image_index(name))
            .max();
        if let Some(index) = newest {
            let path = files::image_path(dir, index);
            restore(store, &path)?;
            let image = Image::of(dir, &store.snapshot());
            if image.path != path {
                let what = format!("it is of index {}", image.index);
                return Err(DiskError::damaged(&path, Some(index), what).into());
            }
            images.keep(image);
        }
        Ok(images)
    }

    pub(in super::super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The newest image.
    pub(in super::super) fn newest(&self) -> Option<Image> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Image>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest image, opened. Another may take its place, and remove it, at any time.
    pub(in super::super) fn open_newest(&self) -> Result<Option<(Image, File)>, NodeError> {
        while let Some(image) = self.newest() {
            match File::open(&image.path) {
                Ok(file) => return Ok(Some((image, file))),
                Err(e)
                    if self
                        .newest()
                        .is_some_and(|newest| newest.index == image.index) =>
                {
                    return Err(DiskError::io(&image.path, "open", e).into());
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// A name for an image that is not whole yet.
    pub(in super::super) fn unfinished(&self) -> PathBuf {
        let name = self.names.fetch_add(1, Ordering::Relaxed);
        files::unfinished(&self.dir.join(format!("image-{name}")))
    }

    /// Writes an image of a snapshot, durably. Commits go on meanwhile.
    pub(in super::super) fn write<S: Schema>(
        &self,
        snapshot: &Snapshot<S>,
    ) -> Result<Image, NodeError> {
        let image = Image::of(&self.dir, snapshot);
        let unfinished = self.unfinished();
        files::write_image(&unfinished, &image.path, snapshot).map_err(|error| match error {
            WriteImageError::Disk(error) => error.into(),
            WriteImageError::Image(error) => NodeError::image(&unfinished, *error),
        })?;
        self.keep(image.clone());
        Ok(image)
    }

    /// Restores a store from a file that was received, and keeps the file as the newest image. On
    /// an error the store is as it was.
    pub(in super::super) fn install<S: Schema>(
        &self,
        store: &Store<S>,
        received: &Path,
    ) -> Result<Image, NodeError> {
        restore(store, received)?;
        let image = Image::of(&self.dir, &store.snapshot());
        if received != image.path {
            let own = received.parent() == Some(&self.dir);
            let unfinished = if own {
                received.to_owned()
            } else {
                self.copy(received)?
            };
            let synced = File::open(&unfinished).and_then(|file| file.sync_all());
            synced.map_err(|e| DiskError::io(&unfinished, "sync", e))?;
            files::publish(&unfinished, &image.path)?;
        }
        self.keep(image.clone());
        Ok(image)
    }

    /// Another's file, who may want it still.
    fn copy(&self, path: &Path) -> Result<PathBuf, DiskError> {
        let unfinished = self.unfinished();
        fs::copy(path, &unfinished).map_err(|e| DiskError::io(path, "copy", e))?;
        Ok(unfinished)
    }

    /// Makes an image the newest, unless a newer is there; removes the other.
    fn keep(&self, image: Image) {
        let mut newest = self.lock();
        if newest
            .as_ref()
            .is_none_or(|newest| newest.index <= image.index)
        {
            *newest = Some(image);
        }
        let keep = newest.as_ref().map(|newest| newest.index);
        let Ok(names) = files::names(&self.dir) else {
            return;
        };
        for index in names.iter().filter_map(|name| files::image_index(name)) {
            if Some(index) != keep {
                // One that cannot be removed now is removed with the next.
                let _ = fs::remove_file(files::image_path(&self.dir, index));
            }
        }
    }
}

/// Restores a store from a file.
fn restore<S: Schema>(store: &Store<S>, path: &Path) -> Result<(), NodeError> {
    let file = File::open(path).map_err(|e| DiskError::io(path, "open", e))?;
    let restored = store.restore(BufReader::with_capacity(1 << 16, file));
    restored
        .map(drop)
        .map_err(|error| NodeError::image(path, error))
}
