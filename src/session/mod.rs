//! The sessions of clients: what makes a retried command one command.
//!
//! A client opens a session by an entry of the log, numbers its commands, and sends each again
//! until it is answered. The state machine keeps the answers, so that what was applied is not
//! applied again (Ongaro, "Consensus: bridging theory and practice", 2014, section 6.3).
//!
//! **Promises.** What is known of a session is a function of the log: its time is the log's. A
//! session that is not there is never made anew.
//!
//! **May not know.** What commands and answers are, and how entries come.
//!
//! **The one data structure** is [`Kept`]: the log's clock and all [`Sessions`], which are two
//! persistent maps, sessions by id and ids by the time they expire at. It is a value in the store's
//! root: each commit hands on a changed copy, which shares all but what changed, and a snapshot's
//! image has the snapshot's. It becomes bytes only there.
//!
//! The client's side, which is not of the log, is [`ClientSession`]: it numbers the commands.
//!
//! **Invariants.** Every session is in both maps. An answer's sequence number is above its
//! session's `floor`, the answers are no more than its window. There are at most [`MAX_SESSIONS`].
//! All of this is part of what replicas must agree on: the constants cannot change without a
//! change of the format of entries.

mod client;
mod error;
mod sessions;

pub use client::{ClientSession, PendingRequest};
pub use error::SessionError;
pub(crate) use sessions::{Answer, Known, Sessions};
pub use sessions::{MAX_SESSIONS, MAX_WINDOW};

use crate::position::LogIndex;
use serde::{Deserialize, Serialize};
use sessions::Stored;
use std::fmt;
use std::time::Duration;

/// Names a session: the log index of the entry that opened it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which command of which client it is. `session` and `sequence` name it, and are the same however
/// often it is sent; `answered` rides along, and may be more when it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestId {
    /// The client's session.
    pub session: SessionId,
    /// Counts the session's commands, from 1. They may arrive in any order within its window.
    pub sequence: u64,
    /// The client has the answers of all commands up to this one, and will not ask for them
    /// again. 0 if it does not say.
    pub answered: u64,
}

/// How a session is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// It ends when the log's clock has gone on for so long without a command in it. Whole
    /// milliseconds count. Ten minutes by default.
    pub ttl: Duration,
    /// How far a client may be ahead of a command it is still waiting for: the last `window`
    /// sequence numbers are remembered. At least 1, at most [`MAX_WINDOW`]; 128 by default.
    pub window: u32,
}

impl Default for SessionOptions {
    /// Ten minutes, 128 sequence numbers.
    fn default() -> Self {
        SessionOptions {
            ttl: Duration::from_mins(10),
            window: 128,
        }
    }
}

/// The entry that asks: its index, and the log's clock there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) index: LogIndex,
    pub(crate) time_ms: u64,
}

/// What entries leave for those to come, beside the records. A value: a clone shares all sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The running maximum of the entries' times, in milliseconds since the Unix epoch.
    pub(crate) clock: u64,
    pub(crate) sessions: Sessions,
}

const FORMAT: u8 = 1;

/// [`Kept`] as it is in an image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptImage {
    format: u8,
    clock: u64,
    sessions: Vec<Stored>,
}

impl From<&Kept> for KeptImage {
    fn from(kept: &Kept) -> Self {
        KeptImage {
            format: FORMAT,
            clock: kept.clock,
            sessions: kept.sessions.to_stored(),
        }
    }
}

impl TryFrom<KeptImage> for Kept {
    type Error = String;

    /// The error says what cannot be.
    fn try_from(image: KeptImage) -> Result<Self, String> {
        if image.format != FORMAT {
            return Err(format!(
                "they have format {}, this program reads format {FORMAT}",
                image.format
            ));
        }
        Ok(Kept {
            clock: image.clock,
            sessions: Sessions::from_stored(image.sessions)?,
        })
    }
}

#[cfg(test)]
mod tests;
