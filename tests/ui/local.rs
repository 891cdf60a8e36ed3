//! Local tables that would have a say in what is replicated.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    id: u8,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(local)]
#[index(unique, by_both(address, port))]
#[index(references = Node, restrict, by_first(with = Seen::first -> u8))]
struct Seen {
    #[primary_key]
    #[index(references = Node)]
    id: u8,
    #[index(sparse, references = Node, set_null)]
    by: Option<u8>,
    #[index(sparse, references = Node, cascade)]
    of: Option<u8>,
    #[index(unique)]
    address: String,
    port: u16,
}

impl Seen {
    fn first(&self) -> u8 {
        self.id
    }
}

fn main() {}
