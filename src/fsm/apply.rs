//! A batch: entries that are applied in order and published together.

use super::Command;
use super::codec::{self, Content, Proposal, Stamp};
use super::entry::{Body, Context, LogEntry};
use crate::image::msgpack;
use crate::position::LogIndex;
use crate::session::{Answer, Kept, Known, Moment, SessionError, SessionId};
use crate::store::{CommitError, Schema, Store, StoreError, Turn, WriteTxn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Consecutive entries of a log, to be applied to a store with one publish: what a driver does with
/// what its log has committed.
///
/// ```
/// use highwater::fsm::{Batch, Command, Context, LogEntry, Outcome, Proposal};
/// use highwater::{LogIndex, Schema, Store, Table, WriteError, WriteTxn};
/// use serde::{Deserialize, Serialize};
/// use std::time::SystemTime;
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// struct Lock {
///     #[primary_key]
///     name: String,
///     holder: String,
/// }
///
/// #[derive(Schema)]
/// struct Locks {
///     locks: Lock,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Acquire {
///     name: String,
///     holder: String,
/// }
///
/// impl Command<Locks> for Acquire {
///     type Reply = ();
///     type Error = WriteError;
///
///     fn apply(self, _: &Context, txn: &mut WriteTxn<Locks>) -> Result<(), WriteError> {
///         let Acquire { name, holder } = self;
///         txn.locks_mut().insert(Lock { name, holder })
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The leader makes bytes of a command, with the time and a seed; the log carries them.
/// let command = Acquire { name: "deploy".into(), holder: "n1".into() };
/// let proposal = Proposal::new(&command, SystemTime::now(), 42)?;
///
/// // Each replica applies what was committed: here the same command twice.
/// let store = Store::<Locks>::new();
/// let entry = |index| LogEntry::<Acquire>::from_bytes(LogIndex(index), proposal.bytes().to_vec());
/// let applied = Batch::new(vec![entry(1), entry(2)]).apply(&store);
/// assert!(applied.halted.is_none());
/// assert!(matches!(
///     &applied.outcomes[..],
///     [Outcome::Done(Ok(())), Outcome::Done(Err(WriteError::AlreadyExists { .. }))]
/// ));
/// // A command that was rejected has used its index all the same.
/// assert_eq!(store.snapshot().index(), LogIndex(2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a batch does nothing until it is applied"]
pub struct Batch<C> {
    entries: Vec<LogEntry<C>>,
    driver: Option<Vec<u8>>,
    dense: bool,
    replayed: bool,
}

impl<C> Batch<C> {
    /// Entries in the order of the log. Gaps between their indexes are fine, unless
    /// [`dense`](Self::dense) says otherwise.
    pub fn new(entries: Vec<LogEntry<C>>) -> Self {
        Batch {
            entries,
            driver: None,
            dense: false,
            replayed: false,
        }
    }

    #[cfg(any(feature = "openraft", feature = "openraft-next"))]
    pub(crate) fn indexes(&self) -> impl Iterator<Item = LogIndex> {
        self.entries.iter().map(LogEntry::index)
    }

    /// For a driver that sees every entry of its log: an index that is not the one after the last
    /// halts the store, because something between the two was lost.
    pub fn dense(mut self) -> Self {
        self.dense = true;
        self
    }

    /// For a driver that applies again what it had applied in an earlier run: what commands have
    /// asked to be done after the commit ([`WriteTxn::after_commit`]) is not done.
    pub fn replayed(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// What the driver wants stored with this batch, in the same commit and so in every image: the
    /// term and membership of a consensus protocol, say. Kept until a later batch gives another;
    /// read back with [`Snapshot::driver_state`](crate::Snapshot::driver_state). Not stored if the
    /// batch halts.
    pub fn driver_state(mut self, bytes: Vec<u8>) -> Self {
        self.driver = Some(bytes);
        self
    }

    /// Applies the entries: each with its own index, stamps and rollback, all published at once.
    ///
    /// Entries at or below the store's mark were applied before: they are skipped, whatever they
    /// hold. An entry that cannot be applied halts the store, with the entries before it
    /// published. Refused, with nothing applied and nothing halted, are the store of a driver and a thread
    /// that has a transaction of the store open: it would wait for itself.
    ///
    /// Waits for the store's write slot. Blocks for as long as the commands take.
    pub fn apply<S: Schema>(self, store: &Store<S>) -> Applied<C::Reply, C::Error>
    where
        C: Command<S>,
    {
        let refused = store.may_write().and_then(|()| store.not_nested());
        if let Err(error @ (StoreError::Driven { .. } | StoreError::Nested)) = refused {
            // Another's store is none to halt, nor is one for what this thread has left open.
            let index = self.entries.first().map_or(LogIndex::ZERO, LogEntry::index);
            return Applied {
                outcomes: Vec::new(),
                halted: Some(store_halt(index, &error)),
            };
        }
        let mut items: Vec<Item<C>> = self.entries.into_iter().map(Item::new).collect();
        let mut driver = self.driver;
        let mut failed = None;
        let applied = loop {
            match run(
                store,
                &mut items,
                driver.as_deref(),
                self.dense,
                self.replayed,
            ) {
                Run::Done(outcomes) => {
                    break Applied {
                        outcomes,
                        halted: failed,
                    };
                }
                Run::Stopped(outcomes, halt) => {
                    break Applied {
                        outcomes,
                        halted: Some(halt),
                    };
                }
                // The transaction is gone, with the good entries in it. They are deterministic:
                // applied again, without the one that went wrong, they come out the same.
                Run::Failed(at, halt) => {
                    items.truncate(at);
                    driver = None;
                    failed = Some(halt);
                }
            }
        };
        if let Some(halt) = &applied.halted {
            store.halt(&halt.to_string());
        }
        applied
    }
}

impl<C> Proposal<C> {
    /// Applies it at the store's next index, at once and without a log: to see what a command would do, in
    /// a [fork](crate::Snapshot::fork), or to test it.
    ///
    /// All is as when a [`Batch`] applies the entry, but that what would halt the store is only told:
    /// nothing is changed then. The store of a driver is refused ([`HaltKind::Store`]). Waits for the store's
    /// write slot.
    ///
    /// Here a command is planned on a fork, and then proposed with a guard of all that the plan was made
    /// of. If something of that has changed, it is rejected, and planned anew:
    ///
    /// ```
    /// use highwater::fsm::{Command, Context, Proposal, Rejected};
    /// use highwater::{Guard, Schema, Store, Table, WriteTxn};
    /// use serde::{Deserialize, Serialize};
    /// use std::time::SystemTime;
    ///
    /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// pub struct Job {
    ///     #[primary_key]
    ///     pub id: u32,
    ///     #[index]
    ///     pub node: String,
    /// }
    ///
    /// #[derive(Schema)]
    /// pub struct Cluster {
    ///     jobs: Job,
    /// }
    ///
    /// /// Puts jobs on a node. With a guard: if all is still as it was planned.
    /// #[derive(Serialize, Deserialize)]
    /// struct Place {
    ///     jobs: Vec<u32>,
    ///     node: String,
    ///     guard: Option<Guard>,
    /// }
    ///
    /// impl Command<Cluster> for Place {
    ///     type Reply = ();
    ///     type Error = Rejected;
    ///
    ///     fn apply(self, _: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), Rejected> {
    ///         if let Some(guard) = &self.guard {
    ///             txn.validate(guard)?;
    ///         }
    ///         for id in self.jobs {
    ///             txn.jobs_mut().insert(Job { id, node: self.node.clone() })?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Cluster>::new();
    /// let snapshot = store.snapshot();
    /// let mut place = Place { jobs: vec![1, 2], node: "n1".into(), guard: None };
    ///
    /// // What it would come to.
    /// let plan = snapshot.fork();
    /// let outcome = Proposal::new(&place, SystemTime::now(), 7)?.apply(&plan)?;
    /// outcome.into_answer().ok_or("it is a command")??;
    /// assert_eq!(plan.snapshot().jobs().by_node("n1").count(), 2);
    /// assert!(store.snapshot().jobs().is_empty());
    ///
    /// // That is fine if n1 has still no other jobs. This goes to the log.
    /// place.guard = Some(snapshot.guarded(|db| db.jobs().by_node("n1").count()).1);
    /// let proposal = Proposal::new(&place, SystemTime::now(), 7)?;
    /// # assert!(proposal.apply(&store)?.into_answer().is_some_and(|answer| answer.is_ok()));
    /// # let proposal = Proposal::new(&place, SystemTime::now(), 7)?;
    /// # let rejected = proposal.apply(&store)?.into_answer().unwrap().unwrap_err();
    /// # assert!(rejected.is_conflict());
    /// # Ok(())
    /// # }
    /// ```
    pub fn apply<S: Schema>(self, store: &Store<S>) -> Result<Outcome<C::Reply, C::Error>, Halt>
    where
        C: Command<S>,
    {
        let begun = store.write();
        let mut txn = begun.map_err(|error| store_halt(store.position().index.next(), &error))?;
        let index = txn.index();
        let (_, stamp, content) = self.into_parts();
        let mut kept = txn.kept();
        let outcome = perform(&mut kept, &mut txn, stamp, content);
        let outcome = outcome.map_err(|kind| Halt { index, kind })?;
        publish(txn, kept).map_err(|error| store_halt(index, &error))?;
        Ok(outcome)
    }
}

/// What became of a batch. Whoever has nothing to do with the outcomes before a halt takes
/// [`into_result`](Self::into_result), in which the halt cannot be overlooked.
#[derive(Debug)]
#[must_use = "a batch may have halted the store: see `into_result`"]
#[non_exhaustive]
pub struct Applied<R, E> {
    /// One for each entry, in order; if the batch halted, for those before the entry that did it.
    pub outcomes: Vec<Outcome<R, E>>,
    /// Why the store is halted, if it is. (A store that is another driver's is only refused, and goes
    /// on.)
    pub halted: Option<Halt>,
}

impl<R, E> Applied<R, E> {
    /// The outcomes of all entries, or why the store is halted.
    pub fn into_result(self) -> Result<Vec<Outcome<R, E>>, Halt> {
        match self.halted {
            None => Ok(self.outcomes),
            Some(halt) => Err(halt),
        }
    }
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a command may have been rejected"]
pub enum Outcome<R, E> {
    /// The command was applied, or rejected: by itself, or by a rule of the schema.
    Done(Result<R, E>),
    /// The command had been applied before, in its session: the answer it got then.
    Repeated {
        /// The entry that applied it.
        index: LogIndex,
        /// The first answer.
        result: Result<R, E>,
    },
    /// The session was opened, renewed or closed.
    Session(SessionId),
    /// The entry's session did not allow it: nothing was changed.
    Refused(SessionError),
    /// The entry had no command.
    Empty,
    /// The store's mark was at or past the entry's index: nothing was done.
    AlreadyApplied,
}

impl<R, E> Outcome<R, E> {
    /// What the command answered, now or when it was applied first. `None` if the entry had no command,
    /// or it was not applied for a reason of its session's or because the mark was past it.
    pub fn into_answer(self) -> Option<Result<R, E>> {
        match self {
            Outcome::Done(result) | Outcome::Repeated { result, .. } => Some(result),
            Outcome::Session(_)
            | Outcome::Refused(_)
            | Outcome::Empty
            | Outcome::AlreadyApplied => None,
        }
    }
}

/// Why and where a store was halted by an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Halt {
    /// The entry that could not be applied.
    pub index: LogIndex,
    /// What was wrong.
    pub kind: HaltKind,
}

/// What was wrong with an entry that halted the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HaltKind {
    /// Its bytes are no command of this program.
    Undecodable(String),
    /// The command's code panicked, with this message.
    Panicked(String),
    /// Its answer, which its session has to keep, cannot be encoded.
    Unanswerable(String),
    /// Entries are missing before it.
    Gap {
        /// The index that should have come.
        expected: LogIndex,
    },
    /// The store took no writes any more, or refused the entry.
    Store(String),
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index;
        match &self.kind {
            HaltKind::Undecodable(why) => write!(
                f,
                "entry {index} is no command of this program: {why}; \
                 run a program that knows it, or restore from before it"
            ),
            HaltKind::Panicked(message) => {
                write!(
                    f,
                    "entry {index}: the command's apply panicked: {message}; mend the program, and \
                     start it again"
                )
            }
            HaltKind::Unanswerable(why) => write!(
                f,
                "entry {index}: the command's answer cannot be encoded: {why}; mend its Serialize, and \
                 start the program again"
            ),
            HaltKind::Gap { expected } => write!(
                f,
                "entry {index} came where entry {expected} was expected: entries were lost; \
                 restore from an image that has them"
            ),
            HaltKind::Store(why) => write!(f, "entry {index}: {why}"),
        }
    }
}

