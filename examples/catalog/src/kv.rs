//! The key/value store: operations, alone or in a transaction, and what they return.

use bytes::Bytes;
use highwater::fsm::Context;
use highwater::{LogIndex, Row, WriteTxn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::command::Rejected;
use crate::deadlines;
use crate::schema::{Catalog, CatalogView, Due, KvEntry};

/// One operation, named as `/v1/txn` names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum KvOp {
    Set {
        key: String,
        value: Bytes,
        flags: u64,
    },
    /// Only if the key has this modify index; 0: only if it is absent.
    Cas {
        key: String,
        value: Bytes,
        flags: u64,
        index: LogIndex,
    },
    /// Only if nobody else has the key locked; then this session has.
    Lock {
        key: String,
        value: Bytes,
        flags: u64,
        session: Uuid,
    },
    /// Only if this session has the key locked.
    Unlock {
        key: String,
        value: Bytes,
        flags: u64,
        session: Uuid,
    },
    Delete {
        key: String,
    },
    DeleteCas {
        key: String,
        index: LogIndex,
    },
    DeleteTree {
        prefix: String,
    },
    Read(KvRead),
}

/// An operation that changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum KvRead {
    Get { key: String },
    GetOrEmpty { key: String },
    GetTree { prefix: String },
    CheckIndex { key: String, index: LogIndex },
    CheckSession { key: String, session: Uuid },
    CheckNotExists { key: String },
}

/// A key with its value, as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

    fn absent(key: String) -> Self {
        let zero = LogIndex::ZERO;
        KvPair {
            lock_index: 0,
            key,
            flags: 0,
            value: Bytes::new(),
            session: None,
            create_index: zero,
            modify_index: zero,
        }
    }
}

