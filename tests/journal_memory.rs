//! A journal in memory, and the end of any journal: it can be closed while others hold it.
#![cfg(feature = "journal")]

mod common;

use common::{Bank, Request, balance};
use highwater::journal::{Journal, JournalError, JournalOptions, ProposeError};
use highwater::{LogIndex, WaitError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

fn in_memory() -> Journal<Bank, Request> {
    Journal::in_memory(JournalOptions::default())
}

fn count(id: &str) -> Request {
    Request::Count { id: id.into() }
}

#[test]
fn proposals_of_all_threads_have_one_index_each() {
    let journal = in_memory();
    let mut indexes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let propose = |_| journal.propose(count("a")).unwrap().index;
                    (0..50).map(propose).collect::<Vec<_>>()
                })
            })
            .collect();
        let threads = threads.into_iter();
        threads.flat_map(|one| one.join().unwrap()).collect()
    });
    indexes.sort();
    assert_eq!(indexes, (1..=200).map(LogIndex).collect::<Vec<_>>());
    assert_eq!(balance(journal.store(), "a"), Some(200));
    assert_eq!(journal.store().position().index, LogIndex(200));
}

#[test]
fn what_is_rejected_uses_its_index_and_changes_nothing() {
    let journal = in_memory();
    let pay = |amount| Request::Pay {
        from: "a".into(),
        to: "b".into(),
        amount,
    };
    let rejected = journal.propose(pay(1)).unwrap();
    assert_eq!(rejected.index, LogIndex(1));
    assert!(rejected.result.is_err());
    assert_eq!(balance(journal.store(), "a"), None);
    assert_eq!(journal.propose(count("a")).unwrap().index, LogIndex(2));
}

#[test]
fn it_keeps_no_images() {
    let journal = in_memory();
    journal.propose(count("a")).unwrap().result.unwrap();
    assert!(matches!(journal.checkpoint(), Err(JournalError::InMemory)));
    // And goes on.
    journal.propose(count("a")).unwrap().result.unwrap();
}

#[test]
fn a_panic_halts_it() {
    let journal = in_memory();
    journal.propose(count("a")).unwrap().result.unwrap();
    assert!(matches!(
        journal.propose(Request::Panic),
        Err(ProposeError::Halted { .. })
    ));
    assert!(matches!(
        journal.propose(count("a")),
        Err(ProposeError::Halted { .. })
    ));
    assert_eq!(balance(journal.store(), "a"), Some(1));
    assert!(matches!(journal.close(), Err(JournalError::Entry(_))));
}

#[test]
fn nobody_else_writes_its_store() {
    let journal = in_memory();
    common::only_its_driver_writes(journal.store(), "the journal");
    assert_eq!(journal.propose(count("a")).unwrap().index, LogIndex(1));
}

#[test]
fn who_proposes_to_a_halted_one_is_told_why() {
    // Many times: the proposer is told why only if the journal halts before it lets go of it.
    for _ in 0..100 {
        let journal = in_memory();
        journal.store().halt("maintenance");
        let error = journal.propose(count("a")).unwrap_err().to_string();
        assert!(error.contains("maintenance"), "{error}");
    }
}

/// Closed through a shared handle: what waits is told, what was proposed is done, and a second
/// close, or the drop, has nothing to do.
fn closes(journal: Journal<Bank, Request>) {
    let journal = Arc::new(journal);
    journal.propose(count("a")).unwrap().result.unwrap();
    let store = journal.store().clone();
    let waiter = thread::spawn({
        let store = store.clone();
        move || store.snapshot_at_least(LogIndex(9), Instant::now() + Duration::from_mins(5))
    });
    let other = Arc::clone(&journal);
    thread::scope(|scope| {
        scope.spawn(|| other.close().unwrap());
        scope.spawn(|| journal.close().unwrap());
    });
    assert!(matches!(waiter.join().unwrap(), Err(WaitError::Closed)));
    assert!(matches!(
        journal.propose(count("a")),
        Err(ProposeError::Closed)
    ));
    assert!(matches!(journal.checkpoint(), Err(JournalError::Closed)));
    journal.close().unwrap();
    assert_eq!(balance(&store, "a"), Some(1));
}

#[test]
fn it_closes_while_others_hold_it() {
    closes(in_memory());
}

#[test]
fn one_on_disk_closes_while_others_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    closes(
        Journal::open(dir.path(), JournalOptions::default())
            .unwrap()
            .0,
    );
    let (_, recovery) =
        Journal::<Bank, Request>::open(dir.path(), JournalOptions::default()).unwrap();
    assert!(recovery.closed);
    assert_eq!(recovery.index, LogIndex(1));
}