impl std::error::Error for Halt {}

/// An entry whose content can be had again from its bytes.
struct Item<C> {
    index: LogIndex,
    /// None: there is nothing to do.
    bytes: Option<Vec<u8>>,
    decoded: Option<(Stamp, Content<C>)>,
}

impl<C> Item<C> {
    fn new(entry: LogEntry<C>) -> Self {
        let index = entry.index;
        match entry.body {
            Body::Empty => Item {
                index,
                bytes: None,
                decoded: None,
            },
            Body::Encoded(bytes) => Item {
                index,
                bytes: Some(bytes),
                decoded: None,
            },
            Body::Decoded(proposal) => {
                let (bytes, stamp, content) = proposal.into_parts();
                Item {
                    index,
                    bytes: Some(bytes),
                    decoded: Some((stamp, content)),
                }
            }
        }
    }

    /// What is to be done, if anything is.
    fn content(&mut self) -> Result<Option<(Stamp, Content<C>)>, HaltKind>
    where
        C: DeserializeOwned,
    {
        if let Some(decoded) = self.decoded.take() {
            return Ok(Some(decoded));
        }
        let Some(bytes) = &self.bytes else {
            return Ok(None);
        };
        match catch_unwind(AssertUnwindSafe(|| codec::decode(bytes))) {
            Ok(Ok(decoded)) => Ok(Some(decoded)),
            Ok(Err(why)) => Err(HaltKind::Undecodable(why)),
            Err(panic) => Err(HaltKind::Undecodable(format!(
                "its Deserialize panicked: {}",
                message(panic.as_ref())
            ))),
        }
    }
}

