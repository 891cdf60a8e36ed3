//! What a waiter holds: [`Watch`] and [`IndexWaiter`].
use super::Watches;
use super::index::Wanted;
use super::signal::Signal;
use crate::position::Position;
use smallvec::SmallVec;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// A one-shot signal that something a query read has changed.
///
/// It fires once, at the first commit that changes what it covers (or at a restore, or when the
/// store closes or halts), and stays fired: whether anybody waited at that moment makes no
/// difference. Wait for it with [`Watch::wait`], or `.await` it on any executor; awaiting it by
/// reference (`(&mut watch).await`) keeps it.
///
/// An unfired watch costs no thread, no task and holds no version of the data: about 180 bytes
/// if it covers one key. Dropping it frees that, in time logarithmic in the number of watches.
///
/// It says *that* something has changed, not what: take a new snapshot, read again, and watch
/// again. [`Store::blocking_query`](crate::Store::blocking_query) does all of that. Several are waited
/// for together in a [`WatchSet`](crate::WatchSet).
///
/// A query that read more than 4096 separate parts watches prefixes that those have in common: what
/// lies closest together is joined first, until there are 2048 parts. Such a watch may fire for a key
/// that was not read; it never misses one that was.
#[must_use = "a watch that is dropped waits for nothing"]
pub struct Watch {
    pub(super) shared: Arc<Shared>,
    pub(super) watches: Arc<Watches>,
}

impl Watch {
    /// Fires it, if it has not fired.
    pub(crate) fn fire(&self) {
        self.watches.fire(vec![Arc::clone(&self.shared)]);
    }

    /// How many parts of trees it covers; none if it has fired.
    pub(super) fn parts(&self) -> usize {
        self.shared.signal.beside(|filing| filing.parts())
    }

    /// Whether it has fired. Never goes back to false.
    pub fn has_fired(&self) -> bool {
        self.shared.signal.has_fired()
    }

    /// Blocks the thread until it fires or the deadline passes; says whether it has fired.
    ///
    /// Any number of threads may wait for one watch.
    pub fn wait(&self, deadline: Instant) -> bool {
        self.shared.signal.wait(deadline)
    }
}

impl Future for Watch {
    type Output = ();

    /// Ready once it has fired, and again whenever it is polled after that.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.shared.signal.poll(context)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.signal.forget_task();
        self.watches.withdraw(&self.shared);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("fired", &self.has_fired())
            .finish_non_exhaustive()
    }
}

/// What the handle of a watch and its members in the registries share.
pub(super) struct Shared {
    pub(super) signal: Signal<Filing>,
}

/// A member of a tree's registry.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) tree: u32,
    pub(super) member: u32,
}

/// In the order of their trees, at first; what is added later follows.
pub(super) type Places = SmallVec<[Place; 2]>;

/// Where a watch is filed. Who moves it from `Filed` takes the members out, or files them again, and
/// nobody else does: their numbers stay theirs until then.
pub(super) enum Filing {
    /// Being registered; the members are known to who registers alone.
    Begun,
    /// Most watches have one place, which so takes no memory of its own.
    One(Place),
    #[expect(
        clippy::box_collection,
        reason = "a watch is as large as its largest variant, and there are a great many of one place"
    )]
    Many(Box<Vec<Place>>),
    Withdrawn,
}

impl Filing {
    fn of(places: Places) -> Self {
        match places[..] {
            [place] => Filing::One(place),
            _ => Filing::Many(Box::new(places.into_vec())),
        }
    }

    fn parts(&self) -> usize {
        match self {
            Filing::Begun | Filing::Withdrawn => 0,
            Filing::One(_) => 1,
            Filing::Many(places) => places.len(),
        }
    }

    fn into_places(self) -> Option<Places> {
        match self {
            Filing::Begun | Filing::Withdrawn => None,
            Filing::One(place) => Some(Places::from_elem(place, 1)),
            Filing::Many(places) => Some(Places::from_vec(*places)),
        }
    }
}

impl Shared {
    pub(super) fn new() -> Self {
        Shared {
            signal: Signal::with(Filing::Begun),
        }
    }

    /// Ends the registration. If the watch was withdrawn meanwhile the places are given back, for
    /// the caller to take the members out.
    pub(super) fn file(&self, places: Places) -> Result<(), Places> {
        self.signal.beside(|filing| match filing {
            Filing::Begun => {
                *filing = Filing::of(places);
                Ok(())
            }
            Filing::One(_) | Filing::Many(_) | Filing::Withdrawn => Err(places),
        })
    }

    /// Goes back to being registered: the places of a filed watch, for the caller to file again.
    pub(super) fn reopen(&self) -> Option<Places> {
        self.signal.beside(|filing| {
            let places = std::mem::replace(filing, Filing::Withdrawn).into_places()?;
            *filing = Filing::Begun;
            Some(places)
        })
    }

    /// The places of a filed watch, for the caller to take the members out. Returned once.
    pub(super) fn withdraw(&self) -> Option<Places> {
        self.signal
            .beside(|filing| std::mem::replace(filing, Filing::Withdrawn))
            .into_places()
    }
}

/// A one-shot signal that a log index was reached, or that its history or the store has ended.
/// It may be a false alarm: who is woken looks at the newest position.
pub(crate) struct IndexWaiter {
    pub(super) signal: Arc<Signal>,
    /// `None`: it was never filed, because the store has ended.
    pub(super) wanted: Option<Wanted>,
    pub(super) watches: Arc<Watches>,
}

impl IndexWaiter {
    /// Blocks the thread until it fires or the deadline passes; says whether it has fired.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        self.signal.wait(deadline)
    }
}

impl Future for IndexWaiter {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.signal.poll(context)
    }
}

impl Drop for IndexWaiter {
    fn drop(&mut self) {
        self.signal.forget_task();
        if let Some(wanted) = self.wanted {
            self.watches.withdraw_index(wanted);
        }
    }
}

impl fmt::Debug for IndexWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = self
            .wanted
            .map(|(history, index, _)| Position { history, index });
        f.debug_struct("IndexWaiter")
            .field("wanted", &wanted)
            .field("fired", &self.signal.has_fired())
            .finish_non_exhaustive()
    }
}
