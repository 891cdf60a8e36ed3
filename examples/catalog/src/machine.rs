//! For tests: a store that commands are applied to, with a clock that the test sets, and nodes of a
//! cluster in this process.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use highwater::fsm::{Outcome, Proposal};
use highwater::{Store, WriteTxn};

use crate::cluster;
use crate::command::{Command, Reply};
use crate::options::Options;
use crate::schema::{Catalog, Check, Node, Service, Status};

pub struct Machine {
    pub store: Store<Catalog>,
    /// What the next command is stamped with.
    pub now: SystemTime,
}

impl Default for Machine {
    fn default() -> Self {
        let mut machine = Machine {
            store: Store::new(),
            now: SystemTime::UNIX_EPOCH + Duration::from_hours(1_000_000),
        };
        machine.edit(|txn| txn.nodes_mut().upsert(node("n")));
        machine
    }
}

impl Machine {
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Applies a command, which is not refused.
    #[track_caller]
    pub fn done(&mut self, command: &Command) -> Reply {
        let seed = self.store.position().index.0;
        let proposal = Proposal::new(command, self.now, seed).unwrap();
        match proposal.apply(&self.store).unwrap() {
            Outcome::Done(Ok(reply)) => reply,
            other => panic!("{command:?}: {other:?}"),
        }
    }

    /// Changes the tables past all commands.
    pub fn edit<R, E: std::fmt::Debug>(
        &mut self,
        edit: impl FnOnce(&mut WriteTxn<Catalog>) -> Result<R, E>,
    ) {
        let mut txn = self.store.write().unwrap();
        edit(&mut txn).unwrap();
        txn.commit().unwrap();
    }
}

/// A cluster of so many nodes, with their data below a folder.
pub async fn in_process(nodes: u64, folder: &Path) -> Vec<Arc<cluster::Node>> {
    let words = format!("catalog --cluster {nodes} --listen 127.0.0.1:0 --data");
    let words = words.split(' ').map(OsStr::new).chain([folder.as_os_str()]);
    let nodes = crate::open(&Options::parse_from(words)).await.unwrap();
    let nodes = nodes.iter().map(|(log, ..)| log.cluster().unwrap().clone());
    nodes.collect()
}

pub fn node(name: &str) -> Node {
    Node {
        name: name.to_owned(),
        ..Node::default()
    }
}

pub fn service(node: &str, id: &str) -> Service {
    Service {
        node: node.to_owned(),
        id: id.to_owned(),
        name: id.to_owned(),
        ..Service::default()
    }
}

/// A check of the node itself, which passes.
pub fn check(node: &str, id: &str) -> Check {
    Check {
        node: node.to_owned(),
        id: id.to_owned(),
        name: id.to_owned(),
        status: Status::Passing,
        ..Check::default()
    }
}
