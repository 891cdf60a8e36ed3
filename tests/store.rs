//! Transactions, queries and errors of the store.

mod store_schema;

use highwater::{
    CommitError, HistoryId, LogIndex, Options, Position, Row, Snapshot, Store, StoreError, Table,
    Turn, WaitError, WriteError, WriteTxn,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use store_schema::*;

fn ids<'a>(rows: impl Iterator<Item = &'a Row<Service>>) -> Vec<&'a str> {
    rows.map(|row| row.id.as_str()).collect()
}

#[test]
fn handles_go_to_any_thread() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<WriteTxn<Catalog>>();
    send::<Turn<Catalog>>();
    send::<Snapshot<Catalog>>();
    sync::<Snapshot<Catalog>>();
    send::<Store<Catalog>>();
    sync::<Store<Catalog>>();
    send::<highwater::Subscription<Catalog>>();
    send::<highwater::Event<Catalog>>();
    sync::<highwater::Event<Catalog>>();
    send::<highwater::Rows<'static, Service>>();
}

#[test]
fn finds_records_by_every_index() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    for (id, node, name) in [
        ("web-1", "n1", "web"),
        ("web-2", "n2", "web"),
        ("db", "n1", "db"),
        ("web", "n1", "web"),
        ("webby", "n3", "webby"),
    ] {
        txn.services_mut().insert(service(id, node, name)).unwrap();
    }
    txn.services_mut()
        .upsert(tagged("t", &["red", "blue"]))
        .unwrap();
    txn.services_mut()
        .upsert(Service {
            port: Some(80),
            ..service("p", "n", "s")
        })
        .unwrap();
    // The transaction reads its own writes.
    assert_eq!(txn.services().len(), 7);
    assert_eq!(ids(txn.services().by_node("n1")), ["db", "web", "web-1"]);
    assert_eq!(txn.commit(), Ok(LogIndex(1)));

    let snap = store.snapshot();
    let services = snap.services();
    assert_eq!(
        services.get("web-1").map(|row| row.node.as_str()),
        Some("n1")
    );
    assert_eq!(services.get("none"), None);
    assert!(services.contains("db") && !services.contains("d"));
    assert_eq!(services.len(), 7);
    assert!(!services.is_empty());
    assert_eq!(
        ids(services.iter()),
        ["db", "p", "t", "web", "web-1", "web-2", "webby"]
    );
    assert_eq!(
        ids(services.iter().rev()),
        ["webby", "web-2", "web-1", "web", "t", "p", "db"]
    );
    assert_eq!(ids(services.range("p".."web-1")), ["p", "t", "web"]);
    assert_eq!(
        ids(services.range("p"..="web-1")),
        ["p", "t", "web", "web-1"]
    );
    assert_eq!(ids(services.range("web-2"..)), ["web-2", "webby"]);
    assert_eq!(ids(services.range("web".."db")), Vec::<&str>::new());
    assert_eq!(ids(services.prefix("web-")), ["web-1", "web-2"]);
    assert_eq!(
        ids(services.prefix("web").rev()),
        ["webby", "web-2", "web-1", "web"]
    );
    assert_eq!(services.first().map(|row| row.id.as_str()), Some("db"));
    assert_eq!(services.last().map(|row| row.id.as_str()), Some("webby"));
    assert_eq!(
        services
            .longest_prefix("web-1-x")
            .map(|row| row.id.as_str()),
        Some("web-1")
    );
    assert_eq!(
        services.longest_prefix("we").map(|row| row.id.as_str()),
        None
    );

    assert_eq!(ids(services.by_node("n1")), ["db", "web", "web-1"]);
    assert_eq!(ids(services.by_node("n1").rev()), ["web-1", "web", "db"]);
    assert_eq!(ids(services.node_index().range("n2"..)), ["web-2", "webby"]);
    assert_eq!(
        ids(services.node_index().prefix("n").take(3)),
        ["p", "t", "db"]
    );
    assert_eq!(ids(services.by_name_node(("web", "n1"))), ["web", "web-1"]);
    assert_eq!(
        ids(services.name_node_index().leading("web")),
        ["web", "web-1", "web-2"]
    );
    assert_eq!(
        ids(services.name_node_index().leading("web").rev()),
        ["web-2", "web-1", "web"]
    );
    assert_eq!(ids(services.by_tags("red")), ["t"]);
    assert_eq!(ids(services.tags_index().iter()), ["t", "t"]);
    assert_eq!(services.by_port(80).map(|row| row.id.as_str()), Some("p"));
    assert_eq!(services.by_port(81), None);
    snap.check().unwrap();

    // Both ends of one iterator meet.
    let mut rows = services.iter();
    let mut both = Vec::new();
    while let Some(front) = rows.next() {
        both.push(front.id.as_str());
        both.extend(rows.next_back().map(|row| row.id.as_str()));
    }
    assert_eq!(both, ["db", "webby", "p", "web-2", "t", "web-1", "web"]);
}

