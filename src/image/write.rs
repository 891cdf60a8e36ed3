//! Writing: a snapshot's tables to frames. Reads the snapshot and nothing else, so no commit waits.

use super::error::{ImageError, ImagePlace};
use super::frame::{Frame, FrameWriter, Kind, MAX_BODY, MAX_HEADER};
use super::header::{Header, IndexShape, TableShape};
use super::{msgpack, stamps, varint};
use crate::position::Position;
use crate::session::KeptImage;
use crate::store::{Root, Schema, Snapshot, TableOps, Tables};
use crate::version::Version;
use std::io::Write;

/// A frame is written when it has grown to this.
const FULL: usize = 64 << 10;
/// The largest record: what is left of a frame beside its kind and the three numbers of a row.
const MAX_RECORD: usize = MAX_BODY - 64;

/// What an image holds, as its writer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageSummary {
    /// The snapshot's position, which a store has after it is restored.
    pub position: Position,
    /// Records of all tables.
    pub rows: u64,
    /// The image's length.
    pub bytes: u64,
    /// The CRC-32 of all its bytes up to the last frame. Equal states of equal schemas give equal
    /// images, so replicas at one index compare their states by it.
    pub checksum: u32,
}

impl<S: Schema> Snapshot<S> {
    /// Writes an image of all tables: every record with its create and modify index, the position,
    /// the driver's state, and what the indexes of queries are computed from.
    ///
    /// Commits go on meanwhile; the snapshot pins what it needs. The output is deterministic, is
    /// handed to `out` in pieces of about 64 KiB, and is flushed at the end. It is not compressed:
    /// wrap `out` for that. Costs memory for the stamps of one index at a time (about 32 bytes a
    /// record). The layout is in `docs/image.md`.
    ///
    /// # Errors
    ///
    /// [`ImageError::Write`] if `out` fails, [`ImageError::Unwritable`] if a record cannot be
    /// serialized, or what it was serialized to cannot be read. What was written until then has no end mark and is refused by every reader.
    ///
    /// ```
    /// use highwater::{Schema, Store, Table};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// struct Node {
    ///     #[primary_key]
    ///     name: String,
    /// }
    ///
    /// #[derive(Schema)]
    /// struct Cluster {
    ///     nodes: Node,
    /// }
    ///
    /// let store = Store::<Cluster>::new();
    /// let mut txn = store.write()?;
    /// txn.nodes_mut().insert(Node { name: "n1".into() })?;
    /// txn.commit()?;
    ///
    /// let mut image = Vec::new();
    /// store.snapshot().write_image(&mut image)?;
    ///
    /// let copy = Store::<Cluster>::from_image(&image[..])?;
    /// assert_eq!(copy.position(), store.position());
    /// assert!(copy.snapshot().nodes().contains("n1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_image<W: Write>(&self, mut out: W) -> Result<ImageSummary, ImageError> {
        write(self.version(), &Tables::new(S::tables()), &mut out)
    }
}

/// What the image room knows of the schema's tables.
pub(super) fn shapes(tables: &Tables) -> Vec<TableShape> {
    let shape = |table: &dyn TableOps| TableShape {
        name: table.name(),
        version: table.version(),
        earlier: table.earlier(),
        fields: table.fields(),
        aliases: table.aliases(),
        primary_key: table.primary_key(),
        indexes: (0..)
            .map_while(|i| table.index(i))
            .map(|index| IndexShape {
                name: index.name,
                fields: index.fields,
                unique: index.unique,
                each: index.each,
            })
            .collect(),
        local: table.is_local(),
    };
    tables.iter().map(|table| shape(table.as_ref())).collect()
}

fn write(
    version: &Version<Root>,
    tables: &Tables,
    out: &mut dyn Write,
) -> Result<ImageSummary, ImageError> {
    let root = version.payload();
    let driver = root.driver.as_deref();
    let mut writer = Writer {
        frames: FrameWriter::begin(out)?,
        frame: Frame::new(Kind::Header),
        version,
        position: root.position,
    };
    let kept = root
        .kept
        .as_deref()
        .map(KeptImage::from)
        .map(|kept| rmp_serde::to_vec_named(&kept).expect("numbers and bytes serialize"));
    let header = Header::new(
        root.position,
        driver.is_some(),
        kept.is_some(),
        &shapes(tables),
    )
    .encode();
    writer.limit("the names of its tables", header.len(), MAX_HEADER - 1)?;
    writer.frame.body().extend(header);
    writer.send()?;
    let states = [
        (Kind::Driver, "the driver's state", driver),
        (Kind::Kept, "the sessions", kept.as_deref()),
    ];
    for (kind, noun, state) in states {
        let Some(state) = state else { continue };
        writer.limit(noun, state.len(), MAX_BODY - 1)?;
        writer.frame.restart(kind);
        writer.frame.body().extend(state);
        writer.send()?;
    }
    let mut rows = 0;
    for (number, table) in tables.iter().enumerate() {
        if table.is_local() {
            continue;
        }
        let base = tables.base(number);
        rows += writer.rows(table.as_ref(), base)?;
        for tree in base..base + table.trees() {
            writer.stamps(table.as_ref(), tree)?;
        }
    }
    let checksum = writer.frames.checksum();
    writer.frame.restart(Kind::Trailer);
    varint::put(writer.frame.body(), rows);
    writer.frame.body().extend(checksum.to_le_bytes());
    writer.send()?;
    let bytes = writer.frames.finish()?;
    Ok(ImageSummary {
        position: root.position,
        rows,
        bytes,
        checksum,
    })
}

