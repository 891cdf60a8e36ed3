//! From the log to the store: applying a batch that is in the log for good, and answering.

use super::error::JournalError;
use super::queue::{Shut, Wait};
use super::writer::{Control, Pending, Shared};
use crate::fsm::{Batch, Command, LogEntry};
use crate::position::LogIndex;
use crate::store::{Schema, Store, StoreError};

/// Applies proposals as the entries after `before`, with one publish, and answers them. On an error
/// the store is halted before anybody is answered.
pub(super) fn commit<S: Schema, C: Command<S>>(
    shared: &Shared<S, C>,
    store: &Store<S>,
    before: LogIndex,
    items: Vec<Pending<C, C::Reply, C::Error>>,
) -> Result<(), JournalError> {
    let mut givers = Vec::with_capacity(items.len());
    let mut entries = Vec::with_capacity(items.len());
    let mut index = before;
    for Pending { proposal, giver } in items {
        index = index.next();
        givers.push((index, giver));
        entries.push(LogEntry::from_proposal(index, proposal));
    }
    let applied = Batch::new(entries).apply(store);
    let error = applied.halted.map(JournalError::Entry);
    if let Some(error) = &error {
        halt(shared, store, error);
    }
    for ((index, giver), outcome) in givers.into_iter().zip(applied.outcomes) {
        giver.give((index, outcome));
    }
    error.map_or(Ok(()), Err)
}

/// Commits what is proposed to a new store, without a log, until the journal is closed.
pub(super) fn serve<S: Schema, C: Command<S>>(
    shared: &Shared<S, C>,
    store: &Store<S>,
) -> Result<(), JournalError> {
    let mut last = LogIndex::ZERO;
    loop {
        let taken = shared.queue.take(Wait::Work);
        for control in taken.controls {
            if let Control::Checkpoint(giver) = control {
                giver.give(Err(JournalError::InMemory));
            }
        }
        if !taken.items.is_empty() {
            let before = last;
            if let Err(error) = takes(store) {
                // Before the givers go: their proposers ask the queue why.
                halt(shared, store, &error);
                return Err(error);
            }
            last = LogIndex(before.0 + taken.items.len() as u64);
            commit(shared, store, before, taken.items)?;
        }
        if taken.ended {
            return Ok(());
        }
    }
}

/// Tells everybody that the journal has stopped, or, if the store was closed, that it is closed.
pub(super) fn halt<S: Schema, C: Command<S>>(
    shared: &Shared<S, C>,
    store: &Store<S>,
    error: &JournalError,
) {
    if matches!(error, JournalError::Closed) {
        shared.queue.shut(Shut::Closed);
        return;
    }
    let reason = match error {
        JournalError::Halted { reason } => reason.clone(),
        error => error.to_string(),
    };
    store.halt(&reason);
    shared.queue.shut(Shut::Halted(reason));
}

/// Whether the store takes entries, before they are on the disk and not in doubt any more.
pub(super) fn takes<S: Schema>(store: &Store<S>) -> Result<(), JournalError> {
    store.open().map_err(|ended| match ended {
        StoreError::Closed => JournalError::Closed,
        ended => JournalError::Halted {
            reason: ended.to_string(),
        },
    })
}
