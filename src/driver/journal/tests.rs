//! The journal on a disk that can be made slow or broken.

use super::acknowledged::Acknowledged;
use super::log::Log;
use super::recovery::Recovered;
use super::*;
use crate::fsm::Context;
use crate::position::HistoryId;
use crate::store::{WriteError, WriteTxn};
use crate::{Schema, Table};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// A counter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "counters")]
pub(super) struct Counter {
    #[primary_key]
    id: String,
    count: u64,
}

/// Counters.
#[derive(Debug, Schema)]
pub(super) struct Counters {
    counters: Counter,
}

#[derive(Serialize, Deserialize)]
struct Count(String);

impl Command<Counters> for Count {
    type Reply = u64;
    type Error = WriteError;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Counters>) -> Result<u64, WriteError> {
        let count = txn
            .counters()
            .get(&self.0)
            .map_or(0, |counter| counter.count)
            + 1;
        txn.counters_mut().upsert(Counter { id: self.0, count })?;
        Ok(count)
    }
}

/// Asks, for each sync, what is to become of it.
#[derive(Debug)]
struct Disk {
    memory: InMemoryBackend,
    syncs: Arc<Syncs>,
}

#[derive(Debug)]
struct Syncs {
    begun: AtomicUsize,
    /// Each sync waits for a word: whether it succeeds. All do when nobody is there to say it.
    verdicts: Mutex<mpsc::Receiver<bool>>,
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.memory.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.memory.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.memory.set_len(len)
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.memory.write(offset, data)
    }
    fn sync_data(&self) -> Result<(), io::Error> {
        self.syncs.begun.fetch_add(1, Ordering::SeqCst);
        match self.syncs.verdicts.lock().unwrap().recv() {
            Ok(false) => Err(io::Error::other("the disk is broken")),
            Ok(true) | Err(mpsc::RecvError) => self.memory.sync_data(),
        }
    }
}

/// A journal on such a disk, and who decides about the next syncs.
fn journal(dir: &Path) -> (Journal<Counters, Count>, Arc<Syncs>, mpsc::Sender<bool>) {
    let (_, nobody) = mpsc::channel();
    let syncs = Arc::new(Syncs {
        begun: AtomicUsize::new(0),
        verdicts: Mutex::new(nobody),
    });
    let disk = Disk {
        memory: InMemoryBackend::new(),
        syncs: Arc::clone(&syncs),
    };
    let log = Log::on(disk, HistoryId(5));
    let (decide, verdicts) = mpsc::channel();
    *syncs.verdicts.lock().unwrap() = verdicts;
    syncs.begun.store(0, Ordering::SeqCst);
    let recovered = Recovered {
        lock: File::create(dir.join("lock")).unwrap(),
        store: Store::with_options(store::StoreOptions {
            history: HistoryId(5),
            ..store::StoreOptions::default()
        }),
        log,
        acknowledged: Acknowledged::begin(dir, LogIndex::ZERO).unwrap(),
        images: Vec::new(),
        replayed_bytes: 0,
        report: Recovery {
            created: true,
            closed: false,
            image: None,
            damaged_images: Vec::new(),
            replayed: 0,
            torn: None,
            index: LogIndex::ZERO,
        },
    };
    (
        Journal::start(dir, &JournalOptions::default(), recovered).unwrap(),
        syncs,
        decide,
    )
}

impl Syncs {
    fn wait_for(&self, begun: usize) {
        for _ in 0..6000 {
            if self.begun.load(Ordering::SeqCst) >= begun {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("no sync in a minute");
    }
}

#[test]
fn nothing_is_seen_before_it_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, syncs, decide) = journal(dir.path());
    thread::scope(|scope| {
        let first = scope.spawn(|| journal.propose(Count("a".into())));
        syncs.wait_for(1);
        assert_eq!(journal.store().position().index, LogIndex::ZERO);
        assert!(!first.is_finished());
        // What is proposed meanwhile shares the next sync.
        let more: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| journal.propose(Count("a".into()))))
            .collect();
        while journal.shared.queue.waiting() < 5 {
            thread::yield_now();
        }
        decide.send(true).unwrap();
        assert_eq!(first.join().unwrap().unwrap().result, Ok(1));
        syncs.wait_for(2);
        assert_eq!(journal.store().position().index, LogIndex(1));
        decide.send(true).unwrap();
        let mut counts: Vec<_> = more
            .into_iter()
            .map(|more| more.join().unwrap().unwrap().result.unwrap())
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [2, 3, 4, 5, 6]);
        assert_eq!(syncs.begun.load(Ordering::SeqCst), 2);
    });
    drop(decide);
    journal.close().unwrap();
}

#[test]
fn an_error_of_the_disk_is_final() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, syncs, decide) = journal(dir.path());
    decide.send(true).unwrap();
    assert_eq!(journal.propose(Count("a".into())).unwrap().result, Ok(1));
    thread::scope(|scope| {
        let failed = scope.spawn(|| journal.propose(Count("a".into())));
        syncs.wait_for(2);
        let queued = scope.spawn(|| journal.propose(Count("a".into())));
        while journal.shared.queue.waiting() < 1 {
            thread::yield_now();
        }
        decide.send(false).unwrap();
        for told in [failed, queued] {
            match told.join().unwrap() {
                Err(ProposeError::Halted { reason }) => {
                    assert!(reason.contains("the disk is broken"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    });
    let syncs_then = syncs.begun.load(Ordering::SeqCst);
    assert!(matches!(
        journal.propose(Count("a".into())),
        Err(ProposeError::Halted { .. })
    ));
    assert_eq!(
        syncs.begun.load(Ordering::SeqCst),
        syncs_then,
        "nothing is tried again"
    );
    let store = journal.store().clone();
    assert_eq!(store.position().index, LogIndex(1), "the mark stays");
    assert!(matches!(
        store.write(),
        Err(crate::StoreError::Halted { .. })
    ));
    drop(decide);
    assert!(matches!(journal.close(), Err(JournalError::Io { .. })));
    assert_eq!(store.snapshot().counters().get("a").unwrap().count, 1);
}
