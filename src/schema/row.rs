//! `Row`: the handle of a stored record.

use crate::position::LogIndex;
use serde::{Serialize, Serializer};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A stored record with the log indexes of its creation and of its last change.
///
/// Derefs to the record. A clone is one more reference to the same record, and can be kept for as
/// long as wanted: it holds the record alone, not the version of the store it was read from. So
/// `.cloned()` of an iterator or an option gives rows; a record of one's own, to change it or to answer
/// with it, is given by [`to_record`](Self::to_record):
///
/// ```
/// # use highwater::{Row, Schema, Store, Table};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// # pub struct Node { #[primary_key] pub name: String, pub jobs: u32 }
/// # #[derive(Schema)]
/// # pub struct Cluster { nodes: Node }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::<Cluster>::new();
/// # let mut txn = store.write()?;
/// # txn.nodes_mut().insert(Node { name: "n1".into(), jobs: 0 })?;
/// # txn.commit()?;
/// let snapshot = store.snapshot();
/// let rows: Vec<Row<Node>> = snapshot.nodes().iter().cloned().collect();
/// let nodes: Vec<Node> = snapshot.nodes().iter().map(Row::to_record).collect();
/// assert_eq!(rows, nodes);
/// # Ok(())
/// # }
/// ```
///
/// Equality, hash and serialization are the record's: a `Row` serializes as its `T`, and equals any
/// `T` or `Row` of an equal record, whatever their indexes.
pub struct Row<T>(Arc<Stored<T>>);

// The leaves of every index own a row as one word.
const _: () = assert!(size_of::<Row<[u64; 8]>>() == size_of::<usize>());

struct Stored<T> {
    value: T,
    create_index: LogIndex,
    modify_index: LogIndex,
}

impl<T> Row<T> {
    pub(crate) fn new(value: T, create_index: LogIndex, modify_index: LogIndex) -> Self {
        Row(Arc::new(Stored {
            value,
            create_index,
            modify_index,
        }))
    }

    /// A copy of the record.
    pub fn to_record(&self) -> T
    where
        T: Clone,
    {
        self.0.value.clone()
    }

    /// The log index of the entry that inserted the record; a deletion and a new insertion begin
    /// anew.
    pub fn create_index(&self) -> LogIndex {
        self.0.create_index
    }

    /// The log index of the entry that changed the record last, its creation included.
    pub fn modify_index(&self) -> LogIndex {
        self.0.modify_index
    }
}

impl<T> Clone for Row<T> {
    fn clone(&self) -> Self {
        Row(Arc::clone(&self.0))
    }
}

impl<T> Deref for Row<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> AsRef<T> for Row<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: fmt::Debug> fmt::Debug for Row<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("value", &self.0.value)
            .field("create_index", &self.0.create_index)
            .field("modify_index", &self.0.modify_index)
            .finish()
    }
}

impl<T: PartialEq> PartialEq for Row<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Row<T> {}

impl<T: PartialEq> PartialEq<T> for Row<T> {
    fn eq(&self, other: &T) -> bool {
        **self == *other
    }
}

impl<T: Hash> Hash for Row<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.value.hash(state);
    }
}

impl<T: Serialize> Serialize for Row<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.value.serialize(serializer)
    }
}

impl<T: Send + Sync + 'static> crate::tree::Value for Row<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_its_record() {
        let row = Row::new("web".to_owned(), LogIndex(3), LogIndex(7));
        let kept = row.clone();
        assert_eq!(kept.len(), 3);
        assert_eq!(
            (kept.create_index(), kept.modify_index()),
            (LogIndex(3), LogIndex(7))
        );
        assert_eq!(kept, "web".to_owned());
        assert_eq!(kept, Row::new("web".to_owned(), LogIndex(8), LogIndex(9)));
        assert_ne!(kept, Row::new("db".to_owned(), LogIndex(3), LogIndex(7)));
        assert_eq!(serde_json::to_string(&row).unwrap(), "\"web\"");
    }

    #[test]
    fn outlives_where_it_came_from() {
        let row = Row::new(vec![1, 2, 3], LogIndex(1), LogIndex(1));
        let kept = row.clone();
        drop(row);
        assert_eq!(*kept, [1, 2, 3]);
        assert_eq!(
            format!("{kept:?}"),
            "Row { value: [1, 2, 3], create_index: LogIndex(1), modify_index: LogIndex(1) }"
        );
    }
}
