//! Tests of the memory for nodes: blocks are apart, keep what is written, and all come back.

#[cfg(not(unpooled))]
use super::chunks::Chunks;
use super::chunks::{CLASSES, class, rounded, size_of_class};
use super::pool::Pool;
use proptest::prelude::*;
use std::ptr::NonNull;
#[cfg(all(debug_assertions, not(unpooled)))]
use std::sync::Mutex;

#[derive(Clone, Debug)]
enum Step {
    Take { size: usize, count: usize },
    Give { from: usize, count: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![
        4 => 1..300usize,
        2 => 1..4200usize,
        1 => Just(2104usize),
        1 => 4000..70_000usize,
    ];
    let step = prop_oneof![
        (size, 1..400usize).prop_map(|(size, count)| Step::Take { size, count }),
        (any::<usize>(), 1..600usize).prop_map(|(from, count)| Step::Give { from, count }),
    ];
    prop::collection::vec(step, 1..40)
}

/// A block that was taken, filled with one byte.
struct Taken {
    block: NonNull<u8>,
    size: usize,
    byte: u8,
}

impl Taken {
    fn new(block: NonNull<u8>, size: usize, byte: u8) -> Self {
        // SAFETY: the block has `size` bytes that are ours.
        unsafe { block.write_bytes(byte, size) };
        Taken { block, size, byte }
    }

    fn is_whole(&self) -> bool {
        // SAFETY: `new` wrote these bytes.
        let bytes = unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.size) };
        bytes.iter().all(|&byte| byte == self.byte)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(loom) { 1 } else { 64 }))]

    #[test]
    fn blocks_are_apart_and_come_back(steps in steps()) {
        let mut pool = Pool::default();
        let mut taken = Vec::new();
        let mut byte = 0u8;
        for step in steps {
            match step {
                Step::Take { size, count } => {
                    for _ in 0..count {
                        byte = byte.wrapping_add(1);
                        let block = pool.take(size);
                        prop_assert!(block.addr().get() % 16 == 0);
                        taken.push(Taken::new(block, size, byte));
                    }
                }
                Step::Give { from, count } => {
                    for _ in 0..count.min(taken.len()) {
                        let one: Taken = taken.swap_remove(from % taken.len());
                        prop_assert!(one.is_whole());
                        // SAFETY: it was taken with this size and is forgotten.
                        unsafe { pool.give(one.block, one.size) };
                    }
                }
            }
        }
        for one in taken {
            prop_assert!(one.is_whole());
            // SAFETY: as above.
            unsafe { pool.give(one.block, one.size) };
        }
    }
}

#[test]
fn every_size_has_a_class_that_holds_it() {
    for size in 1..6000 {
        let rounded = rounded(size);
        assert!(rounded >= size && rounded.is_multiple_of(16));
        match class(rounded) {
            class if class < CLASSES => assert_eq!(size_of_class(class), rounded),
            _ => assert!(size > 4096),
        }
    }
}

#[test]
#[cfg(not(unpooled))]
fn empty_chunks_go_back() {
    let mut memory = Chunks::default();
    // Ten chunks of small blocks, then given back in the order they came.
    let blocks: Vec<_> = (0..200_000).map(|_| memory.take(100)).collect();
    assert!(memory.chunks() > 10);
    for &block in &blocks[..199_999] {
        // SAFETY: taken with this size, and not used.
        unsafe { memory.give(block, 100) };
    }
    assert!(
        memory.chunks() <= 2,
        "{} chunks for one block",
        memory.chunks()
    );
    // An empty page serves another size.
    let other = memory.take(2000);
    assert!(memory.chunks() <= 2);
    // SAFETY: as above.
    unsafe {
        memory.give(other, 2000);
        memory.give(blocks[199_999], 100);
    }
    assert_eq!(memory.chunks(), 1);
}

#[test]
#[cfg(not(unpooled))]
fn what_was_just_freed_is_used_first_whatever_was_freed_before() {
    let mut pool = Pool::default();
    for size in (100..4000).step_by(100) {
        let others: Vec<_> = (0..5000).map(|_| pool.take(size)).collect();
        for other in others {
            // SAFETY: taken with this size, and not used.
            unsafe { pool.give(other, size) };
        }
    }
    // Of three pages.
    let blocks: Vec<_> = (0..600).map(|_| pool.take(64)).collect();
    let freed = [0, 300, 1, 301, 2].map(|at| blocks[at]);
    for block in freed {
        // SAFETY: as above.
        unsafe { pool.give(block, 64) };
    }
    assert_eq!(
        freed.map(|_| pool.take(64)),
        [4, 3, 2, 1, 0].map(|at| freed[at])
    );
    for block in blocks {
        // SAFETY: as above.
        unsafe { pool.give(block, 64) };
    }
}

#[test]
#[cfg(all(debug_assertions, not(unpooled)))]
#[should_panic(expected = "written after it was freed")]
fn a_write_to_a_freed_block_is_found() {
    // Never dropped: its own checks would find that something is wrong, too.
    static POOL: Mutex<Option<Pool>> = Mutex::new(None);
    let mut pool = POOL.lock().unwrap();
    let pool = pool.insert(Pool::default());
    let block = pool.take(100);
    // SAFETY: the pool keeps the block, so that the late write, which is the fault to be found, is to
    // memory of its own.
    unsafe {
        pool.give(block, 100);
        block.add(60).write(1);
    }
    pool.take(100);
}

#[test]
#[cfg(all(debug_assertions, not(unpooled)))]
#[should_panic(expected = "used after it was freed")]
fn a_look_at_a_freed_node_is_found() {
    let mut pool = Pool::default();
    let block = pool.take(64);
    // SAFETY: as above.
    unsafe {
        pool.give(block, 64);
        super::node::is_leaf(block.cast().as_ptr());
    }
}
