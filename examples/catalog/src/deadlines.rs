//! What happens when time passes. What is due when is in the tables, and time is the log's clock, so
//! every replica does the same.
//!
//! Whoever lets time pass (see `keeper.rs`) has [`expire`] applied when something is due. One that
//! begins to do so has [`begin`] applied first: nobody could be heard while nobody was there to
//! listen, so sessions and checks have their whole time again, and so do services whose checks are critical.

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
        matches!(self, Due::End(_) | Due::Fail(..) | Due::Deregister(..))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::machine::{Machine, check};

    const MINUTE: Duration = Duration::from_mins(1);

    fn all() -> [Due; 4] {
        let of = || ("n".to_owned(), "beat".to_owned());
        [
            Due::End(uuid::Uuid::nil()),
            Due::Fail(of().0, of().1),
            Due::Deregister(of().0, of().1),
            Due::Unlock("key".to_owned()),
        ]
    }

    fn left(machine: &Machine) -> Vec<Due> {
        let db = machine.store.snapshot();
        db.deadlines().iter().map(|row| row.due.clone()).collect()
    }

    fn set_all(machine: &mut Machine, time: Duration) {
        let at = machine.now + time;
        for due in all() {
            machine.edit(|txn| txn.deadlines_mut().upsert(Deadline { due, at, time }));
        }
    }

    #[test]
    fn another_that_lets_time_pass_gives_it_anew() {
        let mut machine = Machine::default();
        machine.edit(|txn| txn.checks_mut().upsert(check("n", "beat")));
        set_all(&mut machine, MINUTE);
        machine.pass(MINUTE / 2);
        machine.done(&Command::Begin);
        machine.pass(MINUTE / 2);
        machine.done(&Command::Expire);
        // What nobody can put off takes its course.
        assert_eq!(left(&machine), all()[..3]);
        machine.pass(Duration::from_millis(29_999));
        machine.done(&Command::Expire);
        assert_eq!(left(&machine), all()[..3]);
        machine.pass(Duration::from_millis(1));
        machine.done(&Command::Expire);
        assert_eq!(left(&machine), []);
    }
}
