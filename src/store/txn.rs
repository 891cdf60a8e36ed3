//! The write transaction: entries, savepoints, commit.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use smallvec::SmallVec;

use super::core::{Core, Root, Tables};
use super::error::{CommitError, WriteError};
use super::fork::Origin;
use super::operate::Scratch;
use super::view::{RawView, Schema, View};
use crate::feed::{ChangeLog, ChangeSet, Mark, RawChanges};
use crate::position::{LogIndex, Position};
use crate::session::Kept;
use crate::sync::this_thread;
use crate::version::{Edition, Version};
use crate::watch::ChangedKeys;

/// What `write_at` says.
#[must_use = "an entry that is to be applied comes with its transaction, which is gone if it is not kept"]
pub enum Turn<S: Schema> {
    /// The entry is to be applied, in this transaction.
    Apply(WriteTxn<S>),
    /// The entry has been applied before; it is not to be executed again.
    AlreadyApplied {
        /// The log index that is applied.
        applied: LogIndex,
    },
}

impl<S: Schema> fmt::Debug for Turn<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Turn::Apply(txn) => f.debug_tuple("Apply").field(txn).finish(),
            Turn::AlreadyApplied { applied } => f
                .debug_struct("AlreadyApplied")
                .field("applied", applied)
                .finish(),
        }
    }
}

/// A point of a transaction to come back to. It belongs to the entry in which it was made.
///
/// One that is dropped without being used changes nothing.
#[derive(Debug)]
pub struct Savepoint(u64);

/// Savepoints are told apart over all transactions, so that one is never taken for another's.
static SAVEPOINTS: AtomicU64 = AtomicU64::new(0);

/// A savepoint's state.
#[derive(Debug)]
struct Point {
    id: u64,
    mark: Mark,
    told: Mark,
    driver: Option<Arc<[u8]>>,
    hooks: usize,
}

/// What is to be done after the commit, with its index.
type Hook = Box<dyn FnOnce(LogIndex) + Send>;

/// All there is of a write transaction. The order of the fields is that in which they are dropped:
/// rows after the writer's slot is free.
pub(crate) struct Txn {
    pub(super) edition: Edition<Root>,
    pub(super) core: Arc<Core>,
    /// The thread that wrote in it last.
    thread: u64,
    /// The index of the entry that is being written.
    pub(super) index: LogIndex,
    /// Begun by `write()`: the index is used only if something changed.
    counted: bool,
    pub(super) log: ChangeLog,
    /// What of it derived tables were told.
    pub(super) told: Mark,
    /// The change sets of the entries ended.
    sets: SmallVec<[Arc<ChangeSet>; 1]>,
    savepoints: Vec<Point>,
    /// The driver's bytes, if they were set.
    driver: Option<Arc<[u8]>>,
    /// The log's clock and sessions, if they were set.
    kept: Option<Arc<Kept>>,
    /// Run after the commit. The mutex is never locked: it makes the transaction `Sync`.
    hooks: Mutex<Vec<Hook>>,
    /// The entries were applied in an earlier run, or are only tried in a fork: hooks are not kept.
    replay: bool,
    /// Operations undone; their rows are dropped at the end.
    undone: Vec<Box<dyn Any + Send + Sync>>,
    pub(super) scratch: Box<Scratch>,
}

impl fmt::Debug for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Txn")
            .field("index", &self.index)
            .field("savepoints", &self.savepoints.len())
            .finish_non_exhaustive()
    }
}

impl Txn {
    pub(super) fn begin(
        core: &Arc<Core>,
        edition: Edition<Root>,
        index: LogIndex,
        counted: bool,
    ) -> Box<Self> {
        Box::new(Txn {
            edition,
            core: Arc::clone(core),
            thread: this_thread(),
            index,
            counted,
            log: ChangeLog::default(),
            told: Mark::new(),
            sets: SmallVec::new(),
            savepoints: Vec::new(),
            driver: None,
            kept: None,
            hooks: Mutex::new(Vec::new()),
            replay: core.forked,
            undone: Vec::new(),
            scratch: core.take_scratch(),
        })
    }

