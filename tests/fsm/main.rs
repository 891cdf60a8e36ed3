//! Commands applied to a store: batches, rejections, halts, time.

#[path = "../common/mod.rs"]
mod common;
mod expiry;
mod rejected;

use common::{Account, Bank, Failure, Request, account, at, balance};
use highwater::fsm::{Batch, Command, Context, HaltKind, LogEntry, Outcome, Proposal};
use highwater::{LogIndex, Store, StoreError, WaitError, WriteError, WriteTxn};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

fn entry(index: u64, request: &Request) -> LogEntry<Request> {
    entry_at(index, 1000, request)
}

fn entry_at(index: u64, time_ms: u64, request: &Request) -> LogEntry<Request> {
    let proposal = Proposal::new(request, at(time_ms), index).unwrap();
    if index.is_multiple_of(2) {
        LogEntry::from_proposal(LogIndex(index), proposal)
    } else {
        LogEntry::from_bytes(LogIndex(index), proposal.bytes().to_vec())
    }
}

fn open(id: &str, amount: i64) -> Request {
    Request::Open {
        id: id.into(),
        amount,
    }
}

fn pay(from: &str, to: &str, amount: i64) -> Request {
    Request::Pay {
        from: from.into(),
        to: to.into(),
        amount,
    }
}

#[test]
fn a_thread_that_has_a_transaction_open_is_refused_and_halts_nothing() {
    let store = Store::<Bank>::new();
    let txn = store.write().unwrap();
    let applied = Batch::new(vec![entry(3, &open("a", 10))]).apply(&store);
    let halt = applied.halted.unwrap();
    assert!(applied.outcomes.is_empty() && matches!(halt.kind, HaltKind::Store(_)));
    assert!(halt.to_string().contains("commit or drop"), "{halt}");
    txn.commit().unwrap();
    let applied = Batch::new(vec![entry(3, &open("a", 10))]).apply(&store);
    assert_eq!(applied.halted, None);
    assert_eq!(balance(&store, "a"), Some(10));
}

#[test]
fn a_batch_publishes_once_with_an_index_for_each() {
    let store = Store::<Bank>::new();
    let applied = Batch::new(vec![
        entry(3, &open("a", 10)),
        LogEntry::empty(LogIndex(4)),
        entry(7, &open("b", 0)),
        entry(8, &pay("a", "b", 4)),
    ])
    .apply(&store);
    assert_eq!(applied.halted, None);
    assert_eq!(
        applied.outcomes,
        [
            Outcome::Done(Ok(10)),
            Outcome::Empty,
            Outcome::Done(Ok(0)),
            Outcome::Done(Ok(4)),
        ]
    );
    let snap = store.snapshot();
    assert_eq!(snap.index(), LogIndex(8));
    let a = snap.accounts().get("a").unwrap();
    assert_eq!(
        (a.create_index(), a.modify_index(), a.amount),
        (LogIndex(3), LogIndex(8), 6)
    );
    let b = snap.accounts().get("b").unwrap();
    assert_eq!(
        (b.create_index(), b.modify_index(), b.amount),
        (LogIndex(7), LogIndex(8), 4)
    );
}

#[test]
fn a_rejected_command_changes_nothing_and_uses_its_index() {
    let store = Store::<Bank>::new();
    let applied = Batch::new(vec![
        entry(1, &open("a", 10)),
        entry(2, &pay("a", "nobody", 4)),
        entry(3, &pay("a", "a", 99)),
    ])
    .apply(&store);
    assert_eq!(applied.halted, None);
    assert_eq!(
        applied.outcomes,
        [
            Outcome::Done(Ok(10)),
            Outcome::Done(Err(Failure::NoAccount("nobody".into()))),
            Outcome::Done(Err(Failure::NotEnough(10))),
        ]
    );
    assert_eq!(store.position().index, LogIndex(3));
    assert_eq!(balance(&store, "a"), Some(10));
    assert_eq!(
        store.snapshot().accounts().get("a").unwrap().modify_index(),
        LogIndex(1)
    );

    // Also if it is the only one of its batch.
    let applied = Batch::new(vec![entry(4, &pay("x", "a", 1))]).apply(&store);
    assert_eq!(
        applied.outcomes,
        [Outcome::Done(Err(Failure::NoAccount("x".into())))]
    );
    assert_eq!(store.position().index, LogIndex(4));
}

