//! No method of an index hides one that every reader has.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[index(by_log(name, port))]
struct Node {
    #[primary_key]
    name: String,
    port: u16,
    #[index]
    log: String,
}

fn main() {}