#[test]
fn composite_primary_keys() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    for (node, number) in [("b", -1), ("a", 2), ("a", -7), ("ab", 0)] {
        txn.checks_mut().insert(check(node, number, &[])).unwrap();
    }
    let numbers: Vec<i32> = txn.checks().leading("a").map(|row| row.number).collect();
    assert_eq!(numbers, [-7, 2]);
    assert!(txn.checks().contains(("b", -1)));
    assert!(txn.checks_mut().delete(("b", -1)).unwrap().is_some());
    assert!(!txn.checks().contains(("b", -1)));
}

#[test]
fn operations_say_what_was_there() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    let mut nodes = txn.nodes_mut();
    nodes.insert(node("a", 1)).unwrap();
    let error = nodes.insert(node("a", 2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table nodes already has a record with key \"a\""
    );
    assert_eq!(*nodes.update(node("a", 3)).unwrap(), node("a", 1));
    let error = nodes.update(node("b", 3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table nodes has no record with key \"b\""
    );
    assert_eq!(nodes.upsert(node("b", 4)).unwrap(), None);
    assert_eq!(*nodes.upsert(node("b", 5)).unwrap().unwrap(), node("b", 4));
    assert_eq!(*nodes.delete("b").unwrap().unwrap(), node("b", 5));
    assert_eq!(nodes.delete("b").unwrap(), None);
    let all: Vec<Node> = nodes.read().iter().map(|row| (**row).clone()).collect();
    assert_eq!(all, [node("a", 3)]);
}

#[test]
fn compare_and_set_on_the_modify_index() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 5, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    let mut txn = at(&store, 9);
    let mut nodes = txn.nodes_mut();
    let error = nodes.upsert_if(node("a", 2), LogIndex(4)).unwrap_err();
    let WriteError::Conflict {
        table: "nodes",
        expected: LogIndex(4),
        found: LogIndex(5),
        ..
    } = error
    else {
        panic!("{error}");
    };
    // Zero: it must be absent.
    assert!(nodes.upsert_if(node("a", 2), LogIndex(0)).is_err());
    assert_eq!(nodes.upsert_if(node("b", 2), LogIndex(0)).unwrap(), None);
    assert!(nodes.upsert_if(node("c", 2), LogIndex(5)).is_err());
    let error = nodes.update_if(node("c", 2), LogIndex(0)).unwrap_err();
    assert!(matches!(error, WriteError::NotFound { .. }), "{error}");
    let error = nodes.delete_if("c", LogIndex(0)).unwrap_err();
    assert!(matches!(error, WriteError::NotFound { .. }), "{error}");
    assert!(matches!(
        nodes.delete_if("c", LogIndex(1)).unwrap_err(),
        WriteError::Conflict {
            found: LogIndex(0),
            ..
        }
    ));
    assert_eq!(
        *nodes.update_if(node("a", 3), LogIndex(5)).unwrap(),
        node("a", 1)
    );
    // What this entry wrote has its index.
    assert_eq!(*nodes.delete_if("a", LogIndex(9)).unwrap(), node("a", 3));
    assert_eq!(nodes.read().len(), 1);
}

