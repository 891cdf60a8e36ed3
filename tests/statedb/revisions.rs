//! Revisions, and changes in their order.

use crate::device::{Agent, AgentView, Device, commit, device, put, soon};
use highwater::{Change, Feed, FeedError, FeedItem, LogIndex, Snapshot, Start, Store, TableEvent};

#[test]
fn a_table_and_its_objects_have_revisions() {
    let store = Store::<Agent>::new();
    let before = store.snapshot();
    let one = put(&store, [device(1, &[])]);
    let two = put(&store, [device(2, &[])]);
    // A snapshot keeps its own; a transaction has that of what it writes.
    assert_eq!(before.devices().log_index(), LogIndex(1));
    let snap = store.snapshot();
    assert_eq!(snap.devices().log_index(), two);
    assert_eq!(snap.devices().get(1).unwrap().modify_index(), one);
    let mut txn = store.write().unwrap();
    txn.devices_mut().delete(1).unwrap();
    assert_eq!(txn.devices().log_index(), txn.index());
    drop(txn);
    assert_eq!(store.snapshot().devices().log_index(), two);
}

/// `ByRevision` with a lower bound: those that have changed since, in the order in which they did. They are
/// found newest first, at a cost of what has changed, and turned round. Those of one commit have one
/// revision, and come by id.
fn by_revision(db: &AgentView, after: LogIndex) -> Vec<(LogIndex, u32)> {
    let newest_first = db.devices().changed_since(after);
    let mut changed: Vec<_> = newest_first
        .map(|row| (row.modify_index(), row.id))
        .collect();
    changed.sort_unstable();
    changed
}

#[test]
fn by_revision_rises_from_the_last_that_was_seen() {
    let store = Store::<Agent>::new();
    for id in [5, 3, 9] {
        put(&store, [device(id, &[])]);
    }
    let (answer, watch) = store.watch(|db| by_revision(db, LogIndex(0)));
    let at = |index, id| (LogIndex(index), id);
    assert_eq!(answer.value, [at(1, 5), at(2, 3), at(3, 9)]);
    let last = answer.value.last().unwrap().0;
    put(&store, [device(3, &["again"]), device(1, &[])]);
    assert!(watch.wait(soon()));
    put(&store, [device(5, &["again"])]);
    // What was deleted is not there: that is in the changes.
    commit(&store, |txn| drop(txn.devices_mut().delete(9).unwrap()));
    let (answer, watch) = store.watch(|db| by_revision(db, last));
    assert_eq!(answer.value, [at(4, 1), at(4, 3), at(5, 5)]);
    assert!(!watch.has_fired());
}

type Changes = Feed<TableEvent<Device>>;

/// Changes that are there: the id, and whether it was deleted.
fn next(changes: &mut Changes) -> Result<Vec<(u32, bool)>, FeedError> {
    let mut told = Vec::new();
    while let Some(item) = changes.try_next()? {
        if let FeedItem::Event(event) = item {
            told.extend(event.changes().map(|change| id_and_deleted(change)));
        }
    }
    Ok(told)
}

fn id_and_deleted(change: Change<'_, Device>) -> (u32, bool) {
    let row = change.after.or(change.before).unwrap();
    (row.id, change.after.is_none())
}

/// Nothing is set aside for who follows: the changes are in the window that every store keeps, whether
/// anybody follows or not.
#[test]
fn changes_are_inserts_and_deletions_in_order() {
    let store = Store::<Agent>::new();
    put(&store, [device(1, &[])]);
    let (snapshot, mut changes) = store.follow_of(|db| db.devices().iter()).unwrap();
    assert_eq!(by_revision(&snapshot, LogIndex(0)).len(), 1);
    drop(snapshot);
    assert_eq!(next(&mut changes).unwrap(), []);
    let watchers = store.stats().watchers;
    put(&store, [device(2, &[]), device(3, &[])]);
    commit(&store, |txn| drop(txn.devices_mut().delete(1).unwrap()));
    put(&store, [device(2, &["again"])]);
    assert_eq!(
        next(&mut changes).unwrap(),
        [(2, false), (3, false), (1, true), (2, false)]
    );
    assert_eq!((watchers, store.stats().watchers), (0, 0));
}

/// statedb PRs #19, #45 and #49: a channel that was closed all the time, one that did not close for what was
/// there already, and one that did not close for the rest of what was read in part.
#[test]
fn who_reads_a_part_of_the_changes_is_told_of_the_rest() {
    let store = Store::<Agent>::new();
    let mut changes = store.feed_of(Start::Now, |db| db.devices().iter()).unwrap();
    for id in 1..=3 {
        put(&store, [device(id, &[])]);
    }
    commit(&store, |txn| {
        drop(txn.devices_mut().delete_where(|_| true).unwrap());
    });
    // Each call is told the next that there is; it waits only when there is none.
    let mut told = Vec::new();
    while told.len() < 6 {
        match changes.next(soon()).unwrap() {
            Some(FeedItem::Event(event)) => told.extend(event.changes().map(id_and_deleted)),
            Some(_) => {}
            None => panic!("it waits for what is there"),
        }
    }
    let all = [
        (1, false),
        (2, false),
        (3, false),
        (1, true),
        (2, true),
        (3, true),
    ];
    assert_eq!(told, all);
    assert!(changes.try_next().unwrap().is_none());
}

/// Their iterator tells of one that was created and deleted unobserved its deletion alone. Between two looks
/// of any distance the difference is what counts: each object once, as it was and as it is.
#[test]
fn changes_between_two_looks_are_net() {
    let store = Store::<Agent>::new();
    put(&store, [device(1, &[]), device(2, &[])]);
    let mut seen: Snapshot<Agent> = store.snapshot();
    let look = |seen: &mut Snapshot<Agent>| {
        let now = store.snapshot();
        let changes: Vec<_> = now
            .devices()
            .diff(&seen.devices())
            .map(id_and_deleted)
            .collect();
        *seen = now;
        changes
    };
    for round in 0..10 {
        put(&store, [device(1, &[&round.to_string()]), device(7, &[])]);
        commit(&store, |txn| drop(txn.devices_mut().delete(7).unwrap()));
    }
    commit(&store, |txn| drop(txn.devices_mut().delete(2).unwrap()));
    assert_eq!(look(&mut seen), [(1, false), (2, true)]);
    assert_eq!(look(&mut seen), []);
}

/// What their graveyard keeps for the slowest observer, without an end.
#[test]
fn who_does_not_look_keeps_nothing_and_begins_again() {
    let store = Store::<Agent>::with_options(highwater::StoreOptions {
        window: 8,
        ..Default::default()
    });
    let mut slow = store.feed_of(Start::Now, |db| db.devices().iter()).unwrap();
    for id in 0..1000 {
        put(&store, [device(id % 10, &[&id.to_string()])]);
        commit(&store, |txn| {
            drop(txn.devices_mut().delete(id % 10).unwrap());
        });
    }
    assert!(matches!(next(&mut slow), Err(FeedError::Compacted { .. })));
    assert_eq!(store.stats().versions, 1);
    let (snapshot, mut changes) = store.follow_of(|db| db.devices().iter()).unwrap();
    assert!(snapshot.devices().is_empty());
    put(&store, [device(1, &[])]);
    assert_eq!(next(&mut changes).unwrap(), [(1, false)]);
}
