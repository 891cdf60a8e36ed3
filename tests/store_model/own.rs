//! Tables that are in no image: what is derived of items and parts, and notes, which are local.

use crate::item::Item;
use crate::part::Part;
use crate::site::{self, Site};
use crate::state::{Model, Records, ShopView, State, Stored, id_of, owned};
use highwater::{Table, TableWriter, WriteError};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What is at a site, of two tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(derived_from = Item, by = Tally::item, derived_from = Part, by = Tally::part)]
pub(crate) struct Tally {
    #[primary_key]
    pub(crate) site: Uuid,
    pub(crate) items: u32,
    #[index(reverse)]
    pub(crate) parts: u32,
    pub(crate) weight: i32,
}

impl Tally {
    fn change(
        site: Uuid,
        tallies: &mut TableWriter<'_, Tally>,
        change: impl FnOnce(&mut Tally),
    ) -> Result<(), WriteError> {
        let found = tallies.read().get(site).map(|tally| Tally::clone(tally));
        let mut tally = found.unwrap_or(Tally {
            site,
            ..Tally::default()
        });
        change(&mut tally);
        if (tally.items, tally.parts) == (0, 0) {
            tallies.delete(site).map(drop)
        } else {
            tallies.upsert(tally).map(drop)
        }
    }

    fn item(
        before: Option<&Item>,
        after: Option<&Item>,
        tallies: &mut TableWriter<'_, Tally>,
    ) -> Result<(), WriteError> {
        let site = |item: Option<&Item>| item.and_then(|item| item.site);
        if site(before) == site(after) {
            return Ok(());
        }
        if let Some(site) = site(before) {
            Tally::change(site, tallies, |tally| tally.items -= 1)?;
        }
        match site(after) {
            Some(site) => Tally::change(site, tallies, |tally| tally.items += 1),
            None => Ok(()),
        }
    }

    fn part(
        before: Option<&Part>,
        after: Option<&Part>,
        tallies: &mut TableWriter<'_, Tally>,
    ) -> Result<(), WriteError> {
        if let Some((site, weight)) = before.and_then(Tally::of) {
            Tally::change(site, tallies, |tally| {
                tally.parts -= 1;
                tally.weight -= weight;
            })?;
        }
        if let Some((site, weight)) = after.and_then(Tally::of) {
            Tally::change(site, tallies, |tally| {
                tally.parts += 1;
                tally.weight += weight;
            })?;
        }
        Ok(())
    }

    /// What a part adds, where.
    fn of(part: &Part) -> Option<(Uuid, i32)> {
        Some((part.site?, part.weight.unwrap_or(0).into()))
    }

    /// All of them, of the records alone.
    pub(crate) fn wanted(state: &State) -> BTreeMap<Uuid, Tally> {
        let mut wanted = BTreeMap::new();
        let mut at = |site, add: &dyn Fn(&mut Tally)| {
            add(wanted.entry(site).or_insert(Tally {
                site,
                ..Tally::default()
            }));
        };
        for site in state.items.values().filter_map(|(item, ..)| item.site) {
            at(site, &|tally| tally.items += 1);
        }
        for (site, weight) in state
            .parts
            .values()
            .filter_map(|(part, ..)| Tally::of(part))
        {
            at(site, &|tally| {
                tally.parts += 1;
                tally.weight += weight;
            });
        }
        wanted
    }
}

/// A note of this process's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(local)]
pub(crate) struct Note {
    #[primary_key]
    pub(crate) id: i8,
    #[index]
    pub(crate) about: Option<Uuid>,
    /// A site that may not be there, but takes the note with it.
    #[index(sparse, references = Site, cascade)]
    pub(crate) at: Option<Uuid>,
}

/// An entry of one of the trees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    Tally(Uuid),
    Parts(Reverse<u32>, Uuid),
    Note(i8),
    About(Option<Uuid>, i8),
    At(Uuid, i8),
}

impl Model for Tally {
    type Entry = Entry;

    fn id(&self) -> Uuid {
        self.site
    }

    fn rows(state: &State) -> &Records<Self> {
        &state.tallies
    }

    fn rows_mut(state: &mut State) -> &mut Records<Self> {
        &mut state.tallies
    }

    fn read(db: &ShopView) -> Records<Self> {
        db.tallies().iter().map(id_of).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        vec![
            Entry::Tally(self.site),
            Entry::Parts(Reverse(self.parts), self.site),
        ]
    }
}

impl Model for Note {
    type Entry = Entry;

    fn id(&self) -> i8 {
        self.id
    }

    fn rows(state: &State) -> &Records<Self> {
        &state.notes
    }

    fn rows_mut(state: &mut State) -> &mut Records<Self> {
        &mut state.notes
    }

    fn read(db: &ShopView) -> Records<Self> {
        db.notes().iter().map(id_of).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        let mut all = vec![Entry::Note(self.id), Entry::About(self.about, self.id)];
        all.extend(self.at.map(|site| Entry::At(site, self.id)));
        all
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Query {
    Tally(Uuid),
    Tallies,
    /// With at least so many, the most first.
    Parts(u32),
    Note(i8),
    Notes(i8, i8),
    About(Option<Uuid>),
    At(Uuid),
}

impl Query {
    pub(crate) fn ranges_over(&self, entry: &Entry) -> bool {
        match (self, entry) {
            (Query::Tally(site), Entry::Tally(other)) | (Query::At(site), Entry::At(other, _)) => {
                site == other
            }
            (Query::Tallies, Entry::Tally(_)) => true,
            (Query::Parts(lo), Entry::Parts(parts, _)) => *lo <= parts.0,
            (Query::Note(id), Entry::Note(other)) => id == other,
            (Query::Notes(lo, hi), Entry::Note(id)) => lo <= id && id < hi,
            (Query::About(site), Entry::About(other, _)) => site == other,
            _ => false,
        }
    }

    pub(crate) fn run(&self, db: &ShopView) -> Vec<Stored> {
        let (tallies, notes) = (db.tallies(), db.notes());
        match self {
            Query::Tally(site) => owned(tallies.get(*site)),
            Query::Tallies => owned(tallies.iter()),
            Query::Parts(lo) => owned(tallies.parts_index().range(..=Reverse(*lo))),
            Query::Note(id) => owned(notes.get(*id)),
            Query::Notes(lo, hi) => owned(notes.range(*lo..*hi)),
            Query::About(site) => owned(notes.by_about(*site)),
            Query::At(site) => owned(notes.by_at(site)),
        }
    }
}

pub(crate) fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        site::id().prop_map(Query::Tally),
        Just(Query::Tallies),
        (0..3_u32).prop_map(Query::Parts),
        note_id().prop_map(Query::Note),
        (note_id(), note_id()).prop_map(|(lo, hi)| Query::Notes(lo, hi)),
        prop::option::of(site::id()).prop_map(Query::About),
        site::id().prop_map(Query::At),
    ]
}

pub(crate) fn pool() -> Vec<Query> {
    let mut pool: Vec<Query> = site::ids().map(Query::Tally).into();
    pool.extend([
        Query::Tallies,
        Query::Parts(2),
        Query::Note(-1),
        Query::Notes(-1, 1),
        Query::About(None),
        Query::At(site::ids()[1]),
    ]);
    pool
}

pub(crate) fn note_id() -> impl Strategy<Value = i8> {
    -2..3_i8
}

pub(crate) fn note() -> impl Strategy<Value = Note> {
    let site = || prop::option::of(site::id());
    (note_id(), site(), site()).prop_map(|(id, about, at)| Note { id, about, at })
}
