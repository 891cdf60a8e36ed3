//! The systems that are measured, each in a file of its own, and the operations they have in common.

mod hand_kept;
mod highwater;
mod im;
mod imbl;
mod imbl_ids;
mod redb;
mod sqlite;
mod std;

pub use self::highwater::Highwater;
pub use self::im::Im;
pub use self::imbl::Imbl;
pub use self::imbl_ids::ImblIds;
pub use self::redb::Redb;
pub use self::sqlite::Sqlite;
pub use self::std::Std;

use crate::data::Service;

/// A store of services with an index on each of: node, name, each tag, (name, node).
///
/// Reads show each record to a closure: by reference where the system keeps it as a value, decoded
/// where it keeps bytes.
pub trait System: Sized + Send + Sync {
    /// What a reader takes before it reads: a snapshot, a lock, a read transaction.
    type View<'a>
    where
        Self: 'a;

    /// What it is called in options and data.
    const NAME: &'static str;
    /// What it is called in the table.
    const TITLE: &'static str;
    /// How it does the work, in a sentence or two.
    const HOW: &'static str;
    /// Whether it keeps records as bytes of its own, and not as values in an `Arc`.
    const ENCODES: bool;

    /// An empty store.
    fn create() -> Self;
    /// What the reads below are made on.
    fn view(&self) -> Self::View<'_>;
    /// The record with this id, if there is one.
    fn get(view: &Self::View<'_>, id: &str, see: impl FnMut(&Service));
    /// All records, by id.
    fn scan(view: &Self::View<'_>, see: impl FnMut(&Service));
    /// The records whose id begins with `prefix`, by id.
    fn by_prefix(view: &Self::View<'_>, prefix: &str, see: impl FnMut(&Service));
    /// The records on a node, by id.
    fn by_node(view: &Self::View<'_>, node: &str, see: impl FnMut(&Service));
    /// The records of a name, by id.
    fn by_name(view: &Self::View<'_>, name: &str, see: impl FnMut(&Service));
    /// The records with a tag, by id.
    fn by_tag(view: &Self::View<'_>, tag: &str, see: impl FnMut(&Service));
    /// The records of a name on a node, by id.
    fn by_name_node(view: &Self::View<'_>, name: &str, node: &str, see: impl FnMut(&Service));
    /// Creates or replaces the records in one transaction, keeping the indexes right whatever fields
    /// have changed.
    fn upsert(&self, records: impl IntoIterator<Item = Service>);
    /// Deletes one record in a transaction of its own; whether there was one.
    fn delete(&self, id: &str) -> bool;
    /// Bytes it has allocated elsewhere than with Rust's allocator.
    fn foreign_bytes(&self) -> u64 {
        0
    }
}

/// Code that is generic over the system it is given.
pub trait Visitor {
    /// Called once with each chosen system.
    fn visit<S: System + 'static>(&mut self);
}

/// The names of all systems, in the order of the table's columns.
pub const NAMES: &[&str] = &[
    Highwater::NAME,
    Im::NAME,
    Imbl::NAME,
    ImblIds::NAME,
    Std::NAME,
    Sqlite::NAME,
    Redb::NAME,
];

/// The names of those that are left out unless asked for.
pub const EXTRA: &[&str] = &[ImblIds::NAME];

/// Calls `visitor` with the system called `name`; false if there is none.
pub fn visit(name: &str, visitor: &mut impl Visitor) -> bool {
    match name {
        Highwater::NAME => visitor.visit::<Highwater>(),
        Im::NAME => visitor.visit::<Im>(),
        Imbl::NAME => visitor.visit::<Imbl>(),
        ImblIds::NAME => visitor.visit::<ImblIds>(),
        Std::NAME => visitor.visit::<Std>(),
        Sqlite::NAME => visitor.visit::<Sqlite>(),
        Redb::NAME => visitor.visit::<Redb>(),
        _ => return false,
    }
    true
}
