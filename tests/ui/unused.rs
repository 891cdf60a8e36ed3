//! What does nothing unless it is used, and is not.
#![deny(unused_must_use)]
use highwater::fsm::{Batch, Command, Context, Proposal};
use highwater::journal::Journal;
use highwater::{LogIndex, Schema, Start, Store, Table, WriteError, WriteTxn};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    name: String,
}

#[derive(Schema)]
struct Cluster {
    nodes: Node,
}

#[derive(Serialize, Deserialize)]
struct Add(Node);

impl Command<Cluster> for Add {
    type Reply = ();
    type Error = WriteError;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), WriteError> {
        txn.nodes_mut().insert(self.0)
    }
}

fn propose(journal: &Journal<Cluster, Add>, add: Add) -> Result<(), Box<dyn std::error::Error>> {
    journal.propose(add)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::<Cluster>::new();
    store.write_at(LogIndex(1))?;
    store.feed(Start::Now)?;
    store.feed(Start::Now)?.into_iter();
    store.write()?.changes().nodes();
    store.snapshot().nodes().iter();
    Proposal::<Add>::from_bytes(Vec::new())?;
    Proposal::<Add>::from_bytes(Vec::new())?.apply(&store)?;
    Batch::<Add>::new(Vec::new()).dense();
    Batch::<Add>::new(Vec::new()).apply(&store);
    Ok(())
}
