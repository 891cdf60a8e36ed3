//! Opening: from the files of an earlier run to a store, or to a refusal that says where.

use super::acknowledged::{Acknowledged, Marks};
use super::error::{JournalError, io_error};
use super::images::{self, Image};
use super::log::{Log, Opened};
use super::random_seed;
use crate::driver::disk::files;
use crate::fsm::{Batch, Command, LogEntry};
use crate::image::ImageError;
use crate::position::{HistoryId, LogIndex};
use crate::store::{self, Schema, Store};
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::BufReader;
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
/// Entries that are applied and published together when a log is replayed.
const REPLAY_BATCH: usize = 256;

/// What opening a journal met.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// There was no journal in the directory; a new one was begun.
    pub created: bool,
    /// The last run closed the journal in order.
    pub closed: bool,
    /// The image the store was restored from.
    pub image: Option<LogIndex>,
    /// Newer images that were passed over because they are damaged.
    pub damaged_images: Vec<DamagedImage>,
    /// How many entries of the log were applied after the image.
    pub replayed: u64,
    /// The end of the log that was cut off, if one was.
    pub torn: Option<Torn>,
    /// The last index of the log: the store's mark.
    pub index: LogIndex,
}

/// The batch that was being appended when the last run stopped, and of which the log has nothing.
/// It was acknowledged to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Torn {
    /// The last entry before it.
    pub after: LogIndex,
    /// How many entries it had, if that is known.
    pub entries: Option<u64>,
    /// How many bytes of commands it had, if that is known.
    pub bytes: Option<u64>,
}

/// An image that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedImage {
    /// Its file. It is left for inspection until newer images replace it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.created {
            return f.write_str("began a new journal");
        }
        match self.image {
            Some(index) => write!(f, "restored the image of log index {index}")?,
            None => f.write_str("began with no image")?,
        }
        write!(
            f,
            ", replayed {} entries, now at log index {}",
            self.replayed, self.index
        )?;
        if !self.closed {
            f.write_str("; the last run did not close the journal")?;
        }
        if let Some(torn) = self.torn {
            write!(
                f,
                "; cut off a batch that was torn after log index {}",
                torn.after
            )?;
            if let (Some(entries), Some(bytes)) = (torn.entries, torn.bytes) {
                write!(f, " ({entries} entries, {bytes} bytes)")?;
            }
        }
        for image in &self.damaged_images {
            write!(f, "; passed over {}: {}", image.path.display(), image.what)?;
        }
        Ok(())
    }
}

/// A recovered journal, ready to be written.
pub(super) struct Recovered<S: Schema> {
    /// Held for as long as the journal is open.
    pub(super) lock: File,
    pub(super) store: Store<S>,
    pub(super) log: Log,
    pub(super) acknowledged: Acknowledged,
    /// The images that may be restored from, newest first.
    pub(super) images: Vec<Image>,
    /// Bytes of the commands that were replayed.
    pub(super) replayed_bytes: u64,
    pub(super) report: Recovery,
}

pub(super) fn recover<S: Schema, C: Command<S>>(
    dir: &Path,
    options: &store::StoreOptions,
) -> Result<Recovered<S>, JournalError> {
    fs::create_dir_all(dir).map_err(|e| io_error(dir, "create", e))?;
    let lock = lock(dir)?;
    images::remove_unfinished(dir)?;
    let listed = images::list(dir)?;
    let marks = Acknowledged::read(dir)?;
    let path = dir.join(Log::NAME);
    let created = !path
        .try_exists()
        .map_err(|e| io_error(&path, "look for", e))?;
    if created {
        // The log comes first in a new journal, so without it nothing else can be there.
        if !listed.is_empty() || marks.is_some() {
            return Err(JournalError::Damaged {
                path,
                index: None,
                what: "it is missing, and other files of the journal are there".to_owned(),
            });
        }
        let unfinished = files::unfinished(&path);
        Log::create(&unfinished, HistoryId(new_history()))?;
        files::publish(&unfinished, &path)?;
    }
    let Opened { log, rolled_back } = Log::open(&path)?;
    let torn = check_end(&log, marks, listed.first(), rolled_back)?;
    let options = store::StoreOptions {
        history: log.history(),
        ..options.clone()
    };
    let (store, image, damaged_images) = restore::<S>(&log, &listed, &options)?;
    let (replayed, replayed_bytes) = replay::<S, C>(&store, &log)?;
    let acknowledged = Acknowledged::begin(dir, log.last())?;
    let images = listed
        .into_iter()
        .filter(|image| {
            damaged_images
                .iter()
                .all(|damaged| damaged.path != image.path)
        })
        .collect();
    let report = Recovery {
        created,
        closed: marks.is_some_and(|marks| marks.closed),
        image,
        damaged_images,
        replayed,
        torn,
        index: log.last(),
    };
    Ok(Recovered {
        lock,
        store,
        log,
        acknowledged,
        images,
        replayed_bytes,
        report,
    })
}

fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| io_error(&path, "open", e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(e)) => Err(io_error(&path, "lock", e)),
    }
}

fn new_history() -> u128 {
    // 0 is the history of nobody.
    (u128::from(random_seed()) << 64 | u128::from(random_seed())).max(1)
}

/// Whether the log's end is where it must be, and what was cut off there.
fn check_end(
    log: &Log,
    marks: Option<Marks>,
    newest_image: Option<&Image>,
    rolled_back: bool,
) -> Result<Option<Torn>, JournalError> {
    let last = log.last();
    let refuse = |what: String| JournalError::Damaged {
        path: log.path().to_owned(),
        index: Some(last.next()),
        what,
    };
    if let Some(marks) = marks
        && marks.appended > last
    {
        return Err(refuse(format!(
            "the log ends at {last}, but {} was acknowledged; or, to go on without what is lost, \
             remove the file {}",
            marks.appended,
            Acknowledged::NAME
        )));
    }
    if let Some(image) = newest_image
        && image.index > last
    {
        return Err(refuse(format!(
            "the log ends at {last}, but there is {}",
            image.path.display()
        )));
    }
    Ok(match marks {
        Some(marks) if marks.appending > last => Some(Torn {
            after: last,
            entries: Some(marks.appending.0 - last.0),
            bytes: Some(marks.bytes),
        }),
        _ if rolled_back => Some(Torn {
            after: last,
            entries: None,
            bytes: None,
        }),
        _ => None,
    })
}

type Restored<S> = (Store<S>, Option<LogIndex>, Vec<DamagedImage>);

/// A store with the newest intact image.
fn restore<S: Schema>(
    log: &Log,
    listed: &[Image],
    options: &store::StoreOptions,
) -> Result<Restored<S>, JournalError> {
    let mut damaged = Vec::new();
    for image in listed {
        let path = &image.path;
        let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
        let store = Store::with_options(options.clone());
        let what = match store.restore(BufReader::with_capacity(1 << 16, file)) {
            Ok(position) if position.history != log.history() => {
                format!(
                    "it is of history {}, the log of {}",
                    position.history,
                    log.history()
                )
            }
            Ok(position) if position.index != image.index => {
                format!("it is at {}, not at {}", position.index, image.index)
            }
            Ok(_) if image.index < log.cut_through() => break,
            Ok(position) => return Ok((store, Some(position.index), damaged)),
            Err(ImageError::Read { source, .. }) => return Err(io_error(path, "read", source)),
            Err(source) if is_damage(&source) => source.to_string(),
            // It is whole, so an older one would not do better.
            Err(source) => {
                return Err(JournalError::Image {
                    path: path.clone(),
                    source: Box::new(source),
                });
            }
        };
        damaged.push(DamagedImage {
            path: path.clone(),
            what,
        });
    }
    if log.cut_through() == LogIndex::ZERO {
        return Ok((Store::with_options(options.clone()), None, damaged));
    }
    let what = damaged.iter().fold(
        format!(
            "the log begins after {}, and there is no intact image at or after that",
            log.cut_through()
        ),
        |what, image| format!("{what}; {}: {}", image.path.display(), image.what),
    );
    Err(JournalError::Damaged {
        path: log.path().to_owned(),
        index: None,
        what,
    })
}

/// Whether an image is not what was written, rather than not what this program reads.
fn is_damage(error: &ImageError) -> bool {
    matches!(
        error,
        ImageError::NotAnImage
            | ImageError::Truncated { .. }
            | ImageError::Damaged { .. }
            | ImageError::Malformed { .. }
            | ImageError::TrailingBytes { .. }
    )
}

/// Applies what the log has after the store's mark. Returns how many entries, of how many bytes.
fn replay<S: Schema, C: Command<S>>(
    store: &Store<S>,
    log: &Log,
) -> Result<(u64, u64), JournalError> {
    let apply = |batch: Vec<LogEntry<C>>| match Batch::new(batch).replayed().apply(store).halted {
        Some(halt) => Err(JournalError::Entry(halt)),
        None => Ok(()),
    };
    let (mut count, mut size) = (0, 0);
    let mut batch = Vec::new();
    log.replay(store.position().index, |index, bytes| {
        count += 1;
        size += bytes.len() as u64;
        batch.push(LogEntry::from_bytes(index, bytes.to_vec()));
        if batch.len() == REPLAY_BATCH {
            apply(std::mem::take(&mut batch))
        } else {
            Ok(())
        }
    })?;
    apply(batch)?;
    Ok((count, size))
}
