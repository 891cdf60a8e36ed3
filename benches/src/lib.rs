//! The same work for highwater and for its peers: one record type, one trait of operations, and one
//! file for each system under `systems/`.
//!
//! * `cargo bench -p highwater-benches --bench side_by_side -- --quick` measures and prints a table;
//!   `--bench scaling` measures how costs grow with the records, and trees alone.
//! * `src/bin/bytes.rs` counts the bytes a system keeps; the tables' memory rows come from it.
//! * `src/bin/charts/` draws what `scaling` measured. `docs/performance.md` tells how to run it all.
//! * `peers/go-memdb/` is a Go program that does the same work.

#![expect(
    clippy::missing_panics_doc,
    reason = "a system that cannot do the work ends the measurement: every call may panic"
)]

pub mod check;
pub mod data;
pub mod entrant;
pub mod figures;
pub mod machine;
pub mod memory;
pub mod pace;
pub mod peer;
pub mod record;
pub mod systems;
pub mod tables;
pub mod trees;
