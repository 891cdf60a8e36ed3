//! [`Guard`]: what was read of a snapshot, to be compared later with what is there then.
//!
//! The index of a query is a function of the log: equal on every replica. So whether a query would
//! find the same still is a comparison of two numbers, and the answer is the same everywhere.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::core::{Root, Tables};
use super::error::KeyText;
use super::fork::Origin;
use super::reader::everything;
use super::snapshot::Snapshot;
use super::track::Seen;
use super::txn::{Txn, WriteTxn};
use super::view::{RawView, Schema, View};
use crate::key::{ByteRange, KeyBuf, Show};
use crate::position::{HistoryId, LogIndex, Position};
use crate::tree::Stamp;
use crate::version::Version;
use crate::watch::{Region, Scope, coarsened};

/// More reads of one index are joined to half as many.
const MAX_READS: usize = 1024;

/// What a closure has read of a snapshot: keys, absent keys, prefixes and ranges, each with its log
/// index then.
///
/// Made by [`Snapshot::guarded`]. A command carries it through the log, and finds out with
/// [`WriteTxn::validate`] whether all of that is still so: what it decided on what was read is then as
/// good as if it had been decided now. So a transaction of several steps needs no locks, and is
/// serializable.
///
/// It encodes with serde, in a few dozen bytes and the keys. It names tables and indexes, so that
/// it means the same to a program with others beside them.
///
/// ```
/// # use highwater::{Schema, Store, Table};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// # pub struct Account { #[primary_key] pub id: String, pub amount: u64 }
/// # #[derive(Schema)]
/// # pub struct Bank { accounts: Account }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::<Bank>::new();
/// # let mut txn = store.write()?;
/// # txn.accounts_mut().insert(Account { id: "a".into(), amount: 7 })?;
/// # txn.commit()?;
/// let (amount, guard) = store.snapshot().guarded(|db| {
///     db.accounts().get("a").map_or(0, |account| account.amount)
/// });
///
/// // Later, perhaps in a command that has come through the log:
/// let mut txn = store.write()?;
/// txn.validate(&guard)?;
/// txn.accounts_mut().update(Account { id: "a".into(), amount: amount - 5 })?;
/// txn.commit()?;
///
/// let txn = store.write()?;
/// let conflict = txn.validate(&guard).unwrap_err();
/// assert_eq!(
///     conflict.to_string(),
///     "table account, record \"a\" has changed: its log index is 2, and was 1 when it was read; read it again"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Guard {
    position: Position,
    reads: Vec<Reads>,
}

/// What was read of one index.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Reads {
    table: Cow<'static, str>,
    /// None: by primary key.
    index: Option<Cow<'static, str>>,
    keys: Vec<Read>,
}

/// One part of an index, and its index when it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
struct Read(Part, Stamp);

/// As [`Scope`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
enum Part {
    #[serde(rename = "k")]
    Point(Bytes),
    #[serde(rename = "p")]
    Prefix(Bytes),
    #[serde(rename = "r")]
    Range(Bytes, Option<Bytes>),
}

/// Bytes that encode as such.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bytes(Box<[u8]>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.into()))
            }

            // Formats without bytes have numbers.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes.into()))
            }
        }
        deserializer.deserialize_bytes(Any)
    }
}

impl From<Region> for Part {
    fn from(region: Region) -> Self {
        match region {
            Region::Point(key) => Part::Point(Bytes(key)),
            Region::Prefix(key) => Part::Prefix(Bytes(key)),
            Region::Range(lo, hi) => Part::Range(Bytes(lo), hi.map(Bytes)),
        }
    }
}

impl Part {
    fn scope(&self) -> Scope {
        let key = |bytes: &Bytes| KeyBuf::from(&bytes.0[..]);
        match self {
            Part::Point(bytes) => Scope::Point(key(bytes)),
            Part::Prefix(bytes) => Scope::Prefix(key(bytes)),
            Part::Range(lo, hi) => Scope::Range(ByteRange {
                lo: key(lo),
                hi: hi.as_ref().map(key),
            }),
        }
    }
}

