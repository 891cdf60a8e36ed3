//! [`Cursor`]: where a page of a query ended.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::key::{ByteRange, KeyBuf};
use crate::position::{HistoryId, LogIndex, Position};

/// Where a page of a query ended, and so where the next one begins: made by
/// [`Rows::cursor`](crate::Rows::cursor), used by [`Rows::resume`](crate::Rows::resume), and the same of
/// [`Matches`](crate::Matches).
///
/// It names a place between two keys, not a record: it stays good whatever is written later. As
/// text (`to_string`, `parse`, serde) it is letters and digits, to be handed to a client. It tells
/// the query it is of, the position it was made at, and the last key; it is not a secret, and not
/// protected against being made up: a cursor that was changed names another place of the same query
/// at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    position: Position,
    /// What tells the query apart from others.
    query: u32,
    back: bool,
    /// The last key; none if there was none yet.
    key: Option<Box<[u8]>>,
}

/// Why a cursor does not lead on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CursorError {
    /// The text is no cursor.
    Malformed,
    /// It is a cursor of another table, index or range.
    OtherQuery,
    /// The store's content was replaced by that of another history since.
    OtherHistory {
        /// The history of the cursor.
        cursor: HistoryId,
        /// The history of the snapshot.
        now: HistoryId,
    },
}

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CursorError::Malformed => {
                f.write_str("this is no cursor of a query: begin with the first page")
            }
            CursorError::OtherQuery => f.write_str(
                "the cursor is of another query: resume the one that it was made by, with the same \
                 bounds",
            ),
            CursorError::OtherHistory { cursor, now } => write!(
                f,
                "the cursor is of history {cursor}, but this is a snapshot of history {now}: begin \
                 with the first page"
            ),
        }
    }
}

impl Error for CursorError {}

/// The layout of the text: changed with it, so that an old one is refused.
const VERSION: u8 = 1;
/// Before the key: version, flags, history, index, query.
const FIXED: usize = 1 + 1 + 16 + 8 + 4;
const BACK: u8 = 1;
const KEY: u8 = 2;

impl Cursor {
    pub(super) fn new(position: Position, query: u32, back: bool, key: Option<Vec<u8>>) -> Self {
        Cursor {
            position,
            query,
            back,
            key: key.map(Into::into),
        }
    }

    /// The position of the snapshot it was made in. A snapshot at least as late
    /// ([`Store::snapshot_at_least`](crate::Store::snapshot_at_least)) lacks nothing that earlier
    /// pages had seen.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What tells the query apart from others.
    pub(super) fn query(&self) -> u32 {
        self.query
    }

    /// Whether it is a place of the end that `next_back` walks.
    pub(super) fn is_back(&self) -> bool {
        self.back
    }

    /// The last key, if there was one.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// What is left of a query over `range`.
    pub(super) fn rest(
        &self,
        now: Position,
        query: u32,
        range: ByteRange,
    ) -> Result<ByteRange, CursorError> {
        if self.query != query {
            return Err(CursorError::OtherQuery);
        }
        if self.position.history != now.history {
            return Err(CursorError::OtherHistory {
                cursor: self.position.history,
                now: now.history,
            });
        }
        match &self.key {
            None => Ok(range),
            // One that was made up may name a place outside.
            Some(key) if !range.contains(key) => Err(CursorError::OtherQuery),
            Some(key) if self.back => Ok(ByteRange {
                hi: Some(KeyBuf::from(&key[..])),
                ..range
            }),
            Some(key) => {
                let mut lo = KeyBuf::from(&key[..]);
                lo.push(0);
                Ok(ByteRange { lo, ..range })
            }
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let key = self.key.as_deref();
        let flags = if self.back { BACK } else { 0 } | if key.is_some() { KEY } else { 0 };
        let mut bytes = vec![VERSION, flags];
        bytes.extend(self.position.history.0.to_be_bytes());
        bytes.extend(self.position.index.0.to_be_bytes());
        bytes.extend(self.query.to_be_bytes());
        bytes.extend(key.unwrap_or_default());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (fixed, key) = bytes.split_first_chunk::<FIXED>()?;
        let (&[version, flags], rest) = fixed.split_first_chunk::<2>()?;
        let (history, rest) = rest.split_first_chunk::<16>()?;
        let (index, rest) = rest.split_first_chunk::<8>()?;
        let (query, _) = rest.split_first_chunk::<4>()?;
        let has_key = flags & KEY != 0;
        if version != VERSION || flags & !(BACK | KEY) != 0 || (!has_key && !key.is_empty()) {
            return None;
        }
        Some(Cursor {
            position: Position {
                history: HistoryId(u128::from_be_bytes(*history)),
                index: LogIndex(u64::from_be_bytes(*index)),
            },
            query: u32::from_be_bytes(*query),
            back: flags & BACK != 0,
            key: has_key.then(|| key.into()),
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(CursorError::Malformed);
        };
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
            .collect();
        bytes
            .and_then(|bytes| Cursor::from_bytes(&bytes))
            .ok_or(CursorError::Malformed)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
