//! [`ImageError`]: why an image was not written or not restored.

use crate::position::Position;
use crate::store::{StoreError, WriteError};
use std::{fmt, io};

/// Where in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImagePlace {
    /// Bytes from the start of the image.
    pub offset: u64,
    /// The table whose section it is in.
    pub table: Option<&'static str>,
    /// The record of that table, counted from 0 in the order of the image.
    pub row: Option<u64>,
}

impl fmt::Display for ImagePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.offset)?;
        if let Some(row) = self.row {
            write!(f, ", record {row}")?;
        }
        if let Some(table) = self.table {
            write!(f, " of table `{table}`")?;
        }
        Ok(())
    }
}

/// Why an image was not written or not restored. After a failed restore the store is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImageError {
    /// The writer it was written to failed.
    Write {
        /// Bytes written before.
        offset: u64,
        /// What the writer said.
        source: io::Error,
    },
    /// The reader it was read from failed.
    Read {
        /// Bytes read before.
        offset: u64,
        /// What the reader said.
        source: io::Error,
    },
    /// Something cannot be written: a record that does not serialize, nests deeper than 128
    /// levels, or is larger than 256 MiB; a driver's state larger than that.
    Unwritable {
        /// Where in the image it would have been.
        place: ImagePlace,
        /// What is wrong with it.
        what: String,
    },
    /// The bytes do not begin as an image does.
    NotAnImage,
    /// The image has another version of the format.
    Format {
        /// Of the image.
        found: u16,
        /// What this program reads.
        supported: u16,
    },
    /// The image ends too early.
    Truncated {
        /// Where it ends.
        place: ImagePlace,
    },
    /// A checksum is wrong: bytes were changed after they were written.
    Damaged {
        /// The start of the frame it is about.
        place: ImagePlace,
        /// Which checksum.
        what: String,
    },
    /// The checksums are right, but the content is not what a writer of images writes.
    Malformed {
        /// Where it was seen.
        place: ImagePlace,
        /// What is wrong.
        what: String,
    },
    /// Bytes follow the end mark.
    TrailingBytes {
        /// Of the first of them.
        offset: u64,
    },
    /// The image has records of a table that the schema has not; restoring would lose them.
    UnknownTable {
        /// Where the first of them is: bytes from the start of the image.
        offset: u64,
        /// Its name.
        table: String,
    },
    /// A record of the image has a field that the table has not, or had not in the version of the
    /// image's records; restoring would lose it.
    UnknownField {
        /// Where the record begins.
        place: ImagePlace,
        /// The version of the image's records.
        version: u32,
        /// The field.
        field: String,
    },
    /// The image's records are of a later version than this program's
    /// ([`Table::VERSION`](crate::Table::VERSION)).
    NewerRecords {
        /// The table.
        table: &'static str,
        /// The version of the image's records.
        image: u32,
        /// This program's.
        schema: u32,
    },
    /// The image's records are of a version from which this program knows no way to its own.
    OlderRecords {
        /// The table.
        table: &'static str,
        /// The version of the image's records.
        image: u32,
        /// The oldest that this program reads.
        oldest: u32,
        /// This program's.
        schema: u32,
    },
    /// The primary key is made of other fields in the image than in the schema.
    PrimaryKey {
        /// The table.
        table: &'static str,
        /// Its fields in the image.
        image: Vec<String>,
        /// Its fields in the schema.
        schema: &'static [&'static str],
    },
    /// A record of the image is not one of the table's type.
    Record {
        /// Where it begins.
        place: ImagePlace,
        /// What the decoder said.
        what: String,
    },
    /// A record of the image is refused by the table: a unique index has its key already, or a
    /// key is too long.
    Refused {
        /// Where it begins.
        place: ImagePlace,
        /// What the table said.
        source: Box<WriteError>,
    },
    /// The image is of the store's own history, and older than the store.
    Older {
        /// The image's position.
        image: Position,
        /// The store's.
        store: Position,
    },
    /// [`restore_at`](crate::Store::restore_at) was given a position at which nothing can be
    /// restored: not after the store's, or before the image's own in the image's history.
    NotAhead {
        /// The position asked for.
        asked: Position,
        /// The position it must be above.
        last: Position,
    },
    /// The store takes no writes any more.
    Store(StoreError),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageError::Write { offset, source } => {
                write!(
                    f,
                    "writing the image failed after {offset} bytes: {source}; discard what was written"
                )
            }
            ImageError::Read { offset, source } => {
                write!(f, "reading the image failed after {offset} bytes: {source}")
            }
            ImageError::Unwritable { place, what } => {
                write!(
                    f,
                    "the image cannot be written at {place}: {what}; discard what was written"
                )
            }
            ImageError::NotAnImage => f.write_str(
                "not a highwater image: the first 8 bytes are others; was another file given?",
            ),
            ImageError::Format { found, supported } => write!(
                f,
                "the image has format {found}, this program reads format {supported}: restore it with the version that wrote it"
            ),
            ImageError::Truncated { place } => {
                write!(
                    f,
                    "the image ends too early, at {place}: take a complete copy"
                )
            }
            ImageError::Damaged { place, what } => {
                write!(
                    f,
                    "the image is damaged at {place}: {what}; take another copy"
                )
            }
            ImageError::Malformed { place, what } => {
                write!(
                    f,
                    "the image is not well formed at {place}: {what}; it cannot be trusted"
                )
            }
            ImageError::TrailingBytes { offset } => write!(
                f,
                "bytes follow the image's end mark at byte {offset}: give the reader the image alone"
            ),
            ImageError::UnknownTable { offset, table } => write!(
                f,
                "the image has records of a table `{table}` that this program does not know, from byte {offset} on: restore it with the program that wrote it, or a newer one"
            ),
            ImageError::UnknownField {
                place,
                version,
                field,
            } => write!(
                f,
                "the image has a field `{field}` at {place}, which this program does not know in records of version {version}: restore it with the program that wrote it, or a newer one"
            ),
            ImageError::NewerRecords {
                table,
                image,
                schema,
            } => write!(
                f,
                "the image's table `{table}` has records of version {image}, this program's are of version {schema}: restore it with the program that wrote it, or a newer one"
            ),
            ImageError::OlderRecords {
                table,
                image,
                oldest,
                schema,
            } => write!(
                f,
                "the image's table `{table}` has records of version {image}, this program reads versions {oldest} to {schema}: let a program that reads version {image} write an image of its own, or add that version's form with `#[table(from = ..)]`"
            ),
            ImageError::PrimaryKey {
                table,
                image,
                schema,
            } => write!(
                f,
                "the primary key of table `{table}` is ({}) in the image and ({}) in this program: give the table another name and copy its records",
                image.join(", "),
                schema.join(", ")
            ),
            ImageError::Record { place, what } => write!(
                f,
                "the record at {place} is not one of the table's type: {what}; a new field needs `#[serde(default)]`, a changed one a type that reads both"
            ),
            ImageError::Refused { place, source } => {
                write!(f, "the record at {place} is refused: {source}")
            }
            ImageError::Older { image, store } => write!(
                f,
                "the image is at {image}, the store already at {store}: `rewind` goes back on purpose, `restore_at` goes on from here"
            ),
            ImageError::NotAhead { asked, last } => {
                write!(f, "cannot restore at {asked}: it must be above {last}")
            }
            ImageError::Store(error) => write!(f, "the image cannot be restored: {error}"),
        }
    }
}

impl std::error::Error for ImageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ImageError::Write { source, .. } | ImageError::Read { source, .. } => Some(source),
            ImageError::Refused { source, .. } => Some(source),
            ImageError::Store(source) => Some(source),
            _ => None,
        }
    }
}

impl From<StoreError> for ImageError {
    fn from(error: StoreError) -> Self {
        ImageError::Store(error)
    }
}
