//! A writer, restores, and followers that stall and resume: each one's own copy, made of what it is
//! told, is at each bookmark what the store was then.

use crate::store_schema::shortly;
use highwater::{
    Change, Feed, FeedError, FeedItem, LogIndex, Retention, Row, Schema, Snapshot, Store,
    StoreOptions, Table, TableEvent, TableWriter, Turn, WriteError,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Job {
    #[primary_key]
    id: u64,
    #[index]
    node: u64,
    cores: u64,
}

/// What a node has to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Job, by = Load::count)]
struct Load {
    #[primary_key]
    node: u64,
    jobs: u64,
    cores: u64,
}

impl Load {
    fn count(
        before: Option<&Job>,
        after: Option<&Job>,
        loads: &mut TableWriter<'_, Load>,
    ) -> Result<(), WriteError> {
        for (job, sign) in [(before, -1), (after, 1)] {
            let Some(job) = job else { continue };
            let load = loads.read().get(job.node).map(|load| Load::clone(load));
            let (jobs, cores) = load.map_or((0, 0), |load| (load.jobs, load.cores));
            let cores = if sign < 0 {
                cores - job.cores
            } else {
                cores + job.cores
            };
            match jobs.checked_add_signed(sign) {
                None | Some(0) => drop(loads.delete(job.node)?),
                Some(jobs) => drop(loads.upsert(Load {
                    node: job.node,
                    jobs,
                    cores,
                })?),
            }
        }
        Ok(())
    }
}

#[derive(Schema)]
struct Cluster {
    jobs: Job,
    loads: Load,
}

/// Nodes that there are.
const NODES: u64 = 10;

/// A follower's copy: what it says of each key.
type Copy = BTreeMap<u64, (u64, u64)>;

fn jobs<'a>(rows: impl Iterator<Item = &'a Row<Job>>) -> Copy {
    rows.map(|job| (job.id, (job.node, job.cores))).collect()
}

fn loads(snapshot: &Snapshot<Cluster>) -> Copy {
    let rows = snapshot.loads();
    rows.iter()
        .map(|load| (load.node, (load.jobs, load.cores)))
        .collect()
}

/// The loads as its jobs give them.
fn counted(snapshot: &Snapshot<Cluster>) -> Copy {
    let mut loads = Copy::new();
    for job in snapshot.jobs().iter() {
        let load = loads.entry(job.node).or_default();
        *load = (load.0 + 1, load.1 + job.cores);
    }
    loads
}

/// What one follows, and how its copy is kept.
trait Follow: Sync {
    type Event: Send + 'static;

    fn follow(&self, store: &Store<Cluster>) -> (Snapshot<Cluster>, Feed<Self::Event>);
    /// What it is to have of a snapshot.
    fn copy(&self, snapshot: &Snapshot<Cluster>) -> Copy;
    /// Takes an event in; says its index.
    fn take(&self, event: &Self::Event, copy: &mut Copy) -> u64;
}

fn replace<T>(change: Change<'_, T>, of: impl Fn(&T) -> (u64, (u64, u64)), copy: &mut Copy) {
    if let Some(before) = change.before {
        copy.remove(&of(before).0);
    }
    if let Some(after) = change.after {
        let (key, value) = of(after);
        copy.insert(key, value);
    }
}

/// All jobs, from the feed of everything.
struct Everything;

impl Follow for Everything {
    type Event = highwater::Event<Cluster>;

    fn follow(&self, store: &Store<Cluster>) -> (Snapshot<Cluster>, Feed<Self::Event>) {
        store.follow().unwrap()
    }

    fn copy(&self, snapshot: &Snapshot<Cluster>) -> Copy {
        jobs(snapshot.jobs().iter())
    }

    fn take(&self, event: &Self::Event, copy: &mut Copy) -> u64 {
        for change in event.jobs() {
            replace(change, |job| (job.id, (job.node, job.cores)), copy);
        }
        event.index().0
    }
}

/// The jobs of one node: a part of an index, which records come into and go out of.
struct OfNode(u64);

impl Follow for OfNode {
    type Event = TableEvent<Job>;

    fn follow(&self, store: &Store<Cluster>) -> (Snapshot<Cluster>, Feed<Self::Event>) {
        store.follow_of(|db| db.jobs().by_node(self.0)).unwrap()
    }

    fn copy(&self, snapshot: &Snapshot<Cluster>) -> Copy {
        jobs(snapshot.jobs().by_node(self.0))
    }

    fn take(&self, event: &Self::Event, copy: &mut Copy) -> u64 {
        for change in event.changes() {
            replace(change, |job| (job.id, (job.node, job.cores)), copy);
        }
        copy.retain(|_, (node, _)| *node == self.0);
        event.index().0
    }
}

/// The loads, which are derived.
struct Loads;

impl Follow for Loads {
    type Event = TableEvent<Load>;

    fn follow(&self, store: &Store<Cluster>) -> (Snapshot<Cluster>, Feed<Self::Event>) {
        store.follow_of(|db| db.loads().iter()).unwrap()
    }

    fn copy(&self, snapshot: &Snapshot<Cluster>) -> Copy {
        assert_eq!(loads(snapshot), counted(snapshot));
        loads(snapshot)
    }

