//! Who waits for a log index, in the order of what they wait for.
use super::signal::Signal;
use crate::position::{HistoryId, LogIndex, Position};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a waiter waits for, and a number that tells apart those who wait for the same.
pub(super) type Wanted = (HistoryId, LogIndex, u64);

/// The waiters for log indexes of one store.
pub(super) struct IndexRegistry {
    waiting: BTreeMap<Wanted, Arc<Signal>>,
    number: u64,
    closed: bool,
}

impl IndexRegistry {
    pub(super) fn new() -> Self {
        IndexRegistry {
            waiting: BTreeMap::new(),
            number: 0,
            closed: false,
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// `None` if the registry is closed.
    pub(super) fn insert(
        &mut self,
        history: HistoryId,
        index: LogIndex,
        signal: &Arc<Signal>,
    ) -> Option<Wanted> {
        if self.closed {
            return None;
        }
        self.number += 1;
        let wanted = (history, index, self.number);
        self.waiting.insert(wanted, Arc::clone(signal));
        Some(wanted)
    }

    /// Whether it was still there. The caller holds the signal itself: it is not dropped here.
    pub(super) fn remove(&mut self, wanted: Wanted) -> bool {
        self.waiting.remove(&wanted).is_some()
    }

    /// Takes out those who wait for an index up to `reached.index`, or for another history.
    pub(super) fn take_reached(&mut self, reached: Position) -> Vec<Arc<Signal>> {
        let mut taken = Vec::new();
        while let Some(first) = self.waiting.first_entry()
            && (first.key().0, first.key().1) <= (reached.history, reached.index)
        {
            taken.push(first.remove());
        }
        while let Some(last) = self.waiting.last_entry()
            && last.key().0 > reached.history
        {
            taken.push(last.remove());
        }
        taken
    }

    pub(super) fn take_all(&mut self) -> Vec<Arc<Signal>> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn takes_those_who_are_satisfied_and_no_others() {
        let mut registry = IndexRegistry::new();
        let mut wanted = Vec::new();
        for history in [1, 2, 3] {
            for index in [5, 5, 6, u64::MAX] {
                let signal = Arc::new(Signal::new());
                let key = registry.insert(HistoryId(history), LogIndex(index), &signal);
                wanted.push(key.expect("it is open"));
            }
        }
        assert!(registry.remove(wanted[4]));
        assert!(!registry.remove(wanted[4]));
        let reached = Position {
            history: HistoryId(2),
            index: LogIndex(5),
        };
        // All of histories 1 and 3, and the one of history 2 at 5 that is left.
        assert_eq!(registry.take_reached(reached).len(), 4 + 4 + 1);
        assert!(registry.take_reached(reached).is_empty());
        assert!(registry.remove(wanted[6]) && registry.remove(wanted[7]));
        registry.close();
        let signal = Arc::new(Signal::new());
        assert_eq!(registry.insert(HistoryId(2), LogIndex(9), &signal), None);
    }
}
