//! Snapshots of editions among savepoints, rollbacks, commits and aborts.

use super::tests::{Op, TREES, World, key};
use proptest::prelude::*;

/// Few keys, so that what is given up before a mark, between two and after is soon of the same tree.
fn op() -> impl Strategy<Value = Op> {
    let tree = 0..TREES;
    let few = prop_oneof![
        3 => (0..4_u8, 0..4_u8).prop_map(|(a, b)| vec![a, b]),
        1 => (0..4_u8).prop_map(|a| vec![a]),
    ];
    prop_oneof![
        12 => (tree.clone(), few.clone()).prop_map(|(t, k)| Op::Insert(t, k)),
        8 => (tree.clone(), any::<usize>()).prop_map(|(t, n)| Op::RemoveNth(t, n)),
        2 => (tree.clone(), few).prop_map(|(t, k)| Op::Cut(t, k)),
        1 => tree.prop_map(Op::Reset),
        6 => Just(Op::Savepoint),
        6 => Just(Op::Rollback),
        2 => Just(Op::Release),
        8 => Just(Op::Snapshot),
        6 => any::<usize>().prop_map(Op::Let),
        2 => Just(Op::Commit),
        1 => Just(Op::CommitKeeping),
        2 => Just(Op::Abort),
        1 => Just(Op::Collect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn editions_with_snapshots_equal_a_map(
        ops in prop::collection::vec(op(), 1..80),
        probes in prop::collection::vec(key(), 2..3),
        store_first in any::<bool>(),
    ) {
        World::run(ops, &probes, store_first);
    }
}

/// What was given up before a savepoint is not forgotten when the edition goes back to it, and somebody
/// has a snapshot from after it.
#[test]
fn what_was_given_up_before_a_savepoint_stays_given_up() {
    let mut world = World::new();
    for op in [
        Op::Insert(0, vec![1]),
        Op::Commit,
        Op::Insert(0, vec![1]),
        Op::Savepoint,
        Op::Insert(0, vec![1]),
        Op::Snapshot,
        Op::Rollback,
    ] {
        world.step(op);
        world.compare(&[]);
    }
    // The same of a snapshot that is left by going back twice, and of one that is left by dropping.
    for op in [
        Op::Insert(0, vec![2]),
        Op::Savepoint,
        Op::Insert(0, vec![1]),
        Op::Savepoint,
        Op::Insert(0, vec![1, 1]),
        Op::Snapshot,
        Op::Rollback,
        Op::Cut(0, vec![1]),
        Op::Snapshot,
        Op::Rollback,
        Op::Reset(0),
        Op::Snapshot,
        Op::Abort,
        Op::Insert(0, vec![1]),
        Op::Commit,
    ] {
        world.step(op);
        world.compare(&[]);
    }
    world.end(true);
}

/// Records that are there, of snapshots that were taken one after the other, each time that many of
/// them are let go by `keep`.
fn most_records(rounds: u64, keep: impl Fn(&mut World)) -> usize {
    let mut world = World::new();
    let mut most = 0;
    for n in 0..rounds {
        world.step(Op::Insert(0, n.to_be_bytes().to_vec()));
        world.step(Op::Snapshot);
        keep(&mut world);
        most = most.max(world.versions.core().live.all().len());
    }
    world.compare(&[]);
    world.end(true);
    most
}

#[test]
fn snapshots_that_nobody_has_any_more_leave_nothing_in_a_long_edition() {
    // None is kept: the base, the last, and one that is taken while that is there.
    assert!(most_records(1000, |world| world.held.clear()) <= 3);
    // The last is kept until there is the next.
    let last = most_records(1000, |world| drop(world.held.drain(..world.held.len() - 1)));
    assert!(last <= 2 + 2 * super::marks::LOOK_AGAIN, "{last}");
    // The first is kept.
    let first = most_records(1000, |world| world.held.truncate(1));
    assert!(first <= 4, "{first}");
}

/// Each list of what was given up is looked at once when many are let go together: what is freed is
/// freed, and what the base has is kept.
#[test]
fn many_snapshots_are_let_go_together() {
    for end in [Op::Commit, Op::Abort, Op::Snapshot, Op::Rollback] {
        let mut world = World::new();
        for n in 0..500_u64 {
            world.step(Op::Insert(0, n.to_be_bytes().to_vec()));
        }
        world.step(Op::Commit);
        world.step(Op::Savepoint);
        for n in 0..500_u64 {
            world.step(Op::Insert(0, n.to_be_bytes().to_vec()));
            world.step(Op::Snapshot);
        }
        world.held.clear();
        world.step(end);
        world.compare(&[]);
        world.end(false);
    }
}
