//! The log alone, against a model, on a disk that can lose what was not synced.

use super::*;
use proptest::prelude::*;
use redb::StorageBackend;
use std::io;

/// A disk whose machine can lose its power: what was written since the last sync is there or not,
/// write by write.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Clone, Debug, Default)]
struct Platter {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Since the last sync.
    writes: Vec<(usize, Vec<u8>)>,
    /// So many syncs succeed.
    syncs_left: Option<usize>,
}

impl Disk {
    /// What is found when the power is back: `kept` says which writes made it.
    fn after_a_loss(&self, mut kept: impl FnMut() -> bool) -> Disk {
        let platter = lock(&self.0);
        let mut bytes = platter.synced.clone();
        bytes.resize(platter.bytes.len().max(bytes.len()), 0);
        for (offset, data) in &platter.writes {
            if kept() {
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
        }
        Disk(Arc::new(Mutex::new(Platter {
            synced: bytes.clone(),
            bytes,
            ..Platter::default()
        })))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(lock(&self.0).bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(&lock(&self.0).bytes[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        lock(&self.0).bytes.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut platter = lock(&self.0);
        if let Some(left) = &mut platter.syncs_left {
            if *left == 0 {
                return Err(io::Error::other("the disk is broken"));
            }
            *left -= 1;
        }
        platter.synced = platter.bytes.clone();
        platter.writes.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut platter = lock(&self.0);
        let from = usize::try_from(offset).unwrap();
        platter.bytes[from..from + data.len()].copy_from_slice(data);
        platter.writes.push((from, data.to_vec()));
        Ok(())
    }
}

fn payload(index: u64, version: u64) -> Vec<u8> {
    let repeat = usize::try_from(index % 5 + 1).unwrap();
    format!("entry {index}.{version} ")
        .repeat(repeat)
        .into_bytes()
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Truncate(u64),
    Purge(u64),
    Vote,
    Committed,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..6).prop_map(Step::Append),
        1 => (0_u64..6).prop_map(Step::Truncate),
        1 => (0_u64..9).prop_map(Step::Purge),
        1 => Just(Step::Vote),
        1 => Just(Step::Committed),
    ]
}

/// What the log must hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: BTreeMap<u64, Vec<u8>>,
    vote: Option<Vec<u8>>,
    purged: Option<Vec<u8>>,
    next: u64,
}

impl Model {
    /// Does a step, to both; whether it was answered well.
    fn step(&mut self, log: &LogFile, step: &Step, version: u64) -> bool {
        let told = Arc::new(Mutex::new(None));
        let done: Done = Box::new({
            let told = Arc::clone(&told);
            move |result| *lock(&told) = Some(result.is_ok())
        });
        match *step {
            Step::Append(count) => {
                let entries: Vec<_> = (self.next..self.next + count)
                    .map(|index| (index, payload(index, version)))
                    .collect();
                self.entries.extend(entries.clone());
                self.next += count;
                log.append(entries, done);
                // Readable at once, whatever the disk does.
                let last = log.read(self.next - 1..self.next).unwrap();
                assert_eq!(*last[0], *self.entries[&(self.next - 1)]);
                return lock(&told).unwrap();
            }
            Step::Truncate(back) => {
                // What was purged is committed, and is never truncated.
                let from = self
                    .next
                    .saturating_sub(back)
                    .max(self.entries.keys().next().copied().unwrap_or(self.next));
                self.entries.split_off(&from);
                self.next = from;
                wait(log.truncate(from))
            }
            Step::Purge(ahead) => {
                let Some(through) = self.entries.keys().nth(usize::try_from(ahead).unwrap()) else {
                    return true;
                };
                let through = *through;
                self.entries = self.entries.split_off(&(through + 1));
                self.purged = Some(through.to_be_bytes().to_vec());
                wait(log.purge(through, "purged", through.to_be_bytes().to_vec()))
            }
            Step::Vote => {
                self.vote = Some(version.to_be_bytes().to_vec());
                wait(log.put("vote", version.to_be_bytes().to_vec()))
            }
            Step::Committed => {
                log.put_lazily("committed", version.to_be_bytes().to_vec());
                true
            }
        }
    }