#[test]
fn create_and_modify_indexes() {
    let store = Store::<Catalog>::new();
    let indexes = |name: &str| {
        let snap = store.snapshot();
        snap.nodes()
            .get(name)
            .map(|row| (row.create_index().0, row.modify_index().0))
    };
    commit_at(&store, 3, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    assert_eq!(indexes("a"), Some((3, 3)));
    commit_at(&store, 8, |txn| {
        drop(txn.nodes_mut().update(node("a", 2)).unwrap());
    });
    assert_eq!(indexes("a"), Some((3, 8)));
    // The same record again changes nothing.
    commit_at(&store, 9, |txn| {
        assert_eq!(
            *txn.nodes_mut().upsert(node("a", 2)).unwrap().unwrap(),
            node("a", 2)
        );
    });
    assert_eq!(indexes("a"), Some((3, 8)));
    commit_at(&store, 10, |txn| {
        txn.nodes_mut().delete("a").unwrap();
        txn.nodes_mut().insert(node("a", 2)).unwrap();
    });
    assert_eq!(indexes("a"), Some((10, 10)));
}

#[test]
fn unique_indexes_refuse_and_leave_all_as_it_was() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    let with = |id: &str, port| Service {
        port: Some(port),
        ..tagged(id, &["x"])
    };
    txn.services_mut().insert(with("a", 1)).unwrap();
    txn.services_mut().insert(with("b", 2)).unwrap();
    let error = txn.services_mut().upsert(with("b", 1)).unwrap_err();
    let WriteError::NotUnique {
        table: "services",
        index: "port",
        holder,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(holder.to_string(), "\"a\"");
    assert!(txn.services_mut().insert(with("c", 2)).is_err());
    assert_eq!(txn.services().get("b").unwrap().port, Some(2));
    assert_eq!(ids(txn.services().by_tags("x")), ["a", "b"]);
    assert_eq!(txn.services().by_port(1).unwrap().id, "a");
    // Its own key is not another's, and a key given up is free.
    txn.services_mut()
        .update(Service {
            note: 7,
            ..with("a", 1)
        })
        .unwrap();
    txn.services_mut().update(with("a", 3)).unwrap();
    txn.services_mut().update(with("b", 1)).unwrap();
    // The first clash in declared order and sorted keys is the one that is told.
    txn.checks_mut().insert(check("n", 1, &["m", "k"])).unwrap();
    let error = txn
        .checks_mut()
        .insert(check("n", 2, &["z", "m", "k"]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "table checks, unique index aliases: key \"k\" belongs to record 0x6e000080000001"
    );
    txn.checks_mut().insert(check("n", 2, &["z", "z"])).unwrap();
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

#[test]
fn keys_have_a_limit() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    let long = "x".repeat(highwater::MAX_KEY_LEN);
    let error = txn.nodes_mut().insert(node(&long, 1)).unwrap_err();
    assert_eq!(
        error,
        WriteError::KeyTooLong {
            table: "nodes",
            index: None,
            len: highwater::MAX_KEY_LEN + 2
        }
    );
    let most = &long[..highwater::MAX_KEY_LEN - 2];
    txn.nodes_mut().insert(node(most, 1)).unwrap();
    assert!(txn.nodes().contains(most));
    assert!(!txn.nodes().contains(long.as_str()));
    assert_eq!(txn.nodes_mut().delete(long.as_str()).unwrap(), None);
    // An entry of an index is its key and the primary key.
    let error = txn
        .services_mut()
        .insert(service(&long[..3000], &long[..2000], ""))
        .unwrap_err();
    assert_eq!(
        error,
        WriteError::KeyTooLong {
            table: "services",
            index: Some("name_node"),
            len: 5006
        }
    );
    assert!(txn.services().is_empty());
}

#[test]
fn log_indexes_rise_and_are_used_once() {
    let store = Store::<Catalog>::new();
    assert_eq!(store.position(), Position::default());
    // Nothing changed: nothing published, no index used.
    let mut txn = store.write().unwrap();
    assert_eq!(txn.index(), LogIndex(1));
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    txn.nodes_mut().delete("a").unwrap();
    assert_eq!(txn.commit(), Ok(LogIndex(0)));
    // A dropped transaction uses none either.
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    drop(txn);
    assert!(store.snapshot().nodes().is_empty());
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    assert!(store.try_write().unwrap().is_none());
    assert_eq!(txn.commit(), Ok(LogIndex(1)));
    assert!(store.try_write().unwrap().is_some());
    // A driver's indexes may leave gaps; what is applied is not applied again.
    commit_at(&store, 7, |txn| {
        txn.nodes_mut().insert(node("b", 1)).unwrap();
    });
    for index in [0, 1, 6, 7] {
        let turn = store.write_at(LogIndex(index)).unwrap();
        assert!(
            matches!(
                turn,
                Turn::AlreadyApplied {
                    applied: LogIndex(7)
                }
            ),
            "{index}"
        );
    }
    // Entries without data.
    store.advance_to(LogIndex(9)).unwrap();
    store.advance_to(LogIndex(8)).unwrap();
    assert_eq!(store.position().index, LogIndex(9));
    commit_at(&store, 12, |_| ());
    assert_eq!(store.snapshot().index(), LogIndex(12));
    assert_eq!(store.snapshot().nodes().index(), LogIndex(7));
    store.advance_to(LogIndex(u64::MAX)).unwrap();
    assert_eq!(store.write().unwrap_err(), StoreError::IndexesExhausted);
}

#[test]
fn a_batch_publishes_once_and_keeps_its_entries_apart() {
    let store = Store::<Catalog>::new();
    let mut txn = at(&store, 10);
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    assert_eq!(
        txn.next_entry(LogIndex(10)),
        Err(CommitError::IndexNotHigher {
            given: LogIndex(10),
            last: LogIndex(10)
        })
    );
    txn.next_entry(LogIndex(12)).unwrap();
    assert_eq!(txn.index(), LogIndex(12));
    txn.nodes_mut().insert(node("b", 1)).unwrap();
    txn.nodes_mut().update(node("a", 2)).unwrap();
    txn.next_entry(LogIndex(15)).unwrap();
    assert_eq!(store.position().index, LogIndex(0));
    assert_eq!(txn.commit(), Ok(LogIndex(15)));
    let snap = store.snapshot();
    let indexes: Vec<_> = snap
        .nodes()
        .iter()
        .map(|row| (row.create_index().0, row.modify_index().0))
        .collect();
    assert_eq!(indexes, [(10, 12), (12, 12)]);
    assert_eq!(snap.nodes().index(), LogIndex(12));
}

#[test]
fn snapshots_never_change() {
    let store = Store::<Catalog>::new();
    let mut held = vec![(store.snapshot(), Vec::new())];
    let mut names = Vec::new();
    for i in 1..60_u32 {
        let name = format!("{:02}", i * 37 % 59);
        commit_at(&store, u64::from(i), |txn| {
            txn.nodes_mut().insert(node(&name, i)).unwrap();
            if i % 3 == 0 {
                txn.nodes_mut().delete(names.remove(0)).unwrap();
            }
            names.push(name.clone());
        });
        held.push((store.snapshot(), names.clone()));
    }
    for (i, (snap, names)) in held.iter_mut().enumerate() {
        names.sort();
        let found: Vec<&str> = snap.nodes().iter().map(|row| row.name.as_str()).collect();
        assert_eq!(found, *names);
        assert_eq!(snap.clone().index(), LogIndex(i as u64));
    }
    drop(store);
    let (last, names) = held.pop().unwrap();
    assert_eq!(last.nodes().len(), names.len());
    last.check().unwrap();
}

#[test]
fn savepoints_roll_back_a_part() {
    let store = Store::<Catalog>::new();
    let mut txn = at(&store, 1);
    let names = |txn: &WriteTxn<Catalog>| {
        let names = txn
            .nodes()
            .iter()
            .map(|row| format!("{}{}", row.name, row.address));
        names.collect::<Vec<_>>().concat()
    };
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    txn.set_driver_state(vec![1]);
    let outer = txn.savepoint();
    txn.nodes_mut().update(node("a", 2)).unwrap();
    txn.nodes_mut().insert(node("b", 1)).unwrap();
    let inner = txn.savepoint();
    txn.nodes_mut().delete("a").unwrap();
    txn.set_driver_state(vec![2]);
    txn.rollback_to(inner);
    assert_eq!(names(&txn), "a2b1");
    assert_eq!(txn.driver_state(), Some(&[1][..]));
    let kept = txn.savepoint();
    txn.nodes_mut().insert(node("c", 1)).unwrap();
    txn.release(kept);
    assert_eq!(names(&txn), "a2b1c1");
    txn.rollback_to(outer);
    assert_eq!(names(&txn), "a1");
    let failed: Result<(), WriteError> = txn.attempt(|txn| {
        txn.nodes_mut().upsert(node("d", 1))?;
        txn.nodes_mut().insert(node("a", 1))
    });
    assert!(failed.is_err());
    let done: Result<u32, WriteError> = txn.attempt(|txn| {
        txn.nodes_mut().upsert(node("e", 1))?;
        Ok(5)
    });
    assert_eq!(done, Ok(5));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        txn.attempt(|txn| -> Result<(), ()> {
            txn.nodes_mut().upsert(node("f", 1)).unwrap();
            std::panic::resume_unwind(Box::new(()));
        })
    }));
    assert!(unwound.is_err());
    assert_eq!(names(&txn), "a1e1");
    // One left open is kept by the commit, one of an ended entry is gone.
    let _open = txn.savepoint();
    let stale = txn.savepoint();
    txn.next_entry(LogIndex(2)).unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(|| txn.rollback_to(stale)));
    assert!(unwound.is_err());
    txn.commit().unwrap();
    assert_eq!(store.snapshot().driver_state(), Some(&[1][..]));
    let snap = store.snapshot();
    assert_eq!(snap.nodes().len(), 2);
    snap.check().unwrap();
}

