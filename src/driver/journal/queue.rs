//! The bounded queue from proposers to the log thread.
//!
//! One mutex. The log thread takes a whole batch under one lock, which is what makes concurrent
//! proposals share an fsync, and what a channel that hands over items one by one cannot do.
//! Proposers wait for room, blocking or async; controls (few, from the journal itself) never wait.
//! Nobody is woken, and no waker cloned or dropped, under the lock.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How much may wait in a queue, and how much is taken at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) queue_items: usize,
    pub(super) queue_bytes: usize,
    pub(super) batch_items: usize,
    pub(super) batch_bytes: usize,
}

/// Why the queue takes no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shut {
    Closed,
    Halted(String),
}

#[derive(Debug)]
pub(super) struct Queue<T, K> {
    limits: Limits,
    state: Mutex<State<T, K>>,
    /// For the log thread: there is something to take.
    filled: Condvar,
    /// For blocked proposers: there is room.
    room: Condvar,
}

#[derive(Debug)]
struct State<T, K> {
    /// Each with its size in bytes.
    items: VecDeque<(usize, T)>,
    bytes: usize,
    controls: VecDeque<K>,
    shut: Option<Shut>,
    /// Async proposers that wait for room.
    wakers: BTreeMap<u64, Waker>,
    next_waker: u64,
}

/// What the log thread waits for if there is nothing to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing.
    No,
    /// Something to take, or the end.
    Work,
    /// Something to take, which is sure to come.
    Control,
}

/// What the log thread takes at once.
#[derive(Debug)]
pub(super) struct Taken<T, K> {
    pub(super) items: Vec<T>,
    pub(super) controls: Vec<K>,
    /// Nothing is in the queue and nothing will be.
    pub(super) ended: bool,
}

impl<T, K> Queue<T, K> {
    pub(super) fn new(limits: Limits) -> Self {
        Queue {
            limits,
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                controls: VecDeque::new(),
                shut: None,
                wakers: BTreeMap::new(),
                next_waker: 0,
            }),
            filled: Condvar::new(),
            room: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T, K>> {
        // No foreign code runs under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State<T, K>, size: usize) -> bool {
        // One item is always let in, or an item above `queue_bytes` would wait for ever.
        state.items.is_empty()
            || (state.items.len() < self.limits.queue_items
                && state.bytes.saturating_add(size) <= self.limits.queue_bytes)
    }

