//! A durable log on one machine, which drives a store: for a program that has no consensus yet, and may
//! get one later.
//!
//! [`Journal::open`] takes a directory. A command that is proposed is written to the log and synced, then
//! applied, then answered:
//!
//! ```no_run
//! # use highwater::fsm::{Command, Context};
//! # use highwater::journal::{Journal, JournalOptions};
//! # use highwater::{Schema, Table, WriteError, WriteTxn};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
//! # pub struct Note { #[primary_key] pub title: String }
//! # #[derive(Debug, Schema)]
//! # pub struct Notes { notes: Note }
//! # #[derive(Serialize, Deserialize)]
//! # enum Request { Write(Note) }
//! # impl Command<Notes> for Request {
//! #     type Reply = ();
//! #     type Error = WriteError;
//! #     fn apply(self, _: &Context, txn: &mut WriteTxn<Notes>) -> Result<(), WriteError> {
//! #         let Request::Write(note) = self;
//! #         txn.notes_mut().insert(note)
//! #     }
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (journal, found) = Journal::<Notes, Request>::open("data", JournalOptions::default())?;
//! println!("{found}");
//! let committed = journal.propose(Request::Write(Note { title: "tea".into() }))?;
//! let snapshot = journal.store().snapshot_at_least(committed.index, std::time::Instant::now())?;
//! assert!(snapshot.notes().contains("tea"));
//! # Ok(())
//! # }
//! ```
//!
//! What was answered is there again after the process, or the machine, has died. No reader has ever seen
//! what a crash can take away: an entry is published only when it is on the disk. The commands are those
//! of [`fsm`](crate::fsm), so the same program goes on behind a consensus driver. The store's only writer
//! is the journal: others read, wait, follow, and fork.
//!
//! A client that was not answered, because the process has died say, does not know whether its command
//! was applied. It sends it again safely in a session ([`Journal::submit`]).
//!
//! # Costs
//!
//! A proposal waits for one fsync, which all that wait at the same time share: throughput grows with the
//! number of proposers. One thread does it all, a second one writes an image now and then, which delays no
//! commit. The disk holds at most two images and the log since the older; opening reads the newest image
//! and what the log has after it, both bounded by [`JournalOptions`], not by the journal's age.
//!
//! # Errors
//!
//! A command that its own code rejects is an answer ([`Committed::result`]). An error of the disk is
//! final: the store halts, proposers are told ([`ProposeError::Halted`]), nothing is retried, because
//! after a failed fsync nobody knows what is on the disk; opening the journal again finds out. So does an
//! entry that cannot be applied, which [`JournalError::Entry`] names.
//!
//! Opening finds whatever a crash can leave, and goes on from there; [`Recovery`] says what it was. What
//! a crash cannot leave is damage: it is refused, with the file and the index where there is one, and
//! nothing is lost silently. Only a damaged image is passed over, while an older one and the log have it
//! all.
//!
//! # Without a disk
//!
//! [`Journal::in_memory`] takes commands the same way, and keeps nothing: for tests.

// For who works on this driver.
//
// May not know: the other drivers, and what the commands mean.
//
// The one data structure is the directory:
//
// | file | holds |
// |---|---|
// | `journal.redb` | the log: entries by index, the history's id, each with a checksum |
// | `image-` + index | the newest two images of the store |
// | `acknowledged` | how far the log had come, to tell a torn batch from a damaged one |
// | `lock` | nothing; it is locked while the journal is open |
//
// A batch goes this way, on one thread: taken whole from a bounded queue; noted in
// `acknowledged`; appended in one transaction of the log, with one fsync; noted again; applied to
// the store and published, each entry with its own index; answered. An image is written by
// another thread from a snapshot, to a name that is not an image's, synced, renamed, and the
// directory synced. Then the log is cut up to the image before it, a piece with every batch.
//
// Invariants. Stopped at any point, what is on the disk is one of these, and each opens:
//
// | stopped | found |
// |---|---|
// | before the append is synced | the log before the batch, or with it; it was never answered |
// | after that, before it is applied | the batch is replayed |
// | in the middle of an image | an unfinished file, which is removed |
// | with the image renamed, the log not cut | entries that the image has, which are skipped |
// | in the middle of a cut | a log that begins later, at or before what the older image lacks |
//
// Images are intact at or after the index through which the log is cut; entries are contiguous
// from there to the log's end; the end is not before what was acknowledged. Whatever else is
// found is damage: it is refused, with the file, the index where there is one, and nothing lost
// silently. Only a damaged image is passed over while an older one and the log have it all.
//
// Memory ordering. Proposers and the log thread meet in the queue's mutex; answers go through
// a mutex each. There are no atomics.