/// Applies one operation.
pub fn apply(
    op: KvOp,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<Vec<KvPair>, Rejected> {
    match op {
        KvOp::Set { key, value, flags } => put(with(key, value, flags, txn), txn),
        KvOp::Cas {
            key,
            value,
            flags,
            index,
        } => {
            let new = with(key, value, flags, txn);
            let key = new.key.clone();
            txn.kv_mut().upsert_if(new, index)?;
            Ok(written(txn, &key))
        }
        KvOp::Lock {
            key,
            value,
            flags,
            session,
        } => {
            if deadlines::pending(&Due::Unlock(key.clone()), context, txn) {
                return Err(Rejected::LockDelay);
            }
            if !txn.sessions().contains(session) {
                return Err(Rejected::InvalidSession(session.to_string()));
            }
            let mut new = with(key, value, flags, txn);
            match new.session.replace(session) {
                None => new.lock_index += 1,
                Some(holder) if holder == session => {}
                Some(_) => return Err(Rejected::Locked),
            }
            put(new, txn)
        }
        KvOp::Unlock {
            key,
            value,
            flags,
            session,
        } => {
            let mut new = with(key, value, flags, txn);
            if new.session.take() != Some(session) {
                return Err(Rejected::NotLocked);
            }
            put(new, txn)
        }
        KvOp::Delete { key } => {
            txn.kv_mut().delete(&key)?;
            Ok(Vec::new())
        }
        KvOp::DeleteCas { key, index } => {
            // A key that is gone already is what was asked for.
            if txn.kv().contains(&key) {
                txn.kv_mut().delete_if(&key, index)?;
            }
            Ok(Vec::new())
        }
        KvOp::DeleteTree { prefix } => {
            txn.kv_mut().delete_prefix(&prefix)?;
            Ok(Vec::new())
        }
        KvOp::Read(read) => read.run(txn),
    }
}

/// The key as it is to be: who has it locked stays.
fn with(key: String, value: Bytes, flags: u64, txn: &WriteTxn<Catalog>) -> KvEntry {
    let known = txn.kv().get(&key);
    KvEntry {
        lock_index: known.map_or(0, |known| known.lock_index),
        session: known.and_then(|known| known.session),
        key,
        value,
        flags,
    }
}

fn put(new: KvEntry, txn: &mut WriteTxn<Catalog>) -> Result<Vec<KvPair>, Rejected> {
    let key = new.key.clone();
    txn.kv_mut().upsert(new)?;
    Ok(written(txn, &key))
}

fn written(txn: &WriteTxn<Catalog>, key: &String) -> Vec<KvPair> {
    txn.kv()
        .get(key)
        .map(KvPair::without_value)
        .into_iter()
        .collect()
}

/// The answer of a transaction that writes is kept with its session, and sent between nodes.
const LARGEST_ANSWER: usize = 4 << 20;

/// Applies all operations, or, if one of them is refused, says of every one that is, why.
pub fn apply_all(
    ops: Vec<KvOp>,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<Vec<KvPair>, Rejected> {
    let pairs = collect(ops.into_iter().map(|op| {
        let name = op.describe();
        apply(op, context, txn).map_err(|error| format!("failed to {name}: {error}"))
    }))?;
    let size = |pair: &KvPair| pair.key.len() + pair.value.len();
    if pairs.iter().map(size).sum::<usize>() > LARGEST_ANSWER {
        return Err(Rejected::Invalid(format!(
            "a transaction that writes reads at most {LARGEST_ANSWER} bytes"
        )));
    }
    Ok(pairs)
}

/// The same for operations that only read.
pub fn read_all(reads: Vec<KvRead>, db: &CatalogView) -> Result<Vec<KvPair>, Rejected> {
    collect(reads.into_iter().map(|read| {
        let name = read.describe();
        read.run(db)
            .map_err(|error| format!("failed to {name}: {error}"))
    }))
}

fn collect(
    outcomes: impl Iterator<Item = Result<Vec<KvPair>, String>>,
) -> Result<Vec<KvPair>, Rejected> {
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (op_index, outcome) in outcomes.enumerate() {
        match outcome {
            Ok(pairs) => results.extend(pairs),
            Err(what) => errors.push(TxnError { op_index, what }),
        }
    }
    if errors.is_empty() {
        Ok(results)
    } else {
        Err(Rejected::Txn(errors))
    }
}

impl KvRead {
    fn run(self, db: &CatalogView) -> Result<Vec<KvPair>, Rejected> {
        match self {
            KvRead::Get { key } => match db.kv().get(&key) {
                Some(row) => Ok(vec![row.into()]),
                None => Err(Rejected::Absent),
            },
            KvRead::GetOrEmpty { key } => {
                let pair = db.kv().get(&key).map(KvPair::from);
                Ok(vec![pair.unwrap_or_else(|| KvPair::absent(key))])
            }
            KvRead::GetTree { prefix } => Ok(db.kv().prefix(&prefix).map(KvPair::from).collect()),
            KvRead::CheckIndex { key, index } => match db.kv().get(&key) {
                Some(row) if row.modify_index() == index => Ok(vec![KvPair::without_value(row)]),
                Some(_) => Err(Rejected::Stale),
                None => Err(Rejected::Absent),
            },
            KvRead::CheckSession { key, session } => match db.kv().get(&key) {
                Some(row) if row.session == Some(session) => Ok(vec![KvPair::without_value(row)]),
                Some(_) => Err(Rejected::NotLocked),
                None => Err(Rejected::Absent),
            },
            KvRead::CheckNotExists { key } => {
                if db.kv().contains(&key) {
                    Err(Rejected::Exists)
                } else {
                    Ok(Vec::new())
                }
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            KvRead::Get { key } | KvRead::GetOrEmpty { key } => format!("get key {key:?}"),
            KvRead::GetTree { prefix } => format!("get tree {prefix:?}"),
            KvRead::CheckIndex { key, .. } => format!("check index of key {key:?}"),
            KvRead::CheckSession { key, .. } => format!("check session of key {key:?}"),
            KvRead::CheckNotExists { key } => format!("check that key {key:?} is absent"),
        }
    }
}

impl KvOp {
    pub fn as_read(&self) -> Option<KvRead> {
        match self {
            KvOp::Read(read) => Some(read.clone()),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            KvOp::Set { key, .. } | KvOp::Cas { key, .. } => format!("set key {key:?}"),
            KvOp::Lock { key, .. } => format!("lock key {key:?}"),
            KvOp::Unlock { key, .. } => format!("unlock key {key:?}"),
            KvOp::Delete { key } | KvOp::DeleteCas { key, .. } => format!("delete key {key:?}"),
            KvOp::DeleteTree { prefix } => format!("delete tree {prefix:?}"),
            KvOp::Read(read) => read.describe(),
        }
    }
}
