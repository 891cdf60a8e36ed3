//! Sequences of operations against a model of `BTreeMap`s, with keys of any bytes: transactions,
//! batches, savepoints, snapshots held for long, forks, images written and restored, guards, sets of
//! matches, and a feed beside. The fuzz target of this name runs what the fuzzer makes up, `tests/operations.rs` what a seed does.
#![allow(missing_docs, unreachable_pub, reason = "no interface of anybody")]

use arbitrary::Arbitrary;
use highwater::{
    Conflict, Event, Feed, FeedItem, Guard, LogIndex, Position, Savepoint, Schema, Snapshot, Start,
    Store, Table, Turn, WriteError, WriteTxn,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Bytes = Vec<u8>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Blob {
    #[primary_key]
    key: Bytes,
    #[index]
    group: Bytes,
    #[index(each, unique)]
    serial: Option<u8>,
    value: u8,
}

#[derive(Schema)]
struct Blobs {
    blobs: Blob,
}

/// How a key is made, so that keys meet, nest and fan out.
#[derive(Arbitrary, Clone, Debug)]
pub enum Pick {
    Bytes(Bytes),
    Used(u8),
    Longer(u8, Bytes),
    Shorter(u8, u8),
    Run(u8, u8),
}

/// One step.
#[derive(Arbitrary, Debug)]
pub enum Op {
    Put {
        key: Pick,
        group: Pick,
        serial: Option<u8>,
        value: u8,
    },
    Fan {
        base: Pick,
        from: u8,
        count: u8,
    },
    Delete {
        key: Pick,
    },
    DeletePrefix {
        prefix: Pick,
    },
    PutIf {
        key: Pick,
        value: u8,
        right: bool,
    },
    Commit,
    Abort,
    Entry {
        gap: u8,
    },
    Savepoint,
    Rollback(u8),
    Release(u8),
    Hold,
    Let(u8),
    Look {
        prefix: Pick,
        hi: Pick,
    },
    Image,
    Rewind(u8),
    RestoreAt {
        image: u8,
        gap: u8,
    },
    Collect,
    Fork {
        of: u8,
    },
    InFork {
        fork: u8,
        key: Pick,
        value: u8,
        clear: bool,
    },
    LetFork(u8),
    /// All or none, in a table that may be cleared before.
    InsertAll {
        clear: bool,
        keys: Vec<Pick>,
    },
    Guard {
        prefix: Pick,
    },
    Validate,
    Matches {
        groups: [Pick; 2],
        serial: u8,
    },
}

/// A stored record with its create and modify index.
type Stored = (Blob, u64, u64);

/// What the store should hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    rows: BTreeMap<Bytes, Stored>,
    /// The last change of each key there ever was.
    touched: BTreeMap<Bytes, u64>,
}

impl State {
    /// Whom the serial number belongs to.
    fn holder(&self, serial: Option<u8>) -> Option<&Bytes> {
        let serial = serial?;
        self.rows
            .iter()
            .find(|(_, row)| row.0.serial == Some(serial))
            .map(|(key, _)| key)
    }

    fn delete(&mut self, key: &Bytes, index: u64) -> bool {
        let there = self.rows.remove(key).is_some();
        if there {
            self.touched.insert(key.clone(), index);
        }
        there
    }
}

fn stored(row: &highwater::Row<Blob>) -> Stored {
    ((**row).clone(), row.create_index().0, row.modify_index().0)
}

/// Compares what is read with the model.
fn compare(db: &BlobsView, state: &State) {
    let blobs = db.blobs();
    assert_eq!(blobs.len(), state.rows.len());
    assert!(blobs.iter().map(stored).eq(state.rows.values().cloned()));
    assert!(
        blobs
            .iter()
            .rev()
            .map(stored)
            .eq(state.rows.values().rev().cloned())
    );
    let mut groups: Vec<_> = state.rows.values().cloned().collect();
    groups.sort_by(|a, b| (&a.0.group, &a.0.key).cmp(&(&b.0.group, &b.0.key)));
    assert!(blobs.group_index().iter().map(stored).eq(groups));
    let mut serials: Vec<_> = state
        .rows
        .values()
        .filter(|row| row.0.serial.is_some())
        .cloned()
        .collect();
    serials.sort_by_key(|row| row.0.serial);
    assert!(blobs.serial_index().iter().map(stored).eq(serials));
}

