//! The log thread: takes batches of proposals to the log, then to the store, then answers.

use super::JournalOptions;
use super::acknowledged::Acknowledged;
use super::commit;
use super::error::{JournalError, io_error};
use super::images::{self, Image};
use super::log::{Cut, Log};
use super::queue::{Limits, Queue, Wait};
use super::recovery::Recovered;
use crate::driver::answer::Giver;
use crate::fsm::{Command, Outcome, Proposal, panic_message};
use crate::position::LogIndex;
use crate::store::{Schema, Store};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// At least so many entries are removed with each transaction while the log is being cut.
const CUT_AT_LEAST: u64 = 1024;

/// A proposal on its way.
#[derive(Debug)]
pub(super) struct Pending<C, R, E> {
    pub(super) proposal: Proposal<C>,
    pub(super) giver: Giver<(LogIndex, Outcome<R, E>)>,
}

/// What the log thread is asked beside proposals.
#[derive(Debug)]
pub(super) enum Control {
    /// Write an image, and say at which index it is.
    Checkpoint(Giver<Result<LogIndex, JournalError>>),
    /// The image thread is done.
    Imaged(Result<Image, JournalError>),
}

pub(super) type Proposals<S, C> =
    Queue<Pending<C, <C as Command<S>>::Reply, <C as Command<S>>::Error>, Control>;

/// What the log thread and the journal's handle both see.
pub(super) struct Shared<S: Schema, C: Command<S>> {
    pub(super) queue: Arc<Proposals<S, C>>,
    /// Why the last image could not be written.
    pub(super) image_error: Mutex<Option<String>>,
}

impl<S: Schema, C: Command<S>> Shared<S, C> {
    pub(super) fn new(options: &JournalOptions) -> Self {
        Shared {
            queue: Arc::new(Queue::new(Limits {
                queue_items: options.queue_entries.max(1),
                queue_bytes: options.queue_bytes,
                batch_items: options.batch_entries.max(1),
                batch_bytes: options.batch_bytes,
            })),
            image_error: Mutex::new(None),
        }
    }

    /// Those who are still in the queue, which is shut, are told by their givers' end.
    fn refuse_the_rest(&self) {
        while !self.queue.take(Wait::No).ended {}
    }
}

/// Runs a log thread's work; whatever ends it early halts store and queue.
fn guarded<S: Schema, C: Command<S>>(
    shared: &Shared<S, C>,
    store: &Store<S>,
    work: impl FnOnce() -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let ran = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let reason = format!("its thread panicked: {}", panic_message(panic.as_ref()));
        Err(JournalError::Halted { reason })
    });
    match ran {
        Ok(()) => Ok(()),
        Err(error) => {
            commit::halt(shared, store, &error);
            match error {
                // The store was closed, which ends the journal in order.
                JournalError::Closed => Ok(()),
                error => Err(error),
            }
        }
    }
}

/// The log thread of a journal in memory.
pub(super) fn run_in_memory<S: Schema, C: Command<S>>(
    shared: &Shared<S, C>,
    store: &Store<S>,
) -> Result<(), JournalError> {
    let ran = guarded(shared, store, || commit::serve(shared, store));
    shared.refuse_the_rest();
    ran
}

/// The log thread's own.
pub(super) struct Writer<S: Schema, C: Command<S>> {
    shared: Arc<Shared<S, C>>,
    store: Store<S>,
    log: Log,
    acknowledged: Acknowledged,
    dir: PathBuf,
    every_entries: u64,
    every_bytes: u64,
    /// The newest two intact images, newest first.
    images: Vec<Image>,
    /// Appended since an image was last begun.
    entries: u64,
    bytes: u64,
    imaging: Option<Imaging>,
    /// Who waits for an image that is not begun yet.
    asked: Vec<Giver<Result<LogIndex, JournalError>>>,
    /// Last, so that the directory is free when all else is closed.
    _lock: File,
}

/// An image that is being written.
struct Imaging {
    thread: JoinHandle<()>,
    asked: Option<Giver<Result<LogIndex, JournalError>>>,
}

impl<S: Schema, C: Command<S>> Writer<S, C> {
    pub(super) fn new(
        shared: Arc<Shared<S, C>>,
        dir: PathBuf,
        options: &JournalOptions,
        recovered: Recovered<S>,
    ) -> Self {
        Writer {
            shared,
            store: recovered.store,
            log: recovered.log,
            acknowledged: recovered.acknowledged,
            dir,
            every_entries: options.image_every_entries.max(1),
            every_bytes: options.image_every_bytes.max(1),
            images: recovered.images.into_iter().take(2).collect(),
            entries: recovered.report.replayed,
            bytes: recovered.replayed_bytes,
            imaging: None,
            asked: Vec::new(),
            _lock: recovered.lock,
        }
    }

