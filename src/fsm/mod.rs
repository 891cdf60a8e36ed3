//! Commands and their application: a store as the state machine of a replicated log.
//!
//! A [`Command`] is one request of your application: what is put into the log, and what is done to the
//! store when the log has it for good. You say what it does; this module sees to it that it does the same
//! wherever the log is applied:
//!
//! * the entry's index is the commit's, and the modify index of every record that it changed;
//! * time and randomness come from the entry ([`Context`]), never from the machine it is applied on;
//! * a command that returns an error has changed nothing, and has used its index all the same;
//! * an entry that was applied before is skipped, so a log may be replayed;
//! * an entry that *cannot* be applied (bytes that are no command of this program, a panic) halts the
//!   store: what was before it is published, reads go on, and nothing is guessed.
//!
//! With a driver of this crate (the modules `journal`, `openraft` and `openraft_next`, each behind its
//! feature) a command is all there is to write. With a log of your own, make a [`Proposal`] of each command, replicate its
//! bytes, and hand what is committed to a [`Batch`], which has an example:
//!
//! ```text
//! Proposal::new(&command, now, seed)  ->  bytes  ->  your log  ->  LogEntry::<C>::from_bytes(index, bytes)
//!     -> Batch::new(entries).driver_state(..).apply(&store)  ->  an Outcome for each
//! ```
//!
//! A batch is published once, so it costs one commit; each of its entries keeps its own index, rollback
//! and place in the feed. A driver's own state (a term, a membership) is stored with the batch
//! ([`Batch::driver_state`]), in the same commit and so in every image.
//!
//! # Errors
//!
//! | what | where | then |
//! |---|---|---|
//! | the command rejects the request | `Err` of [`Command::apply`], in [`Outcome::Done`] | it is undone; the log goes on |
//! | it would break a reference or check of the schema | the same, made of the [`WriteError`] | it is undone; the log goes on |
//! | its session is unknown, or has ended | [`Outcome::Refused`] | nothing was done; open another |
//! | it cannot be applied | [`Applied::halted`] | the store is halted: mend the program, and start again from an image and the log |
//! | it is not fit for a log | [`ProposalError`], before it is logged | nothing was done |
//!
//! # Exactly once
//!
//! A client that does not know whether its command was applied sends it again. In a session
//! ([`Proposal::in_session`]) that is safe: the command is applied once, and answered each time as it was
//! at first. A session is opened by an entry, and ends when it is closed, or by the log's clock; one that
//! is not there is refused, never made anew. It costs the memory of the answers that the client has not
//! yet said it has. [`ClientSession`] numbers a client's commands, and knows which it has the answers of.
//!
//! # Trying a command
//!
//! A proposal is applied to a fork as it would be to the store, or to any store that no driver has, in a
//! test: [`Proposal::apply`], which has an example.
//!
//! # Versions of commands
//!
//! A log outlives the program that wrote it: commands are read by later programs, and must do what they
//! did. A command can get a field with `#[serde(default)]`, which says what it meant without; an enum of
//! commands can get a variant. One whose meaning is to change becomes another variant, and the old one
//! stays as it was, for as long as there is a log that has it and is not cut by an image. A program that
//! meets a variant it does not know halts, with [`HaltKind::Undecodable`]: so commands of a new kind are
//! proposed only when all replicas know them.
//!
//! The records that a command holds are part of it, and are not converted as those of an image are
//! ([`Table::VERSION`](crate::Table::VERSION)): when a record gets another form, a command that held one
//! goes on holding the old form, and makes the new one of it by the same `From`.
//!
//! # Expiry
//!
//! Records that are due at a time have it in a field with `#[expires]`, set from the log's
//! clock ([`Context::time`]). What becomes of one that is due is done by a command, as everything is,
//! and what is due is asked by the log's clock there again, so that replicas agree and what was
//! renewed in between is not hit. Somebody has to propose that command when the time has come; who
//! leads sleeps until the earliest deadline, or until another is the earliest:
//!
//! ```
//! use std::time::{Duration, Instant, SystemTime};
//!
//! use highwater::fsm::{Command, Context};
//! use highwater::{LogIndex, Schema, Store, Table, WriteError, WriteTxn};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
//! pub struct Lock {
//!     #[primary_key]
//!     pub name: String,
//!     pub holder: String,
//!     #[expires]
//!     pub until: SystemTime,
//! }
//!
//! #[derive(Schema)]
//! pub struct Locks {
//!     locks: Lock,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! pub enum Request {
//!     /// Takes a lock that is free, or renews one's own.
//!     Hold { name: String, holder: String, ttl: Duration },
//!     /// Frees the locks that are due.
//!     Expire,
//! }
//!
//! /// One entry frees no more than this; the next does the rest.
//! const AT_ONCE: usize = 100;
//!
//! impl Command<Locks> for Request {
//!     type Reply = bool;
//!     type Error = WriteError;
//!
//!     fn apply(self, context: &Context, txn: &mut WriteTxn<Locks>) -> Result<bool, WriteError> {
//!         let now = context.time();
//!         match self {
//!             Request::Hold { name, holder, ttl } => {
//!                 // One that is due is free, whether it was taken away yet or not.
//!                 let held = txn.locks().get(&name).is_some_and(|lock| {
//!                     lock.holder != holder && lock.until > now
//!                 });
//!                 if !held {
//!                     txn.locks_mut().upsert(Lock { name, holder, until: now + ttl })?;
//!                 }
//!                 Ok(!held)
//!             }
//!             Request::Expire => {
//!                 let due: Vec<_> = txn.locks().due(now).take(AT_ONCE).cloned().collect();
//!                 for lock in due {
//!                     txn.locks_mut().delete(&lock.name)?;
//!                 }
//!                 Ok(true)
//!             }
//!         }
//!     }
//! }
//!
//! /// What the leader runs, until the store is closed. `propose` returns when the command is applied.
//! fn expire(store: &Store<Locks>, propose: impl Fn(Request)) {
//!     let (mut seen, mut wake) = (LogIndex(0), Instant::now());
//!     // Returns at `wake`, or as soon as another deadline is the earliest.
//!     while let Ok(next) = store.blocking_query(seen, wake, |db| db.locks().next_due()) {
//!         seen = next.index;
//!         let left = next.value.map(|due| due.duration_since(SystemTime::now()));
//!         match left {
//!             Some(Err(_)) => propose(Request::Expire),
//!             Some(Ok(left)) => wake = Instant::now() + left,
//!             None => wake = Instant::now() + Duration::from_hours(1),
//!         }
//!     }
//! }
//!
//! # use highwater::fsm::{Batch, LogEntry, Outcome, Proposal};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::<Locks>::new();
//! # let propose = |store: &Store<Locks>, request: &Request| {
//! #     let proposal = Proposal::new(request, SystemTime::now(), 0).unwrap();
//! #     let entry = LogEntry::from_proposal(store.position().index.next(), proposal);
//! #     let mut applied = Batch::new(vec![entry]).apply(store);
//! #     matches!(applied.outcomes.remove(0), Outcome::Done(Ok(true)))
//! # };
//! let ttl = Duration::from_millis(20);
//! let hold = Request::Hold { name: "deploy".into(), holder: "n1".into(), ttl };
//! assert!(propose(&store, &hold));
//! # std::thread::scope(|scope| {
//! scope.spawn(|| expire(&store, |request| { propose(&store, &request); }));
//!
//! // Nobody renews it, so it is free after its time.
//! let held = store.blocking_query(LogIndex(1), Instant::now() + Duration::from_mins(1), |db| {
//!     db.locks().contains("deploy")
//! });
//! assert!(held.is_ok_and(|held| !held.value));
//! store.close();
//! # });
//! # Ok(())
//! # }
//! ```

