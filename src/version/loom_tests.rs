//! Publish, take and drop, in every interleaving that loom can make.
//!
//! A payload's destructor writes a cell that its readers read: a version destroyed while, or
//! before, somebody reads it is a race that loom reports. The payloads are counted besides, so
//! that one that is lost or dropped twice is found at the end.

use super::{Edition, Version, Versions};
use crate::tree::{RawTree, Value};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

struct Probe {
    number: UnsafeCell<u64>,
    alive: Arc<AtomicIsize>,
}

// SAFETY: written by its destructor alone, which is what loom checks here.
unsafe impl Sync for Probe {}

impl Probe {
    fn new(number: u64, alive: &Arc<AtomicIsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Probe {
            number: UnsafeCell::new(number),
            alive: alive.clone(),
        }
    }

    fn read(&self) -> u64 {
        // SAFETY: a shared read.
        self.number.with(|number| unsafe { *number })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // SAFETY: nobody else has it, says the code under test.
        self.number.with_mut(|number| unsafe { *number = u64::MAX });
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Value for Arc<u64> {}
impl Value for Arc<Probe> {}

fn put(versions: &Versions<Probe>, number: u64, alive: &Arc<AtomicIsize>) {
    let mut edition = versions.edit();
    edition.insert(0, b"k", Arc::new(number), number);
    drop(edition.publish(Probe::new(number, alive)));
}

/// The same, and what was the newest version is kept.
fn put_keeping(
    versions: &Versions<Probe>,
    number: u64,
    alive: &Arc<AtomicIsize>,
) -> Version<Probe> {
    let mut kept = None;
    let mut edition = versions.edit();
    edition.insert(0, b"k", Arc::new(number), number);
    let (next, past) = (Probe::new(number, alive), Probe::new(number - 1, alive));
    drop(edition.publish_keeping(next, past, |version, _| kept = Some(version)));
    kept.expect("it was given")
}

fn model(threads: impl Fn(Versions<Probe>, Arc<AtomicIsize>) + Sync + Send + 'static) {
    model_of(RawTree::empty::<Arc<u64>>, threads);
}

/// The same with a tree of this kind.
fn model_of(
    tree: fn(u64) -> RawTree,
    threads: impl Fn(Versions<Probe>, Arc<AtomicIsize>) + Sync + Send + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let alive = Arc::new(AtomicIsize::new(0));
        let versions = Versions::new(vec![tree(0)], Probe::new(0, &alive));
        threads(versions, alive.clone());
        assert_eq!(alive.load(Ordering::Relaxed), 0, "payloads leaked");
    });
}

/// Takes the newest version twice and checks that it does not go backwards.
fn take(versions: &Versions<Probe>) {
    let first = versions.current();
    let tree = first.tree::<Arc<u64>>(0);
    assert_eq!(tree.get(b"k").map_or(0, |v| **v), first.payload().read());
    let second = versions.current();
    assert!(second.payload().read() >= first.payload().read());
    drop(first);
    let kept = second.clone();
    drop(second);
    kept.payload().read();
}

#[test]
fn loom_readers_take_what_a_writer_publishes() {
    model(|versions, alive| {
        let reader = thread::spawn({
            let versions = versions.clone();
            move || take(&versions)
        });
        put(&versions, 1, &alive);
        drop(versions);
        reader.join().unwrap();
    });
}

#[test]
fn loom_versions_outlive_the_store() {
    model(|versions, alive| {
        put(&versions, 1, &alive);
        let held = versions.current();
        let reader = thread::spawn(move || {
            let other = held.clone();
            held.payload().read();
            drop(held);
            other.payload().read();
        });
        put(&versions, 2, &alive);
        drop(versions);
        reader.join().unwrap();
    });
}

#[test]
fn loom_two_writers_take_turns() {
    model(|versions, alive| {
        let other = thread::spawn({
            let (versions, alive) = (versions.clone(), alive.clone());
            move || put(&versions, 1, &alive)
        });
        put(&versions, 2, &alive);
        other.join().unwrap();
        drop(versions);
    });
}