mod acknowledged;
mod commit;
mod error;
mod images;
mod log;
mod queue;
mod recovery;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{JournalError, ProposeError};
pub use recovery::{DamagedImage, Recovery, Torn};

use super::answer::{Answer, answer};
use crate::fsm::{Command, Outcome, Proposal};
use crate::position::LogIndex;
use crate::store::{self, Schema, Store};
use queue::Shut;
use recovery::Recovered;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;
use writer::{Control, Pending, Shared, Writer};

/// What it is called where it refuses others' writes.
const NAME: &str = "the journal";

/// Settings of a journal.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// An image is begun when so many entries were appended since the last. 100,000 by default.
    pub image_every_entries: u64,
    /// Or when the commands appended since have so many bytes. 64 MiB by default.
    pub image_every_bytes: u64,
    /// A command whose encoding has more bytes is refused. 1 MiB by default.
    pub max_entry_bytes: usize,
    /// Proposals that may wait for the log; more block their proposers. 4096 by default.
    pub queue_entries: usize,
    /// Bytes that may wait for the log. 64 MiB by default.
    pub queue_bytes: usize,
    /// Most entries that share an fsync and a publish. 1024 by default.
    pub batch_entries: usize,
    /// Most bytes that share an fsync. 8 MiB by default.
    pub batch_bytes: usize,
    /// Settings of the store; its history is the journal's, whatever is given here.
    pub store: store::StoreOptions,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            image_every_entries: 100_000,
            image_every_bytes: 64 << 20,
            max_entry_bytes: 1 << 20,
            queue_entries: 4096,
            queue_bytes: 64 << 20,
            batch_entries: 1024,
            batch_bytes: 8 << 20,
            store: store::StoreOptions::default(),
        }
    }
}

/// A proposal's answer: it is in the log for good, and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the command may have been rejected: see `result`"]
pub struct Committed<R, E> {
    /// The index it has; any snapshot taken from now on is at or past it.
    pub index: LogIndex,
    /// What the command answered, or why it was rejected.
    pub result: Result<R, E>,
}

type LogThread = JoinHandle<Result<(), JournalError>>;

fn spawn(
    run: impl FnOnce() -> Result<(), JournalError> + Send + 'static,
) -> std::io::Result<LogThread> {
    thread::Builder::new()
        .name("highwater-log".to_owned())
        .spawn(run)
}

