//! Derived tables: after every commit each is what its functions make of the source's records, all
//! taken anew, whatever has led there.

mod cluster;
mod log;
mod random;
mod total;

use self::cluster::{Cluster, Job, Node, check, check_in, image, job};
use self::log::{Request, Write, entries};
use highwater::fsm::{Batch, HaltKind, Outcome, Rejected};
use highwater::{CommitError, Conflict, FeedItem, LogIndex, Schema, Start, Store, WriteError};
use std::time::{Duration, Instant};

fn two_nodes() -> Store<Cluster> {
    let store = Store::<Cluster>::new();
    let mut txn = store.write().unwrap();
    for id in [1, 2] {
        txn.nodes_mut().insert(Node { id, zone: 7 }).unwrap();
    }
    txn.jobs_mut().insert(job(1, 1, 5)).unwrap();
    txn.commit().unwrap();
    store
}

#[test]
fn what_it_is_derived_from_is_told() {
    let shown = Store::<Cluster>::describe().to_string();
    for table in [
        "table job\n",
        "table load, local, derived from job\n",
        "table place, local, derived from job, node\n",
    ] {
        assert!(shown.contains(table), "{shown}");
    }
}

/// Also in the middle of an entry, and for good in a fork of that.
#[test]
fn a_snapshot_of_a_transaction_has_what_is_derived() {
    let store = two_nodes();
    let mut txn = store.write().unwrap();
    txn.jobs_mut().insert(job(2, 2, 3)).unwrap();
    let before = txn.savepoint();
    txn.jobs_mut().upsert(job(1, 2, 4)).unwrap();
    let undone = txn.snapshot().unwrap();
    check_in(&undone);
    txn.rollback_to(before);
    txn.jobs_mut().upsert(job(2, 1, 1)).unwrap();
    let kept = txn.snapshot().unwrap();
    check_in(&kept);
    txn.jobs_mut().delete(1).unwrap();
    txn.commit().unwrap();
    check(&store);
    for snap in [undone, kept] {
        let fork = snap.fork();
        let mut txn = fork.write().unwrap();
        txn.jobs_mut().delete_where(|job| job.id < 3).unwrap();
        txn.commit().unwrap();
        check(&fork);
        assert!(fork.snapshot().loads().is_empty());
        check_in(&snap);
    }
}

#[test]
fn what_is_derived_is_watched_asked_for_and_followed_as_any_table() {
    let store = two_nodes();
    let (load, watch) = store.watch(|db| db.loads().get(1).map(|load| load.cores));
    assert_eq!((load.value, load.index), (Some(5), LogIndex(1)));
    let mut feed = store
        .feed_of(Start::Now, |db| db.loads().range(1_u8..=1))
        .unwrap();
    assert!(matches!(feed.try_next(), Ok(Some(FeedItem::Bookmark(_)))));

    // Another node's load is another record.
    let mut txn = store.write().unwrap();
    txn.jobs_mut().insert(job(2, 2, 3)).unwrap();
    // Within the entry it is as it was before it.
    assert!(!txn.loads().contains(2));
    txn.commit().unwrap();
    assert!(!watch.has_fired());
    assert!(matches!(feed.try_next(), Ok(None)));

    let mut txn = store.write().unwrap();
    txn.jobs_mut().upsert(job(2, 1, 3)).unwrap();
    txn.commit().unwrap();
    assert!(watch.has_fired());
    let soon = Instant::now() + Duration::from_mins(1);
    let answer = store.blocking_query(load.index, soon, |db| {
        db.loads().by_cores(8).map(|load| load.jobs).sum::<u32>()
    });
    let answer = answer.unwrap();
    assert_eq!((answer.value, answer.index), (2, LogIndex(3)));
    match feed.try_next() {
        Ok(Some(FeedItem::Event(event))) => assert_eq!(event.changes().len(), 1),
        other => panic!("{other:?}"),
    }
    // What changes nothing that is derived wakes nobody.
    let (_, watch) = store.watch(|db| db.loads().iter().count());
    let mut txn = store.write().unwrap();
    let listening = Job {
        port: Some(80),
        ..job(2, 1, 3)
    };
    txn.jobs_mut().upsert(listening).unwrap();
    txn.commit().unwrap();
    assert!(!watch.has_fired());
}