    /// Notes that it was handed to another thread, if it was.
    fn is_here(&mut self) {
        let thread = this_thread();
        if self.thread != thread {
            self.thread = thread;
            self.edition.hand_over();
        }
    }

    /// How many threads one operation may use.
    pub(super) fn threads(&self) -> usize {
        self.core.threads
    }

    /// Whether the next entry can be this one.
    fn can_follow(&self, index: LogIndex) -> Result<(), CommitError> {
        if let Some(ended) = self.core.watches.ended() {
            return Err(ended.into());
        }
        let last = self.index;
        if index <= last {
            return Err(CommitError::IndexNotHigher { given: index, last });
        }
        Ok(())
    }

    /// What is derived is written already.
    fn next_entry(&mut self, index: LogIndex) -> Result<(), CommitError> {
        self.check_rules()?;
        self.release_to(0);
        self.end_entry();
        self.index = index;
        self.counted = false;
        Ok(())
    }

    fn end_entry(&mut self) {
        self.told.clear();
        self.sets.extend(self.log.finish(self.index));
    }

    pub(super) fn savepoint(&mut self) -> Savepoint {
        self.edition.savepoint();
        let id = SAVEPOINTS.fetch_add(1, Ordering::Relaxed);
        let hooks = self.hooks().len();
        self.savepoints.push(Point {
            id,
            mark: self.log.mark(),
            told: self.told.clone(),
            driver: self.driver.clone(),
            hooks,
        });
        Savepoint(id)
    }

    /// What has been written so far. Of a line that is no log's: nobody can say that this will be in one.
    pub(super) fn snapshot(&mut self) -> Version<Root> {
        let base = self.edition.base().payload();
        let (position, origin) = Origin::begin(base.position, base.origin.clone());
        let root = Root {
            position: Position {
                index: self.index,
                ..position
            },
            origin,
            published: Instant::now(),
            window: base.window.stripped(),
            driver: self.driver.clone().or_else(|| base.driver.clone()),
            kept: self.kept.clone().or_else(|| base.kept.clone()),
            ..*base
        };
        // A root without a window holds nothing of the user's: what is forgotten can go here.
        let (version, _forgotten) = self.edition.snapshot(root);
        version
    }

    /// How many savepoints there are.
    pub(super) fn savepoints(&self) -> usize {
        self.savepoints.len()
    }

    /// The edition, and the rows that were replaced on the way to it.
    pub(super) fn into_parts(self: Box<Self>) -> (Edition<Root>, impl Sized) {
        let Txn {
            edition,
            log,
            undone,
            core,
            scratch,
            ..
        } = *self;
        core.keep_scratch(scratch);
        (edition, (log, undone))
    }

