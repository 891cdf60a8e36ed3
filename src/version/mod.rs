//! Published roots, live versions, dead lists: what may be freed when.
//!
//! **Promises.** Taking a version, reading it and dropping it take no lock and free nothing. One
//! edition at a time is made in private and published atomically. Whatever no version can reach
//! any more is freed, in bounded steps, by the writer. A dropped edition leaves nothing behind but what
//! somebody has a snapshot of.
//!
//! **May not know**: records, tables, log indexes. What a root carries besides trees is its
//! `payload`, of the caller's type.
//!
//! **The one structure** is the [`Record`](record::Record) of a version: its trees, its payload,
//! how many handles it has, and its dead list: the nodes that the next version no longer needed.
//!
//! **Generations.** A counter of edits, which never falls or repeats, gives each node its birth
//! and each version its number. A node of birth `B`, retired in an edition that follows version
//! `V`, is needed by the live versions in `[B, V]` and by no other. So when a version dies, each
//! node on its dead list is freed, or, if an older live version is at least as young as the node,
//! handed to the newest such: the way ZFS frees the blocks of its snapshots (`reclaim.rs`). A copy of
//! `V` that is kept (`Edition::publish_keeping`) has a number right after `V`, and the list in its place.
//!
//! **Snapshots of an edition.** What an open edition has written so far can be a version, too, though it
//! was never published: one more in the line of generations, with a dead list, which outlives the edition
//! whatever becomes of that. An edition that goes back is a step of that line; see `marks.rs`. So what an
//! edition retires goes on the list of the newest version before its own, which need not be the one that
//! was published last.
//!
//! **Forks.** A fork is a core of its own that holds a version of another, its base, and whose first
//! version has the base's trees and generation. So births in a fork are above the base's generation,
//! and whatever it meets with a birth up to there is its parent's: immutable, alive while the base is
//! held, and never put on a list or freed by the fork. All above is the fork's own. The parent goes on
//! from its newest version with generations that may be the same numbers: neither ever meets a
//! node that the other made after the base. Each has its own writer, its own lists and its own
//! memory. A fork gives its base up after its last node, and forks of forks end one after the other in
//! a loop.
//!
//! **Who runs what.** The last release of a version pushes its record onto a lock-free stack and
//! returns; the holder of the writer's slot takes the stack and does the rest. Values that are no
//! longer needed come out as [`Trash`], for the caller to drop when it holds nothing. Only if no
//! store is left does the last handle tear the core down on its own thread, iteratively.
//!
//! **Memory ordering.** A record's count is an `Arc`'s: increments are relaxed (the one who
//! increments holds a handle), decrements release, and the one who takes it to zero acquires before
//! it pushes the record. The push releases; taking the whole stack acquires; so all reads through
//! any handle happen before the writer's frees. The core's count of holders works in the same
//! way. A version becomes visible through `cell.rs`, whose store releases and whose loads acquire
//! the nodes written before.

#[cfg(all(test, not(loom)))]
mod audit;
mod cell;
mod core;
mod edition;
#[cfg(all(test, not(loom)))]
mod fork_tests;
mod live;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod mark_tests;
mod marks;
mod reclaim;
mod record;
mod site;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(all(test, not(loom)))]
mod tree_tests;

pub(crate) use core::Versions;
pub(crate) use edition::Edition;
pub(crate) use reclaim::Trash;
pub(crate) use record::Version;
pub(crate) use site::Site;
