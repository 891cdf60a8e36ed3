//! Reading: frames to trees beside the store's own, and one swap at the end.

use super::error::{ImageError, ImagePlace};
use super::frame::{FrameReader, Kind, MAX_HEADER};
use super::header::{self, Header, Refusal, TablePlan};
use super::write::{Entries, shapes};
use super::{msgpack, stamps, varint};
use crate::position::{LogIndex, Position};
use crate::session::{Kept, KeptImage};
use crate::store::{
    Core, LoadError, Restored, Root, Schema, Store, StoreOptions, TableOps, Tables,
};
use crate::version::Edition;
use std::cell::Cell;
use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

/// At which position an image is restored.
#[derive(Clone, Debug)]
enum Mode {
    /// At its own, which is not before the store's in the store's history.
    Own,
    /// At its own, whatever the store's.
    Rewind,
    /// At another, above all before, with the driver's new state if it gave one.
    At(Position, Option<Arc<[u8]>>),
}

impl<S: Schema> Store<S> {
    /// Puts an image's content and position in the place of the store's; returns the position. Of a
    /// fork, or of an image of one, only the index is the image's ([`Store::fork`]).
    ///
    /// Create and modify indexes, the indexes of all queries, and the driver's state are the
    /// image's. An image of another history brings that history with it, whatever its index.
    /// An image of the store's own history that is older than the store is refused
    /// ([`ImageError::Older`]); [`rewind`](Self::rewind) takes it.
    ///
    /// The new state is built beside the old, which readers keep reading, and swapped in when the
    /// image has been read to its end and found whole; on any error the store is as it was. All
    /// watches fire. Writers wait from the end of the header to the swap, so hand over a reader
    /// that does not. Indexes are built on up to [`StoreOptions::threads`] threads. Where the image's
    /// schema is not the program's, nothing is lost silently: `docs/image.md` lists the cases. Memory
    /// grows with the bytes that are read, and no input panics or overflows the stack.
    ///
    /// # Errors
    ///
    /// [`ImageError`] says what is wrong, at which byte, table and record.
    pub fn restore<R: Read>(&self, mut image: R) -> Result<Position, ImageError> {
        restore(self, &mut image, Mode::Own)
    }

    /// As [`restore`](Self::restore), also if that takes the store back in its own history.
    ///
    /// For an operator who means it: indexes that were seen before come again, for other commits.
    pub fn rewind<R: Read>(&self, mut image: R) -> Result<Position, ImageError> {
        restore(self, &mut image, Mode::Rewind)
    }

    /// Takes an image's records at another position, one after all that was before: for a driver
    /// whose log goes on, and in which the restore is itself an entry.
    ///
    /// `position` must be after the store's if it is of the store's history, and after the image's
    /// if it is of the image's. As the entry changes all there is, each record's modify index and
    /// the index of each query is `position.index`, so none decreases; create indexes are the
    /// image's, or `position.index` where they are of another history. The image's driver state
    /// belongs to another log and is not taken: the store has `driver_state` afterwards, or
    /// without one keeps its own.
    ///
    /// # Errors
    ///
    /// As for [`restore`](Self::restore), and [`ImageError::NotAhead`].
    pub fn restore_at<R: Read>(
        &self,
        mut image: R,
        position: Position,
        driver_state: Option<Vec<u8>>,
    ) -> Result<Position, ImageError> {
        restore(
            self,
            &mut image,
            Mode::At(position, driver_state.map(Into::into)),
        )
    }

    /// A new store with an image's content, position and history, and the default
    /// [`StoreOptions`](crate::StoreOptions): for others, make a store with them and [`restore`](Self::restore).
    pub fn from_image<R: Read>(image: R) -> Result<Self, ImageError> {
        let store = Store::with_options(StoreOptions::default());
        store.restore(image)?;
        Ok(store)
    }
}

fn restore<S: Schema>(
    store: &Store<S>,
    image: &mut dyn Read,
    mode: Mode,
) -> Result<Position, ImageError> {
    let tables = Tables::new(S::tables());
    let mut frames = FrameReader::begin(image)?;
    let opening = Opening::read(&mut frames, &tables)?;
    let end = Cell::new(0);
    let build = |edition: &mut Edition<Root>, core: &Core| {
        let root = edition.base().payload();
        let position = opening.target(&mode, root.position)?;
        let (driver, kept) = match mode {
            Mode::At(_, driver) => (driver.or_else(|| root.driver.clone()), root.kept.clone()),
            Mode::Own | Mode::Rewind => (opening.driver, opening.kept),
        };
        let goes_on =
            position.history == root.position.history && position.index >= root.position.index;
        let mut reader = TableReader {
            frames: &mut frames,
            edition,
            image: opening.position,
            position,
            goes_on,
            threads: core.threads,
        };
        reader.tables(&core.tables, &opening.plans)?;
        end.set(frames.offset_of(&[]));
        frames.finish()?;
        Ok(Restored {
            position,
            driver,
            kept,
        })
    };
    // What the program derives of the image's records.
    let refused = |source| ImageError::Refused {
        place: ImagePlace {
            offset: end.get(),
            table: None,
            row: None,
        },
        source: Box::new(source),
    };
    store.restore_with(build, refused)
}

