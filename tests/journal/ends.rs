//! How a journal ends: closed, or halted by what it cannot apply; and what the next one then finds.

use crate::common::{Bank, Failure, Request, balance};
use crate::{Bankbook, block_on, count, open, soon};
use highwater::fsm::{Command, Context};
use highwater::journal::{Journal, JournalError, JournalOptions, ProposeError};
use highwater::{LogIndex, Store, WaitError, WriteTxn};
use serde::{Deserialize, Serialize};
use std::thread;

/// The same commands to a program in which what panicked was mended.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Mended(Request);

impl Command<Bank> for Mended {
    type Reply = i64;
    type Error = Failure;

    fn apply(self, context: &Context, txn: &mut WriteTxn<Bank>) -> Result<i64, Failure> {
        match self.0 {
            Request::Panic => Ok(0),
            request => request.apply(context, txn),
        }
    }
}

/// Who waits for an index, until that is in vain.
fn waiting(store: &Store<Bank>, index: u64) -> thread::JoinHandle<Option<WaitError>> {
    let store = store.clone();
    thread::spawn(move || store.snapshot_at_least(LogIndex(index), soon()).err())
}

#[test]
fn a_panic_halts_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("a")).unwrap().result.unwrap();
    let store = journal.store().clone();
    let waiter = waiting(&store, 2);
    match journal.propose(Request::Panic) {
        Err(ProposeError::Halted { reason }) => {
            assert!(
                reason.contains("entry 2") && reason.contains("as it was told"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        waiter.join().unwrap(),
        Some(WaitError::Halted { .. })
    ));
    assert!(matches!(
        journal.propose(count("a")),
        Err(ProposeError::Halted { .. })
    ));
    let proposal = journal.propose_async(count("a"));
    assert!(matches!(
        block_on(proposal),
        Err(ProposeError::Halted { .. })
    ));
    assert!(matches!(
        journal.checkpoint(),
        Err(JournalError::Halted { .. })
    ));
    assert_eq!(balance(&store, "a"), Some(1));
    assert_eq!(store.position().index, LogIndex(1));
    assert!(matches!(journal.close(), Err(JournalError::Entry(_))));
    assert_eq!(balance(&store, "a"), Some(1), "reads outlive the journal");

    match Bankbook::open(dir.path(), JournalOptions::default()) {
        Err(JournalError::Entry(halt)) => assert_eq!(halt.index, LogIndex(2)),
        other => panic!("{other:?}"),
    }
    let (journal, recovery) =
        Journal::<Bank, Mended>::open(dir.path(), JournalOptions::default()).unwrap();
    assert_eq!(recovery.replayed, 2);
    assert!(recovery.closed);
    assert_eq!(journal.propose(Mended(count("a"))).unwrap().result, Ok(2));
}

/// A program that has one kind of request only.
#[derive(Serialize, Deserialize)]
enum Older {
    Count { id: String },
}

impl Command<Bank> for Older {
    type Reply = i64;
    type Error = Failure;

    fn apply(self, context: &Context, txn: &mut WriteTxn<Bank>) -> Result<i64, Failure> {
        let Older::Count { id } = self;
        Request::Count { id }.apply(context, txn)
    }
}

#[test]
fn a_command_this_program_does_not_know_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("a")).unwrap().result.unwrap();
    journal
        .propose(Request::Note { id: "b".into() })
        .unwrap()
        .result
        .unwrap();
    drop(journal);
    match Journal::<Bank, Older>::open(dir.path(), JournalOptions::default()) {
        Err(JournalError::Entry(halt)) => {
            assert_eq!(halt.index, LogIndex(2));
            assert!(halt.to_string().contains("Note"), "{halt}");
        }
        other => panic!("{other:?}"),
    }
    // Nothing was harmed by the attempt.
    let (journal, recovery) = open(dir.path());
    assert_eq!(recovery.replayed, 2);
    assert!(balance(journal.store(), "b").is_some());
}

#[test]
fn an_error_says_once_that_the_journal_has_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.store().halt("maintenance");
    for _ in 0..2 {
        let error = journal.propose(count("a")).unwrap_err().to_string();
        assert_eq!(
            error,
            "the journal has stopped: the store is halted: maintenance; open it again, which tells whether \
             it has the command"
        );
    }
    let error = journal.close().unwrap_err().to_string();
    assert_eq!(
        error,
        "the journal has stopped: the store is halted: maintenance; open it again"
    );
}

#[test]
fn closing_ends_waits_and_not_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("a")).unwrap().result.unwrap();
    let store = journal.store().clone();
    let waiter = waiting(&store, 9);
    drop(journal);
    assert!(matches!(waiter.join().unwrap(), Some(WaitError::Closed)));
    assert_eq!(balance(&store, "a"), Some(1));
}

#[test]
fn a_closed_store_takes_nothing_into_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("tea")).unwrap().result.unwrap();
    journal.store().close();
    for _ in 0..2 {
        let refused = journal.propose(count("tea"));
        assert!(matches!(refused, Err(ProposeError::Closed)), "{refused:?}");
    }
    journal.close().unwrap();
    let (journal, _) = open(dir.path());
    assert_eq!(balance(journal.store(), "tea"), Some(1));
}

#[test]
fn only_one_journal_has_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    match Bankbook::open(dir.path(), JournalOptions::default()) {
        Err(JournalError::InUse { dir: used }) => assert_eq!(used, dir.path()),
        other => panic!("{other:?}"),
    }
    journal.propose(count("a")).unwrap().result.unwrap();
    drop(journal);
    let (journal, _) = open(dir.path());
    assert_eq!(balance(journal.store(), "a"), Some(1));
}
