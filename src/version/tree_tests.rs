//! Query stamps against the truth, and the shapes of nodes: the tree, edited as `version/` does.

use super::Versions;
use crate::tree::{RawTree, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Value for Arc<u64> {}

#[derive(Clone, Debug)]
enum Query {
    Point(Vec<u8>),
    Prefix(Vec<u8>),
    Range(Vec<u8>, Option<Vec<u8>>),
}

impl Query {
    fn covers(&self, key: &[u8]) -> bool {
        match self {
            Query::Point(k) => k == key,
            Query::Prefix(p) => key.starts_with(p),
            Query::Range(lo, hi) => key >= &lo[..] && hi.as_ref().is_none_or(|hi| key < &hi[..]),
        }
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(b"ab".to_vec()), 0..7),
        prop::collection::vec(prop::sample::select(b"abcdefgh".to_vec()), 0..4),
        any::<u8>().prop_map(|b| vec![b'a', b]),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        key().prop_map(Query::Point),
        key().prop_map(Query::Prefix),
        (key(), prop::option::of(key())).prop_map(|(a, b)| match b {
            Some(b) if a > b => Query::Range(b, Some(a)),
            b => Query::Range(a, b),
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// `stamps_model` of the design: an index is never earlier than the last change of what the
    /// query covers and never falls. Two runs that publish at other times agree on every stamp.
    #[test]
    fn stamps_are_never_early_and_never_fall(
        ops in prop::collection::vec((key(), any::<bool>()), 1..150),
        queries in prop::collection::vec(query(), 1..30),
        batch in 2..9usize,
    ) {
        let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
        let batched = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
        let mut edition = batched.edit();
        let mut live = BTreeMap::new();
        let mut changed: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut before = vec![0; queries.len()];
        for (i, (key, put)) in ops.iter().enumerate() {
            let stamp = i as u64 + 1;
            let mut single = versions.edit();
            if *put {
                single.insert(0, key, Arc::new(stamp), stamp);
                edition.insert(0, key, Arc::new(stamp), stamp);
                live.insert(key.clone(), stamp);
                changed.insert(key.clone(), stamp);
            } else {
                let there = live.remove(key).is_some();
                prop_assert_eq!(single.remove(0, key, stamp), there);
                edition.remove(0, key, stamp);
                if there {
                    changed.insert(key.clone(), stamp);
                }
            }
            single.check(u64::MAX);
            drop(single.publish(()));
            if i % batch == 0 {
                drop(edition.publish(()));
                edition = batched.edit();
            }
            let current = versions.current();
            let tree = current.tree::<Arc<u64>>(0);
            prop_assert_eq!(tree.stamps(), edition.tree::<Arc<u64>>(0).stamps());
            for (query, before) in queries.iter().zip(&mut before) {
                let index = match query {
                    Query::Point(key) => match tree.get(key) {
                        Some(value) => **value,
                        None => tree.absent_stamp(key),
                    },
                    Query::Prefix(prefix) => tree.prefix_stamp(prefix),
                    Query::Range(lo, hi) => tree.range_stamp(lo, hi.as_deref()),
                };
                let truth = changed.iter().filter(|(k, _)| query.covers(k)).map(|(_, s)| *s).max();
                prop_assert!(index >= truth.unwrap_or(0), "{:?}: {} before {:?}", query, index, truth);
                prop_assert!(index >= *before, "{:?}: fell from {} to {}", query, before, index);
                *before = index;
            }
        }
    }

    /// A tree built anew from its keys, with the stamps of the old one put back, is the same tree.
    #[test]
    fn stamps_can_be_put_back(ops in prop::collection::vec((key(), any::<bool>()), 1..100)) {
        let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
        let mut edition = versions.edit();
        let mut live = BTreeMap::new();
        for (i, (key, put)) in ops.iter().enumerate() {
            let stamp = i as u64 + 1;
            if *put {
                edition.insert(0, key, Arc::new(stamp), stamp);
                live.insert(key.clone(), stamp);
            } else {
                edition.remove(0, key, stamp);
                live.remove(key);
            }
        }
        let stamps = edition.tree::<Arc<u64>>(0).stamps();
        let last = ops.len() as u64;
        edition.reset(0, last);
        for (key, stamp) in &live {
            edition.insert(0, key, Arc::new(*stamp), last);
        }
        prop_assert!(edition.set_stamps(0, &stamps, last));
        prop_assert_eq!(edition.tree::<Arc<u64>>(0).stamps(), stamps.clone());
        edition.check(u64::MAX);
        let mut forged = stamps.clone();
        forged[0].below = last + 1;
        prop_assert!(!edition.set_stamps(0, &forged, last));
        prop_assert!(!edition.set_stamps(0, &stamps[1..], last));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// What is cut off at once is what is removed one by one: keys, shape, and the stamps that are
    /// left. A version or a savepoint from before has everything still.
    #[test]
    fn what_is_cut_is_what_is_removed(
        keys in prop::collection::btree_set(key(), 0..120),
        published in 0..120_usize,
        prefixes in prop::collection::vec((key(), any::<bool>()), 1..6),
    ) {
        let empty = || vec![RawTree::empty::<Arc<u64>>(0), RawTree::empty::<Arc<u64>>(0)];
        let versions = Versions::new(empty(), ());
        let mut edition = versions.edit();
        for (n, key) in keys.iter().enumerate() {
            if n == published {
                drop(edition.publish(()));
                edition = versions.edit();
            }
            edition.insert(0, key, Arc::new(n as u64), 1);
            edition.insert(1, key, Arc::new(n as u64), 1);
        }
        let held = versions.current();
        let before = content(held.tree(0));
        let mut left = keys.clone();
        for (stamp, (prefix, keep)) in (2..).zip(&prefixes) {
            let was = content(edition.tree(0));
            edition.savepoint();
            edition.cut(0, prefix, stamp);
            edition.check(u64::MAX);
            if !keep {
                edition.rollback();
                edition.check(u64::MAX);
                prop_assert_eq!(content(edition.tree(0)), was);
                continue;
            }
            edition.release(1);
            for key in left.extract_if(.., |key| key.starts_with(prefix)) {
                edition.remove(1, &key, stamp);
            }
            prop_assert_eq!(content(edition.tree(0)), content(edition.tree(1)));
            prop_assert_eq!(edition.tree::<Arc<u64>>(0).stamps(), edition.tree::<Arc<u64>>(1).stamps());
        }
        prop_assert_eq!(edition.tree::<Arc<u64>>(0).len(), left.len() as u64);
        prop_assert_eq!(content(held.tree(0)), before);
        drop(edition.publish(()));
        drop(held);
        versions.collect();
        let nodes: usize = versions.usage().nodes.iter().sum();
        let current = versions.current();
        prop_assert_eq!(nodes, current.tree::<Arc<u64>>(0).stamps().len() + current.tree::<Arc<u64>>(1).stamps().len() - 2);
    }
}

/// The keys from the root on, with the values.
fn content(tree: crate::tree::Tree<'_, Arc<u64>>) -> Vec<(Vec<u8>, u64)> {
    let mut all = Vec::new();
    let mut key = Vec::new();
    let mut values = tree.iter();
    while let Some(value) = values.next() {
        values.front_key(&mut key);
        all.push((key.clone(), **value));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// A tree that is built of keys in order is the one that inserting them makes: nodes, stamps,
    /// and what further edits make of it.
    #[test]
    fn what_is_built_is_what_is_inserted(
        keys in prop::collection::btree_set(key(), 0..120),
        later in prop::collection::vec((key(), any::<bool>()), 0..30),
    ) {
        let empty = || vec![RawTree::empty::<Arc<u64>>(0), RawTree::empty::<Arc<u64>>(0)];
        let versions = Versions::new(empty(), ());
        let mut edition = versions.edit();
        for (n, key) in keys.iter().rev().enumerate() {
            edition.insert(0, key, Arc::new((keys.len() - n) as u64), 7);
        }
        let mut site = edition.site();
        site.build(1, (1..).zip(&keys).map(|(n, key)| (key, Arc::new(n))), 7);
        edition.adopt(site);
        edition.check(u64::MAX);
        for step in std::iter::once(None).chain(later.iter().map(Some)) {
            if let Some((key, put)) = step {
                for tree in [0, 1] {
                    if *put {
                        edition.insert(tree, key, Arc::new(0), 9);
                    } else {
                        edition.remove(tree, key, 9);
                    }
                }
                edition.check(u64::MAX);
            }
            let (inserted, built) = (edition.tree(0), edition.tree(1));
            prop_assert_eq!(content(inserted), content(built));
            prop_assert_eq!(inserted.stamps(), built.stamps());
        }
        drop(edition.publish(()));
        let (inserted, built) = (versions.current().size(0), versions.current().size(1));
        prop_assert_eq!(built.0, inserted.0);
        prop_assert!(!later.is_empty() || built.1 <= inserted.1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_diff_is_what_a_map_says(
        first in prop::collection::vec((key(), any::<bool>()), 0..60),
        then in prop::collection::vec((key(), any::<bool>()), 0..60),
        turns in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
        let mut live = BTreeMap::new();
        let mut number = 0;
        let mut apply = |ops: &[(Vec<u8>, bool)], live: &mut BTreeMap<Vec<u8>, u64>| {
            let mut edition = versions.edit();
            for (key, put) in ops {
                number += 1;
                if *put {
                    edition.insert(0, key, Arc::new(number), number);
                    live.insert(key.clone(), number);
                } else {
                    edition.remove(0, key, number);
                    live.remove(key);
                }
            }
            drop(edition.publish(()));
            versions.current()
        };
        let before = apply(&first, &mut live);
        let old = live.clone();
        let after = apply(&then, &mut live);
        let keys: std::collections::BTreeSet<_> = old.keys().chain(live.keys()).collect();
        let pairs = keys.into_iter().map(|key| (old.get(key).copied(), live.get(key).copied()));
        let expected: Vec<_> = pairs.filter(|(before, after)| before != after).collect();
        let mut diff = after.tree::<Arc<u64>>(0).diff(before.tree(0));
        let numbers = |(before, after): (Option<&Arc<u64>>, Option<&Arc<u64>>)| {
            (before.map(|v| **v), after.map(|v| **v))
        };
        prop_assert!(diff.clone().map(numbers).eq(expected.iter().copied()));
        prop_assert!(diff.clone().rev().map(numbers).eq(expected.iter().rev().copied()));
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for &back in turns.iter().cycle() {
            let left = expected.len() - first.len() - last.len();
            prop_assert_eq!(diff.clone().count(), left);
            let found = if back { diff.next_back() } else { diff.next() };
            let Some(found) = found else { break };
            if back { &mut last } else { &mut first }.push(numbers(found));
        }
        prop_assert!(diff.next().is_none() && diff.next_back().is_none());
        first.extend(last.into_iter().rev());
        prop_assert_eq!(&first, &expected);
        let back = before.tree::<Arc<u64>>(0).diff(after.tree(0));
        let back: Vec<_> = back.map(|(before, after)| (after.map(|v| **v), before.map(|v| **v))).collect();
        prop_assert_eq!(back, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// A walk that jumps and counts from both ends is that of a vector.
    #[test]
    fn jumps_and_counts_are_those_of_a_walk(
        keys in prop::collection::btree_set(key(), 0..120),
        query in query(),
        moves in prop::collection::vec((0..4_u8, 0..12_usize), 0..40),
    ) {
        let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
        let mut edition = versions.edit();
        for (n, key) in keys.iter().enumerate() {
            edition.insert(0, key, Arc::new(n as u64), 1);
        }
        let found: Vec<u64> =
            (0..).zip(&keys).filter(|(_, key)| query.covers(key)).map(|(n, _)| n).collect();
        let tree = edition.tree::<Arc<u64>>(0);
        let mut walk = match &query {
            Query::Point(key) => tree.range(key, Some(&[&key[..], &[0]].concat())),
            Query::Prefix(prefix) => tree.prefix(prefix),
            Query::Range(lo, hi) => tree.range(lo, hi.as_deref()),
        };
        let mut model = found.iter();
        prop_assert_eq!(walk.len(), found.len() as u64);
        for (which, n) in moves {
            let (seen, expected) = match which {
                0 => (walk.next(), model.next()),
                1 => (walk.next_back(), model.next_back()),
                2 => (walk.nth(n), model.nth(n)),
                _ => (walk.nth_back(n), model.nth_back(n)),
            };
            prop_assert_eq!(seen.map(|v| **v), expected.copied());
            prop_assert_eq!(walk.len(), model.len() as u64);
        }
        let (seen, expected): (Vec<_>, Vec<_>) = (walk.map(|v| **v).collect(), model.copied().collect());
        prop_assert_eq!(seen, expected);
    }
}

/// Keys of trees with nodes of all sizes: runs beside each other, and chains of prefixes.
fn many_keys() -> impl Strategy<Value = std::collections::BTreeSet<Vec<u8>>> {
    let group = prop_oneof![
        prop::collection::vec(key(), 0..60),
        (key(), 1..300_u16).prop_map(|(prefix, n)| {
            (0..n)
                .map(|i| [&prefix[..], &i.to_be_bytes()].concat())
                .collect()
        }),
        (key(), 1..80_usize).prop_map(|(prefix, n)| {
            (0..n)
                .map(|i| [&prefix[..], &vec![b'a'; i]].concat())
                .collect()
        }),
    ];
    prop::collection::vec(group, 1..5).prop_map(|groups| groups.into_iter().flatten().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Walks that are long enough to look ahead yield what a vector does, from both ends, and know
    /// where they are.
    #[test]
    fn long_walks_are_those_of_a_vector(
        keys in many_keys(),
        query in query(),
        moves in prop::collection::vec((0..4_u8, 0..70_usize), 0..12),
    ) {
        let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
        let mut edition = versions.edit();
        for (n, key) in keys.iter().enumerate() {
            edition.insert(0, key, Arc::new(n as u64), 1);
        }
        let tree = edition.tree::<Arc<u64>>(0);
        let (mut walk, depth) = match &query {
            Query::Prefix(prefix) => (tree.prefix(prefix), tree.depth_of(prefix)),
            Query::Range(lo, hi) => (tree.range(lo, hi.as_deref()), 0),
            Query::Point(_) => (tree.iter(), 0),
        };
        let covers = |key: &[u8]| matches!(query, Query::Point(_)) || query.covers(key);
        let found: Vec<_> = (0..).zip(&keys).filter(|(_, key)| covers(key)).collect();
        let mut entries = tree.entries();
        for (n, key) in (0..).zip(&keys) {
            prop_assert_eq!(entries.next().map(|(key, v)| (key.to_vec(), **v)), Some((key.clone(), n)));
        }
        prop_assert!(entries.next().is_none() && entries.next().is_none());
        let mut model = found.iter();
        let mut at = Vec::new();
        for (which, n) in moves {
            for _ in 0..n {
                let back = which % 2 == 1;
                let (seen, expected) =
                    if back { (walk.next_back(), model.next_back()) } else { (walk.next(), model.next()) };
                prop_assert_eq!(seen.map(|v| **v), expected.map(|(n, _)| *n));
                let Some((_, key)) = expected else { break };
                if back { walk.back_key(&mut at) } else { walk.front_key(&mut at) }
                prop_assert_eq!(&at[..], &key[depth..]);
            }
            prop_assert_eq!(walk.len(), model.len() as u64);
            if which == 2 {
                let copy: Vec<_> = walk.clone().map(|v| **v).collect();
                prop_assert_eq!(copy, model.clone().map(|(n, _)| *n).collect::<Vec<_>>());
            } else if which == 3 {
                let copy: Vec<_> = walk.clone().rev().map(|v| **v).collect();
                prop_assert_eq!(copy, model.clone().rev().map(|(n, _)| *n).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn a_diff_looks_at_what_differs() {
    let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
    let mut edition = versions.edit();
    for n in 0..100_000_u64 {
        edition.insert(0, &n.to_be_bytes(), Arc::new(n), 1);
    }
    drop(edition.publish(()));
    let before = versions.current();
    let mut edition = versions.edit();
    for n in (0..100_000_u64).step_by(1000) {
        edition.insert(0, &n.to_be_bytes(), Arc::new(n), 2);
    }
    drop(edition.publish(()));
    let after = versions.current();
    let mut diff = after.tree::<Arc<u64>>(0).diff(before.tree(0));
    assert_eq!(diff.by_ref().count(), 100);
    // Three levels of nodes and the leaf, for each.
    assert!(diff.looked_at <= 100 * 5, "{} parts", diff.looked_at);
    let mut none = after.tree::<Arc<u64>>(0).diff(after.tree(0));
    assert!(none.next().is_none() && none.looked_at == 0);
}

#[test]
fn the_newest_of_many_that_changed_together_are_found_on_one_path() {
    let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
    let mut edition = versions.edit();
    for n in 0..100_000_u64 {
        edition.insert(0, &n.to_be_bytes(), Arc::new(n), 1);
    }
    drop(edition.publish(()));
    let version = versions.current();
    let mut newest = version.tree::<Arc<u64>>(0).newest(0, |_| 1);
    assert!(newest.by_ref().take(10).map(|n| **n).eq(0..10));
    // Three levels of nodes; each leaf is looked at, and is next.
    assert!(newest.looked_at <= 3 + 2 * 10, "{} looks", newest.looked_at);
}

#[test]
fn building_takes_hostile_keys_in_its_stride() {
    let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
    let long = vec![b'a'; 20_000];
    let edition = versions.edit();
    let mut site = edition.site();
    let value = Arc::new(1);
    let keys = (0..long.len()).map(|n| (&long[..n], Arc::clone(&value)));
    site.build(0, keys, 1);
    assert_eq!(Arc::strong_count(&value), long.len() + 1);
    // A place that is not taken over leaves nothing.
    drop(site);
    assert_eq!(Arc::strong_count(&value), 1);
    let mut edition = edition;
    let mut site = edition.site();
    let keys = (0..long.len()).map(|n| (&long[..n], Arc::clone(&value)));
    std::thread::scope(|scope| scope.spawn(|| site.build(0, keys, 1)).join()).unwrap();
    edition.adopt(site);
    edition.check(u64::MAX);
    let tree = edition.tree::<Arc<u64>>(0);
    assert_eq!(tree.len(), 20_000);
    assert!(tree.get(&long[..19_999]).is_some() && tree.get(&long).is_none());
    assert!(tree.prefixes(&long, b"b").is_empty());
    // A node for each key but the last, which is a leaf, and a leaf for each of those.
    drop(edition.publish(()));
    versions.collect();
    assert_eq!(versions.usage().nodes, [20_000, 19_999, 0]);
    drop(versions);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
#[should_panic(expected = "in order")]
fn keys_out_of_order_are_refused() {
    let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
    let mut site = versions.edit().site();
    let keys = [b"b", b"a"];
    site.build(0, keys.into_iter().map(|key| (key, Arc::new(1))), 1);
}

#[test]
fn nodes_grow_and_shrink() {
    let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
    let mut edition = versions.edit();
    let mut stamp = 0;
    for round in 0..3 {
        for byte in 0..=255u8 {
            stamp += 1;
            edition.insert(0, &[b'k', byte, round], Arc::new(stamp), stamp);
            edition.check(u64::MAX);
        }
        for byte in (0..=255u8).rev().step_by(2).chain((0..=255).step_by(2)) {
            stamp += 1;
            assert!(edition.remove(0, &[b'k', byte, round], stamp));
            edition.check(u64::MAX);
        }
        assert_eq!(edition.tree::<Arc<u64>>(0).len(), 0);
    }
}

#[test]
fn long_chains_of_prefixes_neither_recurse_nor_leak() {
    let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
    let long = vec![b'a'; 20_000];
    let mut edition = versions.edit();
    for n in 0..long.len() {
        edition.insert(0, &long[..n], Arc::new(n as u64), 1);
    }
    let tree = edition.tree::<Arc<u64>>(0);
    assert_eq!(tree.iter().rev().map(|v| **v).next(), Some(19_999));
    assert!(tree.get(&long[..19_999]).is_some() && tree.get(&long).is_none());
    assert!(tree.prefixes(&long, b"b").is_empty());
    assert_eq!(tree.range_stamp(&long[..10_000], Some(&long)), 1);
    edition.check(u64::MAX);
    drop(edition.publish(()));
    drop(versions);
}

#[test]
#[should_panic(expected = "holds")]
fn a_tree_of_another_type_is_refused() {
    #[derive(Clone)]
    struct Other(#[expect(dead_code, reason = "only its type matters")] Arc<u32>);
    impl Value for Other {}
    let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
    let _ = versions.current().tree::<Other>(0).len();
}

#[test]
fn prefixes_of_terminated_text() {
    let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
    let mut edition = versions.edit();
    let keys: &[&[u8]] = &[
        b"\0\0",
        b"/a\0\0",
        b"/a/b\0\0",
        b"/a\0\xffc\0\0",
        b"/abc\0\0",
    ];
    for (n, key) in keys.iter().enumerate() {
        edition.insert(0, key, Arc::new(n as u64), 1);
    }
    let tree = edition.tree::<Arc<u64>>(0);
    let find = |query: &[u8]| tree.prefixes(query, &[0, 0]).to_vec();
    assert_eq!(find(b"/a/b/c"), [0, 2, 4]);
    assert_eq!(find(b"/a/c"), [0, 2]);
    assert_eq!(find(b"/a\0\xffd"), [0, 2]);
    assert_eq!(find(b"/a\0\xffcd"), [0, 2, 5]);
    assert_eq!(find(b"/ab"), [0, 2]);
    assert_eq!(find(b"/abcd"), [0, 2, 4]);
    assert_eq!(find(b"/"), [0]);
    assert_eq!(find(b"x"), [0]);
}

#[test]
fn stamps_of_nodes_that_a_version_sees_are_not_touched() {
    let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
    let mut edition = versions.edit();
    for key in [b"a", b"b", b"c"] {
        edition.insert(0, key, Arc::new(1), 1);
    }
    drop(edition.publish(()));
    let held = versions.current();
    let before = held.tree::<Arc<u64>>(0).stamps();
    // The root is made anew, its other leaves are shared.
    let mut edition = versions.edit();
    edition.insert(0, b"a", Arc::new(2), 2);
    let mut stamps = edition.tree::<Arc<u64>>(0).stamps();
    for stamp in &mut stamps {
        stamp.below = 9;
    }
    assert!(!edition.set_stamps(0, &stamps, 9));
    assert_eq!(held.tree::<Arc<u64>>(0).stamps(), before);
}
