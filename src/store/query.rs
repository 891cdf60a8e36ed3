//! Waiting for an index, watching what a closure reads, blocking queries.
//!
//! Each waits the same way: look, register, look again, wait. Whoever publishes does so before it
//! asks for waiters, and a waiter registers before its second look, so one of the two sees the
//! other. A waiter holds no version.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::core::{Core, Root};
use super::error::WaitError;
use super::rows::query_index;
use super::snapshot::Snapshot;
use super::store::Store;
use super::track::{Seen, stamp};
use super::view::{RawView, Schema, View};
use crate::feed::ChangeSet;
use crate::position::{HistoryId, LogIndex, Position};
use crate::watch::{IndexWaiter, Watch};

/// A query's answer with its own log index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer<R> {
    /// What the closure returned.
    pub value: R,
    /// The index of what it read: no earlier than the last change of any of it, and never falling
    /// within a history. At least 1. To be handed in as `after` next time, alone or with the history.
    pub index: LogIndex,
    /// The position of the snapshot it was read from, with the history that `index` is of.
    pub position: Position,
    /// Whether it is past the index that was given as `after`, as an answer beside a watch always is. If
    /// not, the deadline passed without a change.
    pub changed: bool,
}

/// What a run of a closure read, of which version.
struct Look {
    number: u64,
    line: u64,
    position: Position,
    seen: Vec<Seen>,
}

/// Waits until `wait` is done (true) or `until` is (false).
pub(super) async fn race(
    wait: impl Future<Output = ()>,
    mut until: Pin<&mut impl Future<Output = ()>>,
) -> bool {
    let mut wait = pin!(wait);
    poll_fn(|context| {
        // The time limit first: it holds also for one that is always woken at once.
        if until.as_mut().poll(context).is_ready() {
            Poll::Ready(false)
        } else {
            wait.as_mut().poll(context).map(|()| true)
        }
    })
    .await
}

/// What a reader waits for: to be there, or for a query to be past it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// An index of the history that the store holds when the wait begins.
    Index(LogIndex),
    /// An index of this history: of another, the store will never be there.
    Position(Position),
}

impl Mark {
    pub(super) fn index(self) -> LogIndex {
        match self {
            Mark::Index(index) => index,
            Mark::Position(position) => position.index,
        }
    }

    /// The history that the wait is bound to, if it is known before the first look.
    pub(super) fn history(self) -> Option<HistoryId> {
        match self {
            Mark::Index(_) => None,
            Mark::Position(position) => Some(position.history),
        }
    }
}

impl From<LogIndex> for Mark {
    fn from(index: LogIndex) -> Self {
        Mark::Index(index)
    }
}

impl From<Position> for Mark {
    fn from(position: Position) -> Self {
        Mark::Position(position)
    }
}

/// How far the wait for a log index has got.
enum Progress<S: Schema> {
    Reached(Snapshot<S>),
    Wait(IndexWaiter),
}

impl<S: Schema> Store<S> {
    /// The newest snapshot if it is at `index` or later. `began`: the history of the first look.
    fn reached(
        &self,
        index: LogIndex,
        began: &mut Option<HistoryId>,
    ) -> Result<Option<Snapshot<S>>, WaitError> {
        let snapshot = self.snapshot();
        let Position {
            history: now,
            index: applied,
        } = snapshot.position();
        let began = *began.get_or_insert(now);
        if now != began {
            return Err(WaitError::HistoryChanged { began, now });
        }
        Ok((applied >= index).then_some(snapshot))
    }

    /// Looks, registers, looks again.
    fn progress(
        &self,
        index: LogIndex,
        began: &mut Option<HistoryId>,
    ) -> Result<Progress<S>, WaitError> {
        if let Some(snapshot) = self.reached(index, began)? {
            return Ok(Progress::Reached(snapshot));
        }
        let history = began.unwrap_or_default();
        let waiter = self.core().watches.register_index(history, index);
        if let Some(snapshot) = self.reached(index, began)? {
            return Ok(Progress::Reached(snapshot));
        }
        match self.core().watches.ended() {
            Some(ended) => Err(ended.into()),
            None => Ok(Progress::Wait(waiter)),
        }
    }

