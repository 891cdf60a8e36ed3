//! The records, and every entry of every index.

use highwater::{Row, Schema, Table};
use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// An index of every kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[index(by_group_value(group, reverse(value)))]
#[index(by_tag_group(each(tags), group))]
#[index(unique, when = Item::is_first, by_first(group, sparse(serial)))]
#[index(by_sum(with = Item::sum -> i16))]
pub(crate) struct Item {
    #[primary_key]
    pub(crate) id: String,
    #[index]
    pub(crate) group: u8,
    #[index(each)]
    pub(crate) tags: BTreeSet<String>,
    #[index(sparse, unique)]
    pub(crate) serial: Option<i8>,
    #[index(when = Item::is_first, name = "high")]
    pub(crate) value: u8,
    #[index(caseless)]
    pub(crate) name: String,
    #[index(each)]
    pub(crate) labels: BTreeMap<String, u8>,
    #[index]
    pub(crate) net: IpNet,
    #[index]
    pub(crate) code: Vec<u8>,
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
pub(crate) struct Shop {
    pub(crate) items: Item,
}

/// A stored item with its create and modify index.
pub(crate) type Stored = (Item, u64, u64);
pub(crate) type State = BTreeMap<String, Stored>;

/// An entry of one of the trees. The order within a tree is that of its keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
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
    Net(IpNet, String),
    Code(Vec<u8>, String),
}

impl Entry {
    /// Not after any entry of the same key, and after all of lesser ones.
    pub(crate) fn first_of_key(&self) -> Entry {
        let mut first = self.clone();
        match &mut first {
            Entry::Id(_) | Entry::Serial(_) | Entry::First(..) => {}
            Entry::Group(.., id)
            | Entry::Tag(.., id)
            | Entry::GroupValue(.., id)
            | Entry::TagGroup(.., id)
            | Entry::Sum(.., id)
            | Entry::High(.., id)
            | Entry::Name(.., id)
            | Entry::Label(.., id)
            | Entry::Net(.., id)
            | Entry::Code(.., id) => id.clear(),
        }
        first
    }
}

/// Every entry of every tree, with the row that is there.
pub(crate) fn entries(state: &State) -> BTreeMap<Entry, Stored> {
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
        add(Entry::Net(item.net, id.clone()));
        add(Entry::Code(item.code.clone(), id.clone()));
    }
    all
}

/// The entries at which two states differ.
pub(crate) fn changed(before: &State, after: &State) -> BTreeSet<Entry> {
    let (before, after) = (entries(before), entries(after));
    let keys = before.keys().chain(after.keys());
    keys.filter(|entry| before.get(entry) != after.get(entry))
        .cloned()
        .collect()
}

pub(crate) fn id() -> impl Strategy<Value = String> {
    "[ab]{0,4}"
}

pub(crate) fn tag() -> impl Strategy<Value = String> {
    "[xy]{1,2}"
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    "[aAbB]{0,3}"
}

/// Networks that contain one another, one with bits beyond its prefix, and of both kinds.
pub(crate) fn net() -> impl Strategy<Value = IpNet> {
    let nets = [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.2.3/8",
        "10.0.0.0/9",
        "10.1.0.0/16",
        "::/0",
        "fd00::/8",
    ];
    prop::sample::select(nets.to_vec()).prop_map(|net| net.parse().unwrap())
}

/// Addresses in them.
pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    let addresses = ["10.1.2.3", "10.200.0.1", "192.168.0.1", "fd00::1", "::1"];
    prop::sample::select(addresses.to_vec()).prop_map(|address| address.parse().unwrap())
}

/// Bytes that keys have to escape, among others.
pub(crate) fn code() -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(vec![0, 1, 255]), 0..3)
}

pub(crate) fn item() -> impl Strategy<Value = Item> {
    (
        id(),
        0..4_u8,
        btree_set(tag(), 0..3),
        proptest::option::of(-3..4_i8),
        0..3_u8,
        name(),
        btree_map(tag(), 0..3_u8, 0..2),
        net(),
        code(),
    )
        .prop_map(
            |(id, group, tags, serial, value, name, labels, net, code)| Item {
                id,
                group,
                tags,
                serial,
                value,
                name,
                labels,
                net,
                code,
            },
        )
}

pub(crate) fn stored(row: &Row<Item>) -> Stored {
    ((**row).clone(), row.create_index().0, row.modify_index().0)
}

pub(crate) fn rows(db: &ShopView) -> State {
    db.items()
        .iter()
        .map(|row| (row.id.clone(), stored(row)))
        .collect()
}
