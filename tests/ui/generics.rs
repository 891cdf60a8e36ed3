//! Each parameter is refused at its own place.
use highwater::{Key, Schema, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Node<T> {
    #[primary_key]
    name: T,
}

#[derive(Schema)]
struct Catalog<'a, const N: usize> {
    nodes: &'a [u8; N],
}

#[derive(Key)]
struct Id<T: Key>(T);

fn main() {}
