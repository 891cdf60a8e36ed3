//! Keys, bounds and prefixes.

use crate::store_schema::*;
use crate::things::{Thing, names, thing, things};
use highwater::Store;
use std::ops::Bound;

#[test]
fn memdb_zeros_in_a_key_end_nothing() {
    let store = things([
        thing("a", 1),
        thing("a\0b", 2),
        thing("a\0", 3),
        thing("", 4),
    ]);
    let mut txn = store.write().unwrap();
    assert_eq!(txn.things().get("a").unwrap().age, 1);
    assert_eq!(names(txn.things().range(..="a")), ["", "a"]);
    assert_eq!(txn.things_mut().delete("a").unwrap().unwrap().age, 1);
    assert_eq!(names(txn.things().iter()), ["", "a\0", "a\0b"]);
    assert_eq!(names(txn.things().prefix("a\0")), ["a\0", "a\0b"]);
}

/// yorkie PR #1074: worked around where it was met.
#[test]
fn memdb_96_a_bound_that_is_included_includes_all_records_that_have_it() {
    let ages = [("a", 5), ("b", 7), ("c", 7), ("d", 9)];
    let store = things(ages.map(|(id, age)| thing(id, age)));
    let snap = store.snapshot();
    let by_age = snap.things().age_index();
    assert_eq!(names(by_age.range(..=7).rev()), ["c", "b", "a"]);
    assert_eq!(names(by_age.range(7..)), ["b", "c", "d"]);
    assert_eq!(names(by_age.range(..7)), ["a"]);
    let after = (Bound::Excluded(7), Bound::Unbounded);
    assert_eq!(names(by_age.range(after)), ["d"]);
    assert_eq!(names(by_age.get(7).rev()), ["c", "b"]);
}

#[test]
fn memdb_113_numbers_are_in_order() {
    let ages = [i32::MIN, -256, -1, 0, 1, 255, 256, i32::MAX];
    let store = things(ages.map(|age| thing(&age.to_string(), age)));
    let snap = store.snapshot();
    assert!(snap.things().age_index().iter().map(|row| row.age).eq(ages));
    // A number has the width of the field, whatever it is written as.
    assert_eq!(names(snap.things().by_age(0)), ["0"]);
    assert_eq!(snap.things().age_index().range(-1..=1).count(), 3);
}

#[test]
fn memdb_106_every_combination_is_found() {
    let store = things([Thing {
        sizes: ["a"].map(String::from).into(),
        colours: ["b", "c", "b"].map(String::from).into(),
        ..thing("x", 1)
    }]);
    let snap = store.snapshot();
    let product = snap.things().product_index();
    assert_eq!(product.len(), 2);
    for colour in ["b", "c"] {
        assert_eq!(names(product.leading(("a", colour))), ["x"]);
    }
}

#[test]
fn memdb_leading_columns_are_exact_and_an_absent_part_is_no_key() {
    let zone = |id, kind: &str, zone: Option<&str>| Thing {
        kind: kind.to_owned(),
        zone: zone.map(String::from),
        ..thing(id, 1)
    };
    let store = things([
        zone("1", "web", None),
        zone("2", "web", Some("a")),
        zone("3", "webs", Some("a")),
        zone("4", "db", None),
    ]);
    let snap = store.snapshot();
    let by = snap.things().kind_zone_index();
    assert_eq!(names(by.leading("web")), ["1", "2"]);
    assert_eq!(names(by.prefix("web")), ["1", "2", "3"]);
    assert_eq!(names(by.get(("web", None::<&str>))), ["1"]);
    assert_eq!(names(snap.things().by_zone("a")), ["2", "3"]);
    assert_eq!(snap.things().zone_index().len(), 2);
}

/// iradix #28, #37, PRs #35 and #39.
#[test]
fn iradix_92_keys_that_begin_others_are_found_from_either_side() {
    let all = ["", "b", "f", "fo", "foo", "foobar", "g"];
    let store = things(all.map(|id| thing(id, 1)));
    let snap = store.snapshot();
    let things = snap.things();
    assert!(
        names(things.iter().rev())
            .into_iter()
            .eq(all.into_iter().rev())
    );
    for bound in ["", "a", "f", "fn", "fo", "fooa", "foob", "z"] {
        let from: Vec<_> = all.into_iter().filter(|id| *id >= bound).collect();
        let to: Vec<_> = all.into_iter().rev().filter(|id| *id <= bound).collect();
        assert_eq!(names(things.range(bound..)), from, "from {bound}");
        assert_eq!(names(things.range(..=bound).rev()), to, "to {bound}");
    }
    // iradix #50, statedb: a seek that finds nothing, and an iterator that is at its end.
    let mut none = things.prefix("x");
    assert!(none.next().is_none() && none.next_back().is_none() && none.next().is_none());
    assert_eq!(names(things.longest_prefix("foobaz").into_iter()), ["foo"]);
    assert_eq!(names(things.longest_prefix("x").into_iter()), [""]);
}

/// Its regression tests, cilium #29324: a prefix that went on into the primary key, and "aa" before "a".
#[test]
fn statedb_a_prefix_does_not_reach_into_the_primary_key() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.services_mut().insert(service("a", "a", "s")).unwrap();
        txn.services_mut().insert(service("x", "aa", "s")).unwrap();
        txn.services_mut().insert(service("z", "a", "s")).unwrap();
    });
    let snap = store.snapshot();
    assert_eq!(ids(snap.services().node_index().prefix("aa")), ["x"]);
    assert_eq!(ids(snap.services().node_index().iter()), ["a", "z", "x"]);
}
