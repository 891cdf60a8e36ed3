//! What is read in other ways than by one query after the other.

use crate::item::{Item, ItemReader};
use crate::part::Part;
use crate::site;
use crate::state::{Model, ShopView, State, Stored, stored};
use highwater::{ChangedSince, LogIndex, Row, Rows};
use std::cmp::Reverse;

pub(crate) type Pages<'a> = fn(ItemReader<'a>) -> Rows<'a, Item>;

/// What is read in other ways than by one query after the other: sets of matches, the newest first,
/// page by page. Takes turns at both ends where there are two.
pub(crate) fn check_walks(db: &ShopView, state: &State) {
    check_items(db, state);
    check_parts(db, state);
    check_newest::<Item>(state, |since| db.items().changed_since(since));
    check_newest::<Part>(state, |since| db.parts().changed_since(since));
    check_newest(state, |since| db.tallies().changed_since(since));
}

/// Those that are not older, the newest first.
fn check_newest<'a, T: Model>(state: &State, query: impl Fn(LogIndex) -> ChangedSince<'a, T>) {
    let mut newest: Vec<&Stored<T>> = T::rows(state).values().collect();
    newest.sort_by_key(|(record, _, modified)| (Reverse(*modified), record.id()));
    let middle = newest.get(newest.len() / 2);
    for since in [0, middle.map_or(0, |(.., modified)| *modified)] {
        let expected = newest.iter().filter(|(.., modified)| *modified > since);
        let found = query(LogIndex(since)).map(stored);
        assert!(
            found.eq(expected.map(|stored| (*stored).clone())),
            "since {since}"
        );
    }
}

/// Sets of matches where a primary key has several columns.
fn check_parts(db: &ShopView, state: &State) {
    let parts = db.parts();
    let [zero, one, ..] = site::ids();
    let at = |site| parts.site_index().matching(site);
    let word = |word| parts.word_index().matching(word);
    let found = at(&zero).or(at(&one)).and(word("a").or(word("x")));
    let found = found.and_not(parts.loose_index().matching(0));
    let wanted = state.parts.values().filter(|(part, ..)| {
        let has = |word: &str| part.label == word || part.colors.contains_key(word);
        let loose = part.item.is_none() && part.weight == Some(0);
        (part.site == Some(zero) || part.site == Some(one)) && (has("a") || has("x")) && !loose
    });
    let wanted: Vec<_> = wanted.cloned().collect();
    assert!(found.clone().map(stored).eq(wanted.iter().cloned()));
    assert!(found.rev().map(stored).eq(wanted.into_iter().rev()));
}

fn check_items(db: &ShopView, state: &State) {
    let items = db.items();
    let ids = |rows: &mut dyn Iterator<Item = &Row<Item>>| -> Vec<String> {
        rows.map(|row| row.id.clone()).collect()
    };
    let model = |keep: &dyn Fn(&Item) -> bool| -> Vec<String> {
        let kept = state.items.values().filter(|(item, ..)| keep(item));
        kept.map(|(item, ..)| item.id.clone()).collect()
    };
    let group = |group: u8| items.group_index().matching(group);
    let tag = |tag: &str| items.tags_index().matching(tag);
    let serial = |serial: i8| items.serial_index().matching(serial);
    let has = |item: &Item, tag: &str| item.tags.contains(tag);
    for (mut matches, expected) in [
        (
            group(1).and(tag("x")),
            model(&|item| item.group == 1 && has(item, "x")),
        ),
        (
            tag("x").or(tag("y")).or(serial(1)),
            model(&|item| has(item, "x") || has(item, "y") || item.serial == Some(1)),
        ),
        (
            group(0).or(group(1)).and(tag("xy").or(tag("x"))),
            model(&|item| item.group < 2 && (has(item, "xy") || has(item, "x"))),
        ),
        (
            tag("x").or(group(2)).and_not(tag("y").and_not(serial(0))),
            model(&|item| {
                (has(item, "x") || item.group == 2) && !(has(item, "y") && item.serial != Some(0))
            }),
        ),
    ] {
        assert_eq!(ids(&mut matches.clone()), expected);
        assert_eq!(
            ids(&mut matches.clone().rev()),
            expected.iter().rev().cloned().collect::<Vec<_>>()
        );
        let (mut first, mut last) = (Vec::new(), Vec::new());
        while let Some(row) = matches.next() {
            first.push(row.id.clone());
            last.extend(matches.next_back().map(|row| row.id.clone()));
        }
        assert!(matches.next_back().is_none());
        first.extend(last.into_iter().rev());
        assert_eq!(first, expected);
    }

    assert_eq!(
        items.tags_index().len(),
        model(&|_| true)
            .iter()
            .map(|id| state.items[id].0.tags.len())
            .sum::<usize>()
    );

    let queries: [Pages<'_>; 4] = [
        |items| items.iter(),
        |items| items.by_group(1),
        |items| items.tags_index().prefix("x"),
        |items| items.range("a".."b"),
    ];
    for query in queries {
        let all = ids(&mut query(items));
        let explain = query(items).explain();
        assert_eq!((explain.entries, explain.table), (all.len(), "item"));
        for len in [1, 2] {
            let (mut forth, mut back) = (Vec::new(), Vec::new());
            let mut page = query(items);
            loop {
                forth.extend(ids(&mut page.by_ref().take(len)));
                let Some(cursor) = page.cursor() else { break };
                let token = cursor.to_string();
                page = query(items).resume(&token.parse().unwrap()).unwrap();
            }
            let mut page = query(items);
            loop {
                back.extend(ids(&mut page.by_ref().rev().take(len)));
                let Some(cursor) = page.cursor_back() else {
                    break;
                };
                page = query(items).resume(&cursor).unwrap();
            }
            back.reverse();
            assert_eq!((&forth, &back), (&all, &all));
        }
    }
}
