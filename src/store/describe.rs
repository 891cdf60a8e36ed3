//! A schema as data: what its tables, fields and indexes are.

use serde::Serialize;
use std::fmt;

use super::core::Tables;
use super::erased::{Follow, TableOps};
use super::store::Store;
use super::view;

/// A schema as data, for tools and for people: what its tables, fields and indexes are.
///
/// It encodes with serde, and is displayed as lines of text, an item a line.
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
    /// The tables it is derived from, if it is.
    pub derived_from: Vec<&'static str>,
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

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, table) in self.tables.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            table.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.name)?;
        if self.version > 1 {
            write!(f, ", version {}", self.version)?;
            if self.oldest_version < self.version {
                write!(f, " (reads from {} on)", self.oldest_version)?;
            }
        }
        if self.local {
            f.write_str(", local")?;
        }
        if !self.derived_from.is_empty() {
            write!(f, ", derived from {}", self.derived_from.join(", "))?;
        }
        f.write_str("\n")?;
        writeln!(f, "  primary key ({})", self.primary_key.join(", "))?;
        for Field { name, ty } in &self.fields {
            writeln!(f, "  field {name}: {ty}")?;
        }
        for index in &self.indexes {
            writeln!(f, "  {index}")?;
        }
        for check in &self.checks {
            writeln!(f, "  check {check}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unique = if self.unique { "unique " } else { "" };
        write!(f, "{unique}index {} ({})", self.name, self.parts.join(", "))?;
        if let Some(when) = self.when {
            write!(f, " when {when}")?;
        }
        match &self.references {
            Some(Reference { table, on_delete }) => write!(f, " references {table}, {on_delete}"),
            None => Ok(()),
        }
    }
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
            derived_from: table.sources(),
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
    /// assert_eq!(
    ///     schema.to_string(),
    ///     "table node\n  primary key (name)\n  field name: String\n  field zone: String\n  \
    ///      index zone (caseless(zone))\n"
    /// );
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
