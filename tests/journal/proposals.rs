//! Proposals: each is answered once, with its index, and is there after a restart; what is refused is not
//! in the log.

use crate::common::{self, Failure, Request, balance};
use crate::{Bankbook, block_on, count, open};
use highwater::LogIndex;
use highwater::fsm::{Outcome, Proposal, RequestId, SessionError, SessionId, SessionOptions};
use highwater::journal::{Committed, JournalOptions, ProposeError};
use std::thread;
use std::time::SystemTime;

#[test]
fn what_several_threads_proposed_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, recovery) = open(&dir.path().join("new/journal"));
    assert!(recovery.created);
    assert_eq!(recovery.index, LogIndex(0));
    let mut indexes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let journal = &journal;
                scope.spawn(move || {
                    let id = format!("t{thread}");
                    let propose = |n: i64| {
                        let Committed { index, result } = journal.propose(count(&id)).unwrap();
                        assert_eq!(result, Ok(n));
                        let seen = journal.store().snapshot();
                        assert!(seen.index() >= index);
                        assert!(seen.accounts().get(&id).unwrap().amount >= n);
                        index
                    };
                    (1..=25).map(propose).collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    indexes.sort();
    assert_eq!(indexes, (1..=200).map(LogIndex).collect::<Vec<_>>());
    let history = journal.store().position().history;
    journal.close().unwrap();

    let (journal, recovery) = open(&dir.path().join("new/journal"));
    assert!(recovery.closed && !recovery.created, "{recovery}");
    assert_eq!((recovery.image, recovery.torn), (None, None));
    assert_eq!(recovery.damaged_images, []);
    assert_eq!((recovery.replayed, recovery.index), (200, LogIndex(200)));
    assert_eq!(journal.store().position().history, history);
    assert_ne!(history, highwater::HistoryId::UNNAMED);
    for thread in 0..8 {
        assert_eq!(balance(journal.store(), &format!("t{thread}")), Some(25));
    }
    assert_eq!(journal.propose(count("t0")).unwrap().index, LogIndex(201));
}

#[test]
fn futures_wait_for_room_and_answers_on_any_executor() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        queue_entries: 2,
        batch_entries: 3,
        ..JournalOptions::default()
    };
    let (journal, _) = Bankbook::open(dir.path(), options).unwrap();
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let proposals: Vec<_> = (0..20).map(|_| journal.propose_async(count("a"))).collect();
            thread::spawn(move || {
                for proposal in proposals {
                    block_on(proposal).unwrap().result.unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(balance(journal.store(), "a"), Some(120));
    drop(journal.propose_async(count("a")));
    let late = journal.propose_async(count("a"));
    journal.close().unwrap();
    assert_eq!(block_on(late), Err(ProposeError::Closed));
    let (journal, _) = open(dir.path());
    assert_eq!(balance(journal.store(), "a"), Some(120));
}

#[test]
fn a_rejected_command_is_an_answer_and_uses_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let open_a = || Request::Open {
        id: "a".into(),
        amount: 3,
    };
    journal.propose(open_a()).unwrap().result.unwrap();
    let answer = journal.propose(open_a()).unwrap();
    assert_eq!(
        answer,
        Committed {
            index: LogIndex(2),
            result: Err(Failure::Exists("a".into()))
        }
    );
    let pay = Request::Pay {
        from: "a".into(),
        to: "nobody".into(),
        amount: 1,
    };
    let answer = journal.propose(pay).unwrap();
    assert_eq!(answer.result, Err(Failure::NoAccount("nobody".into())));
    drop(journal);
    let (journal, recovery) = open(dir.path());
    assert_eq!((recovery.replayed, recovery.index), (3, LogIndex(3)));
    assert_eq!(balance(journal.store(), "a"), Some(3));
    assert_eq!(
        journal
            .store()
            .snapshot()
            .accounts()
            .get("a")
            .unwrap()
            .modify_index(),
        LogIndex(1)
    );
}

#[test]
fn a_request_that_is_sent_again_is_applied_once_also_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let opened = Proposal::open_session(SessionOptions::default(), SystemTime::now());
    let session = SessionId(1);
    assert_eq!(
        journal.submit(opened).unwrap(),
        (LogIndex(1), Outcome::Session(session))
    );
    let of = |session| {
        let request = RequestId {
            session,
            sequence: 1,
            answered: 0,
        };
        Proposal::in_session(request, &count("a"), SystemTime::now(), 7).unwrap()
    };
    assert_eq!(
        journal.submit(of(session)).unwrap(),
        (LogIndex(2), Outcome::Done(Ok(1)))
    );
    let again = Outcome::Repeated {
        index: LogIndex(2),
        result: Ok(1),
    };
    assert_eq!(
        journal.submit(of(session)).unwrap(),
        (LogIndex(3), again.clone())
    );
    journal.close().unwrap();

    // From the log.
    let (journal, recovery) = open(dir.path());
    assert_eq!((recovery.image, recovery.replayed), (None, 3));
    assert_eq!(
        journal.submit(of(session)).unwrap(),
        (LogIndex(4), again.clone())
    );
    journal.checkpoint().unwrap();
    journal.close().unwrap();

    // From an image.
    let (journal, recovery) = open(dir.path());
    assert_eq!((recovery.image, recovery.replayed), (Some(LogIndex(4)), 0));
    assert_eq!(
        block_on(journal.submit_async(of(session))).unwrap(),
        (LogIndex(5), again)
    );
    let unknown = SessionId(2);
    assert_eq!(
        journal.submit(of(unknown)).unwrap().1,
        Outcome::Refused(SessionError::Unknown { session: unknown })
    );
    assert_eq!(balance(journal.store(), "a"), Some(1));
    assert_eq!(journal.propose(count("a")).unwrap().result, Ok(2));

    let late = journal.submit_async(of(session));
    journal.close().unwrap();
    assert_eq!(block_on(late), Err(ProposeError::Closed));
}

#[test]
fn a_command_above_the_limit_is_not_logged() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        max_entry_bytes: 200,
        ..JournalOptions::default()
    };
    let (journal, _) = Bankbook::open(dir.path(), options).unwrap();
    let fill = |n| Request::Fill {
        bytes: "x".repeat(n),
    };
    match journal.propose(fill(201)) {
        Err(ProposeError::TooLarge { len, limit: 200 }) => assert!(len > 201),
        other => panic!("{other:?}"),
    }
    assert_eq!(journal.propose(fill(100)).unwrap().index, LogIndex(1));
}

#[test]
fn nobody_writes_the_store_past_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("a")).unwrap().result.unwrap();
    common::only_its_driver_writes(journal.store(), "the journal");
    assert_eq!(journal.propose(count("a")).unwrap().index, LogIndex(2));
    drop(journal);
    let (journal, recovery) = open(dir.path());
    assert_eq!(recovery.index, LogIndex(2));
    assert_eq!(balance(journal.store(), "a"), Some(2));
}

#[test]
fn time_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let note = |id: &str| Request::Note { id: id.into() };
    let (journal, _) = open(dir.path());
    let first = journal.propose(note("a")).unwrap().result.unwrap();
    assert!(first > 1_600_000_000_000, "milliseconds since the epoch");
    journal.checkpoint().unwrap();
    drop(journal);
    let (journal, recovery) = open(dir.path());
    assert_eq!((recovery.image, recovery.replayed), (Some(LogIndex(1)), 0));
    assert!(journal.propose(note("b")).unwrap().result.unwrap() >= first);
}
