//! [`Description`]: a schema as data.

use serde::Serialize;

use super::core::Tables;
use super::erased::{Follow, TableOps};
use super::store::Store;
use super::view::Views;

/// A schema as data, for tools and for people: what its tables, fields and indexes are.
///
/// It encodes with serde.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// The tables, in declared order.
    pub tables: Vec<TableDescription>,
}

/// A table as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableDescription {
    /// Its name.
    pub name: &'static str,
    /// Its fields, in declared order.
    pub fields: Vec<FieldDescription>,
    /// Names of the primary key's fields.
    pub primary_key: &'static [&'static str],
    /// Its indexes, in declared order.
    pub indexes: Vec<IndexDescription>,
    /// What each record meets: the paths of the functions.
    pub checks: Vec<&'static str>,
    /// Whether it is the process's own: no image has it.
    pub local: bool,
}

/// A field as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FieldDescription {
    /// Its name, as serialized.
    pub name: &'static str,
    /// Its type, as written in the source.
    #[serde(rename = "type")]
    pub ty: &'static str,
}

/// An index as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IndexDescription {
    /// Its name.
    pub name: &'static str,
    /// What it is over: names of fields, or paths of functions.
    pub fields: &'static [&'static str],
    /// Whether at most one record may have a key.
    pub unique: bool,
    /// Whether a record has any number of keys.
    pub each: bool,
    /// What it refers to, if it is a reference.
    pub references: Option<ReferenceDescription>,
}

/// A reference as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReferenceDescription {
    /// The table referred to.
    pub table: &'static str,
    /// What the deletion of a record there does: `restrict`, `cascade` or `set_null`.
    pub on_delete: &'static str,
}

impl TableDescription {
    fn new(table: &dyn TableOps) -> Self {
        let types = table.types().iter().chain(std::iter::repeat(&""));
        let fields = table.fields().iter().zip(types);
        let indexes = (0..).map_while(|i| table.index(i));
        TableDescription {
            name: table.name(),
            fields: fields
                .map(|(name, ty)| FieldDescription { name, ty })
                .collect(),
            primary_key: table.primary_key(),
            indexes: indexes
                .map(|index| IndexDescription {
                    name: index.name,
                    fields: index.fields,
                    unique: index.unique,
                    each: index.each,
                    references: index.references.map(|(table, follow)| {
                        let on_delete = match follow {
                            Follow::Restrict => "restrict",
                            Follow::Cascade => "cascade",
                            Follow::SetNull => "set_null",
                        };
                        ReferenceDescription { table, on_delete }
                    }),
                })
                .collect(),
            checks: table.checks(),
            local: table.is_local(),
        }
    }
}

impl<S: Views> Store<S> {
    /// The schema as data.
    pub fn describe() -> Description {
        let tables = Tables::new(S::tables());
        Description {
            tables: tables
                .iter()
                .map(|table| TableDescription::new(table.as_ref()))
                .collect(),
        }
    }
}
