//! Random compositions of everything a store does, against a model of `BTreeMap`s.
//!
//! After each step what the transaction or the store shows is compared with the model; after each
//! commit so are the snapshots held, the watches (exactly those fire whose content some entry
//! changed), the index of every query of a fixed pool (never earlier than the truth, never
//! falling), and what a follower of the feed has put together.

use highwater::{
    Conflict, Guard, LogIndex, Options, Row, Rows, Schema, Snapshot, Start, Store, Subscription,
    Table, TableWriter, Turn, Watch, WriteError, WriteTxn,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// An index of every kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[index(by_group_value(group, reverse(value)))]
#[index(by_tag_group(each(tags), group))]
#[index(unique, when = Item::is_first, by_first(group, sparse(serial)))]
#[index(by_sum(with = Item::sum -> i16))]
struct Item {
    #[primary_key]
    id: String,
    #[index]
    group: u8,
    #[index(each)]
    tags: BTreeSet<String>,
    #[index(sparse, unique)]
    serial: Option<i8>,
    #[index(when = Item::is_first, name = "high")]
    value: u8,
    #[index(caseless)]
    name: String,
    #[index(each)]
    labels: BTreeMap<String, u8>,
}

impl Item {
    fn is_first(&self) -> bool {
        self.value == 0
    }

    fn sum(&self) -> i16 {
        i16::from(self.group) - i16::from(self.value)
    }
}

#[derive(Schema)]
struct Shop {
    items: Item,
}

/// A stored item with its create and modify index.
type Stored = (Item, u64, u64);
type State = BTreeMap<String, Stored>;

/// Which entries a query has read.
type Covers = Box<dyn Fn(&Entry) -> bool>;

/// An entry of one of the trees. The order within a tree is that of its keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Id(String),
    Group(u8, String),
    Tag(String, String),
    Serial(i8),
    GroupValue(u8, Reverse<u8>, String),
    TagGroup(String, u8, String),
    First(u8, i8),
    Sum(i16, String),
    High(u8, String),
    Name(String, String),
    Label(String, u8, String),
}

/// Every entry of every tree, with the row that is there.
fn entries(state: &State) -> BTreeMap<Entry, Stored> {
    let mut all = BTreeMap::new();
    for (id, stored) in state {
        let item = &stored.0;
        let mut add = |entry| assert!(all.insert(entry, stored.clone()).is_none());
        add(Entry::Id(id.clone()));
        add(Entry::Group(item.group, id.clone()));
        item.tags
            .iter()
            .for_each(|tag| add(Entry::Tag(tag.clone(), id.clone())));
        if let Some(serial) = item.serial {
            add(Entry::Serial(serial));
            if item.value == 0 {
                add(Entry::First(item.group, serial));
            }
        }
        add(Entry::GroupValue(
            item.group,
            Reverse(item.value),
            id.clone(),
        ));
        item.tags
            .iter()
            .for_each(|tag| add(Entry::TagGroup(tag.clone(), item.group, id.clone())));
        add(Entry::Sum(item.sum(), id.clone()));
        if item.value == 0 {
            add(Entry::High(0, id.clone()));
        }
        add(Entry::Name(item.name.to_lowercase(), id.clone()));
        item.labels
            .iter()
            .for_each(|(label, n)| add(Entry::Label(label.clone(), *n, id.clone())));
    }
    all
}

/// The entries at which two states differ.
fn changed(before: &State, after: &State) -> BTreeSet<Entry> {
    let (before, after) = (entries(before), entries(after));
    let keys = before.keys().chain(after.keys());
    keys.filter(|entry| before.get(entry) != after.get(entry))
        .cloned()
        .collect()
}

#[derive(Clone, Debug)]
enum Query {
    Get(String),
    Prefix(String),
    Range(String, String),
    From(String),
    Len,
    Page(usize),
    Pages(usize, usize),
    LongestPrefix(String),
    Group(u8),
    GroupFirst(u8),
    GroupsUpTo(u8),
    Tag(String),
    TagPrefix(String),
    Serial(i8),
    Serials(i8, i8),
    /// Of a group, the values from the second down to the first.
    GroupValues(u8, u8, u8),
    TagGroup(String, u8),
    TagGroups(String, u8),
    First(u8, i8),
    Sums(i16, i16),
    High,
    Name(String),
    NamePrefix(String),
    NameLongest(String),
    Label(String),
    LabelFrom(String, u8),
    LastSum,
}

