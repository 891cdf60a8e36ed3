//! A batch: entries that are applied in order and published together.

use super::Command;
use super::codec::{self, Stamp};
use super::entry::{Body, Entry, LogEntry};
use super::state::State;
use crate::position::LogIndex;
use crate::store::{CommitError, Store, Turn, Views, WriteTxn};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Consecutive entries of a log, to be applied to a store with one publish.
#[derive(Debug)]
pub struct Batch<C> {
    entries: Vec<LogEntry<C>>,
    driver: Option<Vec<u8>>,
}

impl<C> Batch<C> {
    /// Entries in the order of the log. Gaps between their indexes are fine.
    pub fn new(entries: Vec<LogEntry<C>>) -> Self {
        Batch {
            entries,
            driver: None,
        }
    }

    /// What the driver wants stored with this batch, in the same commit and so in every image: the
    /// term and membership of a consensus protocol, say. Kept until a later batch gives another;
    /// read back with [`driver_bytes`](super::driver_bytes). Not stored if the batch halts.
    #[must_use]
    pub fn driver_state(mut self, bytes: Vec<u8>) -> Self {
        self.driver = Some(bytes);
        self
    }

    /// Applies the entries: each with its own index, stamps and rollback, all published at once.
    ///
    /// Entries at or below the store's mark were applied before: they are skipped, whatever they
    /// hold. An entry that cannot be applied halts the store, with the entries before it
    /// published.
    ///
    /// Waits for the store's write slot. Blocks for as long as the commands take.
    pub fn apply<S: Views>(self, store: &Store<S>) -> Applied<C::Reply, C::Error>
    where
        C: Command<S>,
    {
        let mut items: Vec<Item<C>> = self.entries.into_iter().map(Item::new).collect();
        let mut driver = self.driver;
        let mut panicked = None;
        let applied = loop {
            match run(store, &mut items, driver.as_deref()) {
                Run::Done(outcomes) => {
                    break Applied {
                        outcomes,
                        halted: panicked,
                    };
                }
                Run::Stopped(outcomes, halt) => {
                    break Applied {
                        outcomes,
                        halted: Some(halt),
                    };
                }
                // The transaction is gone, with the good entries in it. They are deterministic:
                // applied again, without the one that panicked, they come out the same.
                Run::Panicked(at, halt) => {
                    items.truncate(at);
                    driver = None;
                    panicked = Some(halt);
                }
            }
        };
        if let Some(halt) = &applied.halted {
            store.halt(&halt.to_string());
        }
        applied
    }
}

/// What became of a batch.
#[derive(Debug)]
#[must_use = "a batch may have halted the store"]
pub struct Applied<R, E> {
    /// One for each entry, in order; if the batch halted, for those before the entry that did it.
    pub outcomes: Vec<Outcome<R, E>>,
    /// Why the store is halted, if it is.
    pub halted: Option<Halt>,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R, E> {
    /// The command was applied, or rejected by itself.
    Done(Result<R, E>),
    /// The entry had no command.
    Empty,
    /// The store's mark was at or past the entry's index: nothing was done.
    AlreadyApplied,
}

/// Why and where a store was halted by an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The driver state stored with the data was not written by a [`Batch`].
    ForeignState(String),
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
                write!(f, "entry {index}: the command's apply panicked: {message}")
            }
            HaltKind::ForeignState(why) => write!(f, "before entry {index}: {why}"),
            HaltKind::Store(why) => write!(f, "entry {index}: {why}"),
        }
    }
}

impl std::error::Error for Halt {}

/// An entry whose command can be had again from its bytes.
struct Item<C> {
    index: LogIndex,
    /// None: there is no command.
    bytes: Option<Vec<u8>>,
    decoded: Option<(Stamp, C)>,
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
                let (bytes, stamp, command) = proposal.into_parts();
                Item {
                    index,
                    bytes: Some(bytes),
                    decoded: Some((stamp, command)),
                }
            }
        }
    }

    /// The command, if there is one.
    fn command(&mut self) -> Result<Option<(Stamp, C)>, HaltKind>
    where
        C: serde::de::DeserializeOwned,
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
    /// The command of the item at this place panicked; nothing is published.
    Panicked(usize, Halt),
}

/// Applies items in one transaction and commits it.
fn run<S: Views, C: Command<S>>(
    store: &Store<S>,
    items: &mut [Item<C>],
    driver: Option<&[u8]>,
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
    // Nothing but this transaction can change the state now.
    let first = outcomes.len();
    let mut state = match State::decode(store.snapshot().driver_state()) {
        Ok(state) => state,
        Err(why) => {
            let halt = Halt {
                index: items[first].index,
                kind: HaltKind::ForeignState(why),
            };
            return Run::Stopped(outcomes, halt);
        }
    };
    for (at, item) in items.iter_mut().enumerate().skip(first) {
        let index = item.index;
        if at > first && index <= txn.index() {
            outcomes.push(Outcome::AlreadyApplied);
            continue;
        }
        let command = match item.command() {
            Ok(command) => command,
            Err(kind) => {
                // The first entry's transaction is dropped, and with it the claim to its index.
                if at > first
                    && let Err(e) = publish(txn, &state)
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
        let Some((stamp, command)) = command else {
            outcomes.push(Outcome::Empty);
            continue;
        };
        state.clock = state.clock.max(stamp.time_ms);
        let entry = Entry {
            index,
            time_ms: state.clock,
            seed: stamp.seed,
        };
        let apply = || txn.attempt(|txn| command.apply(&entry, txn));
        match catch_unwind(AssertUnwindSafe(apply)) {
            Ok(result) => outcomes.push(Outcome::Done(result)),
            Err(panic) => {
                let kind = HaltKind::Panicked(message(panic.as_ref()));
                return Run::Panicked(at, Halt { index, kind });
            }
        }
    }
    if let Some(driver) = driver {
        state.driver = driver.to_vec();
    }
    let last = txn.index();
    match publish(txn, &state) {
        Ok(()) => Run::Done(outcomes),
        Err(e) => {
            outcomes.truncate(first);
            Run::Stopped(outcomes, store_halt(last, &e))
        }
    }
}

fn publish<S: Views>(mut txn: WriteTxn<S>, state: &State) -> Result<(), CommitError> {
    txn.set_driver_state(state.encode());
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