    fn is(&self, log: &LogFile) -> bool {
        let entries = log.read(0..u64::MAX).unwrap();
        let expected: Vec<_> = self.entries.values().map(Vec::as_slice).collect();
        entries.iter().map(AsRef::as_ref).eq(expected)
            && log.get("vote").unwrap() == self.vote
            && log.get("purged").unwrap() == self.purged
    }
}

fn wait(edit: impl Future<Output = Result<(), NodeError>>) -> bool {
    let mut edit = std::pin::pin!(edit);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match edit.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(result) => result.is_ok(),
        std::task::Poll::Pending => panic!("inline edits are done at once"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The power goes at some sync: what was answered is there, what was not is there whole or not
    /// at all, and nothing is written after the first error.
    #[test]
    fn what_was_answered_survives_a_loss_of_power(
        steps in prop::collection::vec(step(), 1..40),
        syncs in 0_usize..40,
        kept in prop::collection::vec(any::<bool>(), 1..50),
    ) {
        let disk = Disk::default();
        let log = LogFile::on(disk.clone(), Blocking::Inline).unwrap();
        lock(&disk.0).syncs_left = Some(syncs);
        let mut model = Model::default();
        let mut durable = model.clone();
        let mut failed = None;
        for (version, step) in (0..).zip(&steps) {
            if failed.is_some() {
                prop_assert!(!wait(log.put("vote", vec![1])));
                break;
            }
            if model.step(&log, step, version) {
                prop_assert!(model.is(&log));
                durable = model.clone();
            } else {
                failed = Some(model.clone());
            }
        }
        let mut kept = kept.into_iter().cycle();
        let found = disk.after_a_loss(|| kept.next().unwrap());
        let log = LogFile::on(found, Blocking::Inline).unwrap();
        // A step that failed may be there, though nobody was told.
        prop_assert!(
            durable.is(&log) || failed.is_some_and(|model| model.is(&log)),
            "{:?} instead of {durable:?}", log.read(0..u64::MAX)
        );
        if let Some((first, last)) = log.bounds() {
            prop_assert_eq!(log.read(0..u64::MAX).unwrap().len() as u64, last - first + 1);
        }
    }
}

#[test]
fn edits_of_many_share_a_sync_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = LogFile::open(dir.path(), Blocking::Threads).unwrap();
    let (done, told) = channel();
    for index in 0..500_u64 {
        let done = done.clone();
        log.append(
            vec![(index, payload(index, 0))],
            Box::new(move |result| done.send((index, result.is_ok())).unwrap()),
        );
    }
    drop(done);
    let told: Vec<_> = told.iter().collect();
    assert_eq!(
        told,
        (0..500).map(|index| (index, true)).collect::<Vec<_>>()
    );
    log.put_lazily("committed", vec![7]);
    assert!(log.read(490..u64::MAX).unwrap().len() == 10);
    drop(log);
    // Closed in order: also what could have been lost is there.
    let log = LogFile::open(dir.path(), Blocking::Threads).unwrap();
    assert_eq!(log.get("committed").unwrap(), Some(vec![7]));
    assert_eq!(log.bounds(), Some((0, 499)));
    assert_eq!(*log.read(3..4).unwrap()[0], *payload(3, 0));
}

#[test]
fn a_hole_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = LogFile::open(dir.path(), Blocking::Inline).unwrap();
    let append = |index: u64| {
        let (told, result) = channel();
        log.append(
            vec![(index, vec![1])],
            Box::new(move |done| told.send(done).unwrap()),
        );
        result.recv().unwrap()
    };
    append(5).unwrap();
    append(6).unwrap();
    let refused = append(8).unwrap_err().to_string();
    assert!(
        refused.contains("entry 8 cannot follow entry 6"),
        "{refused}"
    );
    append(7).unwrap();
    assert_eq!(log.bounds(), Some((5, 7)));
}

/// Beyond what stays in memory the disk is read, and both make one log.
#[test]
fn a_long_log_is_read_from_memory_and_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = LogFile::open(dir.path(), Blocking::Inline).unwrap();
    let big = |index: u64| vec![index.to_le_bytes()[0]; 1 << 20];
    for index in 0..20 {
        log.append(
            vec![(index, big(index))],
            Box::new(|result| result.unwrap()),
        );
    }
    assert!(lock(&log.0.shared.recent).bytes <= RECENT_BYTES);
    let all = log.read(0..u64::MAX).unwrap();
    assert_eq!(all.len(), 20);
    assert!((0..).zip(&all).all(|(index, entry)| **entry == *big(index)));
    assert!(wait(log.truncate(18)));
    assert!(wait(log.purge(1, "purged", vec![1])));
    assert_eq!(log.read(0..u64::MAX).unwrap().len(), 16);
}
