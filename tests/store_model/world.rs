//! A store and its model, with all that looks at it.

use crate::images::Image;
use crate::op::Op;
use crate::query::{Covers, Query};
use crate::rules;
use crate::running::{Running, follow};
use crate::state::{Entry, Shop, State};
use crate::walks::check_walks;
use highwater::{
    CommitError, Conflict, Event, Feed, FeedItem, Guard, LogIndex, Position, Snapshot, Start,
    Store, StoreOptions, Turn, Watch,
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
    pub(crate) snap: Snapshot<Shop>,
    pub(crate) index: u64,
    pub(crate) state: State,
    pub(crate) last: BTreeMap<Entry, u64>,
    pub(crate) touched: u64,
    /// That of the world.
    line: u64,
}

impl Held {
    pub(crate) fn check(&self) {
        assert_eq!(
            (self.snap.index(), &State::read(&self.snap)),
            (LogIndex(self.index), &self.state)
        );
    }
}

/// A snapshot of a transaction, and what it was.
pub(crate) struct Seen {
    snap: Snapshot<Shop>,
    state: State,
}

impl Seen {
    pub(crate) fn check(&self) {
        assert_eq!(State::read(&self.snap), self.state);
    }

    /// What is done in a fork of it is seen there alone.
    fn fork(&self) {
        let fork = self.snap.fork();
        let mut txn = fork.write().unwrap();
        txn.items_mut().delete_prefix("").unwrap();
        let cleared = txn.snapshot().unwrap();
        drop(txn);
        assert_eq!(State::read(&fork.snapshot()), self.state);
        fork.collect();
        assert!(cleared.items().is_empty());
        self.check();
    }
}

