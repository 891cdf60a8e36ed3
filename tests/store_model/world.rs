//! A store and its model, with all that looks at it.

use crate::item::{Entry, Shop, State, changed, rows, stored};
use crate::op::Op;
use crate::query::{Covers, Query};
use crate::running::Running;
use crate::walks::check_walks;
use highwater::{
    Conflict, Event, Feed, FeedItem, Guard, LogIndex, Snapshot, Start, Store, StoreOptions, Turn,
    Watch,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Watched {
    pub(crate) query: Query,
    pub(crate) read: Covers,
    pub(crate) watch: Watch,
    pub(crate) fired: bool,
}

/// Puts the changes of a feed together.
pub(crate) struct Follower {
    pub(crate) feed: Feed<Event<Shop>>,
    pub(crate) state: State,
}

/// A snapshot and its model.
#[derive(Clone)]
pub(crate) struct Held {
    snap: Snapshot<Shop>,
    index: u64,
    state: State,
    last: BTreeMap<Entry, u64>,
    touched: u64,
}

impl Held {
    pub(crate) fn check(&self) {
        assert_eq!(
            (self.snap.index(), &rows(&self.snap)),
            (LogIndex(self.index), &self.state)
        );
    }
}

pub(crate) struct World {
    pub(crate) store: Store<Shop>,
    pub(crate) index: u64,
    pub(crate) state: State,
    pub(crate) running: Option<Running>,
    pub(crate) held: Vec<Held>,
    pub(crate) watched: Vec<Watched>,
    pub(crate) followers: Vec<Follower>,
    pub(crate) guards: Vec<(Query, Covers, Guard)>,
    /// When each entry of a tree changed last.
    pub(crate) last: BTreeMap<Entry, u64>,
    /// When something was written last, taken back within its entry or not.
    pub(crate) touched: u64,
    /// The queries whose indexes are followed, with their last.
    pub(crate) pool: Vec<(Query, u64, u64)>,
    /// Which of them a running transaction is asked next.
    turn: usize,
}

/// So many queries of the pool a running transaction is asked after each step.
const ASKED: usize = 4;

impl World {
    /// An empty one. The indexes of the queries of the pool are followed.
    pub(crate) fn new(pool: &[Query]) -> Self {
        let options = StoreOptions {
            window: 1 << 12,
            ..StoreOptions::default()
        };
        World::of(Store::with_options(options), pool)
    }

    fn of<'a>(store: Store<Shop>, pool: impl IntoIterator<Item = &'a Query>) -> Self {
        World {
            store,
            index: 0,
            state: State::new(),
            running: None,
            held: Vec::new(),
            watched: Vec::new(),
            followers: Vec::new(),
            guards: Vec::new(),
            last: BTreeMap::new(),
            touched: 0,
            pool: pool
                .into_iter()
                .map(|query| (query.clone(), 1, 1))
                .collect(),
            turn: 0,
        }
    }

    /// The newest snapshot.
    pub(crate) fn newest(&self) -> Held {
        Held {
            snap: self.store.snapshot(),
            index: self.index,
            state: self.state.clone(),
            last: self.last.clone(),
            touched: self.touched,
        }
    }

    /// A fork of a snapshot of this store, or of one that this is a fork of. Guards of up to there hold in
    /// it, too.
    pub(crate) fn fork(&self, held: &Held) -> Self {
        let fork = World::of(held.snap.fork(), self.pool.iter().map(|(query, ..)| query));
        let inherited =
            |(_, _, guard): &&(Query, Covers, Guard)| guard.position().index.0 <= held.index;
        World {
            index: held.index,
            state: held.state.clone(),
            guards: self.guards.iter().filter(inherited).cloned().collect(),
            last: held.last.clone(),
            touched: held.touched,
            ..fork
        }
    }

    pub(crate) fn begin(&mut self, gap: Option<u64>) -> &mut Running {
        let index = self.index + gap.unwrap_or(1);
        self.running.get_or_insert_with(|| {
            let txn = match gap {
                None => self.store.write().unwrap(),
                Some(_) => match self.store.write_at(LogIndex(index)).unwrap() {
                    Turn::Apply(txn) => txn,
                    Turn::AlreadyApplied { applied } => panic!("{index} is applied: {applied}"),
                },
            };
            assert_eq!(txn.index(), LogIndex(index));
            Running {
                txn,
                counted: gap.is_none(),
                index,
                state: self.state.clone(),
                began: self.state.clone(),
                ended: Vec::new(),
                wrote: false,
                savepoints: Vec::new(),
            }
        })
    }

    pub(crate) fn step(&mut self, op: Op) {
        match op {
            Op::Put(..)
            | Op::Touch(..)
            | Op::Change(..)
            | Op::DeletePrefix(_)
            | Op::DeleteTagged(_)
            | Op::DeleteWhere(_)
            | Op::Delete(..) => self.begin(None).write(op),
            Op::Begin { gap } => drop(self.begin(Some(gap))),
            Op::NextEntry { gap } => {
                if let Some(running) = &mut self.running {
                    running.end_entry();
                    running.index += gap;
                    running.txn.next_entry(LogIndex(running.index)).unwrap();
                    running.counted = false;
                }
            }
            Op::Savepoint => {
                if let Some(running) = &mut self.running {
                    let savepoint = running.txn.savepoint();
                    running.savepoints.push((savepoint, running.state.clone()));
                }
            }
            Op::Rollback(depth) => {
                if let Some(running) = &mut self.running
                    && depth < running.savepoints.len()
                {
                    running
                        .savepoints
                        .truncate(running.savepoints.len() - depth);
                    let (savepoint, state) = running.savepoints.pop().unwrap();
                    running.txn.rollback_to(savepoint);
                    running.state = state;
                }
            }
            Op::Release(depth) => {
                if let Some(running) = &mut self.running
                    && depth < running.savepoints.len()
                {
                    running
                        .savepoints
                        .truncate(running.savepoints.len() - depth);
                    let (savepoint, _) = running.savepoints.pop().unwrap();
                    running.txn.release(savepoint);
                }
            }
            Op::Commit => self.commit(),
            Op::Abort => drop(self.running.take()),
            Op::Advance { gap } => {
                if self.running.is_none() {
                    self.index += gap;
                    self.store.advance_to(LogIndex(self.index)).unwrap();
                    self.published(&[]);
                }
            }
            Op::Hold => self.held.push(self.newest()),
            Op::LetGo(i) => {
                if i < self.held.len() {
                    self.held.swap_remove(i);
                }
            }
            Op::Watch(query) => {
                self.ask(&query);
                let (expected, read) = query.model(&self.state);
                let (answer, watch) = self.store.watch(|db| query.run(db));
                assert_eq!(answer.value, expected, "{query:?}");
                assert!(!watch.has_fired());
                self.watched.push(Watched {
                    query,
                    read,
                    watch,
                    fired: false,
                });
            }
            Op::Record(query) => self.record(query),
            Op::Validate => self.validate(),
            Op::Follow => {
                let feed = self
                    .store
                    .feed(Start::After(self.store.position()))
                    .unwrap();
                self.followers.push(Follower {
                    feed,
                    state: self.state.clone(),
                });
            }
        }
        for turn in self.turn..self.turn + ASKED {
            self.ask(&self.pool[turn % self.pool.len()].0);
        }
        self.turn += ASKED;
        if let Some(running) = &self.running {
            assert_eq!(rows(&running.txn), running.state);
            check_walks(&running.txn, &running.state);
            running.check_changes();
        }
        assert_eq!(self.store.position().index, LogIndex(self.index));
    }

    /// A query in the running transaction sees what was written there.
    fn ask(&self, query: &Query) {
        if let Some(running) = &self.running {
            let (expected, _) = query.model(&running.state);
            assert_eq!(query.run(&running.txn), expected, "{query:?}");
        }
    }

    pub(crate) fn record(&mut self, query: Query) {
        self.ask(&query);
        let (expected, read) = query.model(&self.state);
        let (found, guard) = self.store.snapshot().guarded(|db| query.run(db));
        assert_eq!(found, expected);
        // As a command carries it.
        let bytes = rmp_serde::to_vec(&guard).unwrap();
        assert_eq!(rmp_serde::from_slice::<Guard>(&bytes).unwrap(), guard);
        self.guards.push((query, read, guard));
    }

    /// A guard is in conflict if something that was read has changed, in the store or in the running
    /// transaction; it is not if nothing has been written at all. What was written and taken back within one
    /// entry may count: an index may be later than the truth.
    pub(crate) fn validate(&self) {
        let fresh;
        let txn = if let Some(running) = &self.running {
            &running.txn
        } else {
            fresh = self.store.write().unwrap();
            &fresh
        };
        for (query, read, guard) in &self.guards {
            let since = guard.position().index.0;
            let published = self.last.iter().filter(|(_, index)| **index > since);
            let published: Vec<_> = published.map(|(entry, _)| entry.clone()).collect();
            let own = self.running.iter().flat_map(|running| {
                let ended = running
                    .ended
                    .iter()
                    .flat_map(|(_, changed)| changed.clone());
                ended.chain(changed(&running.began, &running.state))
            });
            let all: Vec<_> = published.into_iter().chain(own).collect();
            let result = txn.validate(guard);
            if all.iter().any(|entry| read(entry)) {
                assert!(
                    matches!(result, Err(Conflict::Changed { .. })),
                    "{query:?}: {result:?}"
                );
            } else if self.touched <= since && self.running.is_none() {
                assert_eq!(result, Ok(()), "{query:?}");
            }
        }
    }

    pub(crate) fn commit(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        running.end_entry();
        let unchanged = running.ended.iter().all(|(_, changed)| changed.is_empty());
        if running.counted && unchanged {
            assert_eq!(running.txn.commit(), Ok(LogIndex(self.index)));
            return;
        }
        assert_eq!(running.txn.commit(), Ok(LogIndex(running.index)));
        self.index = running.index;
        if running.wrote {
            self.touched = self.index;
        }
        self.state = running.state;
        self.published(&running.ended);
    }

    /// What is to be true after a commit.
    pub(crate) fn published(&mut self, ended: &[(u64, BTreeSet<Entry>)]) {
        let snap = self.store.snapshot();
        assert_eq!(rows(&snap), self.state);
        check_walks(&snap, &self.state);
        snap.check().unwrap();
        self.held.iter().for_each(Held::check);
        for (index, changed) in ended {
            for entry in changed {
                self.last.insert(entry.clone(), *index);
            }
        }
        for watched in &mut self.watched {
            let mut entries = ended.iter().flat_map(|(_, changed)| changed);
            watched.fired |= entries.any(|entry| (watched.read)(entry));
            assert_eq!(
                watched.watch.has_fired(),
                watched.fired,
                "{:?}",
                watched.query
            );
        }
        self.watched.retain(|watched| !watched.fired);
        for follower in &mut self.followers {
            follower.catch_up();
            assert_eq!(follower.state, self.state);
        }
        for (query, whole, tracked) in &mut self.pool {
            let query = &*query;
            let (expected, read) = query.model(&self.state);
            let (answer, _) = self.store.watch(|db| query.run(db));
            assert_eq!(answer.value, expected, "{query:?}");
            let truth = |covers: &dyn Fn(&Entry) -> bool| {
                let last = self.last.iter().filter(|(entry, _)| covers(entry));
                last.map(|(_, index)| *index).max().unwrap_or(0)
            };
            let index = answer.index.0;
            assert!(
                index >= truth(&*read),
                "{query:?}: {index}, truth {}",
                truth(&*read)
            );
            assert!(index >= *tracked, "{query:?}: {index} after {tracked}");
            assert!(index <= self.index.max(1));
            *tracked = index;
            let index = match query {
                Query::Prefix(prefix) => snap.items().prefix(prefix.as_str()).log_index(),
                Query::Range(lo, hi) => snap.items().range(lo.as_str()..hi.as_str()).log_index(),
                Query::Group(group) => snap.items().by_group(*group).log_index(),
                Query::Tag(tag) => snap.items().by_tags(tag).log_index(),
                Query::Len => snap.items().log_index(),
                Query::Get(id) => {
                    let index = snap.items().log_index_of(id);
                    if let Some((_, _, modified)) = self.state.get(id) {
                        assert_eq!(index.0, *modified);
                    }
                    index
                }
                _ => continue,
            };
            let covers = |entry: &Entry| query.ranges_over(entry);
            assert!(
                index.0 >= truth(&covers) && index.0 >= *whole,
                "{query:?}: {index}"
            );
            *whole = index.0;
        }
    }
}

impl Follower {
    pub(crate) fn catch_up(&mut self) {
        while let Some(item) = self.feed.try_next().unwrap() {
            let event = match item {
                FeedItem::Event(event) => event,
                FeedItem::Bookmark(_) => continue,
                FeedItem::Restored(position) => panic!("restored at {position}"),
            };
            let mut told = BTreeSet::new();
            for change in event.items() {
                let id = change.after.or(change.before).unwrap().id.clone();
                assert!(told.insert(id.clone()), "{id} is told twice");
                let before = match change.after {
                    Some(row) => {
                        assert_eq!(row.modify_index(), event.index());
                        self.state.insert(id, stored(row))
                    }
                    None => self.state.remove(&id),
                };
                assert_eq!(change.before.map(stored), before);
            }
        }
    }
}
