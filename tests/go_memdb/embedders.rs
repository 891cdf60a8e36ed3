//! What Consul and Nomad have built beside go-memdb.

use crate::store_schema::*;
use crate::things::watch;
use highwater::fsm::{Batch, Command, Context, LogEntry, Proposal, Rejected};
use highwater::{
    FeedItem, HistoryId, LogIndex, Position, Start, Store, StoreOptions, Turn, WaitError, WriteTxn,
};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::time::{Instant, SystemTime};

fn image(store: &Store<Catalog>) -> Vec<u8> {
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    image
}

fn put(store: &Store<Catalog>, index: u64, id: &str) {
    commit_at(store, index, |txn| {
        let note = u32::try_from(index).unwrap();
        let record = Service {
            note,
            ..service(id, "n", "s")
        };
        txn.services_mut().upsert(record).unwrap();
    });
}

/// consul PR #8474.
#[test]
fn a_restore_does_not_stamp_anew() {
    let store = Store::<Catalog>::new();
    put(&store, 3, "a");
    put(&store, 5, "b");
    put(&store, 9, "a");
    let again = Store::<Catalog>::from_image(&image(&store)[..]).unwrap();
    let snap = again.snapshot();
    let a = snap.services().get("a").unwrap();
    assert_eq!(
        (a.create_index(), a.modify_index()),
        (LogIndex(3), LogIndex(9))
    );
    assert_eq!(snap.services().log_index_of("b"), LogIndex(5));
    assert_eq!(snap.index(), LogIndex(9));
}

/// consul PR #577: the graveyard, with its timers and its writes to reap.
#[test]
fn what_was_deleted_below_a_prefix_raises_its_index() {
    let store = Store::<Catalog>::new();
    put(&store, 2, "web/a");
    put(&store, 3, "web/b");
    put(&store, 4, "db/a");
    commit_at(&store, 6, |txn| {
        txn.services_mut().delete("web/a").unwrap();
    });
    let below = |prefix: &str| store.snapshot().services().prefix(prefix).log_index();
    assert_eq!(below("web/"), LogIndex(6));
    assert_eq!(below("db/"), LogIndex(4));
    commit_at(&store, 8, |txn| {
        txn.services_mut().delete("web/b").unwrap();
    });
    assert!(below("web/") >= LogIndex(8));
}

#[test]
fn snapshot_min_index_is_woken() {
    let store = Store::<Catalog>::new();
    put(&store, 5, "a");
    // Less, and equal: at once, also without any time.
    for index in [3, 5] {
        let snap = store.snapshot_at_least(LogIndex(index), Instant::now());
        assert_eq!(snap.unwrap().index(), LogIndex(5));
    }
    let late = store.snapshot_at_least(LogIndex(6), Instant::now());
    assert!(matches!(
        late.unwrap_err(),
        WaitError::Lagging {
            wanted: LogIndex(6),
            applied: LogIndex(5)
        }
    ));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.snapshot_at_least(LogIndex(7), soon()));
        put(&store, 6, "b");
        put(&store, 8, "c");
        assert!(waiting.join().unwrap().unwrap().index() >= LogIndex(7));
    });
}

/// nomad PR #1339: barriers and no-ops never reach the store.
#[test]
fn entries_without_data_raise_the_index() {
    let store = Store::<Catalog>::new();
    put(&store, 1, "a");
    let read = watch(&store, |db| db.services().iter().count());
    store.advance_to(LogIndex(7)).unwrap();
    assert_eq!(store.position().index, LogIndex(7));
    assert!(store.snapshot_at_least(LogIndex(7), Instant::now()).is_ok());
    assert!(!read.has_fired());
    assert_eq!(store.snapshot().services().log_index(), LogIndex(1));
}

