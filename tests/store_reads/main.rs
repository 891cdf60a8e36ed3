//! What snapshots are and what queries find.

mod store_schema;

use highwater::{
    Cursor, CursorError, HistoryId, LogIndex, Rows, Snapshot, Store, StoreOptions, Turn, WriteTxn,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use store_schema::*;

#[test]
fn handles_go_to_any_thread() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<WriteTxn<Catalog>>();
    send::<Turn<Catalog>>();
    send::<Snapshot<Catalog>>();
    sync::<Snapshot<Catalog>>();
    send::<Store<Catalog>>();
    sync::<Store<Catalog>>();
    send::<highwater::Feed<highwater::Event<Catalog>>>();
    send::<highwater::Event<Catalog>>();
    sync::<highwater::Event<Catalog>>();
    send::<highwater::Rows<'static, Service>>();
}

#[test]
fn finds_records_by_every_index() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    for (id, node, name) in [
        ("web-1", "n1", "web"),
        ("web-2", "n2", "web"),
        ("db", "n1", "db"),
        ("web", "n1", "web"),
        ("webby", "n3", "webby"),
    ] {
        txn.services_mut().insert(service(id, node, name)).unwrap();
    }
    txn.services_mut()
        .upsert(tagged("t", &["red", "blue"]))
        .unwrap();
    txn.services_mut()
        .upsert(Service {
            port: Some(80),
            ..service("p", "n", "s")
        })
        .unwrap();
    // The transaction reads its own writes.
    assert_eq!(txn.services().len(), 7);
    assert_eq!(ids(txn.services().by_node("n1")), ["db", "web", "web-1"]);
    assert_eq!(txn.commit(), Ok(LogIndex(1)));

    let snap = store.snapshot();
    let services = snap.services();
    assert_eq!(
        services.get("web-1").map(|row| row.node.as_str()),
        Some("n1")
    );
    assert_eq!(services.get("none"), None);
    assert!(services.contains("db") && !services.contains("d"));
    assert_eq!(services.len(), 7);
    assert!(!services.is_empty());
    assert_eq!(
        ids(services.iter()),
        ["db", "p", "t", "web", "web-1", "web-2", "webby"]
    );
    assert_eq!(
        ids(services.iter().rev()),
        ["webby", "web-2", "web-1", "web", "t", "p", "db"]
    );
    assert_eq!(ids(services.range("p".."web-1")), ["p", "t", "web"]);
    assert_eq!(
        ids(services.range("p"..="web-1")),
        ["p", "t", "web", "web-1"]
    );
    assert_eq!(ids(services.range("web-2"..)), ["web-2", "webby"]);
    assert_eq!(ids(services.range("web".."db")), Vec::<&str>::new());
    assert_eq!(ids(services.prefix("web-")), ["web-1", "web-2"]);
    assert_eq!(
        ids(services.prefix("web").rev()),
        ["webby", "web-2", "web-1", "web"]
    );
    assert_eq!(services.first().map(|row| row.id.as_str()), Some("db"));
    assert_eq!(services.last().map(|row| row.id.as_str()), Some("webby"));
    assert_eq!(
        services
            .longest_prefix("web-1-x")
            .map(|row| row.id.as_str()),
        Some("web-1")
    );
    assert_eq!(
        services.longest_prefix("we").map(|row| row.id.as_str()),
        None
    );

    assert_eq!(ids(services.by_node("n1")), ["db", "web", "web-1"]);
    assert_eq!(ids(services.by_node("n1").rev()), ["web-1", "web", "db"]);
    assert_eq!(ids(services.node_index().range("n2"..)), ["web-2", "webby"]);
    assert_eq!(
        ids(services.node_index().prefix("n").take(3)),
        ["p", "t", "db"]
    );
    assert_eq!(ids(services.by_name_node(("web", "n1"))), ["web", "web-1"]);
    assert_eq!(
        ids(services.name_node_index().leading("web")),
        ["web", "web-1", "web-2"]
    );
    assert_eq!(
        ids(services.name_node_index().leading("web").rev()),
        ["web-2", "web-1", "web"]
    );
    assert_eq!(ids(services.by_tags("red")), ["t"]);
    assert_eq!(ids(services.tags_index().iter()), ["t", "t"]);
    assert_eq!(services.by_port(80).map(|row| row.id.as_str()), Some("p"));
    assert_eq!(services.by_port(81), None);
    snap.check().unwrap();

    // Both ends of one iterator meet.
    let mut rows = services.iter();
    let mut both = Vec::new();
    while let Some(front) = rows.next() {
        both.push(front.id.as_str());
        both.extend(rows.next_back().map(|row| row.id.as_str()));
    }
    assert_eq!(both, ["db", "webby", "p", "web-2", "t", "web-1", "web"]);
}

