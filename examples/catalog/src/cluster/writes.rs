//! Commands on their way to the leader, whoever that is: each is applied once, or refused.
//!
//! A node has a session in the replicated state, and numbers its commands in it. It sends each
//! again, with the same number, until some leader has answered: what was applied already is
//! answered as it was then.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use highwater::fsm::{ClientSession, MAX_WINDOW, Outcome, SessionError, SessionOptions};
use highwater::openraft_next::Response;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::wire::{Entry, What};
use super::{Node, PATIENCE, TRY};
use crate::command::{Command, Rejected, Reply};
use crate::log::{Failure, Written};

/// A node that proposes nothing for so long opens another session.
pub const SESSION: SessionOptions = SessionOptions {
    ttl: Duration::from_hours(1),
    window: MAX_WINDOW,
};
/// So many of a node's writes the leader has at once, at most: the session tells them apart.
const ROOM: u32 = MAX_WINDOW / 2;

/// What a node has proposed.
pub struct Writes {
    /// Locked while one is opened.
    session: Mutex<Option<Arc<ClientSession>>>,
    /// As many as the leader is to have at once.
    room: Semaphore,
}

impl Default for Writes {
    fn default() -> Self {
        Writes {
            session: Mutex::default(),
            room: Semaphore::new(ROOM as usize),
        }
    }
}

impl Writes {
    /// Takes no more, when those under way are answered or it has waited for so long.
    pub async fn end(&self, patience: Duration) {
        let all = timeout(patience, self.room.acquire_many(ROOM)).await;
        self.room.close();
        drop(all);
    }

    pub fn ended(&self) -> bool {
        self.room.is_closed()
    }
}

/// It was sent, and there is no answer.
const UNKNOWN: &str = "it is not known whether this was applied";

impl Node {
    /// Has a command applied exactly once, by the leader, and waits until this node has it too.
    pub async fn write(self: &Arc<Self>, command: &Command) -> Result<Written, Failure> {
        let until = Instant::now() + PATIENCE;
        let room = timeout_at(until, self.writes.room.acquire()).await;
        let room = room.map_err(|_| "too many writes are under way")?;
        let room = room.map_err(|_| "this node is ending")?;
        let written = loop {
            let session = self.session(until).await?;
            let request = session.next_request();
            let entry = Entry::Command(request.id(), command.clone());
            let mut tries = 0;
            let sent = self.ask_leader(What::Write(entry), until, &mut tries);
            let response: Response<Reply, Rejected> = sent.await.map_err(|why| match tries {
                0 => why,
                _ => format!("{UNKNOWN}: {why}").into(),
            })?;
            let index = response.index;
            match response.outcome {
                Outcome::Done(result) => break Written { index, result },
                Outcome::Repeated { index, result } => break Written { index, result },
                Outcome::Refused(SessionError::Unknown { .. }) => {
                    // The state knows it no longer. Who has it locked opens another.
                    if let Ok(mut known) = self.writes.session.try_lock() {
                        known.take_if(|known| known.id() == session.id());
                    }
                    // If it was sent once, it was not applied, and is nowhere else.
                    if tries > 1 {
                        return Err(format!("{UNKNOWN}: its session has expired").into());
                    }
                }
                other => return Err(format!("{UNKNOWN}: {other:?}").into()),
            }
        };
        drop(room);
        // It is done, whether or not this node comes to know in time.
        let store = &self.store;
        let here = store.snapshot_at_least_async(written.index, sleep(TRY));
        let _ = here.await;
        Ok(written)
    }

    /// The node's session, which is opened if there is none.
    async fn session(self: &Arc<Self>, until: Instant) -> Result<Arc<ClientSession>, Failure> {
        let failed = |why: &dyn fmt::Display| format!("no session was opened: {why}");
        let known = timeout_at(until, self.writes.session.lock()).await;
        let mut known = known.map_err(|late| failed(&late))?;
        if let Some(session) = &*known {
            return Ok(session.clone());
        }
        // Sent twice, it opens two, of which one is never used.
        let open = What::Write(Entry::Session);
        let sent = self.ask_leader(open, until, &mut 0).await;
        let response: Response<Reply, Rejected> = sent.map_err(|why| failed(&why))?;
        match response.outcome {
            Outcome::Session(id) => Ok(known.insert(Arc::new(ClientSession::new(id))).clone()),
            other => Err(failed(&format!("{other:?}")).into()),
        }
    }
}
