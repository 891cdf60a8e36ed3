//! A schema as data: what its tables, fields and indexes are.

use serde::Serialize;

use super::core::Tables;
use super::erased::{Follow, TableOps};
use super::store::Store;
use super::view;

/// A schema as data, for tools and for people: what its tables, fields and indexes are.
///
/// It encodes with serde.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Schema {
    /// The tables, in declared order.
    pub tables: Vec<Table>,
}

/// A table as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The version of its records.
    pub version: u32,
    /// The oldest version of its records that an image may have.
    pub oldest_version: u32,
    /// Its fields, in declared order.
    pub fields: Vec<Field>,
    /// Names of the primary key's fields.
    pub primary_key: &'static [&'static str],
    /// Its indexes, in declared order.
    pub indexes: Vec<Index>,
    /// What each record meets: the paths of the functions.
    pub checks: Vec<&'static str>,
    /// Whether it is the process's own: no image has it.
    pub local: bool,
}

/// A field as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Field {
    /// Its name, as serialized.
    pub name: &'static str,
    /// Its type, as written in the source.
    #[serde(rename = "type")]
    pub ty: &'static str,
}

/// An index as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// What it is over: names of fields, or paths of functions.
    pub fields: &'static [&'static str],
    /// The same with what is done to each, in the words of `#[derive(Table)]`: `each(tags)`,
    /// `reverse(port)`, `with = Self::domain -> String`.
    pub parts: &'static [&'static str],
    /// The function that says which records are in it, if not all are.
    pub when: Option<&'static str>,
    /// Whether at most one record may have a key.
    pub unique: bool,
    /// Whether a record has any number of keys.
    pub each: bool,
    /// What it refers to, if it is a reference.
    pub references: Option<Reference>,
}

/// A reference as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reference {
    /// The table referred to.
    pub table: &'static str,
    /// What the deletion of a record there does: `restrict`, `cascade` or `set_null`.
    pub on_delete: &'static str,
}

impl Table {
    fn new(table: &dyn TableOps) -> Self {
        let types = table.types().iter().chain(std::iter::repeat(&""));
        let fields = table.fields().iter().zip(types);
        let indexes = (0..).map_while(|i| table.index(i));
        Table {
            name: table.name(),
            version: table.version(),
            oldest_version: table.oldest_version(),
            fields: fields.map(|(name, ty)| Field { name, ty }).collect(),
            primary_key: table.primary_key(),
            indexes: indexes
                .map(|index| Index {
                    name: index.name,
                    fields: index.fields,
                    parts: index.parts,
                    when: index.when,
                    unique: index.unique,
                    each: index.each,
                    references: index.references.map(|(table, follow)| {
                        let on_delete = match follow {
                            Follow::Restrict => "restrict",
                            Follow::Cascade => "cascade",
                            Follow::SetNull => "set_null",
                        };
                        Reference { table, on_delete }
                    }),
                })
                .collect(),
            checks: table.checks(),
            local: table.is_local(),
        }
    }
}

impl<S: view::Schema> Store<S> {
    /// The schema as data. Every store of the schema has the same.
    ///
    /// ```
    /// use highwater::{Schema, Store, Table};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// struct Node {
    ///     #[primary_key]
    ///     name: String,
    ///     #[index(caseless)]
    ///     zone: String,
    /// }
    ///
    /// #[derive(Schema)]
    /// struct Cluster {
    ///     nodes: Node,
    /// }
    ///
    /// let schema = Store::<Cluster>::describe();
    /// assert_eq!(schema.tables[0].primary_key, ["name"]);
    /// assert_eq!(schema.tables[0].indexes[0].parts, ["caseless(zone)"]);
    /// ```
    pub fn describe() -> Schema {
        let tables = Tables::new(S::tables());
        Schema {
            tables: tables
                .iter()
                .map(|table| Table::new(table.as_ref()))
                .collect(),
        }
    }
}