#[test]
fn composite_primary_keys() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    for (node, number) in [("b", -1), ("a", 2), ("a", -7), ("ab", 0)] {
        txn.checks_mut().insert(check(node, number, &[])).unwrap();
    }
    let numbers: Vec<i32> = txn.checks().leading("a").map(|row| row.number).collect();
    assert_eq!(numbers, [-7, 2]);
    assert!(txn.checks().contains(("b", -1)));
    assert!(txn.checks_mut().delete(("b", -1)).unwrap().is_some());
    assert!(!txn.checks().contains(("b", -1)));
}

#[test]
fn snapshots_never_change() {
    let store = Store::<Catalog>::new();
    let mut held = vec![(store.snapshot(), Vec::new())];
    let mut names = Vec::new();
    for i in 1..60_u32 {
        let name = format!("{:02}", i * 37 % 59);
        commit_at(&store, u64::from(i), |txn| {
            txn.nodes_mut().insert(node(&name, i)).unwrap();
            if i % 3 == 0 {
                txn.nodes_mut().delete(names.remove(0)).unwrap();
            }
            names.push(name.clone());
        });
        held.push((store.snapshot(), names.clone()));
    }
    for (i, (snap, names)) in held.iter_mut().enumerate() {
        names.sort();
        let found: Vec<&str> = snap.nodes().iter().map(|row| row.name.as_str()).collect();
        assert_eq!(found, *names);
        assert_eq!(snap.clone().index(), LogIndex(i as u64));
    }
    drop(store);
    let (last, names) = held.pop().unwrap();
    assert_eq!(last.nodes().len(), names.len());
    last.check().unwrap();
}

#[test]
fn readers_see_whole_commits_while_a_writer_runs() {
    let store = Store::<Catalog>::new();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            thread::spawn(move || {
                let mut last = LogIndex(0);
                while !done.load(Ordering::Relaxed) {
                    let snap = store.snapshot();
                    assert!(snap.index() >= last);
                    last = snap.index();
                    // Each commit moves the number from one table to the other.
                    let total = snap.nodes().len() + snap.checks().len();
                    assert!(total == 0 || total == 20, "{total}");
                    assert_eq!(snap.nodes().iter().count(), snap.nodes().len());
                }
            })
        })
        .collect();
    commit_at(&store, 1, |txn| {
        for i in 0..20 {
            txn.nodes_mut().insert(node(&i.to_string(), 1)).unwrap();
        }
    });
    for round in 0..400_u64 {
        let name = (round % 20).to_string();
        commit_at(&store, 2 + round, |txn| {
            if txn.nodes_mut().delete(name.as_str()).unwrap().is_some() {
                txn.checks_mut().insert(check(&name, 0, &[&name])).unwrap();
            } else {
                txn.checks_mut().delete((name.as_str(), 0)).unwrap();
                txn.nodes_mut().insert(node(&name, 1)).unwrap();
            }
        });
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    store.snapshot().check().unwrap();
}