    fn hooks(&mut self) -> &mut Vec<Hook> {
        self.hooks.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many savepoints are older than this one.
    fn depth(&self, id: u64) -> Option<usize> {
        self.savepoints.iter().rposition(|point| point.id == id)
    }

    pub(super) fn roll_back_to(&mut self, depth: usize) {
        while self.savepoints.len() > depth {
            let Some(point) = self.savepoints.pop() else {
                return;
            };
            self.edition.rollback();
            self.undone.extend(self.log.back_to(&point.mark));
            self.told = point.told;
            self.driver = point.driver;
            // What hooks hold is dropped at the end, as rows are.
            let undone: Vec<Hook> = self.hooks().split_off(point.hooks);
            if !undone.is_empty() {
                self.undone.push(Box::new(Mutex::new(undone)));
            }
        }
    }

    pub(super) fn release_to(&mut self, depth: usize) {
        self.edition
            .release(self.savepoints.len().saturating_sub(depth));
        self.savepoints.truncate(depth);
    }

    /// What is derived is written already.
    fn commit(mut self: Box<Self>) -> Result<LogIndex, CommitError> {
        // The last user code: if it panics, the transaction is dropped as it is.
        self.check_rules()?;
        self.end_entry();
        let hooks = std::mem::take(self.hooks());
        let base = self.edition.base().payload();
        let unchanged = self.sets.is_empty() && self.driver.is_none() && self.kept.is_none();
        if self.counted && unchanged {
            let index = base.position.index;
            drop(self);
            run(hooks, index);
            return Ok(index);
        }
        let index = self.index;
        let position = Position {
            history: base.position.history,
            index,
        };
        let number = base.number + 1;
        let (restored, line, origin) = (base.restored, base.line, base.origin.clone());
        let mut window = base.window.clone();
        for set in &self.sets {
            window = window.append(Arc::clone(set));
        }
        let pushed = window.was_pushed_since(&base.window);
        let driver = self.driver.take().or_else(|| base.driver.clone());
        let kept = self.kept.take().or_else(|| base.kept.clone());
        let Txn {
            edition,
            core,
            sets,
            log,
            undone,
            scratch,
            ..
        } = *self;
        let root = Root {
            number,
            restored,
            line,
            position,
            origin,
            published: Instant::now(),
            window,
            driver,
            kept,
        };
        let trash = core.publish(edition, root);
        announce(&core, number, position, &sets, pushed);
        core.keep_scratch(scratch);
        // From here on destructors of rows run; the store is in order and no lock is held.
        drop((trash, sets, log, undone));
        run(hooks, index);
        Ok(index)
    }
}

/// Runs hooks in the order they were given, each by itself: a panic ends only the one it is in.
fn run(hooks: Vec<Hook>, index: LogIndex) {
    for hook in hooks {
        // Whoever wants to know has a panic hook; the commit is done.
        drop(catch_unwind(AssertUnwindSafe(|| hook(index))));
    }
}

/// Tells the waiters what a commit changed. After publishing, outside every lock.
fn announce(core: &Core, number: u64, position: Position, sets: &[Arc<ChangeSet>], pushed: bool) {
    let changed = Published {
        number,
        pushed,
        tables: &core.tables,
        sets,
        failed: Cell::new(false),
    };
    core.watches.published(position, &changed);
    if changed.failed.get() {
        // What a table's key functions would not say again may be anything.
        core.watches.restored();
    }
}

/// The changed keys of a commit.
struct Published<'a> {
    number: u64,
    pushed: bool,
    tables: &'a Tables,
    sets: &'a [Arc<ChangeSet>],
    /// A key function panicked.
    failed: Cell<bool>,
}

impl ChangedKeys for Published<'_> {
    fn version(&self) -> u64 {
        self.number
    }

    fn pushes_others_out(&self) -> bool {
        self.pushed
    }

    fn for_each(&self, tree: usize, f: &mut dyn FnMut(&[u8])) {
        let (table, which) = self.tables.of_tree(tree);
        for set in self.sets {
            let Some(changes) = set.table(table) else {
                continue;
            };
            let keys = || self.tables[table].changed_keys(changes, which, f);
            if catch_unwind(AssertUnwindSafe(keys)).is_err() {
                self.failed.set(true);
            }
        }
    }
}

/// The one write transaction. Derefs to the generated view; reads see its own writes.
///
/// It is `Send`. Dropped without [`commit`](Self::commit), or unwound by a panic, it leaves
/// nothing behind in the store. While there is one, other writers wait; on the thread that wrote in it
/// last they are refused, because it would wait for itself ([`StoreError::Nested`](crate::StoreError::Nested)).
#[must_use = "a transaction that is not committed leaves nothing behind"]
pub struct WriteTxn<S: Schema> {
    view: S::View,
}

impl<S: Schema> Deref for WriteTxn<S> {
    type Target = S::View;

    fn deref(&self) -> &S::View {
        &self.view
    }
}

impl<S: Schema> DerefMut for WriteTxn<S> {
    fn deref_mut(&mut self) -> &mut S::View {
        self.txn_mut().is_here();
        &mut self.view
    }
}

impl<S: Schema> fmt::Debug for WriteTxn<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteTxn")
            .field("index", &self.index())
            .finish_non_exhaustive()
    }
}

impl<S: Schema> WriteTxn<S> {
    pub(super) fn new(txn: Box<Txn>) -> Self {
        WriteTxn {
            view: S::View::from_raw(RawView::writing(txn)),
        }
    }

    pub(super) fn txn(&self) -> &Txn {
        self.view.raw().txn()
    }

    pub(super) fn txn_mut(&mut self) -> &mut Txn {
        self.view.raw_mut().txn_mut()
    }

