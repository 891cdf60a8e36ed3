//! Options that exist, written wrongly.
use highwater::{Key, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table]
#[table(name = "nodes", name = "node")]
#[table(name)]
#[table(name = 3)]
#[table(name = "")]
#[table(crate = "highwater")]
#[index]
#[index()]
#[index(unique)]
#[index(each, by_name_port(name, port))]
#[index(by_name(name))]
#[index(by_all(name, "port"))]
#[index(by_x(name, port), by_y(port, name))]
struct Node {
    #[primary_key(first)]
    name: String,
    #[index = "port"]
    port: u16,
    #[index(unique unique)]
    rack: u16,
    #[index(unique, unique)]
    row: u16,
    #[index(name = "in row")]
    place: u16,
}

#[derive(Key)]
#[key(crate)]
struct Id(u64);

fn main() {}
