//! What happens when time passes. What is due when is in the tables, and time is the log's clock, so
//! every replica does the same.
//!
//! Whoever lets time pass (see `keeper.rs`) has [`expire`] applied when something is due. One that
//! begins to do so has [`begin`] applied first: nobody could be heard while nobody was there to
//! listen, so sessions and checks have their whole time again.

use std::time::Duration;

use highwater::fsm::Context;
use highwater::{WriteError, WriteTxn};

use crate::command::Rejected;
use crate::schema::{Catalog, CatalogView, Deadline, Due};
use crate::{registry, sessions};

/// So much is done by one entry of the log, at most.
const MOST: usize = 256;

impl Due {
    /// Whether somebody can put it off, by saying that he is there.
    fn is_heard_of(&self) -> bool {
        matches!(self, Due::End(_) | Due::Fail(..))
    }
}

/// It is due when so much time has passed from now; never, if that is none, or more than there is.
pub fn set(
    due: Due,
    time: Duration,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<(), WriteError> {
    let at = context.time().checked_add(time);
    let Some(at) = at.filter(|_| !time.is_zero()) else {
        return clear(&due, txn);
    };
    txn.deadlines_mut().upsert(Deadline { due, at, time })?;
    Ok(())
}

pub fn clear(due: &Due, txn: &mut WriteTxn<Catalog>) -> Result<(), WriteError> {
    txn.deadlines_mut().delete(due)?;
    Ok(())
}

/// Whether it is still to come.
pub fn pending(due: &Due, context: &Context, db: &CatalogView) -> bool {
    let deadline = db.deadlines().get(due);
    deadline.is_some_and(|deadline| deadline.at > context.time())
}

/// Puts off all that can be.
pub fn begin(context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), Rejected> {
    let all = txn.deadlines().iter().cloned();
    let heard: Vec<_> = all.filter(|deadline| deadline.due.is_heard_of()).collect();
    for deadline in heard {
        set(deadline.due.clone(), deadline.time, context, txn)?;
    }
    Ok(())
}

/// Does what is due.
pub fn expire(context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), Rejected> {
    let due = txn.deadlines().due(context.time());
    let due: Vec<Due> = due.take(MOST).map(|row| row.due.clone()).collect();
    for due in due {
        clear(&due, txn)?;
        match due {
            Due::End(session) => sessions::end(session, context, txn)?,
            Due::Fail(node, check) => registry::fail(node, check, context, txn)?,
            Due::Deregister(node, check) => registry::give_up(node, &check, context, txn)?,
            Due::Unlock(_) => {}
        }
    }
    Ok(())
}