#[test]
fn a_page_ends_where_the_next_begins() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 3, |txn| {
        for id in ["a", "b", "c", "d", "e"] {
            txn.services_mut().insert(tagged(id, &["x"])).unwrap();
        }
    });
    let snap = store.snapshot();
    let query = |db: &CatalogView, tag: &str| -> Vec<String> {
        ids(db.services().by_tags(tag))
            .into_iter()
            .map(String::from)
            .collect()
    };
    assert_eq!(query(&snap, "x").len(), 5);
    let mut page = snap.services().by_tags("x");
    let start = page.cursor().unwrap();
    assert_eq!(ids(page.by_ref().take(2)), ["a", "b"]);
    let cursor = page.cursor().unwrap();
    assert_eq!(cursor.position(), snap.position());
    // What it is, and nothing else, comes back from text and from serde.
    assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
    let json = serde_json::to_string(&cursor).unwrap();
    assert_eq!(json, format!("\"{cursor}\""));
    assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
    assert_eq!(page.count(), 3);

    // The record it stands at goes, others come: each page is of its own snapshot.
    commit_at(&store, 4, |txn| {
        let mut services = txn.services_mut();
        services.delete("b").unwrap();
        services.delete("d").unwrap();
        services.insert(tagged("aa", &["x"])).unwrap();
        services.insert(tagged("bb", &["x"])).unwrap();
        services.insert(tagged("z", &["y"])).unwrap();
    });
    let later = store.snapshot();
    let services = later.services();
    let rest = services.by_tags("x").resume(&cursor).unwrap();
    assert_eq!(ids(rest), ["bb", "c", "e"]);
    let mut rest = services.by_tags("x").resume(&cursor).unwrap();
    assert!(rest.next().is_some());
    let further = rest.cursor().unwrap();
    assert_eq!(
        ids(services.by_tags("x").resume(&further).unwrap()),
        ["c", "e"]
    );
    assert_eq!(services.by_tags("x").resume(&start).unwrap().count(), 5);
    rest.by_ref().for_each(drop);
    assert_eq!(rest.cursor(), None);
    let mut back = services.by_tags("x");
    assert_eq!(back.next_back().unwrap().id, "e");
    let cursor_back = back.cursor_back().unwrap();
    let rest = services.by_tags("x").resume(&cursor_back).unwrap();
    assert_eq!(ids(rest.rev()), ["c", "bb", "aa", "a"]);

    // Another query's, another history's, or nobody's.
    for other in [
        services.by_tags("y").resume(&cursor).err(),
        services.tags_index().iter().resume(&cursor).err(),
        services.by_node("x").resume(&cursor).err(),
    ] {
        assert_eq!(other, Some(CursorError::OtherQuery));
    }
    let other = Store::<Catalog>::with_options(StoreOptions {
        history: HistoryId(7),
        ..StoreOptions::default()
    });
    assert_eq!(
        other
            .snapshot()
            .services()
            .by_tags("x")
            .resume(&cursor)
            .err(),
        Some(CursorError::OtherHistory {
            cursor: HistoryId::UNNAMED,
            now: HistoryId(7)
        })
    );
    let text = cursor.to_string();
    for bad in [
        "",
        "0",
        "zz",
        &text[..8],
        &format!("02{}", &text[2..]),
        &format!("01f0{}", &text[4..]),
    ] {
        assert_eq!(bad.parse::<Cursor>(), Err(CursorError::Malformed), "{bad}");
    }
    // Made up: a key that the query does not reach.
    let made_up = format!("{}7a", &text[..60]).parse::<Cursor>().unwrap();
    assert_eq!(
        services.by_tags("x").resume(&made_up).err(),
        Some(CursorError::OtherQuery)
    );
}

#[test]
fn a_copy_of_an_iterator_has_its_place() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        for id in ["xa", "xb", "xc", "xd"] {
            txn.services_mut()
                .insert(tagged(id, &["a", "xx", "xy"]))
                .unwrap();
        }
    });
    let rest = |db: &CatalogView| -> Vec<Vec<String>> {
        let services = db.services();
        let query = || services.tags_index().prefix("x");
        let mut rows = query();
        rows.by_ref().take(2).for_each(drop);
        let copy = rows.clone();
        let cursors = [rows.cursor(), copy.cursor()].map(Option::unwrap);
        let rests = cursors.map(|cursor| query().resume(&cursor).unwrap());
        let owned = |rows: Rows<'_, Service>| rows.map(|row| row.id.clone()).collect();
        rests.into_iter().chain([rows, copy]).map(owned).collect()
    };
    let tracked = store.watch(|db| rest(db)).0.value;
    for rests in [rest(&store.snapshot()), tracked] {
        for rest in rests {
            assert_eq!(rest, ["xc", "xd", "xa", "xb", "xc", "xd"]);
        }
    }
}

