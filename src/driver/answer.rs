//! A reply that is given once, from one thread to one waiter, blocking or async.
//!
//! A mutex around the value and whoever waits for it. The waiter is woken after the lock is
//! released. A giver that is dropped without giving wakes its waiter too.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    Given(T),
    /// Taken, or never to be given.
    Gone,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    given: Condvar,
}

/// The side that gives.
#[derive(Debug)]
pub(super) struct Giver<T> {
    shared: Option<Arc<Shared<T>>>,
}

/// The side that waits. As a future it is `None` if nothing will ever be given.
#[derive(Debug)]
pub(super) struct Answer<T> {
    shared: Arc<Shared<T>>,
}

pub(super) fn answer<T>() -> (Giver<T>, Answer<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::Waiting(None)),
        given: Condvar::new(),
    });
    (
        Giver {
            shared: Some(Arc::clone(&shared)),
        },
        Answer { shared },
    )
}

impl<T> Giver<T> {
    pub(super) fn give(mut self, value: T) {
        if let Some(shared) = self.shared.take() {
            shared.settle(State::Given(value));
        }
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.settle(State::Gone);
        }
    }
}

impl<T> Shared<T> {
    fn settle(&self, settled: State<T>) {
        let old = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, settled)
        };
        self.given.notify_one();
        if let State::Waiting(Some(waker)) = old {
            waker.wake();
        }
    }
}

impl<T> Answer<T> {
    /// Blocks until the answer is there; `None` if it will never be.
    pub(super) fn wait(self) -> Option<T> {
        let state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .shared
            .given
            .wait_while(state, |state| matches!(state, State::Waiting(_)))
            .unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Gone) {
            State::Given(value) => Some(value),
            _ => None,
        }
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // Cloning a waker runs foreign code: before the lock. So does dropping the one it replaces.
        let waker = cx.waker().clone();
        let old = {
            let mut state = self
                .shared
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match &mut *state {
                State::Waiting(waiting) => waiting.replace(waker),
                settled => {
                    return match std::mem::replace(settled, State::Gone) {
                        State::Given(value) => Poll::Ready(Some(value)),
                        _ => Poll::Ready(None),
                    };
                }
            }
        };
        drop(old);
        Poll::Pending
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;
    use std::thread;

    /// A task that notes that it was woken.
    pub(in super::super) struct Flag(Arc<Woken>);
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl Flag {
        pub(in super::super) fn new() -> Self {
            Flag(Arc::new(Woken(AtomicBool::new(false))))
        }
        pub(in super::super) fn waker(&self) -> Waker {
            Waker::from(Arc::clone(&self.0))
        }
        pub(in super::super) fn woken(&self) -> bool {
            self.0.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn a_waiter_is_answered_or_told_there_is_none() {
        let (giver, asked) = answer();
        let waiter = thread::spawn(move || asked.wait());
        giver.give(7);
        assert_eq!(waiter.join().unwrap(), Some(7));

        let (giver, asked) = answer::<u8>();
        let waiter = thread::spawn(move || asked.wait());
        drop(giver);
        assert_eq!(waiter.join().unwrap(), None);
    }

    #[test]
    fn a_task_is_woken_by_the_latest_waker() {
        let (giver, mut asked) = answer();
        let first = Flag::new();
        let second = Flag::new();
        let poll = |asked: &mut Answer<u8>, flag: &Flag| {
            Pin::new(asked).poll(&mut Context::from_waker(&flag.waker()))
        };
        assert!(poll(&mut asked, &first).is_pending());
        assert!(poll(&mut asked, &second).is_pending());
        giver.give(3);
        assert!(!first.woken());
        assert!(second.woken());
        assert_eq!(poll(&mut asked, &second), Poll::Ready(Some(3)));
        assert_eq!(poll(&mut asked, &second), Poll::Ready(None));
    }
}
