//! A cluster of real processes, through faults: killed and stopped nodes, cut networks, lost disks.
//!
//! `CATALOG_ROUNDS=100` has that many faults of each kind of campaign, instead of one of each fault.
#![allow(unreachable_pub, reason = "no interface of anybody")]

mod campaigns;
mod health;
mod history;
mod load;
mod membership;
mod nodes;
mod reads;
#[path = "../../../../tests/cluster/mod.rs"]
mod registers;
mod sessions;
mod storage;
#[path = "../support/mod.rs"]
mod support;
mod wire;
