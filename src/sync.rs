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

/// A number of this thread's own, among all that there are and were; never 0.
#[cfg(not(loom))]
pub(crate) fn this_thread() -> u64 {
    use std::cell::Cell;
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local!(static OWN: Cell<u64> = const { Cell::new(0) });
    // Without its own number, when it ends, a thread gets one more.
    let new = || LAST.fetch_add(1, Ordering::Relaxed) + 1;
    OWN.try_with(|own| {
        if own.get() == 0 {
            own.set(new());
        }
        own.get()
    })
    .unwrap_or_else(|_| new())
}

/// Loom's threads share what is a thread's own in `std`; none of them waits for itself.
#[cfg(loom)]
pub(crate) fn this_thread() -> u64 {
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
}

/// Locks, also if a thread panicked while it held the lock: for data that is whole between any
/// two statements that can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