#[test]
fn a_query_tells_what_it_reads() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        for (id, node) in [("a", "n1"), ("b", "n1"), ("c", "n2")] {
            txn.services_mut().insert(service(id, node, "web")).unwrap();
        }
    });
    let snap = store.snapshot();
    let services = snap.services();
    let mut rows = services.by_node("n1");
    assert!(rows.next().is_some());
    let explain = rows.explain();
    assert_eq!(
        (explain.table, explain.index, explain.entries),
        ("services", Some("node"), 2)
    );
    assert_eq!(
        explain.to_string(),
        "services.node: 2 entries, those that begin with \"n1\""
    );
    let text = |rows: Rows<'_, Service>| rows.explain().to_string();
    assert_eq!(
        text(services.iter()),
        "services.primary key: 3 entries, all there are"
    );
    assert_eq!(
        text(services.range("b".."x")),
        "services.primary key: 2 entries, from \"b\" to before \"x\""
    );
    assert_eq!(
        text(services.range("b"..)),
        "services.primary key: 2 entries, from \"b\""
    );
    let both = services
        .node_index()
        .matching("n1")
        .and(services.port_index().matching(4));
    let entries: Vec<_> = both
        .explain()
        .iter()
        .map(|one| (one.index, one.entries))
        .collect();
    assert_eq!(entries, [(Some("node"), 2), (Some("port"), 0)]);
}

/// Routes to networks, by a key that is a network and by an index that is not unique.
#[cfg(feature = "ipnet")]
#[test]
fn the_longest_prefix_of_an_address() {
    use highwater::{Schema, Table};
    use ipnet::IpNet;
    use serde::{Deserialize, Serialize};
    use std::net::IpAddr;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    struct Route {
        #[primary_key]
        net: IpNet,
        #[index]
        via: IpNet,
    }

    #[derive(Schema)]
    struct Routing {
        routes: Route,
    }

    let store = Store::<Routing>::new();
    let mut txn = store.write().unwrap();
    for (net, via) in [
        ("0.0.0.0/0", "10.0.0.0/8"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.0.0/16", "::/0"),
        ("fd00::/8", "10.1.0.0/16"),
    ] {
        let (net, via) = (net.parse().unwrap(), via.parse().unwrap());
        txn.routes_mut().insert(Route { net, via }).unwrap();
    }
    txn.commit().unwrap();
    let found = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        let (answer, _) = store.watch(|db| {
            let route = db.routes().longest_prefix(address);
            let via = db.routes().via_index().longest_prefix(address);
            (
                route.map(|route| route.net.to_string()),
                via.map(|route| route.net.to_string()).collect::<Vec<_>>(),
            )
        });
        let snap = store.snapshot();
        let untracked = snap
            .routes()
            .longest_prefix(address)
            .map(|route| route.net.to_string());
        assert_eq!(untracked, answer.value.0);
        answer.value
    };
    let expect = |net: &str, via: &[&str]| {
        (
            Some(net.to_owned()),
            via.iter().map(|s| (*s).to_owned()).collect(),
        )
    };
    assert_eq!(found("10.1.2.3"), expect("10.1.0.0/16", &["fd00::/8"]));
    assert_eq!(
        found("10.2.2.3"),
        expect("10.0.0.0/8", &["0.0.0.0/0", "10.0.0.0/8"])
    );
    assert_eq!(found("192.168.0.1"), expect("0.0.0.0/0", &[]));
    assert_eq!(found("fd00::1"), expect("fd00::/8", &["10.1.0.0/16"]));
    assert_eq!(found("::1"), (None, vec!["10.1.0.0/16".to_owned()]));
}

/// Services by number; a revision changes the note alone.
fn numbered(numbers: std::ops::Range<u32>, note: u32) -> impl Iterator<Item = Service> {
    numbers.map(move |i| Service {
        note,
        ..service(&format!("s{i:05}"), &format!("n{:03}", i / 20), "web")
    })
}

fn load(store: &Store<Catalog>, records: u32) {
    let mut txn = store.write().unwrap();
    for record in numbered(0..records, 0) {
        txn.services_mut().insert(record).unwrap();
    }
    txn.commit().unwrap();
}

