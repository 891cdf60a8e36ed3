//! Queries of every kind: what the model says of them, and what the store does.

use crate::item::{Entry as ItemEntry, address, code, id, name, tag};
use crate::state::{Entry, ShopView, Stored, owned};
use crate::{own, part, site};
use ipnet::IpNet;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::rc::Rc;
use uuid::Uuid;

/// Which entries a query has read.
pub(crate) type Covers = Rc<dyn Fn(&Entry) -> bool>;

/// How many are taken from the front and from the back.
pub(crate) type Limits = (usize, usize);

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
    AtSite(Uuid),
    Site(site::Query),
    Part(part::Query),
    Own(own::Query),
}

impl Query {
    /// Whether `entry` is in the range of the query, whatever was yielded.
    pub(crate) fn ranges_over(&self, entry: &Entry) -> bool {
        let entry = match (self, entry) {
            (Query::Site(query), Entry::Site(entry)) => return query.ranges_over(entry),
            (Query::Part(query), Entry::Part(entry)) => return query.ranges_over(entry),
            (Query::Own(query), Entry::Own(entry)) => return query.ranges_over(entry),
            (_, Entry::Item(entry)) => entry,
            _ => return false,
        };
        match (self, entry) {
            (Query::Get(id), ItemEntry::Id(other)) => id == other,
            (Query::Prefix(prefix), ItemEntry::Id(id)) => id.starts_with(prefix.as_str()),
            (Query::Range(lo, hi), ItemEntry::Id(id)) => lo <= id && id < hi,
            (Query::From(lo), ItemEntry::Id(id)) => lo <= id,
            (Query::Len | Query::Page(_) | Query::Pages(..), ItemEntry::Id(_))
            | (Query::LastSum, ItemEntry::Sum(..))
            | (Query::High, ItemEntry::High(..)) => true,
            (Query::LongestPrefix(text), ItemEntry::Id(id)) => text.starts_with(id.as_str()),
            (Query::Group(group) | Query::GroupFirst(group), ItemEntry::Group(other, _)) => {
                group == other
            }
            (Query::GroupsUpTo(hi), ItemEntry::Group(group, _)) => group <= hi,
            (Query::Tag(tag), ItemEntry::Tag(other, _)) => tag == other,
            (Query::TagPrefix(prefix), ItemEntry::Tag(tag, _)) => tag.starts_with(prefix.as_str()),
            (Query::Serial(serial), ItemEntry::Serial(other)) => serial == other,
            (Query::Serials(lo, hi), ItemEntry::Serial(serial)) => lo <= serial && serial < hi,
            (Query::GroupValues(of, lo, hi), ItemEntry::GroupValue(group, Reverse(value), _)) => {
                of == group && lo <= value && value <= hi
            }
            (Query::TagGroup(tag, of), ItemEntry::TagGroup(other, group, _)) => {
                tag == other && of == group
            }
            (Query::TagGroups(tag, lo), ItemEntry::TagGroup(other, group, _)) => {
                tag == other && lo < group
            }
            (Query::First(of, serial), ItemEntry::First(group, other)) => {
                of == group && serial == other
            }
            (Query::Sums(lo, hi), ItemEntry::Sum(sum, _)) => lo < sum && sum <= hi,
            (Query::Name(name), ItemEntry::Name(other, _)) => name.to_lowercase() == *other,
            (Query::NamePrefix(prefix), ItemEntry::Name(name, _)) => {
                name.starts_with(&prefix.to_lowercase())
            }
            (Query::NameLongest(text), ItemEntry::Name(name, _)) => {
                text.to_lowercase().starts_with(name.as_str())
            }
            (Query::Label(label), ItemEntry::Label(other, ..)) => label == other,
            (Query::LabelFrom(label, lo), ItemEntry::Label(other, n, _)) => {
                label == other && lo <= n
            }
            (Query::Route(address), ItemEntry::Net(net, _)) => {
                *net == net.trunc() && net.contains(&IpNet::from(*address))
            }
            (Query::Code(code), ItemEntry::Code(other, _)) => code == other,
            (Query::CodePrefix(prefix), ItemEntry::Code(code, _)) => code.starts_with(prefix),
            (Query::CodeLongest(whole), ItemEntry::Code(code, _)) => whole.starts_with(code),
            (Query::AtSite(site), ItemEntry::Site(other, _)) => site == other,
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
    fn limits(&self) -> Option<Limits> {
        match self {
            Query::Site(query) => query.limits(),
            Query::Part(query) => query.limits(),
            Query::Page(len) => Some((*len, 0)),
            Query::Pages(front, back) => Some((*front, *back)),
            Query::GroupFirst(_) => Some((1, 0)),
            Query::LongestPrefix(_) | Query::LastSum => Some((0, 1)),
            _ => None,
        }
    }

    /// The rows it finds among all entries that there are, and which it has read: those present, and
    /// what could come between.
    pub(crate) fn model(&self, all: &BTreeMap<Entry, Stored>) -> (Vec<Stored>, Covers) {
        let found: Vec<(&Entry, &Stored)> = all
            .iter()
            .filter(|(entry, _)| self.ranges_over(entry))
            .collect();
        let query = self.clone();
        let rows = |found: &[(&Entry, &Stored)]| -> Vec<Stored> {
            found.iter().map(|(_, stored)| (*stored).clone()).collect()
        };
        if let (true, Some((Entry::Item(last), _))) = (self.is_longest(), found.last()) {
            let longest = Entry::Item(last.first_of_key());
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
        match self {
            Query::Site(query) => query.run(db),
            Query::Part(query) => query.run(db),
            Query::Own(query) => query.run(db),
            Query::AtSite(site) => owned(items.by_site(site)),
            Query::Get(id) => owned(items.get(id)),
            Query::Prefix(prefix) => owned(items.prefix(prefix.as_str())),
            Query::Range(lo, hi) => owned(items.range(lo.as_str()..hi.as_str())),
            Query::From(lo) => owned(items.range(lo.as_str()..)),
            Query::Len => {
                let rows = owned(items.iter());
                assert_eq!(items.len(), rows.len());
                rows
            }
            Query::Page(_) | Query::Pages(..) => {
                let (front, back) = self.limits().unwrap_or_default();
                let mut rows = items.iter();
                let mut found = owned((0..front).map_while(|_| rows.next()));
                let mut last = owned((0..back).map_while(|_| rows.next_back()));
                last.reverse();
                found.extend(last);
                found
            }
            Query::LongestPrefix(text) => owned(items.longest_prefix(text.as_str())),
            Query::Group(group) => owned(items.by_group(*group)),
            Query::GroupFirst(group) => owned(items.by_group(*group).take(1)),
            Query::GroupsUpTo(hi) => owned(items.group_index().range(..=*hi)),
            Query::Tag(tag) => owned(items.by_tags(tag)),
            Query::TagPrefix(prefix) => owned(items.tags_index().prefix(prefix.as_str())),
            Query::Serial(serial) => owned(items.by_serial(*serial)),
            Query::Serials(lo, hi) => owned(items.serial_index().range(*lo..*hi)),
            Query::GroupValues(group, lo, hi) => owned(
                items
                    .group_value_index()
                    .leading_range(*group, Reverse(*hi)..=Reverse(*lo)),
            ),
            Query::TagGroup(tag, group) => owned(items.by_tag_group((tag, *group))),
            Query::TagGroups(tag, lo) => owned(
                items
                    .tag_group_index()
                    .leading_range(tag, (Bound::Excluded(*lo), Bound::Unbounded)),
            ),
            Query::First(group, serial) => owned(items.by_first((*group, *serial))),
            Query::Sums(lo, hi) => owned(
                items
                    .sum_index()
                    .range((Bound::Excluded(*lo), Bound::Included(*hi))),
            ),
            Query::LastSum => owned(items.sum_index().last()),
            Query::High => owned(items.high_index().iter()),
            Query::Name(name) => owned(items.by_name(name)),
            Query::NamePrefix(prefix) => owned(items.name_index().prefix(prefix)),
            Query::NameLongest(text) => owned(items.name_index().longest_prefix(text)),
            Query::Label(label) => owned(items.labels_index().leading(label)),
            Query::Route(address) => owned(items.net_index().longest_prefix(*address)),
            Query::Code(code) => owned(items.by_code(code)),
            Query::CodePrefix(prefix) => owned(items.code_index().prefix(prefix)),
            Query::CodeLongest(whole) => owned(items.code_index().longest_prefix(whole)),
            Query::LabelFrom(label, lo) => owned(items.labels_index().leading_range(label, *lo..)),
        }
    }
}

fn of_items() -> impl Strategy<Value = Query> {
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
        site::id().prop_map(Query::AtSite),
    ]
}

pub(crate) fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        12 => of_items(),
        3 => site::query().prop_map(Query::Site),
        4 => part::query().prop_map(Query::Part),
        1 => own::query().prop_map(Query::Own),
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
        Query::AtSite(site::ids()[1]),
    ]);
    pool.extend(site::pool().into_iter().map(Query::Site));
    pool.extend(part::pool().into_iter().map(Query::Part));
    pool.extend(own::pool().into_iter().map(Query::Own));
    pool
}
