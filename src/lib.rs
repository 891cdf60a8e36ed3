//! An in-memory, transactional, typed store for programs whose truth arrives as an ordered log.
//!
//! Begin with [`derive(Table)`](derive@Table), which has all that can be said of a record and its
//! indexes, and [`derive(Schema)`](derive@Schema), then [`Store`].
//!
// Its programs are tested with the features that all of them need.
#![cfg_attr(
    all(feature = "derive", any(feature = "journal", not(doctest))),
    doc = include_str!("../README.md")
)]
// `highwater::` paths of the derives work inside the crate's own tests too.
extern crate self as highwater;

mod driver;
mod feed;
pub mod fsm;
mod image;
pub mod key;
mod position;
pub mod schema;
mod session;
mod store;
mod sync;
#[allow(unsafe_code)]
mod tree;
#[allow(unsafe_code)]
mod version;
mod watch;

#[cfg(feature = "journal")]
pub use driver::journal;
#[cfg(feature = "openraft")]
pub use driver::openraft;
#[cfg(feature = "openraft-next")]
pub use driver::openraft_next;
#[cfg(feature = "derive")]
pub use highwater_derive::{Key, Schema, Table};
pub use image::{ImageError, ImagePlace, ImageSummary};
pub use key::Key;
pub use position::{HistoryId, LogIndex, Position};
pub use schema::{Row, Table};
pub use store::{
    Answer, AsOfError, Change, ChangedSince, Changes, CommitError, Conflict, Cursor, CursorError,
    DerivedTable, Diff, Event, Explain, Feed, FeedError, FeedItem, FeedIter, Guard, IndexReader,
    KeyText, Mark, Matches, NodeStats, ParseReadSessionError, PrefixesOf, ReadError, ReadKeys,
    ReadMode, ReadSession, Retention, Rows, Savepoint, Schema, Snapshot, Start, Stats, Store,
    StoreError, StoreOptions, TableEvent, TableReader, TableStats, TableWriter, Turn, WaitError,
    WriteError, WriteTxn,
};
pub use watch::{Watch, WatchSet};

/// A schema as data, for tools and for people: [`Store::describe`].
pub mod describe {
    pub use crate::store::describe::{Field, Index, Reference, Schema, Table};
}

/// Reading a snapshot without its types, as JSON, by names and keys as text: [`Snapshot::untyped`].
#[cfg(feature = "json")]
pub mod untyped {
    pub use crate::store::untyped::{Error, Index, Row, Table};
}

/// What generated code names; no part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::key::caseless::Text;
    pub use crate::key::column::{Column, KeyColumn, NoKeyColumn};
    pub use crate::key::columns::{TextColumns, Unread};
    pub use crate::key::compound::reversed;
    pub use crate::key::each::Sparse;
    pub use crate::key::shown::{Encoded, Show};
    pub use crate::key::time::Expires;
    pub use crate::schema::earlier::{Earlier, fields_of, record};
    pub use crate::schema::problem::{Problem, reference_to, unknown_reference};
    pub use crate::schema::{is_first, refers};
    pub use crate::store::{Derivation, SourceChanges, derives_from_no, knows_sources};
    pub use crate::store::{RawChanges, RawView, Readable, TableOps, View, table_ops};
}
