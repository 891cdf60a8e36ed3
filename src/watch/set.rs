//! Many watches as one: [`WatchSet`].

use super::handle::Watch;
use super::region::MAX_REGIONS;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// Watches of one store that are waited for together: it fires when the first of them does.
///
/// However many they are, they cost one signal: one thread or task waits, and is woken once. Like a
/// [`Watch`] it fires once and stays fired; to go on, begin a new set. Adding a watch that has fired
/// fires it.
///
/// A set of more than so many parts that were read separately (4096, or
/// [`with_bound`](Self::with_bound)) makes itself coarser: what lies closest together is joined to the
/// prefix that it has in common, until there are half as many. From then on it may fire for a key
/// of such a prefix that was not read; never is one missed that was.
///
/// ```
/// use highwater::{Schema, Store, Table, WatchSet};
/// use serde::{Deserialize, Serialize};
/// use std::time::Instant;
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// struct Node {
///     #[primary_key]
///     name: String,
/// }
///
/// #[derive(Schema)]
/// struct Cluster {
///     nodes: Node,
/// }
///
/// let store = Store::<Cluster>::new();
/// let mut set = WatchSet::new();
/// for name in ["n1", "n2", "n3"] {
///     let (answer, watch) = store.watch(|db| db.nodes().contains(name));
///     assert!(!answer.value);
///     set.add(watch);
/// }
/// assert!(!set.wait(Instant::now()));
///
/// let mut txn = store.write()?;
/// txn.nodes_mut().insert(Node { name: "n2".into() })?;
/// txn.commit()?;
/// assert!(set.has_fired());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a set that is dropped waits for nothing"]
pub struct WatchSet {
    /// All that was added, as one watch.
    all: Option<Watch>,
    /// How many parts it has, at most: those that have fired count.
    parts: usize,
    bound: usize,
}

impl WatchSet {
    /// An empty one, which never fires.
    pub fn new() -> Self {
        WatchSet::with_bound(MAX_REGIONS)
    }

    /// The same, coarser beyond so many parts (at least two; but one for each table and index is
    /// always kept apart). Each part takes about 70 bytes and its key.
    pub fn with_bound(bound: usize) -> Self {
        WatchSet {
            all: None,
            parts: 0,
            bound: bound.max(2),
        }
    }

    /// Adds a watch. Takes time for the parts it has; over many, a logarithm more for becoming
    /// coarser.
    ///
    /// # Panics
    ///
    /// If it is a watch of another store than those added before.
    pub fn add(&mut self, watch: Watch) {
        let parts = watch.parts();
        match &self.all {
            None => self.all = Some(watch),
            Some(all) => {
                assert!(
                    Arc::ptr_eq(&all.watches, &watch.watches),
                    "the watches of a set are of one store"
                );
                all.watches.join(&watch.shared, &all.shared);
            }
        }
        self.parts += parts;
        if let Some(all) = &self.all
            && self.parts > self.bound
        {
            self.parts = all.watches.coarsen(&all.shared, self.bound);
        }
    }

    /// Whether one of them has fired. Never goes back to false.
    pub fn has_fired(&self) -> bool {
        self.all.as_ref().is_some_and(Watch::has_fired)
    }

    /// Blocks the thread until one of them fires or the deadline passes; says whether one has fired.
    pub fn wait(&self, deadline: Instant) -> bool {
        if let Some(all) = &self.all {
            return all.wait(deadline);
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left);
        }
    }
}

impl Default for WatchSet {
    fn default() -> Self {
        WatchSet::new()
    }
}

impl Extend<Watch> for WatchSet {
    fn extend<I: IntoIterator<Item = Watch>>(&mut self, watches: I) {
        watches.into_iter().for_each(|watch| self.add(watch));
    }
}

impl FromIterator<Watch> for WatchSet {
    fn from_iter<I: IntoIterator<Item = Watch>>(watches: I) -> Self {
        let mut set = WatchSet::new();
        set.extend(watches);
        set
    }
}

impl Future for WatchSet {
    type Output = ();

    /// Ready once one of them has fired, and again whenever it is polled after that.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.get_mut().all {
            Some(all) => Pin::new(all).poll(context),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for WatchSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchSet")
            .field("parts", &self.parts)
            .field("fired", &self.has_fired())
            .finish_non_exhaustive()
    }
}
