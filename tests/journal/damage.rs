//! Damage: what was acknowledged is there, or the journal is refused.

use crate::common::balance;
use crate::{Bankbook, count, open};
use highwater::LogIndex;
use highwater::journal::{JournalError, JournalOptions};
use std::fs;
use std::path::Path;

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

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
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