/// A store whose commands are logged on this machine's disk.
///
/// Read from [`store`](Self::store); write by [`propose`](Self::propose), or in clients' sessions by
/// [`submit`](Self::submit), from any number of threads or tasks: put the journal into an `Arc`.
///
/// Dropped, it closes, as by [`close`](Self::close).
///
/// ```
/// use highwater::fsm::{Command, Context};
/// use highwater::journal::{Journal, JournalOptions};
/// use highwater::{Schema, Table, WriteError, WriteTxn};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// #[table(name = "notes")]
/// pub struct Note {
///     #[primary_key]
///     pub title: String,
///     pub text: String,
/// }
///
/// #[derive(Debug, Schema)]
/// pub struct Notes {
///     notes: Note,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// enum Request {
///     Write(Note),
/// }
///
/// impl Command<Notes> for Request {
///     type Reply = ();
///     type Error = WriteError;
///
///     fn apply(self, _: &Context, txn: &mut WriteTxn<Notes>) -> Result<(), WriteError> {
///         let Request::Write(note) = self;
///         txn.notes_mut().insert(note)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let (journal, _) = Journal::<Notes, Request>::open(dir, JournalOptions::default())?;
/// let note = Note { title: "tea".into(), text: "green".into() };
/// let written = journal.propose(Request::Write(note.clone()))?;
/// assert_eq!(written.index.0, 1);
/// assert!(written.result.is_ok());
/// assert!(journal.propose(Request::Write(note))?.result.is_err(), "there is one already");
/// journal.close()?;
///
/// let (journal, recovery) = Journal::<Notes, Request>::open(dir, JournalOptions::default())?;
/// assert_eq!(recovery.replayed, 2);
/// assert_eq!(journal.store().snapshot().notes().get("tea").unwrap().text, "green");
/// # Ok(())
/// # }
/// ```
pub struct Journal<S: Schema, C: Command<S>> {
    store: Store<S>,
    shared: Arc<Shared<S, C>>,
    /// Gone when the journal is closed.
    thread: Mutex<Option<LogThread>>,
    max_entry_bytes: usize,
}

