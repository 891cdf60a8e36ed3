//! Operations of a transaction, what they refuse, and savepoints.

mod store_schema;

use highwater::{
    Conflict, Guard, HistoryId, ImageError, LogIndex, ReadKeys, Start, Store, StoreError,
    StoreOptions, WriteError, WriteTxn,
};
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use store_schema::*;

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
        table,
        expected: LogIndex(4),
        found: LogIndex(5),
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(table, "nodes");
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
        table,
        index,
        holder,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((&**table, &**index), ("services", "port"));
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
        "table checks, unique index aliases: key \"k\" belongs to the record with primary key (\"n\", 1)"
    );
    txn.checks_mut().insert(check("n", 2, &["z", "z"])).unwrap();
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

#[test]
fn keys_have_a_limit() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    let long = "x".repeat(highwater::key::MAX_KEY_LEN);
    let error = txn.nodes_mut().insert(node(&long, 1)).unwrap_err();
    assert_eq!(
        error,
        WriteError::KeyTooLong {
            table: "nodes".into(),
            index: None,
            len: highwater::key::MAX_KEY_LEN + 2
        }
    );
    let most = &long[..highwater::key::MAX_KEY_LEN - 2];
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
            table: "services".into(),
            index: Some("name_node".into()),
            len: 5006
        }
    );
    assert!(txn.services().is_empty());
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

#[test]
fn hooks_run_after_a_commit_and_only_then() {
    use std::sync::mpsc::channel;
    let store = Store::<Catalog>::new();
    let (sender, told) = channel();
    let hook = |name: &'static str| {
        let (sender, store) = (sender.clone(), store.clone());
        move |index: LogIndex| {
            // The commit is visible and the writer's slot free.
            assert!(store.position().index >= index);
            assert!(store.try_write().unwrap().is_some());
            sender.send((name, index)).unwrap();
        }
    };
    let mut txn = store.write().unwrap();
    txn.after_commit(hook("dropped"));
    drop(txn);
    assert!(told.try_recv().is_err());

    let mut txn = store.write().unwrap();
    txn.after_commit(hook("first"));
    let savepoint = txn.savepoint();
    txn.after_commit(hook("undone"));
    txn.rollback_to(savepoint);
    let failed: Result<(), ()> = txn.attempt(|txn| {
        txn.after_commit(hook("failed"));
        Err(())
    });
    assert!(failed.is_err());
    txn.attempt(|txn| {
        txn.after_commit(hook("kept"));
        Ok::<_, ()>(())
    })
    .unwrap();
    txn.after_commit(|_| panic!("reported, and nothing else"));
    txn.after_commit(hook("last"));
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    assert!(told.try_recv().is_err());
    assert_eq!(txn.commit(), Ok(LogIndex(1)));
    let names: Vec<_> = told.try_iter().collect();
    assert_eq!(
        names,
        ["first", "kept", "last"].map(|name| (name, LogIndex(1)))
    );
    // A commit that changes nothing is a commit.
    let mut txn = store.write().unwrap();
    txn.after_commit(hook("nothing"));
    assert_eq!(txn.commit(), Ok(LogIndex(1)));
    assert_eq!(told.try_recv(), Ok(("nothing", LogIndex(1))));
}

#[test]
fn a_guard_tells_that_nothing_is_there_any_more() {
    let store = Store::<Catalog>::new();
    let mut empty = Vec::new();
    store.snapshot().write_image(&mut empty).unwrap();
    commit_at(&store, 5, |txn| {
        txn.services_mut().insert(service("a", "n", "s")).unwrap();
    });
    let read = |db: &CatalogView| db.services().contains("a");
    let (found, guard) = store.snapshot().guarded(read);
    assert!(found);
    store.rewind(&empty[..]).unwrap();
    let conflict = store.write().unwrap().validate(&guard).unwrap_err();
    assert!(matches!(
        conflict,
        Conflict::Changed {
            read: Some(LogIndex(5)),
            now: None,
            ..
        }
    ));
    assert_eq!(
        conflict.to_string(),
        "table services, record \"a\" has changed: nothing has been written there yet, and its log index was \
         5 when it was read; read it again"
    );
}