fn is_past_limit(error: &WriteError) -> bool {
    matches!(error, WriteError::KeyTooLong { .. })
}

struct Open {
    txn: WriteTxn<Blobs>,
    index: u64,
    state: State,
    savepoints: Vec<(Savepoint, State)>,
}

/// What a feed has told, put together.
struct Follower {
    feed: Feed<Event<Blobs>>,
    rows: BTreeMap<Bytes, Stored>,
}

impl Follower {
    fn new(store: &Store<Blobs>) -> Self {
        Follower {
            feed: store.feed(Start::Now).expect("an open store"),
            rows: BTreeMap::new(),
        }
    }

    /// Takes what there is; returns where the store was restored last, if it was.
    fn catch_up(&mut self) -> Option<Position> {
        let mut restored = None;
        while let Some(item) = self.feed.try_next().expect("an open store") {
            let event = match item {
                FeedItem::Event(event) => event,
                FeedItem::Bookmark(_) => continue,
                FeedItem::Restored(position) => {
                    restored = Some(position);
                    continue;
                }
            };
            for change in event.blobs() {
                let row = change.after.or(change.before).expect("one of the two");
                let before = match change.after {
                    Some(row) => {
                        assert_eq!(row.modify_index(), event.index());
                        self.rows.insert(row.key.clone(), stored(row))
                    }
                    None => self.rows.remove(&row.key),
                };
                assert_eq!(change.before.map(stored), before);
            }
        }
        restored
    }
}

struct World {
    follower: Follower,
    /// With the prefix that each has read, and when.
    guards: Vec<(Guard, Bytes, u64)>,
    used: Vec<Bytes>,
    state: State,
    held: Vec<(Snapshot<Blobs>, State)>,
    images: Vec<(Bytes, State, u64)>,
    forks: Vec<(Store<Blobs>, State)>,
    /// The last answer for each prefix that was asked for.
    prefixes: BTreeMap<Bytes, u64>,
}

impl World {
    fn new(store: &Store<Blobs>) -> Self {
        World {
            follower: Follower::new(store),
            guards: Vec::new(),
            used: Vec::new(),
            state: State::default(),
            held: Vec::new(),
            images: Vec::new(),
            forks: Vec::new(),
            prefixes: BTreeMap::new(),
        }
    }

    fn pick(&mut self, pick: &Pick) -> Bytes {
        let old = |number: u8| -> Bytes {
            let count = self.used.len().max(1);
            self.used
                .get(usize::from(number) % count)
                .cloned()
                .unwrap_or_default()
        };
        let mut key = match pick {
            Pick::Bytes(bytes) => bytes.clone(),
            Pick::Used(number) => old(*number),
            Pick::Longer(number, bytes) => [old(*number), bytes.clone()].concat(),
            Pick::Shorter(number, len) => {
                let mut key = old(*number);
                key.truncate(usize::from(*len));
                key
            }
            Pick::Run(byte, len) => vec![*byte; usize::from(*len) * 12],
        };
        key.truncate(5000);
        self.used.push(key.clone());
        key
    }

    fn put(open: &mut Open, record: Blob) {
        let key = record.key.clone();
        let result = open.txn.blobs_mut().upsert(record.clone());
        let state = &mut open.state;
        match result {
            Err(WriteError::NotUnique { .. }) => {
                assert!(
                    state
                        .holder(record.serial)
                        .is_some_and(|holder| *holder != key)
                );
            }
            Err(error) => assert!(is_past_limit(&error), "{error}"),
            Ok(before) => {
                let old = state.rows.get(&key);
                assert_eq!(before.as_ref().map(stored).as_ref(), old);
                assert!(
                    state
                        .holder(record.serial)
                        .is_none_or(|holder| *holder == key)
                );
                if old.is_some_and(|old| old.0 == record) {
                    return;
                }
                let created = old.map_or(open.index, |old| old.1);
                state
                    .rows
                    .insert(key.clone(), (record, created, open.index));
                state.touched.insert(key, open.index);
            }
        }
    }

