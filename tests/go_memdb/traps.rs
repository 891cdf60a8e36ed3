//! What goes wrong in go-memdb, its radix tree, and what is built on them, and does not here. Each
//! test is named after the issue, or the observed behaviour, that it comes from.

use crate::store_schema::*;
use crate::things::{Thing, Things, names, thing, things, watch};
use highwater::{LogIndex, Row, Schema, Store, Table, Watch, WriteError};
use serde::{Deserialize, Serialize};
use std::ops::Bound;

#[test]
fn memdb_7_unique_is_enforced_and_the_loser_takes_nothing_away() {
    let store = Store::<Catalog>::new();
    let with_port = |id, port| highwater_service(id, Some(port));
    commit_at(&store, 1, |txn| {
        txn.services_mut().insert(with_port("a", 80)).unwrap();
        let error = txn.services_mut().insert(with_port("b", 80)).unwrap_err();
        assert!(matches!(error, WriteError::NotUnique { .. }));
        assert_eq!(txn.services().by_port(80).unwrap().id, "a");
        // The same record may keep its key.
        let same = Service {
            note: 1,
            ..with_port("a", 80)
        };
        assert!(txn.services_mut().update(same).is_ok());
        txn.services_mut().delete("b").unwrap();
    });
    let snap = store.snapshot();
    assert_eq!(snap.services().by_port(80).unwrap().id, "a");
    snap.check().unwrap();
}

fn highwater_service(id: &str, port: Option<u16>) -> Service {
    Service {
        port,
        ..service(id, "n", "s")
    }
}

#[test]
fn memdb_a_failed_insert_leaves_no_part_of_itself_and_always_fails_alike() {
    for _ in 0..50 {
        let store = Store::<Catalog>::new();
        let mut txn = store.write().unwrap();
        txn.checks_mut().insert(check("n", 1, &["b", "c"])).unwrap();
        let error = txn
            .checks_mut()
            .insert(check("n", 2, &["c", "a", "b"]))
            .unwrap_err();
        let WriteError::NotUnique { key, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(key.to_string(), "\"b\"");
        assert_eq!(txn.checks().len(), 1);
        assert!(txn.checks().by_aliases("a").is_none());
        txn.commit().unwrap();
        store.snapshot().check().unwrap();
    }
}

#[test]
fn memdb_a_write_of_the_same_record_wakes_nobody() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.services_mut().insert(tagged("a", &["x"])).unwrap();
    });
    let watches = [
        watch(&store, |db| db.services().get("a").is_some()),
        watch(&store, |db| db.services().by_tags("x").count()),
        watch(&store, |db| db.services().iter().count()),
    ];
    commit_at(&store, 2, |txn| {
        txn.services_mut().upsert(tagged("a", &["x"])).unwrap();
    });
    assert!(!watches.iter().any(Watch::has_fired));
}

#[test]
fn memdb_95_a_record_that_is_found_several_times_is_deleted_once() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.services_mut()
            .insert(tagged("a", &["xa", "xb", "xc"]))
            .unwrap();
        txn.services_mut().insert(tagged("b", &["y"])).unwrap();
        let gone = txn
            .services_mut()
            .delete_query(|services| services.tags_index().prefix("x"))
            .unwrap();
        assert_eq!(ids(gone.iter()), ["a"]);
        assert_eq!(ids(txn.services().iter()), ["b"]);
    });
    store.snapshot().check().unwrap();
}

#[test]
fn memdb_a_prefix_is_deleted_from_every_index() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        for id in ["ab", "ac", "b"] {
            txn.services_mut()
                .insert(tagged(id, &["one", "two"]))
                .unwrap();
        }
    });
    let absent = watch(&store, |db| db.services().get("abc").is_some());
    let other = watch(&store, |db| db.services().get("b").is_some());
    let prefix = watch(&store, |db| db.services().prefix("ab").count());
    let tag = watch(&store, |db| db.services().by_tags("two").count());
    // iradix PR #107: a write below the prefix and its deletion, in one transaction.
    commit_at(&store, 2, |txn| {
        txn.services_mut().insert(tagged("abc", &["two"])).unwrap();
        assert_eq!(txn.services_mut().delete_prefix("a").unwrap().len(), 3);
        assert_eq!(txn.services().len(), 1);
        assert!(txn.services_mut().delete_prefix("zz").unwrap().is_empty());
    });
    assert!(prefix.has_fired() && tag.has_fired());
    assert!(!other.has_fired() && !absent.has_fired());
    let snap = store.snapshot();
    snap.check().unwrap();
    assert_eq!(ids(snap.services().by_tags("two")), ["b"]);
    // In an index without regard to case a prefix is no part of the stored text.
    let store = things([thing("a", 1), thing("B", 2)]);
    let mut txn = store.write().unwrap();
    let gone = txn
        .things_mut()
        .delete_query(|things| things.kind_index().prefix("kI"));
    assert_eq!(gone.unwrap().len(), 2);
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

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

