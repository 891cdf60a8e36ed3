//! An entry of the log: what a command sees of it, and what a driver hands over.

use super::codec::Proposal;
use crate::position::LogIndex;
use crate::session::RequestId;
use std::time::{Duration, SystemTime};

/// What a command may know beside the data: its place in the log, the log's time, randomness that
/// is the same wherever the entry is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub(super) index: LogIndex,
    pub(super) time_ms: u64,
    pub(super) seed: u64,
    pub(super) request: Option<RequestId>,
}

impl Context {
    /// The entry's log index.
    pub fn index(&self) -> LogIndex {
        self.index
    }

    /// The log's clock: the latest time that any entry up to this one was proposed at. It never
    /// goes back, whatever the clocks of the machines did.
    ///
    /// Times that `SystemTime` cannot hold, which no clock gives, become the Unix epoch.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(self.time_ms))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// [`time`](Self::time) in milliseconds since the Unix epoch.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The seed that was drawn when the command was proposed, for a generator of one's own.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Which command of which client's session it is, if it is one of a session.
    pub fn request(&self) -> Option<RequestId> {
        self.request
    }

    /// The `nth` random number of this entry: of the `SplitMix64` sequence that its seed begins
    /// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). Well
    /// mixed, and no secret: who can read the log can compute it.
    pub fn random(&self, nth: u64) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let z = self
            .seed
            .wrapping_add(nth.wrapping_add(1).wrapping_mul(GAMMA));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// One entry of a log, as a driver hands it to [`Batch`](super::Batch).
#[derive(Debug)]
pub struct LogEntry<C> {
    pub(super) index: LogIndex,
    pub(super) body: Body<C>,
}

/// What is in the log at an index.
#[derive(Debug)]
pub(super) enum Body<C> {
    /// No command.
    Empty,
    /// The bytes of a proposal, made by this program or another.
    Encoded(Vec<u8>),
    /// A proposal of this program, decoded already.
    Decoded(Box<Proposal<C>>),
}

impl<C> LogEntry<C> {
    /// The entry with the bytes of a [`Proposal`], as read from a log.
    pub fn from_bytes(index: LogIndex, bytes: Vec<u8>) -> Self {
        LogEntry {
            index,
            body: Body::Encoded(bytes),
        }
    }

    /// The entry of a proposal that this program has made, which need not be decoded again.
    pub fn from_proposal(index: LogIndex, proposal: Proposal<C>) -> Self {
        LogEntry {
            index,
            body: Body::Decoded(Box::new(proposal)),
        }
    }

    /// An entry without a command, for what a consensus protocol logs for itself. It raises the
    /// store's mark and changes nothing.
    pub fn empty(index: LogIndex) -> Self {
        LogEntry {
            index,
            body: Body::Empty,
        }
    }

    /// The entry's log index.
    pub fn index(&self) -> LogIndex {
        self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_is_splitmix64() {
        // The published test vector for seed 1234567.
        let context = Context {
            index: LogIndex(1),
            time_ms: 0,
            seed: 1_234_567,
            request: None,
        };
        let drawn = [0, 1, 2, 3, 4].map(|nth| context.random(nth));
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn no_time_is_out_of_bounds() {
        let context = Context {
            index: LogIndex(1),
            time_ms: u64::MAX,
            seed: 0,
            request: None,
        };
        assert!(context.time() >= SystemTime::UNIX_EPOCH);
    }
}