#[test]
fn a_blocking_query_returns_for_what_it_read() {
    let store = Store::<Catalog>::new();
    let get = |db: &CatalogView| db.services().get("a").map(|row| row.note);
    // consul PR #4437, nomad #6403: of nothing it is 1; from 0 it does not block, from 1 it does.
    let first = store
        .blocking_query(LogIndex(0), Instant::now(), get)
        .unwrap();
    assert_eq!(
        (first.value, first.index, first.changed),
        (None, LogIndex(1), true)
    );
    let late = store
        .blocking_query(first.index, Instant::now(), get)
        .unwrap();
    assert!(!late.changed);
    // As a client does it, with the last index that it was told.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut after = first.index;
            loop {
                let answer = store.blocking_query(after, soon(), get).unwrap();
                if answer.value.is_some() {
                    return answer;
                }
                assert!(answer.index > after);
                after = answer.index;
            }
        });
        for (index, id) in [(2, "b"), (3, "c"), (4, "a")] {
            put(&store, index, id);
        }
        let answer = waiting.join().unwrap();
        assert_eq!((answer.value, answer.index), (Some(4), LogIndex(4)));
    });
    // From there to gone.
    commit_at(&store, 5, |txn| {
        txn.services_mut().delete("a").unwrap();
    });
    let gone = store.blocking_query(LogIndex(4), soon(), get).unwrap();
    assert_eq!(gone.value, None);
    assert!(gone.index >= LogIndex(5));
}

/// A query abandoned by a restore is answered by what is there then, and the next one waits again.
#[test]
fn a_restore_ends_no_wait_and_makes_none_spin() {
    let store = Store::<Catalog>::new();
    put(&store, 4, "a");
    let other = Store::<Catalog>::with_options(StoreOptions {
        history: HistoryId(9),
        ..StoreOptions::default()
    });
    put(&other, 2, "b");
    let list = |db: &CatalogView| ids(db.services().iter()).join(",");
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.blocking_query(LogIndex(4), soon(), list));
        let limit = soon();
        while store.stats().watchers == 0 {
            assert!(Instant::now() < limit);
            std::thread::yield_now();
        }
        store.restore(&image(&other)[..]).unwrap();
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(
        (answer.value.as_str(), answer.position),
        ("b", other.position())
    );
    let mut runs = 0;
    let next = store.blocking_query(answer.index, shortly(), |db| {
        runs += 1;
        list(db)
    });
    assert!(!next.unwrap().changed && runs == 1);
}

/// consul PR #12673, nomad #11296: duplicates after a resume, streams that a restore leaves alone.
#[test]
fn a_stream_is_resumed_after_what_it_told_and_tells_of_a_restore() {
    let store = Store::<Catalog>::new();
    let mut feed = store.feed(Start::Now).unwrap();
    for index in [2, 3, 5] {
        put(&store, index, "a");
    }
    let first = event(&mut feed).unwrap().unwrap();
    assert_eq!(first.index(), LogIndex(2));
    let mut again = store.feed(Start::After(first.position())).unwrap();
    for index in [3, 5] {
        assert_eq!(event(&mut again).unwrap().unwrap().index(), LogIndex(index));
    }
    let old = image(&store);
    put(&store, 6, "b");
    store.rewind(&old[..]).unwrap();
    assert!(matches!(
        again.try_next(),
        Ok(Some(FeedItem::Restored(position))) if position.index == LogIndex(5)
    ));
    // A snapshot and what comes after it: the gap is closed.
    let (snap, mut feed) = store.follow().unwrap();
    assert_eq!(ids(snap.services().iter()), ["a"]);
    put(&store, 6, "c");
    assert_eq!(event(&mut feed).unwrap().unwrap().index(), LogIndex(6));
}

/// nomad #27442, consul #5356: what is read while a large image comes in.
#[test]
fn a_store_is_read_while_it_is_restored() {
    struct Slow<'a>(&'a [u8], &'a Store<Catalog>);
    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            assert_eq!(ids(self.1.snapshot().services().iter()), ["old"]);
            let len = out.len().min(100);
            self.0.read(&mut out[..len])
        }
    }
    let store = Store::<Catalog>::new();
    put(&store, 1, "old");
    let source = Store::<Catalog>::new();
    for index in 1..50 {
        put(&source, index, &index.to_string());
    }
    let position = store.restore(Slow(&image(&source), &store)).unwrap();
    assert_eq!(
        (position.index, store.snapshot().services().len()),
        (LogIndex(49), 49)
    );
}