    fn delete_prefix(open: &mut Open, prefix: &Bytes) {
        let gone = open.txn.blobs_mut().delete_prefix(&prefix[..]);
        let rows = &open.state.rows;
        let keys = rows.keys().filter(|key| key.starts_with(prefix));
        let keys: Vec<Bytes> = keys.cloned().collect();
        let expected = keys.iter().map(|key| rows[key].clone());
        assert!(
            gone.expect("nothing forbids it")
                .iter()
                .map(stored)
                .eq(expected)
        );
        for key in keys {
            open.state.delete(&key, open.index);
        }
    }

    /// One commit in a fork: a record is put, and before that perhaps all that begins with its key
    /// taken away.
    fn in_fork(&mut self, number: u8, key: &Pick, value: u8, clear: bool) {
        if self.forks.is_empty() {
            return;
        }
        let key = self.pick(key);
        let number = usize::from(number) % self.forks.len();
        let (fork, state) = &mut self.forks[number];
        let index = fork.position().index.0 + 1;
        let mut open = Open {
            txn: fork.write().expect("an open store"),
            index,
            state: std::mem::take(state),
            savepoints: Vec::new(),
        };
        if clear {
            World::delete_prefix(&mut open, &key);
        }
        let group = vec![value];
        World::put(
            &mut open,
            Blob {
                key,
                group,
                serial: None,
                value,
            },
        );
        open.txn.commit().expect("an open store");
        *state = open.state;
        compare(&fork.snapshot(), state);
    }

    /// The index of a prefix is never before its last change and never falls.
    fn look(&mut self, snapshot: &Snapshot<Blobs>, prefix: &Bytes, hi: &Bytes) {
        let blobs = snapshot.blobs();
        let latest = |covers: &dyn Fn(&Bytes) -> bool| {
            let touched = self.state.touched.iter().filter(|(key, _)| covers(key));
            touched.map(|(_, index)| *index).max().unwrap_or(1)
        };
        let rows = blobs.prefix(&prefix[..]);
        let index = rows.log_index().0;
        assert!(index >= latest(&|key| key.starts_with(prefix)));
        assert!(index <= snapshot.index().0.max(1));
        let found = self
            .state
            .rows
            .iter()
            .filter(|(key, _)| key.starts_with(prefix));
        assert_eq!(rows.clone().count(), found.clone().count());
        let (first, last) = (rows.clone().nth(1), rows.clone().nth_back(1));
        assert_eq!(
            first.map(stored).as_ref(),
            found.clone().nth(1).map(|(_, row)| row)
        );
        assert_eq!(
            last.map(stored).as_ref(),
            found.clone().nth_back(1).map(|(_, row)| row)
        );
        assert!(rows.map(stored).eq(found.map(|(_, row)| row.clone())));
        if let Some(before) = self.prefixes.insert(prefix.clone(), index) {
            assert!(before <= index);
        }
        let rows = blobs.range(&prefix[..]..&hi[..]);
        assert!(rows.log_index().0 >= latest(&|key| prefix <= key && key < hi));
        let found = self
            .state
            .rows
            .iter()
            .filter(|(key, _)| prefix <= *key && *key < hi);
        assert!(rows.map(stored).eq(found.map(|(_, row)| row.clone())));
        let present = self.state.rows.get(prefix);
        assert_eq!(blobs.get(&prefix[..]).map(stored).as_ref(), present);
        let index = blobs.log_index_of(&prefix[..]).0;
        match present {
            Some((_, _, modified)) => assert_eq!(index, *modified),
            None => assert!(index >= latest(&|key| key == prefix)),
        }
    }

    fn commit(&mut self, store: &Store<Blobs>, open: Open) {
        assert_eq!(open.txn.commit().expect("an open store").0, open.index);
        self.state = open.state;
        let snapshot = store.snapshot();
        compare(&snapshot, &self.state);
        assert_eq!(self.follower.catch_up(), None);
        assert!(self.follower.rows == self.state.rows);
    }

