//! Items, with an index of nearly every kind.

use crate::part::Part;
use crate::site::{self, Site};
use crate::state::{Model, Records, ShopView, State, Unique, id_of};
use highwater::Table;
use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use uuid::Uuid;

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
    #[index(sparse, references = Site, restrict)]
    pub(crate) site: Option<Uuid>,
}

impl Item {
    fn is_first(&self) -> bool {
        self.value == 0
    }

    fn sum(&self) -> i16 {
        i16::from(self.group) - i16::from(self.value)
    }
}

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
    Site(Uuid, String),
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
            | Entry::Code(.., id)
            | Entry::Site(.., id) => id.clear(),
        }
        first
    }
}

impl Model for Item {
    type Entry = Entry;
    const UNIQUE: &'static [Unique<Self>] = &[
        ("first", |one, other| {
            one.is_first()
                && other.is_first()
                && one.group == other.group
                && one.serial.is_some()
                && one.serial == other.serial
        }),
        ("serial", |one, other| {
            one.serial.is_some() && one.serial == other.serial
        }),
    ];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn rows(state: &State) -> &Records<Self> {
        &state.items
    }

    fn rows_mut(state: &mut State) -> &mut Records<Self> {
        &mut state.items
    }

    fn read(db: &ShopView) -> Records<Self> {
        db.items().iter().map(id_of).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        let id = || self.id.clone();
        let mut all = vec![
            Entry::Id(id()),
            Entry::Group(self.group, id()),
            Entry::GroupValue(self.group, Reverse(self.value), id()),
            Entry::Sum(self.sum(), id()),
            Entry::Name(self.name.to_lowercase(), id()),
            Entry::Net(self.net, id()),
            Entry::Code(self.code.clone(), id()),
        ];
        for tag in &self.tags {
            all.push(Entry::Tag(tag.clone(), id()));
            all.push(Entry::TagGroup(tag.clone(), self.group, id()));
        }
        if let Some(serial) = self.serial {
            all.push(Entry::Serial(serial));
            if self.is_first() {
                all.push(Entry::First(self.group, serial));
            }
        }
        if self.is_first() {
            all.push(Entry::High(0, id()));
        }
        let labels = self.labels.iter();
        all.extend(labels.map(|(label, n)| Entry::Label(label.clone(), *n, id())));
        all.extend(self.site.map(|site| Entry::Site(site, id())));
        all
    }

    /// Parts go on without it.
    fn follow(state: &mut State, id: &String, index: u64) {
        let parts = state.parts.values_mut();
        let of_it = parts.filter(|(part, ..)| part.item.as_ref() == Some(id));
        for (Part { item, .. }, _, modified) in of_it {
            *item = None;
            *modified = index;
        }
    }
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
        (code(), proptest::option::weighted(0.3, site::id())),
    )
        .prop_map(
            |(id, group, tags, serial, value, name, labels, net, (code, site))| Item {
                id,
                group,
                tags,
                serial,
                value,
                name,
                labels,
                net,
                code,
                site,
            },
        )
}