impl Query {
    /// Whether `entry` is in the range of the query, whatever was yielded.
    fn ranges_over(&self, entry: &Entry) -> bool {
        match (self, entry) {
            (Query::Get(id), Entry::Id(other)) => id == other,
            (Query::Prefix(prefix), Entry::Id(id)) => id.starts_with(prefix.as_str()),
            (Query::Range(lo, hi), Entry::Id(id)) => lo <= id && id < hi,
            (Query::From(lo), Entry::Id(id)) => lo <= id,
            (Query::Len | Query::Page(_) | Query::Pages(..), Entry::Id(_))
            | (Query::LastSum, Entry::Sum(..))
            | (Query::High, Entry::High(..)) => true,
            (Query::LongestPrefix(text), Entry::Id(id)) => text.starts_with(id.as_str()),
            (Query::Group(group) | Query::GroupFirst(group), Entry::Group(other, _)) => {
                group == other
            }
            (Query::GroupsUpTo(hi), Entry::Group(group, _)) => group <= hi,
            (Query::Tag(tag), Entry::Tag(other, _)) => tag == other,
            (Query::TagPrefix(prefix), Entry::Tag(tag, _)) => tag.starts_with(prefix.as_str()),
            (Query::Serial(serial), Entry::Serial(other)) => serial == other,
            (Query::Serials(lo, hi), Entry::Serial(serial)) => lo <= serial && serial < hi,
            (Query::GroupValues(of, lo, hi), Entry::GroupValue(group, Reverse(value), _)) => {
                of == group && lo <= value && value <= hi
            }
            (Query::TagGroup(tag, of), Entry::TagGroup(other, group, _)) => {
                tag == other && of == group
            }
            (Query::TagGroups(tag, lo), Entry::TagGroup(other, group, _)) => {
                tag == other && lo < group
            }
            (Query::First(of, serial), Entry::First(group, other)) => {
                of == group && serial == other
            }
            (Query::Sums(lo, hi), Entry::Sum(sum, _)) => lo < sum && sum <= hi,
            (Query::Name(name), Entry::Name(other, _)) => name.to_lowercase() == *other,
            (Query::NamePrefix(prefix), Entry::Name(name, _)) => {
                name.starts_with(&prefix.to_lowercase())
            }
            (Query::NameLongest(text), Entry::Name(name, _)) => {
                text.to_lowercase().starts_with(name.as_str())
            }
            (Query::Label(label), Entry::Label(other, ..)) => label == other,
            (Query::LabelFrom(label, lo), Entry::Label(other, n, _)) => label == other && lo <= n,
            _ => false,
        }
    }

    /// How many are taken from the front and from the back; all without a limit.
    fn limits(&self) -> Option<(usize, usize)> {
        match self {
            Query::Page(len) => Some((*len, 0)),
            Query::Pages(front, back) => Some((*front, *back)),
            Query::GroupFirst(_) => Some((1, 0)),
            Query::LongestPrefix(_) | Query::LastSum => Some((0, 1)),
            _ => None,
        }
    }

    /// The rows it finds, and which entries it has read: those present, and what could come
    /// between.
    fn model(&self, state: &State) -> (Vec<Stored>, Covers) {
        let all = entries(state);
        let found: Vec<(&Entry, &Stored)> = all
            .iter()
            .filter(|(entry, _)| self.ranges_over(entry))
            .collect();
        let query = self.clone();
        let rows = |found: &[(&Entry, &Stored)]| -> Vec<Stored> {
            found.iter().map(|(_, stored)| (*stored).clone()).collect()
        };
        if let (Query::NameLongest(_), Some((Entry::Name(longest, _), _))) = (self, found.last()) {
            let longest = longest.clone();
            let at_least = move |entry: &Entry| match entry {
                Entry::Name(name, _) => query.ranges_over(entry) && *name >= longest,
                _ => false,
            };
            let found: Vec<_> = found
                .into_iter()
                .filter(|(entry, _)| at_least(entry))
                .collect();
            return (rows(&found), Box::new(at_least));
        }
        match self.limits() {
            Some((front, back)) if front + back <= found.len() => {
                let (first, rest) = found.split_at(front);
                let last = &rest[rest.len() - back..];
                let up_to = first.last().map(|(entry, _)| (*entry).clone());
                let from = last.first().map(|(entry, _)| (*entry).clone());
                let mut yielded = rows(first);
                yielded.extend(rows(last));
                let read = move |entry: &Entry| {
                    query.ranges_over(entry)
                        && (up_to.as_ref().is_some_and(|last| entry <= last)
                            || from.as_ref().is_some_and(|first| entry >= first))
                };
                (yielded, Box::new(read))
            }
            _ => (
                rows(&found),
                Box::new(move |entry| query.ranges_over(entry)),
            ),
        }
    }

