//! Queries: what they find in every index, and how that is counted and explained.

use crate::store_schema::*;
use allocation_counter::measure;
use highwater::{LogIndex, Rows, Store};

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

/// Reads one after the other, from either end, and compares what is said to be left with what is.
fn hints_hold(mut rows: Rows<'_, Service>, back: impl Fn(usize) -> bool) {
    for i in 0.. {
        let left = rows.clone().count();
        let (least, most) = rows.size_hint();
        let most = most.unwrap();
        assert!(
            least <= left && left <= most,
            "{least}..={most}, not {left}"
        );
        let row = if back(i) {
            rows.next_back()
        } else {
            rows.next()
        };
        if row.is_none() {
            assert_eq!((left, rows.size_hint()), (0, (0, Some(0))));
            return;
        }
    }
}

#[test]
fn how_many_are_left_is_said_where_the_number_is_near() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    let records = (0..20_000).map(|i| service(&format!("{:05}", i * 7919 % 20_000), "n", "s"));
    txn.services_mut().insert_all(records).unwrap();
    txn.services_mut()
        .insert(service("x", "other", "s"))
        .unwrap();
    txn.commit().unwrap();
    let snap = store.snapshot();
    let services = snap.services();

    let exactly = |rows: &Rows<'_, Service>, left| assert_eq!(rows.size_hint(), (left, Some(left)));
    let mut all = services.iter();
    exactly(&all, 20_001);
    assert!(all.next().is_some() && all.next_back().is_some() && all.next().is_some());
    exactly(&all, 19_998);
    exactly(&services.prefix("007"), 100);
    exactly(&services.by_node("n"), 20_000);
    exactly(&services.by_node("other"), 1);
    exactly(&services.by_node("none"), 0);
    exactly(&services.range("5".."1"), 0);
    for query in [
        services.iter(),
        services.prefix("1234"),
        services.range("005".."0071"),
        services.range("19990"..),
        services.by_node("other"),
    ] {
        hints_hold(query.clone(), |_| false);
        hints_hold(query.clone(), |_| true);
        hints_hold(query, |i| i % 3 == 0);
    }
    let mut skipped = services.iter();
    assert!(skipped.nth(10_000).is_some() && skipped.nth_back(5_000).is_some());
    let (least, most) = skipped.size_hint();
    assert!(least <= 4_999 && most.is_some_and(|most| most >= 4_999));

    let collected = |rows: Rows<'_, Service>| {
        let measured = measure(|| drop(rows.collect::<Vec<_>>()));
        measured.bytes_total
    };
    // The vector, and what a long walk needs to look ahead.
    assert!(collected(services.iter()) < 20_001 * 8 + 4096);
    assert!(collected(services.by_node("n")) < 20_001 * 8 + 4096);
}

#[test]
fn a_tracked_reader_is_told_only_what_it_has_read() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    txn.services_mut().insert(service("a", "n", "s")).unwrap();
    txn.commit().unwrap();
    let (answer, watch) = store.watch(|db| db.services().by_node("n").size_hint());
    assert_eq!(answer.value, (0, None));
    let mut txn = store.write().unwrap();
    txn.services_mut().insert(service("b", "n", "s")).unwrap();
    txn.commit().unwrap();
    assert!(!watch.has_fired());
}
