//! What tests of clusters share: registers, and the check of a history of them.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "no interface of anybody")]

use highwater::fsm::{Command, Entry};
use highwater::{Schema, Table, WriteTxn};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "registers")]
pub struct Register {
    #[primary_key]
    pub key: String,
    pub value: u64,
}

#[derive(Debug, Schema)]
pub struct Registers {
    registers: Register,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    Put(u64),
    Add(u64),
    /// From one value to another, or nothing.
    Swap(u64, u64),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    pub key: String,
    pub change: Change,
}

impl Change {
    /// What the register holds then, or why not: what it held.
    pub fn of(&self, value: u64) -> Result<u64, u64> {
        match *self {
            Change::Put(new) => Ok(new),
            Change::Add(more) => Ok(value + more),
            Change::Swap(from, to) if value == from => Ok(to),
            Change::Swap(..) => Err(value),
        }
    }
}

impl Command<Registers> for Write {
    type Reply = u64;
    type Error = u64;

    fn apply(self, _: &Entry, txn: &mut WriteTxn<Registers>) -> Result<u64, u64> {
        let Write { key, change } = self;
        let held = txn
            .registers()
            .get(&key)
            .map_or(0, |register| register.value);
        let value = change.of(held)?;
        txn.registers_mut().upsert(Register { key, value }).unwrap();
        Ok(value)
    }
}

/// What a client did, and what it was told.
#[derive(Clone, Debug)]
pub struct Op {
    pub client: usize,
    /// When it was asked and answered, by one clock.
    pub began: u64,
    pub ended: u64,
    /// The log index of the answer.
    pub index: u64,
    pub key: String,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Write(Change, Result<u64, u64>),
    /// Sees every write that was answered before it.
    Read(u64),
    /// Sees what it asked for, by index, and perhaps not the newest.
    Local {
        at_least: u64,
        value: u64,
    },
}

impl Op {
    fn is_write(&self) -> bool {
        matches!(self.kind, Kind::Write(..))
    }
}

/// Checks a history of which every operation was answered, by the log indexes of the answers: they
/// are the order that must explain it. Returns what the registers hold at its end.
pub fn check(history: &[Op]) -> Result<BTreeMap<String, u64>, String> {
    // What was answered before an operation began is before it.
    let mut ops: Vec<&Op> = history.iter().collect();
    ops.sort_by_key(|op| op.began);
    let linear = |op: &&Op| !matches!(op.kind, Kind::Local { .. });
    let mut ended: Vec<&Op> = ops.iter().copied().filter(linear).collect();
    ended.sort_by_key(|op| op.ended);
    let mut ended = ended.into_iter().peekable();
    let mut floor = 0;
    for op in ops.iter().copied().filter(linear) {
        while let Some(before) = ended.next_if(|before| before.ended < op.began) {
            floor = floor.max(before.index);
        }
        if op.index < floor || (op.is_write() && op.index == floor) {
            return Err(format!("index {floor} was answered before {op:?}"));
        }
    }
    // Each answer is what the writes up to its index make of the registers.
    ops.sort_by_key(|op| (op.index, !op.is_write()));
    let mut registers = BTreeMap::new();
    let mut last = 0;
    for op in ops {
        let held = registers.get(&op.key).copied().unwrap_or(0);
        match &op.kind {
            Kind::Write(change, told) => {
                if op.index == last {
                    return Err(format!("two writes at one index: {op:?}"));
                }
                last = op.index;
                let value = change.of(held);
                if value != *told {
                    return Err(format!("{value:?} was expected: {op:?}"));
                }
                if let Ok(value) = value {
                    registers.insert(op.key.clone(), value);
                }
            }
            Kind::Read(value) if *value == held => {}
            Kind::Local { at_least, value } if *value == held && op.index >= *at_least => {}
            Kind::Read(_) | Kind::Local { .. } => {
                return Err(format!("the register held {held}: {op:?}"));
            }
        }
    }
    Ok(registers)
}

/// A register as the search-based checker knows it.
struct One;

impl Specification for One {
    type State = u64;
    type Operation = Option<(Change, Result<u64, u64>)>;

    fn init() -> u64 {
        0
    }

    fn apply(op: &Self::Operation, state: &u64) -> (bool, u64) {
        match op {
            Some((change, told)) => match change.of(*state) {
                Ok(value) if *told == Ok(value) => (true, value),
                result => (result == *told && result.is_err(), *state),
            },
            None => (false, *state),
        }
    }
}

/// Searches for an order that explains the history, without knowing of indexes (Wing and Gong,
/// "Testing and verifying concurrent objects", 1993; extended by Lowe). For small histories.
pub fn search(history: &[Op]) -> Result<(), String> {
    let mut keys: HashMap<&str, Vec<&Op>> = HashMap::new();
    for op in history {
        if !matches!(op.kind, Kind::Local { .. }) {
            keys.entry(&op.key).or_default().push(op);
        }
    }
    for (key, ops) in keys {
        let mut actions = Vec::new();
        for op in ops {
            // A read is a change that adds nothing.
            let done = match &op.kind {
                Kind::Write(change, told) => (change.clone(), *told),
                Kind::Read(value) => (Change::Add(0), Ok(*value)),
                Kind::Local { .. } => continue,
            };
            actions.push((op.began, 0, op.client, Action::Call(None)));
            actions.push((op.ended, 1, op.client, Action::Response(Some(done))));
        }
        // An answer and a question of the same time may be in either order: the weaker claim.
        actions.sort_by_key(|(time, answer, ..)| (*time, *answer));
        let actions = actions
            .into_iter()
            .map(|(_, _, client, action)| (client, action));
        if !WGLChecker::<One>::is_linearizable(History::from_actions(actions.collect())) {
            return Err(format!("no order explains what was seen of {key}"));
        }
    }
    Ok(())
}

/// A small, seeded generator (Marsaglia, "Xorshift RNGs", 2003).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
