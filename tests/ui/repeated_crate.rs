//! The path of the crate, given twice, in one attribute and in two.
use highwater::{Key, Schema, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Key)]
#[key(crate = highwater, crate = highwater)]
struct Id(u8);

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(crate = highwater)]
#[table(crate = highwater)]
struct Node {
    #[primary_key]
    id: Id,
}

#[derive(Schema)]
#[schema(crate = highwater, crate = highwater)]
struct Cluster {
    nodes: Node,
}

fn main() {}
