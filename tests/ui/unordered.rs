//! Collections without an order: each replica would write them in another.
use highwater::Table;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Service {
    #[primary_key]
    id: String,
    #[index(each)]
    tags: HashSet<String>,
    meta: Option<Box<std::collections::HashMap<String, (u8, HashSet<u8>)>>>,
    ordered: BTreeMap<String, [HashSet<u8>; 2]>,
    /// Not written.
    #[serde(skip)]
    cache: HashMap<String, u8>,
}

/// What is the process's own is in no image.
#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(local)]
struct Own {
    #[primary_key]
    id: String,
    seen: HashMap<String, u8>,
}

fn main() {}
