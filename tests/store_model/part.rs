//! Parts: of an item, at a site, on another part.

use crate::item::{Item, name, net, tag};
use crate::query::Limits;
use crate::site::Site;
use crate::state::{Model, Records, ShopView, State, Stored, id_of, owned};
use crate::{item, site};
use highwater::Table;
use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

pub(crate) type Id = (u8, String);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[index(references = Self, restrict, by_on(sparse(on_shelf), sparse(on_label)))]
#[index(by_name_net(caseless(name), net))]
#[index(by_site_sum(sparse(site), reverse(with = Part::sum -> i16)))]
#[index(by_mark_color(each(marks), each(colors)))]
#[index(by_word(each(with = Part::words -> Vec<String>)))]
#[index(when = Part::is_loose, by_loose_name(sparse(weight), reverse(caseless(name))))]
pub(crate) struct Part {
    #[primary_key]
    pub(crate) shelf: u8,
    #[primary_key]
    pub(crate) label: String,
    #[index(sparse, references = Site, cascade)]
    pub(crate) site: Option<Uuid>,
    #[index(sparse, references = Item, set_null)]
    pub(crate) item: Option<String>,
    pub(crate) on_shelf: Option<u8>,
    pub(crate) on_label: Option<String>,
    #[index(sparse, when = Part::is_loose, name = "loose")]
    pub(crate) weight: Option<i8>,
    #[expires]
    pub(crate) until: Option<SystemTime>,
    pub(crate) name: String,
    pub(crate) net: IpNet,
    pub(crate) marks: BTreeSet<u8>,
    pub(crate) colors: BTreeMap<String, u8>,
}

impl Part {
    fn sum(&self) -> i16 {
        i16::from(self.shelf) - i16::from(self.weight.unwrap_or(0))
    }

    /// Some may be there twice.
    fn words(&self) -> Vec<String> {
        let colors = self.colors.keys().cloned();
        colors.chain([self.label.clone()]).collect()
    }

    fn is_loose(&self) -> bool {
        self.item.is_none()
    }

    /// The part that it is on.
    pub(crate) fn on(&self) -> Option<Id> {
        Some((self.on_shelf?, self.on_label.clone()?))
    }
}

/// An entry of one of the trees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    Id(Id),
    On(Id, Id),
    NameNet(String, IpNet, Id),
    SiteSum(Uuid, Reverse<i16>, Id),
    MarkColor(u8, (String, u8), Id),
    Word(String, Id),
    LooseName(i8, Reverse<String>, Id),
    Site(Uuid, Id),
    Item(String, Id),
    Loose(i8, Id),
    Until(SystemTime, Id),
}

impl Model for Part {
    type Entry = Entry;

    fn id(&self) -> Id {
        (self.shelf, self.label.clone())
    }

    fn rows(state: &State) -> &Records<Self> {
        &state.parts
    }

    fn rows_mut(state: &mut State) -> &mut Records<Self> {
        &mut state.parts
    }

