//! The log alone: what it stores, and what it makes of damage.

use super::*;
use redb::ReadableTable;
use std::fs;

const HISTORY: HistoryId = HistoryId(7);

fn payload(index: u64) -> Vec<u8> {
    format!("entry {index} ")
        .repeat(1 + usize::try_from(index % 7).unwrap())
        .into_bytes()
}

fn append(log: &mut Log, count: u64, cut: Option<Cut>) {
    let first = log.last().0 + 1;
    let payloads: Vec<_> = (first..first + count).map(payload).collect();
    log.append(payloads.iter().map(Vec::as_slice), cut).unwrap();
}

fn create(path: &Path) -> Log {
    Log::create(path, HISTORY).unwrap();
    Log::open(path).unwrap().log
}

fn indexes(log: &Log, after: u64) -> Vec<u64> {
    let mut found = Vec::new();
    log.replay(LogIndex(after), |index, bytes| {
        assert_eq!(bytes, payload(index.0));
        found.push(index.0);
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn entries_are_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = create(&path);
    assert_eq!((log.last(), log.history()), (LogIndex(0), HISTORY));
    append(&mut log, 3, None);
    append(&mut log, 40, None);
    log.close().unwrap();
    let Opened { log, rolled_back } = Log::open(&path).unwrap();
    assert!(!rolled_back);
    assert_eq!(log.last(), LogIndex(43));
    assert_eq!(indexes(&log, 0), (1..=43).collect::<Vec<_>>());
    assert_eq!(indexes(&log, 41), [42, 43]);
    assert!(indexes(&log, 43).is_empty());
}

#[test]
fn a_cut_goes_in_steps_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = create(&path);
    append(&mut log, 10, None);
    let cut = |at_most| {
        Some(Cut {
            through: LogIndex(6),
            at_most,
        })
    };
    append(&mut log, 1, cut(4));
    assert!(log.holds(LogIndex(6)));
    assert_eq!(indexes(&log, 0), [5, 6, 7, 8, 9, 10, 11]);
    drop(log);
    let mut log = Log::open(&path).unwrap().log;
    assert_eq!(log.cut_through(), LogIndex(6));
    assert!(log.holds(LogIndex(6)));
    log.append(std::iter::empty(), cut(1000)).unwrap();
    assert!(!log.holds(LogIndex(6)));
    drop(log);
    let log = Log::open(&path).unwrap().log;
    assert_eq!(indexes(&log, 0), [7, 8, 9, 10, 11]);
    assert!(!log.holds(LogIndex(6)));
}

/// The size stays bounded over many rounds of appending and cutting.
#[test]
fn space_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = create(&path);
    let mut sizes = Vec::new();
    for _ in 0..12 {
        let through = log.last();
        append(&mut log, 2000, None);
        while log.holds(through) {
            log.append(
                std::iter::empty(),
                Some(Cut {
                    through,
                    at_most: 1000,
                }),
            )
            .unwrap();
        }
        sizes.push(fs::metadata(&path).unwrap().len());
    }
    assert!(sizes[11] <= 2 * sizes[2], "{sizes:?}");
}

fn expect_damage(path: &Path, index: Option<u64>, says: &str) {
    match Log::open(path).map(|opened| opened.log.last()) {
        Err(JournalError::Damaged {
            index: at, what, ..
        }) => {
            assert_eq!(at, index.map(LogIndex));
            assert!(what.contains(says), "{what}");
        }
        other => panic!("{other:?}"),
    }
}

fn edit(path: &Path, edit: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>)) {
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    edit(&mut txn.open_table(ENTRIES).unwrap());
    txn.commit().unwrap();
}

#[test]
fn damage_names_the_entry() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let fresh = || {
        let _ = fs::remove_file(&path);
        append(&mut create(&path), 9, None);
    };
    fresh();
    edit(&path, |table| {
        table.insert(4, &b"something else"[..]).unwrap();
    });
    expect_damage(&path, Some(4), "checksum");
    fresh();
    edit(&path, |table| {
        let moved = table.get(5).unwrap().unwrap().value().to_vec();
        table.insert(6, &moved[..]).unwrap();
    });
    expect_damage(&path, Some(6), "checksum");
    fresh();
    edit(&path, |table| {
        table.remove(4).unwrap();
    });
    expect_damage(&path, Some(4), "missing");
    fresh();
    edit(&path, |table| {
        table.remove(1).unwrap();
    });
    expect_damage(&path, Some(1), "missing");
}

