//! What tests of clusters share: registers, and the check of a history of them.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "no interface of anybody")]

use highwater::fsm::{Command, Context};
use highwater::{Schema, Table, WriteError, WriteTxn};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
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

/// Why a swap was refused: what the register holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held(pub u64);

impl From<WriteError> for Held {
    fn from(error: WriteError) -> Self {
        panic!("no write of a register is refused: {error}")
    }
}

impl Command<Registers> for Write {
    type Reply = u64;
    type Error = Held;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Registers>) -> Result<u64, Held> {
        let Write { key, change } = self;
        let held = txn
            .registers()
            .get(&key)
            .map_or(0, |register| register.value);
        let value = change.of(held).map_err(Held)?;
        txn.registers_mut().upsert(Register { key, value })?;
        Ok(value)
    }
}

/// What a client did, and what it was told.
///
/// A write that nobody answered has no end and no index that mean anything.
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
    /// A swap that was refused, without a word on what the register held.
    Refused(Change),
    /// A write that nobody answered: it happens once, at any time after it began, or never.
    Unanswered(Change),
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
        matches!(self.kind, Kind::Write(..) | Kind::Refused(_))
    }

    fn is_answered(&self) -> bool {
        !matches!(self.kind, Kind::Unanswered(_))
    }
}

/// What a register may hold, each with the writes, of those that nobody answered, that it takes.
#[derive(Clone, Debug)]
struct Possible(BTreeSet<(u64, BTreeSet<usize>)>);

impl Possible {
    fn new() -> Self {
        Possible(BTreeSet::from([(0, BTreeSet::new())]))
    }

    /// Lets those of `unanswered` happen that began before `time`, in any order.
    fn disturb(&mut self, unanswered: &[(u64, &Change)], time: u64) {
        let mut new: Vec<_> = self.0.iter().cloned().collect();
        while let Some((value, taken)) = new.pop() {
            for (i, (began, change)) in unanswered.iter().enumerate() {
                if *began < time
                    && !taken.contains(&i)
                    && let Ok(changed) = change.of(value)
                {
                    let taken = taken.iter().copied().chain([i]).collect();
                    let state = (changed, taken);
                    if self.0.insert(state.clone()) {
                        new.push(state);
                    }
                }
            }
        }
    }

    /// Keeps what fits, as it is then; of those that hold the same, those that take no more than
    /// it needs. False if nothing fits.
    fn fit(&mut self, mut fits: impl FnMut(u64) -> Option<u64>) -> bool {
        let mut fitting: Vec<(u64, BTreeSet<usize>)> = Vec::new();
        let mut states: Vec<_> = std::mem::take(&mut self.0).into_iter().collect();
        states.sort_by_key(|(_, taken)| taken.len());
        for (value, taken) in states {
            let Some(value) = fits(value) else { continue };
            let more =
                |(other, less): &(u64, BTreeSet<usize>)| *other == value && less.is_subset(&taken);
            if !fitting.iter().any(more) {
                fitting.push((value, taken));
            }
        }
        self.0.extend(fitting);
        !self.0.is_empty()
    }
}

/// Checks a history by the log indexes of the answers: they are the order that must explain it.
/// Returns what the registers hold at its end; if that may be several things, one of them.
pub fn check(history: &[Op]) -> Result<BTreeMap<String, u64>, String> {
    let mut unanswered: HashMap<&str, Vec<(u64, &Change)>> = HashMap::new();
    for op in history {
        if let Kind::Unanswered(change) = &op.kind {
            let of_key = unanswered.entry(&op.key).or_default();
            of_key.push((op.began, change));
        }
    }
    // What was answered before an operation began is before it.
    let mut ops: Vec<&Op> = history.iter().filter(|op| op.is_answered()).collect();
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
    let mut registers: BTreeMap<String, Possible> = BTreeMap::new();
    let mut last = 0;
    for op in ops {
        if op.is_write() {
            if op.index == last {
                return Err(format!("two writes at one index: {op:?}"));
            }
            last = op.index;
        }
        let held = registers
            .entry(op.key.clone())
            .or_insert_with(Possible::new);
        if let Some(unanswered) = unanswered.get(op.key.as_str()) {
            held.disturb(unanswered, op.ended);
        }
        let before = held.clone();
        let fits = held.fit(|held| match &op.kind {
            Kind::Write(change, told) => {
                let made = change.of(held);
                (made == *told).then_some(made.unwrap_or(held))
            }
            Kind::Refused(change) => change.of(held).is_err().then_some(held),
            Kind::Read(value) => (*value == held).then_some(held),
            Kind::Local { at_least, value } => {
                (*value == held && op.index >= *at_least).then_some(held)
            }
            Kind::Unanswered(_) => Some(held),
        });
        if !fits {
            return Err(format!("the register held {before:?}: {op:?}"));
        }
    }
    let first = |held: Possible| held.0.into_iter().next().map_or(0, |(value, _)| value);
    let written = registers.into_iter().map(|(key, held)| (key, first(held)));
    Ok(written.collect())
}

/// A register as the search-based checker knows it.
struct One;

/// What is known of the outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Told {
    All(Result<u64, u64>),
    Refused,
    Nothing,
}

impl Specification for One {
    type State = u64;
    type Operation = Option<(Change, Told)>;

    fn init() -> u64 {
        0
    }

    fn apply(op: &Self::Operation, state: &u64) -> (bool, u64) {
        let Some((change, told)) = op else {
            return (false, *state);
        };
        let made = change.of(*state);
        let fits = match told {
            Told::All(told) => made == *told,
            Told::Refused => made.is_err(),
            Told::Nothing => true,
        };
        (fits, made.unwrap_or(*state))
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
    // Who has no answer does nothing more: his other operations are another client's.
    let clients = history.iter().map(|op| op.client + 1).max().unwrap_or(0);
    for (key, ops) in keys {
        let mut actions = Vec::new();
        for (i, op) in ops.into_iter().enumerate() {
            let (client, ended) = if op.is_answered() {
                (op.client, op.ended)
            } else {
                (clients + i, u64::MAX)
            };
            // A read is a change that adds nothing.
            let done = match &op.kind {
                Kind::Write(change, told) => (change.clone(), Told::All(*told)),
                Kind::Refused(change) => (change.clone(), Told::Refused),
                Kind::Unanswered(change) => (change.clone(), Told::Nothing),
                Kind::Read(value) => (Change::Add(0), Told::All(Ok(*value))),
                Kind::Local { .. } => continue,
            };
            actions.push((op.began, 0, client, Action::Call(None)));
            actions.push((ended, 1, client, Action::Response(Some(done))));
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
