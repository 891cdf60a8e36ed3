//! What a record is found by must be a key: the error is at the field's type.
use highwater::{Key, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[index(by_load_name(load, name))]
struct Node {
    #[primary_key]
    name: String,
    load: f64,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Reading {
    #[primary_key]
    value: f32,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Sample {
    #[primary_key]
    sensor: String,
    #[primary_key]
    value: f32,
}

#[derive(Key)]
struct Weight(f32);

fn main() {}
