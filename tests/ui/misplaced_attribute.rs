//! Attributes of the struct on a field, and the other way round.
use highwater::{Key, Schema, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[primary_key]
struct Node {
    #[primary_key]
    #[table(name = "nodes")]
    name: String,
}

#[derive(Schema)]
struct Catalog {
    #[schema(crate = highwater)]
    nodes: Node,
}

#[derive(Key)]
enum Id {
    #[key(crate = highwater)]
    A(#[key(crate = highwater)] u8),
}

fn main() {}