    /// At the deadline: the last look.
    fn late(
        &self,
        index: LogIndex,
        began: &mut Option<HistoryId>,
    ) -> Result<Snapshot<S>, WaitError> {
        let applied = self.position().index;
        self.reached(index, began)?.ok_or(WaitError::Lagging {
            wanted: index,
            applied,
        })
    }

    /// A snapshot at an index or later: at once if it is applied, otherwise as soon as it is.
    ///
    /// A bare index is one of the history the store holds now; if another takes its place, or a
    /// position is of another, the wait ends with [`WaitError::HistoryChanged`]. At the deadline
    /// [`WaitError::Lagging`] says what is applied.
    pub fn snapshot_at_least(
        &self,
        mark: impl Into<Mark>,
        deadline: Instant,
    ) -> Result<Snapshot<S>, WaitError> {
        let mark = mark.into();
        let (index, mut began) = (mark.index(), mark.history());
        loop {
            match self.progress(index, &mut began)? {
                Progress::Reached(snapshot) => return Ok(snapshot),
                Progress::Wait(waiter) if !waiter.wait(deadline) => {
                    return self.late(index, &mut began);
                }
                Progress::Wait(_) => {}
            }
        }
    }

    /// The same on any executor. `until`: any timer, e.g. `tokio::time::sleep(limit)`.
    pub async fn snapshot_at_least_async(
        &self,
        mark: impl Into<Mark>,
        until: impl Future<Output = ()>,
    ) -> Result<Snapshot<S>, WaitError> {
        let mark = mark.into();
        let (index, mut began) = (mark.index(), mark.history());
        let mut until = pin!(until);
        loop {
            let waiter = match self.progress(index, &mut began)? {
                Progress::Reached(snapshot) => return Ok(snapshot),
                Progress::Wait(waiter) => waiter,
            };
            if !race(waiter, until.as_mut()).await {
                return self.late(index, &mut began);
            }
        }
    }

    /// Runs the closure on the newest snapshot and finds out what it read.
    fn look<R>(&self, query: impl FnOnce(&S::View) -> R) -> (Answer<R>, Look) {
        let core = self.core();
        let raw = RawView::tracked(core.current(), Arc::clone(&core.tables));
        let view = S::View::from_raw(raw);
        let value = query(&view);
        let (version, tracker) = view.into_raw().into_tracked();
        let (seen, index) = tracker.finish(&version);
        let Root {
            number,
            line,
            position,
            ..
        } = *version.payload();
        let answer = Answer {
            value,
            index: query_index(index),
            position,
            changed: true,
        };
        (
            answer,
            Look {
                number,
                line,
                position,
                seen,
            },
        )
    }

    /// A watch of what was read, fired already if that has changed since.
    fn watch_look(&self, look: &Look) -> Watch {
        let read = look
            .seen
            .iter()
            .map(|seen| (seen.tree, seen.region.clone()));
        let watch = self.core().watches.register_seen(read, look.number);
        if changed_since(self.core(), look) {
            watch.fire();
        }
        watch
    }

    /// Runs the closure once and returns a watch of everything it read beside the answer.
    ///
    /// The watch fires when something of that changes, when a restore replaces the content, and
    /// when the store is closed or halted; what changed before this returns is not missed.
    pub fn watch<R>(&self, query: impl FnOnce(&S::View) -> R) -> (Answer<R>, Watch) {
        let (answer, look) = self.look(query);
        let watch = self.watch_look(&look);
        (answer, watch)
    }

