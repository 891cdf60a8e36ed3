//! The key/value store: operations, alone or in a transaction, and what they return.

use std::fmt;

use bytes::Bytes;
use highwater::fsm::Context;
use highwater::{LogIndex, Row, WriteTxn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::command::Rejected;
use crate::deadlines;
use crate::schema::{Catalog, CatalogView, Due, KvEntry};

/// One operation, as `/v1/txn` is sent it: what it does not need is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KvOp {
    pub verb: Verb,
    /// Or the prefix of keys.
    #[serde(default)]
    pub key: String,
    #[serde(default, with = "crate::base64_or_null")]
    pub value: Bytes,
    #[serde(default)]
    pub flags: u64,
    #[serde(default)]
    pub index: LogIndex,
    #[serde(default)]
    pub session: Option<Uuid>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "unknown KV verb")]
pub enum Verb {
    Read(Read),
    Write(Write),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Read {
    Get,
    GetOrEmpty,
    GetTree,
    CheckIndex,
    CheckSession,
    CheckNotExists,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Write {
    Set,
    /// Only if the key has this modify index; 0: only if it is absent.
    Cas,
    /// Only if nobody else has the key locked; then this session has.
    Lock,
    /// Only if this session has the key locked.
    Unlock,
    Delete,
    DeleteCas,
    DeleteTree,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A key with its value, as clients see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KvPair {
    lock_index: u64,
    key: String,
    flags: u64,
    #[serde(with = "crate::base64_or_null")]
    pub value: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<Uuid>,
    create_index: LogIndex,
    modify_index: LogIndex,
}

/// Why a key is not as it was expected to be.
pub const STALE: &str = "index is stale";
const NOT_LOCKED: &str = "lock isn't held, or is held by another session";

/// Why an operation of a transaction was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TxnError {
    pub op_index: usize,
    pub what: String,
}

impl From<&Row<KvEntry>> for KvPair {
    fn from(row: &Row<KvEntry>) -> Self {
        KvPair {
            lock_index: row.lock_index,
            key: row.key.clone(),
            flags: row.flags,
            value: row.value.clone(),
            session: row.session,
            create_index: row.create_index(),
            modify_index: row.modify_index(),
        }
    }
}

impl KvPair {
    /// The answer to anything but a read leaves the value out.
    fn without_value(row: &Row<KvEntry>) -> Self {
        KvPair {
            value: Bytes::new(),
            ..KvPair::from(row)
        }
    }
}

impl KvOp {
    /// Applies it. A write returns what there is then, without the value.
    pub fn apply(
        &self,
        context: &Context,
        txn: &mut WriteTxn<Catalog>,
    ) -> Result<Vec<KvPair>, Rejected> {
        let write = match self.verb {
            Verb::Read(read) => return self.read(read, txn),
            Verb::Write(write) => write,
        };
        let KvOp { key, session, .. } = self;
        // Who has it locked stays.
        let mut new = KvEntry {
            key: key.clone(),
            value: self.value.clone(),
            flags: self.flags,
            ..txn.kv().get(key).map(Row::to_record).unwrap_or_default()
        };
        match write {
            Write::Set => drop(txn.kv_mut().upsert(new)?),
            Write::Cas => drop(txn.kv_mut().upsert_if(new, self.index)?),
            Write::Lock => {
                if deadlines::pending(&Due::Unlock(key.clone()), context, txn) {
                    return Err(Rejected::conflict("due to lock delay"));
                }
                if !session.is_some_and(|session| txn.sessions().contains(session)) {
                    let id = session.map_or(String::new(), |session| session.to_string());
                    return Err(Rejected::Session(format!("invalid session {id:?}")));
                }
                match new.session {
                    None => new.lock_index += 1,
                    Some(_) if new.session == *session => {}
                    Some(_) => return Err(Rejected::conflict("lock is already held")),
                }
                new.session = *session;
                txn.kv_mut().upsert(new)?;
            }
            Write::Unlock => {
                if session.is_none() || new.session.take() != *session {
                    return Err(Rejected::conflict(NOT_LOCKED));
                }
                txn.kv_mut().upsert(new)?;
            }
            Write::Delete => drop(txn.kv_mut().delete(key)?),
            // A key that is gone already is what was asked for.
            Write::DeleteCas if !txn.kv().contains(key) => {}
            Write::DeleteCas => drop(txn.kv_mut().delete_if(key, self.index)?),
            Write::DeleteTree => drop(txn.kv_mut().delete_prefix(key)?),
        }
        let left = txn.kv().get(key).map(KvPair::without_value);
        Ok(left.into_iter().collect())
    }

    fn read(&self, read: Read, db: &CatalogView) -> Result<Vec<KvPair>, Rejected> {
        let found = db.kv().get(&self.key);
        let there = || found.ok_or_else(|| Rejected::conflict("it doesn't exist"));
        match read {
            Read::Get => Ok(vec![there()?.into()]),
            Read::GetOrEmpty => {
                let absent = || KvPair {
                    key: self.key.clone(),
                    ..KvPair::default()
                };
                Ok(vec![found.map_or_else(absent, KvPair::from)])
            }
            Read::GetTree => Ok(db.kv().prefix(&self.key).map(KvPair::from).collect()),
            Read::CheckIndex if there()?.modify_index() != self.index => {
                Err(Rejected::conflict(STALE))
            }
            Read::CheckSession if there()?.session.is_none_or(|by| Some(by) != self.session) => {
                Err(Rejected::conflict(NOT_LOCKED))
            }
            Read::CheckIndex | Read::CheckSession => Ok(vec![KvPair::without_value(there()?)]),
            Read::CheckNotExists if found.is_some() => Err(Rejected::conflict("it exists")),
            Read::CheckNotExists => Ok(Vec::new()),
        }
    }
}

/// The answer of a transaction that writes is kept with its session, and sent between nodes.
const LARGEST_ANSWER: usize = 4 << 20;

/// Applies all operations, or, if one of them is refused, says of every one that is, why.
pub fn apply_all(
    ops: &[KvOp],
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<Vec<KvPair>, Rejected> {
    let pairs = collect(ops, |op| op.apply(context, txn))?;
    let size = |pair: &KvPair| pair.key.len() + pair.value.len();
    if pairs.iter().map(size).sum::<usize>() > LARGEST_ANSWER {
        let why = format!("a transaction that writes reads at most {LARGEST_ANSWER} bytes");
        return Err(Rejected::Invalid(why));
    }
    Ok(pairs)
}

/// The same for operations that only read.
pub fn read_all(ops: &[KvOp], db: &CatalogView) -> Result<Vec<KvPair>, Rejected> {
    collect(ops, |op| match op.verb {
        Verb::Read(read) => op.read(read, db),
        Verb::Write(_) => Err(Rejected::Invalid("it writes".to_owned())),
    })
}

fn collect(
    ops: &[KvOp],
    mut run: impl FnMut(&KvOp) -> Result<Vec<KvPair>, Rejected>,
) -> Result<Vec<KvPair>, Rejected> {
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (op_index, op) in ops.iter().enumerate() {
        match run(op) {
            Ok(pairs) => results.extend(pairs),
            Err(error) => {
                let what = format!("failed to {} key {:?}: {error}", op.verb, op.key);
                errors.push(TxnError { op_index, what });
            }
        }
    }
    if errors.is_empty() {
        Ok(results)
    } else {
        Err(Rejected::Txn(errors))
    }
}
