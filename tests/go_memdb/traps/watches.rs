//! What wakes whom, and what waiting leaves behind.

use crate::store_schema::*;
use crate::things::watch;
use highwater::{LogIndex, Store, Watch};

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
    let modified = store.snapshot().services().get("a").unwrap().modify_index();
    assert_eq!(modified, LogIndex(1));
}

/// consul #12343, #12344: a watch of what is missing woken by unrelated writes.
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

/// go-memdb PRs #74 and #75, consul #14916, #4140, PR #939: a goroutine for each that had waited.
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

/// consul #12080: all of a topic were woken for one of it.
#[test]
fn consul_8995_a_commit_wakes_those_it_concerns_whoever_else_waits() {
    let store = Store::<Catalog>::new();
    let watches: Vec<_> = (0..20_000)
        .map(|n| watch(&store, |db| db.services().contains(n.to_string())))
        .collect();
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

/// cilium #42953.
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

/// cilium PR #28644: it was watched where the name of its table would have been in it.
#[test]
fn cilium_28644_a_lower_bound_is_watched_whatever_the_keys_are() {
    let store = Store::<Catalog>::new();
    for (index, id) in [(1, "services"), (2, "a"), (3, "z")] {
        commit_at(&store, index, |txn| {
            txn.services_mut().insert(service(id, id, "s")).unwrap();
        });
    }
    let all = || watch(&store, |db| db.services().range(""..).count());
    let by_node = || watch(&store, |db| db.services().node_index().range("b"..).count());
    for (index, id, higher) in [(4, "z", true), (5, "a", false), (6, "services", true)] {
        let (all, by_node) = (all(), by_node());
        commit_at(&store, index, |txn| {
            let change = |service: &mut Service| service.note += 1;
            txn.services_mut().update_with(id, change).unwrap();
        });
        assert_eq!(
            (all.has_fired(), by_node.has_fired()),
            (true, higher),
            "{id}"
        );
    }
}

/// consul #4986, #5050, #5081, #5449, #7200: above 682 instances a health query was one of everything.
#[test]
fn consul_4984_a_query_of_very_many_instances_is_of_those_alone() {
    let store = Store::<Catalog>::new();
    let instance = |n: usize| service(&format!("web-{n}"), &format!("n{n}"), "web");
    commit_at(&store, 1, |txn| {
        for n in 0..3000 {
            txn.services_mut().insert(instance(n)).unwrap();
            txn.nodes_mut().insert(node(&format!("n{n}"), 1)).unwrap();
        }
    });
    let mut runs = 0;
    let mut health = |after, until| {
        let answer = store.blocking_query(after, until, |db: &CatalogView| {
            runs += 1;
            db.services()
                .name_node_index()
                .leading("web")
                .filter(|web| {
                    db.nodes()
                        .get(&web.node)
                        .is_some_and(|node| node.address > 0)
                })
                .count()
        });
        let answer = answer.unwrap();
        (answer.value, answer.index, answer.changed, runs)
    };
    assert_eq!(health(LogIndex(0), soon()), (3000, LogIndex(1), true, 1));
    for index in 2..50 {
        commit_at(&store, index, |txn| {
            let id = index.to_string();
            txn.services_mut().insert(service(&id, &id, "db")).unwrap();
            txn.nodes_mut().insert(node(&id, 1)).unwrap();
        });
    }
    assert_eq!(
        health(LogIndex(1), shortly()),
        (3000, LogIndex(1), false, 2)
    );
    let watching = watch(&store, |db| {
        db.services().name_node_index().leading("web").count()
    });
    assert_eq!(store.stats().watchers, 1);
    commit_at(&store, 50, |txn| {
        txn.nodes_mut().update(node("n7", 0)).unwrap();
    });
    assert!(!watching.has_fired());
    assert_eq!(health(LogIndex(1), soon()), (2999, LogIndex(50), true, 3));
}
