//! The journal through the public interface: what is answered is there again.
#![cfg(feature = "journal")]

mod common;

use common::{Bank, Failure, Request, balance};
use highwater::fsm::{
    Command, Context, Outcome, Proposal, RequestId, SessionError, SessionId, SessionOptions,
};
use highwater::journal::{
    Committed, Journal, JournalError, JournalOptions, ProposeError, Recovery,
};
use highwater::{LogIndex, WaitError, WriteTxn};
use serde::{Deserialize, Serialize};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll, Wake};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

type Bankbook = Journal<Bank, Request>;

fn open(dir: &Path) -> (Bankbook, Recovery) {
    Journal::open(dir, JournalOptions::default()).unwrap()
}

fn count(id: &str) -> Request {
    Request::Count { id: id.into() }
}

/// Waits for a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut task::Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn images(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("image-")
        })
        .collect();
    found.sort();
    found
}

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
fn checkpoints_cut_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    assert_eq!(journal.checkpoint().unwrap(), LogIndex(0));
    assert!(
        images(dir.path()).is_empty(),
        "there is nothing to write yet"
    );
    for round in 1..=4 {
        for _ in 0..10 {
            journal.propose(count("a")).unwrap().result.unwrap();
        }
        assert_eq!(journal.checkpoint().unwrap(), LogIndex(10 * round));
        assert_eq!(journal.checkpoint().unwrap(), LogIndex(10 * round));
        assert_eq!(
            images(dir.path()).len(),
            usize::min(2, usize::try_from(round).unwrap())
        );
    }
    for _ in 0..3 {
        journal.propose(count("a")).unwrap().result.unwrap();
    }
    journal.close().unwrap();

    let (journal, recovery) = open(dir.path());
    assert_eq!((recovery.image, recovery.replayed), (Some(LogIndex(40)), 3));
    assert_eq!(balance(journal.store(), "a"), Some(43));
    journal.close().unwrap();

    // The newest image is damaged: the one before and the log have it all.
    let newest = images(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    let (journal, recovery) = open(dir.path());
    assert_eq!(
        (recovery.image, recovery.replayed),
        (Some(LogIndex(30)), 13)
    );
    assert_eq!(recovery.damaged_images.len(), 1);
    assert_eq!(recovery.damaged_images[0].path, newest);
    assert_eq!(balance(journal.store(), "a"), Some(43));
    // The next image takes its place, not that of the good one.
    assert_eq!(journal.checkpoint().unwrap(), LogIndex(43));
    let names: Vec<_> = images(dir.path())
        .iter()
        .map(|path| {
            path.to_str()
                .unwrap()
                .rsplit('-')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .collect();
    assert_eq!(names, [30, 43]);
    journal.close().unwrap();

    // Without an image the cut log does not begin at the beginning.
    for path in images(dir.path()) {
        fs::remove_file(path).unwrap();
    }
    match Bankbook::open(dir.path(), JournalOptions::default()) {
        Err(JournalError::Damaged { what, .. }) => assert!(what.contains("after 30"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn images_come_by_themselves_and_bound_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        image_every_entries: 20,
        ..JournalOptions::default()
    };
    let (journal, _) = Bankbook::open(dir.path(), options.clone()).unwrap();
    let deadline = soon();
    while images(dir.path()).len() < 2 {
        assert!(Instant::now() < deadline);
        for _ in 0..10 {
            journal.propose(count("a")).unwrap().result.unwrap();
        }
    }
    assert_eq!(journal.image_error(), None);
    journal.close().unwrap();
    let (journal, recovery) = Bankbook::open(dir.path(), options).unwrap();
    assert!(recovery.image.is_some());
    journal.close().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        image_every_bytes: 5000,
        ..JournalOptions::default()
    };
    let (journal, _) = Bankbook::open(dir.path(), options).unwrap();
    while images(dir.path()).is_empty() {
        assert!(Instant::now() < deadline);
        let fill = Request::Fill {
            bytes: "x".repeat(1000),
        };
        journal.propose(fill).unwrap().result.unwrap();
    }
}

#[test]
fn an_image_that_cannot_be_written_is_told_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("a")).unwrap().result.unwrap();
    let obstacle = dir.path().join("image-00000000000000000001.unfinished");
    fs::create_dir(&obstacle).unwrap();
    match journal.checkpoint() {
        Err(JournalError::Io { path, .. }) => assert_eq!(path, obstacle),
        other => panic!("{other:?}"),
    }
    assert!(
        journal
            .image_error()
            .unwrap()
            .contains("image-00000000000000000001")
    );
    journal.propose(count("a")).unwrap().result.unwrap();
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(journal.checkpoint().unwrap(), LogIndex(2));
    assert_eq!(journal.image_error(), None);
}

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

#[test]
fn a_panic_halts_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("a")).unwrap().result.unwrap();
    let store = journal.store().clone();
    let waiter = thread::spawn({
        let store = store.clone();
        move || store.snapshot_at_least(LogIndex(2), soon()).err()
    });
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
fn an_error_says_once_that_the_journal_has_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.store().halt("maintenance");
    for _ in 0..2 {
        let error = journal.propose(count("a")).unwrap_err().to_string();
        assert_eq!(
            error,
            "the journal has stopped: the store is halted: maintenance"
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
    let waiter = thread::spawn({
        let store = store.clone();
        move || store.snapshot_at_least(LogIndex(9), soon()).err()
    });
    drop(journal);
    assert!(matches!(waiter.join().unwrap(), Some(WaitError::Closed)));
    assert_eq!(balance(&store, "a"), Some(1));
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

/// `acknowledged`, as its format is documented.
fn acknowledged(appended: u64, appending: u64, bytes: u64) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [appended, appending, bytes] {
        file.extend(word.to_be_bytes());
    }
    file.push(0);
    file.extend(crc32fast::hash(&file).to_be_bytes());
    file
}

#[test]
fn a_torn_batch_is_reported_and_a_lost_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    for _ in 0..5 {
        journal.propose(count("a")).unwrap().result.unwrap();
    }
    journal.close().unwrap();
    let file = dir.path().join("acknowledged");
    assert_eq!(fs::read(&file).unwrap()[..8], 5_u64.to_be_bytes());

    fs::write(&file, acknowledged(5, 7, 120)).unwrap();
    let (journal, recovery) = open(dir.path());
    let torn = recovery.torn.unwrap();
    assert_eq!(
        (torn.after, torn.entries, torn.bytes),
        (LogIndex(5), Some(2), Some(120))
    );
    assert!(
        recovery.to_string().contains("2 entries, 120 bytes"),
        "{recovery}"
    );
    assert!(!recovery.closed);
    journal.close().unwrap();

    // The batch came to the disk, and nobody was told: it is kept.
    fs::write(&file, acknowledged(3, 5, 120)).unwrap();
    let (journal, recovery) = open(dir.path());
    assert_eq!((recovery.torn, recovery.replayed), (None, 5));
    journal.close().unwrap();

    fs::write(&file, acknowledged(6, 6, 120)).unwrap();
    match Bankbook::open(dir.path(), JournalOptions::default()) {
        Err(
            e @ JournalError::Damaged {
                index: Some(LogIndex(6)),
                ..
            },
        ) => {
            assert!(e.to_string().contains("6 was acknowledged"), "{e}");
        }
        other => panic!("{other:?}"),
    }
    // The way out that the error names.
    fs::remove_file(&file).unwrap();
    let (journal, recovery) = open(dir.path());
    assert_eq!(recovery.index, LogIndex(5));
    assert_eq!(balance(journal.store(), "a"), Some(5));
}