impl<S: Schema, C: Command<S>> Journal<S, C> {
    /// Opens the journal in a directory, which is made if it is not there: restores the newest
    /// image, applies the entries of the log after it, and says what it met.
    ///
    /// Only one journal can have a directory open. Cost: reading the image and the log; both are
    /// bounded by the settings, not by the journal's age.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "settings are made for one journal"
    )]
    pub fn open(
        dir: impl AsRef<Path>,
        options: JournalOptions,
    ) -> Result<(Self, Recovery), JournalError> {
        let dir = dir.as_ref();
        let recovered = recovery::recover::<S, C>(dir, &options.store)?;
        let report = recovered.report.clone();
        Ok((Self::start(dir, &options, recovered)?, report))
    }

    fn start(
        dir: &Path,
        options: &JournalOptions,
        mut recovered: Recovered<S>,
    ) -> Result<Self, JournalError> {
        let store = recovered.store.clone();
        recovered.store = store.drive(NAME);
        let shared = Arc::new(Shared::new(options));
        let writer = Writer::new(Arc::clone(&shared), dir.to_owned(), options, recovered);
        let thread = spawn(move || writer.run())
            .map_err(|e| error::io_error(dir, "start a thread for", e))?;
        Ok(Self::running(store, shared, thread, options))
    }

    /// A journal that keeps nothing: for tests, and for programs whose state may go with them.
    /// Commands go the same way as through one that does, but for the disk.
    ///
    /// # Panics
    ///
    /// If the operating system gives no thread, as [`std::thread::spawn`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "settings are made for one journal"
    )]
    pub fn in_memory(options: JournalOptions) -> Self {
        let store = Store::with_options(options.store.clone());
        let shared = Arc::new(Shared::new(&options));
        let thread = spawn({
            let (shared, store) = (Arc::clone(&shared), store.drive(NAME));
            move || writer::run_in_memory(&shared, &store)
        });
        let thread = thread.expect("the operating system starts a thread");
        Self::running(store, shared, thread, &options)
    }

    fn running(
        store: Store<S>,
        shared: Arc<Shared<S, C>>,
        thread: LogThread,
        options: &JournalOptions,
    ) -> Self {
        // No log but this one.
        store.note_authority();
        Journal {
            store,
            shared,
            thread: Mutex::new(Some(thread)),
            max_entry_bytes: options.max_entry_bytes,
        }
    }

    /// The store, to read, wait, follow and fork. It may be cloned and outlive the journal. Writing
    /// and restoring are the journal's ([`StoreError::Driven`](crate::StoreError::Driven)).
    pub fn store(&self) -> &Store<S> {
        &self.store
    }

    /// Logs a command, applies it, and blocks until both are done. Waits for room if the queue is
    /// full.
    ///
    /// There are two questions, and two layers. Whether the command is in the log for good: if not, or if
    /// nobody knows, that is the error here, and has nothing to do with what the command says. And what it
    /// answered then, by its own `apply` or the rules of the schema: [`Committed::result`].
    ///
    /// ```
    /// # use highwater::fsm::{Command, Context, Rejected};
    /// # use highwater::journal::{Journal, JournalOptions};
    /// # use highwater::{Schema, Table, WriteTxn};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # pub struct Note { #[primary_key] pub title: String }
    /// # #[derive(Schema)]
    /// # pub struct Notes { notes: Note }
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Write(String);
    /// # impl Command<Notes> for Write {
    /// #     type Reply = ();
    /// #     type Error = Rejected;
    /// #     fn apply(self, _: &Context, txn: &mut WriteTxn<Notes>) -> Result<(), Rejected> {
    /// #         Ok(txn.notes_mut().insert(Note { title: self.0 })?)
    /// #     }
    /// # }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let journal = Journal::<Notes, Write>::in_memory(JournalOptions::default());
    /// // Both at once, for who makes no difference:
    /// journal.propose(Write("tea".into()))?.result?;
    ///
    /// // A server does: it is down, or the client's request was wrong.
    /// let answer = match journal.propose(Write("tea".into())) {
    ///     Err(down) => format!("503: {down}"),
    ///     Ok(committed) => match committed.result {
    ///         Ok(()) => format!("200, at {}", committed.index),
    ///         Err(rejected) => format!("409: {rejected}"),
    ///     },
    /// };
    /// assert_eq!(answer, "409: table note already has a record with key \"tea\"");
    /// # Ok(())
    /// # }
    /// ```
    #[expect(
        clippy::needless_pass_by_value,
        reason = "given away: what is applied is what its bytes decode to"
    )]
    pub fn propose(&self, command: C) -> Result<Committed<C::Reply, C::Error>, ProposeError> {
        let (index, outcome) = self.submit(of_no_session(&command)?)?;
        Ok(committed(index, outcome))
    }

    /// [`propose`](Self::propose) for any async executor. The command is encoded at once, and
    /// queued when the future is first polled. Dropped after that, the command takes its course
    /// all the same.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "given away: what is applied is what its bytes decode to"
    )]
    pub fn propose_async(
        &self,
        command: C,
    ) -> impl Future<Output = Result<Committed<C::Reply, C::Error>, ProposeError>> + Send + use<S, C>
    {
        let submitted = of_no_session(&command).map(|proposal| self.submit_async(proposal));
        async move {
            let (index, outcome) = submitted?.await?;
            Ok(committed(index, outcome))
        }
    }

    /// Logs a proposal, applies it, and blocks until both are done: the index it has, and what became
    /// of it. Waits for room if the queue is full.
    ///
    /// This is how clients have sessions, in which a command that is sent again is applied once
    /// ([`Proposal::open_session`], [`Proposal::in_session`]); the journal has the sessions again when
    /// it is opened again. Proposals that another process has made
    /// ([`Proposal::from_bytes`]) are taken as well, with the time that process gave them: a clock that is
    /// far ahead moves the log's for good, so take only those of whom you trust.
    #[expect(
        clippy::type_complexity,
        reason = "an index and an outcome; a name would say less"
    )]
    pub fn submit(
        &self,
        proposal: Proposal<C>,
    ) -> Result<(LogIndex, Outcome<C::Reply, C::Error>), ProposeError> {
        let (size, pending, asked) = self.pending(proposal)?;
        self.shared.queue.push(size, pending)?;
        asked.wait().ok_or_else(|| stopped(&self.shared).into())
    }

    /// [`submit`](Self::submit) for any async executor. The proposal is queued when the future is
    /// first polled. Dropped after that, the proposal takes its course all the same.
    #[expect(
        clippy::type_complexity,
        reason = "an index and an outcome; a name would say less"
    )]
    pub fn submit_async(
        &self,
        proposal: Proposal<C>,
    ) -> impl Future<Output = Result<(LogIndex, Outcome<C::Reply, C::Error>), ProposeError>>
    + Send
    + use<S, C> {
        let pending = self.pending(proposal);
        let shared = Arc::clone(&self.shared);
        async move {
            let (size, pending, asked) = pending?;
            Arc::clone(&shared.queue).push_async(size, pending).await?;
            asked.await.ok_or_else(|| stopped(&shared).into())
        }
    }

    /// Writes an image now and blocks until it is on the disk; returns its index. If the newest
    /// image has everything, it is that one.
    ///
    /// A journal in memory has none ([`JournalError::InMemory`]).
    ///
    /// Commits go on meanwhile. The log keeps what the image before it lacks, and is cut up to
    /// there soon after.
    pub fn checkpoint(&self) -> Result<LogIndex, JournalError> {
        let (giver, asked) = answer();
        if let Err((shut, _)) = self.shared.queue.control(Control::Checkpoint(giver)) {
            return Err(shut.into());
        }
        asked
            .wait()
            .unwrap_or_else(|| Err(stopped(&self.shared).into()))
    }

    /// Why the last image could not be written, if it could not. The log has everything until one
    /// can; it grows meanwhile.
    pub fn image_error(&self) -> Option<String> {
        self.shared
            .image_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Finishes what is proposed, closes the files in order, and closes the store: its readers go
    /// on, its waiters are told. Blocks until that is done. Closing again does nothing.
    ///
    /// Closing the store instead refuses what is not in the log yet. If the journal had stopped
    /// before, this says why.
    pub fn close(&self) -> Result<(), JournalError> {
        // Held, so that who closes at the same time waits as well.
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = thread.take() else {
            return Ok(());
        };
        self.shared.queue.shut(Shut::Closed);
        if thread.thread().id() == thread::current().id() {
            // Dropped by a waker or a record that the log thread runs: it ends by itself.
            return Ok(());
        }
        let closed = thread.join().unwrap_or(Err(JournalError::Closed));
        self.store.close();
        closed
    }

    /// What is queued, its size, and where its answer comes.
    #[expect(clippy::type_complexity, reason = "one use; the names would say less")]
    fn pending(
        &self,
        proposal: Proposal<C>,
    ) -> Result<
        (
            usize,
            Pending<C, C::Reply, C::Error>,
            Answer<(LogIndex, Outcome<C::Reply, C::Error>)>,
        ),
        ProposeError,
    > {
        let len = proposal.bytes().len();
        if len > self.max_entry_bytes {
            return Err(ProposeError::TooLarge {
                len,
                limit: self.max_entry_bytes,
            });
        }
        let (giver, asked) = answer();
        Ok((len, Pending { proposal, giver }, asked))
    }
}