// For who works on this room.
//
// Promises: the state after an entry is a function of the state before it and of the entry alone: the
// same log gives the same store, and so the same image, however its entries were batched and wherever it
// was restarted from an image.
//
// May not know: any particular driver: where entries come from, when they are durable, who waits for
// their replies. It opens no file and starts no thread.
//
// The one data structure is `LogEntry`: an index, and what is in the log there. Its bytes:
//
// | kind: u8 = 1 | time: u64 | seed: u64 | command                                    |
// | kind: u8 = 2 | time: u64 | seed: u64 | session, sequence, answered: u64 | command |
// | kind: u8 = 3 | time: u64 | seed: u64 | time to live: u64 | window: u32   opens     |
// | kind: u8 = 4 | time: u64 | seed: u64 | session: u64                      renews    |
// | kind: u8 = 5 | time: u64 | seed: u64 | session: u64                      closes    |
//
// with integers big-endian, and the command as `MessagePack` with named fields. An empty entry (a
// leader's no-op, a change of membership) has no bytes that matter here and only raises the mark.
//
// What entries leave for those to come travels with the data, in the same commit and image: the clock,
// which is the running maximum of the entries' times, in milliseconds since the Unix epoch; and the
// sessions of clients.
//
// Invariants: an entry's time is never before that of the entry ahead of it. Only commands that survive
// being encoded and decoded become a `Proposal`, so what is applied at once and what is applied after a
// restart are the same value.
//
// Memory ordering: nothing here is shared between threads: a batch is applied by the thread that holds
// the store's one write transaction.

