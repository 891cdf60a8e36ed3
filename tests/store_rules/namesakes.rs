//! Two record types of one name, of which a schema has the one that others do not mean.

use super::*;
use highwater::TableWriter;

mod other {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    pub(super) struct Node {
        #[primary_key]
        pub id: u8,
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Disk {
    #[primary_key]
    #[index(references = other::Node)]
    node: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = other::Node, by = Place::node)]
struct Place {
    #[primary_key]
    node: u8,
}

impl Place {
    fn node(
        before: Option<&other::Node>,
        after: Option<&other::Node>,
        places: &mut TableWriter<'_, Place>,
    ) -> Result<(), WriteError> {
        if let Some(node) = before {
            places.delete(node.id)?;
        }
        if let Some(node) = after {
            places.upsert(Place { node: node.id })?;
        }
        Ok(())
    }
}

#[derive(Schema)]
struct Disks {
    nodes: Node,
    disks: Disk,
}

#[derive(Schema)]
struct Places {
    nodes: Node,
    places: Place,
}

#[derive(Schema)]
struct Meant {
    nodes: other::Node,
    places: Place,
    disks: Disk,
}

#[test]
#[should_panic(expected = "table disk refers to a table node of other records than the schema's")]
fn a_reference_is_to_the_records_it_names() {
    drop(Store::<Disks>::new());
}

#[test]
#[should_panic(
    expected = "table place is derived from a table node of other records than the schema's"
)]
fn a_derived_table_is_of_the_records_it_names() {
    drop(Store::<Places>::new());
}

#[test]
fn those_that_are_meant_do() {
    let store = Store::<Meant>::new();
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(other::Node { id: 1 }).unwrap();
    txn.disks_mut().insert(Disk { node: 1 }).unwrap();
    txn.commit().unwrap();
    assert!(store.snapshot().places().contains(1));
}
