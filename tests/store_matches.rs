//! Sets of matches that meet: in any nesting, from either end, in pages.

use highwater::{CursorError, Matches, Schema, Store, Table};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Item {
    #[primary_key]
    id: String,
    #[index]
    group: u16,
    #[index(each)]
    tags: BTreeSet<u8>,
    #[index(unique)]
    serial: u16,
}

#[derive(Schema)]
struct Shop {
    items: Item,
}

/// A set of items.
#[derive(Clone, Debug)]
enum Expr {
    All,
    Before(String),
    Beginning(String),
    Group(u16),
    Tag(u8),
    Serial(u16),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>, Box<Expr>),
}

impl Expr {
    fn holds(&self, item: &Item) -> bool {
        match self {
            Expr::All => true,
            Expr::Before(id) => item.id < *id,
            Expr::Beginning(prefix) => item.id.starts_with(prefix.as_str()),
            Expr::Group(group) => item.group == *group,
            Expr::Tag(tag) => item.tags.contains(tag),
            Expr::Serial(serial) => item.serial == *serial,
            Expr::And(a, b) => a.holds(item) && b.holds(item),
            Expr::Or(a, b) => a.holds(item) || b.holds(item),
            Expr::Not(a, b) => a.holds(item) && !b.holds(item),
        }
    }

    fn matches<'a>(&self, db: &'a ShopView) -> Matches<'a, Item> {
        let items = db.items();
        match self {
            Expr::All => items.matching(..),
            Expr::Before(id) => items.matching(..id.as_str()),
            Expr::Beginning(prefix) => items.matching_prefix(prefix.as_str()),
            Expr::Group(group) => items.group_index().matching(*group),
            Expr::Tag(tag) => items.tags_index().matching(*tag),
            Expr::Serial(serial) => items.serial_index().matching(*serial),
            Expr::And(a, b) => a.matches(db).and(b.matches(db)),
            Expr::Or(a, b) => a.matches(db).or(b.matches(db)),
            Expr::Not(a, b) => a.matches(db).and_not(b.matches(db)),
        }
    }
}

fn id() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ab\0]{0,3}").unwrap()
}

fn item() -> impl Strategy<Value = Item> {
    let tags = prop::collection::btree_set(0..4_u8, 0..4);
    (id(), 0..4_u16, tags).prop_map(|(id, group, tags)| Item {
        id,
        group,
        tags,
        serial: 0,
    })
}

fn expr() -> impl Strategy<Value = Expr> {
    let set = prop_oneof![
        Just(Expr::All),
        id().prop_map(Expr::Before),
        id().prop_map(Expr::Beginning),
        (0..4_u16).prop_map(Expr::Group),
        (0..4_u8).prop_map(Expr::Tag),
        (0..12_u16).prop_map(Expr::Serial),
    ];
    set.prop_recursive(6, 24, 2, |inner| {
        let pair = (inner.clone(), inner).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        (pair, 0..3).prop_map(|((a, b), how)| match how {
            0 => Expr::And(a, b),
            1 => Expr::Or(a, b),
            _ => Expr::Not(a, b),
        })
    })
}

fn shop(items: impl IntoIterator<Item = Item>) -> Store<Shop> {
    let store = Store::<Shop>::new();
    let mut txn = store.write().unwrap();
    for item in items {
        txn.items_mut().insert(item).unwrap();
    }
    txn.commit().unwrap();
    store
}

fn ids<'a>(rows: impl Iterator<Item = &'a highwater::Row<Item>>) -> Vec<&'a str> {
    rows.map(|row| row.id.as_str()).collect()
}

proptest! {
    #[test]
    fn sets_are_what_they_are_made_of(
        items in prop::collection::vec(item(), 0..30),
        expr in expr(),
        turns in prop::collection::vec(any::<bool>(), 1..8),
        len in 1..4_usize,
    ) {
        let items: BTreeMap<String, Item> =
            items.into_iter().map(|item| (item.id.clone(), item)).collect();
        let items = (0..).zip(items.into_values()).map(|(serial, item)| Item { serial, ..item });
        let items: Vec<Item> = items.collect();
        let store = shop(items.iter().cloned());
        let snap = store.snapshot();
        let expected: Vec<&str> = items
            .iter()
            .filter(|item| expr.holds(item))
            .map(|item| item.id.as_str())
            .collect();
        prop_assert_eq!(&ids(expr.matches(&snap)), &expected);
        let mut falling = ids(expr.matches(&snap).rev());
        falling.reverse();
        prop_assert_eq!(&falling, &expected);

        // From both ends in turns, and a copy from the midst of it.
        let mut both = expr.matches(&snap);
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (step, back) in turns.iter().copied().cycle().enumerate() {
            if step == 3 {
                let left = expected.len() - first.len() - last.len();
                prop_assert_eq!(both.clone().count(), left);
                prop_assert_eq!(both.clone().rev().count(), left);
            }
            let row = if back { both.next_back() } else { both.next() };
            let Some(row) = row else { break };
            let found = if back { &mut last } else { &mut first };
            found.push(row.id.as_str());
        }
        prop_assert!(both.next().is_none() && both.next_back().is_none());
        first.extend(last.into_iter().rev());
        prop_assert_eq!(&first, &expected);

        // In pages, each of a set that is made anew.
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        let mut page = expr.matches(&snap);
        loop {
            forth.extend(ids(page.by_ref().take(len)));
            let Some(cursor) = page.cursor() else { break };
            page = expr.matches(&snap).resume(&cursor.to_string().parse().unwrap()).unwrap();
        }
        let mut page = expr.matches(&snap);
        loop {
            back.extend(ids(page.by_ref().rev().take(len)));
            let Some(cursor) = page.cursor_back() else { break };
            page = expr.matches(&snap).resume(&cursor).unwrap();
        }
        back.reverse();
        prop_assert_eq!((&forth, &back), (&expected, &expected));

        let mut txn = store.write().unwrap();
        let gone = txn.items_mut().delete_matching(|items| {
            // What a transaction sees is met in the same way.
            items.matching("a"..).and(items.group_index().matching(1))
        });
        let kept: Vec<&Item> = items
            .iter()
            .filter(|item| item.id.as_str() < "a" || item.group != 1)
            .collect();
        prop_assert_eq!(gone.unwrap().len(), items.len() - kept.len());
        let kept = kept.into_iter().filter(|item| expr.holds(item));
        prop_assert!(ids(expr.matches(&txn)).into_iter().eq(kept.map(|item| item.id.as_str())));
    }
}

