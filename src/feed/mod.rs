//! Change sets, the history window, resumable feeds.
//!
//! Promises: every commit's changes in log order, whole entries only, each once; a follower
//! that falls behind the window is told so and from where it can go on, and never holds a commit
//! up (promises 16 to 18). It may not know how a commit is made: the store records operations in
//! a [`ChangeLog`], gives the finished [`ChangeSet`] to a [`Window`], and stores that window in
//! the root it publishes. Publishing the root *is* the append; there is no second step that a
//! crash or a race could leave out.
//!
//! The data structure to understand first is the [`Window`]: a short list of full chunks and one
//! tail chunk that successive windows share. Invariants:
//!
//! * a window sees exactly the first `tail_len` slots of its tail; slots beyond belong to later
//!   windows and are invisible to it;
//! * indexes rise from set to set, and everything after `floor` is in the window;
//! * only the one writer appends.
//!
//! Memory ordering: a slot is a `OnceLock`, set before the window that counts it is published;
//! a reader gets to the slot only through that window, so it finds the slot set.

mod change;
mod items;
mod stream;
mod window;

pub use change::{Change, Changes, RawChanges};
pub(crate) use change::{ChangeLog, ChangeSet, Mark, Replaced, TableChanges};
pub use items::{Feed, FeedItem, FeedIter, TableEvent};
pub(crate) use items::{Pick, changes_within};
pub use stream::{FeedError, Start};
pub(crate) use stream::{Newest, Part, Source, Stream};
pub(crate) use window::Window;