    /// Puts an item of `size` bytes in, waiting for room.
    pub(super) fn push(&self, size: usize, item: T) -> Result<(), Shut> {
        let mut state = self.lock();
        while state.shut.is_none() && !self.has_room(&state, size) {
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(shut) = &state.shut {
            return Err(shut.clone());
        }
        state.put(size, item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// [`push`](Self::push) as a future. Nothing is in the queue if it is dropped unfinished.
    pub(super) fn push_async(self: Arc<Self>, size: usize, item: T) -> Push<T, K> {
        Push {
            queue: self,
            size,
            item: Some(item),
            waiting: None,
        }
    }

    /// Puts a control in; it is handed back if the queue is shut.
    pub(super) fn control(&self, control: K) -> Result<(), (Shut, K)> {
        let mut state = self.lock();
        if let Some(shut) = &state.shut {
            return Err((shut.clone(), control));
        }
        state.controls.push_back(control);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Puts a control in whether or not the queue is shut.
    pub(super) fn control_always(&self, control: K) {
        self.lock().controls.push_back(control);
        self.filled.notify_one();
    }

    /// Takes what is there, up to a batch.
    pub(super) fn take(&self, wait: Wait) -> Taken<T, K> {
        let mut state = self.lock();
        while state.items.is_empty()
            && state.controls.is_empty()
            && match wait {
                Wait::No => false,
                Wait::Work => state.shut.is_none(),
                Wait::Control => true,
            }
        {
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let controls = state.controls.drain(..).collect();
        let mut items = Vec::new();
        let mut bytes = 0;
        while let Some(&(size, _)) = state.items.front()
            && (items.is_empty()
                || (items.len() < self.limits.batch_items
                    && bytes + size <= self.limits.batch_bytes))
        {
            bytes += size;
            items.extend(state.items.pop_front().map(|(_, item)| item));
        }
        state.bytes -= bytes;
        let ended = state.shut.is_some() && state.items.is_empty() && state.controls.is_empty();
        let wakers = if items.is_empty() {
            BTreeMap::new()
        } else {
            std::mem::take(&mut state.wakers)
        };
        drop(state);
        if !items.is_empty() {
            self.room.notify_all();
        }
        wakers.into_values().for_each(Waker::wake);
        Taken {
            items,
            controls,
            ended,
        }
    }

    /// Lets nothing in any more; what is in can still be taken. The first reason stays, but an
    /// error takes the place of an orderly end.
    pub(super) fn shut(&self, reason: Shut) {
        let mut state = self.lock();
        if !matches!(state.shut, Some(Shut::Halted(_))) {
            state.shut = Some(reason);
        }
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.filled.notify_all();
        self.room.notify_all();
        wakers.into_values().for_each(Waker::wake);
    }

    /// How many items wait to be taken.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().items.len()
    }

    /// Why it is shut, if it is.
    pub(super) fn shut_reason(&self) -> Option<Shut> {
        self.lock().shut.clone()
    }
}

impl<T, K> State<T, K> {
    fn put(&mut self, size: usize, item: T) {
        self.bytes += size;
        self.items.push_back((size, item));
    }
}

/// An item on its way into the queue.
#[derive(Debug)]
pub(super) struct Push<T, K> {
    queue: Arc<Queue<T, K>>,
    size: usize,
    item: Option<T>,
    /// Its place among the wakers.
    waiting: Option<u64>,
}

// No field is ever pinned.
impl<T, K> Unpin for Push<T, K> {}

impl<T, K> Future for Push<T, K> {
    type Output = Result<(), Shut>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Shut>> {
        let this = &mut *self;
        let waker = cx.waker().clone();
        let mut state = this.queue.lock();
        if let Some(shut) = state.shut.clone() {
            return Poll::Ready(Err(shut));
        }
        let old = if this.queue.has_room(&state, this.size) {
            if let Some(item) = this.item.take() {
                state.put(this.size, item);
            }
            let old = this
                .waiting
                .take()
                .and_then(|place| state.wakers.remove(&place));
            drop(state);
            this.queue.filled.notify_one();
            drop(old);
            return Poll::Ready(Ok(()));
        } else {
            let place = this.waiting.unwrap_or_else(|| {
                state.next_waker += 1;
                state.next_waker
            });
            this.waiting = Some(place);
            state.wakers.insert(place, waker)
        };
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T, K> Drop for Push<T, K> {
    fn drop(&mut self) {
        if let Some(place) = self.waiting {
            let waker = self.queue.lock().wakers.remove(&place);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::answer::tests::Flag;
    use std::thread;

    fn queue() -> Arc<Queue<u32, char>> {
        Arc::new(Queue::new(Limits {
            queue_items: 3,
            queue_bytes: 100,
            batch_items: 2,
            batch_bytes: 50,
        }))
    }

    fn poll(push: &mut Push<u32, char>, flag: &Flag) -> Poll<Result<(), Shut>> {
        Pin::new(push).poll(&mut Context::from_waker(&flag.waker()))
    }

    #[test]
    fn batches_keep_order_and_limits() {
        let queue = queue();
        for (size, item) in [(10, 1), (10, 2), (10, 3)] {
            queue.push(size, item).unwrap();
        }
        queue.control('c').unwrap();
        let taken = queue.take(Wait::Work);
        assert_eq!((taken.items, taken.controls), (vec![1, 2], vec!['c']));
        queue.push(45, 4).unwrap();
        assert_eq!(
            queue.take(Wait::Work).items,
            [3],
            "3 and 4 together are above a batch's bytes"
        );
        assert_eq!(queue.take(Wait::Work).items, [4]);
        assert!(queue.take(Wait::No).items.is_empty());
        queue.push(1000, 5).unwrap();
        assert_eq!(
            queue.take(Wait::Work).items,
            [5],
            "an item above all limits passes alone"
        );
    }

    #[test]
    fn a_full_queue_holds_proposers_back() {
        let queue = queue();
        (1..=3).for_each(|i| queue.push(1, i).unwrap());
        let flag = Flag::new();
        let mut waiting = Arc::clone(&queue).push_async(1, 4);
        assert!(poll(&mut waiting, &flag).is_pending());
        let mut abandoned = Arc::clone(&queue).push_async(1, 9);
        assert!(poll(&mut abandoned, &Flag::new()).is_pending());
        drop(abandoned);
        assert_eq!(queue.lock().wakers.len(), 1);
        let blocked = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(1, 5)
        });
        assert_eq!(queue.take(Wait::Work).items, [1, 2]);
        assert!(flag.woken());
        blocked.join().unwrap().unwrap();
        assert_eq!(poll(&mut waiting, &flag), Poll::Ready(Ok(())));
        assert_eq!(queue.take(Wait::Work).items, [3, 5]);
        assert_eq!(queue.take(Wait::Work).items, [4]);
    }

    #[test]
    fn shutting_wakes_all_and_lets_what_is_in_out() {
        let queue = queue();
        (1..=3).for_each(|i| queue.push(1, i).unwrap());
        let flag = Flag::new();
        let mut waiting = Arc::clone(&queue).push_async(1, 4);
        assert!(poll(&mut waiting, &flag).is_pending());
        let blocked = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(1, 5)
        });
        queue.shut(Shut::Closed);
        assert_eq!(blocked.join().unwrap(), Err(Shut::Closed));
        assert!(flag.woken());
        assert_eq!(poll(&mut waiting, &flag), Poll::Ready(Err(Shut::Closed)));
        assert_eq!(queue.control('c'), Err((Shut::Closed, 'c')));
        let taken = queue.take(Wait::Work);
        assert_eq!((taken.items, taken.ended), (vec![1, 2], false));
        let taken = queue.take(Wait::Work);
        assert_eq!((taken.items, taken.ended), (vec![3], true));
        assert!(queue.take(Wait::Work).ended);
        queue.shut(Shut::Halted("later".into()));
        queue.shut(Shut::Closed);
        assert_eq!(queue.shut_reason(), Some(Shut::Halted("later".into())));
        queue.control_always('c');
        assert_eq!(queue.take(Wait::Control).controls, ['c']);
    }
}
