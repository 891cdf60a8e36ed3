//! `IndexDef`: one secondary index of a table.

use crate::key::KeySink;
use std::fmt;

/// One secondary index of a table: what it is over, and how its keys follow from a record.
///
/// `#[derive(Table)]` makes them from `#[index(..)]`; read them from [`Table::INDEXES`].
///
/// [`Table::INDEXES`]: crate::Table::INDEXES
#[non_exhaustive]
pub struct IndexDef<T> {
    /// Its name, unique within the table.
    pub name: &'static str,
    /// Names of the fields it is over, in the order of its columns, as serialized.
    pub fields: &'static [&'static str],
    /// Whether at most one record may have a key.
    pub unique: bool,
    /// Whether it is over the items of a collection: a record has any number of keys.
    pub each: bool,
    /// Pushes each key that `row` has in this index, without the primary key. A function of the
    /// record alone; keys may come in any order and more than once.
    pub keys: fn(row: &T, sink: &mut KeySink),
}

impl<T> IndexDef<T> {
    /// An index that is not unique, with one key a record.
    #[must_use]
    pub const fn new(
        name: &'static str,
        fields: &'static [&'static str],
        keys: fn(row: &T, sink: &mut KeySink),
    ) -> Self {
        IndexDef {
            name,
            fields,
            unique: false,
            each: false,
            keys,
        }
    }

    /// The same with at most one record a key.
    #[must_use]
    pub const fn unique(self) -> Self {
        IndexDef {
            unique: true,
            ..self
        }
    }

    /// The same over the items of a collection.
    #[must_use]
    pub const fn each(self) -> Self {
        IndexDef { each: true, ..self }
    }
}

impl<T> Clone for IndexDef<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for IndexDef<T> {}

impl<T> fmt::Debug for IndexDef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexDef")
            .field("name", &self.name)
            .field("fields", &self.fields)
            .field("unique", &self.unique)
            .field("each", &self.each)
            .finish_non_exhaustive()
    }
}
