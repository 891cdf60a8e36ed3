//! Counts that are kept: consul's usage table.

use highwater::{Row, Schema, Store, Table, TableWriter, WriteError};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Instance {
    #[primary_key]
    id: u32,
    service: String,
}

/// How many instances a service has, while it has any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Instance, by = Usage::count)]
struct Usage {
    #[primary_key]
    service: String,
    instances: u64,
}

impl Usage {
    fn count(
        before: Option<&Instance>,
        after: Option<&Instance>,
        usage: &mut TableWriter<'_, Usage>,
    ) -> Result<(), WriteError> {
        let mut add = |of: &Instance, more: i64| {
            let had = usage.read().get(&of.service).map_or(0, |row| row.instances);
            let instances = had.saturating_add_signed(more);
            let service = of.service.clone();
            match instances {
                0 => usage.delete(&service).map(drop),
                _ => usage.upsert(Usage { service, instances }).map(drop),
            }
        };
        before.map_or(Ok(()), |before| add(before, -1))?;
        after.map_or(Ok(()), |after| add(after, 1))
    }
}

#[derive(Schema)]
struct Catalog {
    instances: Instance,
    usage: Usage,
}

/// consul's is written in its Commit, from what a transaction has changed.
#[test]
fn counts_are_of_the_snapshot_they_are_in() {
    let store = Store::<Catalog>::new();
    let instance = |id, service: &str| Instance {
        id,
        service: service.to_owned(),
    };
    let usage = || {
        let snap = store.snapshot();
        let pair = |row: &Row<Usage>| (row.service.clone(), row.instances);
        assert_eq!(
            snap.usage().iter().map(|row| row.instances).sum::<u64>(),
            snap.instances().len() as u64
        );
        snap.usage().iter().map(pair).collect::<Vec<_>>()
    };
    let pair = |service: &str, instances| (service.to_owned(), instances);
    let mut txn = store.write().unwrap();
    for (id, service) in [(1, "web"), (2, "web"), (3, "db")] {
        txn.instances_mut().insert(instance(id, service)).unwrap();
    }
    txn.commit().unwrap();
    assert_eq!(usage(), [pair("db", 1), pair("web", 2)]);
    let (_, watch) = store.watch(|db| db.usage().contains("db"));
    let mut txn = store.write().unwrap();
    txn.instances_mut().update(instance(3, "web")).unwrap();
    txn.instances_mut().delete(1).unwrap();
    txn.commit().unwrap();
    assert_eq!(usage(), [pair("web", 2)]);
    assert!(watch.has_fired());
    // What is abandoned is not counted.
    let mut txn = store.write().unwrap();
    txn.instances_mut().insert(instance(9, "db")).unwrap();
    drop(txn);
    assert_eq!(usage(), [pair("web", 2)]);
}
