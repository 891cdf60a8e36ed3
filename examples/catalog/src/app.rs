//! What every request is handled with: the store, the log that writes to it, and this node.

use std::net::SocketAddr;
use std::sync::Arc;

use highwater::Store;

use crate::command::{Command, Rejected, Reply};
use crate::http::HttpError;
use crate::log::{Failure, Log};
use crate::schema::{Catalog, Node};
use crate::timers::Timers;

/// The only datacenter there is.
pub const DATACENTER: &str = "dc1";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// Reads.
    pub store: Store<Catalog>,
    /// Writes.
    log: Arc<Log>,
    pub agent: Arc<Agent>,
    pub timers: Timers,
}

/// This node.
#[derive(Debug)]
pub struct Agent {
    pub node: Node,
    /// Where it listens.
    pub address: SocketAddr,
}

impl App {
    pub fn new(log: Log, agent: Agent, timers: Timers) -> Self {
        App {
            store: log.store().clone(),
            log: Arc::new(log),
            agent: Arc::new(agent),
            timers,
        }
    }

    /// Has a command applied, and waits until it is durable and visible.
    pub async fn propose(&self, command: Command) -> Result<Result<Reply, Rejected>, HttpError> {
        let committed = self.log.propose_async(command).await;
        Ok(committed.map_err(HttpError::unavailable)?.result)
    }

    /// Closes the log, when nobody asks for anything any more.
    pub fn close(&self) -> Result<(), Failure> {
        Ok(self.log.close()?)
    }
}
