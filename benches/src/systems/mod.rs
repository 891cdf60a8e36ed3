//! The systems that are measured, each in a file of its own, and the operations they have in common.

mod hand_kept;
mod highwater;
mod im;
mod imbl;
mod imbl_ids;
mod redb;
mod sqlite;
mod std;

pub use self::highwater::{Highwater, InHighwater};
pub use self::im::Im;
pub use self::imbl::Imbl;
pub use self::imbl_ids::ImblIds;
pub use self::redb::Redb;
pub use self::sqlite::Sqlite;
pub use self::std::Std;

use crate::record::{NumberService, Record, Service, UuidService};

/// A store of services with an index on each of: node, name, each tag, (name, node).
///
/// Reads show each record to a closure: by reference where the system keeps it as a value, decoded
/// where it keeps bytes.
pub trait System<R: Record = Service>: Sized + Send + Sync {
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
    fn get(view: &Self::View<'_>, id: &R::Key, see: impl FnMut(&R));
    /// All records, by id.
    fn scan(view: &Self::View<'_>, see: impl FnMut(&R));
    /// The records on a node, by id.
    fn by_node(view: &Self::View<'_>, node: &str, see: impl FnMut(&R));
    /// The records of a name, by id.
    fn by_name(view: &Self::View<'_>, name: &str, see: impl FnMut(&R));
    /// The records with a tag, by id.
    fn by_tag(view: &Self::View<'_>, tag: &str, see: impl FnMut(&R));
    /// The records of a name on a node, by id.
    fn by_name_node(view: &Self::View<'_>, name: &str, node: &str, see: impl FnMut(&R));
    /// Creates or replaces the records in one transaction, keeping the indexes right whatever fields
    /// have changed.
    fn upsert(&self, records: impl IntoIterator<Item = R>);
    /// Deletes one record in a transaction of its own; whether there was one.
    fn delete(&self, id: &R::Key) -> bool;
    /// Bytes it has allocated elsewhere than with Rust's allocator.
    fn foreign_bytes(&self) -> u64 {
        0
    }
}

/// A store of services whose ids are text.
pub trait Prefixes: System {
    /// The records whose id begins with `prefix`, by id.
    fn by_prefix(view: &Self::View<'_>, prefix: &str, see: impl FnMut(&Service));
}

/// Code that is generic over the system it is given.
pub trait Visitor {
    /// Called once with each chosen system.
    fn visit<S: Prefixes + 'static>(&mut self);
}

/// Code that is generic over the system and over the kind of key.
pub trait KeyedVisitor {
    /// Called once with each chosen system and kind of key.
    fn visit<R: Record, S: System<R> + 'static>(&mut self);
}

/// The names of all systems, in the order of the table's columns.
pub const NAMES: &[&str] = &[
    <Highwater>::NAME,
    <Im>::NAME,
    <Imbl>::NAME,
    <ImblIds>::NAME,
    <Std>::NAME,
    Sqlite::NAME,
    Redb::NAME,
];

/// The names of those that are left out unless asked for.
pub const EXTRA: &[&str] = &[<ImblIds>::NAME];

/// Calls `visitor` with the system called `name`; false if there is none.
pub fn visit(name: &str, visitor: &mut impl Visitor) -> bool {
    match name {
        <Highwater>::NAME => visitor.visit::<Highwater>(),
        <Im>::NAME => visitor.visit::<Im>(),
        <Imbl>::NAME => visitor.visit::<Imbl>(),
        <ImblIds>::NAME => visitor.visit::<ImblIds>(),
        <Std>::NAME => visitor.visit::<Std>(),
        Sqlite::NAME => visitor.visit::<Sqlite>(),
        Redb::NAME => visitor.visit::<Redb>(),
        _ => return false,
    }
    true
}

/// The systems that are there for every kind of key.
pub const KEYED: &[&str] = &[<Highwater>::NAME, <Im>::NAME, <Imbl>::NAME, <Std>::NAME];

/// The kinds of keys.
pub const KEYS: &[&str] = &[Service::KEYS, UuidService::KEYS, NumberService::KEYS];

/// Calls `visitor` with the system called `name` and the kind of keys called `keys`; false if there
/// is none.
pub fn visit_keyed(name: &str, keys: &str, visitor: &mut impl KeyedVisitor) -> bool {
    match keys {
        Service::KEYS => visit_records::<Service>(name, visitor),
        UuidService::KEYS => visit_records::<UuidService>(name, visitor),
        NumberService::KEYS => visit_records::<NumberService>(name, visitor),
        _ => false,
    }
}

fn visit_records<R: InHighwater>(name: &str, visitor: &mut impl KeyedVisitor) -> bool {
    match name {
        <Highwater>::NAME => visitor.visit::<R, R::Store>(),
        <Im>::NAME => visitor.visit::<R, Im<R>>(),
        <Imbl>::NAME => visitor.visit::<R, Imbl<R>>(),
        <Std>::NAME => visitor.visit::<R, Std<R>>(),
        _ => return false,
    }
    true
}
