//! The commands of the log. What each does to the tables is in `kv.rs`, `registry.rs`, `sessions.rs`,
//! `events.rs` and `deadlines.rs`.

use std::fmt;
use std::time::SystemTime;

use highwater::fsm::{self, Context};
use highwater::{WriteError, WriteTxn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kv::{self, KvOp, KvPair, TxnError};
use crate::registry::{self, Deregistration, Registration};
use crate::schema::{Catalog, CheckId, Event, Session, Status};
use crate::{deadlines, events, sessions};

/// A change of the catalog, as it is written to the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// One operation on the key/value store.
    Kv(KvOp),
    /// Several, all or none.
    Txn(Vec<KvOp>),
    Register(Box<Registration>),
    Deregister(Deregistration),
    /// What is said of a check, with its output.
    Report(CheckId, Status, String),
    /// Its ID is drawn when it is applied.
    CreateSession(Box<Session>),
    RenewSession(Uuid),
    DestroySession(Uuid),
    /// Its number and ID are drawn when it is applied.
    Fire(Box<Event>),
    /// Another lets time pass now. It is answered with the log's time.
    Begin,
    /// What is due is done.
    Expire,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    /// Whether what was deregistered or renewed was there.
    Was(bool),
    Session(Uuid),
    Time(SystemTime),
    /// The number and the ID of an event.
    Event {
        number: u64,
        id: Uuid,
    },
    /// What the operations on the key/value store returned.
    Pairs(Vec<KvPair>),
}

/// Why a command was refused; it has changed nothing. The kinds are what a client can tell apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rejected {
    /// A key is not as it was expected to be.
    Conflict(String),
    /// There is no such session, or can be none.
    Session(String),
    /// There is no such service or check.
    Unknown(String),
    Txn(Vec<TxnError>),
    /// A name longer than a key may be.
    Invalid(String),
}

impl Rejected {
    pub fn conflict(why: &str) -> Self {
        Rejected::Conflict(why.to_owned())
    }

    /// There is no `service` or `check` with this ID.
    pub fn unknown(what: &str, id: &str) -> Self {
        Rejected::Unknown(format!(
            "Unknown {what} ID {id:?}. Ensure that the {what} ID is passed, not the {what} name."
        ))
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::Txn(errors) => write!(f, "{} operations were refused", errors.len()),
            Rejected::Conflict(why)
            | Rejected::Session(why)
            | Rejected::Unknown(why)
            | Rejected::Invalid(why) => f.write_str(why),
        }
    }
}

impl From<WriteError> for Rejected {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict { .. } => Rejected::conflict(kv::STALE),
            other => Rejected::Invalid(other.to_string()),
        }
    }
}

impl fsm::Command<Catalog> for Command {
    type Reply = Reply;
    type Error = Rejected;

    fn apply(self, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
        match self {
            Command::Kv(op) => op.apply(context, txn).map(Reply::Pairs),
            Command::Txn(ops) => kv::apply_all(&ops, context, txn).map(Reply::Pairs),
            Command::Register(registration) => registration.apply(context, txn),
            Command::Deregister(deregistration) => deregistration.apply(context, txn),
            Command::Report(check, status, output) => {
                registry::report(&check, status, output, context, txn)
            }
            Command::CreateSession(session) => sessions::create(*session, context, txn),
            Command::RenewSession(id) => sessions::renew(id, context, txn),
            Command::DestroySession(id) => {
                sessions::end(id, context, txn)?;
                Ok(Reply::Done)
            }
            Command::Fire(event) => events::fire(*event, context, txn),
            Command::Begin => deadlines::begin(context, txn),
            Command::Expire => deadlines::expire(context, txn).map(|()| Reply::Done),
        }
    }
}

/// A UUID of the log's randomness: one an entry.
pub fn drawn(context: &Context) -> Uuid {
    uuid(u128::from(context.random(0)) << 64 | u128::from(context.random(1)))
}

/// A UUID (version 4) of these random bits.
pub fn uuid(bits: u128) -> Uuid {
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}
