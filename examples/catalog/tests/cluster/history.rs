//! Checks of what clients saw of keys: a key is a register, and no value is written twice.

use std::collections::BTreeMap;

use super::registers::{Kind, Op, check, search};

/// More takes the search too long.
const SMALL: usize = 250;

/// By log index, and, where a key's history is small, by search. Each read has the index that was
/// answered with it.
pub fn verify(history: &[Op]) -> Result<(), String> {
    // Each write has an index, whatever it writes to.
    let writes: Vec<Op> = history.iter().filter(|op| !is_read(op)).cloned().collect();
    check(&writes)?;
    for of_key in by_key(history).values() {
        check_key(of_key)?;
        never_falls(of_key)?;
        if of_key.len() <= SMALL {
            search(of_key)?;
        }
    }
    Ok(())
}

fn by_key(history: &[Op]) -> BTreeMap<&str, Vec<Op>> {
    let mut keys: BTreeMap<&str, Vec<Op>> = BTreeMap::new();
    for op in history {
        keys.entry(&op.key).or_default().push(op.clone());
    }
    keys
}

fn is_read(op: &Op) -> bool {
    matches!(op.kind, Kind::Read(_) | Kind::Local { .. })
}

fn check_key(history: &[Op]) -> Result<(), String> {
    check(&placed(history)).map(drop)
}

/// The index that is answered with what is newest never falls, whichever nodes are asked.
fn never_falls(of_key: &[Op]) -> Result<(), String> {
    let reads = of_key.iter().filter(|op| matches!(op.kind, Kind::Read(_)));
    let mut reads: Vec<&Op> = reads.collect();
    reads.sort_by_key(|op| op.began);
    let mut ended = reads.clone();
    ended.sort_by_key(|op| op.ended);
    let mut ended = ended.into_iter().peekable();
    let mut last = 0;
    for read in reads {
        while let Some(before) = ended.next_if(|before| before.ended < read.began) {
            last = last.max(before.index);
        }
        if read.index < last {
            return Err(format!("index {last} was answered before {read:?}"));
        }
    }
    Ok(())
}

/// The index of a read is that of what it read, which may have stayed the same for long. Moves each
/// to the first place in the log that it can have been at: not before what it had to see.
fn placed(of_key: &[Op]) -> Vec<Op> {
    let mut ops = of_key.to_vec();
    ops.sort_by_key(|op| op.began);
    // Of those that are under way: when they end, and their index.
    let mut under_way: Vec<(u64, u64)> = Vec::new();
    let mut floor = 0;
    for op in &mut ops {
        under_way.retain(|(ended, index)| {
            if *ended < op.began {
                floor = floor.max(*index);
            }
            *ended >= op.began
        });
        match op.kind {
            Kind::Read(_) => op.index = op.index.max(floor),
            Kind::Local { at_least, .. } => {
                op.index = op.index.max(at_least);
                continue;
            }
            Kind::Unanswered(_) => continue,
            Kind::Write(..) | Kind::Refused(_) => {}
        }
        under_way.push((op.ended, op.index));
    }
    ops
}

/// Histories that a broken catalog would have made, from one that it made.
pub fn broken(history: &[Op]) -> Vec<(&'static str, Vec<Op>)> {
    let keys = by_key(history).into_values();
    keys.filter_map(|of_key| broken_key(&of_key))
        .flatten()
        .collect()
}

/// Of a key whose last two writes that were done put values.
fn broken_key(history: &[Op]) -> Option<[(&'static str, Vec<Op>); 3]> {
    let done = |op: &&Op| matches!(op.kind, Kind::Write(_, Ok(_)));
    let mut writes: Vec<&Op> = history.iter().filter(done).collect();
    writes.sort_by_key(|op| op.index);
    let [.., before, last] = writes.as_slice() else {
        return None;
    };
    let (old, new) = (value_written(before)?, value_written(last)?);
    let saw = |op: &Op, value| matches!(op.kind, Kind::Read(read) if read == value);
    let late = |op: &Op| op.began > last.ended && saw(op, new);
    // A read that did not wait for what was answered before it.
    let mut stale = history.to_vec();
    let read = stale.iter_mut().find(|op| late(op))?;
    read.kind = Kind::Read(old);
    read.index = before.index;
    // All that saw the last write saw the one before it.
    let mut forgotten = history.to_vec();
    for op in forgotten.iter_mut().filter(|op| saw(op, new)) {
        op.kind = Kind::Read(old);
        op.index = before.index;
    }
    // Who reads at the end sees what was written before the last.
    let mut twice = history.to_vec();
    let mut end = history
        .iter()
        .filter(|op| late(op))
        .max_by_key(|op| op.ended)?
        .clone();
    end.began = end.ended + 1;
    end.ended += 2;
    end.index = history.iter().map(|op| op.index).max()? + 1;
    end.kind = Kind::Read(old);
    twice.push(end);
    Some([
        ("a read that does not wait", stale),
        ("an acknowledged write that is lost", forgotten),
        ("a write that is applied twice", twice),
    ])
}

fn value_written(op: &Op) -> Option<u64> {
    match op.kind {
        Kind::Write(_, Ok(value)) if value != 0 => Some(value),
        _ => None,
    }
}