/// What is known before the first table.
struct Opening {
    position: Position,
    driver: Option<Arc<[u8]>>,
    kept: Option<Arc<Kept>>,
    plans: Vec<TablePlan>,
}

impl Opening {
    fn read(frames: &mut FrameReader<'_>, tables: &Tables) -> Result<Opening, ImageError> {
        if frames.next()? != Kind::Header {
            return Err(frames.unexpected("the header"));
        }
        let body = frames.body();
        if body.len() >= MAX_HEADER {
            return Err(frames.malformed(body, None, "the header is longer than 1 MiB"));
        }
        let malformed = |what| frames.malformed(body, None, format!("the header: {what}"));
        let header = Header::decode(body).map_err(malformed)?;
        let plans = header::plan(&header, &shapes(tables)).map_err(|refusal| match refusal {
            Refusal::Error(error) => error,
            Refusal::Malformed(what) => malformed(what),
        })?;
        let mut driver = None;
        if header.driver {
            if frames.next()? != Kind::Driver {
                return Err(frames.unexpected("the driver's state"));
            }
            driver = Some(frames.body().into());
        }
        let mut kept = None;
        if header.sessions {
            if frames.next()? != Kind::Kept {
                return Err(frames.unexpected("the sessions' frame"));
            }
            let read = read_kept(frames.body());
            let malformed = |what| {
                let what = format!("the sessions: {what}");
                frames.malformed(frames.body(), None, what)
            };
            kept = Some(Arc::new(read.map_err(malformed)?));
        }
        Ok(Opening {
            position: header.position(),
            driver,
            kept,
            plans,
        })
    }

    /// The position the store has afterwards.
    fn target(&self, mode: &Mode, store: Position) -> Result<Position, ImageError> {
        let before = |a: Position, b: Position| a.history == b.history && a.index < b.index;
        match *mode {
            Mode::Own if before(self.position, store) => Err(ImageError::Older {
                image: self.position,
                store,
            }),
            Mode::Own | Mode::Rewind => Ok(self.position),
            Mode::At(asked, _) => {
                let zero = Position {
                    index: LogIndex::ZERO,
                    ..asked
                };
                for last in [store, self.position, zero] {
                    if last.history == asked.history && !before(last, asked) {
                        return Err(ImageError::NotAhead { asked, last });
                    }
                }
                Ok(asked)
            }
        }
    }
}

fn read_kept(bytes: &[u8]) -> Result<Kept, String> {
    msgpack::check(bytes).map_err(|fault| fault.to_string())?;
    let image: KeptImage = rmp_serde::from_slice(bytes).map_err(|error| error.to_string())?;
    image.try_into()
}

/// The error of a record that is not taken in.
fn refused(place: ImagePlace, error: LoadError) -> ImageError {
    match error {
        LoadError::Decode(what) => ImageError::Record { place, what },
        LoadError::Order(_) => ImageError::Malformed {
            place,
            what: error.to_string(),
        },
        LoadError::Refused(source) => ImageError::Refused {
            place,
            source: Box::new(source),
        },
    }
}

/// Reads the tables of an image into an edition.
struct TableReader<'a, 'r> {
    frames: &'a mut FrameReader<'r>,
    edition: &'a mut Edition<Root>,
    /// What the image's numbers are relative to.
    image: Position,
    /// What the store will be at.
    position: Position,
    /// That is after what it was at: what is the process's own stays.
    goes_on: bool,
    /// How many threads may build indexes.
    threads: usize,
}