#[test]
fn a_log_that_is_gone_or_older_than_the_rest_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("a")).unwrap().result.unwrap();
    journal.close().unwrap();
    let log = dir.path().join("journal.redb");
    let old = fs::read(&log).unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("a")).unwrap().result.unwrap();
    journal.checkpoint().unwrap();
    journal.close().unwrap();
    let refused = || match Bankbook::open(dir.path(), JournalOptions::default()) {
        Err(JournalError::Damaged { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    fs::write(&log, &old).unwrap();
    assert!(refused().contains("2 was acknowledged"), "{}", refused());
    fs::remove_file(dir.path().join("acknowledged")).unwrap();
    assert!(
        refused().contains("image-00000000000000000002"),
        "{}",
        refused()
    );
    fs::remove_file(&log).unwrap();
    assert!(refused().contains("missing"), "{}", refused());
}

#[test]
fn an_image_of_another_journal_is_passed_over() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (dir, id) in [(&ours, "ours"), (&theirs, "theirs")] {
        let (journal, _) = open(dir.path());
        journal.propose(count(id)).unwrap().result.unwrap();
        journal.checkpoint().unwrap();
        journal.close().unwrap();
    }
    fs::copy(&images(theirs.path())[0], &images(ours.path())[0]).unwrap();
    let (journal, recovery) = open(ours.path());
    assert_eq!((recovery.image, recovery.replayed), (None, 1));
    assert!(recovery.damaged_images[0].what.contains("history"));
    assert_eq!(balance(journal.store(), "ours"), Some(1));
    assert_eq!(balance(journal.store(), "theirs"), None);
}

/// Damage to any file, anywhere: all that was acknowledged is there, or the journal is refused.
#[test]
fn damage_anywhere_loses_nothing_silently() {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let base = base.unwrap();
    let dir = base.path().join("journal");
    let (journal, _) = open(&dir);
    for round in 0..3 {
        for n in 0..30 {
            journal
                .propose(count(&format!("a{n}")))
                .unwrap()
                .result
                .unwrap();
        }
        if round < 2 {
            journal.checkpoint().unwrap();
        }
    }
    let (killed, closed) = (base.path().join("killed"), base.path().join("closed"));
    copy(&dir, &killed);
    journal.close().unwrap();
    copy(&dir, &closed);

    let victim = base.path().join("victim");
    let (mut opened, mut refused) = (0, 0);
    let mut check = |what: &str| match Bankbook::open(&victim, JournalOptions::default()) {
        Ok((journal, _)) => {
            opened += 1;
            assert_eq!(journal.store().position().index, LogIndex(90), "{what}");
            let snap = journal.store().snapshot();
            let amounts: Vec<_> = snap
                .accounts()
                .iter()
                .map(|account| account.amount)
                .collect();
            assert_eq!(amounts, [3; 30], "{what}");
        }
        Err(
            e @ (JournalError::Damaged { .. }
            | JournalError::Io { .. }
            | JournalError::Storage { .. }),
        ) => {
            refused += 1;
            assert!(
                e.to_string().contains(victim.to_str().unwrap()),
                "{what}: {e}"
            );
        }
        Err(e) => panic!("{what}: {e:?}"),
    };
    for source in [&killed, &closed] {
        copy(source, &victim);
        check("whole");
        for file in fs::read_dir(source).unwrap() {
            let name = file.unwrap().file_name();
            let whole = fs::read(source.join(&name)).unwrap();
            let step = (whole.len() / 60).max(1);
            let flips = (0..whole.len())
                .step_by(step)
                .map(|at| (Some(at), whole.len()));
            let cuts = (0..whole.len()).step_by(4 * step).map(|at| (None, at));
            // The header of the log: the flags, and both commit slots.
            let header = (0..320.min(whole.len()))
                .step_by(7)
                .map(|at| (Some(at), whole.len()));
            for (flip, len) in flips.chain(cuts).chain(header) {
                let mut bytes = whole[..len].to_vec();
                if let Some(at) = flip {
                    bytes[at] ^= 1 << (at % 8);
                }
                copy(source, &victim);
                fs::write(victim.join(&name), bytes).unwrap();
                check(&format!(
                    "{} {}: {flip:?} of {len}",
                    source.display(),
                    name.display()
                ));
            }
        }
    }
    assert!(
        opened > 10 && refused > 10,
        "{opened} opened, {refused} refused"
    );
}

#[test]
fn a_closed_store_takes_nothing_into_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("tea")).unwrap();
    journal.store().close();
    for _ in 0..2 {
        let refused = journal.propose(count("tea"));
        assert!(matches!(refused, Err(ProposeError::Closed)), "{refused:?}");
    }
    journal.close().unwrap();
    let (journal, _) = open(dir.path());
    assert_eq!(balance(journal.store(), "tea"), Some(1));
}

