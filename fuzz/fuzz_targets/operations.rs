//! Sequences of operations that the fuzzer makes up.
#![no_main]

#[path = "../operations/mod.rs"]
mod operations;

use libfuzzer_sys::fuzz_target;
use operations::{Op, run};

fuzz_target!(|ops: Vec<Op>| run(&ops));
