//! Bringing a target into the state that a table wants, as a program writes it: a feed of the table says what
//! to look at, a table of statuses what came of it, with when to try again.
//!
//! The time is told by who calls, so that nothing here depends on a clock.

use highwater::{
    Feed, FeedError, FeedItem, LogIndex, Schema, Store, Table, TableEvent, WriteError, WriteTxn,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Object {
    #[primary_key]
    id: u32,
    value: String,
}

/// What came of the last operation on an object. It is there until the target has what is wanted of an object
/// that is gone, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(local)]
struct Status {
    #[primary_key]
    object: u32,
    /// Why it failed.
    error: Option<String>,
    /// How often in a row it has failed.
    failures: u32,
    /// The index of what was tried: that of an object that is gone is the one it was seen at.
    #[index(when = Status::is_failed, name = "failed")]
    index: u64,
    /// When it is tried again: because it has failed, or to refresh it.
    #[expires]
    again: SystemTime,
}

impl Status {
    fn is_failed(&self) -> bool {
        self.error.is_some()
    }
}

/// How far the changes of the objects have been tried once: there is one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(local)]
struct Progress {
    #[primary_key]
    id: (),
    index: u64,
}

#[derive(Schema)]
struct Desired {
    objects: Object,
    statuses: Status,
    progress: Progress,
}

/// What is reconciled, and what was done to it.
#[derive(Default)]
struct Target {
    has: BTreeMap<u32, String>,
    /// Objects with which everything fails.
    faulty: BTreeSet<u32>,
    done: Vec<String>,
}

impl Target {
    fn operate(&mut self, what: &str, id: u32) -> Result<(), String> {
        let fails = self.faulty.contains(&id);
        let failed = if fails { " fails" } else { "" };
        self.done.push(format!("{what} {id}{failed}"));
        if fails {
            return Err(format!("{what} of {id}"));
        }
        Ok(())
    }

    fn update(&mut self, object: &Object) -> Result<(), String> {
        self.operate("update", object.id)?;
        self.has.insert(object.id, object.value.clone());
        Ok(())
    }

    fn delete(&mut self, id: u32) -> Result<(), String> {
        self.operate("delete", id)?;
        self.has.remove(&id);
        Ok(())
    }

    /// Takes away what nobody wants.
    fn prune(&mut self, wanted: &BTreeSet<u32>) {
        self.has.retain(|id, _| wanted.contains(id));
        self.done.push(format!("prune to {}", wanted.len()));
    }

    fn done(&mut self) -> String {
        std::mem::take(&mut self.done).join(", ")
    }
}

const RETRY: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_mins(30);

struct Reconciler {
    store: Store<Desired>,
    changes: Feed<TableEvent<Object>>,
    /// Changed, and not tried since: with the index of the change.
    pending: BTreeMap<u32, LogIndex>,
    /// How many are tried in a round.
    most: usize,
}

impl Reconciler {
    fn new(store: &Store<Desired>, target: &mut Target) -> Result<Self, FeedError> {
        let (snapshot, changes) = store.follow_of(|db| db.objects().iter())?;
        let pending: BTreeMap<_, _> = snapshot
            .objects()
            .iter()
            .map(|object| (object.id, object.modify_index()))
            .collect();
        target.prune(&pending.keys().copied().collect());
        Ok(Reconciler {
            store: store.clone(),
            changes,
            pending,
            most: 1000,
        })
    }

    /// One round: what has changed, and what is to be tried again by now. Is to be called when the feed has
    /// something, and when the earliest status is due (`next_due`).
    fn round(&mut self, target: &mut Target, now: SystemTime) -> Result<(), FeedError> {
        loop {
            match self.changes.try_next() {
                Ok(Some(FeedItem::Event(event))) => {
                    let ids = event.changes().map(|change| {
                        let either = change.after.or(change.before);
                        either.expect("a change has a record").id
                    });
                    self.pending.extend(ids.map(|id| (id, event.index())));
                }
                Ok(Some(FeedItem::Bookmark(_))) => {}
                Ok(None) => break,
                // Changes that nobody can tell: all is looked at.
                Ok(Some(FeedItem::Restored(_))) | Err(FeedError::Compacted { .. }) => {
                    *self = Reconciler {
                        most: self.most,
                        ..Reconciler::new(&self.store, target)?
                    };
                }
                Err(end) => return Err(end),
            }
        }
        let snapshot = self.store.snapshot();
        let mut round: BTreeMap<u32, LogIndex> = BTreeMap::new();
        while round.len() < self.most
            && let Some((id, index)) = self.pending.pop_first()
        {
            round.insert(id, index);
        }
        for status in snapshot.statuses().due(now) {
            if round.len() >= self.most {
                break;
            }
            round.entry(status.object).or_insert(LogIndex(status.index));
        }
        let tried: Vec<_> = round
            .into_iter()
            .map(|(id, index)| match snapshot.objects().get(id) {
                Some(object) => (id, object.modify_index(), true, target.update(object)),
                None => (id, index, false, target.delete(id)),
            })
            .collect();
        let caught_up = self
            .pending
            .is_empty()
            .then(|| self.changes.position().index);
        let mut txn = self.store.write().expect("the store is open");
        for (id, index, wanted, result) in tried {
            Self::note(&mut txn, id, index, wanted, result.err(), now)
                .expect("statuses have no rules");
        }
        if let Some(LogIndex(index)) = caught_up {
            let progress = Progress { id: (), index };
            txn.progress_mut()
                .upsert(progress)
                .expect("progress has no rules");
        }
        txn.commit().expect("the store is open");
        Ok(())
    }

    fn note(
        txn: &mut WriteTxn<Desired>,
        object: u32,
        index: LogIndex,
        wanted: bool,
        error: Option<String>,
        now: SystemTime,
    ) -> Result<(), WriteError> {
        if error.is_none() && !wanted {
            return txn.statuses_mut().delete(object).map(drop);
        }
        let before = txn
            .statuses()
            .get(object)
            .map_or(0, |status| status.failures);
        let failures = if error.is_some() { before + 1 } else { 0 };
        let wait = match failures {
            0 => REFRESH,
            n => RETRY_MOST.min(RETRY * 2_u32.saturating_pow(n - 1)),
        };
        txn.statuses_mut()
            .upsert(Status {
                object,
                error,
                failures,
                index: index.0,
                again: now + wait,
            })
            .map(drop)
    }
}

/// Up to where every change was tried, and the oldest index of one that has failed, if any.
fn reconciled(db: &DesiredView) -> (LogIndex, Option<LogIndex>) {
    let progress = db.progress().get(()).map_or(0, |progress| progress.index);
    let failed = db.statuses().failed_index().first();
    (
        LogIndex(progress),
        failed.map(|status| LogIndex(status.index)),
    )
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

fn object(id: u32, value: &str) -> Object {
    let value = value.to_owned();
    Object { id, value }
}

fn put(store: &Store<Desired>, objects: impl IntoIterator<Item = Object>) -> LogIndex {
    let mut txn = store.write().unwrap();
    for object in objects {
        txn.objects_mut().upsert(object).unwrap();
    }
    txn.commit().unwrap()
}

fn delete(store: &Store<Desired>, id: u32) -> LogIndex {
    let mut txn = store.write().unwrap();
    txn.objects_mut().delete(id).unwrap().unwrap();
    txn.commit().unwrap()
}

fn errors(store: &Store<Desired>) -> Vec<String> {
    let snapshot = store.snapshot();
    snapshot
        .statuses()
        .iter()
        .filter_map(|status| status.error.clone())
        .collect()
}

#[test]
fn what_is_wanted_is_made_so_and_its_status_told() {
    let (store, mut target) = (Store::<Desired>::new(), Target::default());
    put(&store, [object(1, "a"), object(2, "b")]);
    let mut reconciler = Reconciler::new(&store, &mut target).unwrap();
    reconciler.round(&mut target, at(0)).unwrap();
    assert_eq!(target.done(), "prune to 2, update 1, update 2");
    put(&store, [object(2, "c"), object(3, "d")]);
    delete(&store, 1);
    reconciler.round(&mut target, at(10)).unwrap();
    assert_eq!(target.done(), "delete 1, update 2, update 3");
    assert_eq!(
        target.has,
        [(2, "c".to_owned()), (3, "d".to_owned())].into()
    );
    assert_eq!(store.snapshot().statuses().len(), 2);
    assert!(errors(&store).is_empty());
    // Its own writes are no changes of what is wanted.
    reconciler.round(&mut target, at(20)).unwrap();
    assert_eq!(target.done(), "");
}

#[test]
fn what_fails_is_tried_again_later_and_later() {
    let (store, mut target) = (Store::<Desired>::new(), Target::default());
    let mut reconciler = Reconciler::new(&store, &mut target).unwrap();
    target.faulty.insert(1);
    put(&store, [object(1, "a"), object(2, "b")]);
    target.done();
    // A round whenever one is due: at 0, 100, 300, 700, 1500, and from there on each second.
    let mut now = at(0);
    for _ in 0..6 {
        reconciler.round(&mut target, now).unwrap();
        // Before it is due nothing is tried.
        reconciler.round(&mut target, now + RETRY / 2).unwrap();
        now = store.snapshot().statuses().next_due().unwrap();
    }
    assert_eq!(now, at(3500));
    assert_eq!(
        target.done(),
        "update 1 fails, update 2, update 1 fails, update 1 fails, update 1 fails, update 1 fails, update 1 fails"
    );
    assert_eq!(errors(&store), ["update of 1"]);
    // A change is tried at once.
    target.faulty.clear();
    put(&store, [object(1, "c")]);
    reconciler.round(&mut target, at(2600)).unwrap();
    assert_eq!(target.done(), "update 1");
    let status = store.snapshot().statuses().get(1).unwrap().clone();
    assert_eq!((status.failures, &status.error), (0, &None));
    assert_eq!(status.again, at(2600) + REFRESH);
}

#[test]
fn a_deletion_that_fails_is_not_forgotten() {
    let (store, mut target) = (Store::<Desired>::new(), Target::default());
    put(&store, [object(3, "a")]);
    let mut reconciler = Reconciler::new(&store, &mut target).unwrap();
    reconciler.round(&mut target, at(0)).unwrap();
    target.faulty.insert(3);
    delete(&store, 3);
    reconciler.round(&mut target, at(10)).unwrap();
    assert_eq!(errors(&store), ["delete of 3"]);
    target.faulty.clear();
    reconciler.round(&mut target, at(10) + RETRY).unwrap();
    assert_eq!(
        target.done(),
        "prune to 1, update 3, delete 3 fails, delete 3"
    );
    assert!(store.snapshot().statuses().is_empty() && target.has.is_empty());
    // It came again before it was tried again: then it is wanted.
    put(&store, [object(3, "b")]);
    target.faulty.insert(3);
    reconciler.round(&mut target, at(200)).unwrap();
    target.faulty.clear();
    reconciler.round(&mut target, at(200) + RETRY).unwrap();
    assert_eq!(target.has, [(3, "b".to_owned())].into());
}

#[test]
fn what_is_as_wanted_is_refreshed_from_time_to_time() {
    let (store, mut target) = (Store::<Desired>::new(), Target::default());
    let mut reconciler = Reconciler::new(&store, &mut target).unwrap();
    put(&store, [object(1, "a")]);
    reconciler.round(&mut target, at(0)).unwrap();
    // Somebody else takes it away.
    target.has.clear();
    target.done();
    reconciler.round(&mut target, at(0) + REFRESH / 2).unwrap();
    assert!(target.has.is_empty());
    reconciler.round(&mut target, at(0) + REFRESH).unwrap();
    assert_eq!(target.done(), "update 1");
    assert_eq!(target.has.len(), 1);
}

/// What nobody wants is taken away when all that is wanted is known: see `initializers`.
#[test]
fn what_is_not_wanted_is_pruned_and_a_restore_begins_anew() {
    let (store, mut target) = (Store::<Desired>::new(), Target::default());
    target.has.insert(9, "of somebody before".to_owned());
    put(&store, [object(1, "a")]);
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    let mut reconciler = Reconciler::new(&store, &mut target).unwrap();
    reconciler.most = 2;
    put(&store, [object(2, "b")]);
    reconciler.round(&mut target, at(0)).unwrap();
    assert_eq!(target.has.keys().copied().collect::<Vec<_>>(), [1, 2]);
    target.done();
    store.rewind(&image[..]).unwrap();
    reconciler.round(&mut target, at(10)).unwrap();
    assert_eq!(target.has.keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(target.done(), "prune to 1, update 1");
    // As many a round as before.
    put(&store, (2..=4).map(|id| object(id, "c")));
    reconciler.round(&mut target, at(20)).unwrap();
    assert_eq!(target.done(), "update 2, update 3");
}

/// A round of so many objects, and `WaitUntilReconciled`: every change was tried, and which failed is told apart.
#[test]
fn who_waits_until_a_change_is_reconciled_is_told() {
    let (store, mut target) = (Store::<Desired>::new(), Target::default());
    let mut reconciler = Reconciler::new(&store, &mut target).unwrap();
    reconciler.most = 2;
    target.faulty.insert(4);
    let all = put(&store, (1..=3).map(|id| object(id, "a")));
    let last = put(&store, [object(4, "a")]);
    let (before, watch) = store.watch(reconciled);
    assert_eq!(before.value, (LogIndex(0), None));
    reconciler.round(&mut target, at(0)).unwrap();
    assert_eq!(target.has.len(), 2);
    assert!(!watch.has_fired());
    reconciler.round(&mut target, at(0)).unwrap();
    assert!(watch.has_fired());
    let (progress, failed) = reconciled(&store.snapshot());
    assert!(progress >= last);
    // All up to the first failure is as it is wanted.
    assert_eq!(failed, Some(last));
    assert!(failed.is_none_or(|failed| failed > all));
    target.faulty.clear();
    reconciler.round(&mut target, at(0) + RETRY).unwrap();
    assert_eq!(reconciled(&store.snapshot()).1, None);
}