    /// Records, all or none: the error is that of the first that is refused.
    fn insert_all(open: &mut Open, clear: bool, keys: Vec<Bytes>) {
        if clear {
            World::delete_prefix(open, &Bytes::new());
        }
        let records: Vec<Blob> = (0_u8..)
            .zip(keys)
            .map(|(n, key)| Blob {
                key,
                group: vec![n],
                serial: (n % 2 == 0).then_some(n),
                value: n,
            })
            .collect();
        let mut after = open.state.clone();
        let mut fault = None;
        for record in &records {
            let taken = after.rows.contains_key(&record.key);
            if taken || after.holder(record.serial).is_some() {
                fault = Some(taken);
                break;
            }
            let row = (record.clone(), open.index, open.index);
            after.rows.insert(record.key.clone(), row);
            after.touched.insert(record.key.clone(), open.index);
        }
        match open.txn.blobs_mut().insert_all(records) {
            Ok(()) => {
                assert_eq!(fault, None);
                open.state = after;
            }
            Err(WriteError::AlreadyExists { .. }) => assert_eq!(fault, Some(true)),
            Err(WriteError::NotUnique { .. }) => assert_eq!(fault, Some(false)),
            Err(error) => assert!(is_past_limit(&error), "{error}"),
        }
        compare(&open.txn, &open.state);
    }

    fn guard(&mut self, store: &Store<Blobs>, prefix: Bytes) {
        let snapshot = store.snapshot();
        let read = |db: &BlobsView| db.blobs().prefix(&prefix[..]).map(stored).collect();
        let (found, guard): (Vec<_>, _) = snapshot.guarded(read);
        let rows = self.state.rows.iter();
        let expected = rows.filter(|(key, _)| key.starts_with(&prefix));
        assert!(found.iter().eq(expected.map(|(_, row)| row)));
        let position = guard.position();
        self.guards.push((guard, prefix, position.index.0));
    }

    /// A guard never overlooks a change, and holds if nothing was written at all.
    fn validate(&self, store: &Store<Blobs>, open: Option<&Open>) {
        let fresh;
        let (txn, state) = if let Some(open) = open {
            (&open.txn, &open.state)
        } else {
            fresh = store.write().expect("an open store");
            (&fresh, &self.state)
        };
        for (guard, prefix, read) in &self.guards {
            let mut since = state.touched.iter().filter(|(_, index)| *index > read);
            let told = txn.validate(guard);
            if since.any(|(key, _)| key.starts_with(prefix)) {
                assert!(matches!(told, Err(Conflict::Changed { .. })), "{told:?}");
            } else if open.is_none() && store.position().index.0 == *read {
                assert_eq!(told, Ok(()));
            }
        }
    }

    /// Of either group, without a serial number.
    fn matches(db: &BlobsView, state: &State, [one, other]: [&Bytes; 2], serial: u8) {
        let group = |group| db.blobs().group_index().matching(group);
        let of_serial = db.blobs().serial_index().matching(serial);
        let found = group(one).or(group(other)).and_not(of_serial);
        let matches = |row: &&Stored| {
            (row.0.group == *one || row.0.group == *other) && row.0.serial != Some(serial)
        };
        let expected = state.rows.values().filter(matches);
        assert!(found.clone().map(stored).eq(expected.clone().cloned()));
        assert!(found.rev().map(stored).eq(expected.rev().cloned()));
    }

    /// After a restore at an index.
    fn restored(&mut self, store: &Store<Blobs>, position: Position) {
        assert_eq!(store.position(), position);
        let snapshot = store.snapshot();
        snapshot.check().expect("sound indexes");
        compare(&snapshot, &self.state);
        assert_eq!(self.follower.catch_up(), Some(position));
        self.follower.rows.clone_from(&self.state.rows);
    }
}

fn write(snapshot: &Snapshot<Blobs>) -> Bytes {
    let mut bytes = Vec::new();
    snapshot.write_image(&mut bytes).expect("a vector takes it");
    bytes
}

