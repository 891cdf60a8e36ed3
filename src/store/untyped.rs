//! Reading a snapshot without the types of its records: names, JSON, and keys as text.

use std::error;
use std::fmt;

use serde_json::Value;

use super::core::{Root, Tables};
use super::erased::AnyRow;
use super::snapshot::Snapshot;
use super::view::Schema;
use crate::key::{KeyBuf, TextColumns, Unread};
use crate::position::LogIndex;
use crate::version::Version;

/// A table of a snapshot whose record type is not at hand: [`Snapshot::untyped`].
pub struct Table<'a> {
    version: &'a Version<Root>,
    tables: Tables,
    number: usize,
}

/// A secondary index of such a table: [`Table::index`].
pub struct Index<'a> {
    of: &'a Table<'a>,
    /// Its tree among those of the table.
    which: usize,
    name: &'static str,
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.name()).finish()
    }
}

impl fmt::Debug for Index<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Index").field(&self.name).finish()
    }
}

/// A record as JSON, as serde writes it, with its log indexes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The record: an object with its fields.
    pub value: Value,
    /// The log index of the entry that inserted it.
    pub create_index: LogIndex,
    /// The log index of the entry that changed it last.
    pub modify_index: LogIndex,
}

/// Why something is not read without its type.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The keys of the table, or of the index, are not looked up by text: the type of a column has
    /// none, or, for a prefix, is no text. What there is can be read whole.
    NoText {
        /// The table.
        table: &'static str,
        /// The index; none for the primary key.
        index: Option<&'static str>,
    },
    /// The texts are not those of a key: there are more or fewer than it has columns, or one is not of
    /// its column's type.
    NoKey {
        /// The table.
        table: &'static str,
        /// The index; none for the primary key.
        index: Option<&'static str>,
        /// The texts.
        texts: Vec<String>,
    },
    /// A record cannot be JSON: a map in it has keys that are not text.
    NoJson(serde_json::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoText { table, index } => write!(
                f,
                "keys of {table}.{} are not looked up by such text: read all rows and choose",
                index.unwrap_or("primary key")
            ),
            Error::NoKey {
                table,
                index,
                texts,
            } => {
                let index = index.unwrap_or("primary key");
                write!(f, "{texts:?} is no key of {table}.{index}: ")?;
                f.write_str("one text is expected for each column, of the column's type")
            }
            Error::NoJson(error) => write!(f, "the record cannot be JSON: {error}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::NoText { .. } | Error::NoKey { .. } => None,
            Error::NoJson(error) => Some(error),
        }
    }
}

impl Row {
    fn new(row: &dyn AnyRow) -> Result<Self, Error> {
        Ok(Row {
            value: row.json().map_err(Error::NoJson)?,
            create_index: row.create_index(),
            modify_index: row.modify_index(),
        })
    }
}

/// Records one after the other, each made JSON when it is asked for.
type Rows<'a> = Box<dyn Iterator<Item = Result<Row, Error>> + 'a>;

