//! Sites: what items and parts are at. A site may be within another, and goes with it.

use crate::item::name;
use crate::part::Part;
use crate::query::Limits;
use crate::state::{Model, Records, ShopView, State, Stored, Unique, id_of, owned};
use highwater::Table;
use proptest::collection::btree_set;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(check = Site::is_sound)]
#[index(by_name_rank(reverse(caseless(name)), rank))]
pub(crate) struct Site {
    #[primary_key]
    pub(crate) id: Uuid,
    #[index(sparse, references = Self, cascade)]
    pub(crate) within: Option<Uuid>,
    #[index(unique, reverse)]
    pub(crate) rank: u8,
    #[index(each, unique)]
    pub(crate) doors: BTreeSet<u8>,
    #[index(reverse, caseless)]
    pub(crate) name: String,
    pub(crate) floors: u8,
}

impl Site {
    pub(crate) fn is_sound(&self) -> bool {
        self.floors > 0
    }
}

/// An entry of one of the trees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    Id(Uuid),
    NameRank(Reverse<String>, u8, Uuid),
    Within(Uuid, Uuid),
    Rank(Reverse<u8>),
    Door(u8),
    Name(Reverse<String>, Uuid),
}

impl Model for Site {
    type Entry = Entry;
    const UNIQUE: &'static [Unique<Self>] = &[
        ("rank", |one, other| one.rank == other.rank),
        ("doors", |one, other| !one.doors.is_disjoint(&other.doors)),
    ];

    fn id(&self) -> Uuid {
        self.id
    }

    fn rows(state: &State) -> &Records<Self> {
        &state.sites
    }

    fn rows_mut(state: &mut State) -> &mut Records<Self> {
        &mut state.sites
    }

    fn read(db: &ShopView) -> Records<Self> {
        db.sites().iter().map(id_of).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        let name = Reverse(self.name.to_lowercase());
        let mut all = vec![
            Entry::Id(self.id),
            Entry::NameRank(name.clone(), self.rank, self.id),
            Entry::Rank(Reverse(self.rank)),
            Entry::Name(name, self.id),
        ];
        all.extend(self.within.map(|within| Entry::Within(within, self.id)));
        all.extend(self.doors.iter().map(|door| Entry::Door(*door)));
        all
    }

    /// What is within it goes with it, and so do the parts and notes there.
    fn follow(state: &mut State, id: &Uuid, index: u64) {
        let parts = state.parts.values().map(|(part, ..)| part);
        let parts = parts.filter(|part| part.site == Some(*id)).map(Part::id);
        for part in parts.collect::<Vec<_>>() {
            state.delete::<Part>(&part, index);
        }
        state.notes.retain(|_, (note, ..)| note.at != Some(*id));
        let sites = state.sites.values().map(|(site, ..)| site);
        let sites = sites.filter(|site| site.within == Some(*id)).map(Site::id);
        for site in sites.collect::<Vec<_>>() {
            state.delete::<Site>(&site, index);
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Query {
    Get(Uuid),
    All,
    From(Uuid),
    Within(Uuid),
    Rank(u8),
    /// From the first to the second, the highest first.
    Ranks(u8, u8),
    Top,
    Door(u8),
    Doors(u8, u8),
    Name(String),
    NamesDownTo(String),
    NameRanks(String, u8),
}

impl Query {
    pub(crate) fn ranges_over(&self, entry: &Entry) -> bool {
        let folded = |name: &String| Reverse(name.to_lowercase());
        match (self, entry) {
            (Query::Get(id), Entry::Id(other)) | (Query::Within(id), Entry::Within(other, _)) => {
                id == other
            }
            (Query::All, Entry::Id(_)) | (Query::Top, Entry::Rank(_)) => true,
            (Query::From(lo), Entry::Id(id)) => lo <= id,
            (Query::Rank(rank), Entry::Rank(other)) => *rank == other.0,
            (Query::Ranks(lo, hi), Entry::Rank(rank)) => *lo <= rank.0 && rank.0 <= *hi,
            (Query::Door(door), Entry::Door(other)) => door == other,
            (Query::Doors(lo, hi), Entry::Door(door)) => lo <= door && door < hi,
            (Query::Name(name), Entry::Name(other, _)) => folded(name) == *other,
            (Query::NamesDownTo(lo), Entry::Name(name, _)) => *name <= folded(lo),
            (Query::NameRanks(name, lo), Entry::NameRank(other, rank, _)) => {
                folded(name) == *other && lo <= rank
            }
            _ => false,
        }
    }

    pub(crate) fn limits(&self) -> Option<Limits> {
        matches!(self, Query::Top).then_some((1, 0))
    }

    pub(crate) fn run(&self, db: &ShopView) -> Vec<Stored> {
        let sites = db.sites();
        match self {
            Query::Get(id) => owned(sites.get(id)),
            Query::All => owned(sites.iter()),
            Query::From(lo) => owned(sites.range(*lo..)),
            Query::Within(id) => owned(sites.by_within(id)),
            Query::Rank(rank) => owned(sites.by_rank(Reverse(*rank))),
            Query::Ranks(lo, hi) => owned(sites.rank_index().range(Reverse(*hi)..=Reverse(*lo))),
            Query::Top => owned(sites.rank_index().first()),
            Query::Door(door) => owned(sites.by_doors(*door)),
            Query::Doors(lo, hi) => owned(sites.doors_index().range(*lo..*hi)),
            Query::Name(name) => owned(sites.by_name(Reverse(name))),
            Query::NamesDownTo(lo) => owned(sites.name_index().range(..=Reverse(lo))),
            Query::NameRanks(name, lo) => {
                owned(sites.name_rank_index().leading_range(Reverse(name), *lo..))
            }
        }
    }
}

pub(crate) fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        id().prop_map(Query::Get),
        Just(Query::All),
        id().prop_map(Query::From),
        id().prop_map(Query::Within),
        rank().prop_map(Query::Rank),
        (rank(), rank()).prop_map(|(lo, hi)| Query::Ranks(lo, hi)),
        Just(Query::Top),
        door().prop_map(Query::Door),
        (door(), door()).prop_map(|(lo, hi)| Query::Doors(lo, hi)),
        name().prop_map(Query::Name),
        name().prop_map(Query::NamesDownTo),
        (name(), rank()).prop_map(|(name, lo)| Query::NameRanks(name, lo)),
    ]
}

