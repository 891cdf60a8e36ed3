//! Whether a table has all that it begins with: a record for each that is still to fill it. Such a record is
//! as much a part of a snapshot as what is filled in.

use crate::device::{Device, device, soon};
use highwater::{LogIndex, Schema, Store, Table, WriteError, WriteTxn};
use serde::{Deserialize, Serialize};

/// Who fills a table, and has not done so yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(local)]
struct Initializer {
    #[primary_key]
    table: String,
    #[primary_key]
    name: String,
}

#[derive(Schema)]
struct Agent {
    devices: Device,
    initializers: Initializer,
}

/// A second of the same name is an error.
fn register(txn: &mut WriteTxn<Agent>, name: &str) -> Result<(), WriteError> {
    txn.initializers_mut().insert(Initializer {
        table: Device::NAME.to_owned(),
        name: name.to_owned(),
    })
}

/// May be told again.
fn done(txn: &mut WriteTxn<Agent>, name: &str) -> Result<(), WriteError> {
    txn.initializers_mut()
        .delete((Device::NAME, name))
        .map(drop)
}

fn pending(db: &AgentView) -> Vec<String> {
    let pending = db.initializers().leading(Device::NAME);
    pending
        .map(|initializer| initializer.name.clone())
        .collect()
}

fn is_initialized(db: &AgentView) -> bool {
    db.initializers().leading(Device::NAME).next().is_none()
}

fn commit(store: &Store<Agent>, write: impl FnOnce(&mut WriteTxn<Agent>)) {
    let mut txn = store.write().unwrap();
    write(&mut txn);
    txn.commit().unwrap();
}

#[test]
fn a_table_is_initialized_when_all_who_registered_are_done() {
    let store = Store::<Agent>::new();
    // Nobody has registered.
    assert!(is_initialized(&store.snapshot()));
    commit(&store, |txn| {
        register(txn, "one").unwrap();
        register(txn, "two").unwrap();
        assert!(register(txn, "two").is_err());
    });
    let (initialized, watch) = store.watch(is_initialized);
    assert!(!initialized.value);
    let old = store.snapshot();
    assert_eq!(pending(&old), ["one", "two"]);
    // With what it fills in, in one transaction.
    commit(&store, |txn| {
        txn.devices_mut().insert(device(1, &[])).unwrap();
        done(txn, "one").unwrap();
        done(txn, "one").unwrap();
        assert!(!is_initialized(txn));
    });
    assert_eq!(pending(&old), ["one", "two"]);
    assert_eq!(pending(&store.snapshot()), ["two"]);
    commit(&store, |txn| {
        done(txn, "two").unwrap();
        assert!(is_initialized(txn));
    });
    assert!(watch.has_fired() && is_initialized(&store.snapshot()));
    assert!(!is_initialized(&old));
    // More come, and it is not any more.
    commit(&store, |txn| register(txn, "three").unwrap());
    assert!(!is_initialized(&store.snapshot()));
}

#[test]
fn who_waits_for_it_is_told_and_sees_what_was_filled_in() {
    let store = Store::<Agent>::new();
    commit(&store, |txn| {
        register(txn, "one").unwrap();
        register(txn, "two").unwrap();
    });
    let devices = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut after = LogIndex(0);
            loop {
                let query = |db: &AgentView| is_initialized(db).then(|| db.devices().len());
                let answer = store.blocking_query(after, soon(), query).unwrap();
                assert!(answer.changed, "it hangs");
                match answer.value {
                    Some(devices) => return devices,
                    None => after = answer.index,
                }
            }
        });
        for (id, name) in [(1, "one"), (2, "two")] {
            commit(&store, |txn| {
                txn.devices_mut().insert(device(id, &[])).unwrap();
                done(txn, name).unwrap();
            });
        }
        waiting.join().unwrap()
    });
    assert_eq!(devices, 2);
}