impl TableReader<'_, '_> {
    fn tables(&mut self, tables: &Tables, plans: &[TablePlan]) -> Result<(), ImageError> {
        for (number, table) in tables.iter().enumerate() {
            let in_image = plans.iter().any(|plan| plan.table == Some(number));
            if table.is_local() && self.goes_on && !in_image {
                continue;
            }
            table.reset(self.edition, tables.base(number), self.position.index.0);
        }
        let mut rows = 0;
        for plan in plans {
            let Some(number) = plan.table else {
                self.no_rows(plan)?;
                for _ in 0..=plan.indexes.len() {
                    self.stamps(None)?;
                }
                continue;
            };
            let table = tables[number].as_ref();
            let base = tables.base(number);
            self.frames.table = Some(table.name());
            rows += self.rows(table, plan, base)?;
            self.stamps(Some((table, base)))?;
            for index in &plan.indexes {
                self.stamps(index.map(|index| (table, base + 1 + index)))?;
            }
            self.frames.table = None;
        }
        self.trailer(rows)
    }

    /// Reads the end of a table that the schema has not, which must come at once.
    fn no_rows(&mut self, plan: &TablePlan) -> Result<(), ImageError> {
        match self.frames.next()? {
            Kind::TableEnd => self.table_end(0),
            Kind::Rows if self.frames.body().is_empty() => Err(self.no_rows_in_frame()),
            Kind::Rows => Err(ImageError::UnknownTable {
                offset: self.frames.offset_of(self.frames.body()),
                table: plan.name.clone(),
            }),
            _ => Err(self.frames.unexpected("rows or the end of the table")),
        }
    }

    fn no_rows_in_frame(&self) -> ImageError {
        self.frames
            .malformed(self.frames.body(), None, "a frame of no rows")
    }

    /// Looks at the end of a table that has had so many records.
    fn table_end(&self, count: u64) -> Result<(), ImageError> {
        let mut rest = self.frames.body();
        if varint::take(&mut rest) != Some(count) || !rest.is_empty() {
            let what = format!("the table ends after {count} records, which is not what it says");
            return Err(self.frames.malformed(rest, None, what));
        }
        Ok(())
    }

    /// Reads the rows of one table and their count, which it returns.
    fn rows(
        &mut self,
        table: &dyn TableOps,
        plan: &TablePlan,
        base: usize,
    ) -> Result<u64, ImageError> {
        let mut count = 0;
        let mut intake = table.intake(plan.before);
        // Where each begins, to say where it was if it is refused in the end.
        let mut offsets = Vec::new();
        loop {
            match self.frames.next()? {
                Kind::Rows => {}
                Kind::TableEnd => break,
                _ => return Err(self.frames.unexpected("rows or the end of the table")),
            }
            let mut rest = self.frames.body();
            if rest.is_empty() {
                return Err(self.no_rows_in_frame());
            }
            while !rest.is_empty() {
                let start = rest;
                let place = || self.frames.place(self.frames.offset_of(start), Some(count));
                let malformed = |what| ImageError::Malformed {
                    place: place(),
                    what,
                };
                let row = Row::take(&mut rest, self.image.index).map_err(malformed)?;
                if let Some(field) = row.any_of(&plan.unknown) {
                    return Err(ImageError::UnknownField {
                        place: place(),
                        version: plan.version,
                        field: field.into(),
                    });
                }
                let (created, modified) = self.indexes(&row);
                intake
                    .push(row.record, created, modified)
                    .map_err(|error| refused(place(), error))?;
                offsets.push(self.frames.offset_of(start));
                count += 1;
            }
        }
        self.table_end(count)?;
        intake
            .fill(self.edition, base, self.position.index.0, self.threads)
            .map_err(|(number, error)| {
                let place = self.frames.place(offsets[number], Some(number as u64));
                refused(place, error)
            })?;
        Ok(count)
    }

    /// The create and modify index that a row of the image gets.
    fn indexes(&self, row: &Row<'_>) -> (LogIndex, LogIndex) {
        let to = self.position;
        if to == self.image {
            (row.created, row.modified)
        } else if to.history == self.image.history {
            (row.created, to.index)
        } else {
            (to.index, to.index)
        }
    }

