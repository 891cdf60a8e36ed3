//! The log that writes to the store: this node's alone, or a cluster's.

use std::path::Path;

use highwater::journal::{Journal, JournalOptions};
use highwater::{LogIndex, Store};

use crate::cluster::{Contact, Node, Seen};
use crate::command::{Command, Rejected, Reply};
use crate::schema::Catalog;

/// What went wrong below.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where commands go.
#[derive(Debug)]
pub enum Log {
    Alone(Journal<Catalog, Command>),
    Cluster(Node),
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
    Ok(Log::Alone(log))
}

/// A log that ends with the program.
pub fn in_memory() -> Log {
    println!("catalog: data in memory only");
    Log::Alone(Journal::in_memory(JournalOptions::default()))
}

impl Log {
    pub fn store(&self) -> &Store<Catalog> {
        match self {
            Log::Alone(journal) => journal.store(),
            Log::Cluster(node) => node.store(),
        }
    }

    /// Has a command applied. An error: it was not, or nobody knows.
    pub async fn write(&self, command: Command) -> Result<Written, String> {
        match self {
            Log::Alone(journal) => {
                let committed = journal.propose_async(command).await;
                let committed = committed.map_err(|error| error.to_string())?;
                Ok(Written {
                    index: committed.index,
                    result: committed.result,
                })
            }
            Log::Cluster(node) => node.write(&command).await,
        }
    }

    /// The index that a read has to wait for to see all that was answered before it was asked.
    pub async fn read_index(&self) -> Result<LogIndex, String> {
        match self {
            Log::Alone(journal) => Ok(journal.store().position().index),
            Log::Cluster(node) => node.read_index().await,
        }
    }

    /// Why the node cannot go on: until then this waits.
    pub async fn failed(&self) -> String {
        match self {
            // It says so to whoever writes.
            Log::Alone(_) => std::future::pending().await,
            Log::Cluster(node) => node.failed().await,
        }
    }

    pub fn contact(&self) -> Contact {
        match self {
            Log::Alone(_) => Contact::LEADER,
            Log::Cluster(node) => node.contact(),
        }
    }

    pub fn leads(&self) -> bool {
        match self {
            Log::Alone(_) => true,
            Log::Cluster(node) => node.leads(),
        }
    }

    /// Waits until the terms that this node leads in, or that it does not lead, are as wanted. One
    /// alone leads in the only one.
    pub async fn leads_in(&self, wanted: impl Fn(Option<u64>) -> bool + Send) -> Option<u64> {
        match self {
            Log::Alone(_) if wanted(Some(0)) => Some(0),
            Log::Alone(_) => std::future::pending().await,
            Log::Cluster(node) => node.leads_in(wanted).await,
        }
    }

    /// The members of the cluster, if this is one.
    pub fn members(&self) -> Option<Vec<Seen>> {
        match self {
            Log::Alone(_) => None,
            Log::Cluster(node) => Some(node.members()),
        }
    }

    /// Ends it, when nobody asks for anything any more. In a cluster another may be asked to lead.
    pub async fn close(&self, hand_over: bool) -> Result<(), Failure> {
        match self {
            Log::Alone(journal) => Ok(tokio::task::block_in_place(|| journal.close())?),
            Log::Cluster(node) => node.close(hand_over).await,
        }
    }
}
