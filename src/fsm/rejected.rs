//! [`Rejected`]: why a command was rejected, for commands that need no type of their own for it.

use crate::store::{Conflict, WriteError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a command was rejected: an error for commands that need none of their own.
///
/// `?` makes it of all that can be refused in a command: a write, a rule of the schema, a guard; and of
/// a reason in words.
///
/// ```
/// use highwater::fsm::{Command, Context, Rejected};
/// use highwater::{Guard, Schema, Table, WriteTxn};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// pub struct Account {
///     #[primary_key]
///     pub id: String,
///     pub amount: u64,
/// }
///
/// #[derive(Schema)]
/// pub struct Bank {
///     accounts: Account,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// pub struct Withdraw {
///     id: String,
///     amount: u64,
///     /// What the client has seen.
///     seen: Guard,
/// }
///
/// impl Command<Bank> for Withdraw {
///     type Reply = u64;
///     type Error = Rejected;
///
///     fn apply(self, _: &Context, txn: &mut WriteTxn<Bank>) -> Result<u64, Rejected> {
///         txn.validate(&self.seen)?;
///         let account = txn.accounts().get(&self.id).ok_or("there is no such account")?;
///         let left = account.amount.checked_sub(self.amount);
///         let left = left.ok_or_else(|| format!("only {} are left", account.amount))?;
///         txn.accounts_mut().update_with(&self.id, |account| account.amount = left)?;
///         Ok(left)
///     }
/// }
/// ```
///
/// One of your own is worth it when clients are to tell your reasons apart. It has to encode, and to be
/// made of a [`WriteError`]:
///
/// ```
/// use highwater::WriteError;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// pub enum Refused {
///     NotEnough { left: u64 },
///     Write(WriteError),
/// }
///
/// impl From<WriteError> for Refused {
///     fn from(error: WriteError) -> Self {
///         Refused::Write(error)
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Rejected {
    /// A write was refused, or what the command left would have broken a rule of the schema.
    Write(WriteError),
    /// What a guard was read from has changed.
    Conflict(Conflict),
    /// The command's own reason.
    Reason(String),
}

impl Rejected {
    /// Whether somebody else came first, so that it may succeed when it is made anew of what is there
    /// now: a guard does not hold, or a record has not the modify index that was expected. Not so if the
    /// guard was made in a fork and the store is none: made there again, it never holds.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Rejected::Conflict(Conflict::Changed { .. })
            | Rejected::Write(WriteError::Conflict { .. }) => true,
            Rejected::Conflict(Conflict::OtherHistory { read, now }) => {
                !read.is_fork() || now.is_fork()
            }
            _ => false,
        }
    }
}

impl From<WriteError> for Rejected {
    fn from(error: WriteError) -> Self {
        Rejected::Write(error)
    }
}

impl From<Conflict> for Rejected {
    fn from(conflict: Conflict) -> Self {
        Rejected::Conflict(conflict)
    }
}

impl From<String> for Rejected {
    fn from(reason: String) -> Self {
        Rejected::Reason(reason)
    }
}

impl From<&str> for Rejected {
    fn from(reason: &str) -> Self {
        Rejected::Reason(reason.to_owned())
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::Write(error) => error.fmt(f),
            Rejected::Conflict(conflict) => conflict.fmt(f),
            Rejected::Reason(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Rejected {}