    /// The same of the store.
    fn run(&self, db: &ShopView) -> Vec<Stored> {
        let items = db.items();
        let own = |row: &Row<Item>| ((**row).clone(), row.create_index().0, row.modify_index().0);
        match self {
            Query::Get(id) => items.get(id).map(own).into_iter().collect(),
            Query::Prefix(prefix) => items.prefix(prefix.as_str()).map(own).collect(),
            Query::Range(lo, hi) => items.range(lo.as_str()..hi.as_str()).map(own).collect(),
            Query::From(lo) => items.range(lo.as_str()..).map(own).collect(),
            Query::Len => {
                let rows: Vec<_> = items.iter().map(own).collect();
                assert_eq!(items.len(), rows.len());
                rows
            }
            Query::Page(_) | Query::Pages(..) => {
                let (front, back) = self.limits().unwrap_or_default();
                let mut rows = items.iter();
                let mut found: Vec<_> = (0..front).map_while(|_| rows.next()).map(own).collect();
                let mut last: Vec<_> = (0..back).map_while(|_| rows.next_back()).map(own).collect();
                last.reverse();
                found.extend(last);
                found
            }
            Query::LongestPrefix(text) => items
                .longest_prefix(text.as_str())
                .map(own)
                .into_iter()
                .collect(),
            Query::Group(group) => items.by_group(*group).map(own).collect(),
            Query::GroupFirst(group) => items.by_group(*group).take(1).map(own).collect(),
            Query::GroupsUpTo(hi) => items.group_index().range(..=*hi).map(own).collect(),
            Query::Tag(tag) => items.by_tags(tag).map(own).collect(),
            Query::TagPrefix(prefix) => items
                .tags_index()
                .prefix(prefix.as_str())
                .map(own)
                .collect(),
            Query::Serial(serial) => items.by_serial(*serial).map(own).into_iter().collect(),
            Query::Serials(lo, hi) => items.serial_index().range(*lo..*hi).map(own).collect(),
            Query::GroupValues(group, lo, hi) => items
                .group_value_index()
                .leading_range(*group, Reverse(*hi)..=Reverse(*lo))
                .map(own)
                .collect(),
            Query::TagGroup(tag, group) => items.by_tag_group((tag, *group)).map(own).collect(),
            Query::TagGroups(tag, lo) => items
                .tag_group_index()
                .leading_range(tag, (Bound::Excluded(*lo), Bound::Unbounded))
                .map(own)
                .collect(),
            Query::First(group, serial) => items
                .by_first((*group, *serial))
                .map(own)
                .into_iter()
                .collect(),
            Query::Sums(lo, hi) => items
                .sum_index()
                .range((Bound::Excluded(*lo), Bound::Included(*hi)))
                .map(own)
                .collect(),
            Query::LastSum => items.sum_index().last().map(own).into_iter().collect(),
            Query::High => items.high_index().iter().map(own).collect(),
            Query::Name(name) => items.by_name(name).map(own).collect(),
            Query::NamePrefix(prefix) => items.name_index().prefix(prefix).map(own).collect(),
            Query::NameLongest(text) => items.name_index().longest_prefix(text).map(own).collect(),
            Query::Label(label) => items.labels_index().leading(label).map(own).collect(),
            Query::LabelFrom(label, lo) => items
                .labels_index()
                .leading_range(label, *lo..)
                .map(own)
                .collect(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum How {
    Insert,
    Update,
    Upsert,
    UpsertIf(Expected),
    UpdateIf(Expected),
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Right,
    Wrong,
    Absent,
}

#[derive(Clone, Debug)]
enum Op {
    Put(How, Item),
    Delete(String, Option<Expected>),
    /// The stored item with another value.
    Touch(String, u8),
    /// The same, in place.
    Change(String, u8),
    DeletePrefix(String),
    /// By a query that may find an item several times.
    DeleteTagged(String),
    DeleteWhere(u8),
    Begin {
        gap: u64,
    },
    NextEntry {
        gap: u64,
    },
    Savepoint,
    Rollback(usize),
    Release(usize),
    Commit,
    Abort,
    Advance {
        gap: u64,
    },
    Hold,
    LetGo(usize),
    Watch(Query),
    Follow,
    Record(Query),
    Validate,
}

fn id() -> impl Strategy<Value = String> {
    "[ab]{0,4}"
}

fn tag() -> impl Strategy<Value = String> {
    "[xy]{1,2}"
}

fn name() -> impl Strategy<Value = String> {
    "[aAbB]{0,3}"
}

fn item() -> impl Strategy<Value = Item> {
    (
        id(),
        0..4_u8,
        btree_set(tag(), 0..3),
        proptest::option::of(-3..4_i8),
        0..3_u8,
        name(),
        btree_map(tag(), 0..3_u8, 0..2),
    )
        .prop_map(|(id, group, tags, serial, value, name, labels)| Item {
            id,
            group,
            tags,
            serial,
            value,
            name,
            labels,
        })
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        Just(Expected::Right),
        Just(Expected::Wrong),
        Just(Expected::Absent)
    ]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        2 => Just(How::Insert),
        2 => Just(How::Update),
        4 => Just(How::Upsert),
        1 => expected().prop_map(How::UpsertIf),
        1 => expected().prop_map(How::UpdateIf),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        id().prop_map(Query::Get),
        id().prop_map(Query::Prefix),
        (id(), id()).prop_map(|(a, b)| Query::Range(a, b)),
        id().prop_map(Query::From),
        Just(Query::Len),
        (1..4_usize).prop_map(Query::Page),
        (0..3_usize, 0..3_usize).prop_map(|(a, b)| Query::Pages(a, b)),
        id().prop_map(Query::LongestPrefix),
        (0..5_u8).prop_map(Query::Group),
        (0..5_u8).prop_map(Query::GroupFirst),
        (0..5_u8).prop_map(Query::GroupsUpTo),
        tag().prop_map(Query::Tag),
        "[xy]".prop_map(Query::TagPrefix),
        (-4..5_i8).prop_map(Query::Serial),
        (-4..5_i8, -4..5_i8).prop_map(|(a, b)| Query::Serials(a, b)),
        (0..5_u8, 0..3_u8, 0..3_u8).prop_map(|(group, a, b)| Query::GroupValues(group, a, b)),
        (tag(), 0..5_u8).prop_map(|(tag, group)| Query::TagGroup(tag, group)),
        (tag(), 0..5_u8).prop_map(|(tag, group)| Query::TagGroups(tag, group)),
        (0..5_u8, -4..5_i8).prop_map(|(group, serial)| Query::First(group, serial)),
        (-3..4_i16, -3..4_i16).prop_map(|(a, b)| Query::Sums(a, b)),
        Just(Query::LastSum),
        Just(Query::High),
        name().prop_map(Query::Name),
        name().prop_map(Query::NamePrefix),
        name().prop_map(Query::NameLongest),
        tag().prop_map(Query::Label),
        (tag(), 0..3_u8).prop_map(|(label, n)| Query::LabelFrom(label, n)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        24 => (how(), item()).prop_map(|(how, item)| Op::Put(how, item)),
        8 => (id(), proptest::option::of(expected())).prop_map(|(id, e)| Op::Delete(id, e)),
        4 => (id(), 0..3_u8).prop_map(|(id, value)| Op::Touch(id, value)),
        4 => (id(), 0..3_u8).prop_map(|(id, value)| Op::Change(id, value)),
        1 => "[ab]{1,3}".prop_map(Op::DeletePrefix),
        1 => "[xy]".prop_map(Op::DeleteTagged),
        1 => (0..3_u8).prop_map(Op::DeleteWhere),
        3 => (1..4_u64).prop_map(|gap| Op::Begin { gap }),
        4 => (1..3_u64).prop_map(|gap| Op::NextEntry { gap }),
        4 => Just(Op::Savepoint),
        3 => (0..3_usize).prop_map(Op::Rollback),
        1 => (0..3_usize).prop_map(Op::Release),
        10 => Just(Op::Commit),
        1 => Just(Op::Abort),
        1 => (1..3_u64).prop_map(|gap| Op::Advance { gap }),
        3 => Just(Op::Hold),
        2 => (0..8_usize).prop_map(Op::LetGo),
        12 => query().prop_map(Op::Watch),
        1 => Just(Op::Follow),
        4 => query().prop_map(Op::Record),
        3 => Just(Op::Validate),
    ]
}

/// A running transaction and its model.
struct Running {
    txn: WriteTxn<Shop>,
    counted: bool,
    index: u64,
    state: State,
    /// The state at the beginning of the entry.
    began: State,
    /// What each ended entry changed.
    ended: Vec<(u64, BTreeSet<Entry>)>,
    savepoints: Vec<(highwater::Savepoint, State)>,
}

struct Watched {
    query: Query,
    read: Covers,
    watch: Watch,
    fired: bool,
}

/// Puts the changes of a feed together.
struct Follower {
    feed: Subscription<Shop>,
    state: State,
}

struct World {
    store: Store<Shop>,
    index: u64,
    state: State,
    running: Option<Running>,
    held: Vec<(Snapshot<Shop>, u64, State)>,
    watched: Vec<Watched>,
    followers: Vec<Follower>,
    guards: Vec<(Query, Covers, Guard)>,
    /// When each entry of a tree changed last.
    last: BTreeMap<Entry, u64>,
    /// The queries whose indexes are followed, with their last.
    pool: Vec<(Query, u64, u64)>,
}

fn stored(row: &Row<Item>) -> Stored {
    ((**row).clone(), row.create_index().0, row.modify_index().0)
}

fn rows(db: &ShopView) -> State {
    db.items()
        .iter()
        .map(|row| (row.id.clone(), stored(row)))
        .collect()
}

type Pages<'a> = fn(ItemReader<'a>) -> Rows<'a, Item>;

/// What is read in other ways than by one query after the other: sets of matches, the newest first,
/// page by page. Takes turns at both ends where there are two.
fn check_walks(db: &ShopView, state: &State) {
    let items = db.items();
    let ids = |rows: &mut dyn Iterator<Item = &Row<Item>>| -> Vec<String> {
        rows.map(|row| row.id.clone()).collect()
    };
    let model = |keep: &dyn Fn(&Item) -> bool| -> Vec<String> {
        let kept = state.values().filter(|(item, ..)| keep(item));
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

    let mut newest: Vec<_> = state.values().collect();
    newest.sort_by_key(|(item, _, modified)| (Reverse(*modified), item.id.clone()));
    for since in [
        0,
        newest
            .get(newest.len() / 2)
            .map_or(0, |(.., modified)| *modified),
    ] {
        let expected = newest.iter().filter(|(.., modified)| *modified > since);
        let found = items.changed_since(LogIndex(since)).map(stored);
        assert!(
            found.eq(expected.map(|stored| (*stored).clone())),
            "since {since}"
        );
    }
    assert_eq!(
        items.tags_index().len(),
        model(&|_| true)
            .iter()
            .map(|id| state[id].0.tags.len())
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

impl World {
    fn new(pool: Vec<Query>) -> Self {
        World {
            store: Store::with_options(Options {
                window: 1 << 12,
                ..Options::default()
            }),
            index: 0,
            state: State::new(),
            running: None,
            held: Vec::new(),
            watched: Vec::new(),
            followers: Vec::new(),
            guards: Vec::new(),
            last: BTreeMap::new(),
            pool: pool.into_iter().map(|query| (query, 1, 1)).collect(),
        }
    }

    fn begin(&mut self, gap: Option<u64>) -> &mut Running {
        let index = self.index + gap.unwrap_or(1);
        self.running.get_or_insert_with(|| {
            let txn = match gap {
                None => self.store.write().unwrap(),
                Some(_) => match self.store.write_at(LogIndex(index)).unwrap() {
                    Turn::Apply(txn) => txn,
                    Turn::AlreadyApplied { applied } => panic!("{index} is applied: {applied}"),
                },
            };
            assert_eq!(txn.index(), LogIndex(index));
            Running {
                txn,
                counted: gap.is_none(),
                index,
                state: self.state.clone(),
                began: self.state.clone(),
                ended: Vec::new(),
                savepoints: Vec::new(),
            }
        })
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Put(..)
            | Op::Touch(..)
            | Op::Change(..)
            | Op::DeletePrefix(_)
            | Op::DeleteTagged(_)
            | Op::DeleteWhere(_)
            | Op::Delete(..) => self.begin(None).write(op),
            Op::Begin { gap } => drop(self.begin(Some(gap))),
            Op::NextEntry { gap } => {
                if let Some(running) = &mut self.running {
                    running.end_entry();
                    running.index += gap;
                    running.txn.next_entry(LogIndex(running.index)).unwrap();
                    running.counted = false;
                }
            }
            Op::Savepoint => {
                if let Some(running) = &mut self.running {
                    let savepoint = running.txn.savepoint();
                    running.savepoints.push((savepoint, running.state.clone()));
                }
            }
            Op::Rollback(depth) => {
                if let Some(running) = &mut self.running
                    && depth < running.savepoints.len()
                {
                    running
                        .savepoints
                        .truncate(running.savepoints.len() - depth);
                    let (savepoint, state) = running.savepoints.pop().unwrap();
                    running.txn.rollback_to(savepoint);
                    running.state = state;
                }
            }
            Op::Release(depth) => {
                if let Some(running) = &mut self.running
                    && depth < running.savepoints.len()
                {
                    running
                        .savepoints
                        .truncate(running.savepoints.len() - depth);
                    let (savepoint, _) = running.savepoints.pop().unwrap();
                    running.txn.release(savepoint);
                }
            }
            Op::Commit => self.commit(),
            Op::Abort => drop(self.running.take()),
            Op::Advance { gap } => {
                if self.running.is_none() {
                    self.index += gap;
                    self.store.advance_to(LogIndex(self.index)).unwrap();
                    self.published(&[]);
                }
            }
            Op::Hold => self
                .held
                .push((self.store.snapshot(), self.index, self.state.clone())),
            Op::LetGo(i) => {
                if i < self.held.len() {
                    self.held.swap_remove(i);
                }
            }
            Op::Watch(query) => {
                let (expected, read) = query.model(&self.state);
                let (answer, watch) = self.store.watch(|db| query.run(db));
                assert_eq!(answer.value, expected, "{query:?}");
                assert!(!watch.has_fired());
                self.watched.push(Watched {
                    query,
                    read,
                    watch,
                    fired: false,
                });
            }
            Op::Record(query) => self.record(query),
            Op::Validate => self.validate(),
            Op::Follow => {
                let feed = self
                    .store
                    .subscribe(Start::After(self.store.position()))
                    .unwrap();
                self.followers.push(Follower {
                    feed,
                    state: self.state.clone(),
                });
            }
        }
        if let Some(running) = &self.running {
            assert_eq!(rows(&running.txn), running.state);
            check_walks(&running.txn, &running.state);
            running.check_changes();
        }
        assert_eq!(self.store.position().index, LogIndex(self.index));
    }

    fn record(&mut self, query: Query) {
        let (expected, read) = query.model(&self.state);
        let (found, guard) = self.store.snapshot().record(|db| query.run(db));
        assert_eq!(found, expected);
        // As a command carries it.
        let bytes = rmp_serde::to_vec(&guard).unwrap();
        assert_eq!(rmp_serde::from_slice::<Guard>(&bytes).unwrap(), guard);
        self.guards.push((query, read, guard));
    }

    /// A guard is in conflict if something that was read has changed, in the store or in the running
    /// transaction; it is not if nothing at all has.
    fn validate(&self) {
        let fresh;
        let txn = if let Some(running) = &self.running {
            &running.txn
        } else {
            fresh = self.store.write().unwrap();
            &fresh
        };
        for (query, read, guard) in &self.guards {
            let since = guard.position().index.0;
            let published = self.last.iter().filter(|(_, index)| **index > since);
            let published: Vec<_> = published.map(|(entry, _)| entry.clone()).collect();
            let own = self.running.iter().flat_map(|running| {
                let ended = running
                    .ended
                    .iter()
                    .flat_map(|(_, changed)| changed.clone());
                ended.chain(changed(&running.began, &running.state))
            });
            let all: Vec<_> = published.into_iter().chain(own).collect();
            let result = txn.validate(guard);
            if all.iter().any(read) {
                assert!(
                    matches!(result, Err(Conflict::Changed { .. })),
                    "{query:?}: {result:?}"
                );
            } else if all.is_empty() && self.running.is_none() {
                assert_eq!(result, Ok(()), "{query:?}");
            }
        }
    }

    fn commit(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        running.end_entry();
        let unchanged = running.ended.iter().all(|(_, changed)| changed.is_empty());
        if running.counted && unchanged {
            assert_eq!(running.txn.commit(), Ok(LogIndex(self.index)));
            return;
        }
        assert_eq!(running.txn.commit(), Ok(LogIndex(running.index)));
        self.index = running.index;
        self.state = running.state;
        self.published(&running.ended);
    }

    /// What is to be true after a commit.
    fn published(&mut self, ended: &[(u64, BTreeSet<Entry>)]) {
        let snap = self.store.snapshot();
        assert_eq!(rows(&snap), self.state);
        check_walks(&snap, &self.state);
        snap.check().unwrap();
        for (snap, index, state) in &self.held {
            assert_eq!((snap.index(), &rows(snap)), (LogIndex(*index), state));
        }
        for (index, changed) in ended {
            for entry in changed {
                self.last.insert(entry.clone(), *index);
            }
        }
        for watched in &mut self.watched {
            let mut entries = ended.iter().flat_map(|(_, changed)| changed);
            watched.fired |= entries.any(|entry| (watched.read)(entry));
            assert_eq!(
                watched.watch.has_fired(),
                watched.fired,
                "{:?}",
                watched.query
            );
        }
        self.watched.retain(|watched| !watched.fired);
        for follower in &mut self.followers {
            follower.catch_up();
            assert_eq!(follower.state, self.state);
        }
        for (query, whole, tracked) in &mut self.pool {
            let query = &*query;
            let (expected, read) = query.model(&self.state);
            let (answer, _) = self.store.watch(|db| query.run(db));
            assert_eq!(answer.value, expected, "{query:?}");
            let truth = |covers: &dyn Fn(&Entry) -> bool| {
                let last = self.last.iter().filter(|(entry, _)| covers(entry));
                last.map(|(_, index)| *index).max().unwrap_or(0)
            };
            let index = answer.index.0;
            assert!(
                index >= truth(&read),
                "{query:?}: {index}, truth {}",
                truth(&read)
            );
            assert!(index >= *tracked, "{query:?}: {index} after {tracked}");
            assert!(index <= self.index.max(1));
            *tracked = index;
            let index = match query {
                Query::Prefix(prefix) => snap.items().prefix(prefix.as_str()).index(),
                Query::Range(lo, hi) => snap.items().range(lo.as_str()..hi.as_str()).index(),
                Query::Group(group) => snap.items().by_group(*group).index(),
                Query::Tag(tag) => snap.items().by_tags(tag).index(),
                Query::Len => snap.items().index(),
                Query::Get(id) => {
                    let index = snap.items().index_of(id);
                    if let Some((_, _, modified)) = self.state.get(id) {
                        assert_eq!(index.0, *modified);
                    }
                    index
                }
                _ => continue,
            };
            let covers = |entry: &Entry| query.ranges_over(entry);
            assert!(
                index.0 >= truth(&covers) && index.0 >= *whole,
                "{query:?}: {index}"
            );
            *whole = index.0;
        }
    }
}

impl Follower {
    fn catch_up(&mut self) {
        while let Some(event) = self.feed.try_next().unwrap() {
            let mut told = BTreeSet::new();
            for change in event.items() {
                let id = change.after.or(change.before).unwrap().id.clone();
                assert!(told.insert(id.clone()), "{id} is told twice");
                let before = match change.after {
                    Some(row) => {
                        assert_eq!(row.modify_index(), event.index());
                        self.state.insert(id, stored(row))
                    }
                    None => self.state.remove(&id),
                };
                assert_eq!(change.before.map(stored), before);
            }
        }
    }
}

impl Running {
    fn write(&mut self, op: Op) {
        match op {
            Op::Put(how, item) => self.put(how, item),
            Op::Touch(id, value) => {
                if let Some((item, ..)) = self.state.get(&id) {
                    let item = Item {
                        value,
                        ..item.clone()
                    };
                    self.put(How::Update, item);
                }
            }
            Op::Change(id, value) => self.change(&id, value),
            Op::DeletePrefix(prefix) => self.delete_all(
                |item| item.id.starts_with(&prefix),
                |mut items| items.delete_prefix(&prefix),
            ),
            Op::DeleteTagged(tag) => self.delete_all(
                |item| item.tags.iter().any(|other| other.starts_with(&tag)),
                |mut items| items.delete_rows(|items| items.tags_index().prefix(&tag)),
            ),
            Op::DeleteWhere(value) => self.delete_all(
                |item| item.value == value,
                |mut items| items.delete_where(|item| item.value == value),
            ),
            Op::Delete(id, expected) => self.delete(&id, expected),
            _ => unreachable!("not a write: {op:?}"),
        }
    }

    fn end_entry(&mut self) {
        self.ended
            .push((self.index, changed(&self.began, &self.state)));
        self.began = self.state.clone();
        self.savepoints.clear();
    }

    fn expected(&self, id: &str, expected: Expected) -> u64 {
        let modified = self.state.get(id).map_or(0, |(_, _, modified)| *modified);
        match expected {
            Expected::Right => modified,
            Expected::Wrong => modified + 1,
            Expected::Absent => 0,
        }
    }

    fn put(&mut self, how: How, item: Item) {
        let before = self.state.get(&item.id).cloned();
        let modified = before.as_ref().map_or(0, |(_, _, modified)| *modified);
        let mut items = self.txn.items_mut();
        let (exists, conflict, result) = match how {
            How::Insert => (
                Some(false),
                false,
                items.insert(item.clone()).map(|()| None),
            ),
            How::Update => (Some(true), false, items.update(item.clone()).map(Some)),
            How::Upsert => (None, false, items.upsert(item.clone())),
            How::UpsertIf(expected) => {
                let index = self.expected(&item.id, expected);
                let result = self
                    .txn
                    .items_mut()
                    .upsert_if(item.clone(), LogIndex(index));
                (None, index != modified, result)
            }
            How::UpdateIf(expected) => {
                let index = self.expected(&item.id, expected);
                let result = self
                    .txn
                    .items_mut()
                    .update_if(item.clone(), LogIndex(index));
                (Some(true), index != modified, result.map(Some))
            }
        };
        // What is unique in `first` is unique in `serial` already, which is looked at after it.
        let first = |item: &Item| item.value == 0;
        let holder = self.state.values().find(|(other, ..)| {
            other.id != item.id && other.serial.is_some() && other.serial == item.serial
        });
        let unchanged = before.as_ref().is_some_and(|(old, ..)| *old == item);
        match result {
            Err(WriteError::Conflict { .. }) => assert!(conflict),
            Err(WriteError::AlreadyExists { .. }) => {
                assert!(exists == Some(false) && before.is_some());
            }
            Err(WriteError::NotFound { .. }) => assert!(exists == Some(true) && before.is_none()),
            Err(WriteError::NotUnique { index, .. }) => {
                let (other, ..) = holder.unwrap();
                let both = first(other) && first(&item) && other.group == item.group;
                assert_eq!(index, if both { "first" } else { "serial" });
                assert!(!unchanged);
            }
            Err(error) => panic!("{error}"),
            Ok(previous) => {
                assert!(!conflict && exists.is_none_or(|exists| exists == before.is_some()));
                assert_eq!(previous.as_ref().map(stored), before);
                if !unchanged {
                    assert!(holder.is_none());
                    let created = before.map_or(self.index, |(_, created, _)| created);
                    self.state
                        .insert(item.id.clone(), (item, created, self.index));
                }
            }
        }
    }

    /// The net changes so far are the difference to the beginning of the entry.
    fn check_changes(&self) {
        let changes = self.txn.changes();
        let mut told = BTreeSet::new();
        for change in changes.items() {
            let id = &change.after.or(change.before).unwrap().id;
            assert!(told.insert(id.clone()));
            assert_eq!(change.before.map(stored).as_ref(), self.began.get(id));
            assert_eq!(change.after.map(stored).as_ref(), self.state.get(id));
        }
        let ids = self.began.keys().chain(self.state.keys());
        let differ = ids.filter(|id| self.began.get(*id) != self.state.get(*id));
        assert!(differ.into_iter().all(|id| told.contains(id)));
    }

    fn change(&mut self, id: &str, value: u8) {
        let changed = self.state.get(id).map(|(item, ..)| Item {
            value,
            ..item.clone()
        });
        // What is refused, and when, is as for an update.
        let savepoint = self.txn.savepoint();
        let before = self.state.clone();
        let by_update = changed
            .as_ref()
            .map(|item| self.txn.items_mut().update(item.clone()));
        self.txn.rollback_to(savepoint);
        let result = self
            .txn
            .items_mut()
            .update_with(id, |item| item.value = value);
        match by_update {
            None => assert!(matches!(result, Err(WriteError::NotFound { .. }))),
            Some(by_update) => {
                assert_eq!(result, by_update);
                if let (Ok(previous), Some(item)) = (result, changed) {
                    assert_eq!(stored(&previous), before[id]);
                    if *previous != item {
                        let stored = (item, before[id].1, self.index);
                        self.state.insert(id.to_owned(), stored);
                    }
                }
            }
        }
        let renamed = self
            .txn
            .items_mut()
            .update_with(id, |item| item.id.push('z'));
        assert!(matches!(
            renamed,
            Err(WriteError::KeyChanged { .. } | WriteError::NotFound { .. })
        ));
    }

    fn delete_all(
        &mut self,
        which: impl Fn(&Item) -> bool,
        delete: impl FnOnce(TableWriter<'_, Item>) -> Result<Vec<Row<Item>>, WriteError>,
    ) {
        let deleted = delete(self.txn.items_mut()).unwrap();
        let mut deleted: Vec<_> = deleted.iter().map(stored).collect();
        deleted.sort_by_key(|(item, ..)| item.id.clone());
        let expected = self.state.values().filter(|(item, ..)| which(item));
        assert!(deleted.iter().eq(expected));
        self.state.retain(|_, (item, ..)| !which(item));
    }

    fn delete(&mut self, id: &str, expected: Option<Expected>) {
        let before = self.state.get(id).cloned();
        let Some(expected) = expected else {
            let previous = self.txn.items_mut().delete(id).unwrap();
            assert_eq!(previous.as_ref().map(stored), before);
            self.state.remove(id);
            return;
        };
        let index = self.expected(id, expected);
        let modified = before.as_ref().map_or(0, |(_, _, modified)| *modified);
        match self.txn.items_mut().delete_if(id, LogIndex(index)) {
            Ok(previous) => {
                assert_eq!(index, modified);
                assert_eq!(Some(stored(&previous)), before);
                self.state.remove(id);
            }
            Err(WriteError::Conflict { .. }) => assert_ne!(index, modified),
            Err(WriteError::NotFound { .. }) => assert!(before.is_none() && index == 0),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Every key and prefix over the alphabet up to three letters, and a few of everything else.
fn pool() -> Vec<Query> {
    let mut words = vec![String::new()];
    for i in 0..7 {
        words.extend(["a", "b"].map(|letter| format!("{}{letter}", words[i])));
    }
    let mut pool = vec![
        Query::Len,
        Query::Page(2),
        Query::Pages(1, 1),
        Query::From("ab".into()),
    ];
    for word in &words {
        pool.push(Query::Get(word.clone()));
        pool.push(Query::Prefix(word.clone()));
        pool.push(Query::Range(word.clone(), "b".into()));
    }
    pool.extend([0, 2, 4].map(Query::Group));
    pool.extend(["x", "y", "xy"].map(|tag| Query::Tag(tag.into())));
    pool.extend([-1, 0, 3].map(Query::Serial));
    pool.extend(["", "a", "aB"].map(|name| Query::Name(name.into())));
    pool.extend([
        Query::GroupValues(1, 0, 1),
        Query::TagGroup("x".into(), 2),
        Query::TagGroups("x".into(), 1),
        Query::First(0, 1),
        Query::Sums(-1, 2),
        Query::LastSum,
        Query::High,
        Query::NamePrefix("A".into()),
        Query::NameLongest("ABBA".into()),
        Query::Label("x".into()),
        Query::LabelFrom("x".into(), 1),
        Query::LongestPrefix("abab".into()),
        Query::GroupFirst(1),
        Query::GroupsUpTo(2),
        Query::TagPrefix("x".into()),
        Query::Serials(-2, 2),
    ]);
    pool
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_store_behaves_as_its_model(ops in vec(op(), 1..160)) {
        let mut world = World::new(pool());
        for query in pool() {
            world.step(Op::Watch(query));
        }
        world.step(Op::Follow);
        for op in ops {
            world.step(op);
        }
        world.commit();
        // What was held outlives the store.
        let World { store, held, .. } = world;
        drop(store);
        for (snap, index, state) in held {
            prop_assert_eq!((snap.index(), rows(&snap)), (LogIndex(index), state));
        }
    }
}
