//! What is written: to one record, and by an entry of the log.

use super::cluster::{Cluster, Job, Node};
use highwater::fsm::{Command, Context, LogEntry, Proposal, Rejected};
use highwater::{LogIndex, WriteError, WriteTxn};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// A write to one record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Write {
    Put(Job),
    Delete(u8),
    Node(Node),
    /// With its jobs.
    DeleteNode(u8),
    /// Of a key range.
    Clear,
}

pub(super) fn write() -> impl Strategy<Value = Write> {
    let port = prop::option::weighted(0.4, 0_u8..12);
    prop_oneof![
        8 => (0_u8..8, 0_u8..4, 0_u32..3, port)
            .prop_map(|(id, node, cores, port)| Write::Put(Job { id, node, cores, port })),
        3 => (0_u8..8).prop_map(Write::Delete),
        4 => (0_u8..4, 0_u8..3).prop_map(|(id, zone)| Write::Node(Node { id, zone })),
        1 => (0_u8..4).prop_map(Write::DeleteNode),
        1 => Just(Write::Clear),
    ]
}

impl Write {
    pub(super) fn run(self, txn: &mut WriteTxn<Cluster>) -> Result<(), WriteError> {
        match self {
            Write::Put(job) => txn.jobs_mut().upsert(job).map(drop),
            Write::Delete(id) => txn.jobs_mut().delete(id).map(drop),
            Write::Node(node) => txn.nodes_mut().upsert(node).map(drop),
            Write::DeleteNode(id) => txn.nodes_mut().delete(id).map(drop),
            Write::Clear => txn.jobs_mut().delete_where(|job| job.id < 4).map(drop),
        }
    }
}

/// An entry of the log: writes, of which the last can be a refusal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) writes: Vec<Write>,
    pub(super) refuse: bool,
}

impl Command<Cluster> for Request {
    type Reply = ();
    type Error = Rejected;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), Rejected> {
        for write in self.writes {
            write.run(txn)?;
        }
        if self.refuse {
            return Err("it is to be refused".into());
        }
        Ok(())
    }
}

pub(super) fn entries(log: &[Request], first: u64) -> Vec<LogEntry<Request>> {
    let entry = |(index, request)| {
        let proposal = Proposal::new(request, SystemTime::UNIX_EPOCH, 0).unwrap();
        LogEntry::from_proposal(LogIndex(index), proposal)
    };
    (first..).zip(log).map(entry).collect()
}
