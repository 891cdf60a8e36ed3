//! A table needs a primary key; its other uses do not fail for the lack of one.
use highwater::{Schema, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[index]
    name: String,
}

#[derive(Schema)]
struct Catalog {
    nodes: Node,
}

fn main() {
    let snap = highwater::Store::<Catalog>::new().snapshot();
    let _ = snap.nodes().by_name("n1");
}
