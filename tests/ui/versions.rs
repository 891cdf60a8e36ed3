//! Versions of records that do not fit together.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct NodeV1 {
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(version = 2)]
struct WithoutFrom {
    #[primary_key]
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(from = NodeV1)]
struct WithoutVersion {
    #[primary_key]
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(version = 1, from = NodeV1)]
struct BeforeTheFirst {
    #[primary_key]
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(version = 0)]
#[table(version)]
#[table(version = "two")]
#[table(version = 3, version = 3)]
#[table(from = "NodeV1")]
#[table(from)]
struct Malformed {
    #[primary_key]
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(local, version = 2, from = NodeV1)]
struct Own {
    #[primary_key]
    name: String,
}

/// Nothing makes one of a `NodeV1`.
#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(version = 2, from = NodeV1)]
struct NoWay {
    #[primary_key]
    name: String,
}

#[derive(Deserialize)]
struct NodeV2 {
    name: String,
}

/// The chain is broken in its middle.
#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(version = 3, from = NodeV2, from = NodeV1)]
struct Broken {
    #[primary_key]
    name: String,
}

impl From<NodeV2> for Broken {
    fn from(old: NodeV2) -> Self {
        Broken { name: old.name }
    }
}

/// What it was cannot be read.
struct Unread {
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(version = 2, from = Unread)]
struct Node {
    #[primary_key]
    name: String,
}

impl From<Unread> for Node {
    fn from(old: Unread) -> Self {
        Node { name: old.name }
    }
}

fn main() {}
