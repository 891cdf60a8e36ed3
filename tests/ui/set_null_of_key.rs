//! A record whose reference is taken away would become another.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    id: u8,
    #[primary_key]
    part: u8,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Disk {
    #[primary_key]
    id: u8,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct OfOneField {
    #[primary_key]
    #[index(sparse, references = Disk, set_null)]
    on: Option<u8>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[index(references = Node, set_null, by_first(sparse(node), part))]
#[index(references = Node, set_null, by_second(sparse(of), part))]
struct OfSeveral {
    #[primary_key]
    id: u8,
    #[primary_key]
    part: u8,
    #[primary_key]
    node: Option<u8>,
    of: Option<u8>,
}

fn main() {}
