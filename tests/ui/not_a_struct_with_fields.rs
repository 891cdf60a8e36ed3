//! Tables and schemas are structs with named fields.
use highwater::{Schema, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Pair(#[primary_key] u8, u8);

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Unit;

#[derive(PartialEq, Serialize, Deserialize, Table)]
enum Choice {
    #[primary_key]
    Left,
}

#[derive(Schema)]
struct Tuple(Pair);

#[derive(Schema)]
enum Tables {
    Pairs(Pair),
}

fn main() {}