    /// Runs until the journal is closed, or cannot go on. Then nobody waits for it any more.
    pub(super) fn run(mut self) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.shared);
        let store = self.store.clone();
        let ran = guarded(&shared, &store, || self.serve());
        if let Some(imaging) = self.imaging.take() {
            let _ = imaging.thread.join();
        }
        let closed = match &ran {
            // The log itself is in order.
            Ok(()) | Err(JournalError::Entry(_)) => {
                let log = self.log.close().map_err(JournalError::from);
                log.and_then(|()| self.acknowledged.close())
            }
            Err(_) => Ok(()),
        };
        shared.refuse_the_rest();
        ran.and(closed)
    }

    fn serve(&mut self) -> Result<(), JournalError> {
        loop {
            let cut = self.cut();
            let taken = self.shared.queue.take(match (&cut, &self.imaging) {
                (Some(_), _) => Wait::No,
                (None, Some(_)) => Wait::Control,
                (None, None) => Wait::Work,
            });
            if !taken.items.is_empty() || cut.is_some() {
                self.write(taken.items, cut)?;
            }
            for control in taken.controls {
                match control {
                    Control::Checkpoint(giver) => self.asked.push(giver),
                    Control::Imaged(image) => self.imaged(image),
                }
            }
            self.begin_image();
            if taken.ended && self.cut().is_none() && self.imaging.is_none() {
                return Ok(());
            }
        }
    }

    /// What is to be removed from the log, if anything is: it keeps all that the older of two
    /// images has not.
    fn cut(&self) -> Option<Cut> {
        let [_, older] = &self.images[..] else {
            return None;
        };
        let cut = Cut {
            through: older.index,
            at_most: CUT_AT_LEAST,
        };
        self.log.holds(older.index).then_some(cut)
    }

    /// One batch: one fsync, one publish.
    fn write(
        &mut self,
        items: Vec<Pending<C, C::Reply, C::Error>>,
        cut: Option<Cut>,
    ) -> Result<(), JournalError> {
        if let Err(error) = self.append(&items, cut) {
            // Before the givers go: their proposers ask the queue why.
            commit::halt(&self.shared, &self.store, &error);
            return Err(error);
        }
        let before = LogIndex(self.log.last().0 - items.len() as u64);
        commit::commit(&self.shared, &self.store, before, items)
    }

    /// Takes proposals to the disk, and a step of the cut along with them.
    fn append(
        &mut self,
        items: &[Pending<C, C::Reply, C::Error>],
        cut: Option<Cut>,
    ) -> Result<(), JournalError> {
        if items.is_empty() {
            return self.log.append(std::iter::empty(), cut);
        }
        commit::takes(&self.store)?;
        let before = self.log.last();
        let count = items.len() as u64;
        let bytes = items
            .iter()
            .map(|item| item.proposal.bytes().len() as u64)
            .sum();
        let cut = cut.map(|cut| Cut {
            at_most: CUT_AT_LEAST.max(2 * count),
            ..cut
        });
        self.acknowledged
            .appending(LogIndex(before.0 + count), bytes)?;
        self.log
            .append(items.iter().map(|item| item.proposal.bytes()), cut)?;
        self.acknowledged.appended()?;
        self.entries += count;
        self.bytes += bytes;
        Ok(())
    }

    /// Begins an image if one is asked for or due, and none is being written.
    fn begin_image(&mut self) {
        let mark = self.log.last();
        let newest = self.images.first();
        if newest.is_some_and(|image| image.index == mark) || mark == LogIndex::ZERO {
            self.asked.drain(..).for_each(|giver| giver.give(Ok(mark)));
            return;
        }
        let due = self.entries >= self.every_entries || self.bytes >= self.every_bytes;
        if self.imaging.is_some() || (self.asked.is_empty() && !due) {
            return;
        }
        self.entries = 0;
        self.bytes = 0;
        let asked = (!self.asked.is_empty()).then(|| self.asked.remove(0));
        let shared = Arc::clone(&self.shared);
        let dir = self.dir.clone();
        let newest = newest.cloned();
        let snapshot = self.store.snapshot();
        let write = move || {
            let image = images::write(&dir, &snapshot)?;
            let keep: Vec<Image> = newest.into_iter().chain([image.clone()]).collect();
            images::prune(&dir, &keep)?;
            Ok::<_, JournalError>(image)
        };
        let thread = thread::Builder::new()
            .name("highwater-image".to_owned())
            .spawn(move || {
                let image = catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|panic| {
                    let message = panic_message(panic.as_ref());
                    Err(JournalError::Halted {
                        reason: format!("writing an image panicked: {message}"),
                    })
                });
                shared.queue.control_always(Control::Imaged(image));
            });
        match thread {
            Ok(thread) => self.imaging = Some(Imaging { thread, asked }),
            Err(e) => self.image_done(asked, Err(io_error(&self.dir, "start a thread for", e))),
        }
    }

    fn imaged(&mut self, image: Result<Image, JournalError>) {
        let Some(imaging) = self.imaging.take() else {
            return;
        };
        let _ = imaging.thread.join();
        self.image_done(imaging.asked, image);
    }

    /// Notes an image. A failure is no end: the log still has everything, and the next is tried
    /// when it is due, under a new file.
    fn image_done(
        &mut self,
        asked: Option<Giver<Result<LogIndex, JournalError>>>,
        image: Result<Image, JournalError>,
    ) {
        let error = image.as_ref().err().map(ToString::to_string);
        *self
            .shared
            .image_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = error;
        let result = image.map(|image| {
            let index = image.index;
            self.images.insert(0, image);
            self.images.truncate(2);
            index
        });
        if let Some(giver) = asked {
            giver.give(result);
        }
    }
}
