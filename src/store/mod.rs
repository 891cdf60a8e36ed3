//! `Schema`, `Store`, `Snapshot`, `WriteTxn`, queries, constraints, commit, tracked reads and
//! blocking queries.
//!
//! Promises: atomic commits over all tables and lock-free snapshots; operations that change all or
//! nothing; unique keys, references and checks; create and modify indexes; a log index for every query; no lost wake-up.
//! It may not know the log's format: entries, commands and images are the rooms' after it.
//!
//! The data structure to understand first is the [`Root`], the payload of a published version:
//! the position, the window of recent change sets, the driver's bytes, the clients' sessions. With the version's trees
//! (for each table one by primary key, then one for each index, all holding the same [`Row`]s) it
//! is everything there is at one position. The types that a schema's derives generate are thin:
//! all views are newtypes around one [`RawView`], which reads a snapshot, a tracked snapshot or a
//! write transaction's working state.
//!
//! Invariants:
//!
//! * each index tree holds exactly the keys that its table's rows have, each with the row itself;
//! * positions rise within a history; stamps and modify indexes are those of the entry that wrote;
//! * user code (encoding, key extraction, `PartialEq`) runs before the first tree of an operation
//!   is touched, checks at the end of an entry, between operations; user destructors and hooks run
//!   after the writer's slot is free.
//!
//! Memory ordering: all sharing goes through the published version (`version/`) and the registries
//! of waiters (`watch/`). The order of steps is the argument: a commit publishes, then asks for
//! waiters; a waiter registers, then looks at the newest version. Each puts a sequentially
//! consistent fence between its two steps, so at least one of them sees the other.
//!
//! [`Row`]: crate::Row

mod changed_since;
mod contact;
mod core;
mod cursor;
mod derive;
pub(crate) mod describe;
mod diff;
mod entries;
mod erased;
mod error;
mod explain;
mod fill;
mod follow;
mod fork;
mod guard;
mod intake;
mod keys;
mod matches;
mod operate;
mod past;
mod plan;
mod prefixes;
mod query;
mod read;
mod read_session;
mod reader;
mod rows;
mod rules;
mod snapshot;
mod sound;
mod stats;
#[expect(clippy::module_inception, reason = "the file of the type `Store`")]
mod store;
mod track;
mod txn;
#[cfg(feature = "json")]
pub(crate) mod untyped;
mod view;
mod walk;
mod write;

pub use self::changed_since::ChangedSince;
pub use self::core::StoreOptions;
pub(crate) use self::core::{Core, Restored, Root, Tables};
pub use self::cursor::{Cursor, CursorError};
pub use self::derive::{Derivation, DerivedTable, SourceChanges, derives_from_no, knows_sources};
pub use self::diff::Diff;
pub use self::erased::{TableOps, table_ops};
pub use self::error::{CommitError, KeyText, StoreError, WaitError, WriteError};
pub use self::explain::Explain;
pub use self::follow::Event;
pub use self::guard::{Conflict, Guard, ReadKeys};
pub(crate) use self::intake::LoadError;
pub use self::matches::Matches;
pub use self::past::{AsOfError, Retention};
pub use self::prefixes::PrefixesOf;
pub use self::query::{Answer, Mark};
pub use self::read::{ReadError, ReadMode};
pub use self::read_session::{ParseReadSessionError, ReadSession};
pub use self::reader::{IndexReader, TableReader};
pub use self::rows::Rows;
pub use self::snapshot::Snapshot;
pub use self::stats::{NodeStats, Stats, TableStats};
pub use self::store::Store;
pub use self::txn::{Savepoint, Turn, WriteTxn};
pub use self::view::{RawView, Readable, Schema, View};
pub use self::write::TableWriter;
pub use crate::feed::{
    Change, Changes, Feed, FeedError, FeedItem, FeedIter, RawChanges, Start, TableEvent,
};
