//! Reading a snapshot without the types of its records: names, JSON, and keys as text.

use std::fmt;

use serde_json::{Error, Value};

use super::core::{Root, Tables};
use super::erased::AnyRow;
use super::snapshot::Snapshot;
use super::view::Views;
use crate::key::{Key, KeyBuf};
use crate::position::LogIndex;
use crate::version::Version;

/// A table of a snapshot whose record type is not at hand: [`Snapshot::untyped`].
pub struct UntypedTable<'a> {
    version: &'a Version<Root>,
    tables: Tables,
    table: usize,
}

impl fmt::Debug for UntypedTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UntypedTable").field(&self.name()).finish()
    }
}

/// A record as JSON, as serde writes it, with its log indexes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UntypedRow {
    /// The record: an object with its fields.
    pub value: Value,
    /// The log index of the entry that inserted it.
    pub create_index: LogIndex,
    /// The log index of the entry that changed it last.
    pub modify_index: LogIndex,
}

impl UntypedRow {
    fn new(row: &dyn AnyRow) -> Result<Self, Error> {
        Ok(UntypedRow {
            value: row.json()?,
            create_index: row.create_index(),
            modify_index: row.modify_index(),
        })
    }
}

impl<'a> UntypedTable<'a> {
    /// The table's name.
    pub fn name(&self) -> &'static str {
        self.tables[self.table].name()
    }

    /// All records, by primary key.
    ///
    /// Errors: the record cannot be JSON (a map in it has keys that are not text).
    pub fn rows(&self) -> impl Iterator<Item = Result<UntypedRow, Error>> + 'a {
        let rows = self.tables[self.table].rows(self.version, self.tables.base(self.table));
        rows.map(UntypedRow::new)
    }

    /// The record with this primary key: the text of each of its fields in order, as JSON shows it
    /// but without the quotes of a string (`["n1", "80"]`).
    ///
    /// Cost: that of a look-up if all of the key's fields are `String`s; otherwise all records are
    /// looked at, since what keys of other types are encoded as is known to the types alone.
    pub fn get(&self, key: &[&str]) -> Result<Option<UntypedRow>, Error> {
        let ops = &self.tables[self.table];
        let base = self.tables.base(self.table);
        let fields = ops.primary_key();
        if key.len() != fields.len() {
            return Ok(None);
        }
        let is_it = |row: &UntypedRow| {
            fields
                .iter()
                .zip(key)
                .all(|(field, text)| match &row.value[*field] {
                    Value::String(value) => value == text,
                    value => shows_as(value, text),
                })
        };
        let types = ops.fields().iter().zip(ops.types());
        let is_text = |name| types.clone().any(|field| field == (name, &"String"));
        if fields.iter().all(is_text) {
            let mut encoded = KeyBuf::new();
            for text in key {
                text.encode(&mut encoded);
            }
            let row = ops.row(self.version, base, encoded.as_bytes());
            return row.map(UntypedRow::new).transpose();
        }
        for row in self.rows() {
            let row = row?;
            if is_it(&row) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

/// Whether JSON writes the value so.
fn shows_as(value: &Value, text: &str) -> bool {
    let shown = value.to_string();
    shown == text
}

impl<S: Views> Snapshot<S> {
    /// A table by its name, its records as JSON: for tools that do not know the schema, which
    /// [`Store::describe`](crate::Store::describe) tells them.
    pub fn untyped(&self, table: &str) -> Option<UntypedTable<'_>> {
        let tables = Tables::new(S::tables());
        let table = tables.iter().position(|ops| ops.name() == table)?;
        Some(UntypedTable {
            version: self.version(),
            tables,
            table,
        })
    }
}