/// One of each kind, and all that may be at once.
pub(crate) fn pool() -> Vec<Query> {
    let mut pool: Vec<Query> = ids().map(Query::Get).into();
    pool.extend([
        Query::All,
        Query::From(ids()[2]),
        Query::Within(ids()[0]),
        Query::Rank(2),
        Query::Ranks(1, 3),
        Query::Top,
        Query::Door(1),
        Query::Doors(1, 4),
        Query::Name("A".into()),
        Query::NamesDownTo("ab".into()),
        Query::NameRanks("a".into(), 2),
    ]);
    pool
}

/// All there may be.
pub(crate) fn ids() -> [Uuid; 4] {
    [0, 1, 0x0100_0000, u128::MAX].map(Uuid::from_u128)
}

pub(crate) fn id() -> impl Strategy<Value = Uuid> {
    prop::sample::select(ids().to_vec())
}

fn rank() -> impl Strategy<Value = u8> {
    0..7_u8
}

fn door() -> impl Strategy<Value = u8> {
    0..8_u8
}

/// One for each id, each within the one before.
pub(crate) fn all() -> Vec<Site> {
    let mut within = None;
    let sites = (1_u8..).zip(ids()).map(|(n, id)| Site {
        id,
        within: within.replace(id),
        rank: n,
        doors: BTreeSet::from([n]),
        name: "a".into(),
        floors: 1,
    });
    sites.collect()
}

pub(crate) fn site() -> impl Strategy<Value = Site> {
    (
        id(),
        prop::option::weighted(0.3, id()),
        rank(),
        btree_set(door(), 0..3),
        name(),
        prop_oneof![19 => 1..3_u8, 1 => Just(0)],
    )
        .prop_map(|(id, within, rank, doors, name, floors)| Site {
            id,
            within,
            rank,
            doors,
            name,
            floors,
        })
}
