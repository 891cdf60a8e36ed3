//! What happens when time passes. What is due when is in the tables, and time is the log's clock, so
//! every replica does the same.
//!
//! Whoever lets time pass (see `keeper.rs`) has [`expire`] applied when something is due. One that
//! begins to do so has [`begin`] applied first: nobody could be heard while nobody was there to
//! listen, so sessions and checks have their whole time again, and so do services whose checks are critical.

use std::time::{Duration, SystemTime};

use highwater::fsm::Context;
use highwater::{WriteError, WriteTxn};

use crate::command::{Rejected, Reply};
use crate::schema::{Beginning, Catalog, CatalogView, Deadline, Due};
use crate::{registry, sessions};

/// So much is done by one entry of the log, at most.
const MOST: usize = 256;

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

/// Puts off all that can be: each when its old time has come, so that this costs the same however
/// much there is.
pub fn begin(context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
    let (only, at) = ((), context.time());
    txn.beginning_mut().upsert(Beginning { only, at })?;
    Ok(Reply::Time(at))
}

/// Does what is due.
pub fn expire(context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), Rejected> {
    let began = txn.beginning().get(()).map(|row| row.at);
    let due = txn.deadlines().due(context.time());
    let due: Vec<Due> = due.take(MOST).map(|row| row.due.clone()).collect();
    for due in due {
        // What was done before it may have taken it away, or set it anew.
        let Some(deadline) = txn.deadlines().get(&due).cloned() else {
            continue;
        };
        let at = deadline.put_off(began);
        if at > context.time() {
            txn.deadlines_mut()
                .update_with(&due, |deadline| deadline.at = at)?;
            continue;
        }
        clear(&due, txn)?;
        match due {
            Due::End(session) => sessions::end(session, context, txn)?,
            Due::Fail(check) => registry::fail(&check, context, txn)?,
            Due::Deregister(check) => registry::give_up(&check, context, txn)?,
            Due::Unlock(_) => {}
        }
    }
    Ok(())
}

impl Deadline {
    /// When it is due, if whoever lets time pass began to do so at `began`: what can be put off, by
    /// saying that somebody or something is there, has its whole time from then.
    fn put_off(&self, began: Option<SystemTime>) -> SystemTime {
        match began.and_then(|began| began.checked_add(self.time)) {
            Some(anew) if !matches!(self.due, Due::Unlock(_)) => self.at.max(anew),
            _ => self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::command::Command;
    use crate::duration::GoDuration;
    use crate::machine::{Machine, check};
    use crate::schema::{KvEntry, Session};

    const MINUTE: Duration = Duration::from_mins(1);
    /// No key of a table is longer, with all that is put around it.
    const LONGEST: usize = 4096;

    fn all() -> [Due; 4] {
        let of = || ("n".to_owned(), "beat".to_owned());
        [
            Due::End(Uuid::nil()),
            Due::Fail(of()),
            Due::Deregister(of()),
            Due::Unlock("key".to_owned()),
        ]
    }

    fn left(machine: &Machine) -> Vec<Due> {
        let db = machine.store.snapshot();
        db.deadlines().iter().map(|row| row.due.clone()).collect()
    }

    #[test]
    fn another_that_lets_time_pass_gives_it_anew() {
        let mut machine = Machine::default();
        machine.edit(|txn| txn.checks_mut().upsert(check("n", "beat")));
        machine.edit(|txn| txn.sessions_mut().insert(session(Uuid::nil())));
        let (at, time) = (machine.now + MINUTE, MINUTE);
        for due in all() {
            machine.edit(|txn| txn.deadlines_mut().upsert(Deadline { due, at, time }));
        }
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

    #[test]
    fn to_begin_costs_the_same_however_much_there_is() {
        let mut machine = Machine::default();
        for key in 0..1000_u128 {
            let (id, at, time) = (Uuid::from_u128(key), machine.now + MINUTE, MINUTE);
            let due = Due::End(id);
            machine.edit(|txn| txn.sessions_mut().insert(session(id)));
            machine.edit(|txn| txn.deadlines_mut().upsert(Deadline { due, at, time }));
        }
        machine.pass(MINUTE);
        let before = machine.store.snapshot().deadlines().log_index();
        machine.done(&Command::Begin);
        assert_eq!(machine.store.snapshot().deadlines().log_index(), before);
        // Each entry puts off some of it, and does nothing that is put off.
        while machine.store.snapshot().deadlines().next_due() <= Some(machine.now) {
            machine.done(&Command::Expire);
            assert_eq!(left(&machine).len(), 1000);
        }
        machine.pass(MINUTE);
        while !left(&machine).is_empty() {
            machine.done(&Command::Expire);
        }
    }

    fn session(id: Uuid) -> Session {
        Session {
            id,
            node: "n".to_owned(),
            lock_delay: GoDuration(MINUTE),
            ttl: GoDuration(MINUTE),
            ..Session::default()
        }
    }

    /// A session that has a key locked; whether there can be such a lock.
    fn lock(machine: &mut Machine, id: Uuid, key: &str) -> bool {
        machine.edit(|txn| txn.sessions_mut().insert(session(id)));
        let locked = KvEntry {
            key: key.to_owned(),
            session: Some(id),
            ..KvEntry::default()
        };
        let mut locks = false;
        machine.edit(|txn| {
            locks = txn.kv_mut().insert(locked).is_ok();
            Ok::<_, WriteError>(())
        });
        locks
    }

    /// Both are due in one entry; the key is unlocked by the first.
    #[test]
    fn what_is_set_anew_meanwhile_is_not_done() {
        let mut machine = Machine::default();
        let id = Uuid::from_u128(7);
        assert!(lock(&mut machine, id, "key"));
        let (at, time) = (machine.now, MINUTE);
        for due in [Due::End(id), Due::Unlock("key".to_owned())] {
            machine.edit(|txn| txn.deadlines_mut().upsert(Deadline { due, at, time }));
        }
        machine.done(&Command::Expire);
        assert_eq!(left(&machine), [Due::Unlock("key".to_owned())]);
    }

    /// No session is kept from its end by what it has locked: that would hold up all that is due.
    #[test]
    fn whatever_can_be_locked_is_unlocked() {
        let mut longest = 0;
        for len in LONGEST - 64..=LONGEST {
            let mut machine = Machine::default();
            let (id, key) = (Uuid::from_u128(7), "k".repeat(len));
            if lock(&mut machine, id, &key) {
                machine.done(&Command::DestroySession(id));
                assert_eq!(left(&machine), [Due::Unlock(key)]);
                longest = len;
            }
        }
        assert!((LONGEST - 64..LONGEST).contains(&longest));
    }
}
