//! Drivers: what owns a log and feeds a store from it.
//!
//! **Promises.** A driver hands every entry of its log to the store in order, through
//! [`fsm`](crate::fsm), and answers a proposal only when the entry is committed by the driver's
//! own rules.
//!
//! **May not know.** The other drivers: each is one module behind one feature.
//!
//! **The one data structure** is each driver's own.

#[cfg(feature = "_disk")]
mod answer;
#[cfg(feature = "_disk")]
mod disk;
#[cfg(feature = "journal")]
pub mod journal;
#[cfg(feature = "openraft")]
pub mod openraft;
#[cfg(feature = "openraft-next")]
pub mod openraft_next;
#[cfg(any(feature = "openraft", feature = "openraft-next"))]
mod raft;