/// Why what a [`Guard`] guards is not so any more.
///
/// It can be a command's error: it encodes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum Conflict {
    /// Something that was read has changed.
    Changed {
        /// The table.
        table: Cow<'static, str>,
        /// The index that was read; none for the primary key.
        index: Option<Cow<'static, str>>,
        /// What was read of it.
        keys: ReadKeys,
        /// The log index of that when it was read; none if nothing had ever been written there.
        read: Option<LogIndex>,
        /// Its log index now; none if nothing has been written there, which is so after the store was
        /// [taken back](crate::Store::rewind).
        now: Option<LogIndex>,
    },
    /// It was read in another history.
    OtherHistory {
        /// The history it was read in.
        read: HistoryId,
        /// The history of the store now.
        now: HistoryId,
    },
    /// The table is a process's own, or is derived: replicas that hold the same differ in its indexes, so
    /// what was read of it cannot be guarded.
    Local {
        /// The table.
        table: Cow<'static, str>,
    },
    /// This program has no such table or index.
    Unknown {
        /// The table.
        table: Cow<'static, str>,
        /// The index; none for the table itself.
        index: Option<Cow<'static, str>>,
    },
}

/// Which keys of an index were read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum ReadKeys {
    /// One, present or absent.
    One(KeyText),
    /// All.
    All,
    /// Those that begin so.
    Prefix(KeyText),
    /// From the first, to before the second.
    Range(KeyText, Option<KeyText>),
}

