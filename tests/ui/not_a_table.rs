//! A schema's fields are tables, and a store is a store of a schema.
use highwater::{Schema, Store};

struct Node {
    name: String,
}

#[derive(Schema)]
struct Catalog {
    nodes: Node,
    names: String,
}

fn start(_: &Store<Node>) {}

fn main() {}
