//! A node's state machine: a store, and its images.

use super::images::{Image, Images};
use super::{Blocking, NodeError, NodeOptions, Response, log_index, offload};
use crate::driver::disk::DiskError;
use crate::fsm::{Batch, Command, LogEntry};
use crate::position::LogIndex;
use crate::store::{Schema, Snapshot, Store};
use std::fmt;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type ResponseOf<S, C> = Response<<C as Command<S>>::Reply, <C as Command<S>>::Error>;

/// A store that Raft drives.
pub(in super::super) struct Machine<S: Schema, C> {
    /// For all others, to read.
    store: Store<S>,
    /// The handle that may write.
    driver: Store<S>,
    images: Arc<Images>,
    blocking: Blocking,
    gaps: bool,
    /// What was in the log when it was opened: it may have been applied before.
    replayed_to: LogIndex,
    commands: PhantomData<fn() -> C>,
}

impl<S: Schema, C> fmt::Debug for Machine<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("store", &self.store)
            .field("images", &self.images)
            .finish_non_exhaustive()
    }
}

impl<S: Schema, C: Command<S>> Machine<S, C> {
    /// A store with the newest image of the directory. `log`: the last entry that is there already.
    pub(in super::super) fn open(
        dir: &Path,
        options: NodeOptions,
        log: Option<u64>,
    ) -> Result<Self, NodeError> {
        let store = Store::with_options(options.store);
        let images = Images::open(dir, &store)?;
        Ok(Machine {
            driver: store.drive("openraft"),
            store,
            images: Arc::new(images),
            blocking: options.blocking,
            gaps: false,
            replayed_to: log.map_or(LogIndex::ZERO, log_index),
            commands: PhantomData,
        })
    }

    /// Applies entries, with what Raft keeps beside the data, and publishes once; twice, if what was
    /// in the log ends among them.
    pub(in super::super) fn apply(
        &self,
        mut entries: Vec<LogEntry<C>>,
        driver: Vec<u8>,
    ) -> Result<Vec<ResponseOf<S, C>>, NodeError> {
        let known = entries.partition_point(|entry| entry.index() <= self.replayed_to);
        let new = entries.split_off(known);
        if new.is_empty() {
            return self.run(Batch::new(entries).replayed().driver_state(driver));
        }
        let mut responses = self.run(Batch::new(entries).replayed())?;
        responses.extend(self.run(Batch::new(new).driver_state(driver))?);
        Ok(responses)
    }

    fn run(&self, mut batch: Batch<C>) -> Result<Vec<ResponseOf<S, C>>, NodeError> {
        let indexes: Vec<_> = batch.indexes().collect();
        if !self.gaps {
            batch = batch.dense();
        }
        let applied = batch.apply(&self.driver);
        if let Some(halt) = applied.halted {
            return Err(NodeError::Entry(halt));
        }
        let outcomes = indexes.into_iter().zip(applied.outcomes);
        Ok(outcomes
            .map(|(index, outcome)| Response { index, outcome })
            .collect())
    }
}

impl<S: Schema, C> Machine<S, C> {
    pub(in super::super) fn store(&self) -> &Store<S> {
        &self.store
    }

    /// Takes entries whose indexes have gaps.
    pub(in super::super) fn allow_gaps(&mut self) {
        self.gaps = true;
    }

    /// What takes an image of the store as it is now. O(1).
    pub(in super::super) fn builder(&self) -> SnapshotBuilder<S> {
        SnapshotBuilder {
            snapshot: self.store.snapshot(),
            images: Arc::clone(&self.images),
            blocking: self.blocking,
        }
    }

    #[cfg(feature = "openraft-next")]
    pub(in super::super) fn images(&self) -> Arc<Images> {
        Arc::clone(&self.images)
    }

    /// A name for an image that is to be received.
    #[cfg(feature = "openraft")]
    pub(in super::super) fn unfinished(&self) -> PathBuf {
        self.images.unfinished()
    }

    /// Replaces the state by an image; readers go on meanwhile. On an error all is as it was.
    pub(in super::super) async fn install(&self, received: PathBuf) -> Result<Image, NodeError> {
        let (store, images) = (self.driver.clone(), Arc::clone(&self.images));
        offload::run(self.blocking, self.images.dir(), move || {
            images.install(&store, &received)
        })
        .await
    }

    /// The newest image.
    pub(in super::super) fn newest(&self) -> Result<Option<(Image, File)>, NodeError> {
        self.images.open_newest()
    }
}

/// Writes an image of what the store was when the builder was made, to a file.
pub struct SnapshotBuilder<S: Schema> {
    snapshot: Snapshot<S>,
    images: Arc<Images>,
    blocking: Blocking,
}

impl<S: Schema> fmt::Debug for SnapshotBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SnapshotBuilder")
            .field(&self.snapshot)
            .finish()
    }
}

impl<S: Schema> SnapshotBuilder<S> {
    /// The image; or a newer one, if that was installed meanwhile.
    pub(in super::super) async fn build(&self) -> Result<(Image, File), NodeError> {
        let (snapshot, images) = (self.snapshot.clone(), Arc::clone(&self.images));
        offload::run(self.blocking, self.images.dir(), move || {
            let image = images.write(&snapshot)?;
            let gone = || DiskError::damaged(&image.path, Some(image.index), "it is gone");
            Ok(images.open_newest()?.ok_or_else(gone)?)
        })
        .await
    }
}