    fn read(db: &ShopView) -> Records<Self> {
        db.parts().iter().map(id_of).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        let id = || self.id();
        let name = self.name.to_lowercase();
        let mut all = vec![
            Entry::Id(id()),
            Entry::NameNet(name.clone(), self.net, id()),
        ];
        all.extend(self.on().map(|on| Entry::On(on, id())));
        if let Some(site) = self.site {
            all.push(Entry::SiteSum(site, Reverse(self.sum()), id()));
            all.push(Entry::Site(site, id()));
        }
        for mark in &self.marks {
            let colors = self.colors.clone().into_iter();
            all.extend(colors.map(|color| Entry::MarkColor(*mark, color, id())));
        }
        let words: BTreeSet<_> = self.words().into_iter().collect();
        all.extend(words.into_iter().map(|word| Entry::Word(word, id())));
        match &self.item {
            Some(item) => all.push(Entry::Item(item.clone(), id())),
            None => {
                if let Some(weight) = self.weight {
                    all.push(Entry::LooseName(weight, Reverse(name), id()));
                    all.push(Entry::Loose(weight, id()));
                }
            }
        }
        all.extend(self.until.map(|until| Entry::Until(until, id())));
        all
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Query {
    Get(Id),
    All,
    Shelf(u8),
    ShelfFrom(u8, String),
    Range(Id, Id),
    On(Id),
    Name(String),
    NameNet(String, IpNet),
    SiteSums(Uuid, i16, i16),
    Mark(u8),
    MarkColor(u8, String, u8),
    Word(String),
    WordPrefix(String),
    LooseName(i8, String),
    Site(Uuid),
    Item(String),
    ItemPrefix(String),
    Loose(i8),
    LooseFrom(i8),
    /// At so many microseconds.
    Due(u64),
    NextDue,
}

impl Query {
    pub(crate) fn ranges_over(&self, entry: &Entry) -> bool {
        match (self, entry) {
            (Query::Get(id), Entry::Id(other)) | (Query::On(id), Entry::On(other, _)) => {
                id == other
            }
            (Query::All, Entry::Id(_)) | (Query::NextDue, Entry::Until(..)) => true,
            (Query::Shelf(on), Entry::Id((other, _))) => on == other,
            (Query::ShelfFrom(on, lo), Entry::Id((other, label))) => on == other && lo <= label,
            (Query::Range(lo, hi), Entry::Id(id)) => lo <= id && id < hi,
            (Query::Name(name), Entry::NameNet(other, ..)) => name.to_lowercase() == *other,
            (Query::NameNet(name, net), Entry::NameNet(other, of, _)) => {
                name.to_lowercase() == *other && net == of
            }
            (Query::SiteSums(site, lo, hi), Entry::SiteSum(other, sum, _)) => {
                site == other && *lo <= sum.0 && sum.0 <= *hi
            }
            (Query::Mark(mark), Entry::MarkColor(other, ..)) => mark == other,
            (Query::MarkColor(mark, color, n), Entry::MarkColor(other, of, _)) => {
                mark == other && (color, n) == (&of.0, &of.1)
            }
            (Query::Word(word), Entry::Word(other, _))
            | (Query::Item(word), Entry::Item(other, _)) => word == other,
            (Query::WordPrefix(prefix), Entry::Word(word, _))
            | (Query::ItemPrefix(prefix), Entry::Item(word, _)) => {
                word.starts_with(prefix.as_str())
            }
            (Query::LooseName(weight, name), Entry::LooseName(other, of, _)) => {
                weight == other && name.to_lowercase() == of.0
            }
            (Query::Site(site), Entry::Site(other, _)) => site == other,
            (Query::Loose(weight), Entry::Loose(other, _)) => weight == other,
            (Query::LooseFrom(lo), Entry::Loose(weight, _)) => lo <= weight,
            (Query::Due(now), Entry::Until(until, _)) => *until <= at(*now),
            _ => false,
        }
    }

    pub(crate) fn limits(&self) -> Option<Limits> {
        matches!(self, Query::NextDue).then_some((1, 0))
    }

    pub(crate) fn run(&self, db: &ShopView) -> Vec<Stored> {
        let parts = db.parts();
        match self {
            Query::Get(id) => owned(parts.get(id)),
            Query::All => owned(parts.iter()),
            Query::Shelf(on) => owned(parts.leading(*on)),
            Query::ShelfFrom(on, lo) => owned(parts.leading_range(*on, lo.as_str()..)),
            Query::Range(lo, hi) => owned(parts.range(lo..hi)),
            Query::On(id) => owned(parts.by_on(id)),
            Query::Name(name) => owned(parts.name_net_index().leading(name)),
            Query::NameNet(name, net) => owned(parts.by_name_net((name, *net))),
            Query::SiteSums(site, lo, hi) => {
                let range = Reverse(*hi)..=Reverse(*lo);
                owned(parts.site_sum_index().leading_range(site, range))
            }
            Query::Mark(mark) => owned(parts.mark_color_index().leading(*mark)),
            Query::MarkColor(mark, color, n) => owned(parts.by_mark_color((*mark, (color, *n)))),
            Query::Word(word) => owned(parts.by_word(word)),
            Query::WordPrefix(prefix) => owned(parts.word_index().prefix(prefix.as_str())),
            Query::LooseName(weight, name) => owned(parts.by_loose_name((*weight, Reverse(name)))),
            Query::Site(site) => owned(parts.by_site(site)),
            Query::Item(item) => owned(parts.by_item(item)),
            Query::ItemPrefix(prefix) => owned(parts.item_index().prefix(prefix.as_str())),
            Query::Loose(weight) => owned(parts.by_loose(*weight)),
            Query::LooseFrom(lo) => owned(parts.loose_index().range(*lo..)),
            Query::Due(now) => owned(parts.due(at(*now))),
            Query::NextDue => {
                let first = parts.until_index().first();
                let whole = |until: SystemTime| {
                    let mut whole = SystemTime::UNIX_EPOCH;
                    while whole < until {
                        whole += Duration::from_millis(1);
                    }
                    whole
                };
                let next = first.and_then(|part| part.until).map(whole);
                assert_eq!(parts.next_due(), next);
                owned(first)
            }
        }
    }
}

/// So many microseconds.
fn at(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

pub(crate) fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        id().prop_map(Query::Get),
        Just(Query::All),
        shelf().prop_map(Query::Shelf),
        (shelf(), label()).prop_map(|(shelf, lo)| Query::ShelfFrom(shelf, lo)),
        (id(), id()).prop_map(|(lo, hi)| Query::Range(lo, hi)),
        id().prop_map(Query::On),
        name().prop_map(Query::Name),
        (name(), net()).prop_map(|(name, net)| Query::NameNet(name, net)),
        (site::id(), -3..5_i16, -3..5_i16).prop_map(|(id, lo, hi)| Query::SiteSums(id, lo, hi)),
        mark().prop_map(Query::Mark),
        (mark(), tag(), 0..2_u8).prop_map(|(mark, color, n)| Query::MarkColor(mark, color, n)),
        prop_oneof![tag(), label()].prop_map(Query::Word),
        prop_oneof!["[xy]", label()].prop_map(Query::WordPrefix),
        (weight(), name()).prop_map(|(weight, name)| Query::LooseName(weight, name)),
        site::id().prop_map(Query::Site),
        item::id().prop_map(Query::Item),
        item::id().prop_map(Query::ItemPrefix),
        weight().prop_map(Query::Loose),
        weight().prop_map(Query::LooseFrom),
        micros().prop_map(Query::Due),
        Just(Query::NextDue),
    ]
}

/// Every key, and one of each other kind.
pub(crate) fn pool() -> Vec<Query> {
    let ids = (0..3).flat_map(|shelf| ["", "a", "b"].map(|label| (shelf, label.to_owned())));
    let mut pool: Vec<Query> = ids.map(Query::Get).collect();
    let [first, .., last] = site::ids();
    pool.extend([
        Query::All,
        Query::Shelf(1),
        Query::ShelfFrom(1, "a".into()),
        Query::Range((0, "b".into()), (2, "a".into())),
        Query::On((1, "a".into())),
        Query::Name("A".into()),
        Query::NameNet("b".into(), "10.0.0.0/8".parse().unwrap()),
        Query::SiteSums(first, -1, 1),
        Query::Mark(0),
        Query::MarkColor(1, "x".into(), 1),
        Query::Word("x".into()),
        Query::WordPrefix("x".into()),
        Query::LooseName(0, "B".into()),
        Query::Site(last),
        Query::Item("a".into()),
        Query::ItemPrefix("b".into()),
        Query::Loose(1),
        Query::LooseFrom(0),
        Query::Due(1000),
        Query::NextDue,
    ]);
    pool
}

fn shelf() -> impl Strategy<Value = u8> {
    0..3_u8
}

fn label() -> impl Strategy<Value = String> {
    "[ab]{0,1}"
}

pub(crate) fn id() -> impl Strategy<Value = Id> {
    (shelf(), label())
}

fn mark() -> impl Strategy<Value = u8> {
    0..3_u8
}

fn weight() -> impl Strategy<Value = i8> {
    -1..2_i8
}

/// Some at one time of the log's clock, which counts milliseconds.
fn micros() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 500, 1000, 1500, 2000])
}

pub(crate) fn part() -> impl Strategy<Value = Part> {
    let references = (
        prop::option::weighted(0.4, site::id()),
        prop::option::weighted(0.3, item::id()),
        prop::option::weighted(0.5, shelf()),
        prop::option::weighted(0.3, label()),
    );
    (
        id(),
        references,
        prop::option::of(weight()),
        prop::option::of(micros()),
        name(),
        net(),
        btree_set(mark(), 0..3),
        btree_map(tag(), 0..2_u8, 0..3),
    )
        .prop_map(
            |(id, (site, item, on_shelf, on_label), weight, until, name, net, marks, colors)| {
                Part {
                    shelf: id.0,
                    label: id.1,
                    site,
                    item,
                    on_shelf,
                    on_label,
                    weight,
                    until: until.map(at),
                    name,
                    net,
                    marks,
                    colors,
                }
            },
        )
}
