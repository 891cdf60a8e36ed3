//! Records that cannot be written to images, or not be read from them.
use highwater::{Schema, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Deserialize, Table)]
struct Unwritable {
    #[primary_key]
    name: String,
    #[index(unique)]
    zone: u8,
}

#[derive(Clone, PartialEq, Serialize, Table)]
struct Unreadable {
    #[primary_key]
    name: String,
}

#[derive(Schema)]
struct Cluster {
    unwritable: Unwritable,
    unreadable: Unreadable,
}

fn main() {
    drop(Store::<Cluster>::new());
}
