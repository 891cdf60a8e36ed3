//! Queries of every kind: what the model says of them, and what the store does.

use crate::item::{Entry, Item, ShopView, State, Stored, address, code, entries, id, name, tag};
use highwater::Row;
use ipnet::IpNet;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::net::IpAddr;
use std::ops::Bound;
use std::rc::Rc;

/// Which entries a query has read.
pub(crate) type Covers = Rc<dyn Fn(&Entry) -> bool>;

#[derive(Clone, Debug)]
pub(crate) enum Query {
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
    /// The longest of the networks that contain an address.
    Route(IpAddr),
    Code(Vec<u8>),
    CodePrefix(Vec<u8>),
    CodeLongest(Vec<u8>),
}

impl Query {
    /// Whether `entry` is in the range of the query, whatever was yielded.
    pub(crate) fn ranges_over(&self, entry: &Entry) -> bool {
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
            (Query::Route(address), Entry::Net(net, _)) => {
                *net == net.trunc() && net.contains(&IpNet::from(*address))
            }
            (Query::Code(code), Entry::Code(other, _)) => code == other,
            (Query::CodePrefix(prefix), Entry::Code(code, _)) => code.starts_with(prefix),
            (Query::CodeLongest(whole), Entry::Code(code, _)) => whole.starts_with(code),
            _ => false,
        }
    }

    /// Whether it finds the records of the last key in its range alone.
    fn is_longest(&self) -> bool {
        matches!(
            self,
            Query::NameLongest(_) | Query::Route(_) | Query::CodeLongest(_)
        )
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
    pub(crate) fn model(&self, state: &State) -> (Vec<Stored>, Covers) {
        let all = entries(state);
        let found: Vec<(&Entry, &Stored)> = all
            .iter()
            .filter(|(entry, _)| self.ranges_over(entry))
            .collect();
        let query = self.clone();
        let rows = |found: &[(&Entry, &Stored)]| -> Vec<Stored> {
            found.iter().map(|(_, stored)| (*stored).clone()).collect()
        };
        if let (true, Some((last, _))) = (self.is_longest(), found.last()) {
            let longest = last.first_of_key();
            let at_least = move |entry: &Entry| query.ranges_over(entry) && *entry >= longest;
            let found: Vec<_> = found
                .into_iter()
                .filter(|(entry, _)| at_least(entry))
                .collect();
            return (rows(&found), Rc::new(at_least));
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
                (yielded, Rc::new(read))
            }
            _ => (rows(&found), Rc::new(move |entry| query.ranges_over(entry))),
        }
    }

    /// The same of the store.
    pub(crate) fn run(&self, db: &ShopView) -> Vec<Stored> {
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
            Query::Route(address) => items
                .net_index()
                .longest_prefix(*address)
                .map(own)
                .collect(),
            Query::Code(code) => items.by_code(code).map(own).collect(),
            Query::CodePrefix(prefix) => items.code_index().prefix(prefix).map(own).collect(),
            Query::CodeLongest(whole) => {
                items.code_index().longest_prefix(whole).map(own).collect()
            }
            Query::LabelFrom(label, lo) => items
                .labels_index()
                .leading_range(label, *lo..)
                .map(own)
                .collect(),
        }
    }
}

pub(crate) fn query() -> impl Strategy<Value = Query> {
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
        address().prop_map(Query::Route),
        code().prop_map(Query::Code),
        code().prop_map(Query::CodePrefix),
        code().prop_map(Query::CodeLongest),
    ]
}

/// Every key and prefix over the alphabet up to three letters, and a few of everything else.
pub(crate) fn pool() -> Vec<Query> {
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
        Query::Route("10.1.2.3".parse().unwrap()),
        Query::Route("::1".parse().unwrap()),
        Query::Code(vec![0]),
        Query::CodePrefix(vec![0]),
        Query::CodeLongest(vec![1, 0, 255]),
        Query::GroupFirst(1),
        Query::GroupsUpTo(2),
        Query::TagPrefix("x".into()),
        Query::Serials(-2, 2),
    ]);
    pool
}
