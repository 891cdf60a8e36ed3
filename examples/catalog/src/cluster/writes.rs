//! Commands on their way to the leader, whoever that is: each is applied once, or refused.
//!
//! A node has a session in the replicated state, and numbers its commands in it. It sends each
//! again, with the same number, until some leader has answered: what was applied already is
//! answered as it was then.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater::fsm::{MAX_WINDOW, Outcome, RequestId, SessionError, SessionId};
use highwater::openraft_next::Response;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::wire::{Ask, Entry, What};
use super::{MemberId, NO_LEADER, Node, PATIENCE, PAUSE, TRY};
use crate::command::{Command, Rejected, Reply};
use crate::log::Written;

/// A node that proposes nothing for so long opens another session.
const SESSION: Duration = Duration::from_hours(1);
/// So many of a node's writes the leader has at once, at most: the session tells them apart.
const ROOM: u32 = MAX_WINDOW / 2;

/// What a node has proposed.
pub struct Writes {
    session: Mutex<Option<Session>>,
    /// Held by whoever opens a session.
    opening: tokio::sync::Mutex<()>,
    /// As many as the leader is to have at once.
    room: Semaphore,
}

struct Session {
    id: SessionId,
    last: u64,
    /// Numbers that are not answered.
    waiting: BTreeSet<u64>,
}

impl Default for Writes {
    fn default() -> Self {
        Writes {
            session: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            room: Semaphore::new(ROOM as usize),
        }
    }
}

/// A number of a session, while its command waits for an answer.
struct Numbered<'a> {
    writes: &'a Writes,
    id: RequestId,
}

impl Drop for Numbered<'_> {
    fn drop(&mut self) {
        if let Some(session) = &mut *self.writes.session() {
            session.waiting.remove(&self.id.sequence);
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

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number of the session, if there is one.
    fn number(&self) -> Option<Numbered<'_>> {
        let mut session = self.session();
        let session = session.as_mut()?;
        session.last += 1;
        session.waiting.insert(session.last);
        let first = session.waiting.first().copied().unwrap_or(session.last);
        Some(Numbered {
            writes: self,
            id: RequestId {
                session: session.id,
                sequence: session.last,
                answered: first - 1,
            },
        })
    }

    /// The state knows this session no longer.
    fn forget(&self, id: SessionId) {
        self.session().take_if(|session| session.id == id);
    }
}

pub async fn write(node: &Node, command: &Command) -> Result<Written, String> {
    let until = Instant::now() + PATIENCE;
    let writes = &node.0.writes;
    let room = timeout_at(until, writes.room.acquire()).await;
    let _room = room
        .map_err(|_| "too many writes are under way".to_owned())?
        .map_err(|_| "this node is ending".to_owned())?;
    loop {
        let Some(numbered) = writes.number() else {
            open(node, until).await?;
            continue;
        };
        let session = numbered.id.session;
        let entry = Entry::Command(numbered.id, command.clone());
        let sent = send(node, &entry, until).await;
        let (response, tries) = sent.map_err(|(why, tries)| match tries {
            0 => why,
            _ => format!("{UNKNOWN}: {why}"),
        })?;
        return match response.outcome {
            Outcome::Done(result) => Ok(Written {
                index: response.index,
                result,
            }),
            Outcome::Repeated { index, result } => Ok(Written { index, result }),
            Outcome::Refused(SessionError::Unknown { .. }) => {
                writes.forget(session);
                if tries == 1 {
                    // It was not applied, and is nowhere else.
                    continue;
                }
                Err(format!("{UNKNOWN}: its session has expired"))
            }
            other => Err(format!("{UNKNOWN}: {other:?}")),
        };
    }
}

/// It was sent, and there is no answer.
const UNKNOWN: &str = "it is not known whether this was applied";

/// Opens a session, unless somebody just has.
async fn open(node: &Node, until: Instant) -> Result<(), String> {
    let failed = |why: &dyn fmt::Display| format!("no session was opened: {why}");
    let writes = &node.0.writes;
    let opening = timeout_at(until, writes.opening.lock()).await;
    let _opening = opening.map_err(|late| failed(&late))?;
    if writes.session().is_some() {
        return Ok(());
    }
    let entry = Entry::Session {
        ttl: SESSION,
        window: MAX_WINDOW,
    };
    // Sent twice, it opens two, of which one is never used.
    let sent = send(node, &entry, until).await;
    let (response, _) = sent.map_err(|(why, _)| failed(&why))?;
    match response.outcome {
        Outcome::Session(id) => {
            *writes.session() = Some(Session {
                id,
                last: 0,
                waiting: BTreeSet::new(),
            });
            Ok(())
        }
        other => Err(failed(&format!("{other:?}"))),
    }
}

/// Sends until there is an answer, or it is too late; with how often it was sent.
async fn send(
    node: &Node,
    entry: &Entry,
    until: Instant,
) -> Result<(Response<Reply, Rejected>, u32), (String, u32)> {
    let mut tries = 0;
    loop {
        let why = match node.leader_address() {
            Some((leader, address)) => {
                tries += 1;
                let sent = async {
                    if leader == node.id() {
                        return node.lead(entry.clone()).await;
                    }
                    let ask = Ask {
                        to: Some(leader),
                        what: What::Write(entry.clone()),
                    };
                    match node.0.peers.ask(&address, &ask, TRY).await {
                        Ok(Ok(response)) => Ok(response),
                        Ok(Err(refused)) => Err(refused.to_string()),
                        Err(error) => Err(error.to_string()),
                    }
                };
                tokio::select! {
                    sent = timeout(TRY, sent) => match sent {
                        Ok(Ok(response)) => return Ok((response, tries)),
                        Ok(Err(why)) => why,
                        Err(late) => late.to_string(),
                    },
                    () = leader_changes(node, leader) => "the leader has changed".to_owned(),
                }
            }
            None => NO_LEADER.to_owned(),
        };
        if Instant::now() + PAUSE >= until || node.0.writes.ended() {
            return Err((why, tries));
        }
        sleep(PAUSE).await;
    }
}

/// Until another is the leader.
async fn leader_changes(node: &Node, from: MemberId) {
    let wait = node.0.raft.wait(None);
    let another = |now: MemberId| now != from;
    let changed = wait.metrics(
        |metrics| metrics.current_leader.is_some_and(another),
        "another leader",
    );
    if changed.await.is_err() {
        std::future::pending::<()>().await;
    }
}
