//! All that a store has, as maps, and every entry of every index.

use crate::item::{self, Item};
use crate::own::{self, Note, Tally};
use crate::part::{self, Part};
use crate::site::{self, Site};
use highwater::{Row, Schema, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// Index kinds, rules and kinds of tables: all there are.
#[derive(Debug, Schema)]
pub(crate) struct Shop {
    pub(crate) items: Item,
    pub(crate) tallies: Tally,
    pub(crate) sites: Site,
    pub(crate) parts: Part,
    pub(crate) notes: Note,
}

/// A record with its create and modify index.
pub(crate) type Stored<T = Record> = (T, u64, u64);
pub(crate) type Records<T> = BTreeMap<<T as Table>::Key, Stored<T>>;

/// A record of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Item(Item),
    Site(Site),
    Part(Part),
    Tally(Tally),
    Note(Note),
}

/// An entry of one of the trees. The order within a tree is that of its keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    Item(item::Entry),
    Site(site::Entry),
    Part(part::Entry),
    Own(own::Entry),
}

macro_rules! from {
    ($($of:ty => $to:ident::$variant:ident),*) => {$(
        impl From<$of> for $to {
            fn from(of: $of) -> Self {
                $to::$variant(of)
            }
        }
    )*};
}
from!(
    Item => Record::Item, Site => Record::Site, Part => Record::Part, Tally => Record::Tally,
    Note => Record::Note, item::Entry => Entry::Item, site::Entry => Entry::Site,
    part::Entry => Entry::Part, own::Entry => Entry::Own
);

/// A unique index, and whether two records have a key of it in common.
pub(crate) type Unique<T> = (&'static str, fn(&T, &T) -> bool);

/// A table as the model has it.
pub(crate) trait Model:
    Table<Key: Ord + Clone + Debug> + Clone + Debug + Into<Record>
{
    type Entry: Into<Entry>;
    /// In declared order.
    const UNIQUE: &'static [Unique<Self>] = &[];

    fn id(&self) -> Self::Key;
    fn rows(state: &State) -> &Records<Self>;
    fn rows_mut(state: &mut State) -> &mut Records<Self>;
    fn read(db: &ShopView) -> Records<Self>;

    /// All that it has in the trees of its table.
    fn entries(&self) -> Vec<Self::Entry>;

    /// What follows from its deletion at `index`.
    fn follow(_state: &mut State, _id: &Self::Key, _index: u64) {}
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) items: Records<Item>,
    pub(crate) tallies: Records<Tally>,
    pub(crate) sites: Records<Site>,
    pub(crate) parts: Records<Part>,
    pub(crate) notes: Records<Note>,
}

impl State {
    pub(crate) fn read(db: &ShopView) -> Self {
        State {
            items: Item::read(db),
            tallies: Tally::read(db),
            sites: Site::read(db),
            parts: Part::read(db),
            notes: Note::read(db),
        }
    }

    /// Takes a record away, with what follows.
    pub(crate) fn delete<T: Model>(&mut self, id: &T::Key, index: u64) -> Option<Stored<T>> {
        let stored = T::rows_mut(self).remove(id)?;
        T::follow(self, id, index);
        Some(stored)
    }

    /// Puts a record in the place of the one before, if there is one.
    pub(crate) fn put<T: Model>(&mut self, record: T, index: u64) {
        let rows = T::rows_mut(self);
        let created = rows.get(&record.id()).map_or(index, |before| before.1);
        rows.insert(record.id(), (record, created, index));
    }

    /// The first unique index in which another record has a key of this one.
    pub(crate) fn clash<T: Model>(&self, record: &T) -> Option<&'static str> {
        let mut unique = T::UNIQUE.iter();
        let id = record.id();
        let clashes = |clash: &fn(&T, &T) -> bool| {
            let mut others = T::rows(self).iter().filter(|(other, _)| **other != id);
            others.any(|(_, (other, ..))| clash(other, record))
        };
        let found = unique.find(|(_, clash)| clashes(clash));
        found.map(|(index, _)| *index)
    }

    /// Every entry of every tree, with the row that is there.
    pub(crate) fn entries(&self) -> BTreeMap<Entry, Stored> {
        fn add<T: Model>(rows: &Records<T>, all: &mut BTreeMap<Entry, Stored>) {
            for (record, created, modified) in rows.values() {
                let stored = (record.clone().into(), *created, *modified);
                for entry in record.entries() {
                    assert!(all.insert(entry.into(), stored.clone()).is_none());
                }
            }
        }
        let mut all = BTreeMap::new();
        add(&self.items, &mut all);
        add(&self.tallies, &mut all);
        add(&self.sites, &mut all);
        add(&self.parts, &mut all);
        add(&self.notes, &mut all);
        all
    }

    /// The entries at which two states differ.
    pub(crate) fn changed(&self, after: &State) -> BTreeSet<Entry> {
        if self == after {
            return BTreeSet::new();
        }
        let (before, after) = (self.entries(), after.entries());
        let keys = before.keys().chain(after.keys());
        keys.filter(|entry| before.get(entry) != after.get(entry))
            .cloned()
            .collect()
    }

    /// Takes over what is derived at `index`, once it is found to be what it should.
    pub(crate) fn derived(&mut self, found: Records<Tally>, index: u64) {
        let content = found
            .iter()
            .map(|(site, (tally, ..))| (*site, tally.clone()));
        assert_eq!(content.collect::<BTreeMap<_, _>>(), Tally::wanted(self));
        for (site, stored) in &found {
            let before = self.tallies.get(site);
            if before == Some(stored) {
                continue;
            }
            // On the way there it may have been another, or none at all.
            let created = before.map_or(index, |before| before.1);
            assert!((stored.1 == created || stored.1 == index) && stored.2 == index);
        }
        self.tallies = found;
    }
}

pub(crate) fn stored<T: Clone>(row: &Row<T>) -> Stored<T> {
    (T::clone(row), row.create_index().0, row.modify_index().0)
}

pub(crate) fn id_of<T: Model>(row: &Row<T>) -> (T::Key, Stored<T>) {
    (row.id(), stored(row))
}

/// Rows as the model has them.
pub(crate) fn owned<'a, T: Model>(rows: impl IntoIterator<Item = &'a Row<T>>) -> Vec<Stored> {
    let rows = rows.into_iter().map(stored);
    rows.map(|(record, created, modified)| (record.into(), created, modified))
        .collect()
}
