//! References to what cannot be referred to, and a check that is none.
use highwater::{Schema, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    number: u16,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(check = Self::is_valid)]
struct OfAnotherType {
    #[primary_key]
    name: String,
    #[index(references = Node)]
    node: u32,
    #[index(sparse, references = String)]
    other: Option<u16>,
}

impl OfAnotherType {
    fn is_valid(&self) -> u8 {
        1
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Service {
    #[primary_key]
    #[index(references = Node)]
    node: u16,
}

#[derive(Schema)]
struct WithoutNodes {
    services: Service,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(local)]
struct Seen {
    #[primary_key]
    #[index(references = Node, cascade)]
    node: u16,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Note {
    #[primary_key]
    #[index(references = Seen)]
    node: u16,
}

#[derive(Schema)]
struct ByAReplicated {
    nodes: Node,
    seen: Seen,
    notes: Note,
}

fn main() {}
