//! `each` is for collections of keys.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    name: String,
    #[index(each)]
    port: u16,
}

fn main() {}
