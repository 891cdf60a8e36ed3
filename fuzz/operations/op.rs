//! One operation, as the fuzzer makes it up.

use super::state::Bytes;
use arbitrary::Arbitrary;

/// How a key is made, so that keys meet, nest and fan out.
#[derive(Arbitrary, Clone, Debug)]
pub enum Pick {
    Bytes(Bytes),
    Used(u8),
    Longer(u8, Bytes),
    Shorter(u8, u8),
    Run(u8, u8),
}

/// One step.
#[derive(Arbitrary, Debug)]
pub enum Op {
    Put {
        key: Pick,
        group: Pick,
        serial: Option<u8>,
        value: u8,
    },
    Fan {
        base: Pick,
        from: u8,
        count: u8,
    },
    Delete {
        key: Pick,
    },
    DeletePrefix {
        prefix: Pick,
    },
    PutIf {
        key: Pick,
        value: u8,
        right: bool,
    },
    Commit,
    Abort,
    Entry {
        gap: u8,
    },
    Savepoint,
    Rollback(u8),
    Release(u8),
    Hold,
    /// A snapshot of the open transaction.
    See,
    Let(u8),
    Look {
        prefix: Pick,
        hi: Pick,
    },
    Image,
    Rewind(u8),
    RestoreAt {
        image: u8,
        gap: u8,
    },
    Collect,
    Fork {
        of: u8,
    },
    InFork {
        fork: u8,
        key: Pick,
        value: u8,
        clear: bool,
    },
    LetFork(u8),
    /// All or none, in a table that may be cleared before.
    InsertAll {
        clear: bool,
        keys: Vec<Pick>,
    },
    Guard {
        prefix: Pick,
    },
    Validate,
    Matches {
        groups: [Pick; 2],
        serial: u8,
    },
}
