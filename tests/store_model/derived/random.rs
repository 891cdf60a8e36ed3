//! Random compositions of writes, savepoints, images and forks, and random logs in batches.

use super::cluster::{Cluster, Derived, check, image};
use super::log::{Request, Write, entries, write};
use highwater::fsm::Batch;
use highwater::{CommitError, FeedItem, Snapshot, Start, Store, Turn, WriteTxn};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Op {
    Write(Write),
    Savepoint,
    Rollback(usize),
    Release(usize),
    /// Looks at the rules in the middle of the entry, which changes nothing.
    Look,
    NextEntry,
    Commit,
    Abort,
    Keep,
    /// Of an image kept.
    Rewind(usize),
    /// In another store, with which it goes on.
    RestoreNew,
    /// With which it goes on.
    Fork,
}

fn op() -> impl Strategy<Value = Op> {
    let n = any::<usize>;
    prop_oneof![
        30 => write().prop_map(Op::Write),
        4 => Just(Op::Savepoint),
        3 => n().prop_map(Op::Rollback),
        1 => n().prop_map(Op::Release),
        1 => Just(Op::Look),
        5 => Just(Op::NextEntry),
        8 => Just(Op::Commit),
        1 => Just(Op::Abort),
        1 => Just(Op::Keep),
        1 => n().prop_map(Op::Rewind),
        1 => Just(Op::RestoreNew),
        1 => Just(Op::Fork),
    ]
}

fn begin(store: &Store<Cluster>) -> WriteTxn<Cluster> {
    let next = store.position().index.next();
    match store.write_at(next).unwrap() {
        Turn::Apply(txn) => txn,
        Turn::AlreadyApplied { .. } => unreachable!("nobody else writes"),
    }
}

fn run(ops: Vec<Op>) {
    let mut store = Store::<Cluster>::new();
    let mut kept = vec![image(&store)];
    let mut ops = ops.into_iter();
    let mut more = true;
    while more {
        let mut txn = begin(&store);
        let mut points = Vec::new();
        // What ends the transaction.
        let end = loop {
            let Some(op) = ops.next() else {
                more = false;
                break Op::Commit;
            };
            match op {
                Op::Write(write) => write.run(&mut txn).unwrap(),
                Op::Savepoint => points.push(txn.savepoint()),
                Op::Rollback(n) | Op::Release(n) if !points.is_empty() => {
                    let at = n % points.len();
                    let point = points.drain(at..).next().unwrap();
                    if matches!(op, Op::Rollback(_)) {
                        txn.rollback_to(point);
                    } else {
                        txn.release(point);
                    }
                }
                Op::Rollback(_) | Op::Release(_) => {}
                Op::Look => drop(txn.check_rules()),
                Op::NextEntry => {
                    // After an error the entry goes on.
                    if txn.next_entry(txn.index().next()).is_ok() {
                        points.clear();
                    }
                }
                op => break op,
            }
        };
        if matches!(end, Op::Abort) {
            drop(txn);
        } else {
            let before = store.snapshot();
            match txn.commit() {
                Ok(_) => {}
                Err(CommitError::RuleBroken(_)) => {
                    assert_eq!(store.position(), before.position());
                }
                Err(error) => panic!("{error}"),
            }
        }
        check(&store);
        match end {
            Op::Keep => kept.push(image(&store)),
            Op::Rewind(n) => {
                store.rewind(&kept[n % kept.len()][..]).unwrap();
            }
            Op::RestoreNew => store = Store::from_image(&image(&store)[..]).unwrap(),
            Op::Fork => {
                let fork = store.fork();
                let before = Derived::found(&store.snapshot());
                check(&fork);
                assert_eq!(Derived::found(&fork.snapshot()), before);
                store = fork;
                // Images of a fork are of another history.
                kept = vec![image(&store)];
            }
            _ => {}
        }
        check(&store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_derived_table_is_what_its_function_makes_of_the_source(ops in vec(op(), 1..120)) {
        run(ops);
    }

    #[test]
    fn replicas_agree_with_stamps_and_all_however_entries_are_batched(
        log in vec((vec(write(), 0..5), prop::bool::weighted(0.2)), 1..30),
        batch in 1_usize..7,
    ) {
        let log: Vec<_> = log
            .into_iter()
            .map(|(writes, refuse)| Request { writes, refuse })
            .collect();
        let one = Store::<Cluster>::new();
        let mut feed = one.feed(Start::Now).unwrap();
        let mut outcomes = Vec::new();
        for (n, request) in (1..).zip(log.chunks(1)) {
            outcomes.extend(Batch::new(entries(request, n)).apply(&one).outcomes);
            check(&one);
        }
        let many = Store::<Cluster>::new();
        let mut of_batches = Vec::new();
        for (n, requests) in log.chunks(batch).enumerate() {
            let first = (n * batch + 1) as u64;
            of_batches.extend(Batch::new(entries(requests, first)).apply(&many).outcomes);
            check(&many);
        }
        prop_assert_eq!(outcomes, of_batches);
        let (one, many) = (one.snapshot(), many.snapshot());
        let stamped = |snap: &Snapshot<Cluster>| {
            let rows = snap.loads().iter().map(|load| {
                (load.node, load.create_index(), load.modify_index())
            });
            let indexes = (0..5).map(|cores| snap.loads().by_cores(cores).log_index());
            (rows.collect::<Vec<_>>(), indexes.collect::<Vec<_>>())
        };
        prop_assert_eq!(stamped(&one), stamped(&many));
        // The feed has each entry whole.
        let mut loads = BTreeMap::new();
        while let Some(item) = feed.try_next().unwrap() {
            let FeedItem::Event(event) = item else { continue };
            for change in event.loads() {
                match change.after {
                    Some(load) => loads.insert(load.node, (load.jobs, load.cores)),
                    None => loads.remove(&change.before.unwrap().node),
                };
            }
        }
        prop_assert_eq!(loads, Derived::found(&one).loads);
    }
}