impl ReadKeys {
    /// `shows`: how keys of that index are shown.
    fn new(part: &Part, (first, second): (Show, Option<Show>)) -> Self {
        let text = |bytes: &Bytes| KeyText::beginning(&bytes.0, first, second);
        match part {
            Part::Point(key) => ReadKeys::One(text(key)),
            Part::Prefix(prefix) if prefix.0.is_empty() => ReadKeys::All,
            Part::Prefix(prefix) => ReadKeys::Prefix(text(prefix)),
            Part::Range(lo, hi) => ReadKeys::Range(text(lo), hi.as_ref().map(text)),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conflict::Changed {
                table,
                index,
                keys,
                read,
                now,
            } => {
                write!(f, "table {table}")?;
                if let Some(index) = index {
                    write!(f, ", index {index}")?;
                }
                match (keys, index) {
                    (ReadKeys::One(key), None) => write!(f, ", record {key}")?,
                    (ReadKeys::One(key), Some(_)) => write!(f, ", key {key}")?,
                    (ReadKeys::All, _) => {}
                    (ReadKeys::Prefix(prefix), _) => write!(f, ", what begins with {prefix}")?,
                    (ReadKeys::Range(lo, None), _) => write!(f, ", from {lo}")?,
                    (ReadKeys::Range(lo, Some(hi)), _) => write!(f, ", from {lo} to {hi}")?,
                }
                f.write_str(" has changed: ")?;
                match now {
                    Some(now) => write!(f, "its log index is {now}, and ")?,
                    None => f.write_str("nothing has been written there yet, and ")?,
                }
                match (read, now) {
                    (Some(read), Some(_)) => write!(f, "was {read} when it was read")?,
                    (Some(read), None) => write!(f, "its log index was {read} when it was read")?,
                    (None, _) => {
                        f.write_str("nothing had been written there before it was read")?;
                    }
                }
                f.write_str("; read it again")
            }
            Conflict::OtherHistory { read, now } if read.is_fork() && !now.is_fork() => write!(
                f,
                "it was read in a fork, or in a snapshot of a transaction, of history {read}, which is no \
                 word of the store's: read it in a snapshot of the store"
            ),
            Conflict::OtherHistory { read, now } => write!(
                f,
                "it was read in history {read}, but the store now holds history {now}; read it again"
            ),
            Conflict::Local { table } => write!(
                f,
                "table {table} is local or derived, and no part of what is replicated: guard what was read of \
                 others"
            ),
            Conflict::Unknown { table, index } => {
                write!(f, "there is no table {table}")?;
                match index {
                    Some(index) => write!(f, " with an index {index}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Error for Conflict {}

/// The index of a part of which this is the stamp, unless nothing was ever written there.
fn written(stamp: Stamp) -> Option<LogIndex> {
    (stamp > 0).then_some(LogIndex(stamp))
}

/// The reads of one index, of which those that lie closest together become the prefix they have in
/// common if they are too many. A function of the reads.
fn joined(reads: &[(usize, Region)]) -> Vec<(usize, Region)> {
    let most = if reads.len() > MAX_READS {
        MAX_READS / 2
    } else {
        reads.len()
    };
    coarsened(reads.to_vec(), most)
}

impl Guard {
    fn new(version: &Version<Root>, tables: &Tables, seen: Vec<Seen>) -> Self {
        let mut regions: Vec<(usize, Region)> = Vec::new();
        regions.extend(seen.into_iter().map(|seen| (seen.tree, seen.region)));
        regions.sort_unstable();
        regions.dedup();
        let reads = regions.chunk_by(|a, b| a.0 == b.0).map(|of_tree| {
            let tree = of_tree[0].0;
            let whole = (tree, Region::of(&everything()));
            let regions = if of_tree.contains(&whole) {
                vec![whole]
            } else {
                joined(of_tree)
            };
            let read = |(_, region): (usize, Region)| {
                let stamp = super::track::stamp(version, tables, tree, &region);
                Read(Part::from(region), stamp)
            };
            let keys = regions.into_iter().map(read).collect();
            let (table, which) = tables.of_tree(tree);
            let index = which.checked_sub(1).and_then(|i| tables[table].index(i));
            Reads {
                table: tables[table].name().into(),
                index: index.map(|index| index.name.into()),
                keys,
            }
        });
        Guard {
            position: version.payload().position,
            reads: reads.collect(),
        }
    }

    /// The position of the snapshot it was read from.
    pub fn position(&self) -> Position {
        self.position
    }

    fn validate(&self, txn: &Txn) -> Result<(), Conflict> {
        let root = txn.edition.base().payload();
        let now = root.position;
        // What a fork began from is in it.
        let inherited = |origin: &Arc<Origin>| origin.covers(self.position);
        if self.position.history != now.history && !root.origin.as_ref().is_some_and(inherited) {
            return Err(Conflict::OtherHistory {
                read: self.position.history,
                now: now.history,
            });
        }
        let tables = &txn.core.tables;
        for Reads { table, index, keys } in &self.reads {
            let unknown = |index: Option<&Cow<'static, str>>| Conflict::Unknown {
                table: table.clone(),
                index: index.cloned(),
            };
            let number = tables.iter().position(|ops| ops.name() == *table);
            let number = number.ok_or_else(|| unknown(None))?;
            let ops = &tables[number];
            if ops.is_local() {
                return Err(Conflict::Local {
                    table: table.clone(),
                });
            }
            let which = match index {
                None => 0,
                Some(name) => {
                    let mut infos = (0..).map_while(|i| ops.index(i));
                    let i = infos.position(|info| info.name == *name);
                    1 + i.ok_or_else(|| unknown(Some(name)))?
                }
            };
            let tree = tables.base(number) + which;
            for Read(part, read) in keys {
                let now = ops.stamp_in(txn, tree, &part.scope());
                if now != *read {
                    return Err(Conflict::Changed {
                        table: table.clone(),
                        index: index.clone(),
                        keys: ReadKeys::new(part, ops.shows(which)),
                        read: written(*read),
                        now: written(now),
                    });
                }
            }
        }
        Ok(())
    }
}

impl<S: Schema> Snapshot<S> {
    /// Runs the closure on this snapshot and notes what it reads of it.
    ///
    /// As in a blocking query, what an iterator has not yielded was not read. Of more than 1024 reads of
    /// one index those that lie closest together are guarded as the prefix they have in common. A guard
    /// that has read a table which is not replicated, because it is local or derived, never holds
    /// ([`Conflict::Local`]).
    pub fn guarded<R>(&self, read: impl FnOnce(&S::View) -> R) -> (R, Guard) {
        let tables = Arc::new(Tables::new(S::tables()));
        let raw = RawView::tracked(self.version().clone(), Arc::clone(&tables));
        let view = S::View::from_raw(raw);
        let value = read(&view);
        let (version, tracker) = view.into_raw().into_tracked();
        let (seen, _) = tracker.finish(&version);
        (value, Guard::new(&version, &tables, seen))
    }
}

impl<S: Schema> WriteTxn<S> {
    /// Whether all that a guard was read from is as it was. What this transaction has written itself
    /// counts as a change: validate first.
    ///
    /// The answer never overlooks a change. It can be a conflict where nothing that was read has
    /// changed, but something beside it was deleted or added. It is the same on every replica whose
    /// queries have the same log indexes. Of a table or index that replicas came to know at different
    /// positions, in a rolling upgrade, they have not: do not guard what was read of a new table before each
    /// index that was read has had an entry, and of a new index of a table with records before all are
    /// restored from one image (`docs/image.md`, "Versions of records").
    pub fn validate(&self, guard: &Guard) -> Result<(), Conflict> {
        guard.validate(self.txn())
    }
}
