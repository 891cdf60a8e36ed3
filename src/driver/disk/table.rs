//! What is added to `redb`, the storage of logs.
//!
//! What `redb` gives: a transaction with `Durability::Immediate` is in the file whole or not at
//! all, and there after `commit` returns, with one fsync (a checksummed one-phase commit: on
//! opening, a newest commit that is not intact gives way to the one before). What is added here:
//! opening always verifies every page; every record carries its own checksum; a panic inside the
//! storage becomes an error.

use super::DiskError;
use crate::fsm::panic_message;
use redb::{Database, DatabaseError, Durability, StorageError, WriteTransaction};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// A log is read once, when it is opened; beyond that mostly its end is touched.
const CACHE_BYTES: usize = 16 << 20;
/// Before each sealed payload.
pub(in super::super) const SEAL: usize = 4;

/// Opens and makes files.
pub(in super::super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true);
    builder
}

/// One transaction; durable unless it says otherwise itself.
pub(in super::super) fn write<R>(
    path: &Path,
    db: &Database,
    edit: impl FnOnce(&mut WriteTransaction) -> Result<R, redb::Error>,
) -> Result<R, DiskError> {
    let commit = || {
        let mut txn = db.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        let result = edit(&mut txn)?;
        txn.commit()?;
        Ok(result)
    };
    commit().map_err(|e| storage_error(path, e))
}

/// Writes a payload with its checksum, which covers the key too, into [`SEAL`] bytes more.
pub(in super::super) fn seal(key: &[u8], payload: &[u8], into: &mut [u8]) {
    let (crc, body) = into.split_at_mut(SEAL);
    crc.copy_from_slice(&checksum(key, payload).to_be_bytes());
    body.copy_from_slice(payload);
}

/// The payload, if its checksum is right.
pub(in super::super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (crc, payload) = value.split_first_chunk::<SEAL>()?;
    (u32::from_be_bytes(*crc) == checksum(key, payload)).then_some(payload)
}

fn checksum(key: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize()
}

/// Turns a panic of the storage, which its damaged files may cause, into an error.
pub(in super::super) fn guard<R, E: From<DiskError>>(
    path: &Path,
    f: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let what = format!("its storage panicked: {}", panic_message(panic.as_ref()));
        Err(DiskError::damaged(path, None, what).into())
    })
}

pub(in super::super) fn database_error(path: &Path, error: DatabaseError) -> DiskError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => DiskError::InUse {
            dir: path.parent().unwrap_or(path).to_owned(),
        },
        DatabaseError::Storage(StorageError::Io(e))
            if e.kind() == std::io::ErrorKind::InvalidData =>
        {
            DiskError::damaged(path, None, e.to_string())
        }
        e => storage_error(path, e.into()),
    }
}

pub(in super::super) fn storage_error(path: &Path, error: redb::Error) -> DiskError {
    match error {
        redb::Error::Io(e) => DiskError::io(path, "use", e),
        redb::Error::Corrupted(what) => DiskError::damaged(path, None, what),
        e @ (redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }) => {
            DiskError::damaged(path, None, e.to_string())
        }
        e => DiskError::Storage {
            path: path.to_owned(),
            what: e.to_string(),
        },
    }
}
