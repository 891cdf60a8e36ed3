//! `IndexDef`: one secondary index of a table; what it refers to; `CheckDef`, a condition on records.

use crate::key::{KeyBuf, KeySink, Show, TextColumns, Unread};
use std::any::TypeId;
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
    /// Its columns as declared, in the words of `#[derive(Table)]`: `name`, `each(tags)`,
    /// `with = Self::domain -> String`.
    pub parts: &'static [&'static str],
    /// The function that says which records are in it, if not all are.
    pub when: Option<&'static str>,
    /// Whether at most one record may have a key.
    pub unique: bool,
    /// Whether it is over the items of a collection: a record has any number of keys.
    pub each: bool,
    /// The table whose primary keys its keys are, if it is a reference.
    pub references: Option<Reference<T>>,
    /// Pushes each key that `row` has in this index, without the primary key. A function of the
    /// record alone; keys may come in any order and more than once.
    pub keys: fn(row: &T, sink: &mut KeySink),
    /// Encodes texts as a key.
    #[cfg_attr(
        not(feature = "json"),
        expect(dead_code, reason = "only who has no types looks up by text")
    )]
    pub(crate) text: fn(&mut TextColumns<'_>, &mut KeyBuf) -> Result<(), Unread>,
    /// Shows an encoded key.
    pub(crate) show: Show,
}

impl<T> IndexDef<T> {
    /// An index that is not unique, with one key a record.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        name: &'static str,
        fields: &'static [&'static str],
        keys: fn(row: &T, sink: &mut KeySink),
    ) -> Self {
        IndexDef {
            name,
            fields,
            parts: fields,
            when: None,
            unique: false,
            each: false,
            references: None,
            keys,
            text: |_, _| Err(Unread::Unsupported),
            show: |_, _| None,
        }
    }

    /// The same with what is declared of each of its columns, for people and tools to read.
    #[doc(hidden)]
    #[must_use]
    pub const fn parts(self, parts: &'static [&'static str]) -> Self {
        IndexDef { parts, ..self }
    }

    /// The same with how texts are encoded as a key.
    #[doc(hidden)]
    #[must_use]
    pub const fn text(
        self,
        text: fn(&mut TextColumns<'_>, &mut KeyBuf) -> Result<(), Unread>,
    ) -> Self {
        IndexDef { text, ..self }
    }

    /// The same with how an encoded key is shown.
    #[doc(hidden)]
    #[must_use]
    pub const fn show(self, show: Show) -> Self {
        IndexDef { show, ..self }
    }

    /// The same with the name of the function by which `keys` leaves records out.
    #[doc(hidden)]
    #[must_use]
    pub const fn when(self, function: &'static str) -> Self {
        IndexDef {
            when: Some(function),
            ..self
        }
    }

    /// The same with at most one record a key.
    #[doc(hidden)]
    #[must_use]
    pub const fn unique(self) -> Self {
        IndexDef {
            unique: true,
            ..self
        }
    }

    /// The same as a reference to another table.
    #[doc(hidden)]
    #[must_use]
    pub const fn references(self, reference: Reference<T>) -> Self {
        IndexDef {
            references: Some(reference),
            ..self
        }
    }

    /// The same over the items of a collection.
    #[doc(hidden)]
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
            .field(
                "references",
                &self.references.map(|reference| reference.table),
            )
            .finish_non_exhaustive()
    }
}

/// That the keys of an index are primary keys of another table, where there is a record with each.
pub struct Reference<T> {
    /// The other table's name.
    pub table: &'static str,
    /// What becomes of records that refer to one that is deleted.
    pub on_delete: OnDelete<T>,
    /// The other table's record type.
    pub(crate) record: fn() -> TypeId,
}

/// What becomes of records that refer to one that is deleted.
#[non_exhaustive]
pub enum OnDelete<T> {
    /// The deletion is refused, unless they are gone too at the end of the entry.
    Restrict,
    /// They are deleted with it.
    Cascade,
    /// Their reference is taken away: the function returns the record without it.
    SetNull(fn(row: &T) -> T),
}

impl<T> Reference<T> {
    /// A reference to the records of this table and type.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(table: &'static str, record: fn() -> TypeId, on_delete: OnDelete<T>) -> Self {
        Reference {
            table,
            on_delete,
            record,
        }
    }
}

/// The keys of an index that is a reference are of the type of the primary key that it refers to.
#[diagnostic::on_unimplemented(
    message = "keys of type `{Self}` cannot refer to a table whose primary key is a `{K}`",
    label = "not of the type of the primary key that it refers to",
    note = "give both the same type; of an `Option`, with `sparse`, what it holds is the key"
)]
pub trait RefersTo<K> {}

impl<K> RefersTo<K> for K {}

/// For generated code: that keys of an index are primary keys `P`.
pub const fn refers<K: RefersTo<P>, P>() {}

impl<T> Clone for Reference<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Reference<T> {}

impl<T> Clone for OnDelete<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for OnDelete<T> {}

impl<T> fmt::Debug for Reference<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reference")
            .field("table", &self.table)
            .field("on_delete", &self.on_delete)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for OnDelete<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OnDelete::Restrict => "Restrict",
            OnDelete::Cascade => "Cascade",
            OnDelete::SetNull(_) => "SetNull",
        })
    }
}

/// A condition that each record of a table meets at the end of every entry that changed it.
#[non_exhaustive]
pub struct CheckDef<T> {
    /// What it is called in errors: the function's path.
    pub name: &'static str,
    /// Whether a record meets it. A function of the record alone.
    pub holds: fn(row: &T) -> bool,
}

impl<T> CheckDef<T> {
    /// A check by the function of this path.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, holds: fn(row: &T) -> bool) -> Self {
        CheckDef { name, holds }
    }
}

impl<T> Clone for CheckDef<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for CheckDef<T> {}

impl<T> fmt::Debug for CheckDef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckDef").field(&self.name).finish()
    }
}
