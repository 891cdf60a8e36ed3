//! Images: a snapshot as bytes, and bytes as a store's content.
//!
//! Promises: writing reads a snapshot and delays no commit; equal states of equal schemas give
//! equal bytes; restoring builds beside the old state and swaps once, at the very end, so that
//! whatever is wrong with the input, or with the reader, leaves the store as it was; the error
//! says where. Records keep their create and modify indexes, and queries theirs. No input panics,
//! overflows the stack, or allocates on the word of an unchecked length. It may not know
//! consensus: what a position means to a log is the driver's.
//!
//! The one central data structure is the frame: length, checksum and a body of at most 256 MiB,
//! whose first byte says what it holds. `docs/image.md` has the layout; [`frame`] knows frames and
//! the marks around them, [`header`] what an image says of its schema, [`stamps`] the log indexes
//! of an index's nodes, [`msgpack`] what may be shown to serde, and [`mod@write`] and [`restore`]
//! put them together.
//!
//! Invariants: each byte read is under a frame's checksum and under the trailer's, which is over
//! all before it; nothing is published before the input's end; a tree's shape follows from its
//! keys alone, so stamps in pre-order need no pointers.
//!
//! Threads share nothing here: a writer owns its snapshot, a restore holds the store's one
//! edition.

mod error;
mod frame;
mod header;
pub(crate) mod msgpack;
mod restore;
mod stamps;
mod varint;
mod write;

pub use error::{ImageError, ImagePlace};
pub use write::ImageSummary;
