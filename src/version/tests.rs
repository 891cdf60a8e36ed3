//! Random compositions of edits, savepoints, commits, aborts and held versions, against a map; after
//! each step it is told whose each node is.

use super::audit::audit;
use super::{Edition, Version, Versions};
use crate::tree::{RawTree, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};

/// A value that counts how many of it there are.
pub(super) struct Counted {
    pub(super) number: u64,
    alive: Arc<AtomicIsize>,
}

impl Counted {
    pub(super) fn new(number: u64, alive: &Arc<AtomicIsize>) -> Arc<Self> {
        alive.fetch_add(1, Ordering::Relaxed);
        Arc::new(Counted {
            number,
            alive: alive.clone(),
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Value for Arc<Counted> {}

pub(super) type Model = BTreeMap<Vec<u8>, u64>;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Insert(usize, Vec<u8>),
    Remove(usize, Vec<u8>),
    RemoveNth(usize, usize),
    Cut(usize, Vec<u8>),
    Savepoint,
    Rollback,
    Release,
    /// A snapshot of the edition, to be held.
    Snapshot,
    Reset(usize),
    Commit,
    CommitKeeping,
    Abort,
    Hold,
    Let(usize),
    Collect,
}

pub(super) const TREES: usize = 2;

pub(super) fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(vec![0u8, 1, 255]), 0..6),
        2 => prop::collection::vec(prop::sample::select(b"abcdefghijklmnopqrst".to_vec()), 0..3),
        3 => any::<[u8; 1]>().prop_map(|b| vec![7, b[0]]),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let tree = 0..TREES;
    prop_oneof![
        24 => (tree.clone(), key()).prop_map(|(t, k)| Op::Insert(t, k)),
        4 => (tree.clone(), key()).prop_map(|(t, k)| Op::Remove(t, k)),
        12 => (tree.clone(), any::<usize>()).prop_map(|(t, n)| Op::RemoveNth(t, n)),
        3 => Just(Op::Savepoint),
        2 => Just(Op::Rollback),
        1 => Just(Op::Release),
        3 => Just(Op::Snapshot),
        1 => (tree.clone(), key()).prop_map(|(t, k)| Op::Cut(t, k)),
        1 => tree.prop_map(Op::Reset),
        5 => Just(Op::Commit),
        3 => Just(Op::CommitKeeping),
        1 => Just(Op::Abort),
        3 => Just(Op::Hold),
        2 => any::<usize>().prop_map(Op::Let),
        1 => Just(Op::Collect),
    ]
}

fn content(tree: crate::tree::Tree<'_, Arc<Counted>>) -> Vec<u64> {
    tree.iter().map(|v| v.number).collect()
}

/// Compares every kind of read with the model.
fn compare(tree: crate::tree::Tree<'_, Arc<Counted>>, model: &Model, probes: &[Vec<u8>]) {
    assert_eq!(tree.len(), model.len() as u64);
    assert_eq!(content(tree), model.values().copied().collect::<Vec<_>>());
    let back: Vec<_> = tree.iter().rev().map(|v| v.number).collect();
    assert_eq!(back, model.values().rev().copied().collect::<Vec<_>>());
    for probe in probes {
        assert_eq!(tree.get(probe).map(|v| v.number), model.get(probe).copied());
        let expected: Vec<_> = model
            .iter()
            .filter(|(k, _)| k.starts_with(probe))
            .map(|(_, v)| *v)
            .collect();
        assert_eq!(
            tree.prefix(probe).map(|v| v.number).collect::<Vec<_>>(),
            expected
        );
        let back: Vec<_> = tree.prefix(probe).rev().map(|v| v.number).collect();
        assert_eq!(back, expected.into_iter().rev().collect::<Vec<_>>());
        for terminator in [&b"b"[..], b"ab", &[7], &[0, 0]] {
            let mut within = probe.windows(terminator.len());
            if within.any(|part| part == terminator) {
                continue;
            }
            let begins = |n: &usize| {
                let key = [&probe[..*n], terminator].concat();
                let next = model.range(key.clone()..).next();
                next.is_some_and(|(next, _)| next.starts_with(&key))
            };
            let expected: Vec<usize> = (0..=probe.len()).filter(begins).collect();
            assert_eq!(tree.prefixes(probe, terminator).to_vec(), expected);
        }
    }
    for pair in probes.windows(2) {
        let (lo, hi) = (&pair[0], &pair[1]);
        for hi in [Some(hi.as_slice()), None] {
            let inside = |k: &Vec<u8>| k >= lo && hi.is_none_or(|hi| k.as_slice() < hi);
            let expected: Vec<_> = model
                .iter()
                .filter(|(k, _)| inside(k))
                .map(|(k, v)| (k, *v))
                .collect();
            let mut range = tree.range(lo, hi);
            let mut key = Vec::new();
            for (k, v) in &expected {
                assert_eq!(range.next().map(|v| v.number), Some(*v));
                range.front_key(&mut key);
                assert_eq!(&key, *k);
            }
            assert!(range.next().is_none() && range.next_back().is_none());
            let mut range = tree.range(lo, hi);
            for (k, v) in expected.iter().rev() {
                assert_eq!(range.next_back().map(|v| v.number), Some(*v));
                range.back_key(&mut key);
                assert_eq!(&key, *k);
            }
            assert!(range.next_back().is_none() && range.next().is_none());
            // From both ends, in turn.
            let (mut range, mut seen, mut from, mut to) =
                (tree.range(lo, hi), 0, 0, expected.len());
            loop {
                let (got, want) = if seen % 2 == 0 {
                    (range.next(), expected.get(from).filter(|_| from < to))
                } else {
                    (
                        range.next_back(),
                        to.checked_sub(1)
                            .filter(|t| *t >= from)
                            .map(|t| &expected[t]),
                    )
                };
                assert_eq!(got.map(|v| v.number), want.map(|(_, v)| *v));
                if got.is_none() {
                    break;
                }
                if seen % 2 == 0 {
                    from += 1;
                } else {
                    to -= 1;
                }
                seen += 1;
            }
        }
    }
}

/// An edition, what its trees should hold, and what they held at its savepoints.
pub(super) type Working = (Edition<Arc<Counted>>, [Model; TREES], Vec<[Model; TREES]>);

/// A version and what its trees should hold.
pub(super) type Held = (Version<Arc<Counted>>, [Model; TREES]);

pub(super) struct World {
    pub(super) versions: Versions<Arc<Counted>>,
    pub(super) alive: Arc<AtomicIsize>,
    published: [Model; TREES],
    pub(super) working: Option<Working>,
    pub(super) held: Vec<Held>,
    /// Numbers the steps; forks share it.
    steps: Arc<AtomicU64>,
    /// No snapshot was taken of an edition.
    one_line: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let alive = Arc::new(AtomicIsize::new(0));
        let trees = (0..TREES)
            .map(|_| RawTree::empty::<Arc<Counted>>(0))
            .collect();
        World {
            versions: Versions::new(trees, Counted::new(0, &alive)),
            alive,
            published: Default::default(),
            working: None,
            held: Vec::new(),
            steps: Arc::default(),
            one_line: true,
        }
    }