mod apply;
mod codec;
mod entry;
mod rejected;

pub use crate::session::{
    ClientSession, MAX_SESSIONS, MAX_WINDOW, PendingRequest, RequestId, SessionError, SessionId,
    SessionOptions,
};
#[cfg(feature = "_disk")]
pub(crate) use apply::message as panic_message;
pub use apply::{Applied, Batch, Halt, HaltKind, Outcome};
pub use codec::{Proposal, ProposalError};
pub use entry::{Context, LogEntry};
pub use rejected::Rejected;

use crate::store::{Schema, WriteError, WriteTxn};
use serde::{Serialize, de::DeserializeOwned};

/// One request of an application, as it is put into the log and applied to the store.
///
/// Usually an enum with a variant for each kind of request. It must encode with serde so that it
/// decodes to the same value again; [`Proposal::new`] refuses what does not.
///
/// [`apply`](Self::apply) must be deterministic: read the transaction, the command and the
/// [`Context`], and nothing else. No clock but [`Context::time`], no random numbers but
/// [`Context::random`], no iteration over a `HashMap`, no pointers compared, no files, no network.
/// Otherwise replicas, and one program before and after a restart, would come to differ.
///
/// ```no_run
/// use highwater::{Schema, Table, WriteTxn};
/// use highwater::fsm::{Command, Context, Rejected};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// #[table(name = "counters")]
/// pub struct Counter {
///     #[primary_key]
///     pub name: String,
///     pub value: u64,
/// }
///
/// #[derive(Debug, Schema)]
/// pub struct Counters {
///     pub counters: Counter,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// pub enum Request {
///     Add { name: String, amount: u64 },
/// }
///
/// impl Command<Counters> for Request {
///     type Reply = u64;
///     type Error = Rejected;
///
///     fn apply(self, _: &Context, txn: &mut WriteTxn<Counters>) -> Result<u64, Rejected> {
///         let Request::Add { name, amount } = self;
///         let old = txn.counters().get(&name).map_or(0, |counter| counter.value);
///         let value = old.checked_add(amount).ok_or("the counter is full")?;
///         txn.counters_mut().upsert(Counter { name, value })?;
///         Ok(value)
///     }
/// }
/// ```
pub trait Command<S: Schema>: Serialize + DeserializeOwned + Send + 'static {
    /// What a command that was applied answers. It must encode so that it decodes to the same
    /// value: what is sent again in a session is answered from the encoding.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// Why a command was rejected. It is a result like any other, the same on every replica; not
    /// a failure of the machine it was applied on. [`Rejected`] will do, or [`WriteError`] alone.
    type Error: From<WriteError> + Serialize + DeserializeOwned + Send + 'static;

    /// Applies the command. If it returns an error, what it changed is rolled back, and its index
    /// is used all the same. If it panics, the store halts.
    ///
    /// References and checks of the schema are tested after it, and derived tables told: one that is
    /// broken, or refuses it, rejects the command with that [`WriteError`], made an error of yours. To look at it
    /// before, end with [`check_rules`](WriteTxn::check_rules).
    fn apply(self, context: &Context, txn: &mut WriteTxn<S>) -> Result<Self::Reply, Self::Error>;
}
