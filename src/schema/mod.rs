//! What `derive(Table)` makes of a record type: its indexes, references and checks; and the handle of a
//! record.
//!
//! Whoever uses a store meets [`Table`] and [`Row`]. The rest is read from [`Table::INDEXES`] and
//! [`Table::CHECKS`]; without the type, and for people, there is
//! [`Store::describe`](crate::Store::describe).
//!
//! A [`Table`] says all that the store needs to keep a record under its keys (name, fields, how each
//! key follows from a record) as constants and plain functions, so that no table or index is looked up
//! by a string at run time. A [`Row`] is immutable, one pointer wide, and lives as long as a handle of
//! it.

// For who works on this room.
//
// May not know: how and where records are stored, transactions, the log beyond the indexes that a row
// was stamped with.
//
// The one data structure is `IndexDef`, one secondary index; its `keys` is the only way from a record to
// its entries in that index.
//
// Invariants: `keys` and `encode_key` are functions of the record alone, so the same record has the same
// keys on every replica; the trees of a schema are numbered table by table, the primary tree first, then
// one for each of `INDEXES` in order.
//
// Memory ordering: nothing here is shared but through `Arc`, whose contents never change.

pub(crate) mod earlier;
mod index;
#[doc(hidden)]
pub mod problem;
mod row;
mod table;

#[doc(hidden)]
pub use index::refers;
pub use index::{CheckDef, IndexDef, OnDelete, Reference};
pub use row::Row;
pub use table::Table;

/// Whether no name before number `i` of `names` is the same: a schema's tables need names of their
/// own.
#[doc(hidden)]
#[must_use]
pub const fn is_first(names: &[&str], i: usize) -> bool {
    let mut before = 0;
    while before < i {
        if same_text(names[before], names[i]) {
            return false;
        }
        before += 1;
    }
    true
}

pub(crate) const fn same_text(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_first;

    #[test]
    fn first_of_its_name() {
        let names = ["ab", "", "abc", "ab", ""];
        let first: Vec<bool> = (0..names.len()).map(|i| is_first(&names, i)).collect();
        assert_eq!(first, [true, true, true, false, false]);
    }
}
