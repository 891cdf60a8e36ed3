//! [`Feed`]: what followers are told, with bookmarks, in every form they may want it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as Waking, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::RawChanges;
use super::change::{Change, Changes, Replaced};
use super::stream::{FeedError, Look, Stream, Wake};
use crate::position::{LogIndex, Position};
use crate::schema::Table;

/// What a [`Feed`] tells, one after the other. These are all kinds: who matches them without `_` has
/// thought of restores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedItem<E> {
    /// An entry that changed something of what is followed.
    Event(E),
    /// All events up to here have been told: a position to resume from, stored in place of the last
    /// event's. It is for who follows little: that event may be long ago, and the window have given up
    /// what came after it.
    ///
    /// The first item, which is where the feed begins, and the last before an error are bookmarks;
    /// others come on request ([`Feed::request_bookmark`]) or when the feed was idle
    /// ([`Feed::bookmark_when_idle`]).
    Bookmark(Position),
    /// The store's content was replaced, by [`restore`](crate::Store::restore),
    /// [`restore_at`](crate::Store::restore_at) or [`rewind`](crate::Store::rewind), and no events lead
    /// from what was before to what is now: what was made of them is void. Make it anew, most simply by
    /// [`Store::follow`](crate::Store::follow).
    ///
    /// The feed goes on, too, with what follows this position: who stays with it takes a
    /// [`snapshot`](crate::Store::snapshot) now, and passes over the events up to its position.
    Restored(Position),
}

/// An entry's changes of one table, or of the part of it that is followed.
pub struct TableEvent<T> {
    position: Position,
    changes: Vec<Replaced<T>>,
}

impl<T> TableEvent<T> {
    /// Where it is in the log: where to resume after it.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The entry's log index.
    pub fn index(&self) -> LogIndex {
        self.position.index
    }

    /// The changes, at least one, in the order in which the records were first touched.
    pub fn changes(&self) -> Changes<'_, T> {
        Changes::of(&self.changes)
    }
}

impl<T> Clone for TableEvent<T> {
    fn clone(&self) -> Self {
        let copy = |change: &Replaced<T>| Replaced {
            before: change.before.clone(),
            after: change.after.clone(),
        };
        TableEvent {
            position: self.position,
            changes: self.changes.iter().map(copy).collect(),
        }
    }
}

impl<T> fmt::Debug for TableEvent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableEvent")
            .field("position", &self.position)
            .field("changes", &self.changes.len())
            .finish()
    }
}

/// Makes an event of an entry, if there is something in it for the follower.
pub(crate) type Pick<E> = Box<dyn FnMut(Position, RawChanges) -> Option<E> + Send>;

