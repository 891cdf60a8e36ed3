//! References and checks, written wrongly.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(check)]
#[table(check = "valid")]
#[index(cascade, by_a(name, port))]
#[index(references = Node, set_null, by_b(name, port))]
struct Malformed {
    #[primary_key]
    #[index(references = Node, cascade, restrict)]
    name: String,
    #[index(references = "Node")]
    port: u16,
    #[index(references = Node, references = Node)]
    rack: String,
    #[index(set_null, sparse)]
    row: Option<u16>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    name: String,
}

fn main() {}
