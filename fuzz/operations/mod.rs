//! Sequences of operations against a model of `BTreeMap`s, with keys of any bytes: transactions,
//! batches, savepoints, snapshots held for long, of transactions too, forks, images written and
//! restored, guards, sets of matches, and a feed beside. The fuzz target of this name runs what the
//! fuzzer makes up, `tests/operations.rs` what a seed does.
#![allow(missing_docs, unreachable_pub, reason = "no interface of anybody")]

mod follower;
mod op;
mod open;
mod state;

use follower::Follower;
use highwater::{Conflict, Guard, LogIndex, Position, Snapshot, Store, Turn, WriteError};
pub use op::Op;
use op::Pick;
use open::{Open, is_past_limit};
use state::{Blob, Blobs, BlobsView, Bytes, State, compare, stored};
use std::collections::BTreeMap;

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
            open.delete_prefix(&key);
        }
        let group = vec![value];
        open.put(Blob {
            key,
            group,
            serial: None,
            value,
        });
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
                open.put(Blob {
                    key,
                    group,
                    serial: *serial,
                    value: *value,
                });
            }
            Op::Fan { base, from, count } => {
                begin(&world, &mut open);
                let open = open.as_mut().expect("begun");
                let base = world.pick(base);
                for i in 0..=*count {
                    let key = [&base[..], &[from.wrapping_add(i)]].concat();
                    let group = vec![i];
                    open.put(Blob {
                        key,
                        group,
                        serial: None,
                        value: i,
                    });
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
                open.delete_prefix(&prefix);
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
            Op::See => {
                if let Some(open) = &mut open {
                    let seen = (
                        open.txn.snapshot().expect("nothing is derived"),
                        open.state.clone(),
                    );
                    world.held.push(seen);
                }
            }
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
                open.insert_all(*clear, keys);
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
                    Some(open) => open.state.matches(&open.txn, groups, *serial),
                    None => world.state.matches(&store.snapshot(), groups, *serial),
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