#[test]
fn exchanged_views_are_exchanged_transactions() {
    let (one, two) = (Store::<Catalog>::new(), Store::<Catalog>::new());
    let (mut of_one, mut of_two) = (at(&one, 1), at(&two, 2));
    of_one.nodes_mut().insert(node("one", 1)).unwrap();
    let savepoint = of_one.savepoint();
    std::mem::swap(&mut *of_one, &mut *of_two);
    of_two.nodes_mut().insert(node("more", 1)).unwrap();
    of_two.rollback_to(savepoint);
    assert_eq!(of_one.index(), LogIndex(2));
    assert_eq!(of_two.commit(), Ok(LogIndex(1)));
    assert_eq!(of_one.commit(), Ok(LogIndex(2)));
    assert_eq!(
        (one.snapshot().nodes().len(), two.snapshot().nodes().len()),
        (1, 0)
    );
}

#[test]
fn transactions_travel_between_threads() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    let index = thread::spawn(move || {
        txn.nodes_mut().insert(node("b", 1)).unwrap();
        txn.commit()
    });
    assert_eq!(index.join().unwrap(), Ok(LogIndex(1)));
    assert_eq!(store.snapshot().nodes().len(), 2);
}

/// User code that panics when it is told to.
mod faulty {
    use super::*;
    use serde::{Deserialize, Serialize};