    fn take(&self, event: &Self::Event, copy: &mut Copy) -> u64 {
        for change in event.changes() {
            replace(change, |load| (load.node, (load.jobs, load.cores)), copy);
        }
        event.index().0
    }
}

/// What a follower did.
#[derive(Debug, Default)]
struct Told {
    events: u64,
    compared: u64,
    restored: u64,
    /// How often it was too slow.
    begun_again: u64,
}

/// Keeps a copy of what is told, and compares it with the store as it was at bookmarks. `stall`: how
/// slow it is now and then.
fn rebuild<F: Follow>(follow: &F, store: &Store<Cluster>, stop: &AtomicBool, stall: u64) -> Told {
    let mut done = Told::default();
    'begin: loop {
        // Events up to a snapshot are in the copy that was made of it.
        let (snapshot, mut feed) = follow.follow(store);
        let (mut mine, mut from) = (follow.copy(&snapshot), snapshot.position());
        drop(snapshot);
        let mut next = None;
        loop {
            let last = stop.load(Ordering::Relaxed);
            if last {
                feed.request_bookmark();
            }
            let item = next.take().unwrap_or_else(|| feed.next(shortly()));
            match item {
                Ok(None) => feed.request_bookmark(),
                Ok(Some(FeedItem::Event(event))) => {
                    let mut after = mine.clone();
                    if follow.take(&event, &mut after) > from.index.0 {
                        mine = after;
                    }
                    done.events += 1;
                    if done.events.is_multiple_of(50) {
                        feed.request_bookmark();
                    }
                    if done.events % 500 == 100 * stall {
                        thread::sleep(Duration::from_millis(4 * stall));
                    }
                }
                Ok(Some(FeedItem::Bookmark(at))) => {
                    // Before the copy there is the snapshot it was begun with.
                    let then = (at.index >= from.index).then(|| store.as_of(at));
                    let after = feed.try_next();
                    // If nothing was replaced until then, that was of this line.
                    let replaced = matches!(after, Ok(Some(FeedItem::Restored(_))));
                    if let (Some(Ok(then)), false) = (then, replaced) {
                        assert_eq!(mine, follow.copy(&then), "at {at}");
                        done.compared += 1;
                        if last {
                            return done;
                        }
                    }
                    next = after.transpose().map(|item| item.map(Some));
                }
                Ok(Some(FeedItem::Restored(_))) => {
                    let now = store.snapshot();
                    (mine, from) = (follow.copy(&now), now.position());
                    done.restored += 1;
                }
                Err(FeedError::Compacted { .. }) => {
                    done.begun_again += 1;
                    continue 'begin;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Changes some jobs.
fn write(store: &Store<Cluster>, round: u64) {
    let index = store.position().index.0 + 1 + round % 3 / 2;
    let Ok(Turn::Apply(mut txn)) = store.write_at(LogIndex(index)) else {
        panic!("{index} is new");
    };
    for n in 0..round % 4 {
        let id = (round * 7 + n) % 50;
        if (round + n).is_multiple_of(5) {
            txn.jobs_mut().delete(id).unwrap();
        } else {
            let job = Job {
                id,
                node: (round / 3 + n) % NODES,
                cores: round % 64,
            };
            txn.jobs_mut().upsert(job).unwrap();
        }
    }
    txn.commit().unwrap();
}

/// A second here; longer with `SOAK_SECONDS`.
#[test]
fn what_followers_rebuild_is_what_the_store_was() {
    let seconds = std::env::var("SOAK_SECONDS");
    let seconds = seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let store = Store::<Cluster>::with_options(StoreOptions {
        window: 64,
        retain: Some(Retention {
            versions: 4_096,
            ..Retention::default()
        }),
        ..StoreOptions::default()
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (store, stop) = (&store, &stop);
        let followers = [
            scope.spawn(|| rebuild(&Everything, store, stop, 0)),
            scope.spawn(|| rebuild(&Everything, store, stop, 2)),
            scope.spawn(|| rebuild(&OfNode(3), store, stop, 0)),
            scope.spawn(|| rebuild(&OfNode(4), store, stop, 1)),
            scope.spawn(|| rebuild(&Loads, store, stop, 0)),
            scope.spawn(|| rebuild(&Loads, store, stop, 2)),
            // Nothing is ever of this node: it sleeps, and is passed by often.
            scope.spawn(|| rebuild(&OfNode(NODES), store, stop, 0)),
        ];
        let mut image = Vec::new();
        let mut round = 0_u64;
        while Instant::now() < end {
            round += 1;
            write(store, round);
            match round % 400 {
                50 => {
                    image.clear();
                    store.snapshot().write_image(&mut image).unwrap();
                }
                150 => drop(store.rewind(&image[..]).unwrap()),
                _ => {}
            }
            if round.is_multiple_of(20) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        stop.store(true, Ordering::Relaxed);
        let told = followers.map(|follower| follower.join().unwrap());
        println!("{round} entries: {told:#?}");
        let [.., passed_by] = &told;
        assert_eq!(passed_by.events, 0);
        assert!(told.iter().all(|told| told.compared > 0));
    });
}
