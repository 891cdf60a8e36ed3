//! Errors of operations, commits and waits, and how a key looks in one.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::key::{Encoded, MAX_KEY_LEN, Show};
use crate::position::{HistoryId, LogIndex};
use crate::watch::Ended;

/// A key in an error, shown as its type is: `"web-1"`, `7`, `("n1", 7)`, `Critical`. One whose type
/// cannot be shown, because its [`Key`](crate::Key) is written by hand, is in hexadecimal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyText(Box<Shown>);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    bytes: Box<[u8]>,
    text: Box<str>,
}

impl KeyText {
    fn of(bytes: &[u8], text: String) -> Self {
        KeyText(Box::new(Shown {
            bytes: bytes.into(),
            text: text.into(),
        }))
    }

    /// A key of the type that is shown so.
    pub(crate) fn new(key: &[u8], show: Show) -> Self {
        let mut text = String::new();
        let mut encoded = Encoded::new(key, false);
        if show(&mut encoded, &mut text).is_none() || !encoded.is_done() {
            text = hexadecimal(key);
        }
        KeyText::of(key, text)
    }

    /// How keys begin that are shown by the first and, if there is more, by the second after it: the
    /// entries of an index, and their records'.
    pub(crate) fn beginning(key: &[u8], first: Show, second: Option<Show>) -> Self {
        let mut text = String::new();
        let mut encoded = Encoded::new(key, true);
        let mut whole = first(&mut encoded, &mut text);
        if let (Some(()), Some(second), false) = (whole, second, encoded.is_done()) {
            text.push_str(" of ");
            whole = second(&mut encoded, &mut text);
        }
        // Between two columns it has said so itself.
        let said = whole.is_some() || text.ends_with(", ..)");
        if !(said && encoded.is_done()) {
            text = hexadecimal(key);
        }
        KeyText::of(key, text)
    }

    /// The encoded key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    format!("0x{}", digits.collect::<String>())
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Display for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// Why an operation on a table was refused; the transaction is as it was before it. Or which rule of
/// the schema was found broken at the end of an entry.
///
/// It can be a command's error: it encodes, so that it can go from one process to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WriteError {
    /// `insert` of a record whose primary key is taken.
    AlreadyExists {
        /// The table.
        table: Cow<'static, str>,
        /// The primary key.
        key: KeyText,
    },
    /// `update` of a record that is not there.
    NotFound {
        /// The table.
        table: Cow<'static, str>,
        /// The primary key.
        key: KeyText,
    },
    /// `update_with` gave the record another primary key.
    KeyChanged {
        /// The table.
        table: Cow<'static, str>,
        /// The primary key.
        key: KeyText,
        /// The primary key that it was given.
        changed: KeyText,
    },
    /// Another record has this key in a unique index.
    NotUnique {
        /// The table.
        table: Cow<'static, str>,
        /// The unique index.
        index: Cow<'static, str>,
        /// The key in that index.
        key: KeyText,
        /// The primary key of the record that has it.
        holder: KeyText,
    },
    /// Compare-and-set: the record's modify index is not the expected one.
    Conflict {
        /// The table.
        table: Cow<'static, str>,
        /// The primary key.
        key: KeyText,
        /// The modify index the caller expected; 0 for "absent".
        expected: LogIndex,
        /// The record's modify index; 0 if it is absent.
        found: LogIndex,
    },
    /// At the end of the entry a record refers to one that is not there.
    NoTarget {
        /// The table of the record that refers.
        table: Cow<'static, str>,
        /// The index that is the reference.
        index: Cow<'static, str>,
        /// The record that refers: its primary key.
        record: KeyText,
        /// The table referred to.
        target: Cow<'static, str>,
        /// The primary key that is absent there.
        key: KeyText,
    },
    /// At the end of the entry a record is gone that another still refers to.
    Referenced {
        /// The table of the record that is gone.
        table: Cow<'static, str>,
        /// Its primary key.
        key: KeyText,
        /// The table of a record that refers to it.
        by: Cow<'static, str>,
        /// The index that is the reference.
        index: Cow<'static, str>,
        /// The record that refers to it: its primary key.
        holder: KeyText,
    },
    /// At the end of the entry a record does not meet a check of its table.
    CheckFailed {
        /// The table.
        table: Cow<'static, str>,
        /// The check: the path of its function.
        check: Cow<'static, str>,
        /// The primary key.
        key: KeyText,
    },
    /// An encoded key is longer than [`MAX_KEY_LEN`]. An entry of an index that is not unique is
    /// the index's key and the primary key together.
    KeyTooLong {
        /// The table.
        table: Cow<'static, str>,
        /// The index; none for the primary key.
        index: Option<Cow<'static, str>>,
        /// The encoded key's length in bytes.
        len: usize,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::AlreadyExists { table, key } => {
                write!(f, "table {table} already has a record with key {key}")
            }
            WriteError::NotFound { table, key } => {
                write!(f, "table {table} has no record with key {key}")
            }
            WriteError::KeyChanged {
                table,
                key,
                changed,
            } => write!(
                f,
                "table {table}, record {key}: its primary key was changed to {changed}; delete it \
                 and insert the other"
            ),
            WriteError::NotUnique {
                table,
                index,
                key,
                holder,
            } => write!(
                f,
                "table {table}, unique index {index}: key {key} belongs to the record with primary key \
                 {holder}"
            ),
            WriteError::Conflict {
                table,
                key,
                expected,
                found,
            } => write!(
                f,
                "table {table}, record {key}: modify index {expected} was expected, {found} found \
                 (0: absent); read it again"
            ),
            WriteError::NoTarget {
                table,
                index,
                record,
                target,
                key,
            } => write!(
                f,
                "table {table}, record {record}: its {index} refers to {key}, which table {target} \
                 has not; insert that in the same entry, or before"
            ),
            WriteError::Referenced {
                table,
                key,
                by,
                index,
                holder,
            } => write!(
                f,
                "table {table}, record {key} is deleted, but record {holder} of table {by} refers \
                 to it by {index}; delete or change that too"
            ),
            WriteError::CheckFailed { table, check, key } => {
                write!(
                    f,
                    "table {table}, record {key} does not meet the check {check}"
                )
            }
            WriteError::KeyTooLong { table, index, len } => {
                let index = index.as_deref().unwrap_or("primary");
                write!(
                    f,
                    "table {table}, {index} key: {len} bytes encoded, at most {MAX_KEY_LEN} are \
                     possible"
                )
            }
        }
    }
}