/// As many as a client may name, on a thread with little room; nested as deep as a loop nests them.
#[test]
fn many_sets_meet_in_little_room() {
    const SETS: u16 = 20_000;
    let on_small_stack = || {
        let store = shop((0..100).map(|serial| Item {
            id: format!("{serial:03}"),
            group: serial * 7 % 100,
            tags: BTreeSet::from([1]),
            serial,
        }));
        let snap = store.snapshot();
        let items = snap.items();
        let group = |group| items.group_index().matching(group);
        let tag = |tag| items.tags_index().matching(tag);
        let any = (0..SETS).map(group).reduce(Matches::or).unwrap();
        assert_eq!(any.clone().count(), 100);
        assert!(any.clone().rev().eq(items.iter().rev()));
        assert_eq!(any.explain().len(), usize::from(SETS));
        let from_the_left = (0..SETS).map(group).reduce(|all, one| one.or(all));
        assert!(from_the_left.unwrap().eq(items.iter()));
        let all = (0..SETS).map(|_| tag(1)).reduce(Matches::and).unwrap();
        assert!(all.eq(items.iter()));
        let none = (1..SETS)
            .map(group)
            .fold(items.matching(..), Matches::and_not);
        assert_eq!(none.map(|item| item.group).collect::<Vec<_>>(), [0]);
        let nested = (0..SETS).fold(group(3), |set, n| match n % 3 {
            0 => set.or(group(n % 100)),
            1 => items.matching(..).and_not(set),
            _ => tag(1).and(set),
        });
        let mut kept: BTreeSet<u16> = [3].into();
        for n in 0..SETS {
            match n % 3 {
                0 => drop(kept.insert(n % 100)),
                1 => kept = (0..100).filter(|group| !kept.contains(group)).collect(),
                _ => {}
            }
        }
        let model = || items.iter().filter(|item| kept.contains(&item.group));
        assert!(nested.clone().eq(model()));
        assert!(nested.rev().eq(model().rev()));
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    thread.spawn(on_small_stack).unwrap().join().unwrap();
}

#[test]
fn a_cursor_is_of_one_set() {
    let store = shop((0..5).map(|serial| Item {
        id: serial.to_string(),
        group: serial % 2,
        tags: BTreeSet::from([1]),
        serial,
    }));
    let snap = store.snapshot();
    let items = snap.items();
    let (even, odd) = (
        items.group_index().matching(0),
        items.group_index().matching(1),
    );
    let tagged = items.tags_index().matching(1);
    let mut page = even.clone().and(tagged.clone());
    assert!(page.next().is_some());
    let cursor = page.cursor().unwrap();
    for other in [
        even.clone(),
        even.clone().or(tagged.clone()),
        even.clone().and_not(tagged.clone()),
        odd.and(tagged.clone()),
        tagged.clone().and(even.clone()),
    ] {
        assert_eq!(other.resume(&cursor).unwrap_err(), CursorError::OtherQuery);
    }
    // A page that was not begun ends where it was to begin.
    let rest = || even.clone().and(tagged.clone()).resume(&cursor).unwrap();
    assert_eq!(rest().cursor().unwrap(), cursor);
    assert_eq!(ids(rest()), ["2", "4"]);
    let mut page = items.range("1"..);
    assert!(page.nth(1).is_some());
    let cursor = page.cursor().unwrap();
    let rest = items.range("1"..).resume(&cursor).unwrap();
    assert_eq!(rest.cursor().unwrap(), cursor);
    // Nor of the rows of one look-up, whose places are other keys.
    let mut rows = items.by_group(0);
    assert!(rows.next().is_some());
    let cursor = rows.cursor().unwrap();
    assert_eq!(
        even.clone().resume(&cursor).unwrap_err(),
        CursorError::OtherQuery
    );
    let mut page = even;
    assert!(page.next().is_some());
    let cursor = page.cursor().unwrap();
    assert_eq!(
        items.by_group(0).resume(&cursor).unwrap_err(),
        CursorError::OtherQuery
    );
}
