//! `Table`: a record type.

use crate::key::{Key, KeyBuf};
use crate::schema::earlier::Earlier;
use crate::schema::{CheckDef, IndexDef};
use serde::{Serialize, de::DeserializeOwned};

/// A record type: an ordinary struct whose values are stored in a table under their primary key.
///
/// Implemented by `#[derive(Table)]`, which says what the attributes are and what it generates
/// beside this.
///
/// A record is immutable once stored. It is written to images as a map of its fields, by name
/// (through serde), and compared with `==` to tell a change from a write that changes nothing.
/// Both must depend on its fields alone, and be equal on every replica: do not use collections
/// without an order in a record. The derive refuses a field whose type names `HashMap` or `HashSet`; what
/// a type of yours holds it cannot see.
///
/// # Examples
///
/// ```
/// use highwater::Table;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// #[table(name = "checks")]
/// #[serde(rename_all = "PascalCase")]
/// pub struct Check {
///     #[primary_key]
///     node: String,
///     #[primary_key]
///     check_id: u32,
///     #[index]
///     status: String,
/// }
///
/// assert_eq!(Check::NAME, "checks");
/// assert_eq!(Check::FIELDS, ["Node", "CheckId", "Status"]);
/// assert_eq!(Check::PRIMARY_KEY, ["Node", "CheckId"]);
/// assert_eq!(Check::INDEXES[0].name, "status");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "not a record type",
    note = "put `#[derive(highwater::Table)]` on the struct, and `#[primary_key]` on a field of it"
)]
pub trait Table: PartialEq + Serialize + DeserializeOwned + Send + Sync + Sized + 'static {
    /// The table's name, in images and errors.
    const NAME: &'static str;

    /// The version of the record's form: 1 unless it is declared (`#[table(version = 2, from = ..)]`).
    /// An image says it of each table.
    const VERSION: u32 = 1;

    /// The forms of the versions before, the newest first, as far back as they can be read.
    #[doc(hidden)]
    const EARLIER: &'static [Earlier<Self>] = &[];

    /// Names of all fields, in declared order, as serialized.
    const FIELDS: &'static [&'static str];

    /// The types of all fields, in the order of `FIELDS`, as written in the source: for people to read.
    const TYPES: &'static [&'static str] = &[];

    /// Other names that fields are read by (`#[serde(alias = "..")]`), each with the field's name in
    /// `FIELDS`: an image that an older program wrote may have them.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];

    /// Names of the primary key's fields, in the order of the key's columns, as serialized.
    const PRIMARY_KEY: &'static [&'static str];

    /// The secondary indexes, in declared order: those on the struct, then those on fields.
    const INDEXES: &'static [IndexDef<Self>];

    /// Conditions that each record meets at the end of every entry that changed it.
    const CHECKS: &'static [CheckDef<Self>] = &[];

    /// Whether the table is this process's own, as a cache is that commands keep: no image has it. It begins
    /// empty with the process. While the log goes on in the same history, a restore leaves it, without
    /// those of its records that refer to what is not there; otherwise it empties it. So replicas differ in
    /// it, and so may a replica and itself, once it is started again.
    ///
    /// What is replicated does not depend on it. Where that can be tested when the schema is compiled, it
    /// is, or, without the derives, when a store is made: it has no unique index, its references have
    /// `cascade`, and no table that is not local refers to it or is derived from it. Whether its own
    /// references refer to anything is not asked. What is left is with the commands: none may read it, nor
    /// write it in a way that asks what is there, as `insert`, `update` and `upsert_if` do (`upsert` and
    /// `delete` do not). Events of a feed have its changes: who sends events on leaves them out.
    ///
    /// It is written by the same entries as any table: a change between two of them would have no log
    /// index that tells it from the one before. What a process knows beside its log (who is connected, when
    /// a peer was heard of) is best kept in another [`Store`](crate::Store), which nobody drives.
    const LOCAL: bool = false;

    /// The primary key's type: the field's, or a tuple of the fields' types in declared order.
    type Key: Key;

    /// Appends the encoded primary key to `out`: exactly what [`Key::encode`] makes of the key.
    fn encode_key(&self, out: &mut KeyBuf);
}
