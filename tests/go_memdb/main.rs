//! go-memdb, and what Consul and Nomad build on it: a case for each feature, named after it, and one
//! for each trap, named after the issue it comes from.
//!
//! | module | is about |
//! |---|---|
//! | `database` | the schema, stores, snapshots and forks |
//! | `transactions` | every method of a transaction |
//! | `indexers` | every kind of index |
//! | `watches` | channels, watch sets, and waiting |
//! | `trees` | what the radix tree offers by itself |
//! | `absent` | what go-memdb has not and its users ask for |
//! | `embedders` | what Consul and Nomad have built beside it |
//! | `traps` | what goes wrong there |

mod absent;
mod database;
mod embedders;
mod indexers;
#[path = "../store_schema/mod.rs"]
mod store_schema;
mod things;
mod transactions;
mod traps;
mod trees;
mod watches;
