//! Each generated method reaches the table and the index it is named after: look-ups agree with a
//! scan of all records, in every table of a schema.

use highwater::{FeedItem, Key, LogIndex, Row, Rows, Schema, Start, Store, Table};
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Key)]
enum Status {
    Passing,
    Warning,
    Critical,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Key)]
struct Id(String);

/// No index: one tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    name: Id,
    rack: u8,
}

/// An index of every kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "services")]
#[index(by_status_node(status, node))]
#[index(unique, by_node_port(node, port))]
struct Service {
    #[primary_key]
    id: Id,
    #[index]
    node: Id,
    #[index(name = "state")]
    status: Status,
    #[index(each)]
    tags: BTreeSet<u8>,
    #[index(each, unique)]
    addresses: Vec<u32>,
    #[index(unique)]
    port: u16,
}

/// A primary key of two fields, and what comes after the trees of the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "checks")]
struct Check {
    #[primary_key]
    node: Id,
    #[primary_key]
    #[index]
    number: u8,
    #[index(unique)]
    serial: u16,
}

#[derive(Schema)]
struct Catalog {
    nodes: Node,
    services: Service,
    checks: Check,
}

fn id() -> impl Strategy<Value = Id> {
    "[ab\0]{0,3}".prop_map(Id)
}

fn nodes() -> impl Strategy<Value = BTreeMap<Id, Node>> {
    btree_map(id(), any::<u8>(), 0..8).prop_map(|all| {
        all.into_iter()
            .map(|(name, rack)| (name.clone(), Node { name, rack }))
            .collect()
    })
}

fn services() -> impl Strategy<Value = BTreeMap<Id, Service>> {
    let status = prop_oneof![
        Just(Status::Passing),
        Just(Status::Warning),
        Just(Status::Critical)
    ];
    btree_map(
        id(),
        (id(), status, btree_set(0..6u8, 0..4), 0..3u32),
        0..20,
    )
    .prop_map(|all| {
        let numbered = all.into_iter().zip(0u16..);
        let service = |((id, (node, status, tags, addresses)), n): ((Id, _), u16)| {
            // What must be unique is made of the number; an address may be there twice.
            let first = u32::from(n) * 4;
            let addresses = (first..first + addresses)
                .chain(first..first + addresses)
                .collect();
            (
                id.clone(),
                Service {
                    id,
                    node,
                    status,
                    tags,
                    addresses,
                    port: 3 * n,
                },
            )
        };
        numbered.map(service).collect()
    })
}

fn checks() -> impl Strategy<Value = BTreeMap<(Id, u8), Check>> {
    btree_set((id(), 0..4u8), 0..20).prop_map(|all| {
        let check = |((node, number), n): ((Id, u8), u16)| {
            (
                (node.clone(), number),
                Check {
                    node,
                    number,
                    serial: 1000 - n,
                },
            )
        };
        all.into_iter().zip(0..).map(check).collect()
    })
}

/// `found` is what a scan of `all` finds, in primary key order.
fn same<'a, K, T: Table + Debug>(
    found: Rows<'_, T>,
    all: &'a BTreeMap<K, T>,
    wanted: impl Fn(&T) -> bool,
) {
    let expected: Vec<&'a T> = all.values().filter(|record| wanted(record)).collect();
    let found: Vec<&Row<T>> = found.collect();
    assert_eq!(
        found.iter().map(|row| &***row).collect::<Vec<_>>(),
        expected
    );
}

fn same_one<K, T: Table + Debug>(
    found: Option<&Row<T>>,
    all: &BTreeMap<K, T>,
    wanted: impl Fn(&T) -> bool,
) {
    assert_eq!(
        found.map(|row| &**row),
        all.values().find(|record| wanted(record))
    );
}