    pub(crate) static PANIC: AtomicBool = AtomicBool::new(false);

    fn trip() {
        if PANIC.load(Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("told to"));
        }
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub(crate) struct Field(pub(crate) u8);

    impl PartialEq for Field {
        fn eq(&self, other: &Self) -> bool {
            trip();
            self.0 == other.0
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Marked(pub(crate) u8);

    impl highwater::Key for Marked {
        fn encode(&self, out: &mut highwater::KeyBuf) {
            trip();
            out.push(self.0);
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    pub(crate) struct Faulty {
        #[primary_key]
        pub(crate) id: u32,
        #[index]
        pub(crate) marked: Marked,
        pub(crate) field: Field,
    }

    #[derive(highwater::Schema)]
    pub(crate) struct Faults {
        faults: Faulty,
    }

    pub(crate) fn faulty(id: u32, byte: u8) -> Faulty {
        Faulty {
            id,
            marked: Marked(byte),
            field: Field(byte),
        }
    }
}

#[test]
fn a_panic_in_user_code_leaves_nothing_half_done() {
    use faulty::{Faults, PANIC, faulty};
    let store = Store::<Faults>::new();
    let mut txn = store.write().unwrap();
    txn.faults_mut().insert(faulty(1, 1)).unwrap();
    let mut panics = |f: &mut dyn FnMut(&mut WriteTxn<Faults>)| {
        PANIC.store(true, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| f(&mut txn))).is_err());
        PANIC.store(false, Ordering::Relaxed);
        assert_eq!(txn.faults().len(), 1);
        assert_eq!(txn.faults().by_marked(&faulty::Marked(1)).count(), 1);
    };
    panics(&mut |txn| drop(txn.faults_mut().upsert(faulty(1, 2))));
    panics(&mut |txn| drop(txn.faults_mut().insert(faulty(2, 2))));
    panics(&mut |txn| drop(txn.faults_mut().delete(1_u32)));
    txn.faults_mut().upsert(faulty(1, 3)).unwrap();
    assert_eq!(txn.commit(), Ok(LogIndex(1)));
    store.snapshot().check().unwrap();

    // A watcher is woken though the key function will not say again what changed.
    let (_, watch) = store.watch(|db| db.faults().by_marked(&faulty::Marked(9)).count());
    let mut txn = store.write().unwrap();
    txn.faults_mut().upsert(faulty(1, 4)).unwrap();
    PANIC.store(true, Ordering::Relaxed);
    let committed = txn.commit();
    PANIC.store(false, Ordering::Relaxed);
    assert_eq!(committed, Ok(LogIndex(2)));
    assert!(watch.has_fired());

    // A panic in a transaction leaves the store as it was, and open.
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut txn = store.write().unwrap();
        txn.faults_mut().insert(faulty(7, 7)).unwrap();
        std::panic::resume_unwind(Box::new("in the middle"));
    }));
    assert!(unwound.is_err());
    assert_eq!(store.position().index, LogIndex(2));
    assert!(store.write().is_ok());
}

