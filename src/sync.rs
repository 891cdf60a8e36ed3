//! The atomics, locks and threads of `std`, or loom's under `--cfg loom`.
//!
//! `Arc` is not among what the rooms take from here by default: where an `Arc` only owns and its
//! count decides nothing, `std::sync::Arc` serves under loom too.
#![allow(
    unused_imports,
    reason = "each room takes what it needs; not every build has every room"
)]

#[cfg(loom)]
pub(crate) use loom::{
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// Locks, also if a thread panicked while it held the lock: for data that is whole between any
/// two statements that can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
