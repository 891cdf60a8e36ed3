//! A client's side of its session.

use super::{RequestId, SessionId};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A client's session, as the client keeps it: numbers its commands, and knows which of them still
/// wait for their answers. Threads may share it.
///
/// A command is sent again under the same number until it is answered: keep its [`PendingRequest`] for as
/// long. One that still waits when so
/// many have been numbered after it as the session's window is wide may be refused then
/// ([`SessionError`](crate::fsm::SessionError)). Cost of each call: O(log n) of those that wait.
///
/// # Examples
///
/// ```
/// use highwater::fsm::{ClientSession, SessionId};
///
/// // What the entry of `Proposal::open_session` was answered with.
/// let session = ClientSession::new(SessionId(7));
/// let (first, second) = (session.next_request(), session.next_request());
/// // Each is sent with its `id()`, and after a timeout again, with the same.
/// assert_eq!((first.id().sequence, second.id().sequence), (1, 2));
/// // The second is answered, and the first is still to be asked for.
/// drop(second);
/// assert_eq!(session.next_request().id().answered, 0);
/// drop(first);
/// assert_eq!(session.next_request().id().answered, 3);
/// ```
#[derive(Debug)]
pub struct ClientSession {
    id: SessionId,
    numbers: Mutex<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    last: u64,
    waiting: BTreeSet<u64>,
}

/// A command that waits for its answer, until this is dropped: then it is answered, or the answer given up.
///
/// A command whose answer was given up may have been applied. To send it anew, with another number, may
/// apply it twice.
#[derive(Debug)]
#[must_use = "a command that was dropped is taken for answered"]
pub struct PendingRequest<'a> {
    session: &'a ClientSession,
    id: RequestId,
}

impl ClientSession {
    /// A session that has just been opened, in which there was no command yet. A client that has lost
    /// its numbers, as one that was started anew, opens another: under a number that was used a command is
    /// given the answer of the one before, and not applied.
    pub fn new(id: SessionId) -> Self {
        ClientSession {
            id,
            numbers: Mutex::default(),
        }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The number of the next command, which waits from now on. All before the first that waits
    /// are answered.
    pub fn next_request(&self) -> PendingRequest<'_> {
        let mut numbers = self.numbers();
        numbers.last += 1;
        let sequence = numbers.last;
        numbers.waiting.insert(sequence);
        let first = numbers.waiting.first().copied().unwrap_or(sequence);
        PendingRequest {
            session: self,
            id: RequestId {
                session: self.id,
                sequence,
                answered: first - 1,
            },
        }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        // A panic leaves them as they were.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingRequest<'_> {
    /// What the command is sent with, however often: see
    /// [`Proposal::in_session`](crate::fsm::Proposal::in_session).
    pub fn id(&self) -> RequestId {
        self.id
    }
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        self.session.numbers().waiting.remove(&self.id.sequence);
    }
}