/// A record whose destructor uses the store.
mod noisy {
    use super::*;
    use serde::{Deserialize, Serialize};

    pub(crate) static STORE: OnceLock<Mutex<Option<Store<Noise>>>> = OnceLock::new();
    pub(crate) static DROPPED: AtomicUsize = AtomicUsize::new(0);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Loud(pub(crate) u8);

    impl Drop for Loud {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            let store = STORE.get().and_then(|store| store.try_lock().ok()?.clone());
            if let Some(store) = store {
                let _ = store.snapshot().noises().len();
                drop(
                    store
                        .try_write()
                        .unwrap()
                        .expect("the writer's slot is free"),
                );
            }
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Table)]
    pub(crate) struct Noisy {
        #[primary_key]
        pub(crate) id: u32,
        pub(crate) loud: Loud,
    }

    #[derive(highwater::Schema)]
    pub(crate) struct Noise {
        noises: Noisy,
    }
}

#[test]
fn destructors_run_when_the_store_is_free() {
    use noisy::{DROPPED, Loud, Noise, Noisy, STORE};
    let store = Store::<Noise>::with_options(Options {
        window: 1,
        ..Options::default()
    });
    let cell = STORE.get_or_init(|| Mutex::new(Some(store.clone())));
    let mut kept = Vec::new();
    for round in 0..40_u8 {
        let mut txn = store.write().unwrap();
        for id in 0..5 {
            let mut row = Noisy {
                id,
                loud: Loud(round),
            };
            row.loud.0 += 1;
            let previous = txn.noises_mut().upsert(row).unwrap();
            // Kept over the end of the transaction: its count is not the last here.
            kept.push(previous);
        }
        let savepoint = txn.savepoint();
        let extra = Noisy {
            id: 100,
            loud: Loud(0),
        };
        txn.noises_mut().insert(extra).unwrap();
        txn.rollback_to(savepoint);
        if round % 4 == 0 {
            drop(txn);
        } else {
            txn.commit().unwrap();
        }
    }
    store.collect();
    // At least those undone and those of dropped transactions are gone.
    assert!(DROPPED.load(Ordering::Relaxed) >= 40);
    *cell.lock().unwrap() = None;
}

