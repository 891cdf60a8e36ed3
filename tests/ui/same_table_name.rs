//! Tables of one schema have names of their own, in images and in code.
use highwater::{Schema, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(name = "node")]
struct Server {
    #[primary_key]
    name: String,
}

#[derive(Schema)]
struct Catalog {
    nodes: Node,
    servers: Server,
}

#[derive(Schema)]
struct Names {
    nodes: Node,
    nodes_mut: Server,
}

#[derive(Schema)]
struct Taken {
    commit: Node,
    fork: Server,
}

fn main() {}