#[test]
fn a_guard_names_what_has_changed() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        for id in ["a", "b", "c"] {
            txn.services_mut().insert(service(id, "n", "s")).unwrap();
        }
    });
    let snap = store.snapshot();
    let ((), nothing) = snap.guarded(|_| ());
    let record = |read: &dyn Fn(&CatalogView)| snap.guarded(|db| read(db)).1;
    let point = record(&|db| assert!(db.services().get("b").is_some()));
    let absent = record(&|db| assert!(db.nodes().get("x").is_none()));
    let tag = record(&|db| assert_eq!(db.services().by_tags("x").count(), 0));
    let first = record(&|db| assert_eq!(db.services().first().unwrap().id, "a"));
    let all = record(&|db| assert_eq!(db.services().len(), 3));
    let many = record(&|db| {
        for n in 0..3000 {
            assert!(db.services().get(format!("{n}")).is_none());
        }
    });
    let guards = [&nothing, &point, &absent, &tag, &first, &all, &many];
    // They are joined to 512, each with a few bytes of a key and an index.
    assert!(rmp_serde::to_vec(&many).unwrap().len() < 512 * 12);
    let check = || {
        let txn = store.write().unwrap();
        guards.map(|guard| txn.validate(guard).map_err(|conflict| conflict.to_string()))
    };
    assert!(check().iter().all(Result::is_ok));
    commit_at(&store, 5, |txn| {
        txn.services_mut().upsert(tagged("b", &["x"])).unwrap();
    });
    let changed = |what: &str| {
        Err(format!(
            "{what} has changed: its log index is 5, and was 1 when it was read; read it again"
        ))
    };
    assert_eq!(
        check(),
        [
            Ok(()),
            changed("table services, record \"b\""),
            Ok(()),
            Err("table services, index tags, what begins with \"x\" has changed: its log index is 5, and \
                 nothing had been written there before it was read; read it again"
                .to_owned()),
            Ok(()),
            changed("table services"),
            Ok(()),
        ]
    );
    commit_at(&store, 6, |txn| {
        txn.services_mut()
            .insert(service("1234", "n", "s"))
            .unwrap();
    });
    let [.., many] = check();
    let conflict = many.unwrap_err();
    assert!(conflict.starts_with("table services, "), "{conflict}");
    let how = " has changed: its log index is 6, and was 1 when it was read; read it again";
    assert!(conflict.ends_with(how), "{conflict}");
    // Its own writes count.
    let mut txn = store.write().unwrap();
    assert_eq!(txn.validate(&absent), Ok(()));
    txn.nodes_mut().insert(node("x", 1)).unwrap();
    let conflict = txn.validate(&absent).unwrap_err();
    assert!(matches!(
        conflict,
        Conflict::Changed {
            keys: ReadKeys::One(_),
            read: None,
            now: Some(LogIndex(7)),
            ..
        }
    ));
    let json = serde_json::to_string(&conflict).unwrap();
    assert_eq!(serde_json::from_str::<Conflict>(&json).unwrap(), conflict);
    let json = serde_json::to_string(&point).unwrap();
    assert_eq!(serde_json::from_str::<Guard>(&json).unwrap(), point);
    drop(txn);
}

#[test]
fn a_guard_of_elsewhere_says_so() {
    let store = Store::<Catalog>::new();
    let tag = store
        .snapshot()
        .guarded(|db| db.services().by_tags("x").count())
        .1;
    let other = Store::<Catalog>::with_options(StoreOptions {
        history: HistoryId(3),
        ..StoreOptions::default()
    });
    let txn = other.write().unwrap();
    assert!(matches!(
        txn.validate(&tag),
        Err(Conflict::OtherHistory {
            now: HistoryId(3),
            ..
        })
    ));
    // Of a program with other tables, or made up.
    for (from, to, error) in [
        ("services", "servants", "there is no table servants"),
        (
            "\"tags\"",
            "\"labels\"",
            "there is no table services with an index labels",
        ),
    ] {
        let json = serde_json::to_string(&tag).unwrap().replace(from, to);
        let guard: Guard = serde_json::from_str(&json).unwrap();
        let txn = store.write().unwrap();
        assert_eq!(txn.validate(&guard).unwrap_err().to_string(), error);
    }
}

fn threaded(threads: usize) -> Store<Catalog> {
    Store::with_options(StoreOptions {
        threads,
        ..StoreOptions::default()
    })
}

/// An image says all there is of a store, the stamps of its nodes included.
fn image(store: &Store<Catalog>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    store.snapshot().check().unwrap();
    bytes
}