#[test]
fn other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for content in [&b""[..], b"short", &[0; 9000], &[0xff; 9001]] {
        fs::write(&path, content).unwrap();
        let opened = Log::open(&path).map(|opened| opened.log.last());
        assert!(
            matches!(opened, Err(JournalError::Damaged { .. })),
            "{opened:?}"
        );
    }
    fs::remove_file(&path).unwrap();
    let db = Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(ABOUT).unwrap();
    txn.commit().unwrap();
    drop(db);
    expect_damage(&path, None, "no head");
    let mut head = Head {
        history: HISTORY,
        cut_through: LogIndex(0),
    }
    .encode();
    let put = |head: &[u8]| {
        let db = Database::open(&path).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(ABOUT).unwrap().insert(HEAD, head).unwrap();
        txn.commit().unwrap();
    };
    head[3] ^= 1;
    put(&head);
    expect_damage(&path, None, "checksum");
    let mut newer = b"\x00\x02and more".to_vec();
    newer.extend(crc32fast::hash(&newer).to_be_bytes());
    put(&newer);
    let opened = Log::open(&path).map(|opened| opened.log.last());
    assert!(
        matches!(opened, Err(JournalError::Format { found: 2, .. })),
        "{opened:?}"
    );
}

/// A newest commit that is not intact is one that was torn: the log goes back by it, and says so.
#[test]
fn a_torn_commit_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("log"), dir.path().join("copy"));
    let mut log = create(&path);
    append(&mut log, 50, None);
    let before = fs::read(&path).unwrap();
    append(&mut log, 5, None);
    let after = fs::read(&path).unwrap();
    drop(log);
    // Pages that the last commit wrote, past the header, one at a time as they were before it.
    let mut torn = 0;
    for page in 1..after.len() / 4096 {
        let range = page * 4096..(page + 1) * 4096;
        let old = before.get(range.clone()).unwrap_or(&[0; 4096]);
        if old == &after[range.clone()] {
            continue;
        }
        let mut bytes = after.clone();
        bytes[range].copy_from_slice(old);
        fs::write(&copy, bytes).unwrap();
        let Opened { log, rolled_back } = Log::open(&copy).unwrap();
        assert!(rolled_back, "page {page}");
        assert_eq!(indexes(&log, 0), (1..=50).collect::<Vec<_>>());
        torn += 1;
    }
    assert!(torn > 0, "a commit writes pages");
}

/// Whatever is done to the file: no panic, and either all entries, or a prefix that ends with a
/// commit, or a refusal.
#[test]
fn damage_anywhere_is_survived() {
    // A thousand openings, which sync: in memory where there is such a place.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let dir = dir.unwrap();
    let (path, copy) = (dir.path().join("log"), dir.path().join("copy"));
    let mut log = create(&path);
    append(&mut log, 200, None);
    append(&mut log, 1, None);
    append(
        &mut log,
        30,
        Some(Cut {
            through: LogIndex(20),
            at_most: 10,
        }),
    );
    let unclean = fs::read(&path).unwrap();
    log.close().unwrap();
    let clean = fs::read(&path).unwrap();
    let check = |bytes: &[u8], newest: &[u64], what: &str| {
        fs::write(&copy, bytes).unwrap();
        match Log::open(&copy) {
            Ok(Opened { log, .. }) => {
                let found = indexes(&log, 20);
                let last = found.last().copied();
                assert_eq!(found, (21..=last.unwrap()).collect::<Vec<_>>(), "{what}");
                assert!(newest.contains(&last.unwrap()), "{what}: ends at {last:?}");
            }
            Err(
                JournalError::Damaged { .. }
                | JournalError::Io { .. }
                | JournalError::Storage { .. },
            ) => {}
            Err(e) => panic!("{what}: {e:?}"),
        }
    };
    for (name, whole, newest) in [
        ("unclean", &unclean, &[231, 201][..]),
        ("clean", &clean, &[231][..]),
    ] {
        check(whole, &[231], name);
        let header = (0..400).step_by(3).map(|at| (at, 1 << (at % 8)));
        let spread = (400..whole.len()).step_by(4999).map(|at| (at, 0x40));
        for (at, bits) in header.chain(spread) {
            let mut bytes = whole.clone();
            bytes[at] ^= bits;
            check(&bytes, newest, &format!("{name}, byte {at}"));
        }
        for cut in (0..whole.len()).step_by(whole.len() / 20) {
            check(&whole[..cut], newest, &format!("{name}, cut to {cut}"));
        }
    }
}