#[test]
fn memdb_150_an_absent_key_is_watched_by_itself() {
    let store = Store::<Catalog>::new();
    let absent = watch(&store, |db| db.services().get("nx").is_some());
    let node = watch(&store, |db| db.services().by_node("n").count());
    commit_at(&store, 1, |txn| {
        txn.services_mut().insert(service("n", "nz", "s")).unwrap();
        txn.services_mut()
            .insert(service("nxy", "nz", "s"))
            .unwrap();
    });
    assert!(!absent.has_fired() && !node.has_fired());
    commit_at(&store, 2, |txn| {
        txn.services_mut().insert(service("nx", "n", "s")).unwrap();
    });
    assert!(absent.has_fired() && node.has_fired());
}

#[test]
fn memdb_51_no_number_of_rows_or_watches_is_too_many() {
    let store = Store::<Catalog>::new();
    let id = |n: usize| format!("s{n:05}");
    commit_at(&store, 1, |txn| {
        for n in 0..9000 {
            txn.services_mut()
                .insert(service(&id(n), "n", "s"))
                .unwrap();
        }
    });
    let watches: Vec<_> = (0..9000)
        .step_by(30)
        .map(|n| watch(&store, |db| db.services().get(id(n)).is_some()))
        .collect();
    let range = watch(&store, |db| db.services().range("s08000".."s08500").count());
    // iradix PR #13: the deletion of very many wakes each once. All but the first hundred go.
    commit_at(&store, 2, |txn| {
        let gone = txn.services_mut().delete_where(|row| *row.id >= *"s00100");
        assert_eq!(gone.unwrap().len(), 8900);
    });
    let fired: Vec<_> = watches.iter().map(Watch::has_fired).collect();
    assert_eq!(fired.iter().filter(|fired| !**fired).count(), 4);
    assert!(!fired[0] && !fired[3] && fired[4] && range.has_fired());
    store.snapshot().check().unwrap();
}

#[test]
fn memdb_85_what_is_read_may_be_deleted_meanwhile() {
    let store = things((0..100).map(|n| thing(&format!("{n:02}"), n % 3)));
    let mut txn = store.write().unwrap();
    // Handles do not borrow the transaction.
    let rows: Vec<Row<Thing>> = txn.things().by_age(1).cloned().collect();
    for row in &rows {
        txn.things_mut().delete(&row.id).unwrap();
    }
    assert_eq!((rows.len(), txn.things().len()), (33, 67));
    // A snapshot goes on, whatever is written.
    let snap = store.snapshot();
    let mut iter = snap.things().iter();
    assert!(iter.next().is_some());
    txn.things_mut().delete_where(|_| true).unwrap();
    txn.commit().unwrap();
    assert_eq!(iter.count(), 99);
}

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

#[test]
fn consul_195_an_index_does_not_fall_when_its_last_record_goes() {
    let store = Store::<Catalog>::new();
    // nomad #6403, consul PR #4437: of nothing it is 1, so that a client does not ask from 0 for ever.
    assert_eq!(
        store.snapshot().services().prefix("a").log_index(),
        LogIndex(1)
    );
    commit_at(&store, 5, |txn| {
        txn.services_mut().insert(service("a", "n", "s")).unwrap();
    });
    commit_at(&store, 7, |txn| {
        txn.services_mut().insert(service("b", "m", "s")).unwrap();
    });
    // consul #3899: that of one node is not that of another.
    let snap = store.snapshot();
    assert_eq!(snap.services().by_node("n").log_index(), LogIndex(5));
    commit_at(&store, 9, |txn| {
        txn.services_mut().delete("b").unwrap();
    });
    let snap = store.snapshot();
    assert!(snap.services().by_node("m").log_index() >= LogIndex(9));
    assert!(snap.services().log_index_of("b") >= LogIndex(9));
    assert_eq!(snap.services().log_index(), LogIndex(9));
}

#[test]
fn memdb_changes_are_net_and_need_not_be_asked_for_first() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.nodes_mut().insert(node("kept", 1)).unwrap();
        txn.nodes_mut().insert(node("gone", 1)).unwrap();
    });
    let mut txn = at(&store, 2);
    txn.nodes_mut().insert(node("new", 1)).unwrap();
    txn.nodes_mut().update(node("new", 2)).unwrap();
    txn.nodes_mut().insert(node("brief", 1)).unwrap();
    txn.nodes_mut().delete("brief").unwrap();
    txn.nodes_mut().delete("gone").unwrap();
    txn.nodes_mut().update(node("kept", 2)).unwrap();
    let changes = txn.changes();
    let told: Vec<_> = changes
        .nodes()
        .map(|change| {
            let of = |row: Option<&Row<Node>>| row.map(|row| (row.name.clone(), row.address));
            (of(change.before), of(change.after))
        })
        .collect();
    let of = |name: &str, address| Some((name.to_owned(), address));
    assert_eq!(
        told,
        [
            (None, of("new", 2)),
            (of("gone", 1), None),
            (of("kept", 1), of("kept", 2)),
        ]
    );
    assert_eq!(changes.services().count(), 0);
    txn.nodes_mut().delete_where(|_| true).unwrap();
    assert_eq!(changes.nodes().count(), 3);
    assert_eq!(txn.changes().nodes().count(), 2);
}