/// A record that cannot be read as it was written, as with fields that are left out by mistake.
mod unreadable {
    use highwater::fsm::{Command, Context};
    use highwater::{Schema, Table, WriteError, WriteTxn};
    use serde::{Deserialize, Deserializer, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "notes")]
    pub(crate) struct Note {
        #[primary_key]
        pub(crate) title: String,
        #[serde(deserialize_with = "long")]
        pub(crate) text: String,
    }

    fn long<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Err(serde::de::Error::custom("it is empty"));
        }
        Ok(text)
    }

    #[derive(Debug, Schema)]
    pub(crate) struct Notes {
        notes: Note,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Write(pub(crate) String);

    impl Command<Notes> for Write {
        type Reply = ();
        type Error = WriteError;

        fn apply(self, _: &Context, txn: &mut WriteTxn<Notes>) -> Result<(), WriteError> {
            let title = "t".into();
            txn.notes_mut()
                .upsert(Note {
                    title,
                    text: self.0,
                })
                .map(drop)
        }
    }
}

#[test]
fn an_image_that_could_not_be_read_cuts_nothing() {
    use unreadable::{Notes, Write};
    let dir = tempfile::tempdir().unwrap();
    let open = || Journal::<Notes, Write>::open(dir.path(), JournalOptions::default()).unwrap();
    let (journal, _) = open();
    for text in ["a", "", "b", ""] {
        journal.propose(Write(text.into())).unwrap().result.unwrap();
        let image = journal.checkpoint();
        assert_eq!(image.is_err(), text.is_empty(), "{image:?}");
        let error = journal.image_error().unwrap_or_default();
        assert_eq!(error.contains("it is empty"), text.is_empty(), "{error}");
    }
    journal.close().unwrap();
    let (journal, _) = open();
    let snapshot = journal.store().snapshot();
    assert_eq!(snapshot.notes().get("t").unwrap().text, "");
}
