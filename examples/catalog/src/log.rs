//! The log that writes to the store: this node's alone, or a cluster's.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use highwater::fsm::{Outcome, Proposal};
use highwater::journal::{Journal, JournalOptions};
use highwater::{LogIndex, Store};

use crate::clock::Clock;
use crate::cluster::{Contact, Node, Seen};
use crate::command::{Command, Rejected, Reply};
use crate::schema::Catalog;

/// What went wrong below.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An error with what it comes from, which those of HTTP do not say by themselves.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

/// The only term that a node alone leads in.
pub const ALONE: u64 = 0;

/// Where commands go.
pub enum Log {
    Alone(Journal<Catalog, Command>, Clock),
    Cluster(Arc<Node>),
}

/// What became of a command.
pub struct Written {
    /// Its entry's: who waits for it sees what the command did.
    pub index: LogIndex,
    pub result: Result<Reply, Rejected>,
}

/// Opens or begins the log in a folder.
pub fn open(folder: &Path) -> Result<Log, Failure> {
    let (log, recovery) = Journal::open(folder, JournalOptions::default())?;
    println!("catalog: data in {}: {recovery}", folder.display());
    Ok(Log::Alone(log, Clock::default()))
}

/// A log that ends with the program.
pub fn in_memory() -> Log {
    println!("catalog: data in memory only");
    let log = Journal::in_memory(JournalOptions::default());
    Log::Alone(log, Clock::default())
}

impl Log {
    pub fn store(&self) -> &Store<Catalog> {
        match self {
            Log::Alone(journal, _) => journal.store(),
            Log::Cluster(node) => &node.store,
        }
    }

    /// Has a command applied. An error: it was not, or nobody knows.
    pub async fn write(&self, command: Command) -> Result<Written, Failure> {
        match self {
            Log::Alone(journal, clock) => {
                let now = clock.now_in(ALONE).await;
                submit(journal, &command, now).await
            }
            Log::Cluster(node) => node.write(&command).await,
        }
    }

    /// In a term that this node leads in, begins to let time pass. Until then nothing is written.
    pub async fn begin(&self, term: u64) -> Result<(), Failure> {
        match self {
            Log::Alone(journal, clock) => {
                let begun = submit(journal, &Command::Begin, Clock::AS_IT_IS).await?;
                let Ok(Reply::Time(time)) = begun.result else {
                    return Err(format!("no time: {:?}", begun.result).into());
                };
                clock.set(term, time);
                Ok(())
            }
            Log::Cluster(node) => node.begin(term).await,
        }
    }

    /// The log's time, when that has begun.
    pub fn time(&self, term: u64) -> Option<SystemTime> {
        match self {
            Log::Alone(_, clock) => clock.now(term),
            Log::Cluster(node) => node.clock.now(term),
        }
    }

    /// The index that a read has to wait for to see all that was answered before it was asked.
    pub async fn read_index(&self) -> Result<LogIndex, Failure> {
        match self {
            Log::Alone(journal, _) => Ok(journal.store().position().index),
            // Boxed: the compiler lays futures within futures out only so deep.
            Log::Cluster(node) => Box::pin(node.read_index()).await,
        }
    }

    /// Why the node cannot go on: until then this waits.
    pub async fn failed(&self) -> String {
        match self {
            // It says so to whoever writes.
            Log::Alone(..) => std::future::pending().await,
            Log::Cluster(node) => node.failed().await,
        }
    }

    /// The node of a cluster, if it is one.
    pub fn cluster(&self) -> Option<&Arc<Node>> {
        match self {
            Log::Alone(..) => None,
            Log::Cluster(node) => Some(node),
        }
    }

    pub fn contact(&self) -> Contact {
        self.cluster()
            .map_or(Contact::LEADER, |node| node.contact())
    }

    pub fn leads(&self) -> bool {
        self.cluster().is_none_or(|node| node.leads())
    }

    /// The members of the cluster, if this is one.
    pub fn members(&self) -> Option<Vec<Seen>> {
        self.cluster().map(|node| node.members())
    }

    /// Waits until the terms that this node leads in, or that it does not lead, are as wanted. One
    /// alone leads in the only one.
    pub async fn leads_in(&self, wanted: impl Fn(Option<u64>) -> bool + Send) -> Option<u64> {
        match self {
            Log::Alone(..) if wanted(Some(ALONE)) => Some(ALONE),
            Log::Alone(..) => std::future::pending().await,
            Log::Cluster(node) => node.leads_in(wanted).await,
        }
    }

    /// Ends it, when nobody asks for anything any more. In a cluster another may be asked to lead.
    pub async fn close(&self, hand_over: bool) -> Result<(), Failure> {
        match self {
            Log::Alone(journal, _) => Ok(tokio::task::block_in_place(|| journal.close())?),
            Log::Cluster(node) => node.close(hand_over).await,
        }
    }
}

async fn submit(
    journal: &Journal<Catalog, Command>,
    command: &Command,
    now: SystemTime,
) -> Result<Written, Failure> {
    let proposal = Proposal::new(command, now, fastrand::u64(..))?;
    match journal.submit_async(proposal).await? {
        (index, Outcome::Done(result)) => Ok(Written { index, result }),
        (_, other) => Err(format!("{other:?}").into()),
    }
}
