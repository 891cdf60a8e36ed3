//! The operations of the fuzz target of this name, from random bytes.

#[path = "../fuzz/operations/mod.rs"]
mod operations;

use arbitrary::{Arbitrary, Unstructured};
use operations::{Op, run};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_store_is_as_the_model_says(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let mut bytes = Unstructured::new(&bytes);
        let mut ops = Vec::new();
        while !bytes.is_empty() {
            ops.push(Op::arbitrary(&mut bytes).unwrap());
        }
        run(&ops);
    }
}
