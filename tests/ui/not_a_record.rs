//! A record is compared, and written and read by serde.
use highwater::{Schema, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Table)]
struct WithoutSerde {
    #[primary_key]
    name: String,
    #[index]
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Table)]
struct WrittenOnly {
    #[primary_key]
    name: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, Table)]
struct NotCompared {
    #[primary_key]
    name: String,
}

#[derive(Schema)]
struct Catalog {
    without: WithoutSerde,
    written: WrittenOnly,
    compared: NotCompared,
}

fn main() {}