    /// Reads the stamps of one tree, and gives them to that tree of a table if there is one, unless its
    /// keys are others now or the store goes on from another position than the image's.
    fn stamps(&mut self, of: Option<(&dyn TableOps, usize)>) -> Result<(), ImageError> {
        let tree = of.filter(|_| self.position == self.image);
        let mut entries = Entries::default();
        if let Some((table, tree)) = tree {
            let push = &mut |key: &[u8], modified| entries.push(key, modified);
            table.new_entries(self.edition, tree, push);
        }
        // Tokens of other keys may not fit; that is known only at the end, so the fault waits.
        let mut decoder = stamps::Decoder::new(&entries.modified, self.image.index.0);
        let mut fault = None;
        let mut nodes = 0_u64;
        loop {
            match self.frames.next()? {
                Kind::Stamps => {}
                Kind::StampsEnd => break,
                _ => return Err(self.frames.unexpected("stamps or their end")),
            }
            let mut rest = self.frames.body();
            if rest.is_empty() {
                return Err(self.frames.malformed(rest, None, "a frame of no stamps"));
            }
            while !rest.is_empty() {
                let start = rest;
                let token = stamps::Token::take(&mut rest)
                    .map_err(|what| self.frames.malformed(start, None, what))?;
                nodes = nodes
                    .checked_add(token.nodes())
                    .ok_or_else(|| self.frames.malformed(start, None, "too many stamps"))?;
                if tree.is_some() && fault.is_none() {
                    let place = self.frames.offset_of(start);
                    fault = decoder.push(token).err().map(|what| (place, what));
                }
            }
        }
        let body = self.frames.body();
        let mut rest = body;
        let count = varint::take(&mut rest);
        let Ok(keys) = <[u8; 4]>::try_from(rest) else {
            return Err(self.frames.malformed(
                body,
                None,
                "the end of the stamps has another form",
            ));
        };
        if count != Some(nodes) {
            let what = format!("{nodes} stamps, which is not what their end says");
            return Err(self.frames.malformed(body, None, what));
        }
        let same_keys = |_: &_| entries.checksum() == u32::from_le_bytes(keys);
        let Some((table, tree)) = tree.filter(same_keys) else {
            return Ok(());
        };
        let (offset, fault) = match (fault, decoder.finish()) {
            (Some(fault), _) => fault,
            (None, Err(what)) => (self.frames.offset_of(body), what),
            (None, Ok(stamps)) => {
                if table.set_stamps(self.edition, tree, &stamps, self.image.index.0) {
                    return Ok(());
                }
                (
                    self.frames.offset_of(body),
                    "the stamps before here are impossible in this index",
                )
            }
        };
        Err(ImageError::Malformed {
            place: self.frames.place(offset, None),
            what: fault.into(),
        })
    }

    fn trailer(&mut self, rows: u64) -> Result<(), ImageError> {
        if self.frames.next()? != Kind::Trailer {
            return Err(self.frames.unexpected("the trailer"));
        }
        let body = self.frames.body();
        let mut rest = body;
        let count = varint::take(&mut rest);
        let Ok(checksum) = <[u8; 4]>::try_from(rest) else {
            return Err(self
                .frames
                .malformed(body, None, "the trailer has another form"));
        };
        if count != Some(rows) {
            let what = format!("{rows} records in all, which is not what the trailer says");
            return Err(self.frames.malformed(body, None, what));
        }
        let (claimed, computed) = (u32::from_le_bytes(checksum), self.frames.checksum_before());
        if claimed != computed {
            let place = self.frames.place(self.frames.offset_of(body), None);
            let what = format!(
                "the checksum of all bytes before is {computed:08x}, it should be {claimed:08x}"
            );
            return Err(ImageError::Damaged { place, what });
        }
        Ok(())
    }
}

/// One row of an image.
struct Row<'a> {
    created: LogIndex,
    modified: LogIndex,
    record: &'a [u8],
}

impl<'a> Row<'a> {
    /// Takes one off the front of `bytes`; the error says what is wrong with it.
    fn take(bytes: &mut &'a [u8], image: LogIndex) -> Result<Row<'a>, String> {
        let mut number = || varint::take(bytes).ok_or("a number is cut short or too long");
        let (since, kept, len) = (number()?, number()?, number()?);
        let modified = image.0.checked_sub(since);
        let created = modified.and_then(|index| index.checked_sub(kept));
        let (Some(modified), Some(created @ 1..)) = (modified, created) else {
            return Err("its create or modify index is below 1".into());
        };
        let record = usize::try_from(len)
            .ok()
            .and_then(|len| bytes.split_at_checked(len));
        let Some((record, rest)) = record else {
            return Err(format!(
                "a record of {len} bytes, more than are left in its frame"
            ));
        };
        *bytes = rest;
        msgpack::check(record).map_err(|fault| fault.to_string())?;
        Ok(Row {
            created: LogIndex(created),
            modified: LogIndex(modified),
            record,
        })
    }

    /// One of these fields, if the record has any.
    fn any_of(&self, fields: &HashSet<String>) -> Option<&str> {
        // Most often there is none, and then the record is not looked at.
        let mut keys = (!fields.is_empty()).then(|| msgpack::keys(self.record))?;
        keys.find(|&key| fields.contains(key))
    }
}