#[test]
fn stats_say_what_there_is() {
    let store = Store::<Catalog>::new();
    let empty = store.stats();
    assert_eq!((empty.records(), empty.index_entries()), (0, 0));
    assert_eq!((empty.live_bytes, empty.pinned_bytes), (0, 0));
    load(&store, 100);
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(node("n", 1)).unwrap();
    // What is not committed is not counted.
    assert_eq!(store.stats().records(), 100);
    txn.commit().unwrap();
    let (_, _watch) = store.watch(|db| db.nodes().len());

    let stats = store.stats();
    assert_eq!(
        (stats.position, stats.oldest),
        (store.position(), store.position())
    );
    let tables: Vec<_> = stats
        .tables
        .iter()
        .map(|table| (table.name, table.records, table.index_entries))
        .collect();
    // By node, and by name and node.
    assert_eq!(
        tables,
        [("services", 100, 200), ("nodes", 1, 0), ("checks", 0, 0)]
    );
    assert_eq!((stats.records(), stats.index_entries()), (101, 200));
    assert_eq!(
        stats.live_bytes,
        stats.tables.iter().map(|table| table.bytes).sum::<u64>()
    );
    assert!(stats.tables[0].bytes > 300 * 32 && stats.tables[2].bytes == 0);
    assert_eq!((stats.versions, stats.watchers), (1, 1));
    store.collect();
    let stats = store.stats();
    assert_eq!((stats.pinned_bytes, stats.nodes.leaves), (0, 301));
    assert!(stats.reserved_bytes >= stats.live_bytes);
}

#[test]
fn a_held_snapshot_pins_its_own_nodes_alone() {
    const RECORDS: u32 = 2000;
    let store = Store::<Catalog>::new();
    load(&store, RECORDS);
    store.collect();
    let held = store.snapshot();
    let own = store.stats().live_bytes;
    let mut most = 0;
    for round in 1..6 {
        for record in numbered(0..RECORDS, round) {
            let mut txn = store.write().unwrap();
            txn.services_mut().update(record).unwrap();
            txn.commit().unwrap();
            if store.position().index.0.is_multiple_of(64) {
                let stats = store.stats();
                most = most.max(stats.live_bytes + stats.pinned_bytes);
                assert!(
                    stats.pinned_bytes <= own + stats.live_bytes * 3 / 10,
                    "{stats:?}"
                );
            }
        }
    }
    assert!(most > own * 3 / 2, "the snapshot pins something");
    let stats = store.stats();
    assert_eq!((stats.versions, stats.oldest), (2, held.position()));
    assert_eq!(held.services().get("s00007").unwrap().note, 0);
    // Dropping it frees nothing; the commits that follow do, each a bounded part.
    drop(held);
    let mut nodes = store.stats().nodes.leaves;
    assert_eq!(nodes, stats.nodes.leaves);
    for record in numbered(0..20, 9) {
        let mut txn = store.write().unwrap();
        txn.services_mut().update(record).unwrap();
        txn.commit().unwrap();
        let now = store.stats().nodes.leaves;
        assert!(
            now < nodes && now + 400 > nodes,
            "{nodes} leaves, then {now}"
        );
        nodes = now;
    }
    store.collect();
    let stats = store.stats();
    assert_eq!((stats.pinned_bytes, stats.versions), (0, 1));
}

#[test]
fn what_a_restore_replaced_goes_in_steps() {
    let store = Store::<Catalog>::new();
    let mut empty = Vec::new();
    store.snapshot().write_image(&mut empty).unwrap();
    load(&store, 20_000);
    store.collect();
    let before = store.stats();
    store.rewind(&empty[..]).unwrap();
    let after = store.stats();
    assert_eq!((after.records(), after.live_bytes), (0, 0));
    assert!(after.pinned_bytes > before.live_bytes * 9 / 10, "{after:?}");
    // Commits go on, and each frees a part of it.
    load(&store, 1);
    assert!(store.stats().pinned_bytes < after.pinned_bytes);
    // A writer does not wait for a collection's end, nor a reader for anything.
    thread::scope(|scope| {
        scope.spawn(|| store.collect());
        for round in 1..50 {
            let mut txn = store.write().unwrap();
            txn.nodes_mut().upsert(node("n", round)).unwrap();
            txn.commit().unwrap();
            assert_eq!(store.snapshot().services().len(), 1);
        }
    });
    store.collect();
    assert_eq!(store.stats().pinned_bytes, 0);
}

