//! What serde can do with a struct and a table cannot.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize)]
struct Rest {
    more: u8,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    name: String,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[serde(transparent)]
struct Wrapped {
    #[primary_key]
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[index(by_port_name(port, name))]
struct Skipped {
    #[primary_key]
    #[serde(skip)]
    name: String,
    #[index]
    #[serde(default, skip_serializing)]
    rack: u16,
    #[serde(skip)]
    port: u16,
    #[serde(rename(serialize = "row"))]
    place: u16,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Shortened {
    #[primary_key]
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing)]
    secret: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    filled: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<u8>,
}

fn main() {}