    /// The newest version.
    pub(super) fn newest(&self) -> Held {
        (self.versions.current(), self.published.clone())
    }

    /// A fork of a version of this world, or of one like it.
    pub(super) fn fork(&self, (version, published): &Held) -> Self {
        World {
            versions: Versions::fork(version, Counted::new(0, &self.alive)),
            alive: Arc::clone(&self.alive),
            published: published.clone(),
            working: None,
            held: Vec::new(),
            steps: Arc::clone(&self.steps),
            one_line: true,
        }
    }

    fn working(&mut self) -> &mut Working {
        let (versions, published) = (&self.versions, &self.published);
        self.working
            .get_or_insert_with(|| (versions.edit(), published.clone(), Vec::new()))
    }

    pub(super) fn step(&mut self, op: Op) {
        let number = 1 + self.steps.fetch_add(1, Ordering::Relaxed);
        let value = Counted::new(number, &self.alive);
        match op {
            Op::Insert(tree, key) => {
                let (edition, model, _) = self.working();
                edition.insert(tree, &key, value, number);
                model[tree].insert(key, number);
            }
            Op::Remove(tree, key) => {
                let (edition, model, _) = self.working();
                let there = model[tree].remove(&key).is_some();
                assert_eq!(edition.remove(tree, &key, number), there);
            }
            Op::RemoveNth(tree, n) => {
                let (edition, model, _) = self.working();
                if !model[tree].is_empty() {
                    let key = model[tree]
                        .keys()
                        .nth(n % model[tree].len())
                        .unwrap()
                        .clone();
                    model[tree].remove(&key);
                    assert!(edition.remove(tree, &key, number));
                }
            }
            Op::Cut(tree, prefix) => {
                let (edition, model, _) = self.working();
                edition.cut(tree, &prefix, number);
                model[tree].retain(|key, _| !key.starts_with(&prefix));
            }
            Op::Savepoint => {
                let (edition, model, saved) = self.working();
                edition.savepoint();
                saved.push(model.clone());
            }
            Op::Rollback => {
                let (edition, model, saved) = self.working();
                if let Some(before) = saved.pop() {
                    edition.rollback();
                    *model = before;
                }
            }
            Op::Release => {
                let (edition, _, saved) = self.working();
                if saved.pop().is_some() {
                    edition.release(1);
                }
            }
            Op::Snapshot => {
                let (edition, model, _) = self.working();
                let seen = (edition.snapshot(value).0, model.clone());
                self.held.push(seen);
                self.one_line = false;
            }
            Op::Reset(tree) => {
                let (edition, model, _) = self.working();
                edition.reset(tree, number);
                model[tree].clear();
            }
            Op::Commit => {
                if let Some((edition, model, _)) = self.working.take() {
                    drop(edition.publish(value));
                    self.published = model;
                }
            }
            Op::CommitKeeping => {
                if let Some((edition, model, _)) = self.working.take() {
                    let past = Counted::new(0, &self.alive);
                    let (mut kept, before) = (None, self.published.clone());
                    drop(edition.publish_keeping(value, past, |past, _| kept = Some(past)));
                    let kept = kept.expect("the one before is kept");
                    assert_eq!(kept.payload().number, 0);
                    self.held.push((kept, before));
                    self.published = model;
                }
            }
            Op::Abort => self.working = None,
            Op::Hold => self.held.push(self.newest()),
            Op::Let(n) => {
                if !self.held.is_empty() {
                    let n = n % self.held.len();
                    self.held.swap_remove(n);
                }
            }
            Op::Collect => {
                if self.working.is_none() {
                    self.versions.collect();
                }
            }
        }
    }

