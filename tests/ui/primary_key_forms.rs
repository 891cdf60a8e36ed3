//! A primary key is the field as it is: it has no forms.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Formed {
    #[primary_key(caseless)]
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Named {
    #[primary_key = "id"]
    name: String,
}

fn main() {}
