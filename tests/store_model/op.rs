//! What may happen to a store.

use crate::item::{Item, id, item};
use crate::own::{Note, note, note_id};
use crate::part::{self, Part, part};
use crate::query::{Query, query};
use crate::site::{self, Site, site};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Insert,
    Update,
    Upsert,
    UpsertIf(Expected),
    UpdateIf(Expected),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Right,
    Wrong,
    Absent,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
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
    PutSite(How, Site),
    DeleteSite(Uuid, Option<Expected>),
    /// Of these ranks or higher, each with what goes with it.
    DeleteSites(u8),
    PutPart(How, Part),
    DeletePart(part::Id, Option<Expected>),
    DeleteShelf(u8),
    /// By a query that may find a part several times.
    DeleteMarked(u8),
    PutNote(How, Note),
    DeleteNote(i8, Option<Expected>),
    /// All or none, in a table that may be cleared before.
    InsertItems(bool, Vec<Item>),
    InsertSites(bool, Vec<Site>),
    InsertParts(bool, Vec<Part>),
    /// Deletes whatever breaks a rule.
    Mend,
    Begin {
        gap: u64,
    },
    NextEntry {
        gap: u64,
    },
    Savepoint,
    Rollback(usize),
    Release(usize),
    /// Having mended what is broken, or not.
    Commit {
        mend: bool,
    },
    Abort,
    Advance {
        gap: u64,
    },
    Hold,
    LetGo(usize),
    /// A snapshot of the transaction that runs.
    See,
    /// What was seen is let go, or a fork of it written in.
    LetSeen(usize, bool),
    Watch(Query),
    Follow,
    Record(Query),
    Validate,
    Image,
    /// Of one of the images.
    Restore(usize, Way),
}

/// How an image is restored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Own,
    Rewind,
    At { gap: u64 },
}

pub(crate) fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        Just(Expected::Right),
        Just(Expected::Wrong),
        Just(Expected::Absent)
    ]
}

pub(crate) fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        2 => Just(How::Insert),
        2 => Just(How::Update),
        4 => Just(How::Upsert),
        1 => expected().prop_map(How::UpsertIf),
        1 => expected().prop_map(How::UpdateIf),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        Just(Way::Own),
        Just(Way::Rewind),
        (1..4_u64).prop_map(|gap| Way::At { gap })
    ]
}

/// A write to a table beside that of the items.
fn beside() -> impl Strategy<Value = Op> {
    let expected = || proptest::option::of(expected());
    prop_oneof![
        6 => (how(), site()).prop_map(|(how, site)| Op::PutSite(how, site)),
        3 => (site::id(), expected()).prop_map(|(id, e)| Op::DeleteSite(id, e)),
        1 => (3..6_u8).prop_map(Op::DeleteSites),
        9 => (how(), part()).prop_map(|(how, part)| Op::PutPart(how, part)),
        2 => (part::id(), expected()).prop_map(|(id, e)| Op::DeletePart(id, e)),
        1 => (0..3_u8).prop_map(Op::DeleteShelf),
        1 => (0..3_u8).prop_map(Op::DeleteMarked),
        2 => (how(), note()).prop_map(|(how, note)| Op::PutNote(how, note)),
        1 => (note_id(), expected()).prop_map(|(id, e)| Op::DeleteNote(id, e)),
        1 => (any::<bool>(), vec(item(), 0..5)).prop_map(|(c, all)| Op::InsertItems(c, all)),
        1 => (any::<bool>(), vec(site(), 0..3)).prop_map(|(c, all)| Op::InsertSites(c, all)),
        1 => (any::<bool>(), vec(part(), 0..4)).prop_map(|(c, all)| Op::InsertParts(c, all)),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        24 => (how(), item()).prop_map(|(how, item)| Op::Put(how, item)),
        8 => (id(), proptest::option::of(expected())).prop_map(|(id, e)| Op::Delete(id, e)),
        4 => (id(), 0..3_u8).prop_map(|(id, value)| Op::Touch(id, value)),
        4 => (id(), 0..3_u8).prop_map(|(id, value)| Op::Change(id, value)),
        1 => "[ab]{1,3}".prop_map(Op::DeletePrefix),
        1 => "[xy]".prop_map(Op::DeleteTagged),
        1 => (0..3_u8).prop_map(Op::DeleteWhere),
        32 => beside(),
        2 => Just(Op::Mend),
        3 => (1..4_u64).prop_map(|gap| Op::Begin { gap }),
        4 => (1..3_u64).prop_map(|gap| Op::NextEntry { gap }),
        4 => Just(Op::Savepoint),
        3 => (0..3_usize).prop_map(Op::Rollback),
        1 => (0..3_usize).prop_map(Op::Release),
        10 => prop::bool::weighted(0.7).prop_map(|mend| Op::Commit { mend }),
        1 => Just(Op::Abort),
        1 => (1..3_u64).prop_map(|gap| Op::Advance { gap }),
        3 => Just(Op::Hold),
        2 => (0..8_usize).prop_map(Op::LetGo),
        3 => Just(Op::See),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, fork)| Op::LetSeen(n, fork)),
        12 => query().prop_map(Op::Watch),
        1 => Just(Op::Follow),
        4 => query().prop_map(Op::Record),
        3 => Just(Op::Validate),
        2 => Just(Op::Image),
        2 => (any::<usize>(), way()).prop_map(|(image, way)| Op::Restore(image, way)),
    ]
}