/// The proposal of a command that is no session's.
fn of_no_session<C: Serialize + DeserializeOwned>(
    command: &C,
) -> Result<Proposal<C>, ProposeError> {
    Proposal::new(command, SystemTime::now(), random_seed()).map_err(ProposeError::Command)
}

/// What became of the command of [`of_no_session`].
fn committed<R, E>(index: LogIndex, outcome: Outcome<R, E>) -> Committed<R, E> {
    match outcome {
        Outcome::Done(result) => Committed { index, result },
        Outcome::Repeated { .. } | Outcome::Session(_) | Outcome::Refused(_) => {
            unreachable!("it is of no session")
        }
        Outcome::Empty | Outcome::AlreadyApplied => {
            unreachable!("it is a command, and nobody but the journal writes the store")
        }
    }
}

/// Why a giver has gone without giving. It is an orderly end only if the store was closed first: the
/// journal itself answers all that is queued.
fn stopped<S: Schema, C: Command<S>>(shared: &Shared<S, C>) -> Shut {
    match shared.queue.shut_reason() {
        Some(shut) => shut,
        None => Shut::Halted("its thread ended".to_owned()),
    }
}

impl<S: Schema, C: Command<S>> Drop for Journal<S, C> {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        let _ = self.close();
    }
}

impl<S: Schema, C: Command<S>> fmt::Debug for Journal<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("position", &self.store.position())
            .field("shut", &self.shared.queue.shut_reason())
            .finish_non_exhaustive()
    }
}

/// A random number: the hash of nothing under a key that the standard library draws from the
/// operating system's randomness.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
