//! Following the window: one reader's place in the stream of commits.
//!
//! Who follows a part of a tree sleeps while others are changed. Lest the window pass it by meanwhile, it
//! wakes to move on each time an eighth of what the window keeps has gone by, and when entries with a great
//! many changes push others out sooner: as long as it looks when it is woken, the window has all that it
//! has not seen. If it does not, the stamp of the part still tells whether anything was missed at all.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{RawChanges, Window};
use crate::position::{LogIndex, Position};
use crate::watch::{Ended, IndexWaiter, Region, Watch, Watches};

/// Where a [`Feed`](crate::Feed) begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With the first commit after this moment.
    Now,
    /// With the first commit after this position, which may also still be to come.
    After(Position),
}

/// Why a [`Feed`](crate::Feed) ends, or cannot begin.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FeedError {
    /// Commits after the position have left the window, which keeps so many of them
    /// ([`StoreOptions::window`](crate::StoreOptions::window)). Begin again from a snapshot
    /// ([`Store::follow`](crate::Store::follow)); or, if a gap does not matter, after `oldest`.
    Compacted {
        /// The oldest position that can be resumed from.
        oldest: Position,
    },
    /// The position to begin after is of another history than the store. Begin again from a snapshot
    /// ([`Store::follow`](crate::Store::follow)). A feed that has begun tells of such a change as
    /// [`FeedItem::Restored`](crate::FeedItem::Restored).
    HistoryChanged {
        /// Where the store is now.
        now: Position,
    },
    /// The store was closed; everything committed before has been delivered.
    Closed,
    /// The store was halted; everything committed before has been delivered.
    Halted {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FeedError::Compacted { oldest } => write!(
                f,
                "changes after the position are no longer kept; the oldest position to resume from \
                 is {oldest}: begin again from a snapshot"
            ),
            FeedError::HistoryChanged { now } => write!(
                f,
                "the position is of another history than the store, which is at {now}: begin again \
                 from a snapshot"
            ),
            FeedError::Closed => f.write_str("the store is closed"),
            FeedError::Halted { reason } => write!(f, "the store is halted: {reason}"),
        }
    }
}

impl std::error::Error for FeedError {}

impl From<Ended> for FeedError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Closed => FeedError::Closed,
            Ended::Halted(reason) => FeedError::Halted {
                reason: reason.to_string(),
            },
        }
    }
}

/// What the feed has to know of a root.
#[derive(Clone, Copy)]
pub(crate) struct Newest<'a> {
    /// Its own number, by which watches know it.
    pub(crate) number: u64,
    pub(crate) position: Position,
    /// Another number: its content was replaced.
    pub(crate) restored: u64,
    pub(crate) window: &'a Window,
    /// No earlier than the last change of a part.
    pub(crate) changed: &'a dyn Fn(&Part) -> LogIndex,
}

/// A part of a tree, by the tree's number.
pub(crate) type Part = (usize, Region);

