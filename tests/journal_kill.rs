//! `kill -9` in the middle of writing, a hundred times: nothing that was acknowledged is lost.
//!
//! The test runs its own binary as a child that counts in a journal, on several threads, and
//! prints what is acknowledged; it kills the child, starts the next on the same directory, and
//! compares what that one found with what was printed.
#![cfg(feature = "journal")]

mod common;

use common::{Bank, Request};
use highwater::LogIndex;
use highwater::journal::{Journal, JournalOptions};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const DIR: &str = "HIGHWATER_TEST_JOURNAL";
const ROUNDS: usize = 100;
const THREADS: usize = 4;

/// Images are written all the time, so that the kills meet those too.
fn options() -> JournalOptions {
    JournalOptions {
        image_every_entries: 40,
        ..JournalOptions::default()
    }
}

fn say(line: &str) {
    // One write for each line: a line that arrives whole was said.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "the part of the child: run by the test below, in a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let (journal, recovery) = Journal::<Bank, Request>::open(&dir, options()).unwrap();
    for account in journal.store().snapshot().accounts().iter() {
        say(&format!("found {} {}", account.id, account.amount));
    }
    say(&format!(
        "opened {} {} {}",
        recovery.index,
        u8::from(recovery.torn.is_some()),
        recovery.damaged_images.len()
    ));
    thread::scope(|scope| {
        for id in 0..THREADS {
            let journal = &journal;
            scope.spawn(move || {
                loop {
                    let count = Request::Count {
                        id: format!("t{id}"),
                    };
                    let committed = journal.propose(count).unwrap();
                    let amount = committed.result.unwrap();
                    say(&format!("acknowledged t{id} {amount} {}", committed.index));
                }
            });
        }
    });
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the children have said.
#[derive(Debug, Default)]
struct Ledger {
    /// The last acknowledged count of each account.
    counts: BTreeMap<String, i64>,
    index: LogIndex,
    found: BTreeMap<String, i64>,
    opened: usize,
    torn: usize,
    acknowledged: usize,
}

impl Ledger {
    fn hear(&mut self, line: &str) {
        // The test harness of the child speaks too, and begins a line that the child then ends.
        let Some((_, line)) = line.split_once('@') else {
            return;
        };
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["found", id, amount] => {
                self.found.insert(id.to_owned(), amount.parse().unwrap());
            }
            ["opened", index, torn, damaged] => {
                self.opened += 1;
                self.torn += torn.parse::<usize>().unwrap();
                assert_eq!(damaged, "0", "a kill damages no image");
                let found = std::mem::take(&mut self.found);
                self.compare(LogIndex(index.parse().unwrap()), found);
            }
            ["acknowledged", id, amount, index] => {
                self.acknowledged += 1;
                self.counts.insert(id.to_owned(), amount.parse().unwrap());
                self.index = self.index.max(LogIndex(index.parse().unwrap()));
            }
            _ => panic!("{line}"),
        }
    }

    /// Each thread has one proposal under way: it may be in the log without having been heard of.
    fn compare(&mut self, index: LogIndex, found: BTreeMap<String, i64>) {
        assert!(
            index >= self.index,
            "found {index}, acknowledged {}",
            self.index
        );
        for id in (0..THREADS).map(|id| format!("t{id}")) {
            let heard = self.counts.get(&id).copied().unwrap_or(0);
            let found = found.get(&id).copied().unwrap_or(0);
            assert!(
                found == heard || found == heard + 1,
                "{id}: found {found}, acknowledged {heard}"
            );
        }
        let total: i64 = found.values().sum();
        assert_eq!(total.cast_unsigned(), index.0, "each entry counts once");
        self.counts = found;
        self.index = index;
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let random = |below: u64| RandomState::new().build_hasher().finish() % below;
    let mut ledger = Ledger::default();
    for round in 0..ROUNDS {
        ledger.found.clear();
        let mut child = start(dir.path());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        // The next line; none when the pipe has ended, or in the middle of a line.
        let mut next = || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.ends_with('\n').then(|| line.trim_end().to_owned())
        };
        // Some die while they open, most after some acknowledgements and a bit.
        if round % 10 == 9 {
            thread::sleep(Duration::from_millis(random(20)));
        } else {
            let enough = ledger.acknowledged + 1 + usize::try_from(random(80)).unwrap();
            while ledger.acknowledged < enough {
                let Some(line) = next() else { break };
                ledger.hear(&line);
            }
        }
        thread::sleep(Duration::from_micros(random(2500)));
        child.kill().unwrap();
        while let Some(line) = next() {
            ledger.hear(&line);
        }
        let end = child.wait_with_output().unwrap();
        assert_eq!(
            end.status.code(),
            None,
            "{}",
            String::from_utf8_lossy(&end.stderr)
        );
    }
    assert!(ledger.opened >= ROUNDS * 8 / 10, "{ledger:?}");
    assert!(ledger.acknowledged >= ROUNDS, "{ledger:?}");

    let (journal, recovery) = Journal::<Bank, Request>::open(dir.path(), options()).unwrap();
    let found = journal
        .store()
        .snapshot()
        .accounts()
        .iter()
        .map(|account| (account.id.clone(), account.amount))
        .collect();
    ledger.compare(recovery.index, found);
    assert!(recovery.image.is_some(), "images were written on the way");
    journal.close().unwrap();
}
