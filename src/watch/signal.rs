//! A one-shot signal: sticky once fired, waited for by threads with a deadline or by one task.
//!
//! The flag, the task's waker and the number of sleeping threads are under one lock, so that a
//! waiter either sees the flag or is seen by who sets it. What else its owner has to keep under a lock
//! is under the same one: there are a great many signals, and each lock has its size. Foreign code (clone, wake or drop of a
//! [`Waker`]) never runs while that lock is held: [`Signal::fire`] hands the waker out.
use crate::sync::{Condvar, Mutex, lock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

pub(super) struct Signal<X = ()> {
    state: Mutex<State<X>>,
    changed: Condvar,
}

struct State<X> {
    fired: bool,
    /// Threads inside [`Signal::wait`]: with none, firing makes no system call.
    sleepers: u32,
    task: Option<Waker>,
    beside: X,
}

impl Signal {
    pub(super) fn new() -> Self {
        Signal::with(())
    }
}

impl<X> Signal<X> {
    pub(super) fn with(beside: X) -> Self {
        Signal {
            state: Mutex::new(State {
                fired: false,
                sleepers: 0,
                task: None,
                beside,
            }),
            changed: Condvar::new(),
        }
    }

    /// Looks at what its owner keeps beside it, under the lock.
    pub(super) fn beside<R>(&self, look: impl FnOnce(&mut X) -> R) -> R {
        look(&mut lock(&self.state).beside)
    }

    /// Sets the flag and wakes sleeping threads. The task that is to be woken is returned; the
    /// caller does so with [`wake`], holding no lock.
    #[must_use]
    pub(super) fn fire(&self) -> Option<Waker> {
        let (task, sleepers) = {
            let mut state = lock(&self.state);
            state.fired = true;
            (state.task.take(), state.sleepers)
        };
        if sleepers > 0 {
            self.changed.notify_all();
        }
        task
    }

    pub(super) fn has_fired(&self) -> bool {
        lock(&self.state).fired
    }

    /// Blocks until it fires (true) or the deadline has passed (false).
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        let mut state = lock(&self.state);
        while !state.fired {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state.sleepers += 1;
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.sleepers -= 1;
        }
        true
    }

    /// Ready once fired; until then the task of `context` takes the place of the one before it.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        {
            let state = lock(&self.state);
            if state.fired {
                return Poll::Ready(());
            }
            if state
                .task
                .as_ref()
                .is_some_and(|task| task.will_wake(context.waker()))
            {
                return Poll::Pending;
            }
        }
        let mut task = Some(context.waker().clone());
        let fired = {
            let mut state = lock(&self.state);
            if !state.fired {
                std::mem::swap(&mut state.task, &mut task);
            }
            state.fired
        };
        // The waker that was replaced, or is not needed, is dropped outside the lock.
        drop(task);
        if fired {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Lets go of the task, which nobody polls any more.
    pub(super) fn forget_task(&self) {
        let task = lock(&self.state).task.take();
        drop(task);
    }
}

/// Wakes tasks. A waker that panics is a fault of its executor: it neither keeps the others
/// asleep nor fails the commit that wakes them.
pub(super) fn wake(tasks: impl IntoIterator<Item = Waker>) {
    for task in tasks {
        let _ = catch_unwind(AssertUnwindSafe(|| task.wake()));
    }
}