struct Writer<'a> {
    frames: FrameWriter<'a>,
    frame: Frame,
    version: &'a Version<Root>,
    position: Position,
}

impl Writer<'_> {
    fn send(&mut self) -> Result<(), ImageError> {
        self.frames.frame(&mut self.frame)
    }

    fn limit(&self, noun: &str, len: usize, most: usize) -> Result<(), ImageError> {
        if len <= most {
            return Ok(());
        }
        let place = ImagePlace {
            offset: self.frames.offset(),
            table: None,
            row: None,
        };
        let what = format!("{noun} takes {len} bytes, at most {most} are possible");
        Err(ImageError::Unwritable { place, what })
    }

    /// Writes the rows of a table and their number, which it returns.
    fn rows(&mut self, table: &dyn TableOps, base: usize) -> Result<u64, ImageError> {
        self.frame.restart(Kind::Rows);
        let mut record = Vec::new();
        let mut count = 0;
        for row in table.rows(self.version, base) {
            record.clear();
            row.encode(&mut record)
                .map_err(|error| error.to_string())
                .and_then(|()| {
                    if record.len() > MAX_RECORD {
                        let len = record.len();
                        return Err(format!(
                            "it takes {len} bytes, at most {MAX_RECORD} are possible"
                        ));
                    }
                    // Refused here, so that it is not first noticed when the image is needed.
                    msgpack::check(&record).map_err(|fault| fault.to_string())?;
                    row.reads(&record)
                        .map_err(|error| format!("what is written cannot be read: {error}"))
                })
                .map_err(|what| {
                    let offset = self.frames.offset();
                    let place = ImagePlace {
                        offset,
                        table: Some(table.name()),
                        row: Some(count),
                    };
                    ImageError::Unwritable { place, what }
                })?;
            if !self.frame.is_empty() && self.frame.body_len() + record.len() > FULL {
                self.send()?;
                self.frame.restart(Kind::Rows);
            }
            let body = self.frame.body();
            varint::put(body, self.position.index.0 - row.modify_index().0);
            varint::put(body, row.modify_index().0 - row.create_index().0);
            varint::put(body, record.len() as u64);
            body.extend(&record);
            count += 1;
        }
        if !self.frame.is_empty() {
            self.send()?;
        }
        self.frame.restart(Kind::TableEnd);
        varint::put(self.frame.body(), count);
        self.send()?;
        Ok(count)
    }

    /// Writes the stamps of one tree.
    fn stamps(&mut self, table: &dyn TableOps, tree: usize) -> Result<(), ImageError> {
        let stamps = table.stamps(self.version, tree);
        let mut entries = Entries::default();
        table.entries(self.version, tree, &mut |key, modified| {
            entries.push(key, modified);
        });
        self.frame.restart(Kind::Stamps);
        let mut tokens = Vec::new();
        stamps::encode(
            &stamps,
            &entries.modified,
            self.position.index.0,
            &mut tokens,
            |tokens| {
                if self.frame.body_len() + tokens.len() > FULL {
                    self.send()?;
                    self.frame.restart(Kind::Stamps);
                }
                self.frame.body().append(tokens);
                Ok(())
            },
        )?;
        if !self.frame.is_empty() {
            self.send()?;
        }
        self.frame.restart(Kind::StampsEnd);
        varint::put(self.frame.body(), stamps.len() as u64);
        self.frame.body().extend(entries.checksum().to_le_bytes());
        self.send()
    }
}

/// What a walk over a tree's entries gathers: their records' modify indexes, and a checksum of
/// their keys.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) modified: Vec<u64>,
    keys: crc32fast::Hasher,
}

impl Entries {
    pub(super) fn push(&mut self, key: &[u8], modified: u64) {
        let len = u32::try_from(key.len()).expect("keys are far shorter");
        self.keys.update(&len.to_le_bytes());
        self.keys.update(key);
        self.modified.push(modified);
    }

    pub(super) fn checksum(&self) -> u32 {
        self.keys.clone().finalize()
    }
}
