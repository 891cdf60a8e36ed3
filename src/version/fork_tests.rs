//! Forks: random compositions of what a store does, over a family of stores, against maps; and their
//! ends, in every order. `reclaim_model` of the design.

use super::Versions;
use super::tests::{Counted, Held, Op, World, compare_held, key, op};
use crate::tree::RawTree;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

#[derive(Clone, Debug)]
enum Step {
    /// Of one of the stores.
    Do(usize, Op),
    /// A fork of the newest version of one of the stores.
    Fork(usize),
    /// A fork of a version that is held, whether its store is still there or not.
    ForkHeld(usize),
    /// The last handle of one of the stores goes, with its transaction. Held versions stay.
    Leave(usize),
    /// A version whose store is gone is let go.
    Let(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<usize>;
    prop_oneof![
        40 => (n(), op()).prop_map(|(store, op)| Step::Do(store, op)),
        3 => n().prop_map(Step::Fork),
        2 => n().prop_map(Step::ForkHeld),
        1 => n().prop_map(Step::Leave),
        1 => n().prop_map(Step::Let),
    ]
}

/// Stores, of which some are forks of others, and versions of stores that are gone.
#[derive(Default)]
struct Family {
    stores: Vec<World>,
    held: Vec<Held>,
}

impl Family {
    fn new() -> Self {
        Family {
            stores: vec![World::new()],
            held: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        let count = self.stores.len();
        match step {
            Step::Do(store, op) => self.stores[store % count].step(op),
            Step::Fork(store) if count < 6 => {
                let parent = &self.stores[store % count];
                self.stores.push(parent.fork(&parent.newest()));
            }
            Step::ForkHeld(n) if count < 6 => {
                let stores = self.stores.iter().flat_map(|store| &store.held);
                let held: Vec<_> = stores.chain(&self.held).collect();
                if !held.is_empty() {
                    let fork = self.stores[0].fork(held[n % held.len()]);
                    self.stores.push(fork);
                }
            }
            Step::Leave(store) if count > 1 => {
                let World { held, .. } = self.stores.swap_remove(store % count);
                self.held.extend(held);
            }
            Step::Let(n) if !self.held.is_empty() => {
                let n = n % self.held.len();
                self.held.swap_remove(n);
            }
            Step::Fork(_) | Step::ForkHeld(_) | Step::Leave(_) | Step::Let(_) => {}
        }
    }

    fn compare(&self, probes: &[Vec<u8>]) {
        for store in &self.stores {
            store.compare(probes);
        }
        self.held.iter().for_each(compare_held);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn families_of_forks_equal_maps(
        steps in prop::collection::vec(step(), 1..140),
        probes in prop::collection::vec(key(), 2..4),
        order in prop::collection::vec(any::<usize>(), 64),
    ) {
        let mut family = Family::new();
        let alive = Arc::clone(&family.stores[0].alive);
        for step in steps {
            family.step(step);
            family.compare(&probes);
        }
        // The parts end in any order, transactions and forks after what they are of, too.
        let mut parts: Vec<Box<dyn std::any::Any>> = Vec::new();
        for World { versions, working, held, .. } in family.stores {
            parts.push(Box::new(versions));
            parts.push(Box::new(working));
            family.held.extend(held);
        }
        for n in order {
            if !parts.is_empty() {
                parts.swap_remove(n % parts.len());
                family.held.iter().for_each(compare_held);
            }
            if !family.held.is_empty() {
                family.held.swap_remove(n / 7 % family.held.len());
            }
        }
        drop((parts, family.held));
        prop_assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

/// A store of `keys` keys.
fn filled(keys: u64, alive: &Arc<AtomicIsize>) -> Versions<()> {
    let versions = Versions::new(vec![RawTree::empty::<Arc<Counted>>(0)], ());
    let mut edition = versions.edit();
    for n in 0..keys {
        edition.insert(0, &n.to_be_bytes(), Counted::new(n, alive), 1);
    }
    drop(edition.publish(()));
    versions
}

#[test]
fn a_fork_has_the_memory_of_its_own_nodes_alone() {
    let alive = Arc::new(AtomicIsize::new(0));
    let parent = filled(10_000, &alive);
    let before = parent.usage().nodes;
    let fork = Versions::fork(&parent.current(), ());
    assert_eq!(fork.usage().nodes, [0; 3]);
    for n in 0..3_000_u64 {
        let mut edition = fork.edit();
        edition.insert(0, &7_u64.to_be_bytes(), Counted::new(n, &alive), 2);
        drop(edition.publish(()));
    }
    fork.collect();
    let own = fork.usage().nodes;
    assert!(own[0] == 1 && own.iter().sum::<usize>() <= 8, "{own:?}");
    assert_eq!(alive.load(Ordering::Relaxed), 10_001);

    // A restore gives up all that is the parent's, and frees none of it.
    let mut edition = fork.edit();
    edition.reset(0, 3);
    edition.insert(0, b"k", Counted::new(0, &alive), 3);
    drop(edition.publish(()));
    fork.collect();
    assert_eq!(fork.usage().nodes, [1, 0, 0]);
    assert_eq!(alive.load(Ordering::Relaxed), 10_001);
    parent.collect();
    assert_eq!(parent.usage().nodes, before);
    assert_eq!(parent.current().tree::<Arc<Counted>>(0).len(), 10_000);

    // What the parent gives up is the fork's base until that goes.
    let mut edition = parent.edit();
    edition.reset(0, 4);
    drop(edition.publish(()));
    parent.collect();
    assert_eq!(parent.usage().nodes, before);
    drop(fork);
    parent.collect();
    assert_eq!(parent.usage().nodes, [0; 3]);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn long_lines_of_forks_end_in_a_loop() {
    let alive = Arc::new(AtomicIsize::new(0));
    let mut last = filled(100, &alive);
    for n in 0..50_000_u64 {
        // The parent's last handle goes: the fork's base alone holds it.
        last = Versions::fork(&last.current(), ());
        if n % 1_000 == 0 {
            let mut edition = last.edit();
            edition.insert(0, &n.to_be_bytes(), Counted::new(n, &alive), n + 2);
            drop(edition.publish(()));
        }
    }
    assert_eq!(last.current().tree::<Arc<Counted>>(0).len(), 149);
    drop(last);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn parent_and_forks_are_written_at_once() {
    let alive = Arc::new(AtomicIsize::new(0));
    let parent = filled(1_000, &alive);
    let write = |versions: &Versions<()>, offset: u64| {
        for n in 0..2_000_u64 {
            let mut edition = versions.edit();
            let key = (n * 7 % 1_000).to_be_bytes();
            edition.insert(0, &key, Counted::new(offset + n, &alive), offset + n);
            drop(edition.publish(()));
        }
    };
    std::thread::scope(|scope| {
        let (parent, write) = (&parent, &write);
        scope.spawn(move || write(parent, 10_000));
        for thread in 2..4 {
            scope.spawn(move || {
                for _ in 0..20 {
                    let base = parent.current();
                    let before: Vec<u64> = base
                        .tree::<Arc<Counted>>(0)
                        .iter()
                        .map(|value| value.number)
                        .collect();
                    let fork = Versions::fork(&base, ());
                    drop(base);
                    let again = Versions::fork(&fork.current(), ());
                    write(&fork, thread * 10_000);
                    let same = again.current();
                    let same = same
                        .tree::<Arc<Counted>>(0)
                        .iter()
                        .map(|value| value.number);
                    assert!(same.eq(before));
                }
            });
        }
    });
    drop(parent);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}