impl<'a> Table<'a> {
    /// The table's name.
    pub fn name(&self) -> &'static str {
        self.tables[self.number].name()
    }

    /// All records, by primary key.
    pub fn rows(&self) -> impl Iterator<Item = Result<Row, Error>> + use<'a> {
        self.beginning(0, &[])
    }

    /// The record with this primary key: the text of each of its columns, as JSON shows it but
    /// without the quotes of a string (`["n1", "80"]`).
    ///
    /// In an optional column `null` stands for no value. A text there that says `null` itself cannot
    /// be looked up, only found as a beginning ([`prefix`](Self::prefix)).
    ///
    /// Cost: that of a look-up.
    pub fn get(&self, key: &[&str]) -> Result<Option<Row>, Error> {
        match self.key(0, None, key, false)? {
            (encoded, true) => self.beginning(0, &encoded).next().transpose(),
            (_, false) => Err(self.no_key(None, key)),
        }
    }

    /// The records whose primary key has these first columns, of which the last is a text that
    /// begins so.
    pub fn prefix(
        &self,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<Row, Error>> + use<'a>, Error> {
        self.found(0, None, columns, true)
    }

    /// The records from the first on whose primary key is no less than these first columns, to the last.
    pub fn from(
        &self,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<Row, Error>> + use<'a>, Error> {
        self.found_from(0, None, columns)
    }

    /// A secondary index by its name: `node`, or as its method is called, `by_node`.
    pub fn index(&self, name: &str) -> Option<Index<'_>> {
        let ops = &self.tables[self.number];
        let called = |name: &str| {
            (0..)
                .map_while(|i| ops.index(i))
                .position(|index| index.name == name)
        };
        let i = called(name).or_else(|| called(name.strip_prefix("by_")?))?;
        Some(Index {
            of: self,
            which: i + 1,
            name: ops.index(i)?.name,
        })
    }

    fn no_key(&self, index: Option<&'static str>, texts: &[&str]) -> Error {
        Error::NoKey {
            table: self.name(),
            index,
            texts: texts.iter().map(ToString::to_string).collect(),
        }
    }

    /// The encoded key, and whether it has all columns.
    fn key(
        &self,
        which: usize,
        index: Option<&'static str>,
        texts: &[&str],
        prefix: bool,
    ) -> Result<(Vec<u8>, bool), Error> {
        let ops = &self.tables[self.number];
        let mut columns = TextColumns::new(texts, prefix);
        let mut key = KeyBuf::new();
        let whole = match ops.encode_columns(which, &mut columns, &mut key) {
            // More columns than the key has.
            Ok(()) if !columns.is_done() => return Err(self.no_key(index, texts)),
            Ok(()) => true,
            Err(Unread::Ended) => false,
            Err(Unread::Malformed) => return Err(self.no_key(index, texts)),
            Err(Unread::Unsupported) => {
                return Err(Error::NoText {
                    table: ops.name(),
                    index,
                });
            }
        };
        Ok((key.as_bytes().to_vec(), whole))
    }

    fn found(
        &self,
        which: usize,
        index: Option<&'static str>,
        columns: &[&str],
        prefix: bool,
    ) -> Result<Rows<'a>, Error> {
        let (key, _) = self.key(which, index, columns, prefix)?;
        Ok(self.beginning(which, &key))
    }

    fn found_from(
        &self,
        which: usize,
        index: Option<&'static str>,
        columns: &[&str],
    ) -> Result<Rows<'a>, Error> {
        let (key, _) = self.key(which, index, columns, false)?;
        Ok(self.entries(which, &key, true))
    }

    fn beginning(&self, which: usize, key: &[u8]) -> Rows<'a> {
        self.entries(which, key, false)
    }

    fn entries(&self, which: usize, key: &[u8], onward: bool) -> Rows<'a> {
        let tree = self.tables.base(self.number) + which;
        let rows = self.tables[self.number].rows_at(self.version, tree, key, onward);
        Box::new(rows.map(Row::new))
    }
}

impl<'a> Index<'a> {
    /// The index's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The record of every entry, in the order of the index.
    pub fn rows(&self) -> impl Iterator<Item = Result<Row, Error>> + use<'a> {
        self.of.beginning(self.which, &[])
    }

    /// The records with this key, or with these first columns of it, as text as in [`Table::get`].
    pub fn get(
        &self,
        key: &[&str],
    ) -> Result<impl Iterator<Item = Result<Row, Error>> + use<'a>, Error> {
        self.of.found(self.which, Some(self.name), key, false)
    }

    /// The records whose key has these first columns, of which the last is a text that begins so.
    pub fn prefix(
        &self,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<Row, Error>> + use<'a>, Error> {
        self.of.found(self.which, Some(self.name), columns, true)
    }

    /// The records from the first on whose key is no less than these first columns, in the order of the
    /// index, to the last.
    pub fn from(
        &self,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<Row, Error>> + use<'a>, Error> {
        self.of.found_from(self.which, Some(self.name), columns)
    }
}

impl<S: Schema> Snapshot<S> {
    /// A table by its own name (not that of its field in the schema), its records as JSON: for tools that do
    /// not know the schema, which [`Store::describe`](crate::Store::describe) tells them.
    ///
    /// ```
    /// # use highwater::{Schema, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # #[table(name = "services")]
    /// # pub struct Service { #[primary_key] pub id: u32, #[index] pub node: String }
    /// # #[derive(Schema)]
    /// # pub struct Catalog { services: Service }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Catalog>::new();
    /// # let mut txn = store.write()?;
    /// # txn.services_mut().insert(Service { id: 7, node: "n1".into() })?;
    /// # txn.commit()?;
    /// let snap = store.snapshot();
    /// let services = snap.untyped("services").ok_or("no such table")?;
    /// assert_eq!(services.get(&["7"])?.unwrap().value["node"], "n1");
    ///
    /// let by_node = services.index("by_node").ok_or("no such index")?;
    /// assert_eq!(by_node.get(&["n1"])?.count(), 1);
    /// assert_eq!(by_node.prefix(&["n"])?.count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn untyped(&self, table: &str) -> Option<Table<'_>> {
        let tables = Tables::new(S::tables());
        let number = tables.iter().position(|ops| ops.name() == table)?;
        Some(Table {
            version: self.version(),
            tables,
            number,
        })
    }
}
