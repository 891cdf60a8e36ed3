//! What replicas make of the log.

use super::{image, put};
use crate::store_schema::*;
use highwater::fsm::{Batch, Command, Context, LogEntry, Proposal, Rejected};
use highwater::{LogIndex, Store, Turn, WriteTxn};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

#[derive(Debug, Serialize, Deserialize)]
enum Register {
    Node(String, u32),
    Fail,
}

impl Command<Catalog> for Register {
    type Reply = ();
    type Error = Rejected;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), Rejected> {
        match self {
            Register::Node(name, address) => {
                txn.nodes_mut().upsert(node(&name, address))?;
                Ok(())
            }
            Register::Fail => Err("it is to fail".into()),
        }
    }
}

fn log(commands: Vec<Register>) -> Vec<LogEntry<Register>> {
    (1..)
        .zip(commands)
        .map(|(index, command)| {
            let proposal = Proposal::new(&command, SystemTime::UNIX_EPOCH, 1).unwrap();
            LogEntry::from_proposal(LogIndex(index), proposal)
        })
        .collect()
}

/// consul #7939: replicas that report another index for the same data.
#[test]
fn replicas_tell_the_same_indexes_however_entries_came() {
    let commands = || {
        vec![
            Register::Node("a".into(), 1),
            Register::Fail,
            Register::Node("b".into(), 1),
            Register::Node("a".into(), 2),
        ]
    };
    let one = Store::<Catalog>::new();
    let all = Store::<Catalog>::new();
    for entry in log(commands()) {
        assert!(Batch::new(vec![entry]).apply(&one).halted.is_none());
    }
    assert!(Batch::new(log(commands())).apply(&all).halted.is_none());
    let restored = Store::<Catalog>::from_image(&image(&one)[..]).unwrap();
    for store in [&all, &restored] {
        let (snap, other) = (store.snapshot(), one.snapshot());
        assert_eq!(snap.position(), other.position());
        for key in ["a", "b", "c"] {
            assert_eq!(
                snap.nodes().log_index_of(key),
                other.nodes().log_index_of(key)
            );
            assert_eq!(
                snap.nodes().prefix(key).log_index(),
                other.nodes().prefix(key).log_index()
            );
        }
        assert_eq!(image(store), image(&one));
    }
}

/// The log is applied again after a snapshot that has a part of it.
#[test]
fn what_is_applied_already_is_told_and_not_applied() {
    let store = Store::<Catalog>::new();
    put(&store, 5, "a");
    assert!(matches!(
        store.write_at(LogIndex(3)).unwrap(),
        Turn::AlreadyApplied {
            applied: LogIndex(5)
        }
    ));
    assert_eq!(store.snapshot().services().get("a").unwrap().note, 5);
}
