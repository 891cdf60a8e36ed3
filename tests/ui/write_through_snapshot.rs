//! Only a write transaction writes.
use highwater::{Schema, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    name: String,
}

#[derive(Schema)]
struct Catalog {
    nodes: Node,
}

fn main() {
    let snap = Store::<Catalog>::new().snapshot();
    let _ = snap.nodes_mut().insert(Node { name: "n1".into() });
}