#[test]
fn changes_between_snapshots() {
    let store = Store::<Catalog>::new();
    let empty = store.snapshot();
    load(&store, 300);
    let before = store.snapshot();
    let mut txn = store.write().unwrap();
    txn.services_mut().delete("s00007").unwrap();
    txn.services_mut()
        .upsert(service("s00100", "n", "db"))
        .unwrap();
    txn.services_mut()
        .insert(service("s00100x", "n", "db"))
        .unwrap();
    txn.commit().unwrap();
    let after = store.snapshot();
    let changes = |new: &Snapshot<Catalog>, old: &Snapshot<Catalog>| -> Vec<_> {
        let diff = new.services().diff(&old.services());
        let name = |row: Option<&highwater::Row<Service>>| row.map(|row| row.name.clone());
        diff.map(|change| {
            let row = change.after.or(change.before).unwrap();
            (row.id.clone(), name(change.before), name(change.after))
        })
        .collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        changes(&after, &before),
        [
            ("s00007".to_owned(), some("web"), None),
            ("s00100".to_owned(), some("web"), some("db")),
            ("s00100x".to_owned(), None, some("db")),
        ]
    );
    assert_eq!(changes(&before, &empty).len(), 300);
    assert_eq!(changes(&empty, &before).len(), 300);
    assert!(changes(&after, &after).is_empty());

    // A copy of another store: all is compared, nothing differs.
    let mut image = Vec::new();
    after.write_image(&mut image).unwrap();
    let copy = Store::<Catalog>::from_image(&image[..]).unwrap();
    assert!(changes(&copy.snapshot(), &after).is_empty());
    assert_eq!(changes(&copy.snapshot(), &before).len(), 3);

    // In a tracked query both tables were read.
    let (_, watch) = store.watch(|db| db.services().diff(&after.services()).count());
    load(&Store::new(), 1);
    assert!(!watch.has_fired());
    let mut txn = store.write().unwrap();
    txn.services_mut().delete("s00200").unwrap();
    txn.commit().unwrap();
    assert!(watch.has_fired());
}

#[test]
fn counts_and_jumps_pass_nothing_and_are_tracked_as_what_they_pass() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    for n in 0..300 {
        let node = ["n1", "n2"][n % 2];
        let service = service(&format!("s{n:03}"), node, "web");
        txn.services_mut().insert(service).unwrap();
    }
    // A transaction counts its own writes, before and after it commits.
    assert_eq!(txn.services().by_node("n1").count(), 150);
    txn.commit().unwrap();
    let snap = store.snapshot();
    let services = snap.services();
    assert_eq!(services.range("s100".."s200").count(), 100);
    assert_eq!(services.prefix("s2").count(), 100);
    assert_eq!(services.by_node("n3").count(), 0);
    assert_eq!(services.range(.."s037").count(), 37);
    let id = |row: Option<&highwater::Row<Service>>| row.map(|row| row.id.clone());
    assert_eq!(id(services.iter().nth(123)).as_deref(), Some("s123"));
    assert_eq!(id(services.iter().nth(300)), None);
    assert_eq!(
        id(services.by_node("n2").nth_back(1)).as_deref(),
        Some("s297")
    );
    assert_eq!(id(services.by_node("n2").last()).as_deref(), Some("s299"));
    let mut page = services.iter().skip(100).take(10);
    assert_eq!(id(page.next()).as_deref(), Some("s100"));
    let mut walk = services.by_node("n1");
    walk.nth(9).unwrap();
    let rest = services.by_node("n1").resume(&walk.cursor().unwrap());
    assert_eq!(id(rest.unwrap().next()).as_deref(), Some("s020"));

    // Up to what it came to, a jump has read everything; behind, nothing. A count has read all, and the
    // last only itself and what is after it.
    let (_, jumped) = store.watch(|db| id(db.services().iter().nth(20)));
    let (_, last) = store.watch(|db| id(db.services().iter().last()));
    let (_, counted) = store.watch(|db| db.services().range("s100".."s200").count());
    let delete = |key: &str| {
        let mut txn = store.write().unwrap();
        txn.services_mut().delete(key).unwrap().unwrap();
        txn.commit().unwrap();
    };
    delete("s021");
    delete("s200");
    assert!(!jumped.has_fired() && !counted.has_fired());
    delete("s003");
    assert!(jumped.has_fired() && !counted.has_fired());
    delete("s150");
    assert!(counted.has_fired() && !last.has_fired());
    delete("s299");
    assert!(last.has_fired());
}
