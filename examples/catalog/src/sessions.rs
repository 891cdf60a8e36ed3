//! Sessions: they begin, are renewed, and end with all that depends on them.

use std::time::Duration;

use highwater::fsm::Context;
use highwater::{Rows, WriteError, WriteTxn};
use uuid::Uuid;

use crate::command::{Rejected, Reply, drawn};
use crate::deadlines;
use crate::schema::{Behavior, Catalog, Due, Session, SessionReader, Status};

/// A session that is not renewed ends after so many times its TTL: a renewal on its way is not too
/// late, nor is one by a clock that is a little behind.
const GRACE: u32 = 2;
const MOST_LOCK_DELAY: Duration = Duration::from_mins(1);

/// Begins a session. Its ID is drawn from the log's randomness.
pub fn create(
    mut session: Session,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<Reply, Rejected> {
    let id = drawn(context);
    session.id = id;
    if !txn.nodes().contains(&session.node) {
        return Err(Rejected::Session("Missing node registration".to_owned()));
    }
    for check in session.checks() {
        let why = match txn.checks().get((&session.node, &check)) {
            None => "Missing check registration",
            Some(known) if known.status == Status::Critical => "Check is in critical state",
            Some(_) => continue,
        };
        return Err(Rejected::Session(format!("{why}: {check:?}")));
    }
    deadlines::set(Due::End(id), session.ttl.0 * GRACE, context, txn)?;
    txn.sessions_mut().insert(session)?;
    Ok(Reply::Session(id))
}

/// Gives a session its whole time again. Only what is due changes: nobody who waits for the
/// session to change is woken.
pub fn renew(id: Uuid, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
    let Some(session) = txn.sessions().get(id).cloned() else {
        return Ok(Reply::Was(false));
    };
    deadlines::set(Due::End(id), session.ttl.0 * GRACE, context, txn)?;
    Ok(Reply::Was(true))
}

/// Ends a session, if it is there. What it had locked is unlocked or deleted, and nobody can lock
/// it for a while: somebody who does not know yet that his session has ended may still be at work.
pub fn end(id: Uuid, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), WriteError> {
    let Some(session) = txn.sessions().get(id).cloned() else {
        return Ok(());
    };
    let held = txn.kv().by_session(id).map(|row| row.key.clone());
    for key in held.collect::<Vec<_>>() {
        let delay = session.lock_delay.0.min(MOST_LOCK_DELAY);
        deadlines::set(Due::Unlock(key), delay, context, txn)?;
    }
    if session.behavior == Behavior::Delete {
        txn.kv_mut().delete_query(|kv| kv.by_session(id))?;
    }
    // The keys that are left are unlocked by their reference to it.
    txn.sessions_mut().delete(id)?;
    Ok(())
}

/// Ends all sessions that a query finds.
pub fn end_all(
    query: impl for<'r> FnOnce(&'r SessionReader<'r>) -> Rows<'r, Session>,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<(), WriteError> {
    let ids: Vec<Uuid> = query(&txn.sessions()).map(|session| session.id).collect();
    ids.into_iter().try_for_each(|id| end(id, context, txn))
}