#[test]
fn waits_for_an_index() {
    let store = Store::<Catalog>::new();
    let long_ago = Instant::now();
    assert_eq!(
        store
            .snapshot_at_least(LogIndex(0), long_ago)
            .unwrap()
            .index(),
        LogIndex(0)
    );
    assert_eq!(
        store.snapshot_at_least(LogIndex(3), shortly()).unwrap_err(),
        WaitError::Lagging {
            wanted: LogIndex(3),
            applied: LogIndex(0)
        }
    );
    let waiters: Vec<_> = (1..=6_u64)
        .map(|index| {
            let store = store.clone();
            thread::spawn(move || {
                let snap = if index % 2 == 0 {
                    store.snapshot_at_least(LogIndex(index), soon())
                } else {
                    let never = std::future::pending();
                    block_on(store.snapshot_at_least_async(LogIndex(index), never))
                };
                assert!(snap.unwrap().index() >= LogIndex(index));
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(5));
    commit_at(&store, 2, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    // Entries without data count.
    store.advance_to(LogIndex(5)).unwrap();
    let mut txn = at(&store, 6);
    txn.next_entry(LogIndex(7)).unwrap();
    txn.commit().unwrap();
    for waiter in waiters {
        waiter.join().unwrap();
    }
    let ready = std::future::ready(());
    assert_eq!(
        block_on(store.snapshot_at_least_async(LogIndex(8), ready)).unwrap_err(),
        WaitError::Lagging {
            wanted: LogIndex(8),
            applied: LogIndex(7)
        }
    );
}

#[test]
fn a_store_that_ends_tells_its_waiters_and_goes_on_reading() {
    type End = fn(Store<Catalog>);
    let halted = || "bad entry".to_owned();
    let ends: [(End, WaitError, StoreError); 3] = [
        (|store| store.close(), WaitError::Closed, StoreError::Closed),
        (
            |store| store.halt("bad entry"),
            WaitError::Halted { reason: halted() },
            StoreError::Halted { reason: halted() },
        ),
        // Twice: the first reason stays.
        (
            |store| {
                store.halt("bad entry");
                store.close();
            },
            WaitError::Halted { reason: halted() },
            StoreError::Halted { reason: halted() },
        ),
    ];
    for (end, wait_error, store_error) in ends {
        let store = Store::<Catalog>::new();
        commit_at(&store, 1, |txn| {
            txn.nodes_mut().insert(node("a", 1)).unwrap();
        });
        let waiter = {
            let store = store.clone();
            thread::spawn(move || store.snapshot_at_least(LogIndex(2), soon()).unwrap_err())
        };
        let asker = {
            let store = store.clone();
            thread::spawn(move || {
                store
                    .blocking_query(LogIndex(1), soon(), |db| db.nodes().len())
                    .unwrap_err()
            })
        };
        let txn = at(&store, 2);
        thread::sleep(Duration::from_millis(5));
        end(store.clone());
        assert_eq!(waiter.join().unwrap(), wait_error);
        assert_eq!(asker.join().unwrap(), wait_error);
        // The running transaction cannot commit, nor can a new one begin.
        assert!(txn.commit().is_err());
        assert_eq!(store.write().unwrap_err(), store_error);
        assert_eq!(store.write_at(LogIndex(9)).unwrap_err(), store_error);
        assert_eq!(store.advance_to(LogIndex(9)).unwrap_err(), store_error);
        // What can be answered at once is.
        assert_eq!(store.snapshot().nodes().len(), 1);
        assert_eq!(
            store
                .snapshot_at_least(LogIndex(1), soon())
                .unwrap()
                .index(),
            LogIndex(1)
        );
        let answer = store
            .blocking_query(LogIndex(0), soon(), |db| db.nodes().len())
            .unwrap();
        assert_eq!((answer.value, answer.changed), (1, true));
        assert_eq!(
            store
                .blocking_query(LogIndex(1), soon(), |db| db.nodes().len())
                .unwrap_err(),
            wait_error
        );
    }
}

#[test]
fn the_last_handle_closes_the_store() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    let (_, watch) = store.watch(|db| db.nodes().contains("b"));
    let mut feed = store.subscribe(highwater::Start::Now).unwrap();
    let snap = store.snapshot();
    let txn = at(&store, 2);
    let other = store.clone();
    drop(store);
    assert!(!watch.has_fired());
    drop(other);
    assert!(watch.has_fired());
    assert_eq!(
        feed.try_next().unwrap_err(),
        highwater::SubscribeError::Closed
    );
    assert_eq!(txn.commit(), Err(CommitError::Closed));
    assert_eq!(snap.nodes().get("a").unwrap().address, 1);
}

#[test]
fn every_query_has_an_index() {
    let store = Store::<Catalog>::new();
    let snap = store.snapshot();
    // Never 0, which would ask at once again.
    assert_eq!(snap.services().index(), LogIndex(1));
    assert_eq!(snap.services().index_of("a"), LogIndex(1));
    assert_eq!(snap.services().by_node("a").index(), LogIndex(1));

    let put = |index, service: Service| {
        commit_at(&store, index, |txn| {
            drop(txn.services_mut().upsert(service).unwrap());
        });
    };
    put(10, service("a/1", "n1", "web"));
    put(20, service("a/2", "n2", "web"));
    put(30, service("b/1", "n1", "db"));
    let snap = store.snapshot();
    let services = snap.services();
    assert_eq!(services.index_of("a/1"), LogIndex(10));
    assert_eq!(services.index_of("a/2"), LogIndex(20));
    assert_eq!(services.prefix("a/").index(), LogIndex(20));
    assert_eq!(services.by_node("n2").index(), LogIndex(20));
    assert_eq!(services.index(), LogIndex(30));
    assert_eq!(snap.nodes().index(), LogIndex(1));

    // A deletion raises the index of what it was in; the sibling keeps its own.
    commit_at(&store, 40, |txn| {
        drop(txn.services_mut().delete("a/2").unwrap());
    });
    let snap = store.snapshot();
    let services = snap.services();
    assert_eq!(services.index_of("a/1"), LogIndex(10));
    assert_eq!(services.index_of("a/2"), LogIndex(40));
    assert_eq!(services.prefix("a/").index(), LogIndex(40));
    assert_eq!(services.by_node("n2").index(), LogIndex(40));
    assert_eq!(services.index_of("b/1"), LogIndex(30));
    assert_eq!(services.get("b/1").unwrap().modify_index(), LogIndex(30));
    // Also the last one's.
    commit_at(&store, 50, |txn| {
        txn.services_mut().delete("a/1").unwrap();
        txn.services_mut().delete("b/1").unwrap();
    });
    let snap = store.snapshot();
    assert_eq!(snap.services().index(), LogIndex(50));
    assert_eq!(snap.services().prefix("a/").index(), LogIndex(50));
    assert_eq!(snap.services().range("x"..).index(), LogIndex(50));
    assert_eq!(snap.services().range("x".."a").index(), LogIndex(1));
}

#[test]
fn query_indexes_do_not_depend_on_batching() {
    let entry = |txn: &mut WriteTxn<Catalog>, i: u64| {
        let key = |n: u64| format!("{:03}", n * 7919 % 40);
        txn.services_mut()
            .upsert(Service {
                note: u32::try_from(i).unwrap(),
                ..service(&key(i), &key(i / 3), "")
            })
            .unwrap();
        txn.services_mut().delete(key(i + 5)).unwrap();
        if i.is_multiple_of(4) {
            // Undone, and nothing left of it.
            let savepoint = txn.savepoint();
            txn.services_mut()
                .upsert(service(&key(i + 11), "other", ""))
                .unwrap();
            txn.rollback_to(savepoint);
        }
        if i.is_multiple_of(5) {
            txn.services_mut()
                .upsert(service("brief", "brief", ""))
                .unwrap();
            txn.services_mut().delete("brief").unwrap();
        }
    };
    let build = |batch: u64| {
        let store = Store::<Catalog>::new();
        let mut i = 1;
        while i <= 120 {
            let mut txn = at(&store, i);
            entry(&mut txn, i);
            for _ in 1..batch {
                i += 1;
                txn.next_entry(LogIndex(i)).unwrap();
                entry(&mut txn, i);
            }
            txn.commit().unwrap();
            i += 1;
        }
        store
    };
    let indexes = |store: &Store<Catalog>| {
        let snap = store.snapshot();
        let services = snap.services();
        let mut out = vec![services.index(), services.prefix("").index()];
        for n in 0..45 {
            let key = format!("{n:03}");
            out.push(services.index_of(key.as_str()));
            out.push(services.prefix(&key[..2]).index());
            out.push(services.by_node(key.as_str()).index());
            out.push(services.node_index().range(key.as_str()..).index());
        }
        out
    };
    let one = indexes(&build(1));
    for batch in [2, 5, 40, 120] {
        assert_eq!(indexes(&build(batch)), one, "in batches of {batch}");
    }
}

#[test]
fn options_name_the_history() {
    let history = HistoryId(77);
    let store = Store::<Catalog>::with_options(Options {
        history,
        ..Options::default()
    });
    assert_eq!(
        store.position(),
        Position {
            history,
            index: LogIndex(0)
        }
    );
    commit_at(&store, 4, |_| ());
    assert_eq!(
        store.snapshot().position(),
        Position {
            history,
            index: LogIndex(4)
        }
    );
}

#[test]
fn readers_see_whole_commits_while_a_writer_runs() {
    let store = Store::<Catalog>::new();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            thread::spawn(move || {
                let mut last = LogIndex(0);
                while !done.load(Ordering::Relaxed) {
                    let snap = store.snapshot();
                    assert!(snap.index() >= last);
                    last = snap.index();
                    // Each commit moves the number from one table to the other.
                    let total = snap.nodes().len() + snap.checks().len();
                    assert!(total == 0 || total == 20, "{total}");
                    assert_eq!(snap.nodes().iter().count(), snap.nodes().len());
                }
            })
        })
        .collect();
    commit_at(&store, 1, |txn| {
        for i in 0..20 {
            txn.nodes_mut().insert(node(&i.to_string(), 1)).unwrap();
        }
    });
    for round in 0..400_u64 {
        let name = (round % 20).to_string();
        commit_at(&store, 2 + round, |txn| {
            if txn.nodes_mut().delete(name.as_str()).unwrap().is_some() {
                txn.checks_mut().insert(check(&name, 0, &[&name])).unwrap();
            } else {
                txn.checks_mut().delete((name.as_str(), 0)).unwrap();
                txn.nodes_mut().insert(node(&name, 1)).unwrap();
            }
        });
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    store.snapshot().check().unwrap();
}