fn check_services(view: &CatalogView, all: &BTreeMap<Id, Service>) {
    let table = view.services();
    same(table.iter(), all, |_| true);
    let ids: BTreeSet<&Id> = all
        .values()
        .flat_map(|service| [&service.id, &service.node])
        .collect();
    for id in ids {
        same_one(table.get(id), all, |service| service.id == *id);
        same(table.by_node(id), all, |service| service.node == *id);
        same(table.by_node(id.0.as_str()), all, |service| {
            service.node == *id
        });
        for status in [Status::Passing, Status::Warning, Status::Critical] {
            let both = |service: &Service| service.status == status && service.node == *id;
            same(table.by_status_node((status, id)), all, both);
        }
        for port in 0..60 {
            let both = |service: &Service| service.node == *id && service.port == port;
            same_one(table.by_node_port((id, port)), all, both);
        }
    }
    for status in [Status::Passing, Status::Warning, Status::Critical] {
        same(table.by_state(status), all, |service| {
            service.status == status
        });
        let leading = table.status_node_index().leading(status).count();
        assert_eq!(leading, table.by_state(status).count());
    }
    for tag in 0..6 {
        same(table.by_tags(tag), all, |service| {
            service.tags.contains(&tag)
        });
        same(table.tags_index().get(tag), all, |service| {
            service.tags.contains(&tag)
        });
    }
    for address in 0..80 {
        let has = |service: &Service| service.addresses.contains(&address);
        same_one(table.by_addresses(address), all, has);
    }
    for port in 0..60 {
        same_one(table.by_port(port), all, |service| service.port == port);
    }
    let ports: Vec<u16> = table
        .port_index()
        .iter()
        .map(|service| service.port)
        .collect();
    let mut expected: Vec<u16> = all.values().map(|service| service.port).collect();
    expected.sort_unstable();
    assert_eq!(ports, expected);
}

fn check_view(
    view: &CatalogView,
    nodes: &BTreeMap<Id, Node>,
    services: &BTreeMap<Id, Service>,
    checks: &BTreeMap<(Id, u8), Check>,
) {
    same(view.nodes().iter(), nodes, |_| true);
    check_services(view, services);
    let table = view.checks();
    same(table.iter(), checks, |_| true);
    for (key, check) in checks {
        assert_eq!(table.get(key).map(|row| &**row), Some(check));
        assert_eq!(table.get((&key.0, key.1)).map(|row| &**row), Some(check));
        same_one(table.by_serial(check.serial), checks, |other| {
            other.serial == check.serial
        });
        same(table.leading(&key.0), checks, |other| {
            other.node == check.node
        });
    }
    for number in 0..4 {
        same(table.by_number(number), checks, |check| {
            check.number == number
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn look_ups_agree_with_scans(
        nodes in nodes(), services in services(), checks in checks(), dropped in 0..20usize,
    ) {
        let store = Store::<Catalog>::new();
        let mut feed = store.feed(Start::Now).unwrap();
        prop_assert!(matches!(feed.try_next(), Ok(Some(FeedItem::Bookmark(_)))));
        let mut txn = store.write().unwrap();
        for node in nodes.values() {
            txn.nodes_mut().insert(node.clone()).unwrap();
        }
        for service in services.values() {
            txn.services_mut().insert(service.clone()).unwrap();
        }
        for check in checks.values() {
            txn.checks_mut().insert(check.clone()).unwrap();
        }
        check_view(&txn, &nodes, &services, &checks);
        let published = txn.commit().unwrap();
        check_view(&store.snapshot(), &nodes, &services, &checks);

        if published > LogIndex::ZERO {
            let Ok(Some(FeedItem::Event(event))) = feed.next(Instant::now()) else {
                panic!("the commit");
            };
            let names: Vec<_> = event.nodes().map(|change| change.after.unwrap().name.clone()).collect();
            assert!(names.iter().eq(nodes.keys()));
            assert_eq!(event.services().count(), services.len());
            assert_eq!(event.checks().count(), checks.len());
        }

        // Some of each table go: their index entries go with them.
        let mut left = services.clone();
        let mut txn = store.write().unwrap();
        for id in services.keys().take(dropped) {
            assert_eq!(*txn.services_mut().delete(id).unwrap().unwrap(), services[id]);
            left.remove(id);
        }
        txn.commit().unwrap();
        check_view(&store.snapshot(), &nodes, &left, &checks);
    }
}
