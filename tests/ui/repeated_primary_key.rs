//! `#[primary_key]` is said once a field.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    #[primary_key]
    name: String,
}

fn main() {}