/// nomad #16257, vault PR #16487, openbao PR #718: the same, for ten years.
#[test]
fn memdb_99_who_has_a_record_cannot_change_what_is_stored() {
    let store = things([thing("a", 1)]);
    let mut copy: Thing = (**store.snapshot().things().get("a").unwrap()).clone();
    copy.age = 7;
    let snap = store.snapshot();
    assert_eq!(names(snap.things().by_age(1)), ["a"]);
    assert!(snap.things().by_age(7).next().is_none());
    // An update in place that fails has changed its copy alone.
    let mut txn = store.write().unwrap();
    let renamed = txn.things_mut().update_with("a", |thing| {
        thing.age = 9;
        thing.id.push('x');
    });
    assert!(matches!(renamed, Err(WriteError::KeyChanged { .. })));
    assert_eq!(names(txn.things().by_age(1)), ["a"]);
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

#[test]
fn memdb_83_a_count_looks_at_no_record() {
    let store = things((0..500).map(|n| thing(&n.to_string(), n % 2)));
    let snap = store.snapshot();
    // The count of a table and of an index is a number that is kept.
    assert_eq!(
        (snap.things().len(), snap.things().age_index().len()),
        (500, 500)
    );
    let (len, watch) = store.watch(|db| db.things().len());
    assert_eq!(len.value, 500);
    let mut txn = store.write().unwrap();
    txn.things_mut().delete("3").unwrap();
    txn.commit().unwrap();
    assert!(watch.has_fired());
}

#[test]
fn memdb_78_an_index_is_added_by_the_next_program() {
    mod before {
        use highwater::{Schema, Table};
        use serde::{Deserialize, Serialize};

        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
        #[table(name = "thing")]
        pub(super) struct Thing {
            #[primary_key]
            pub(super) id: String,
            pub(super) age: i32,
            pub(super) kind: String,
            pub(super) zone: Option<String>,
            pub(super) sizes: Vec<String>,
            pub(super) colours: Vec<String>,
        }

        #[derive(Schema)]
        pub(super) struct Things {
            pub(super) things: Thing,
        }
    }
    let old = Store::<before::Things>::new();
    let mut txn = old.write().unwrap();
    for n in 0..50 {
        let record = before::Thing {
            id: n.to_string(),
            age: n % 5,
            kind: "k".to_owned(),
            zone: None,
            sizes: Vec::new(),
            colours: Vec::new(),
        };
        txn.things_mut().insert(record).unwrap();
    }
    txn.commit().unwrap();
    let mut image = Vec::new();
    old.snapshot().write_image(&mut image).unwrap();
    let new = Store::<Things>::from_image(&image[..]).unwrap();
    new.snapshot().check().unwrap();
    assert_eq!(new.snapshot().things().by_age(3).count(), 10);
}

/// consul #14916, #4140: a goroutine for each that had waited.
#[test]
fn memdb_122_a_watch_that_is_dropped_leaves_nothing() {
    let store = Store::<Catalog>::new();
    for n in 0..5_000 {
        drop(watch(&store, |db| db.services().contains(n.to_string())));
        drop(watch(&store, |db| db.services().range("a"..).count()));
        let waiting = store.snapshot_at_least_async(LogIndex(9), std::future::ready(()));
        assert!(block_on(waiting).is_err());
    }
    assert_eq!(store.stats().watchers, 0);
}

#[test]
fn consul_8995_a_commit_wakes_those_it_concerns_whoever_else_waits() {
    let store = Store::<Catalog>::new();
    let watches: Vec<_> = (0..20_000)
        .map(|n| watch(&store, |db| db.services().contains(n.to_string())))
        .collect();
    // consul #12080: all of a topic were woken for one of it.
    commit_at(&store, 1, |txn| {
        txn.services_mut().insert(service("777", "n", "s")).unwrap();
    });
    let fired: Vec<_> = (0..)
        .zip(&watches)
        .filter(|(_, watch)| watch.has_fired())
        .collect();
    assert_eq!(fired.iter().map(|(n, _)| *n).collect::<Vec<u32>>(), [777]);
}

#[test]
fn nomad_18266_a_change_between_reading_and_waiting_is_not_missed() {
    let store = Store::<Catalog>::new();
    let (_, read) = store.watch(|db| {
        let found = db.services().contains("a");
        // While the query runs.
        commit_at(&store, 1, |txn| {
            txn.services_mut().insert(service("a", "n", "s")).unwrap();
        });
        found
    });
    assert!(read.has_fired());
}

#[test]
fn nomad_20072_an_older_program_refuses_what_it_does_not_know_before_it_changes_anything() {
    let source = Store::<Catalog>::new();
    commit_at(&source, 3, |txn| {
        txn.services_mut().insert(service("a", "n", "s")).unwrap();
    });
    let mut image = Vec::new();
    source.snapshot().write_image(&mut image).unwrap();
    let store = things([thing("a", 1)]);
    let error = store.restore(&image[..]).unwrap_err().to_string();
    assert!(error.contains("services"), "{error}");
    assert_eq!(names(store.snapshot().things().iter()), ["a"]);
}

#[test]
fn statedb_the_empty_key_and_nodes_without_a_leaf_wake_who_watches_their_prefix() {
    let store = Store::<Catalog>::new();
    let all = watch(&store, |db| db.services().prefix("").count());
    commit_at(&store, 1, |txn| {
        txn.services_mut().insert(service("", "n", "s")).unwrap();
    });
    assert!(all.has_fired());
    commit_at(&store, 2, |txn| {
        for id in ["abx", "aby"] {
            txn.services_mut().insert(service(id, "n", "s")).unwrap();
        }
    });
    // The node at "ab" has no leaf of its own, and goes with the first of the two.
    let prefix = watch(&store, |db| db.services().prefix("ab").count());
    let shorter = watch(&store, |db| db.services().prefix("a").count());
    commit_at(&store, 3, |txn| {
        txn.services_mut().delete("abx").unwrap();
    });
    assert!(prefix.has_fired() && shorter.has_fired());
}

#[test]
fn statedb_19_an_iterator_at_its_end_has_an_index_to_wait_past() {
    let store = Store::<Catalog>::new();
    let none = |db: &CatalogView| db.services().by_node("n").next().is_none();
    let first = store.blocking_query(LogIndex(0), soon(), none).unwrap();
    let mut runs = 0;
    let answer = store.blocking_query(first.index, shortly(), |db| {
        runs += 1;
        none(db)
    });
    assert!(!answer.unwrap().changed && runs == 1);
}

/// The merge of a node with its only child was seen by older transactions.
#[test]
fn iradix_what_a_deletion_merges_is_not_seen_by_who_began_before() {
    let store = things(["aa", "ab", "b"].map(|id| thing(id, 1)));
    let before = store.snapshot();
    let mut txn = store.write().unwrap();
    txn.things_mut().delete("ab").unwrap();
    let savepoint = txn.savepoint();
    txn.things_mut().delete("b").unwrap();
    assert_eq!(names(txn.things().iter()), ["aa"]);
    txn.rollback_to(savepoint);
    assert_eq!(names(txn.things().iter()), ["aa", "b"]);
    txn.commit().unwrap();
    assert_eq!(names(before.things().iter()), ["aa", "ab", "b"]);
}

/// Tables and indexes were keyed by one string: "a.b" and "id" was "a" and "b.id".
#[test]
fn memdb_names_of_tables_and_indexes_may_be_any() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "a.b")]
    struct One {
        #[primary_key]
        id: u8,
        #[index(name = "x_prefix")]
        x: String,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "a")]
    struct Two {
        #[primary_key]
        id: u8,
        #[index(name = "id")]
        b: u8,
    }

    #[derive(Schema)]
    struct Both {
        ones: One,
        twos: Two,
    }

    let store = Store::<Both>::new();
    let mut txn = store.write().unwrap();
    let x = "text".to_owned();
    txn.ones_mut().insert(One { id: 1, x }).unwrap();
    txn.twos_mut().insert(Two { id: 2, b: 1 }).unwrap();
    assert_eq!(txn.twos().by_id(1).next().unwrap().id, 2);
    assert_eq!(txn.ones().x_prefix_index().prefix("te").count(), 1);
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

#[test]
fn memdb_an_abandoned_attempt_is_undone_whole() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    txn.services_mut()
        .insert(service("kept", "n", "s"))
        .unwrap();
    let failed: Result<(), WriteError> = txn.attempt(|txn| {
        txn.services_mut().insert(tagged("a", &["x"]))?;
        txn.services_mut().delete("kept")?;
        txn.services_mut().insert(tagged("a", &["y"]))
    });
    assert!(failed.is_err());
    assert_eq!(ids(txn.services().iter()), ["kept"]);
    assert_eq!(txn.services().tags_index().len(), 0);
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}
