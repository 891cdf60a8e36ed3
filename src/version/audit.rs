//! Whose each node is: every one that was made and not freed yet is of the newest version, of the
//! edition that is open, or on exactly one list of what waits to be freed. So a leak or an early free
//! is found at the step at which it happens.

use super::reclaim::{Block, Dead};
use super::{Edition, Versions};
use crate::tree::{Link, RawTree, birth, for_each_below, size};
use std::collections::{HashMap, HashSet};

type Nodes = HashSet<Link>;

/// The nodes at and below these that are younger than `floor`: what is below an older one is older.
fn at_and_below(nodes: impl IntoIterator<Item = Link>, floor: u64) -> Nodes {
    let mut open: Vec<Link> = nodes.into_iter().filter(|node| !node.is_null()).collect();
    let mut found = Nodes::new();
    while let Some(node) = open.pop() {
        // SAFETY: the callers': the nodes are live. One that is not is poisoned, and panics here.
        unsafe {
            if birth(node) > floor {
                assert!(found.insert(node), "two ways lead to one node");
                for_each_below(node, |below| open.push(below));
            }
        }
    }
    found
}

fn reached(trees: &[RawTree], floor: u64) -> Nodes {
    at_and_below(trees.iter().map(RawTree::root), floor)
}

fn bytes<'a>(nodes: impl IntoIterator<Item = &'a Link>) -> usize {
    // SAFETY: as above.
    nodes.into_iter().map(|&node| unsafe { size(node) }).sum()
}

/// All that a list of what waits stands for.
fn listed<'a>(blocks: impl IntoIterator<Item = &'a Block>, floor: u64) -> Vec<Link> {
    let entries = blocks.into_iter().flat_map(Block::entries);
    let nodes = entries.flat_map(|&entry| match entry {
        Dead::Node(node) => Nodes::from([node]),
        Dead::Deep(node) => at_and_below([node], floor),
    });
    nodes.collect()
}

/// Each node with whose it is.
#[derive(Default)]
struct Ledger(HashMap<Link, &'static str>);

impl Ledger {
    fn enter(&mut self, nodes: impl IntoIterator<Item = Link>, owner: &'static str) {
        for node in nodes {
            if let Some(other) = self.0.insert(node, owner) {
                panic!("a node of {owner} is of {other}, too");
            }
        }
    }

    fn has_all(&self, nodes: &Nodes) -> bool {
        nodes.iter().all(|node| self.0.contains_key(node))
    }
}

/// Tests all of it, of a core whose open edition this is, if there is one. `one_line`: no edition of which
/// there is a snapshot has gone back, so that what waits on a list is needed by whose it is.
pub(super) fn audit<P: Send + Sync + 'static>(
    versions: &Versions<P>,
    open: Option<&Edition<P>>,
    one_line: bool,
) {
    let core = versions.core();
    let slot = core.lock();
    let writer = match open {
        Some(edition) => &edition.writer,
        None => &slot.writer,
    };
    let writer = writer.as_deref().expect("nobody else writes");
    let floor = writer.reclaimer.floor();
    let newest = versions.current();
    let newest = newest.record();

    let mut ledger = Ledger::default();
    ledger.enter(reached(&newest.trees, floor), "the newest version");
    // SAFETY: what is in the map is not destroyed; only the writer would, and touch dead lists.
    let live = core.live.all().into_iter();
    let live: Vec<_> = live.map(|record| unsafe { record.as_ref() }).collect();
    for record in &live {
        // SAFETY: as above.
        let waiting = listed(unsafe { &*record.dead.get() }, floor);
        if one_line {
            let reached = reached(&record.trees, floor);
            assert!(
                waiting.iter().all(|node| reached.contains(node)),
                "a dead list has what its version does not need"
            );
        }
        ledger.enter(waiting, "a dead list");
    }
    for blocks in writer.reclaimer.estates() {
        ledger.enter(listed(blocks, floor), "the estate of a version that died");
    }
    for (floor, nodes) in writer.reclaimer.dropped() {
        let made = at_and_below(nodes.iter().copied(), floor);
        ledger.enter(made, "an edition that was dropped");
    }
    if let Some(edition) = open {
        let made = made_and_given_up(edition, floor, &ledger, one_line);
        ledger.enter(made, "the open edition");
    }
    for record in live.into_iter().filter(|record| record.is_held()) {
        assert!(
            ledger.has_all(&reached(&record.trees, floor)),
            "a version needs what was freed"
        );
    }

    let usage = writer.edits.usage();
    assert_eq!(
        (ledger.0.len(), bytes(ledger.0.keys())),
        (usage.nodes.iter().sum(), usage.bytes),
        "of all nodes: those that somebody has, and those that were made and not freed"
    );
}

/// The nodes that an edition has made. Tests that those it and its base have, and its trees do not,
/// are noted as given up, unless a snapshot of it has them on its list.
fn made_and_given_up<P: Send + Sync + 'static>(
    edition: &Edition<P>,
    floor: u64,
    listed: &Ledger,
    one_line: bool,
) -> Nodes {
    let base = edition.base().record();
    let mut made = reached(&edition.trees, base.generation);
    for mark in &edition.marks {
        let mut seen = reached(mark.trees(), base.generation);
        // What a snapshot is the last to see is on its list, or on that of a later one.
        if !mark.is_savepoint() {
            seen.retain(|node| !listed.0.contains_key(node));
        }
        made.extend(seen);
    }
    let mut gone = made.clone();
    gone.extend(reached(&base.trees, floor));
    let working = reached(&edition.trees, floor);
    gone.retain(|node| !working.contains(node));

    let earlier = edition.marks.iter().map(|mark| &mark.before);
    let retired = earlier.clone().flat_map(|given| &given.retired);
    let retired = retired.chain(&edition.edits().retired).copied();
    // SAFETY: what was retired is live until the edition ends.
    let retired = retired.filter(|&node| unsafe { birth(node) } > floor);
    let deep = earlier.clone().flat_map(|given| &given.deep);
    let deep: Vec<Link> = deep.chain(&edition.deep).copied().collect();
    let mut noted = Ledger::default();
    noted.enter(retired, "what was retired");
    noted.enter(
        at_and_below(deep.iter().copied(), floor),
        "what was given up whole",
    );
    assert!(noted.has_all(&gone), "what was given up is noted");
    assert!(!one_line || noted.0.len() == gone.len(), "and nothing else");

    let deep_bytes = earlier.map(|given| given.deep_bytes).sum::<u64>();
    let deep_bytes = deep_bytes + edition.deep_bytes;
    assert_eq!(deep_bytes, bytes(&at_and_below(deep, 0)) as u64);
    // SAFETY: as above.
    let noted = noted.0.into_keys();
    made.extend(noted.filter(|&node| unsafe { birth(node) } > base.generation));
    made
}
