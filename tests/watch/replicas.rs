//! Random logs: exactly the watches of what an entry has changed fire, and every replica gives each query
//! the same index.

use crate::put;
use crate::store_schema::*;
use highwater::{LogIndex, Store, WriteTxn};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A query of the services.
#[derive(Clone, Debug)]
enum Query {
    Point(String),
    Prefix(String),
    Range(String, Option<String>),
    Page(String, usize),
    LastOf(String),
    OnNode(String),
    NodePrefix(String),
    NodeRange(String, Option<String>),
}

/// What it finds: each record's key and when it was changed.
fn find(db: &CatalogView, query: &Query) -> Vec<(String, u64)> {
    let services = db.services();
    let found = |row: &highwater::Row<Service>| (row.id.clone(), row.modify_index().0);
    match query {
        Query::Point(id) => services.get(id).map(found).into_iter().collect(),
        Query::Prefix(prefix) => services.prefix(prefix).map(found).collect(),
        Query::Range(lo, Some(hi)) => services
            .range(lo.as_str()..hi.as_str())
            .map(found)
            .collect(),
        Query::Range(lo, None) => services.range(lo.as_str()..).map(found).collect(),
        Query::Page(lo, len) => services
            .range(lo.as_str()..)
            .take(*len)
            .map(found)
            .collect(),
        Query::LastOf(prefix) => services
            .prefix(prefix)
            .next_back()
            .map(found)
            .into_iter()
            .collect(),
        Query::OnNode(node) => services.by_node(node).map(found).collect(),
        Query::NodePrefix(prefix) => services.node_index().prefix(prefix).map(found).collect(),
        Query::NodeRange(lo, Some(hi)) => {
            let rows = services.node_index().range(lo.as_str()..hi.as_str());
            rows.map(found).collect()
        }
        Query::NodeRange(lo, None) => services
            .node_index()
            .range(lo.as_str()..)
            .map(found)
            .collect(),
    }
}

fn word() -> impl Strategy<Value = String> {
    "[abc]{0,3}"
}

fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        word().prop_map(Query::Point),
        (word(), prop::option::of(word())).prop_map(|(lo, hi)| Query::Range(lo, hi)),
        (word(), 1..4_usize).prop_map(|(lo, len)| Query::Page(lo, len)),
        word().prop_map(Query::LastOf),
        word().prop_map(Query::OnNode),
        (word(), prop::option::of(word())).prop_map(|(lo, hi)| Query::NodeRange(lo, hi)),
    ]
}

/// Every prefix of up to two letters, of keys and of nodes.
fn prefixes() -> Vec<Query> {
    let letters = ["", "a", "b", "c"];
    let pairs = letters
        .iter()
        .flat_map(|a| letters.iter().map(move |b| format!("{a}{b}")));
    let all: BTreeSet<String> = pairs.collect();
    let both = |prefix: &String| {
        [
            Query::Prefix(prefix.clone()),
            Query::NodePrefix(prefix.clone()),
        ]
    };
    all.iter().flat_map(both).collect()
}

/// What an entry does: a service by its id, set on a node with a note, or deleted.
type Entry = Vec<(String, Option<(String, u32)>)>;

fn apply(txn: &mut WriteTxn<Catalog>, entry: &Entry) {
    for (id, what) in entry {
        match what {
            Some((on, note)) => put(txn, id, on, *note),
            None => drop(txn.services_mut().delete(id).unwrap()),
        }
    }
}

/// Applies all entries after the store's index, the first one being 1, in batches of these sizes, and
/// calls `then` after each.
fn feed(
    store: &Store<Catalog>,
    entries: &[Entry],
    sizes: &[usize],
    mut then: impl FnMut(&Store<Catalog>),
) {
    let mut sizes = sizes.iter().cycle();
    let mut next = usize::try_from(store.position().index.0).unwrap();
    while next < entries.len() {
        let last = entries.len().min(next + sizes.next().unwrap());
        let index = u64::try_from(next).unwrap() + 1;
        let mut txn = at(store, index);
        for (index, entry) in (index..).zip(&entries[next..last]) {
            if txn.index() < LogIndex(index) {
                txn.next_entry(LogIndex(index)).unwrap();
            }
            apply(&mut txn, entry);
        }
        txn.commit().unwrap();
        next = last;
        then(store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A watch on every prefix and on many ranges: a commit fires exactly those whose content it
    /// changes. And the index of each query never falls, is that of the change, and is the same in a
    /// replica that is fed in other batches, and in one that was restored from an image midway.
    #[test]
    fn exactly_what_changed_fires_and_every_replica_says_the_same_index(
        entries in prop::collection::vec(
            prop::collection::vec((word(), prop::option::weighted(0.7, (word(), 0..3_u32))), 0..4),
            1..25,
        ),
        queries in prop::collection::vec(query(), 20..40),
        batches in prop::collection::vec(1..5_usize, 1..5),
        midway in any::<prop::sample::Index>(),
    ) {
        let queries: Vec<Query> = prefixes().into_iter().chain(queries).collect();
        let ask = |store: &Store<Catalog>| -> Vec<_> {
            queries.iter().map(|query| store.watch(|db| find(db, query))).collect()
        };
        let midway = midway.index(entries.len());
        let mut image = Vec::new();
        let first = Store::<Catalog>::new();
        let mut before = ask(&first);
        // The indexes of all queries, after each entry.
        let mut indexes = vec![before.iter().map(|(answer, _)| answer.index).collect::<Vec<_>>()];
        feed(&first, &entries, &[1], |store| {
            let now = ask(store);
            let index = store.position().index;
            for ((query, (was, watch)), (is, _)) in queries.iter().zip(&before).zip(&now) {
                let changed = was.value != is.value;
                assert_eq!(watch.has_fired(), changed, "{query:?} at {index}");
                assert!(is.index >= was.index, "{query:?} at {index}");
                if changed {
                    assert_eq!(is.index, index, "{query:?}");
                }
                if let (Query::Point(_), [(_, modified)]) = (query, &is.value[..]) {
                    assert_eq!(is.index.0, *modified);
                }
            }
            indexes.push(now.iter().map(|(answer, _)| answer.index).collect());
            before = now;
            if index.0 == u64::try_from(midway).unwrap() + 1 {
                store.snapshot().write_image(&mut image).unwrap();
            }
        });
        let same = |store: &Store<Catalog>| {
            let at = usize::try_from(store.position().index.0).unwrap();
            let here: Vec<LogIndex> = ask(store).iter().map(|(answer, _)| answer.index).collect();
            for ((query, here), there) in queries.iter().zip(here).zip(&indexes[at]) {
                assert_eq!(here, *there, "{query:?} at {at}");
            }
        };
        let second = Store::<Catalog>::new();
        feed(&second, &entries, &batches, same);
        let third = Store::<Catalog>::from_image(&image[..]).unwrap();
        same(&third);
        feed(&third, &entries, &batches, same);
    }
}