pub(crate) struct World {
    pub(crate) store: Store<Shop>,
    pub(crate) index: u64,
    pub(crate) state: State,
    pub(crate) running: Option<Running>,
    pub(crate) held: Vec<Held>,
    /// Snapshots of transactions, whatever became of those.
    pub(crate) seen: Vec<Seen>,
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
    pub(crate) images: Vec<Image>,
    /// How often an image's records came at their own index, where others may have been.
    pub(crate) line: u64,
    /// A restore would make it another fork.
    forked: bool,
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
            state: State::default(),
            running: None,
            held: Vec::new(),
            seen: Vec::new(),
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
            images: Vec::new(),
            line: 0,
            forked: false,
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
            line: self.line,
        }
    }

    /// A fork of a snapshot of this store, or of one that this is a fork of. Guards of up to there hold in
    /// it, too.
    pub(crate) fn fork(&self, held: &Held) -> Self {
        let fork = World::of(held.snap.fork(), self.pool.iter().map(|(query, ..)| query));
        let inherited = |(_, _, guard): &&(Query, Covers, Guard)| {
            held.line == self.line && guard.position().index.0 <= held.index
        };
        World {
            index: held.index,
            state: held.state.clone(),
            guards: self.guards.iter().filter(inherited).cloned().collect(),
            last: held.last.clone(),
            touched: held.touched,
            forked: true,
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
            Op::Begin { gap } => drop(self.begin(Some(gap))),
            Op::NextEntry { gap } => {
                if let Some(running) = &mut self.running {
                    running.next_entry(gap);
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
            Op::Commit { mend: true } => self.commit(),
            Op::Commit { mend: false } => self.commit_as_it_is(),
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
            Op::See => {
                if let Some(running) = &mut self.running {
                    let (snap, state) = running.see();
                    self.seen.push(Seen { snap, state });
                }
            }
            Op::LetSeen(n, fork) if !self.seen.is_empty() => {
                let n = n % self.seen.len();
                if fork {
                    self.seen[n].fork();
                } else {
                    self.seen.swap_remove(n).check();
                }
            }
            Op::Watch(query) => self.watch(query),
            Op::Record(query) => self.record(query),
            Op::Validate => self.validate(),
            Op::Image if !self.forked => self.take_image(),
            Op::Restore(image, way) if !self.forked && !self.images.is_empty() => {
                self.restore(image % self.images.len(), way);
            }
            Op::LetSeen(..) | Op::Image | Op::Restore(..) => {}
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
            write => self.begin(None).write(write),
        }
        if let Some(running) = &self.running {
            assert_eq!(State::read(&running.txn), running.state);
            check_walks(&running.txn, &running.state);
            running.check_changes();
            running.check_rules();
            let asked = self.pool.iter().cycle().skip(self.turn % self.pool.len());
            running.ask(asked.map(|(query, ..)| query).take(ASKED));
            self.turn += ASKED;
        }
        assert_eq!(self.store.position().index, LogIndex(self.index));
    }

    fn watch(&mut self, query: Query) {
        self.ask(&query);
        let (expected, read) = query.model(&self.state.entries());
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

    /// A query in the running transaction sees what was written there.
    fn ask(&self, query: &Query) {
        if let Some(running) = &self.running {
            running.ask([query]);
        }
    }

    pub(crate) fn record(&mut self, query: Query) {
        self.ask(&query);
        let (expected, read) = query.model(&self.state.entries());
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
                ended.chain(running.began.changed(&running.state))
            });
            let all: Vec<_> = published.into_iter().chain(own).collect();
            let result = txn.validate(guard);
            if matches!(query, Query::Own(_)) {
                assert!(matches!(result, Err(Conflict::Local { .. })), "{query:?}");
            } else if all.iter().any(|entry| read(entry)) {
                assert!(
                    matches!(result, Err(Conflict::Changed { .. })),
                    "{query:?}: {result:?}"
                );
            } else if self.touched <= since && self.running.is_none() {
                assert_eq!(result, Ok(()), "{query:?}");
            }
        }
    }

    /// Commits what is running, with no rule broken.
    pub(crate) fn commit(&mut self) {
        if let Some(running) = &mut self.running {
            running.write(Op::Mend);
        }
        self.commit_as_it_is();
    }

    fn commit_as_it_is(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let broken = rules::broken(&running.state);
        let index = match running.txn.commit() {
            Err(CommitError::RuleBroken(error)) => {
                let told = broken.iter().any(|broken| broken.is_told_by(&error));
                assert!(told, "{error}: {broken:?}");
                return;
            }
            result => result.unwrap().0,
        };
        assert!(broken.is_empty(), "{broken:?}");
        let mut state = running.state;
        // What is derived is as it was, or was another in between: that only the store knows.
        state.tallies.clone_from(&running.began.tallies);
        let unchanged = running.ended.is_empty() && running.began == state;
        if index == self.index {
            assert!(running.counted && unchanged);
            return;
        }
        let derived = State::read(&self.store.snapshot()).tallies;
        state.derived(derived, running.index);
        let mut ended = running.ended;
        ended.push((running.index, running.began.changed(&state)));
        let changed = ended.iter().any(|(_, changed)| !changed.is_empty());
        assert!(index == running.index && (changed || !running.counted));
        self.index = index;
        if running.wrote || changed {
            self.touched = self.index;
        }
        self.state = state;
        self.published(&ended);
    }

    /// What is to be true after a commit.
    pub(crate) fn published(&mut self, ended: &[(u64, BTreeSet<Entry>)]) {
        let snap = self.store.snapshot();
        assert_eq!(State::read(&snap), self.state);
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
        let entries = self.state.entries();
        for (query, whole, tracked) in &mut self.pool {
            let query = &*query;
            let (expected, read) = query.model(&entries);
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
                    if let Some((_, _, modified)) = self.state.items.get(id) {
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
    fn catch_up(&mut self) {
        while let Some(item) = self.feed.try_next().unwrap() {
            match item {
                FeedItem::Event(event) => follow(&mut self.state, &event, Some(event.index())),
                FeedItem::Bookmark(_) => {}
                FeedItem::Restored(position) => panic!("restored at {position}"),
            }
        }
    }

    /// It is told next, and goes on from there.
    pub(crate) fn restored(&mut self, at: Position, state: &State) {
        let mut items = std::iter::from_fn(|| self.feed.try_next().unwrap());
        let told = items.find(|item| !matches!(item, FeedItem::Bookmark(_)));
        assert!(matches!(told, Some(FeedItem::Restored(position)) if position == at));
        self.state = state.clone();
    }
}
