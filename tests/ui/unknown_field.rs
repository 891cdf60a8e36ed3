//! An index over fields that are not there, or twice there.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[index(by_name_port(nam, prt))]
#[index(by_port_port(port, port))]
struct Node {
    #[primary_key]
    name: String,
    port: u16,
}

fn main() {}
