//! What every request is handled with: the store, the log that writes to it, and this node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use highwater::{LogIndex, Store};
use tokio::sync::{Notify, watch};

use crate::command::{Command, Reply};
use crate::http::HttpError;
use crate::log::{Log, Written};
use crate::prober::Prober;
use crate::schema::{Catalog, Node};

/// The only datacenter there is.
pub const DATACENTER: &str = "dc1";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// Reads.
    pub store: Store<Catalog>,
    /// Writes.
    pub log: Arc<Log>,
    pub agent: Arc<Agent>,
    pub prober: Prober,
    /// The least TTL that a session can have.
    pub least_ttl: Duration,
    /// Told when this node is to end.
    pub end: Arc<Notify>,
    /// Whether this node has what it had answered before it was started.
    caught_up: Arc<watch::Sender<bool>>,
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
            prober: Prober::default(),
            least_ttl,
            end: Arc::default(),
            caught_up: Arc::new(watch::Sender::new(false)),
        }
    }

    /// The state is at the index of a leader: no answer is older than one given before.
    pub fn has_caught_up(&self) {
        self.caught_up.send_replace(true);
    }

    /// Waits until then.
    pub async fn ready(&self) {
        let mut caught_up = self.caught_up.subscribe();
        // The sender is this.
        let _ = caught_up.wait_for(|ready| *ready).await;
    }

    /// Has a command applied, and waits until it is durable and visible.
    pub async fn propose(&self, command: Command) -> Result<Written, HttpError> {
        let written = self.log.write(command).await;
        written.map_err(HttpError::unavailable)
    }

    /// The same for one whose refusal is an error.
    pub async fn write(&self, command: Command) -> Result<(LogIndex, Reply), HttpError> {
        let written = self.propose(command).await?;
        Ok((written.index, written.result?))
    }
}