/// A truncated snapshot was accepted if it ended between two records.
#[test]
fn a_truncated_image_is_refused_wherever_it_ends() {
    let source = Store::<Catalog>::new();
    for index in 1..6 {
        put(&source, index, &index.to_string());
    }
    let image = image(&source);
    let store = Store::<Catalog>::new();
    put(&store, 1, "old");
    for len in 0..image.len() {
        assert!(
            store.restore(&image[..len]).is_err(),
            "{len} of {}",
            image.len()
        );
    }
    assert_eq!(ids(store.snapshot().services().iter()), ["old"]);
}

#[derive(Debug, Serialize, Deserialize)]
enum Register {
    Node(String, u32),
    Fail,
}

impl Command<Catalog> for Register {
    type Reply = ();
    type Error = Rejected;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), Rejected> {
        match self {
            Register::Node(name, address) => {
                txn.nodes_mut().upsert(node(&name, address))?;
                Ok(())
            }
            Register::Fail => Err("it is to fail".into()),
        }
    }
}

fn log(commands: Vec<Register>) -> Vec<LogEntry<Register>> {
    (1..)
        .zip(commands)
        .map(|(index, command)| {
            let proposal = Proposal::new(&command, SystemTime::UNIX_EPOCH, 1).unwrap();
            LogEntry::from_proposal(LogIndex(index), proposal)
        })
        .collect()
}

/// consul #7939: replicas that report another index for the same data.
#[test]
fn replicas_tell_the_same_indexes_however_entries_came() {
    let commands = || {
        vec![
            Register::Node("a".into(), 1),
            Register::Fail,
            Register::Node("b".into(), 1),
            Register::Node("a".into(), 2),
        ]
    };
    let one = Store::<Catalog>::new();
    let all = Store::<Catalog>::new();
    for entry in log(commands()) {
        assert!(Batch::new(vec![entry]).apply(&one).halted.is_none());
    }
    assert!(Batch::new(log(commands())).apply(&all).halted.is_none());
    let restored = Store::<Catalog>::from_image(&image(&one)[..]).unwrap();
    for store in [&all, &restored] {
        let (snap, other) = (store.snapshot(), one.snapshot());
        assert_eq!(snap.position(), other.position());
        for key in ["a", "b", "c"] {
            assert_eq!(
                snap.nodes().log_index_of(key),
                other.nodes().log_index_of(key)
            );
            assert_eq!(
                snap.nodes().prefix(key).log_index(),
                other.nodes().prefix(key).log_index()
            );
        }
        assert_eq!(image(store), image(&one));
    }
}

/// The log is applied again after a snapshot that has a part of it.
#[test]
fn what_is_applied_already_is_told_and_not_applied() {
    let store = Store::<Catalog>::new();
    put(&store, 5, "a");
    assert!(matches!(
        store.write_at(LogIndex(3)).unwrap(),
        Turn::AlreadyApplied {
            applied: LogIndex(5)
        }
    ));
    assert_eq!(store.snapshot().services().get("a").unwrap().note, 5);
}

/// A wait of nomad's was bound to the store that a restore had thrown away.
#[test]
fn a_wait_for_an_index_goes_on_over_a_restore_of_the_same_history() {
    let store = Store::<Catalog>::new();
    put(&store, 1, "a");
    let newer = Store::<Catalog>::new();
    put(&newer, 8, "b");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.snapshot_at_least(LogIndex(8), soon()));
        store.restore(&image(&newer)[..]).unwrap();
        let snap = waiting.join().unwrap().unwrap();
        assert_eq!(ids(snap.services().iter()), ["b"]);
    });
    let other = Position {
        history: HistoryId(1),
        index: LogIndex(1),
    };
    let wait = store.snapshot_at_least(other, soon());
    assert!(matches!(wait, Err(WaitError::HistoryChanged { .. })));
}