#[test]
fn what_is_applied_is_not_applied_again() {
    let store = Store::<Bank>::new();
    let log = || {
        vec![
            entry(1, &open("a", 1)),
            entry(2, &open("b", 1)),
            entry(3, &open("c", 1)),
        ]
    };
    let _ = Batch::new(log().into_iter().take(2).collect()).apply(&store);
    // Bytes that nobody could apply are not even looked at.
    let mut again = log();
    again.insert(0, LogEntry::from_bytes(LogIndex(1), b"nonsense".to_vec()));
    again.push(entry(3, &Request::Panic));
    let applied = Batch::new(again).apply(&store);
    assert_eq!(applied.halted, None);
    assert_eq!(
        applied.outcomes,
        [
            Outcome::AlreadyApplied,
            Outcome::AlreadyApplied,
            Outcome::AlreadyApplied,
            Outcome::Done(Ok(1)),
            Outcome::AlreadyApplied,
        ]
    );
    assert_eq!(store.snapshot().accounts().len(), 3);
    assert_eq!(Batch::<Request>::new(Vec::new()).apply(&store).outcomes, []);
}

fn expect_halted(store: &Store<Bank>, at: u64, says: &str) {
    assert_eq!(store.position().index, LogIndex(at));
    match store.write_at(LogIndex(100)) {
        Err(StoreError::Halted { reason }) => assert!(reason.contains(says), "{reason}"),
        other => panic!("{:?}", other.err()),
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    let waited = store.snapshot_at_least(LogIndex(at + 1), deadline);
    assert!(
        matches!(waited, Err(WaitError::Halted { .. })),
        "{:?}",
        waited.err()
    );
}

#[test]
fn a_panic_halts_after_the_entries_before_it() {
    let store = Store::<Bank>::new();
    let waiter = std::thread::spawn({
        let store = store.clone();
        move || {
            let deadline = Instant::now() + Duration::from_secs(30);
            store.snapshot_at_least(LogIndex(3), deadline).err()
        }
    });
    let applied = Batch::new(vec![
        entry(1, &open("a", 5)),
        entry_at(2, 5000, &open("b", 5)),
        entry_at(3, 9000, &Request::Panic),
        entry(4, &open("c", 5)),
    ])
    .driver_state(b"of the whole batch".to_vec())
    .apply(&store);
    let halt = applied.halted.unwrap();
    assert_eq!(halt.index, LogIndex(3));
    assert_eq!(halt.kind, HaltKind::Panicked("as it was told".into()));
    assert_eq!(
        applied.outcomes,
        [Outcome::Done(Ok(5)), Outcome::Done(Ok(5))]
    );
    assert!(matches!(
        waiter.join().unwrap(),
        Some(WaitError::Halted { .. })
    ));
    expect_halted(&store, 2, "entry 3");
    let snap = store.snapshot();
    assert_eq!(
        snap.accounts().len(),
        2,
        "the two before it, and nothing of what panicked"
    );
    assert_eq!(snap.driver_state(), None);
    // What is kept of the good entries' times is theirs: the bad one was at 9000.
    let again = Store::<Bank>::from_image(&image(&store)[..]).unwrap();
    let note = Request::Note { id: "a".into() };
    let _ = Batch::new(vec![entry_at(3, 10, &note)]).apply(&again);
    assert_eq!(balance(&again, "a"), Some(5000));
}

#[test]
fn a_panic_in_the_first_entry_leaves_nothing() {
    let store = Store::<Bank>::new();
    let applied = Batch::new(vec![entry(1, &Request::Panic)]).apply(&store);
    assert!(matches!(
        applied.halted.unwrap().kind,
        HaltKind::Panicked(_)
    ));
    expect_halted(&store, 0, "entry 1");
    assert_eq!(store.snapshot().driver_state(), None);
}

#[test]
fn bytes_that_are_no_command_halt() {
    for bytes in [
        &b""[..],
        b"\x01",
        b"\x07 of another format, long enough",
        &[1; 30],
    ] {
        let store = Store::<Bank>::new();
        let applied = Batch::new(vec![
            entry(1, &open("a", 5)),
            LogEntry::from_bytes(LogIndex(2), bytes.to_vec()),
            entry(3, &open("b", 5)),
        ])
        .apply(&store);
        assert_eq!(applied.outcomes, [Outcome::Done(Ok(5))]);
        let halt = applied.halted.unwrap();
        assert_eq!(halt.index, LogIndex(2));
        assert!(matches!(halt.kind, HaltKind::Undecodable(_)), "{halt}");
        expect_halted(&store, 1, "entry 2");
        assert_eq!(balance(&store, "a"), Some(5));
    }
    let store = Store::<Bank>::new();
    let bytes = LogEntry::<Request>::from_bytes(LogIndex(1), Vec::new());
    assert!(Batch::new(vec![bytes]).apply(&store).halted.is_some());
    expect_halted(&store, 0, "entry 1");
}

#[test]
fn time_never_goes_back_also_over_batches_and_rejections() {
    let store = Store::<Bank>::new();
    let note = |id: &str| Request::Note { id: id.into() };
    let _ = Batch::new(vec![
        entry_at(1, 1000, &note("a")),
        entry_at(2, 700, &note("b")),
        entry_at(3, 3000, &pay("x", "y", 1)),
        entry_at(4, 2000, &note("c")),
    ])
    .apply(&store);
    let _ = Batch::new(vec![
        entry_at(5, 4, &note("d")),
        entry_at(6, 4000, &note("e")),
    ])
    .driver_state(b"term 3".to_vec())
    .apply(&store);
    let _ = Batch::new(vec![entry_at(7, 4, &note("f"))]).apply(&store);
    let snap = store.snapshot();
    let times: Vec<_> = snap
        .accounts()
        .iter()
        .map(|account| account.amount)
        .collect();
    assert_eq!(times, [1000, 1000, 3000, 3000, 4000, 4000]);
    assert_eq!(snap.driver_state(), Some(&b"term 3"[..]));
}

/// Answers what an entry tells.
#[derive(serde::Serialize, serde::Deserialize)]
struct Look;
impl highwater::fsm::Command<Bank> for Look {
    type Reply = (LogIndex, SystemTime, u64);
    type Error = highwater::WriteError;
    fn apply(
        self,
        context: &Context,
        _: &mut highwater::WriteTxn<Bank>,
    ) -> Result<Self::Reply, Self::Error> {
        Ok((context.index(), context.time(), context.seed()))
    }
}

#[test]
fn an_entry_tells_its_time_and_draws_alike() {
    let store = Store::<Bank>::new();
    let draw = Request::Draw { id: "r".into() };
    let _ = Batch::new(vec![entry_at(5, 1_700_000_000_000, &draw)]).apply(&store);
    let other = Store::<Bank>::new();
    let _ = Batch::new(vec![entry_at(5, 1_700_000_000_000, &draw)]).apply(&other);
    assert_eq!(balance(&store, "r"), balance(&other, "r"));
    assert!(balance(&store, "r").is_some());

    let look = LogEntry::from_proposal(
        LogIndex(9),
        Proposal::new(&Look, at(1_800_000_000_000), 42).unwrap(),
    );
    let time = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let applied = Batch::new(vec![look]).apply(&store);
    assert_eq!(
        applied.outcomes,
        [Outcome::Done(Ok((LogIndex(9), time, 42)))]
    );
}

#[test]
fn a_store_that_takes_no_writes_says_so() {
    let store = Store::<Bank>::new();
    store.close();
    let applied = Batch::new(vec![entry(1, &open("a", 1))]).apply(&store);
    assert_eq!(applied.outcomes, []);
    assert!(matches!(applied.halted.unwrap().kind, HaltKind::Store(_)));

    let store = Store::<Bank>::new();
    let mut txn = store.write().unwrap();
    txn.accounts_mut().insert(account("a", 1)).unwrap();
    txn.set_driver_state(b"not of a batch".to_vec());
    txn.commit().unwrap();
    let applied = Batch::new(vec![entry(2, &open("b", 1))]).apply(&store);
    assert_eq!(applied.halted, None);
    assert_eq!(
        store.snapshot().driver_state(),
        Some(&b"not of a batch"[..])
    );
}

#[test]
fn a_dense_log_has_no_gap() {
    let store = Store::<Bank>::new();
    let batch = |entries| Batch::new(entries).dense().apply(&store);
    let applied = batch(vec![entry(1, &open("a", 1)), LogEntry::empty(LogIndex(2))]);
    assert_eq!(applied.halted, None);
    let applied = batch(vec![
        entry(2, &open("b", 2)),
        entry(3, &open("c", 3)),
        entry(3, &open("d", 3)),
        entry(5, &open("e", 5)),
    ]);
    assert_eq!(
        applied.outcomes,
        [
            Outcome::AlreadyApplied,
            Outcome::Done(Ok(3)),
            Outcome::AlreadyApplied
        ]
    );
    let halt = applied.halted.unwrap();
    assert_eq!(halt.index, LogIndex(5));
    let expected = LogIndex(4);
    assert_eq!(halt.kind, HaltKind::Gap { expected });
    expect_halted(&store, 3, "entry 4 was expected");
    assert_eq!(store.snapshot().accounts().len(), 2);

    let store = Store::<Bank>::new();
    let applied = Batch::new(vec![entry(2, &open("a", 1))])
        .dense()
        .apply(&store);
    assert!(matches!(
        applied.halted.unwrap().kind,
        HaltKind::Gap {
            expected: LogIndex(1)
        }
    ));
    expect_halted(&store, 0, "entry 1 was expected");
}

fn image(store: &Store<Bank>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    bytes
}

#[test]
fn replicas_compare_their_states_by_an_images_checksum() {
    let digest = |sizes: &[usize], last: &Request| {
        let store = Store::<Bank>::new();
        let log = [&open("a", 5), &open("b", 1), &pay("a", "b", 2), last];
        let mut entries = (1..).zip(log).map(|(index, request)| entry(index, request));
        for size in sizes {
            let _ = Batch::new(entries.by_ref().take(*size).collect()).apply(&store);
        }
        let summary = store.snapshot().write_image(std::io::sink()).unwrap();
        assert_eq!(summary.position.index, LogIndex(4));
        summary.checksum
    };
    let agreed = digest(&[4], &open("c", 7));
    assert_eq!(digest(&[1, 2, 1], &open("c", 7)), agreed);
    assert_ne!(digest(&[4], &open("c", 8)), agreed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The same log gives the same image: entry by entry, in batches, and from an image midway.
    #[test]
    fn a_log_has_one_outcome(
        requests in prop::collection::vec((common::request(), 0_u64..2000, 1_u64..3), 1..80),
        sizes in prop::collection::vec(1_usize..12, 80),
        restart in any::<prop::sample::Index>(),
    ) {
        let mut index = 0;
        let log: Vec<_> = requests
            .iter()
            .map(|(request, time, step)| {
                index += step;
                (index, *time, request)
            })
            .collect();
        let entries = |range: std::ops::Range<usize>| -> Vec<_> {
            log[range].iter().map(|&(index, time, request)| entry_at(index, time, request)).collect()
        };
        let mut outcomes = Vec::new();
        let single = Store::<Bank>::new();
        for at in 0..log.len() {
            let applied = Batch::new(entries(at..at + 1)).apply(&single);
            prop_assert_eq!(applied.halted, None);
            outcomes.extend(applied.outcomes);
        }

        let restart = restart.index(log.len());
        let mut store = Store::<Bank>::new();
        let (mut at, mut batched, mut restarted) = (0, Vec::new(), false);
        for size in sizes {
            if at >= restart && !restarted {
                restarted = true;
                let fresh = Store::<Bank>::new();
                fresh.restore(&image(&store)[..]).unwrap();
                store = fresh;
            }
            let end = (at + size).min(log.len());
            let applied = Batch::new(entries(at..end)).apply(&store);
            prop_assert_eq!(applied.halted, None);
            batched.extend(applied.outcomes);
            at = end;
        }
        prop_assert_eq!(at, log.len());
        prop_assert_eq!(batched, outcomes);
        prop_assert_eq!(image(&store), image(&single));
        let total: i64 = store.snapshot().accounts().iter().map(|account: &highwater::Row<Account>| account.amount).sum();
        prop_assert!(total >= 0);
    }
}

/// A command that counts how often it was done, outside the store.
#[derive(Serialize, Deserialize)]
struct Told(u64);

static TOLD: AtomicU64 = AtomicU64::new(0);

impl Command<Bank> for Told {
    type Reply = ();
    type Error = WriteError;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Bank>) -> Result<(), WriteError> {
        let amount = i64::try_from(self.0).unwrap();
        txn.after_commit(move |_| {
            TOLD.fetch_add(self.0, Ordering::Relaxed);
        });
        txn.accounts_mut()
            .insert(account(&format!("{amount}"), amount))
    }
}

#[test]
fn what_is_done_after_a_commit_is_not_done_in_replay() {
    let entries = |commands: &[u64]| {
        let of = |n: &u64| {
            LogEntry::from_proposal(LogIndex(*n), Proposal::new(&Told(*n), at(0), 0).unwrap())
        };
        commands.iter().map(of).collect::<Vec<LogEntry<Told>>>()
    };
    let store = Store::<Bank>::new();
    assert!(
        Batch::new(entries(&[1, 2]))
            .replayed()
            .apply(&store)
            .halted
            .is_none()
    );
    assert_eq!(store.snapshot().accounts().len(), 2);
    assert_eq!(TOLD.load(Ordering::Relaxed), 0);
    // The rejected command's is not done either.
    let mut all = entries(&[4, 8]);
    all.push(LogEntry::from_proposal(
        LogIndex(9),
        Proposal::new(&Told(8), at(0), 0).unwrap(),
    ));
    assert!(Batch::new(all).apply(&store).halted.is_none());
    assert_eq!(TOLD.load(Ordering::Relaxed), 12);
}