    /// One round of a blocking query: an answer, and, unless it can be given at once, a watch.
    fn round<R>(
        &self,
        after: Mark,
        began: &mut Option<u64>,
        query: impl FnOnce(&S::View) -> R,
    ) -> Result<(Answer<R>, Option<Watch>), WaitError> {
        let (answer, look) = self.look(query);
        let now = look.position.history;
        if let Some(began) = after.history().filter(|began| *began != now) {
            return Err(WaitError::HistoryChanged { began, now });
        }
        // Content of another line is another answer, whatever its index.
        if answer.index > after.index() || *began.get_or_insert(look.line) != look.line {
            return Ok((answer, None));
        }
        let watch = self.watch_look(&look);
        match self.core().watches.ended() {
            Some(ended) => Err(ended.into()),
            None => Ok((answer, Some(watch))),
        }
    }

    /// A blocking query: answers at once if the answer's own index is past `after`; else as soon
    /// as something the closure read has changed; at the deadline the last answer.
    ///
    /// The closure runs again for each such change, and reads one snapshot each time. It must be
    /// a function of what it reads. `LogIndex(0)` is always answered at once.
    ///
    /// A bare index says nothing of the history it is of. `after` as a [`Position`], of an earlier
    /// answer's `index` and `position.history`, does: if the store holds another history, or comes to
    /// while this waits, the error is [`WaitError::HistoryChanged`], at once. With either, an answer
    /// whose `index` is below that of the earlier answer does not go on from there (the store was restored
    /// to an earlier state, say): begin again from `LogIndex(0)`. An answer's `position` is that of the
    /// snapshot it was read from, which may be far above its `index`: as `after` it would look like that.
    pub fn blocking_query<R>(
        &self,
        after: impl Into<Mark>,
        deadline: Instant,
        mut query: impl FnMut(&S::View) -> R,
    ) -> Result<Answer<R>, WaitError> {
        let after = after.into();
        let mut began = None;
        loop {
            let (answer, watch) = self.round(after, &mut began, &mut query)?;
            let Some(watch) = watch else {
                return Ok(answer);
            };
            if Instant::now() >= deadline || !watch.wait(deadline) {
                return Ok(Answer {
                    changed: false,
                    ..answer
                });
            }
        }
    }

    /// The same on any executor. `until`: any timer.
    pub async fn blocking_query_async<R>(
        &self,
        after: impl Into<Mark>,
        until: impl Future<Output = ()>,
        mut query: impl FnMut(&S::View) -> R,
    ) -> Result<Answer<R>, WaitError> {
        let after = after.into();
        let mut until = pin!(until);
        let mut began = None;
        loop {
            let (answer, watch) = self.round(after, &mut began, &mut query)?;
            let Some(watch) = watch else {
                return Ok(answer);
            };
            if !race(watch, until.as_mut()).await {
                return Ok(Answer {
                    changed: false,
                    ..answer
                });
            }
        }
    }
}

/// The second look: whether something of what was read at `position` has changed by now. Where
/// only a stamp differs, the change sets in between decide; if they are gone, it counts as changed.
fn changed_since(core: &Core, look: &Look) -> bool {
    let version = core.current();
    let root = version.payload();
    if root.number == look.number {
        return false;
    }
    if root.restored > look.number {
        return true;
    }
    let differs =
        |seen: &&Seen| stamp(&version, &core.tables, seen.tree, &seen.region) != seen.stamp;
    let moved: Vec<&Seen> = look.seen.iter().filter(differs).collect();
    if moved.is_empty() {
        return false;
    }
    let Some(mut sets) = root.window.after(look.position.index) else {
        return true;
    };
    sets.any(|set| moved.iter().any(|seen| touches(core, set, seen)))
}

/// Whether an entry changed something of what was read.
fn touches(core: &Core, set: &ChangeSet, seen: &Seen) -> bool {
    let (table, which) = core.tables.of_tree(seen.tree);
    let Some(changes) = set.table(table) else {
        return false;
    };
    let mut found = false;
    core.tables[table].changed_keys(changes, which, &mut |key| {
        found |= seen.region.contains(key);
    });
    found
}