/// Does all of them, and panics at the first difference.
#[expect(clippy::too_many_lines, reason = "an arm for each operation")]
pub fn run(ops: &[Op]) {
    let store = Store::<Blobs>::new();
    let mut world = World::new(&store);
    let mut open: Option<Open> = None;
    for op in ops {
        let begin = |world: &World, open: &mut Option<Open>| {
            if open.is_none() {
                let index = store.position().index.0 + 1;
                let Ok(Turn::Apply(txn)) = store.write_at(LogIndex(index)) else {
                    panic!("the next index is refused");
                };
                let state = world.state.clone();
                *open = Some(Open {
                    txn,
                    index,
                    state,
                    savepoints: Vec::new(),
                });
            }
        };
        match op {
            Op::Put {
                key,
                group,
                serial,
                value,
            } => {
                begin(&world, &mut open);
                let open = open.as_mut().expect("begun");
                let (key, mut group) = (world.pick(key), world.pick(group));
                group.truncate(40);
                World::put(
                    open,
                    Blob {
                        key,
                        group,
                        serial: *serial,
                        value: *value,
                    },
                );
            }
            Op::Fan { base, from, count } => {
                begin(&world, &mut open);
                let open = open.as_mut().expect("begun");
                let base = world.pick(base);
                for i in 0..=*count {
                    let key = [&base[..], &[from.wrapping_add(i)]].concat();
                    let group = vec![i];
                    World::put(
                        open,
                        Blob {
                            key,
                            group,
                            serial: None,
                            value: i,
                        },
                    );
                }
            }
            Op::Delete { key } => {
                begin(&world, &mut open);
                let open = open.as_mut().expect("begun");
                let key = world.pick(key);
                match open.txn.blobs_mut().delete(&key[..]) {
                    Ok(before) => {
                        assert_eq!(
                            before.as_ref().map(stored).as_ref(),
                            open.state.rows.get(&key)
                        );
                        open.state.delete(&key, open.index);
                    }
                    Err(error) => assert!(is_past_limit(&error), "{error}"),
                }
            }
            Op::DeletePrefix { prefix } => {
                begin(&world, &mut open);
                let open = open.as_mut().expect("begun");
                let prefix = world.pick(prefix);
                World::delete_prefix(open, &prefix);
            }
            Op::PutIf { key, value, right } => {
                begin(&world, &mut open);
                let open = open.as_mut().expect("begun");
                let key = world.pick(key);
                let old = open.state.rows.get(&key).cloned();
                let found = old.as_ref().map_or(0, |old| old.2);
                let expected = LogIndex(if *right { found } else { found + 1 });
                let record = Blob {
                    key: key.clone(),
                    group: vec![*value],
                    serial: None,
                    value: *value,
                };
                match open.txn.blobs_mut().upsert_if(record.clone(), expected) {
                    Ok(_) => {
                        assert!(right);
                        if old.as_ref().is_none_or(|old| old.0 != record) {
                            let created = old.map_or(open.index, |old| old.1);
                            open.state
                                .rows
                                .insert(key.clone(), (record, created, open.index));
                            open.state.touched.insert(key, open.index);
                        }
                    }
                    Err(WriteError::Conflict { found: told, .. }) => {
                        assert!(!right);
                        assert_eq!(told.0, found);
                    }
                    Err(error) => assert!(is_past_limit(&error), "{error}"),
                }
            }
            Op::Commit => {
                if let Some(open) = open.take() {
                    world.commit(&store, open);
                }
            }
            Op::Abort => open = None,
            Op::Entry { gap } => {
                if let Some(open) = &mut open {
                    open.index += 1 + u64::from(*gap);
                    open.txn
                        .next_entry(LogIndex(open.index))
                        .expect("a higher index");
                    open.savepoints.clear();
                }
            }
            Op::Savepoint => {
                if let Some(open) = &mut open {
                    open.savepoints
                        .push((open.txn.savepoint(), open.state.clone()));
                }
            }
            Op::Rollback(number) | Op::Release(number) => {
                let Some(open) = &mut open else { continue };
                let keep = usize::from(*number) % (open.savepoints.len() + 1);
                let Some((savepoint, state)) = open.savepoints.drain(keep..).next() else {
                    continue;
                };
                if matches!(op, Op::Rollback(_)) {
                    open.txn.rollback_to(savepoint);
                    open.state = state;
                } else {
                    open.txn.release(savepoint);
                }
                compare(&open.txn, &open.state);
            }
            Op::Hold => world.held.push((store.snapshot(), world.state.clone())),
            Op::Let(number) => {
                if !world.held.is_empty() {
                    let number = usize::from(*number) % world.held.len();
                    let (snapshot, state) = world.held.swap_remove(number);
                    compare(&snapshot, &state);
                }
            }
            Op::Look { prefix, hi } => {
                let (prefix, hi) = (world.pick(prefix), world.pick(hi));
                world.look(&store.snapshot(), &prefix, &hi);
            }
            Op::Image => {
                let snapshot = store.snapshot();
                let image = (write(&snapshot), world.state.clone(), snapshot.index().0);
                let copy = Store::<Blobs>::from_image(&image.0[..]).expect("a good image");
                assert!(write(&copy.snapshot()) == image.0);
                world.images.push(image);
            }
            Op::Rewind(number) | Op::RestoreAt { image: number, .. } => {
                open = None;
                if world.images.is_empty() {
                    continue;
                }
                let number = usize::from(*number) % world.images.len();
                let (image, state, index) = world.images[number].clone();
                let now = store.position();
                let position = if let Op::RestoreAt { gap, .. } = op {
                    let index = now.index.0.max(index) + 1 + u64::from(*gap);
                    let at = Position {
                        index: LogIndex(index),
                        ..now
                    };
                    let old = std::mem::replace(&mut world.state, state);
                    let all = old
                        .touched
                        .into_keys()
                        .chain(world.state.rows.keys().cloned());
                    let touched: Vec<_> = all.map(|key| (key, index)).collect();
                    world.state.touched.extend(touched);
                    world.state.rows.values_mut().for_each(|row| row.2 = index);
                    store
                        .restore_at(&image[..], at, None)
                        .expect("a good image")
                } else {
                    assert_eq!(index < now.index.0, store.restore(&image[..]).is_err());
                    world.state = state;
                    world.prefixes.clear();
                    world.guards.clear();
                    store.rewind(&image[..]).expect("a good image")
                };
                world.restored(&store, position);
            }
            Op::Collect => {
                open = None;
                store.collect();
            }
            Op::Fork { of } => {
                let fork = match world.held.get(usize::from(*of)) {
                    Some((snapshot, state)) => (snapshot.fork(), state.clone()),
                    None => match world.forks.get(usize::from(*of)) {
                        Some((fork, state)) => (fork.fork(), state.clone()),
                        None => (store.fork(), world.state.clone()),
                    },
                };
                world.forks.push(fork);
            }
            Op::InFork {
                fork,
                key,
                value,
                clear,
            } => world.in_fork(*fork, key, *value, *clear),
            Op::InsertAll { clear, keys } => {
                begin(&world, &mut open);
                let open = open.as_mut().expect("begun");
                let keys = keys.iter().map(|key| world.pick(key)).collect();
                World::insert_all(open, *clear, keys);
            }
            Op::Guard { prefix } => {
                let prefix = world.pick(prefix);
                world.guard(&store, prefix);
            }
            Op::Validate => world.validate(&store, open.as_ref()),
            Op::Matches { groups, serial } => {
                let [one, other] = groups;
                let groups = [&world.pick(one), &world.pick(other)];
                match &open {
                    Some(open) => World::matches(&open.txn, &open.state, groups, *serial),
                    None => World::matches(&store.snapshot(), &world.state, groups, *serial),
                }
            }
            Op::LetFork(number) => {
                if !world.forks.is_empty() {
                    let number = usize::from(*number) % world.forks.len();
                    let (fork, state) = world.forks.swap_remove(number);
                    fork.collect();
                    fork.snapshot().check().expect("sound indexes");
                    compare(&fork.snapshot(), &state);
                }
            }
        }
    }
    drop(open);
    store.snapshot().check().expect("sound indexes");
    let World {
        held, state, forks, ..
    } = world;
    compare(&store.snapshot(), &state);
    drop(store);
    for (fork, state) in forks {
        compare(&fork.snapshot(), &state);
    }
    for (snapshot, state) in held {
        compare(&snapshot, &state);
    }
}
