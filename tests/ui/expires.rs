//! `#[expires]` at wrong places, and on what is no time.
use std::time::{Duration, SystemTime};

use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[expires]
struct Placed {
    #[primary_key]
    name: String,
    #[expires]
    until: SystemTime,
    #[expires]
    after: SystemTime,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Optioned {
    #[primary_key]
    name: String,
    #[expires(after)]
    #[index]
    until: SystemTime,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
struct Typed {
    #[primary_key]
    name: String,
    #[expires]
    ttl: Option<Duration>,
}

fn main() {}