/// A store's commits in log order, each once, or those that change what a query covers: made by
/// [`Store::feed`](crate::Store::feed) and [`feed_of`](crate::Store::feed_of), with a snapshot to begin
/// with by [`follow`](crate::Store::follow) and [`follow_of`](crate::Store::follow_of).
///
/// It is read by [`next`](Self::next), [`next_async`](Self::next_async) and [`try_next`](Self::try_next),
/// as an iterator that blocks (`for item in feed`), as a `Stream` (feature `stream`), or through any
/// channel ([`send_with`](Self::send_with)). Each [`FeedItem`] is an event, a bookmark, or a restore. An
/// event is told if and only if a snapshot shows its commit.
///
/// It holds no version and no change set, but reads the window of recent commits that the store keeps:
/// one that is slow costs nothing and holds up nobody, until the window has passed it by.
///
/// # To resume
///
/// Each event and each bookmark has a position. Store it with what was made of the events up to there;
/// later, `store.feed(Start::After(position))` continues without a gap and without repetition, also in
/// another process that has the same log. If it cannot, it says so: [`FeedError::Compacted`] or
/// [`FeedError::HistoryChanged`]. One thing a position cannot tell: that meanwhile an operator took the
/// store back in its own history ([`Store::rewind`](crate::Store::rewind)), and that the position was
/// reached anew.
///
/// # To begin again
///
/// A feed that was too slow ends with a bookmark and [`FeedError::Compacted`]; one whose store was restored
/// tells [`FeedItem::Restored`]. Either way there are changes that it cannot tell, and the answer is
/// the same: what was made of the events is made anew of a snapshot. That is all there is to a copy that
/// is kept elsewhere:
///
/// ```
/// use highwater::{FeedError, FeedItem, Schema, Store, Table};
/// use serde::{Deserialize, Serialize};
/// use std::collections::BTreeMap;
/// use std::sync::Mutex;
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// struct Node {
///     #[primary_key]
///     name: String,
///     address: String,
/// }
///
/// #[derive(Schema)]
/// struct Cluster {
///     nodes: Node,
/// }
///
/// type Addresses = BTreeMap<String, String>;
///
/// /// Keeps `copy` as the store is, until the store is closed or halted.
/// fn mirror(store: &Store<Cluster>, copy: &Mutex<Addresses>) -> Result<(), FeedError> {
///     loop {
///         let (snapshot, feed) = store.follow()?;
///         let pair = |node: &Node| (node.name.clone(), node.address.clone());
///         *copy.lock().unwrap() = snapshot.nodes().iter().map(|node| pair(node)).collect();
///         drop(snapshot);
///         for item in feed {
///             match item {
///                 Ok(FeedItem::Event(event)) => {
///                     let mut copy = copy.lock().unwrap();
///                     for change in event.nodes() {
///                         if let Some(node) = change.before {
///                             copy.remove(&node.name);
///                         }
///                         copy.extend(change.after.map(|node| pair(node)));
///                     }
///                 }
///                 // To be stored with the copy, if that is stored.
///                 Ok(FeedItem::Bookmark(_position)) => {}
///                 Ok(FeedItem::Restored(_)) | Err(FeedError::Compacted { .. }) => break,
///                 Err(end) => return Err(end),
///             }
///         }
///     }
/// }
/// # let store = Store::<Cluster>::new();
/// # let mut image = Vec::new();
/// # store.snapshot().write_image(&mut image)?;
/// # let copy = Mutex::<Addresses>::default();
/// # let put = |name: &str| {
/// #     let mut txn = store.write().unwrap();
/// #     txn.nodes_mut().insert(Node { name: name.into(), address: "10.0.0.1".into() }).unwrap();
/// #     txn.commit().unwrap();
/// # };
/// # let told = |names: &[&str]| {
/// #     while !copy.lock().unwrap().keys().eq(names) {
/// #         std::thread::yield_now();
/// #     }
/// # };
/// # std::thread::scope(|scope| {
/// #     let mirrored = scope.spawn(|| mirror(&store, &copy));
/// #     put("n1");
/// #     told(&["n1"]);
/// #     put("n2");
/// #     told(&["n1", "n2"]);
/// #     store.rewind(&image[..]).unwrap();
/// #     put("n3");
/// #     told(&["n3"]);
/// #     store.close();
/// #     assert_eq!(mirrored.join().unwrap(), Err(FeedError::Closed));
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a feed tells nothing unless it is read"]
pub struct Feed<E> {
    stream: Stream,
    pick: Pick<E>,
    /// A bookmark comes when so much time has passed without an item.
    idle: Option<Duration>,
    /// Nothing was told yet.
    begun: bool,
    requested: bool,
    /// The position and the time of the last item.
    told: (Position, Instant),
    /// Why it ends, after the last bookmark.
    ended: Option<FeedError>,
    /// That was told, by an iterator or a stream: they end with it.
    done: bool,
    waiting: Option<Wake>,
}

impl<E> fmt::Debug for Feed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl<E> Feed<E> {
    pub(crate) fn new(stream: Stream, pick: Pick<E>) -> Self {
        let told = (stream.position(), Instant::now());
        Feed {
            stream,
            pick,
            idle: None,
            begun: false,
            requested: false,
            told,
            ended: None,
            done: false,
            waiting: None,
        }
    }