#[test]
fn an_error_of_the_function_refuses_the_entry() {
    let store = two_nodes();
    let listening = |id| Job {
        port: Some(80),
        ..job(id, 1, 1)
    };
    let refusal = |error: &WriteError| matches!(error, WriteError::NotUnique { table, .. } if table == "listener");
    let mut txn = store.write().unwrap();
    for id in [2, 3] {
        txn.jobs_mut().insert(listening(id)).unwrap();
    }
    // Nor is there a snapshot of it, and nothing is written.
    assert!(refusal(&txn.snapshot().unwrap_err()));
    assert_eq!(txn.loads().get(1).map(|load| load.jobs), Some(1));
    let next = txn.index().next();
    match txn.next_entry(next) {
        Err(CommitError::RuleBroken(error)) => assert!(refusal(&error)),
        other => panic!("{other:?}"),
    }
    // It goes on, and is set right.
    txn.jobs_mut().delete(3).unwrap();
    txn.next_entry(next).unwrap();
    txn.jobs_mut().insert(listening(3)).unwrap();
    assert!(matches!(txn.commit(), Err(CommitError::RuleBroken(error)) if refusal(&error)));
    check(&store);
    assert_eq!(store.snapshot().jobs().len(), 1);

    // A command.
    let writes = [2, 3].map(|id| Write::Put(listening(id))).into();
    let request = Request {
        writes,
        refuse: false,
    };
    let applied = Batch::new(entries(&[request], 2)).apply(&store);
    assert!(
        matches!(&applied.outcomes[..], [Outcome::Done(Err(Rejected::Write(error)))] if refusal(error))
    );
    assert_eq!(store.position().index, LogIndex(2));
    check(&store);
    assert_eq!(store.snapshot().jobs().len(), 1);
}

#[test]
fn a_panic_of_the_function_halts_at_its_entry() {
    let store = two_nodes();
    let put = |id, cores| Request {
        writes: vec![Write::Put(job(id, 2, cores))],
        refuse: false,
    };
    let log = [put(2, 1), put(3, 1000), put(4, 1)];
    let applied = Batch::new(entries(&log, 2)).apply(&store);
    let halted = applied.halted.unwrap();
    assert_eq!(halted.index, LogIndex(3));
    assert!(matches!(halted.kind, HaltKind::Panicked(why) if why == "too much of it"));
    assert_eq!(store.position().index, LogIndex(2));
    check(&store);
}

#[test]
fn it_is_in_no_image_and_of_the_position_at_which_it_was_made_anew() {
    let store = two_nodes();
    let mut txn = store.write().unwrap();
    txn.jobs_mut().insert(job(2, 2, 3)).unwrap();
    txn.commit().unwrap();
    let bytes = image(&store);
    let other = Store::<Cluster>::from_image(&bytes[..]).unwrap();
    check(&other);
    let of = |store: &Store<Cluster>, node: u8| {
        let snap = store.snapshot();
        let load = snap.loads().get(node).unwrap();
        (load.create_index().0, load.modify_index().0)
    };
    assert_eq!((of(&store, 1), of(&store, 2)), ((1, 1), (2, 2)));
    assert_eq!((of(&other, 1), of(&other, 2)), ((2, 2), (2, 2)));
    assert_eq!(image(&other), bytes);
    // From there on they are the same.
    for store in [&store, &other] {
        let mut txn = store.write().unwrap();
        txn.jobs_mut().delete(1).unwrap();
        txn.jobs_mut().insert(job(3, 2, 1)).unwrap();
        txn.commit().unwrap();
        check(store);
        assert_eq!(of(store, 2).1, 3);
    }
    // What was read of it is no ground for a command.
    let (_, guard) = store.snapshot().guarded(|db| db.loads().contains(2));
    let txn = store.write().unwrap();
    assert!(matches!(txn.validate(&guard), Err(Conflict::Local { table }) if table == "load"));
}

#[test]
fn an_image_of_which_it_cannot_be_made_is_refused() {
    // As a program without the derived table writes it.
    let plain = Store::<Plain>::new();
    let mut txn = plain.write().unwrap();
    txn.nodes_mut().insert(Node { id: 1, zone: 1 }).unwrap();
    for id in 0..3 {
        let port = Some(id / 2);
        txn.jobs_mut()
            .insert(Job {
                port,
                ..job(id, 1, 1)
            })
            .unwrap();
    }
    txn.commit().unwrap();
    let mut bytes = Vec::new();
    plain.snapshot().write_image(&mut bytes).unwrap();
    let store = two_nodes();
    let before = store.position();
    let error = store.restore(&bytes[..]).unwrap_err();
    assert!(error.to_string().contains("listener"), "{error}");
    assert_eq!(store.position(), before);
    check(&store);

    // With ports that differ it is one like any other.
    let mut txn = plain.write().unwrap();
    txn.jobs_mut().delete(0).unwrap();
    txn.commit().unwrap();
    let mut bytes = Vec::new();
    plain.snapshot().write_image(&mut bytes).unwrap();
    store.restore(&bytes[..]).unwrap();
    check(&store);
    assert_eq!(store.snapshot().loads().get(1).unwrap().jobs, 2);
}

#[derive(Debug, Schema)]
struct Plain {
    jobs: Job,
    nodes: Node,
}
