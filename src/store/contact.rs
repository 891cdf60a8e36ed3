//! What the driver has said of how late the store may be, and [`Store::staleness`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::store::Store;
use super::view::Schema;
use crate::position::{HistoryId, LogIndex, Position};
use crate::sync::{Mutex, lock};

/// So many words of the driver are kept that the store has not caught up with yet.
const WORDS: usize = 64;

/// At this moment nothing after this index was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    at: Instant,
    committed: LogIndex,
}

#[derive(Debug, Default)]
struct State {
    /// The log is this process's own.
    authority: bool,
    history: HistoryId,
    /// In order, with rising times and indexes: the last one the store has caught up with, and
    /// those it has not.
    words: VecDeque<Word>,
}

/// The driver's words.
#[derive(Debug, Default)]
pub(super) struct Contact(Mutex<State>);

/// How fresh the store is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fresh {
    /// All that was committed when it was asked for is in a snapshot at this index or later.
    From(LogIndex),
    /// Nobody knows yet; the driver's last word is so old, if there was one.
    Unknown(Option<Instant>),
}

impl Contact {
    /// Of a store whose log is this process's own.
    pub(super) fn authority() -> Self {
        Contact(Mutex::new(State {
            authority: true,
            ..State::default()
        }))
    }

    /// `applied`: the store's position. It is looked at when it is this word's turn, so that none of
    /// an earlier history comes after one of a later.
    fn note(&self, applied: impl FnOnce() -> Position, committed: Position, at: Instant) {
        let mut state = lock(&self.0);
        let position = applied();
        if position.history != committed.history {
            return;
        }
        let word = Word {
            at,
            committed: committed.index,
        };
        if state.history != position.history {
            state.history = position.history;
            state.words.clear();
        }
        let words = &mut state.words;
        if let Some(last) = words.back()
            && (word.at < last.at || word.committed < last.committed)
        {
            // One that was overtaken on its way here. What it says is known already, or was never.
            return;
        }
        // Of those that the store has caught up with, the newest says all.
        while words.len() > 1 && words[1].committed <= position.index {
            words.pop_front();
        }
        if words.len() == WORDS {
            words.pop_back();
        }
        words.push_back(word);
    }

    /// Whether, and from which index on, a snapshot has all that was committed at `since`.
    pub(super) fn fresh(&self, history: HistoryId, since: Option<Instant>) -> Fresh {
        let state = lock(&self.0);
        if state.authority {
            return Fresh::From(LogIndex::ZERO);
        }
        if state.history != history {
            return Fresh::Unknown(None);
        }
        let soon_enough = |word: &&Word| since.is_none_or(|since| word.at >= since);
        match state.words.iter().find(soon_enough) {
            Some(word) => Fresh::From(word.committed),
            None => Fresh::Unknown(state.words.back().map(|word| word.at)),
        }
    }

    fn staleness(&self, position: Position, now: Instant) -> Option<Duration> {
        let state = lock(&self.0);
        if state.authority {
            return Some(Duration::ZERO);
        }
        if state.history != position.history {
            return None;
        }
        let mut words = state.words.iter().rev();
        let word = words.find(|word| word.committed <= position.index)?;
        Some(now.saturating_duration_since(word.at))
    }
}

impl<S: Schema> Store<S> {
    /// For a driver whose log is kept by several: at the moment `at` nothing after `committed` was
    /// committed, in that position's history. [`ReadMode::MaxStale`] is decided by it. Nothing
    /// happens if the store holds another history: what one log's leader says is no word of
    /// another's.
    ///
    /// So the history must be that of the log whose leader has said it, and not be asked of the
    /// store when the message comes: [`StoreOptions::history`], or [`HistoryId::UNNAMED`].
    ///
    /// A follower calls it for each message of its leader, with the leader's commit index and the
    /// moment it received it, empty heartbeats included; a leader when a majority has confirmed it,
    /// with its own commit index and the moment it asked. So a bound on staleness is as good as the
    /// protocol's word: a follower hears nothing newer from a leader that was deposed without
    /// knowing it, and the time a message took is not in it. Calls that come out of order do no
    /// harm: they are passed over.
    ///
    /// [`ReadMode::MaxStale`]: crate::ReadMode::MaxStale
    /// [`StoreOptions::history`]: crate::StoreOptions::history
    pub fn note_committed(&self, committed: Position, at: Instant) {
        let core = self.core();
        let applied = || core.current().payload().position;
        core.contact.note(applied, committed, at);
        core.watches.contacted();
    }

    /// For a program or driver whose log is this process's alone: what is committed anywhere is
    /// committed here, so the newest snapshot is never stale. The journal says so by itself, and so
    /// does a fork.
    pub fn note_authority(&self) {
        let core = self.core();
        lock(&core.contact.0).authority = true;
        core.watches.contacted();
    }

    /// How stale the newest snapshot is at most: all that was committed so long ago is in it. None
    /// if the driver has not said ([`note_committed`](Self::note_committed),
    /// [`note_authority`](Self::note_authority)), or the store has not caught up with anything it has
    /// said.
    pub fn staleness(&self) -> Option<Duration> {
        let core = self.core();
        let position = core.current().payload().position;
        core.contact.staleness(position, Instant::now())
    }
}