enum Run<R, E> {
    /// All are published.
    Done(Vec<Outcome<R, E>>),
    /// Those with an outcome are published; the next one halts.
    Stopped(Vec<Outcome<R, E>>, Halt),
    /// The command of the item at this place went wrong half-way; nothing is published.
    Failed(usize, Halt),
}

/// Applies items in one transaction and commits it.
fn run<S: Schema, C: Command<S>>(
    store: &Store<S>,
    items: &mut [Item<C>],
    driver: Option<&[u8]>,
    dense: bool,
    replayed: bool,
) -> Run<C::Reply, C::Error> {
    let mut outcomes = Vec::with_capacity(items.len());
    let mut begun = None;
    for item in items.iter() {
        match store.write_at(item.index) {
            Ok(Turn::Apply(txn)) => {
                begun = Some(txn);
                break;
            }
            Ok(Turn::AlreadyApplied { .. }) => outcomes.push(Outcome::AlreadyApplied),
            Err(e) => return Run::Stopped(outcomes, store_halt(item.index, &e)),
        }
    }
    let Some(mut txn) = begun else {
        return Run::Done(outcomes);
    };
    if replayed {
        txn.set_replay();
    }
    // Nothing but this transaction can change the store now.
    let first = outcomes.len();
    let mut last = store.position().index;
    let mut kept = txn.kept();
    for (at, item) in items.iter_mut().enumerate().skip(first) {
        let index = item.index;
        if index <= last {
            outcomes.push(Outcome::AlreadyApplied);
            continue;
        }
        let content = if dense && index != last.next() {
            Err(HaltKind::Gap {
                expected: last.next(),
            })
        } else {
            item.content()
        };
        let content = match content {
            Ok(content) => content,
            Err(kind) => {
                // The first entry's transaction is dropped, and with it the claim to its index.
                if at > first
                    && let Err(e) = publish(txn, kept)
                {
                    outcomes.truncate(first);
                    return Run::Stopped(outcomes, store_halt(index, &e));
                }
                return Run::Stopped(outcomes, Halt { index, kind });
            }
        };
        if at > first
            && let Err(e) = txn.next_entry(index)
        {
            outcomes.truncate(first);
            return Run::Stopped(outcomes, store_halt(index, &e));
        }
        last = index;
        let Some((stamp, content)) = content else {
            outcomes.push(Outcome::Empty);
            continue;
        };
        match perform(&mut kept, &mut txn, stamp, content) {
            Ok(outcome) => outcomes.push(outcome),
            Err(kind) => return Run::Failed(at, Halt { index, kind }),
        }
    }
    if let Some(driver) = driver {
        txn.set_driver_state(driver.to_vec());
    }
    match publish(txn, kept) {
        Ok(()) => Run::Done(outcomes),
        Err(e) => {
            outcomes.truncate(first);
            Run::Stopped(outcomes, store_halt(last, &e))
        }
    }
}