fn any_service() -> impl Strategy<Value = Service> {
    let tags = prop::collection::btree_set("[ab]{0,2}", 0..3);
    let port = prop::option::weighted(0.3, 0_u16..300);
    ("[abc]{0,3}", "[ab]{0,1}", "[a\\x00]{0,2}", tags, port).prop_map(
        |(id, node, name, tags, port)| Service {
            tags,
            port,
            ..service(&id, &node, &name)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// All at once is as one after the other, whatever is there before and after.
    #[test]
    fn all_at_once_is_one_by_one(
        before in prop::collection::vec(any_service(), 0..3),
        records in prop::collection::vec(any_service(), 0..60),
        after in prop::collection::vec(any_service(), 0..10),
        threads in 1_usize..5,
    ) {
        let (singly, at_once) = (threaded(1), threaded(threads));
        for store in [&singly, &at_once] {
            commit_at(store, 3, |txn| {
                for record in &before {
                    let _ = txn.services_mut().upsert(record.clone());
                }
            });
        }
        let (mut one, mut other) = (at(&singly, 7), at(&at_once, 7));
        let expected = one.attempt(|txn| {
            records.iter().try_for_each(|record| txn.services_mut().insert(record.clone()))
        });
        let done = other.services_mut().insert_all(records.clone());
        prop_assert_eq!(done, expected);
        for txn in [&mut one, &mut other] {
            for record in &after {
                let _ = txn.services_mut().upsert(record.clone());
            }
        }
        one.commit().unwrap();
        other.commit().unwrap();
        prop_assert_eq!(image(&at_once), image(&singly));
    }
}

#[test]
fn insert_all_is_in_the_feed_and_says_what_it_refuses() {
    let store = threaded(2);
    let mut feed = store.feed(Start::Now).unwrap();
    let mut txn = store.write().unwrap();
    let nodes = [node("b", 1), node("a", 2), node("c", 3)];
    txn.nodes_mut().insert_all(nodes).unwrap();
    assert_eq!(txn.nodes().get("a").unwrap().address, 2);
    txn.commit().unwrap();
    let event = event(&mut feed).unwrap().unwrap();
    let names = event.nodes().map(|change| {
        assert!(change.before.is_none());
        change.after.unwrap().name.clone()
    });
    assert_eq!(names.collect::<Vec<_>>(), ["b", "a", "c"]);

    let mut txn = store.write().unwrap();
    let twice = [
        check("n", 1, &[]),
        check("m", 1, &[]),
        check("n", 1, &["x"]),
    ];
    let error = txn.checks_mut().insert_all(twice).unwrap_err();
    assert!(matches!(error, WriteError::AlreadyExists { .. }), "{error}");
    let long = "x".repeat(5000);
    let clash = [
        check("n", 3, &["y"]),
        check("n", 1, &["x", "y"]),
        check("n", 2, &[&long]),
    ];
    let error = txn.checks_mut().insert_all(clash.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table checks, unique index aliases: key \"y\" belongs to the record with primary key (\"n\", 3)"
    );
    let error = txn
        .checks_mut()
        .insert_all(clash[1..].to_vec())
        .unwrap_err();
    assert!(matches!(error, WriteError::KeyTooLong { .. }), "{error}");
    assert!(txn.checks().is_empty());
    txn.checks_mut().insert_all(clash[1..2].to_vec()).unwrap();
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

#[test]
fn a_second_transaction_of_one_thread_is_refused() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    let nested = |store: &Store<Catalog>| {
        let text = store.write().unwrap_err().to_string();
        assert!(text.contains("commit or drop"), "{text}");
        let written = [
            store.write().map(drop),
            store.try_write().map(drop),
            store.write_at(LogIndex(9)).map(drop),
            store.advance_to(LogIndex(9)),
        ];
        written
            .iter()
            .all(|result| *result == Err(StoreError::Nested))
    };
    assert!(nested(&store) && nested(&store.clone()));
    assert!(matches!(
        store.rewind(&b""[..]),
        Err(ImageError::Truncated { .. })
    ));
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    let restored = store.restore(&image[..]);
    assert!(matches!(
        restored,
        Err(ImageError::Store(StoreError::Nested))
    ));
    // What has nothing to wait for goes on: other stores, reads, another's view of the slot.
    thread::scope(|scope| {
        let seen = scope.spawn(|| store.try_write().map(|txn| txn.is_none()));
        assert_eq!(seen.join().unwrap(), Ok(true));
    });
    store.collect();
    assert_eq!(Store::<Catalog>::new().advance_to(LogIndex(1)), Ok(()));
    store.fork().write().unwrap().commit().unwrap();
    // The transaction is as it was.
    txn.commit().unwrap();
    assert!(store.snapshot().nodes().contains("a"));
    store.write().unwrap().commit().unwrap();
}

#[test]
fn a_transaction_is_of_the_thread_that_wrote_in_it_last() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    thread::scope(|scope| {
        let (moved, written) = mpsc::channel();
        let (go_on, went_on) = mpsc::channel::<()>();
        let store = &store;
        let other = scope.spawn(move || {
            txn.nodes_mut().insert(node("b", 1)).unwrap();
            assert_eq!(store.write().map(drop), Err(StoreError::Nested));
            moved.send(()).unwrap();
            went_on.recv().unwrap();
            txn.commit().unwrap()
        });
        written.recv().unwrap();
        // Not this one's any more: it waits, as any other, until the transaction ends.
        let waiting = scope.spawn(|| store.write().map(|txn| txn.index()));
        go_on.send(()).unwrap();
        let mut txn = store.write().unwrap();
        assert_eq!(other.join().unwrap(), LogIndex(1));
        txn.nodes_mut().insert(node("c", 1)).unwrap();
        txn.commit().unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(store.snapshot().nodes().len(), 3);
}