/// What the feed has to know of a store.
pub(crate) trait Source: Send + Sync + fmt::Debug {
    /// Shows the newest root.
    fn newest(&self, look: &mut dyn FnMut(Newest<'_>));
    /// Who waits for an index.
    fn watches(&self) -> &Arc<Watches>;
}

/// What a look has found.
pub(super) enum Look {
    /// An entry with changes.
    Entry(Position, RawChanges),
    /// The content was replaced; what follows, follows this position.
    Restored(Position),
    /// Nothing yet.
    Nothing,
}

/// A place in the stream of commits. It holds no version and no change set.
#[derive(Debug)]
pub(crate) struct Stream {
    source: Arc<dyn Source>,
    restored: u64,
    /// Everything up to here has been delivered.
    position: Position,
    /// What alone is followed; if there is none, all is.
    part: Option<Part>,
    /// The number of the root that was looked at last.
    seen: u64,
    /// How many log indexes may go by before a follower of a part wakes to move on. Few beside what the
    /// window keeps, since many entries may come at once.
    stride: u64,
}

impl Stream {
    /// Of all that is changed or, of a part, of all that may concern it.
    pub(crate) fn start(
        source: &Arc<dyn Source>,
        from: Start,
        part: Option<&Part>,
    ) -> Result<Self, FeedError> {
        let mut started = Err(FeedError::Closed);
        source.newest(&mut |newest| {
            started = place(&newest, from).map(|position| Stream {
                source: Arc::clone(source),
                restored: newest.restored,
                position,
                part: part.cloned(),
                seen: newest.number,
                stride: (newest.window.entries() as u64 / 8).max(1),
            });
        });
        match source.watches().ended() {
            Some(ended) => Err(ended.into()),
            None => started,
        }
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The number of the restore whose content it follows.
    pub(crate) fn restored(&self) -> u64 {
        self.restored
    }

    /// What is next, if it is there already.
    pub(super) fn look(&mut self) -> Result<Look, FeedError> {
        // Asked before the look: what was published before the end is delivered before the error.
        let ended = self.source.watches().ended();
        let mut found = Ok(Look::Nothing);
        let (position, restored) = (&mut self.position, &mut self.restored);
        let (part, seen) = (self.part.as_ref(), &mut self.seen);
        self.source.newest(&mut |newest| {
            let (now, window) = (newest.position, newest.window);
            *seen = newest.number;
            let oldest = Position {
                history: now.history,
                index: window.floor(),
            };
            if newest.restored != *restored {
                (*restored, *position) = (newest.restored, oldest);
                found = Ok(Look::Restored(oldest));
                return;
            }
            let Some(mut sets) = window.after(position.index) else {
                if part.is_some_and(|part| (newest.changed)(part) <= position.index) {
                    position.index = now.index;
                } else {
                    found = Err(FeedError::Compacted { oldest });
                }
                return;
            };
            match sets.next() {
                Some(set) => {
                    position.index = set.index();
                    let changes = RawChanges::new(Arc::clone(set));
                    found = Ok(Look::Entry(*position, changes));
                }
                // Entries without data move the position: it is where to resume.
                None => position.index = position.index.max(now.index),
            }
        });
        match (found, ended) {
            (Ok(Look::Nothing), Some(ended)) => Err(ended.into()),
            (found, _) => found,
        }
    }

    /// A waiter for anything after the position. The caller looks again before it waits.
    fn waiter(&self) -> IndexWaiter {
        self.waiter_for(1)
    }

    fn waiter_for(&self, entries: u64) -> IndexWaiter {
        let next = LogIndex(self.position.index.0.saturating_add(entries));
        self.source
            .watches()
            .register_index(self.position.history, next)
    }

    /// What wakes who follows: each entry, if a part is followed and `each` is not wanted then only those
    /// that change it, and some between. The caller looks again before it waits.
    pub(super) fn wake(&self, each: bool) -> Wake {
        match &self.part {
            Some(part) if !each => Wake {
                part: Some(
                    self.source
                        .watches()
                        .register_follower(part.clone(), self.seen),
                ),
                index: self.waiter_for(self.stride),
            },
            _ => Wake {
                part: None,
                index: self.waiter(),
            },
        }
    }
}

/// Where a stream begins.
fn place(newest: &Newest<'_>, from: Start) -> Result<Position, FeedError> {
    let (now, floor) = (newest.position, newest.window.floor());
    let position = match from {
        Start::Now => now,
        Start::After(position) => position,
    };
    if position.history != now.history {
        return Err(FeedError::HistoryChanged { now });
    }
    if position.index < floor {
        let oldest = Position {
            history: now.history,
            index: floor,
        };
        return Err(FeedError::Compacted { oldest });
    }
    Ok(position)
}

/// Ready when it is time to look again.
#[derive(Debug)]
pub(super) struct Wake {
    part: Option<Watch>,
    index: IndexWaiter,
}

impl Future for Wake {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let part = match &mut self.part {
            Some(watch) => Pin::new(watch).poll(context),
            None => Poll::Pending,
        };
        if part.is_ready() {
            return part;
        }
        Pin::new(&mut self.index).poll(context)
    }
}