/// Does what an entry says, in the transaction that is at its index.
fn perform<S: Schema, C: Command<S>>(
    kept: &mut Kept,
    txn: &mut WriteTxn<S>,
    stamp: Stamp,
    content: Content<C>,
) -> Result<Outcome<C::Reply, C::Error>, HaltKind> {
    kept.clock = kept.clock.max(stamp.time_ms);
    let sessions = &mut kept.sessions;
    sessions.expire(kept.clock);
    let at = Moment {
        index: txn.index(),
        time_ms: kept.clock,
    };
    let (request, command) = match content {
        Content::Command(request, command) => (request, command),
        Content::Open { ttl_ms, window } => {
            return Ok(Outcome::Session(sessions.open(at, ttl_ms, window)));
        }
        Content::Renew(id) => {
            let renewed = sessions.renew(at, id);
            return Ok(renewed.map_or_else(Outcome::Refused, |()| Outcome::Session(id)));
        }
        Content::Close(id) => {
            let closed = sessions.close(at, id);
            return Ok(closed.map_or_else(Outcome::Refused, |()| Outcome::Session(id)));
        }
    };
    let seen = Context {
        index: at.index,
        time_ms: at.time_ms,
        seed: stamp.seed,
        request,
    };
    if let Some(request) = request {
        match sessions.look(at, request) {
            Ok(Known::New) => {}
            Ok(Known::Answered(answer)) => return Ok(repeated(&answer)),
            Err(error) => return Ok(Outcome::Refused(error)),
        }
    }
    let apply = || {
        txn.attempt(|txn| {
            let reply = command.apply(&seen, txn)?;
            txn.conclude()?;
            Ok(reply)
        })
    };
    let result = catch_unwind(AssertUnwindSafe(apply))
        .map_err(|panic| HaltKind::Panicked(message(panic.as_ref())))?;
    if let Some(request) = request {
        let bytes = catch_unwind(AssertUnwindSafe(|| rmp_serde::to_vec_named(&result)))
            .map_err(|panic| HaltKind::Unanswerable(message(panic.as_ref())))?
            .map_err(|error| HaltKind::Unanswerable(error.to_string()))?;
        let index = at.index;
        sessions.answered(request, Answer { index, bytes });
    }
    Ok(Outcome::Done(result))
}

/// The outcome of a command that was applied before.
fn repeated<R: DeserializeOwned, E: DeserializeOwned>(answer: &Answer) -> Outcome<R, E> {
    let read = || {
        msgpack::check(&answer.bytes).map_err(|fault| fault.to_string())?;
        rmp_serde::from_slice(&answer.bytes).map_err(|error| error.to_string())
    };
    let index = answer.index;
    match catch_unwind(read).unwrap_or_else(|panic| Err(message(panic.as_ref()))) {
        Ok(result) => Outcome::Repeated { index, result },
        Err(why) => Outcome::Refused(SessionError::Unreadable { index, why }),
    }
}

fn publish<S: Schema>(mut txn: WriteTxn<S>, kept: Kept) -> Result<(), CommitError> {
    txn.set_kept(kept);
    txn.commit().map(|_| ())
}

fn store_halt(index: LogIndex, error: &impl fmt::Display) -> Halt {
    Halt {
        index,
        kind: HaltKind::Store(error.to_string()),
    }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