    /// The index of the entry it writes now: what records get as their modify index.
    pub fn index(&self) -> LogIndex {
        self.txn().index
    }

    /// The driver's own bytes as this transaction has them.
    pub fn driver_state(&self) -> Option<&[u8]> {
        let txn = self.txn();
        txn.driver
            .as_deref()
            .or(txn.edition.base().payload().driver.as_deref())
    }

    /// Ends the current entry and begins the next, to be published with the same commit (a batch).
    /// Savepoints made so far are released: an entry that has ended is not undone. On an error the
    /// current entry goes on: also if it has broken a rule of the schema.
    pub fn next_entry(&mut self, index: LogIndex) -> Result<(), CommitError> {
        self.txn().can_follow(index)?;
        self.derive_together()?;
        self.txn_mut().next_entry(index)
    }

    /// Writes what is derived of the current entry so far, all or nothing.
    pub(super) fn derive_together(&mut self) -> Result<(), WriteError> {
        self.view.raw_mut().derive_together()
    }

    /// Sets the driver's own bytes (a term, a membership), published with the commit.
    pub fn set_driver_state(&mut self, bytes: Vec<u8>) {
        self.txn_mut().driver = Some(bytes.into());
    }

    /// The log's clock and sessions, as of the version the transaction began from.
    pub(crate) fn kept(&self) -> Kept {
        let kept = &self.txn().edition.base().payload().kept;
        kept.as_deref().cloned().unwrap_or_default()
    }

    /// Sets them, published with the commit. Savepoints do not cover them.
    pub(crate) fn set_kept(&mut self, kept: Kept) {
        self.txn_mut().kept = Some(Arc::new(kept));
    }

