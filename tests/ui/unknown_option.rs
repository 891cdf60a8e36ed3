//! Options that do not exist, each with those that do.
use highwater::{Key, Schema, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(nam = "nodes", crate = highwater, rows = 3)]
#[index(uniqe, by_name_port(name, port))]
#[index(name_port(name, port))]
#[index(by_2(name, port))]
struct Node {
    #[primary_key]
    name: String,
    #[index(uniqe)]
    port: u16,
    #[index(unique = true)]
    rack: u16,
    #[index(by_rack_row(rack, row))]
    row: u16,
}

#[derive(Schema)]
#[schema(name = "catalog")]
struct Catalog {
    nodes: Node,
}

#[derive(Key)]
#[key(order = "reverse")]
struct Id(u64);

fn main() {}
