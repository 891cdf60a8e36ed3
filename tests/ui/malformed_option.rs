//! Options that exist, written wrongly.
use highwater::{Key, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table]
#[table(name = "nodes", name = "node")]
#[table(name)]
#[table(name = 3)]
#[table(name = "")]
#[table(local = true)]
#[table(crate = "highwater")]
#[index]
#[index()]
#[index(unique)]
#[index(each, by_name_port(name, port))]
#[index(by_name(name))]
#[index(by_all(name, "port"))]
#[index(by_x(name, port), by_y(port, name))]
#[index(unique, unique, by_z(name, port))]
#[index(when = Self::is_far, when = Self::is_near, by_w(name, port))]
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
    #[index(name = "a", name = "b")]
    floor: u16,
    #[index(when = Self::is_far, when = Self::is_near)]
    hall: u16,
}

impl Node {
    fn is_far(&self) -> bool {
        self.place > 9
    }

    fn is_near(&self) -> bool {
        !self.is_far()
    }
}

#[derive(Key)]
#[key(crate)]
struct Id(u64);

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(local, local)]
struct Seen {
    #[primary_key]
    id: u64,
}

fn main() {}
