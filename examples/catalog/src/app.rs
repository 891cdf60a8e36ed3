//! What every request is handled with: the store, the log that writes to it, and this node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use highwater::{LogIndex, Store};
use tokio::sync::{Notify, SetOnce};

use crate::command::{Command, Reply};
use crate::http::HttpError;
use crate::log::{Log, Written};
use crate::schema::{Catalog, Node};

/// The only datacenter there is.
pub const DATACENTER: &str = "dc1";

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Reads.
    pub store: Store<Catalog>,
    /// Writes.
    pub log: Arc<Log>,
    pub agent: Arc<Agent>,
    /// The least TTL that a session can have.
    pub least_ttl: Duration,
    /// Told when this node is to end.
    pub end: Arc<Notify>,
    /// Set when the state is at the index of a leader: no answer is older than one that this node gave
    /// before it was started.
    pub caught_up: Arc<SetOnce<()>>,
}

/// This node.
#[derive(Debug)]
pub struct Agent {
    pub node: Node,
    /// Where it listens.
    pub address: SocketAddr,
}

impl App {
    pub fn new(log: Log, agent: Agent, least_ttl: Duration) -> Self {
        App {
            store: log.store().clone(),
            log: Arc::new(log),
            agent: Arc::new(agent),
            least_ttl,
            end: Arc::default(),
            caught_up: Arc::default(),
        }
    }

    /// Has a command applied, and waits until it is durable and visible.
    pub async fn propose(&self, command: Command) -> Result<Written, HttpError> {
        Ok(self.log.write(command).await?)
    }

    /// The same for one whose refusal is an error.
    pub async fn write(&self, command: Command) -> Result<(LogIndex, Reply), HttpError> {
        let written = self.propose(command).await?;
        Ok((written.index, written.result?))
    }
}