#[test]
fn loom_an_aborted_edition_leaves_nothing() {
    model(|versions, _alive| {
        let reader = thread::spawn({
            let versions = versions.clone();
            move || drop(versions.current())
        });
        let mut edition = versions.edit();
        edition.insert(0, b"k", Arc::new(9), 9);
        drop(edition);
        drop(versions);
        reader.join().unwrap();
    });
}

/// A fork holds the version it began from, and that the core of its store: whoever is last ends both.
#[test]
fn loom_a_fork_and_its_store_end_beside_one_another() {
    model(|versions, alive| {
        put(&versions, 1, &alive);
        let fork = Versions::fork(&versions.current(), Probe::new(1, &alive));
        let other = thread::spawn({
            let alive = alive.clone();
            move || {
                put(&fork, 2, &alive);
                let held = fork.current();
                drop(fork);
                assert_eq!(held.payload().read(), 2);
            }
        });
        put(&versions, 3, &alive);
        drop(versions);
        other.join().unwrap();
    });
}

#[test]
fn loom_a_fork_is_read_while_its_store_goes_on() {
    model(|versions, alive| {
        put(&versions, 1, &alive);
        let fork = Versions::fork(&versions.current(), Probe::new(1, &alive));
        let reader = thread::spawn(move || take(&fork));
        put(&versions, 2, &alive);
        drop(versions);
        reader.join().unwrap();
    });
}

/// A version that is kept with another payload is one more between the old and the new.
#[test]
fn loom_a_kept_version_beside_readers() {
    model(|versions, alive| {
        put(&versions, 1, &alive);
        let reader = thread::spawn({
            let versions = versions.clone();
            move || take(&versions)
        });
        let kept = put_keeping(&versions, 2, &alive);
        drop(versions);
        let value = kept.tree::<Arc<u64>>(0).get(b"k").map(|value| **value);
        assert_eq!(value, Some(kept.payload().read()));
        drop(kept);
        reader.join().unwrap();
    });
}

#[test]
fn loom_a_kept_version_goes_while_the_next_is_written() {
    model(|versions, alive| {
        put(&versions, 1, &alive);
        let kept = put_keeping(&versions, 2, &alive);
        let other = thread::spawn(move || drop(kept));
        put(&versions, 3, &alive);
        drop(versions);
        other.join().unwrap();
    });
}

/// A snapshot of an edition is read and let go while that goes on: whatever it does then, no value that
/// is read is dropped before.
fn seen_while(
    go_on: impl Fn(&Versions<Probe>, Edition<Probe>, &Arc<AtomicIsize>) + Sync + Send + 'static,
) {
    model_of(RawTree::empty::<Arc<Probe>>, move |versions, alive| {
        let mut edition = versions.edit();
        edition.savepoint();
        edition.insert(0, b"k", Arc::new(Probe::new(1, &alive)), 1);
        let (seen, _) = edition.snapshot(Probe::new(1, &alive));
        let reader = thread::spawn(move || {
            let value = seen
                .tree::<Arc<Probe>>(0)
                .get(b"k")
                .map(|value| value.read());
            assert_eq!(value, Some(seen.payload().read()));
        });
        edition.insert(0, b"k", Arc::new(Probe::new(2, &alive)), 2);
        go_on(&versions, edition, &alive);
        drop(versions);
        reader.join().unwrap();
    });
}

#[test]
fn loom_a_snapshot_of_an_edition_that_takes_another_and_is_published() {
    seen_while(|_, mut edition, alive| {
        drop(edition.snapshot(Probe::new(2, alive)));
        drop(edition.publish(Probe::new(3, alive)));
    });
}

#[test]
fn loom_a_snapshot_of_an_edition_that_goes_back() {
    seen_while(|versions, mut edition, alive| {
        edition.rollback();
        drop(edition.publish(Probe::new(3, alive)));
        versions.collect();
    });
}

#[test]
fn loom_a_snapshot_of_an_edition_that_is_dropped() {
    seen_while(|versions, edition, alive| {
        drop(edition);
        let mut next = versions.edit();
        next.insert(0, b"l", Arc::new(Probe::new(4, alive)), 4);
        drop(next.publish(Probe::new(4, alive)));
    });
}