impl Error for WriteError {}

fn halted(f: &mut fmt::Formatter<'_>, reason: &str) -> fmt::Result {
    write!(f, "the store is halted: {reason}")
}

const CLOSED: &str = "the store is closed";

/// Why a store takes no writes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// It was closed, or its last handle was dropped.
    Closed,
    /// It was halted.
    Halted {
        /// Why.
        reason: String,
    },
    /// The highest possible log index is applied.
    IndexesExhausted,
    /// This thread has a write transaction open, or is in the middle of a restore, and would wait for
    /// itself.
    Nested,
    /// A driver writes the store: what its log does not have would be lost with the process, and on no
    /// other replica.
    Driven {
        /// Which driver.
        by: &'static str,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Closed => f.write_str(CLOSED),
            StoreError::Halted { reason } => halted(f, reason),
            StoreError::IndexesExhausted => {
                f.write_str("the highest possible log index is applied: no entry can come after it")
            }
            StoreError::Nested => f.write_str(
                "this thread has a write transaction open and would wait for itself: commit or drop \
                 that one first",
            ),
            StoreError::Driven { by } => write!(
                f,
                "the store is driven by {by}, whose log would not have this write: propose a command \
                 there, write in a fork of the store to try something, or keep what is this process's \
                 own in another store"
            ),
        }
    }
}

impl Error for StoreError {}

impl From<Ended> for StoreError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Closed => StoreError::Closed,
            Ended::Halted(reason) => StoreError::Halted {
                reason: reason.to_string(),
            },
        }
    }
}

/// Why a commit, or the next entry of one, was refused. After a refused commit the transaction is
/// gone and the store unchanged.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CommitError {
    /// The store was closed, or its last handle was dropped.
    Closed,
    /// The store was halted.
    Halted {
        /// Why.
        reason: String,
    },
    /// The entry has broken a rule of the schema: a reference or a check.
    RuleBroken(WriteError),
    /// An entry's index must be higher than the one before.
    IndexNotHigher {
        /// The index given.
        given: LogIndex,
        /// The index it had to be higher than.
        last: LogIndex,
    },
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::Closed => f.write_str(CLOSED),
            CommitError::Halted { reason } => halted(f, reason),
            CommitError::RuleBroken(rule) => rule.fmt(f),
            CommitError::IndexNotHigher { given, last } => {
                write!(
                    f,
                    "log index {given} is not higher than {last}, the one before: give each entry a higher \
                     one"
                )
            }
        }
    }
}

impl Error for CommitError {}

impl From<WriteError> for CommitError {
    fn from(error: WriteError) -> Self {
        CommitError::RuleBroken(error)
    }
}

impl From<Ended> for CommitError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Closed => CommitError::Closed,
            Ended::Halted(reason) => CommitError::Halted {
                reason: reason.to_string(),
            },
        }
    }
}

/// Why a wait ended without what was waited for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WaitError {
    /// The deadline passed first.
    Lagging {
        /// The log index that was waited for.
        wanted: LogIndex,
        /// The log index that is applied.
        applied: LogIndex,
    },
    /// The store was closed, or its last handle was dropped.
    Closed,
    /// The store was halted: the index will not be reached.
    Halted {
        /// Why.
        reason: String,
    },
    /// The store's content was replaced by that of another history, in which the index that was
    /// waited for means something else.
    HistoryChanged {
        /// The history in which the wait began.
        began: HistoryId,
        /// The history of the store now.
        now: HistoryId,
    },
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Lagging { wanted, applied } => write!(
                f,
                "log index {wanted} is not applied yet, only {applied}: try again, or elsewhere"
            ),
            WaitError::Closed => f.write_str(CLOSED),
            WaitError::Halted { reason } => halted(f, reason),
            WaitError::HistoryChanged { began, now } => {
                write!(
                    f,
                    "waited in history {began}, but the store now holds history {now}: begin again from \
                     what it holds"
                )
            }
        }
    }
}

impl Error for WaitError {}

impl From<Ended> for WaitError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Closed => WaitError::Closed,
            Ended::Halted(reason) => WaitError::Halted {
                reason: reason.to_string(),
            },
        }
    }
}
