//! Records from the bytes of an image: decoded one by one, then put into the empty trees of their table.

use std::fmt;

use super::core::Root;
use super::error::{KeyText, WriteError};
use super::fill::Batch;
use super::keys::check_len;
use crate::key::{Key, KeyBuf};
use crate::position::LogIndex;
use crate::schema::earlier::{Earlier, record};
use crate::schema::{Row, Table};
use crate::tree::Stamp;
use crate::version::Edition;

/// Why bytes were not taken in as a record.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// They are not one record of this table, and nothing else.
    Decode(String),
    /// The primary key is not higher than that of the record before.
    Order(KeyText),
    /// A key is too long, or is not unique.
    Refused(WriteError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Decode(why) => f.write_str(why),
            LoadError::Order(key) => write!(f, "key {key} is there already or out of order"),
            LoadError::Refused(error) => error.fmt(f),
        }
    }
}

/// The records of one table on their way in.
pub(crate) trait Intake {
    /// Decodes one record. Each primary key must be higher than the last, unless the records are of an
    /// earlier version: that may have had another key.
    fn push(
        &mut self,
        bytes: &[u8],
        created: LogIndex,
        modified: LogIndex,
    ) -> Result<(), LoadError>;
    /// Fills the table's trees, which must be empty, on up to `threads` threads; all nodes get that
    /// stamp. An error comes with the number of the record that is refused.
    fn fill(
        &self,
        edition: &mut Edition<Root>,
        base: usize,
        stamp: Stamp,
        threads: usize,
    ) -> Result<(), (usize, LoadError)>;
}

/// Takes records of one version in.
struct Incoming<T: Table> {
    batch: Batch<T>,
    /// A version before the present one.
    earlier: Option<&'static Earlier<T>>,
}

/// Takes in records of the version that is so many before the present one.
pub(super) fn intake<T: Table>(before: usize) -> Box<dyn Intake> {
    Box::new(Incoming::<T> {
        batch: Batch::new(),
        earlier: before.checked_sub(1).map(|i| &T::EARLIER[i]),
    })
}

impl<T: Table> Intake for Incoming<T> {
    fn push(
        &mut self,
        bytes: &[u8],
        created: LogIndex,
        modified: LogIndex,
    ) -> Result<(), LoadError> {
        let read = self
            .earlier
            .map_or(record::<T> as _, |earlier| earlier.read);
        let record = read(bytes).map_err(LoadError::Decode)?;
        let mut primary = KeyBuf::new();
        record.encode_key(&mut primary);
        let primary = primary.as_bytes();
        check_len(T::NAME, None, primary.len()).map_err(LoadError::Refused)?;
        let follows = |last: &[u8]| primary > last;
        if self.earlier.is_none() && !self.batch.last_key().is_none_or(follows) {
            return Err(LoadError::Order(KeyText::new(primary, T::Key::show)));
        }
        let row = Row::new(record, created, modified);
        self.batch.push(primary, row);
        Ok(())
    }

    fn fill(
        &self,
        edition: &mut Edition<Root>,
        base: usize,
        stamp: Stamp,
        threads: usize,
    ) -> Result<(), (usize, LoadError)> {
        self.batch
            .fill(edition, base, stamp, threads)
            .map_err(|(number, error)| (number, LoadError::Refused(error)))
    }
}