    /// Has a [bookmark](FeedItem::Bookmark) told when entries have gone by without an item for so long:
    /// at the first of them after that time. Each entry wakes who waits, also if it changes nothing that
    /// is followed.
    pub fn bookmark_when_idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        // What it waits for may be its part alone.
        self.waiting = None;
        self
    }

    /// Asks for a [bookmark](FeedItem::Bookmark): it comes when all that is published by then was told.
    /// For who reads by [`next`](Self::next) or [`next_async`](Self::next_async), or holds the feed as a
    /// `Stream`; an iterator takes the feed.
    pub fn request_bookmark(&mut self) {
        self.requested = true;
    }

    /// All events up to here have been told: where to resume
    /// ([`Start::After`](crate::Start::After)).
    pub fn position(&self) -> Position {
        self.stream.position()
    }

    /// What is there already, without waiting.
    ///
    /// Why a feed ends is told again however often it is asked.
    pub fn try_next(&mut self) -> Result<Option<FeedItem<E>>, FeedError> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        if !self.begun {
            self.begun = true;
            return Ok(Some(FeedItem::Bookmark(self.position())));
        }
        let item = loop {
            match self.stream.look() {
                // Something else was changed: on to the next.
                Ok(Look::Entry(position, changes)) => {
                    if let Some(event) = (self.pick)(position, changes) {
                        break FeedItem::Event(event);
                    }
                }
                Ok(Look::Restored(position)) => break FeedItem::Restored(position),
                Ok(Look::Nothing) if self.is_bookmark_due() => {
                    self.requested = false;
                    break FeedItem::Bookmark(self.position());
                }
                Ok(Look::Nothing) => return Ok(None),
                Err(error) => {
                    self.ended = Some(error);
                    break FeedItem::Bookmark(self.position());
                }
            }
        };
        self.told = (self.position(), Instant::now());
        Ok(Some(item))
    }

    fn is_bookmark_due(&self) -> bool {
        let (position, time) = self.told;
        self.requested
            || self
                .idle
                .is_some_and(|idle| self.position() != position && time.elapsed() >= idle)
    }

    /// The next item; `Ok(None)` at the deadline.
    pub fn next(&mut self, deadline: Instant) -> Result<Option<FeedItem<E>>, FeedError> {
        self.advance(Some(deadline))
    }

    /// The same; without a deadline there is always an item.
    fn advance(&mut self, deadline: Option<Instant>) -> Result<Option<FeedItem<E>>, FeedError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(item) = self.poll_item(&mut context) {
                return item.map(Some);
            }
            let Some(deadline) = deadline else {
                thread::park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // Nobody waits any more.
                self.waiting = None;
                return self.try_next();
            }
            thread::park_timeout(left);
        }
    }

    /// The next item, on any executor. Dropping the future loses nothing.
    pub async fn next_async(&mut self) -> Result<FeedItem<E>, FeedError> {
        poll_fn(|context| self.poll_item(context)).await
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Result<FeedItem<E>, FeedError>> {
        loop {
            if let Some(item) = self.try_next().transpose() {
                self.waiting = None;
                return Poll::Ready(item);
            }
            // Looked, registered, and looked again, before it waits.
            let Some(wake) = &mut self.waiting else {
                self.waiting = Some(self.stream.wake(self.idle.is_some()));
                continue;
            };
            if Pin::new(wake).poll(context).is_pending() {
                return Poll::Pending;
            }
            self.waiting = None;
        }
    }

    /// Gives all items to a channel, from a thread of their own, until `send` says that nobody receives
    /// any more, or the feed has ended: its last item is then the error. While the channel is full the
    /// thread waits, and nobody else; for so long that the window passes it by, the feed ends.
    ///
    /// Whether the receiver is gone is found out with the next item.
    ///
    /// Errors: the operating system gives no thread.
    ///
    /// ```
    /// # use highwater::{Schema, Start, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # struct Node { #[primary_key] name: String }
    /// # #[derive(Schema)]
    /// # struct Cluster { nodes: Node }
    /// # let store = Store::<Cluster>::new();
    /// let (sender, receiver) = crossbeam_channel::bounded(64);
    /// store.feed(Start::Now)?.send_with(move |item| sender.send(item).is_ok())?;
    /// store.close();
    /// assert!(receiver.iter().last().is_some_and(|item| item.is_err()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_with(
        self,
        mut send: impl FnMut(Result<FeedItem<E>, FeedError>) -> bool + Send + 'static,
    ) -> std::io::Result<()>
    where
        E: Send + 'static,
    {
        let send = move || {
            self.into_iter().all(&mut send);
        };
        std::thread::Builder::new()
            .name("highwater-feed".to_owned())
            .spawn(send)
            .map(drop)
    }
}

impl<T: Table> Feed<TableEvent<T>> {
    /// Tells of those changes only for which `which` is true, and of entries that have one.
    ///
    /// It is asked with the record before and after: who follows the records of which something holds
    /// wants the change in which that ends, too.
    pub fn filter(mut self, mut which: impl FnMut(Change<'_, T>) -> bool + Send + 'static) -> Self {
        let mut pick = self.pick;
        self.pick = Box::new(move |position, changes| {
            let mut event = pick(position, changes)?;
            event.changes.retain(|change| {
                which(Change {
                    before: change.before.as_ref(),
                    after: change.after.as_ref(),
                })
            });
            (!event.changes.is_empty()).then_some(event)
        });
        self
    }
}

/// Picks, of one table, the changes of records that are, or were, within what is followed.
pub(crate) fn changes_within<T: Table>(
    table: usize,
    mut within: impl FnMut(&T) -> bool + Send + 'static,
) -> Pick<TableEvent<T>> {
    Box::new(move |position, changes| {
        let mut picked = Vec::new();
        for Change { before, after } in changes.table::<T>(table) {
            if before.into_iter().chain(after).any(|row| within(row)) {
                picked.push(Replaced {
                    before: before.cloned(),
                    after: after.cloned(),
                });
            }
        }
        (!picked.is_empty()).then_some(TableEvent {
            position,
            changes: picked,
        })
    })
}

/// Wakes a thread.
struct Unpark(Thread);

impl Waking for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The items of a [`Feed`], each waited for; the last one is the error with which it ends.
#[derive(Debug)]
#[must_use = "iterators do nothing unless they are used"]
pub struct FeedIter<E>(Feed<E>);

impl<E> Iterator for FeedIter<E> {
    type Item = Result<FeedItem<E>, FeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        let feed = &mut self.0;
        if feed.done {
            return None;
        }
        let item = feed.advance(None).transpose()?;
        feed.done = item.is_err();
        Some(item)
    }
}

impl<E> std::iter::FusedIterator for FeedIter<E> {}

impl<E> IntoIterator for Feed<E> {
    type Item = Result<FeedItem<E>, FeedError>;
    type IntoIter = FeedIter<E>;

    fn into_iter(self) -> FeedIter<E> {
        FeedIter(self)
    }
}

/// The items; after an error there are no more. It spawns nothing and needs no timer.
#[cfg(feature = "stream")]
impl<E> futures_core::Stream for Feed<E> {
    type Item = Result<FeedItem<E>, FeedError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        self.poll_item(context).map(|item| {
            self.done = item.is_err();
            Some(item)
        })
    }
}
