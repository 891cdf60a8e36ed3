//! Indexes of one table have names of their own, and so do their methods.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[index(by_name_port(name, port))]
#[index(unique, by_name_port(port, name))]
struct Node {
    #[primary_key]
    name: String,
    #[index]
    port: u16,
    #[index(unique, name = "port")]
    rack: u16,
    #[index(name = "z_index")]
    #[index(name = "by_z")]
    row: u16,
}

fn main() {}
