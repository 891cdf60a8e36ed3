//! What a store holds, in numbers.

use std::time::{Duration, Instant};

use super::core::Core;
use super::store::Store;
use super::view::Schema;
use crate::position::Position;
use crate::tree::Usage;

/// What a store holds at a moment: [`Store::stats`].
///
/// Bytes are those of the nodes of its tables and indexes. The records themselves, which are the
/// program's own values, are not in them.
///
/// A fork counts what its newest snapshot needs as any store does, whoever has the nodes;
/// `reserved_bytes` and `nodes` are of those it has made itself, and `pinned_bytes` tells nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The position of the newest snapshot, which the tables' figures are of.
    pub position: Position,
    /// Each table, in declared order.
    pub tables: Vec<TableStats>,
    /// Bytes that the newest snapshot needs.
    pub live_bytes: u64,
    /// Bytes that only older snapshots need, and those that wait to be freed.
    pub pinned_bytes: u64,
    /// Bytes taken from the allocator for nodes, free ones included.
    pub reserved_bytes: u64,
    /// Nodes of all snapshots together, by size.
    pub nodes: NodeStats,
    /// How many versions are held by somebody, the newest and snapshots of transactions included.
    pub versions: usize,
    /// The position of the oldest of them; of a snapshot of a transaction, one that was never published.
    pub oldest: Position,
    /// How long ago that was published.
    pub oldest_age: Duration,
    /// How many of them the store itself retains ([`StoreOptions::retain`](crate::StoreOptions::retain)).
    pub retained: usize,
    /// How many of the pinned bytes those need.
    pub retained_bytes: u64,
    /// Watches and waiters for an index.
    pub watchers: usize,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Its name.
    pub name: &'static str,
    /// Records.
    pub records: u64,
    /// Entries of its secondary indexes.
    pub index_entries: u64,
    /// Bytes of the nodes of its primary key and its indexes.
    pub bytes: u64,
}

/// How many nodes there are of each size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStats {
    /// Leaves: one for each entry.
    pub leaves: usize,
    /// Inner nodes with room for up to 63 children.
    pub sorted: usize,
    /// With room for all 256.
    pub full: usize,
}

impl Stats {
    /// Records of all tables.
    pub fn records(&self) -> u64 {
        self.tables.iter().map(|table| table.records).sum()
    }

    /// Entries of all secondary indexes.
    pub fn index_entries(&self) -> u64 {
        self.tables.iter().map(|table| table.index_entries).sum()
    }
}

impl<S: Schema> Store<S> {
    /// What the store holds now. O(tables and held versions); waits for no writer. What an open
    /// transaction has made so far is not counted.
    ///
    /// ```
    /// use highwater::{Schema, Store, Table};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// struct Node {
    ///     #[primary_key]
    ///     name: String,
    /// }
    ///
    /// #[derive(Schema)]
    /// struct Cluster {
    ///     nodes: Node,
    /// }
    ///
    /// let store = Store::<Cluster>::new();
    /// let before = store.snapshot();
    /// let mut txn = store.write()?;
    /// txn.nodes_mut().insert(Node { name: "n1".into() })?;
    /// txn.commit()?;
    /// let stats = store.stats();
    /// assert_eq!((stats.records(), stats.versions), (1, 2));
    /// assert_eq!(stats.oldest, before.position());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        stats(self.core())
    }
}

fn stats(core: &Core) -> Stats {
    let newest = core.current();
    let position = newest.payload().position;
    let tables: Vec<TableStats> = core
        .tables
        .iter()
        .enumerate()
        .map(|(number, table)| {
            let base = core.tables.base(number);
            let (records, primary) = newest.size(base);
            let sizes = (base + 1..base + table.trees()).map(|tree| newest.size(tree));
            let (index_entries, indexes) =
                sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
            TableStats {
                name: table.name(),
                records,
                index_entries,
                bytes: primary + indexes,
            }
        })
        .collect();
    let now = Instant::now();
    let oldest = |root: &super::core::Root| {
        let age = now.saturating_duration_since(root.published);
        (root.position, age)
    };
    let (versions, oldest) = core.versions.live(oldest);
    // This look at the newest version is one of its handles, so there is an oldest one.
    let (oldest, oldest_age) = oldest.unwrap_or((position, Duration::ZERO));
    let Usage {
        nodes: [leaves, sorted, full],
        bytes,
        reserved,
    } = core.versions.usage();
    let (retained, retained_bytes) = core.past.held();
    let live_bytes = tables.iter().map(|table| table.bytes).sum();
    Stats {
        position,
        tables,
        live_bytes,
        // A commit may come between the two looks.
        pinned_bytes: (bytes as u64).saturating_sub(live_bytes),
        reserved_bytes: reserved as u64,
        nodes: NodeStats {
            leaves,
            sorted,
            full,
        },
        versions,
        oldest,
        oldest_age,
        retained,
        retained_bytes,
        watchers: core.watches.len(),
    }
}