    pub(super) fn compare(&self, probes: &[Vec<u8>]) {
        let open = self.working.as_ref().map(|(edition, ..)| edition);
        audit(&self.versions, open, self.one_line);
        if let Some((edition, model, _)) = &self.working {
            edition.check(u64::MAX);
            for (tree, model) in model.iter().enumerate() {
                compare(edition.tree(tree), model, probes);
            }
        }
        let current = self.versions.current();
        for (tree, model) in self.published.iter().enumerate() {
            compare(current.tree(tree), model, probes);
        }
        self.held.iter().for_each(compare_held);
    }
}

impl World {
    /// All of it, from the first operation to the end.
    pub(super) fn run(ops: Vec<Op>, probes: &[Vec<u8>], store_first: bool) {
        let mut world = World::new();
        for op in ops {
            world.step(op);
            world.compare(probes);
        }
        world.end(store_first);
    }

    /// Either the store or the held versions go last; nothing is left in any order.
    pub(super) fn end(self, store_first: bool) {
        let World {
            versions,
            alive,
            working,
            held,
            ..
        } = self;
        drop(working);
        if store_first {
            drop(versions);
            held.iter().for_each(compare_held);
            drop(held);
        } else {
            drop(held);
            drop(versions);
        }
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

/// Compares all that a held version has.
pub(super) fn compare_held((version, models): &Held) {
    for (tree, model) in models.iter().enumerate() {
        let expected: Vec<_> = model.values().copied().collect();
        assert_eq!(content(version.tree(tree)), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn compositions_equal_a_map(
        ops in prop::collection::vec(op(), 1..100),
        probes in prop::collection::vec(key(), 2..6),
        store_first in any::<bool>(),
    ) {
        World::run(ops, &probes, store_first);
    }
}

#[test]
fn an_edition_waits_for_the_one_before() {
    let versions = Versions::new(vec![RawTree::empty::<Arc<Counted>>(0)], ());
    let first = versions.edit();
    assert!(versions.try_edit().is_none());
    let other = std::thread::spawn({
        let versions = versions.clone();
        move || drop(versions.edit().publish(()))
    });
    drop(first.publish(()));
    other.join().unwrap();
    assert!(versions.try_edit().is_some());
}

#[test]
fn what_a_version_pins_is_freed_when_it_goes() {
    let alive = Arc::new(AtomicIsize::new(0));
    let versions = Versions::new(vec![RawTree::empty::<Arc<Counted>>(0)], ());
    let put = |n: u64| {
        let mut edition = versions.edit();
        edition.insert(0, &(n % 64).to_be_bytes(), Counted::new(n, &alive), n);
        drop(edition.publish(()));
    };
    (0..64).for_each(put);
    let held = versions.current();
    (64..64_000).for_each(put);
    // 64 current values, 64 that the held version needs, and what a bounded step has left over.
    assert!(alive.load(Ordering::Relaxed) <= 64 + 64 + 2);
    drop(held);
    versions.collect();
    assert_eq!(alive.load(Ordering::Relaxed), 64);
}

#[test]
fn a_dropped_load_is_freed_in_steps() {
    let alive = Arc::new(AtomicIsize::new(0));
    let versions = Versions::new(vec![RawTree::empty::<Arc<Counted>>(0)], ());
    let mut edition = versions.edit();
    for n in 0..10_000u64 {
        edition.insert(0, &n.to_be_bytes(), Counted::new(n, &alive), 1);
    }
    drop(edition);
    let left = alive.load(Ordering::Relaxed);
    assert!(
        left > 9_000,
        "a drop must not walk the whole load, {left} are left"
    );
    drop(versions.edit().publish(()));
    assert!(alive.load(Ordering::Relaxed) < left);
    versions.collect();
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

/// The real `arc-swap`, which loom cannot see inside: several cells, whose versions are freed and
/// made anew all the time at the same addresses.
#[test]
fn readers_of_several_stores_see_their_own_versions_in_order() {
    const COMMITS: u64 = 4000;
    let stores: Vec<_> = (0..3_u64)
        .map(|id| Versions::new(vec![RawTree::empty::<Arc<Counted>>(0)], (id, 0)))
        .collect();
    let alive = Arc::new(AtomicIsize::new(0));
    std::thread::scope(|scope| {
        for (id, store) in (0..).zip(&stores) {
            let alive = &alive;
            scope.spawn(move || {
                for n in 1..=COMMITS {
                    let mut edition = store.edit();
                    edition.insert(0, b"k", Counted::new(n * 3 + id, alive), n);
                    drop(edition.publish((id, n)));
                }
            });
        }
        for reader in 0..2 {
            let stores = &stores;
            scope.spawn(move || {
                let mut last = [0; 3];
                let mut kept = Vec::new();
                while last.iter().any(|n| *n < COMMITS) {
                    for (at, store) in stores.iter().enumerate() {
                        let version = store.current();
                        let (id, n) = *version.payload();
                        assert_eq!(id, at as u64, "a version of another store");
                        assert!(n >= last[at], "{n} after {}", last[at]);
                        last[at] = n;
                        let value = version.tree::<Arc<Counted>>(0).get(b"k");
                        assert_eq!(value.map_or(id, |value| value.number), n * 3 + id);
                        kept.push(version);
                    }
                    // One of the readers holds many versions, the other none for long.
                    kept.truncate(if reader == 0 { 60 } else { 0 });
                }
            });
        }
    });
    drop(stores);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}
