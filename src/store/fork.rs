//! Forks: a store that goes on from a snapshot of another.
//!
//! A fork is a store like any other: it has its own writer, watches, change window and memory, and
//! shares the nodes of the snapshot, which it holds for as long as it, or a snapshot of it, is
//! there (`version/`). It is told apart by its history alone, an id that no log and no other fork
//! has, so that nothing that was said of a fork is taken for a word of the log, or of another
//! fork. Its root remembers where it began ([`Origin`]): what a guard says of a position up to
//! there holds in the fork as well.

use std::sync::Arc;

use super::core::Core;
use super::snapshot::Snapshot;
use super::store::Store;
use super::view::Schema;
use crate::position::{HistoryId, Position};

/// Where a fork began, and where that began that it is of: shared with the version it is of, which
/// the fork holds longer, so that a line of them, however long, is never dropped at once.
#[derive(Debug)]
pub(crate) struct Origin {
    at: Position,
    before: Option<Arc<Origin>>,
}

impl Origin {
    /// The position of a fork that begins from what is `at` one; `before`: the origin of that.
    pub(super) fn begin(
        at: Position,
        before: Option<Arc<Origin>>,
    ) -> (Position, Option<Arc<Self>>) {
        let position = Position {
            history: HistoryId::of_new_fork(),
            index: at.index,
        };
        (position, Some(Arc::new(Origin { at, before })))
    }

    /// Whether all there was at a position came to be part of the fork. O(forks of forks).
    pub(super) fn covers(&self, position: Position) -> bool {
        let line = std::iter::successors(Some(self), |origin| origin.before.as_deref());
        line.map(|origin| origin.at)
            .any(|at| at.history == position.history && at.index >= position.index)
    }
}

impl<S: Schema> Snapshot<S> {
    /// A store of its own that goes on from this snapshot, to try a change or to plan on it: what
    /// is written in it is seen in it alone, and what is written in the store it is of is not seen
    /// in it.
    ///
    /// O(number of indexes), however much they hold: records and trees are shared, and copied as
    /// they are written to. A fork can be kept, written to from any thread, watched, followed, and
    /// forked; it may outlive the store. It is open also if the store is closed or halted. It holds
    /// the snapshot for as long as it is there.
    ///
    /// Its log index goes on from the snapshot's, and so do the indexes of records and queries, but
    /// in a history of its own ([`HistoryId::is_fork`](crate::HistoryId::is_fork)): positions,
    /// guards and cursors that were made in a fork are refused by the store and by any other fork,
    /// and an image of one is an image of another history. A guard of the store, of the snapshot's
    /// position or an earlier one, can be validated in a fork, and in forks of that.
    ///
    /// Of a plan that is made in a fork, what it rests on is read in the snapshot, by
    /// [`guarded`](Self::guarded): what is read in the fork itself is noted by nobody, and a guard of it
    /// holds in no other store.
    ///
    /// A fork is never stale ([`ReadMode::MaxStale`](crate::ReadMode::MaxStale)): nobody else
    /// writes in its history. Hooks ([`WriteTxn::after_commit`](crate::WriteTxn::after_commit)) do
    /// not run.
    ///
    /// A fork stays one whatever is restored in it: it goes on from the image as a new fork of the
    /// image's position would, in another history than before. So does any store in which an image
    /// of a fork is restored.
    ///
    /// ```
    /// # use highwater::{Schema, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # pub struct Node { #[primary_key] pub name: String, pub jobs: u32 }
    /// # #[derive(Schema)]
    /// # pub struct Cluster { nodes: Node }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Cluster>::new();
    /// # let mut txn = store.write()?;
    /// # txn.nodes_mut().insert(Node { name: "n1".into(), jobs: 0 })?;
    /// # txn.commit()?;
    /// let snap = store.snapshot();
    /// let plan = snap.fork();
    /// let mut txn = plan.write()?;
    /// txn.nodes_mut().update_with("n1", |node| node.jobs += 1)?;
    /// txn.commit()?;
    ///
    /// // What the plan comes to; the store knows nothing of it.
    /// let planned = plan.snapshot();
    /// let changes: Vec<_> = planned.nodes().diff(&snap.nodes()).collect();
    /// assert_eq!(changes[0].after.unwrap().jobs, 1);
    /// assert_eq!(store.snapshot().nodes().get("n1").unwrap().jobs, 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn fork(&self) -> Store<S> {
        Store::of(Core::fork(S::tables(), self.version()))
    }
}

impl<S: Schema> Store<S> {
    /// A fork of the newest snapshot: [`Snapshot::fork`].
    #[must_use]
    pub fn fork(&self) -> Store<S> {
        self.snapshot().fork()
    }
}
