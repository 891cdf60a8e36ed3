//! What may happen to a store.

use crate::item::{Item, id, item};
use crate::query::{Query, query};
use proptest::prelude::*;

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

pub(crate) fn op() -> impl Strategy<Value = Op> {
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
