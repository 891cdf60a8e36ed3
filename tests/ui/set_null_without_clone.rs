//! `set_null` makes a copy of the record without the reference.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    name: String,
    #[index(sparse, references = Node, set_null)]
    on: Option<String>,
}

fn main() {}
