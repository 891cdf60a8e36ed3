//! The derive macros of the crate `highwater`, which re-exports them: [`Table`], [`Schema`] and
//! [`Key`].
//!
//! Every macro tells all that is wrong with its input at once, each at its own place. Generated
//! code names `::highwater`; where that crate goes by another name, say so with
//! `#[table(crate = path)]`, `#[schema(crate = path)]`, `#[key(crate = path)]`.

mod key;
mod krate;
mod names;
mod options;
mod problems;
mod schema;
mod table;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct with named fields a record type: implements `highwater::Table` and generates the
/// type of its look-ups.
///
/// On the struct:
///
/// | attribute | meaning |
/// |---|---|
/// | `#[table(name = "services")]` | the table's name in images and errors; the struct's name in snake case by default |
/// | `#[table(version = 2, from = ServiceV1)]` | the records have another form than in version 1, which was the type `ServiceV1`; see below |
/// | `#[table(check = path)]` | `path(&record)` is true of every record at the end of each entry; there may be several |
/// | `#[table(local)]` | the table is this process's own, and decides nothing: no image has it, and a restore leaves it; see below |
/// | `#[table(derived_from = Table, by = path)]` | the table is what `path` makes of the records of another; there may be several |
/// | `#[table(crate = path)]` | where `highwater` is |
/// | `#[index(by_name_node(name, node))]` | an index over several fields, in this order; its name is `name_node` |
/// | `#[index(unique, by_name_node(name, node))]` | the same, with at most one record a key |
/// | `#[index(when = path, by_name_node(name, node))]` | the same of the records for which `path(&record)` is true |
/// | `#[index(by_domain(with = path -> Type))]` | an index over what `path(&record)` returns, alone or beside fields |
///
/// By its name a table is found in an image. So the name stays as it is from the first image on: if the
/// struct is to be called something else, give the table its old name with `name`.
///
/// On its fields:
///
/// | attribute | meaning |
/// |---|---|
/// | `#[primary_key]` | the primary key; on several fields, their tuple in declared order |
/// | `#[index]` | an index over this field, named like it |
/// | `#[index(unique)]` | with at most one record a key |
/// | `#[index(each)]` | the field is a collection; the record is found by each of its items (of a `BTreeMap`: by its entries) |
/// | `#[index(sparse)]` | the field is an `Option`; only records where it is present are in the index |
/// | `#[index(caseless)]` | the field is text, found in upper or lower case |
/// | `#[index(reverse)]` | in falling order; the key is within `Reverse` |
/// | `#[index(when = path)]` | only records for which `path(&record)` is true are in the index |
/// | `#[index(name = "owner")]` | another name for the index |
/// | `#[index(references = Other)]` | the keys are primary keys of another table, and cannot be deleted there; with `cascade` or `set_null` beside it they can; see [below](#references) |
/// | `#[expires]` | the field is the time that the record is due at: a `SystemTime`, or an `Option` of one |
///
/// The options of `#[index]` can be combined; a field can have several, of different names.
///
/// The parts of an index over several fields take the same forms, one within the other:
/// `by_x(each(tags), reverse(port), sparse(caseless(owner)))`. A record has an entry for each item of
/// a part with `each` (of several such parts, for each combination) and none where a `sparse` part
/// is absent. In place of a field's name a part can be `with = path -> Type`: what `path(&record)`
/// returns, a key computed from the record. So `by_critical(with = Self::is_critical -> bool)` has the
/// records for which it is true and the others, and `when = Self::is_critical` has the first alone.
///
/// Indexes are numbered in the order in which they are declared, those on the struct first.
///
/// # Functions
///
/// What attributes name are paths of functions, free ones or associated ones (`Self::is_critical`), not
/// closures. For a table of `Service`s:
///
/// | named by | its type |
/// |---|---|
/// | `check`, `when` | `fn(&Service) -> bool` |
/// | `with = path -> Type` | `fn(&Service) -> Type` |
/// | `by`, after `derived_from = Source` | `fn(Option<&Source>, Option<&Source>, &mut TableWriter<'_, Service>) -> Result<(), WriteError>` |
///
/// The first three must depend on the record alone, and give the same on every replica; of the last see
/// [below](#derived-tables).
///
/// ```
/// use highwater::Table;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// #[table(check = Service::has_port)]
/// #[index(by_domain(with = domain -> String, name))]
/// pub struct Service {
///     #[primary_key]
///     pub name: String,
///     pub port: u16,
///     #[index(when = Service::is_critical)]
///     pub failing: u32,
/// }
///
/// impl Service {
///     fn has_port(&self) -> bool {
///         self.port > 0
///     }
///     fn is_critical(&self) -> bool {
///         self.failing > 0
///     }
/// }
///
/// fn domain(service: &Service) -> String {
///     service.name.rsplit_once('.').map_or(String::new(), |(_, domain)| domain.into())
/// }
/// ```
///
/// # References
///
/// An index with `references = Other` is a reference: each of its keys is the primary key of a record
/// of the table `Other`, which must be in the same schema. That is so at the end of every entry, or the
/// entry is refused; within it, records may come and go in any order. When the record referred to is
/// deleted: by default, or with `restrict`, the entry is refused unless those that refer to it are gone
/// too; with `cascade` they are deleted with it; with `set_null`, of a `sparse` field that is no part of
/// the primary key, that is made `None`, when all that is deleted is gone. `references = Self` is the
/// table itself. Neither references nor checks are tested of what a restore brings, so that a schema can
/// get a new one: an entry that changes such a record is refused unless it sets it right.
///
/// # Local tables
///
/// A `local` table is one in which replicas differ: it begins empty with the process, no image has it, and
/// a restore leaves it, without its records that refer to what is not there (but empties it if that goes
/// back, or to another history). So it must have no say in what is replicated. It has no unique index. Its
/// references have `cascade`, and that is all they do: whether there is a record with the key is not asked.
/// No table that is not local refers to it, and none is derived from it. It is written by the same entries
/// as any table, with `upsert` and `delete`, which do not ask what is there; a command must not read it.
/// See `highwater::Table::LOCAL`. Derived tables are local too, but replicas have them alike: those rules are
/// not for them.
///
/// # Expiry
///
/// `#[expires]` brings an index, named like the field, of the records that have such a time, and the
/// methods `due` and `next_due`. Nothing is done with what is due by itself: time, too, comes from the
/// log, so a command does it, by the log's clock; see the module `highwater::fsm`.
///
/// # Derived tables
///
/// A table that is `derived_from` others of the same schema is kept by its functions, and read-only for
/// everyone else (in a transaction there is a `DerivedTable` in place of a writer, which has no methods):
/// a count, a sum, a join, which are then look-ups, watched and followed as those of any table. At the end
/// of each entry its function is called for each record of the source that the entry has changed, with the
/// record before (`None` if it is new) and after (`None` if it is gone), and with what writes the derived
/// table; an error refuses the entry, a panic is as one of a command. So no snapshot has the one without
/// the other; within the entry the derived table is as it was before. It is local: no image has it, and a restore makes it
/// anew, of all records of its sources as if they had just been inserted. So what the function makes of
/// records must not depend on the order in which they come, and it must depend on nothing but what it is
/// given. One that is derived cannot be a source, nor have references or checks. A record that is written
/// with what it was is not changed, so a function is cheap where it first looks whether what it needs
/// of the two differs:
///
/// ```
/// use highwater::{Row, Schema, Store, Table, TableWriter, WriteError};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// pub struct Service {
///     #[primary_key]
///     pub id: u32,
///     pub node: String,
/// }
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// pub struct Node {
///     #[primary_key]
///     pub name: String,
///     pub zone: String,
/// }
///
/// /// A node with how many services it has: a join of two tables, with a count.
/// #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
/// #[table(derived_from = Service, by = Load::count, derived_from = Node, by = Load::place)]
/// pub struct Load {
///     #[primary_key]
///     pub node: String,
///     #[index]
///     pub zone: Option<String>,
///     pub services: u32,
/// }
///
/// impl Load {
///     fn change(
///         node: &str,
///         loads: &mut TableWriter<'_, Load>,
///         change: impl FnOnce(&mut Load),
///     ) -> Result<(), WriteError> {
///         let found = loads.read().get(node).map(Row::to_record);
///         let mut load = found.unwrap_or_else(|| Load { node: node.into(), ..Load::default() });
///         change(&mut load);
///         if load.services == 0 && load.zone.is_none() {
///             loads.delete(node).map(drop)
///         } else {
///             loads.upsert(load).map(drop)
///         }
///     }
///
///     fn count(
///         before: Option<&Service>,
///         after: Option<&Service>,
///         loads: &mut TableWriter<'_, Load>,
///     ) -> Result<(), WriteError> {
///         if before.map(|service| &service.node) == after.map(|service| &service.node) {
///             return Ok(());
///         }
///         if let Some(service) = before {
///             Load::change(&service.node, loads, |load| load.services -= 1)?;
///         }
///         if let Some(service) = after {
///             Load::change(&service.node, loads, |load| load.services += 1)?;
///         }
///         Ok(())
///     }
///
///     fn place(
///         before: Option<&Node>,
///         after: Option<&Node>,
///         loads: &mut TableWriter<'_, Load>,
///     ) -> Result<(), WriteError> {
///         let Some(node) = after.or(before) else { return Ok(()) };
///         Load::change(&node.name, loads, |load| load.zone = after.map(|node| node.zone.clone()))
///     }
/// }
///
/// #[derive(Schema)]
/// pub struct Catalog {
///     services: Service,
///     nodes: Node,
///     loads: Load,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::<Catalog>::new();
/// let mut txn = store.write()?;
/// txn.nodes_mut().insert(Node { name: "n1".into(), zone: "a".into() })?;
/// for id in 0..3 {
///     txn.services_mut().insert(Service { id, node: "n1".into() })?;
/// }
/// txn.commit()?;
/// let snapshot = store.snapshot();
/// let load = snapshot.loads().get("n1").ok_or("no n1")?;
/// assert_eq!((load.zone.as_deref(), load.services), (Some("a"), 3));
/// # Ok(())
/// # }
/// ```
///
/// Fields go by the names that serde gives them (`rename`, `rename_all`) in `Table::FIELDS` and in
/// images. A field that was renamed reads older images by its old name with `alias`. What a record
/// is found by cannot be a field that serde skips, and the primary key's type must be at least as
/// visible as the struct. Generated items are as visible as the struct.
///
/// # Versions
///
/// A record can get a field with `#[serde(default)]`, or a new name for one with `alias`, and still
/// read what was written before. That an older program, too, reads what this one writes, as those of a
/// cluster must that are brought up to date one after the other, takes more: it refuses an image with
/// a field that it does not know. So have a new field left out where it says nothing,
/// `#[serde(default, skip_serializing_if = "Option::is_none")]`, and do not rename one before all
/// programs know the new name.
///
/// Any other change of its form makes another version of it. The form that it had stays in the program
/// as an ordinary struct that serde reads, and `From` makes the new form of it:
///
/// ```
/// use highwater::Table;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct ServiceV1 {
///     id: String,
///     address: String,
/// }
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// #[table(name = "services", version = 2, from = ServiceV1)]
/// pub struct Service {
///     #[primary_key]
///     pub id: String,
///     pub host: String,
///     pub port: u16,
/// }
///
/// impl From<ServiceV1> for Service {
///     fn from(old: ServiceV1) -> Self {
///         let (host, port) = old.address.rsplit_once(':').unwrap_or((&old.address, "80"));
///         Service { host: host.into(), port: port.parse().unwrap_or(80), id: old.id }
///     }
/// }
///
/// assert_eq!(Service::VERSION, 2);
/// ```
///
/// The next change makes `version = 3, from = ServiceV2, from = ServiceV1`: each form is made of the
/// one before, so `ServiceV1` goes on to be `From` for `ServiceV2` alone. Old forms can be taken away
/// from the end, when there are no images with them any more.
///
/// An image says of each table which version its records are. Restoring one that is older converts
/// every record, with its create and modify index as they were; the primary key may be another then.
/// Indexes with the keys that they had keep what they know of their changes, others begin at the
/// image's position. An image of a newer version, or of one that there is no way from, is refused
/// before anything is changed. The conversion must depend on the record alone: replicas that restore
/// the same image, at different times, must get the same.
///
/// # Generated
///
/// For a struct `Service` with an index `node` over a `String`: `ServiceReader<'a>`, a `Copy` view
/// of the table that derefs to `TableReader<'a, Service>`, with two methods an index:
///
/// * `by_node(key)`: the records with this key, as `Rows<'a, Service>`; for a unique index the one
///   record, as `Option<&'a Row<Service>>`;
/// * `node_index()`: the index itself, as `IndexReader<'a, Service, String>`, for ranges, prefixes,
///   leading columns, and sets of matches.
///
/// With `#[expires]` two more: `due(now)`, the records that are due then, as `Rows<'a, Service>`, the
/// earliest first; and `next_due()`, when the earliest is, as `Option<SystemTime>`.
///
/// No index can be named `log`, as `log_index()` tells the log index of the whole table.
///
/// # Examples
///
/// ```
/// use highwater::Table;
/// use serde::{Deserialize, Serialize};
/// use std::collections::BTreeSet;
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// #[table(name = "services")]
/// #[index(by_name_node(name, node))]
/// pub struct Service {
///     #[primary_key]
///     pub id: String,
///     #[index]
///     pub node: String,
///     pub name: String,
///     #[index(each)]
///     pub tags: BTreeSet<String>,
///     pub port: u16,
/// }
///
/// assert_eq!(Service::NAME, "services");
/// let names: Vec<_> = Service::INDEXES.iter().map(|index| index.name).collect();
/// assert_eq!(names, ["name_node", "node", "tags"]);
/// ```
#[proc_macro_derive(Table, attributes(table, primary_key, index, expires))]
pub fn derive_table(input: TokenStream) -> TokenStream {
    table::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct whose fields are tables a schema: implements `highwater::Schema` and generates
/// the views of a store of it.
///
/// The struct is never built: it only says which tables there are, and what they are called in
/// code. `#[schema(crate = path)]` says where `highwater` is.
///
/// # Generated
///
/// For a struct `Catalog` with a field `services: Service`:
///
/// * `CatalogView`, which snapshots and transactions deref to: `services()` reads the table,
///   `services_mut()`, only reachable in a write transaction, writes it. A writer borrows the whole
///   transaction: of two tables, call the one, then the other, each where it is used (not
///   `let nodes = txn.nodes_mut();` and `let jobs = txn.jobs_mut();` side by side);
/// * `CatalogChanges`, which events of a feed deref to: `services()` iterates over the changes of
///   the table; of local and derived tables too, which who sends events to others leaves out
///   (`Table::LOCAL`).
///
/// # Examples
///
/// ```
/// use highwater::{Schema, Table};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// pub struct Node {
///     #[primary_key]
///     pub name: String,
/// }
///
/// #[derive(Schema)]
/// pub struct Catalog {
///     nodes: Node,
/// }
///
/// assert_eq!(Catalog::TABLES, ["node"]);
/// ```
#[proc_macro_derive(Schema, attributes(schema))]
pub fn derive_schema(input: TokenStream) -> TokenStream {
    schema::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a type usable as a key or as part of one: implements `highwater::Key`, and
/// `highwater::key::AsKey` for looking it up by value.
///
/// A struct, with or without named fields, is encoded as its fields in declared order; a newtype so
/// has the encoding of what it wraps. An enum is encoded as the ordinal of its variant in declared
/// order, then the variant's fields. This is the order of the derived `Ord`; explicit
/// discriminants are accepted where they rise.
///
/// `Eq` and `Ord` are not asked for. Where a type has them, derive them: ones of its own that say
/// otherwise (that upper and lower case are the same, say) are not what the store goes by.
///
/// `#[key(crate = path)]` says where `highwater` is.
///
/// # Examples
///
/// ```
/// use highwater::{Key, key::KeyBuf};
///
/// #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Key)]
/// enum Status {
///     Passing,
///     Critical,
/// }
///
/// #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Key)]
/// struct CheckId(String, Status);
/// ```
#[proc_macro_derive(Key, attributes(key))]
pub fn derive_key(input: TokenStream) -> TokenStream {
    key::derive(&parse_macro_input!(input as DeriveInput)).into()
}
