//! The log that writes to the store: kept in a folder, or nowhere.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use highwater::fsm::{Batch, LogEntry, Outcome, Proposal};
use highwater::journal::{Journal, Options};
use highwater::{LogIndex, Store};
use tokio::sync::oneshot;

use crate::command::{Command, Rejected, Reply};
use crate::schema::Catalog;

/// What went wrong below.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub enum Log {
    Kept(Arc<Journal<Catalog, Command>>),
    InMemory {
        store: Store<Catalog>,
        writer: mpsc::Sender<Request>,
    },
}

/// A command and who waits for what becomes of it.
#[derive(Debug)]
pub struct Request {
    proposal: Proposal<Command>,
    reply: oneshot::Sender<Result<Reply, Rejected>>,
}

impl Log {
    /// Opens or begins the log in a folder.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let (journal, recovery) = Journal::open(folder, Options::default())?;
        println!("catalog: data in {}: {recovery}", folder.display());
        Ok(Log::Kept(Arc::new(journal)))
    }

    /// A log that ends with the program.
    pub fn in_memory() -> Result<Self, Failure> {
        println!("catalog: data in memory only");
        let store = Store::new();
        let (writer, requests) = mpsc::channel::<Request>();
        let applied = store.clone();
        thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let indexes = (1..).map(LogIndex);
                for (index, Request { proposal, reply }) in indexes.zip(requests) {
                    let entry = LogEntry::of(index, proposal);
                    let batch = Batch::new(vec![entry]).apply(&applied);
                    if let Some(Outcome::Done(outcome)) = batch.outcomes.into_iter().next() {
                        // Nobody waits any more if the client is gone.
                        let _ = reply.send(outcome);
                    }
                }
            })?;
        Ok(Log::InMemory { store, writer })
    }

    pub fn store(&self) -> &Store<Catalog> {
        match self {
            Log::Kept(journal) => journal.store(),
            Log::InMemory { store, .. } => store,
        }
    }

    /// Has a command applied, and waits until that is kept and visible.
    pub async fn propose(&self, command: Command) -> Result<Result<Reply, Rejected>, Failure> {
        match self {
            Log::Kept(journal) => Ok(journal.propose_async(command).await?.result),
            Log::InMemory { writer, .. } => {
                let (reply, outcome) = oneshot::channel();
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
                let proposal = Proposal::new(&command, now_ms, fastrand::u64(..))?;
                writer.send(Request { proposal, reply })?;
                Ok(outcome.await?)
            }
        }
    }
}
