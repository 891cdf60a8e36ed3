//! Following a store's commits, with the changes as the schema's types.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use super::snapshot::Snapshot;
use super::store::Store;
use super::view::Views;
use crate::feed::{RawChanges, Source, Start, Stream, SubscribeError};
use crate::position::{LogIndex, Position};

/// The ordered stream of commits: every entry that changed something, once, in log order.
///
/// It reads the newest window of change sets and holds no version: a slow one never blocks the
/// writer, and gets [`SubscribeError::Compacted`] if the window has passed it by.
pub struct Subscription<S: Views> {
    stream: Stream,
    schema: PhantomData<fn() -> S>,
}

impl<S: Views> fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// One entry's changes: derefs to the generated changes (`event.services()`).
pub struct Event<S: Views> {
    position: Position,
    changes: S::Changes,
}

impl<S: Views> Clone for Event<S> {
    fn clone(&self) -> Self {
        Event {
            position: self.position,
            changes: self.changes.clone(),
        }
    }
}

impl<S: Views> fmt::Debug for Event<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("position", &self.position)
            .field("changes", &self.changes)
            .finish()
    }
}

impl<S: Views> Event<S> {
    fn new((position, changes): (Position, RawChanges)) -> Self {
        Event {
            position,
            changes: changes.into(),
        }
    }

    /// Where it is in the log: where to resume after it.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The entry's log index.
    pub fn index(&self) -> LogIndex {
        self.position.index
    }
}

impl<S: Views> Deref for Event<S> {
    type Target = S::Changes;

    fn deref(&self) -> &S::Changes {
        &self.changes
    }
}

impl<S: Views> Store<S> {
    /// Follows the commits from now, or from a position that is still in the window.
    ///
    /// `Start::After(position)` continues what was seen up to there without a gap.
    pub fn subscribe(&self, from: Start) -> Result<Subscription<S>, SubscribeError> {
        let source: Arc<dyn Source> = Arc::<super::core::Core>::clone(self.core());
        Ok(Subscription {
            stream: Stream::start(source, from)?,
            schema: PhantomData,
        })
    }
}

impl<S: Views> Store<S> {
    /// A snapshot, and the commits after it: all that is and comes, with nothing twice and nothing
    /// left out. For who begins, and for who was away for longer than the window keeps
    /// ([`SubscribeError::Compacted`]).
    ///
    /// The snapshot pins its version while it is held: read it, drop it, then follow.
    pub fn follow(&self) -> Result<(Snapshot<S>, Subscription<S>), SubscribeError> {
        let source: Arc<dyn Source> = Arc::<super::core::Core>::clone(self.core());
        loop {
            let snapshot = self.snapshot();
            let from = Start::After(snapshot.position());
            match Stream::start(Arc::clone(&source), from) {
                // So many commits, or a restore, came between the two.
                Err(SubscribeError::Compacted { .. } | SubscribeError::HistoryChanged { .. }) => {}
                stream => {
                    let stream = stream?;
                    if stream.line() != snapshot.version().payload().line {
                        continue;
                    }
                    let schema = PhantomData;
                    return Ok((snapshot, Subscription { stream, schema }));
                }
            }
        }
    }
}

impl<S: Views> Subscription<S> {
    /// The next event; `Ok(None)` at the deadline. A commit that is visible in a snapshot has its
    /// event here, and the other way round.
    pub fn next(&mut self, deadline: Instant) -> Result<Option<Event<S>>, SubscribeError> {
        Ok(self.stream.next(deadline)?.map(Event::new))
    }

    /// The next event, on any executor. Dropping the future loses nothing.
    pub async fn next_async(&mut self) -> Result<Event<S>, SubscribeError> {
        self.stream.next_async().await.map(Event::new)
    }

    /// What is there already, without waiting.
    pub fn try_next(&mut self) -> Result<Option<Event<S>>, SubscribeError> {
        Ok(self.stream.try_next()?.map(Event::new))
    }

    /// All events up to here have been returned: where to resume. Entries without data move it,
    /// too, when the next event is asked for.
    pub fn position(&self) -> Position {
        self.stream.position()
    }
}