    /// Makes a point to come back to. They nest. Where what is to be undone is the work of one function,
    /// [`attempt`](Self::attempt) does it. Cost: O(number of tables touched), and what is
    /// edited after it is copied once more.
    ///
    /// ```
    /// # use highwater::{Schema, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # pub struct Node { #[primary_key] pub name: String }
    /// # #[derive(Schema)]
    /// # pub struct Cluster { nodes: Node }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Cluster>::new();
    /// let mut txn = store.write()?;
    /// txn.nodes_mut().insert(Node { name: "n1".into() })?;
    /// let before = txn.savepoint();
    /// txn.nodes_mut().delete("n1")?;
    /// txn.rollback_to(before);
    /// assert!(txn.nodes().contains("n1"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn savepoint(&mut self) -> Savepoint {
        self.txn_mut().savepoint()
    }

    /// How many savepoints are older than this one, which must be there.
    fn depth(&self, savepoint: &Savepoint) -> usize {
        self.txn().depth(savepoint.0).expect(
            "the savepoint is gone, or of another transaction: an older one was rolled back to or released, \
             or its entry has ended",
        )
    }

    /// Undoes everything since the savepoint, newer savepoints included.
    ///
    /// # Panics
    ///
    /// If the savepoint is not of this transaction, or is gone: an older one was rolled back to or
    /// released, or its entry has ended.
    #[expect(clippy::needless_pass_by_value, reason = "a savepoint is used once")]
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        let depth = self.depth(&savepoint);
        self.txn_mut().roll_back_to(depth);
    }

    /// Gives the savepoint and newer ones up; what was done since stays.
    ///
    /// # Panics
    ///
    /// As [`rollback_to`](Self::rollback_to).
    #[expect(clippy::needless_pass_by_value, reason = "a savepoint is used once")]
    pub fn release(&mut self, savepoint: Savepoint) {
        let depth = self.depth(&savepoint);
        self.txn_mut().release_to(depth);
    }

    /// Runs `f`; what it did is undone if it returns an error, or panics.
    ///
    /// ```
    /// # use highwater::{Schema, Store, Table, WriteError, WriteTxn};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # pub struct Node { #[primary_key] pub name: String }
    /// # #[derive(Schema)]
    /// # pub struct Cluster { nodes: Node }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Cluster>::new();
    /// let mut txn = store.write()?;
    /// txn.nodes_mut().insert(Node { name: "n1".into() })?;
    /// let renamed = txn.attempt(|txn| {
    ///     txn.nodes_mut().delete("n1")?;
    ///     txn.nodes_mut().update(Node { name: "n2".into() })?;
    ///     Ok::<_, WriteError>(())
    /// });
    /// assert!(matches!(renamed, Err(WriteError::NotFound { .. })));
    /// assert!(txn.nodes().contains("n1"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn attempt<R, E>(&mut self, f: impl FnOnce(&mut Self) -> Result<R, E>) -> Result<R, E> {
        let mut attempt = Attempt::begin(self);
        let result = f(attempt.holder);
        attempt.keep = result.is_ok();
        result
    }

    /// The net changes of the current entry so far, in all tables: what the feed would tell of it.
    /// A copy: it does not follow later writes. What is derived of them is written at the entry's end, or
    /// before a [`snapshot`](Self::snapshot).
    /// Cost: O(changes).
    pub fn changes(&self) -> S::Changes {
        let txn = self.txn();
        RawChanges::new(txn.log.so_far(txn.index)).into()
    }

    /// Tests the references and checks of the schema on what the current entry has changed so far, as
    /// its end does: to find out while it can still be rolled back.
    pub fn check_rules(&self) -> Result<(), WriteError> {
        self.txn().check_rules()
    }

    /// Does what the end of the current entry would: writes what is derived, and tests the rules. On an
    /// error a part of it may be done.
    pub(crate) fn conclude(&mut self) -> Result<(), WriteError> {
        self.view.raw_mut().derive()?;
        self.check_rules()
    }

    /// Has `hook` run after the commit, with the commit's index, unless the transaction is dropped
    /// or rolled back to before. Hooks run in the order they were given, on the committing thread,
    /// after waiters were woken and the writer's slot is free, so that a snapshot has the commit in
    /// it, and may have later ones.
    ///
    /// They are for effects outside the store (a metric, a message to a thread), not for its state:
    /// when a log is replayed, or something is tried in a fork, they do not run. One that panics ends
    /// itself alone, as a thread does.
    pub fn after_commit(&mut self, hook: impl FnOnce(LogIndex) + Send + 'static) {
        let txn = self.txn_mut();
        if !txn.replay {
            txn.hooks().push(Box::new(hook));
        }
    }

    /// Says that the entries were applied in an earlier run: no hooks run.
    pub(crate) fn set_replay(&mut self) {
        self.txn_mut().replay = true;
    }

    /// Publishes all entries at once and returns the index of the last.
    ///
    /// A transaction of `write()` that changed nothing publishes nothing and uses no index; it
    /// returns the index that is applied. On an error the transaction is gone and the store is
    /// unchanged: also if the last entry has broken a rule of the schema
    /// ([`CommitError::RuleBroken`]).
    pub fn commit(self) -> Result<LogIndex, CommitError> {
        if let Some(ended) = self.txn().core.watches.ended() {
            return Err(ended.into());
        }
        let mut view = self.view.into_raw();
        view.derive()?;
        view.into_txn().commit()
    }
}

/// What a transaction is reached through.
pub(super) trait Holder {
    fn held(&mut self) -> &mut Txn;
}

impl<S: Schema> Holder for WriteTxn<S> {
    fn held(&mut self) -> &mut Txn {
        self.txn_mut()
    }
}

impl Holder for RawView {
    fn held(&mut self) -> &mut Txn {
        self.txn_mut()
    }
}

/// Ends an attempt, also when it is unwound: what was done since it began is undone, unless it is
/// to be kept.
pub(super) struct Attempt<'a, H: Holder> {
    pub(super) holder: &'a mut H,
    savepoint: Savepoint,
    pub(super) keep: bool,
}

impl<'a, H: Holder> Attempt<'a, H> {
    pub(super) fn begin(holder: &'a mut H) -> Self {
        let savepoint = holder.held().savepoint();
        Attempt {
            holder,
            savepoint,
            keep: false,
        }
    }
}

impl<H: Holder> Drop for Attempt<'_, H> {
    fn drop(&mut self) {
        let txn = self.holder.held();
        // Gone if the closure ended the entry; nothing is left to undo or to keep then.
        if let Some(depth) = txn.depth(self.savepoint.0) {
            if self.keep {
                txn.release_to(depth);
            } else {
                txn.roll_back_to(depth);
            }
        }
    }
}
