//! What go-memdb has not, and its users ask for or have built by hand.

use crate::store_schema::*;
use crate::things::{Thing, names, thing, things};
use highwater::{LogIndex, Position, Start, Store, WriteError};
use std::ops::Bound;

#[test]
fn unique_keys_are_enforced() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    txn.checks_mut().insert(check("n", 1, &["a"])).unwrap();
    let error = txn.checks_mut().insert(check("n", 2, &["b", "a"]));
    let WriteError::NotUnique { index, key, .. } = error.unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(
        (index.as_ref(), key.to_string().as_str()),
        ("aliases", "\"a\"")
    );
}

#[test]
fn ranges_have_bounds_at_both_ends() {
    let store = things((0..10).map(|n| thing(&n.to_string(), n / 2)));
    let snap = store.snapshot();
    let ages = snap.things().age_index();
    assert_eq!(names(ages.range(1..3)), ["2", "3", "4", "5"]);
    let open = (Bound::Excluded(1), Bound::Included(2));
    assert_eq!(names(ages.range(open).rev()), ["5", "4"]);
    assert!(names(ages.range((Bound::Excluded(1), Bound::Excluded(2)))).is_empty());
}

#[test]
fn count_order_limit_and_cursor() {
    let store = things((0..10).map(|n| thing(&n.to_string(), 9 - n)));
    let snap = store.snapshot();
    let things = snap.things();
    assert_eq!((things.len(), things.age_index().len()), (10, 10));
    assert_eq!(names(things.age_index().iter().take(2)), ["9", "8"]);
    // A page, the next after a write, and the last of that.
    let mut page = things.age_index().iter();
    assert_eq!(names(page.by_ref().take(3)), ["9", "8", "7"]);
    let cursor = page.cursor().unwrap();
    let mut txn = store.write().unwrap();
    txn.things_mut().delete("6").unwrap();
    txn.things_mut().insert(thing("new", 3)).unwrap();
    txn.commit().unwrap();
    let now = store.snapshot();
    let rest = now.things().age_index().iter().resume(&cursor).unwrap();
    assert_eq!(names(rest.take(3)), ["new", "5", "4"]);
}

#[test]
fn each_row_and_each_query_has_its_indexes() {
    let store = Store::<Catalog>::new();
    for (index, id) in [(3, "a"), (5, "b"), (8, "a")] {
        commit_at(&store, index, |txn| {
            let note = u32::try_from(index).unwrap();
            let record = Service {
                note,
                ..service(id, id, "s")
            };
            txn.services_mut().upsert(record).unwrap();
        });
    }
    let snap = store.snapshot();
    let services = snap.services();
    let a = services.get("a").unwrap();
    assert_eq!(
        (a.create_index(), a.modify_index()),
        (LogIndex(3), LogIndex(8))
    );
    assert_eq!(services.by_node("b").log_index(), LogIndex(5));
    assert_eq!(services.log_index(), LogIndex(8));
    assert_eq!(snap.nodes().log_index(), LogIndex(1));
    assert_eq!(ids(services.changed_since(LogIndex(3))), ["a", "b"]);
    assert_eq!(ids(services.changed_since(LogIndex(5))), ["a"]);
}

#[test]
fn a_stream_of_changes_from_any_position() {
    let store = Store::<Catalog>::new();
    for index in 1..=4 {
        commit_at(&store, index, |txn| {
            txn.nodes_mut().insert(node(&index.to_string(), 1)).unwrap();
        });
    }
    let after = Position {
        index: LogIndex(2),
        ..store.position()
    };
    let mut feed = store.feed(Start::After(after)).unwrap();
    let mut told = Vec::new();
    while let Some(event) = event(&mut feed).unwrap() {
        told.extend(
            event
                .nodes()
                .map(|change| change.after.unwrap().name.clone()),
        );
    }
    assert_eq!(told, ["3", "4"]);
}

#[test]
fn compare_and_set() {
    let store = things([thing("a", 1)]);
    let mut txn = store.write().unwrap();
    let mut things = txn.things_mut();
    let stale = things.upsert_if(thing("a", 2), LogIndex(7));
    assert!(matches!(stale, Err(WriteError::Conflict { .. })));
    things.upsert_if(thing("a", 2), LogIndex(1)).unwrap();
    // Absent is 0.
    assert!(things.upsert_if(thing("b", 2), LogIndex(0)).is_ok());
    assert!(things.delete_if("a", LogIndex(0)).is_err());
}

#[test]
fn and_or_and_not_of_look_ups() {
    let zoned = |id, age, zone: &str| Thing {
        zone: Some(zone.to_owned()),
        ..thing(id, age)
    };
    let store = things([
        zoned("a", 1, "x"),
        zoned("b", 2, "x"),
        zoned("c", 1, "y"),
        thing("d", 3),
    ]);
    let snap = store.snapshot();
    let age = |age| snap.things().age_index().matching(age);
    let zone = |zone: &str| snap.things().zone_index().matching(zone);
    assert_eq!(names(age(1).and(zone("x"))), ["a"]);
    assert_eq!(names(age(3).or(zone("x"))), ["a", "b", "d"]);
    assert_eq!(names(age(1).or(age(2)).and_not(zone("y"))), ["a", "b"]);
}

#[test]
fn an_error_is_the_same_everywhere_and_changes_nothing() {
    let texts: Vec<_> = (0..20)
        .map(|_| {
            let store = Store::<Catalog>::new();
            let mut txn = store.write().unwrap();
            txn.checks_mut()
                .insert(check("n", 1, &["x", "y", "z"]))
                .unwrap();
            let error = txn.checks_mut().insert(check("n", 2, &["z", "q", "y"]));
            assert_eq!(txn.checks().len(), 1);
            assert!(txn.checks().by_aliases("q").is_none());
            error.unwrap_err().to_string()
        })
        .collect();
    assert!(texts.iter().all(|text| *text == texts[0]));
}

#[test]
fn metrics() {
    let store = things((0..100).map(|n| thing(&n.to_string(), n)));
    let stats = store.stats();
    // By age, by kind, and with what is absent in it by kind and zone.
    assert_eq!((stats.records(), stats.index_entries()), (100, 300));
    assert!(stats.live_bytes > 0 && stats.nodes.leaves == 400);
    assert_eq!((stats.versions, stats.watchers), (1, 0));
}
