//! Records that are due at a time of the log's clock.

use highwater::fsm::{Batch, Command, Context, LogEntry, Outcome, Proposal};
use highwater::{LogIndex, Schema, Store, Table, WriteError, WriteTxn};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "locks")]
struct Lock {
    #[primary_key]
    name: String,
    #[expires]
    until: Option<SystemTime>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Lease {
    #[primary_key]
    id: u32,
    #[index]
    node: u32,
    #[expires]
    ends: SystemTime,
}

#[derive(Debug, Schema)]
struct Locks {
    locks: Lock,
    leases: Lease,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Request {
    /// For so many microseconds from now; for ever without.
    Hold {
        name: String,
        micros: Option<u64>,
    },
    Free {
        name: String,
    },
    /// Frees at most so many that are due, and says which.
    Expire {
        most: usize,
    },
}

impl Command<Locks> for Request {
    type Reply = Vec<String>;
    type Error = WriteError;

    fn apply(
        self,
        context: &Context,
        txn: &mut WriteTxn<Locks>,
    ) -> Result<Vec<String>, WriteError> {
        match self {
            Request::Hold { name, micros } => {
                let until = micros.map(|micros| context.time() + Duration::from_micros(micros));
                txn.locks_mut().upsert(Lock { name, until })?;
                Ok(Vec::new())
            }
            Request::Free { name } => {
                txn.locks_mut().delete(&name)?;
                Ok(Vec::new())
            }
            Request::Expire { most } => {
                let due = txn.locks().due(context.time()).take(most);
                let due: Vec<String> = due.map(|lock| lock.name.clone()).collect();
                for name in &due {
                    txn.locks_mut().delete(name)?;
                }
                Ok(due)
            }
        }
    }
}

fn at(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

fn hold(name: &str, micros: impl Into<Option<u64>>) -> Request {
    Request::Hold {
        name: name.into(),
        micros: micros.into(),
    }
}

/// Applies one command at a time of the log; what was freed.
fn apply(store: &Store<Locks>, time_ms: u64, request: &Request) -> Vec<String> {
    let proposal = Proposal::new(request, at(1000 * time_ms), 0).unwrap();
    let entry = LogEntry::from_proposal(store.position().index.next(), proposal);
    match Batch::new(vec![entry]).apply(store).outcomes.remove(0) {
        Outcome::Done(Ok(freed)) => freed,
        outcome => panic!("{outcome:?}"),
    }
}

const ALL: Request = Request::Expire { most: 1000 };

#[test]
fn what_is_due_is_due_by_the_clock_of_the_log() {
    let store = Store::<Locks>::new();
    // On the wall that was in 1970, and long over; in the log it is now.
    apply(&store, 1000, &hold("a", 5000));
    assert_eq!(apply(&store, 1004, &ALL), [""; 0]);
    assert_eq!(apply(&store, 1005, &ALL), ["a"]);
    // Here the log is far ahead of the wall, and goes on when a machine's clock has gone back.
    let later = 1 << 44;
    apply(&store, later, &hold("b", 5000));
    apply(&store, 1000, &hold("c", 4000));
    assert_eq!(apply(&store, 2000, &ALL), [""; 0]);
    assert_eq!(apply(&store, later + 5, &ALL), ["c", "b"]);
}

#[test]
fn ties_are_by_key_and_what_is_renewed_or_has_no_end_is_not_hit() {
    let store = Store::<Locks>::new();
    for name in ["d", "b", "a", "c"] {
        apply(&store, 10, &hold(name, 1000));
    }
    apply(&store, 10, &hold("never", None));
    assert_eq!(store.snapshot().locks().until_index().len(), 4);
    // Due at 11; the renewal is in the log before who takes it away.
    apply(&store, 11, &hold("b", 1000));
    assert_eq!(apply(&store, 11, &Request::Expire { most: 2 }), ["a", "c"]);
    assert_eq!(apply(&store, 11, &Request::Expire { most: 2 }), ["d"]);
    assert_eq!(apply(&store, 12, &Request::Expire { most: 2 }), ["b"]);
    assert_eq!(apply(&store, u64::MAX >> 20, &ALL), [""; 0]);
    assert!(store.snapshot().locks().contains("never"));
}

#[test]
fn the_next_deadline_is_one_that_the_clock_of_the_log_can_show() {
    let store = Store::<Locks>::new();
    let next = || store.snapshot().locks().next_due();
    assert_eq!(next(), None);
    apply(&store, 10, &hold("never", None));
    assert_eq!(next(), None);
    apply(&store, 10, &hold("a", 1001));
    assert_eq!(next(), Some(at(12_000)));
    assert_eq!(apply(&store, 11, &ALL), [""; 0]);
    assert_eq!(apply(&store, 12, &ALL), ["a"]);
    apply(&store, 12, &hold("a", 999));
    assert_eq!(next(), Some(at(13_000)));
    apply(&store, 12, &hold("a", 1000));
    assert_eq!(next(), Some(at(13_000)));
}

#[test]
fn a_watch_of_the_next_deadline_fires_for_another_that_is_the_earliest_alone() {
    let store = Store::<Locks>::new();
    let watch = || store.watch(|db| db.locks().next_due());
    let (none, first) = watch();
    assert_eq!(none.value, None);
    apply(&store, 10, &hold("never", None));
    assert!(!first.has_fired());
    apply(&store, 10, &hold("m", 5000));
    assert!(first.has_fired());

    let (_, later) = watch();
    apply(&store, 10, &hold("z", 5000));
    apply(&store, 11, &hold("n", 5000));
    assert!(!later.has_fired());
    apply(&store, 10, &hold("a", 0));
    assert!(later.has_fired());
    let (_, renewed) = watch();
    apply(&store, 11, &hold("a", 9000));
    assert!(renewed.has_fired());
    // As a blocking query: what it is answered is the next, not what has become of the old.
    let seen = store.watch(|db| db.locks().next_due()).0;
    assert_eq!(apply(&store, 16, &ALL), ["m", "z", "n"]);
    let soon = Instant::now() + Duration::from_mins(1);
    let query = store.blocking_query(seen.index, soon, |db| db.locks().next_due());
    assert_eq!(query.unwrap().value, Some(at(20_000)));
}

#[test]
fn a_time_that_is_always_there_is_due_too() {
    let store = Store::<Locks>::new();
    let mut txn = store.write().unwrap();
    for (id, micros) in [(1, 2000), (2, 1000), (3, 3000)] {
        let lease = Lease {
            id,
            node: 7,
            ends: at(micros),
        };
        txn.leases_mut().insert(lease).unwrap();
    }
    let due = |txn: &WriteTxn<Locks>, micros| -> Vec<u32> {
        txn.leases().due(at(micros)).map(|lease| lease.id).collect()
    };
    assert!(due(&txn, 999).is_empty());
    assert_eq!(due(&txn, 2000), [2, 1]);
    assert_eq!(txn.leases().next_due(), Some(at(1000)));
    // The index is one like any other.
    let ends: Vec<u32> = txn.leases().ends_index().iter().map(|l| l.id).collect();
    assert_eq!(ends, [2, 1, 3]);
    assert_eq!(txn.leases().by_ends(at(3000)).count(), 1);
    assert_eq!(Lease::INDEXES[1].parts, ["expires(ends)"]);
    let gone = txn.leases_mut().delete_query(|leases| leases.due(at(2999)));
    assert_eq!(gone.unwrap().len(), 2);
    assert_eq!(txn.leases().next_due(), Some(at(3000)));
}

fn request() -> impl Strategy<Value = Request> {
    let name = || "[a-f]";
    prop_oneof![
        4 => (name(), prop::option::weighted(0.8, 0_u64..9000))
            .prop_map(|(name, micros)| Request::Hold { name, micros }),
        1 => name().prop_map(|name| Request::Free { name }),
        3 => (0_usize..4).prop_map(|most| Request::Expire { most }),
    ]
}

/// What the store is to be: deadlines by name, and what each command freed.
#[derive(Default)]
struct Model {
    clock_ms: u64,
    until: BTreeMap<String, Option<u64>>,
}

impl Model {
    fn apply(&mut self, time_ms: u64, request: &Request) -> Vec<String> {
        self.clock_ms = self.clock_ms.max(time_ms);
        let now = self.clock_ms * 1000;
        match request {
            Request::Hold { name, micros } => {
                let until = micros.map(|micros| now + micros);
                self.until.insert(name.clone(), until);
                Vec::new()
            }
            Request::Free { name } => {
                self.until.remove(name);
                Vec::new()
            }
            Request::Expire { most } => {
                let deadline =
                    |(name, until): (&String, &Option<u64>)| Some((*until.as_ref()?, name.clone()));
                let mut due: Vec<_> = self.until.iter().filter_map(deadline).collect();
                due.retain(|(until, _)| *until <= now);
                due.sort();
                due.truncate(*most);
                let due: Vec<String> = due.into_iter().map(|(_, name)| name).collect();
                self.until.retain(|name, _| !due.contains(name));
                due
            }
        }
    }
}

fn run(
    store: &Store<Locks>,
    log: &[(u64, Request)],
    first: usize,
    batch: usize,
) -> Vec<Vec<String>> {
    let mut freed = Vec::new();
    for (chunk, requests) in log.chunks(batch).enumerate() {
        let entries = requests.iter().enumerate().map(|(n, (time_ms, request))| {
            let index = LogIndex((first + chunk * batch + n + 1) as u64);
            LogEntry::from_proposal(
                index,
                Proposal::new(request, at(1000 * time_ms), 0).unwrap(),
            )
        });
        for outcome in Batch::new(entries.collect()).apply(store).outcomes {
            match outcome {
                Outcome::Done(Ok(names)) => freed.push(names),
                outcome => panic!("{outcome:?}"),
            }
        }
    }
    freed
}

fn image(store: &Store<Locks>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    bytes
}

proptest! {
    #[test]
    fn replicas_agree_however_entries_are_batched_and_after_a_restore(
        log in prop::collection::vec((0_u64..40, request()), 1..60),
        batch in 1_usize..9,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut model = Model::default();
        let expected: Vec<_> = log.iter().map(|(time, request)| model.apply(*time, request)).collect();
        let stores = [Store::<Locks>::new(), Store::new(), Store::new()];
        prop_assert_eq!(run(&stores[0], &log, 0, 1), &expected[..]);
        prop_assert_eq!(run(&stores[1], &log, 0, batch), &expected[..]);
        // One that goes on from an image.
        let cut = cut.index(log.len());
        let early = Store::<Locks>::new();
        run(&early, &log[..cut], 0, 3);
        stores[2].restore(&image(&early)[..]).unwrap();
        prop_assert_eq!(run(&stores[2], &log[cut..], cut, batch), &expected[cut..]);

        for store in &stores {
            prop_assert_eq!(image(store), image(&stores[0]));
            let snap = store.snapshot();
            let found = snap.locks().iter().map(|lock| (lock.name.clone(), lock.until));
            let wanted = model.until.iter().map(|(name, until)| (name.clone(), until.map(at)));
            prop_assert_eq!(found.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
            let next = model.until.values().flatten().min();
            prop_assert_eq!(snap.locks().next_due(), next.map(|next| at(next.div_ceil(1000) * 1000)));
        }
    }
}
