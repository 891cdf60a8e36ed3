//! Nodes, services and checks: they come, change, and leave with all that is on them.

use std::time::Duration;

use highwater::fsm::Context;
use highwater::{Row, WriteError, WriteTxn};
use serde::{Deserialize, Serialize};

use crate::command::{Rejected, Reply};
use crate::schema::{Catalog, Check, CheckId, Due, Node, Service, Status};
use crate::{deadlines, sessions};

/// The kind of the checks that somebody reports on.
pub const TTL: &str = "ttl";
/// No service is deregistered sooner, whatever its check says.
const LEAST_CRITICAL: Duration = Duration::from_mins(1);

/// A node with services and checks on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    pub node: Node,
    /// Leave the node as it is, if it is there.
    pub skip_node_update: bool,
    pub service: Option<Service>,
    pub checks: Vec<Check>,
    /// A check that is there already keeps its status and output.
    pub keep_status: bool,
    /// The service's checks that are not named here go.
    pub replace_checks: bool,
}

/// What leaves, of a node with this name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Deregistration {
    /// With all that is on it.
    Node(String),
    /// The service with this ID, with its checks.
    Service(String, String),
    /// The check with this ID.
    Check(String, String),
}

impl Registration {
    pub fn apply(self, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
        let node = self.node.name.clone();
        if !(self.skip_node_update && txn.nodes().contains(&node)) {
            txn.nodes_mut().upsert(self.node)?;
        }
        if let Some(service) = self.service {
            if self.replace_checks {
                remove_checks(&node, &service.id, &self.checks, context, txn)?;
            }
            txn.services_mut().upsert(service)?;
        }
        for mut check in self.checks {
            let service = (&node, &check.service_id);
            if !check.service_id.is_empty() && !txn.services().contains(service) {
                return Err(Rejected::unknown("service", &check.service_id));
            }
            if self.keep_status
                && let Some(known) = txn.checks().get((&node, &check.id))
            {
                check.status = known.status;
                check.output.clone_from(&known.output);
            }
            put(check, context, txn)?;
        }
        Ok(Reply::Done)
    }
}

impl Deregistration {
    pub fn apply(self, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
        Ok(Reply::Was(match self {
            Deregistration::Node(node) => {
                sessions::end_all(|sessions| sessions.by_node(&node), context, txn)?;
                txn.nodes_mut().delete(&node)?.is_some()
            }
            Deregistration::Service(node, id) => {
                remove_checks(&node, &id, &[], context, txn)?;
                txn.services_mut().delete((&node, &id))?.is_some()
            }
            Deregistration::Check(node, id) => remove(&(node, id), context, txn)?,
        }))
    }
}

/// Stores a check, and sets what is due for it. The sessions of one that is critical end.
fn put(check: Check, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), WriteError> {
    follow(&check, context, txn)?;
    if check.status == Status::Critical {
        sessions::end_all(|sessions| sessions.by_check(check.key()), context, txn)?;
    }
    txn.checks_mut().upsert(check)?;
    Ok(())
}

/// Takes a check away, and ends its sessions; whether it was there.
fn remove(
    check: &CheckId,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<bool, WriteError> {
    sessions::end_all(|sessions| sessions.by_check(check), context, txn)?;
    Ok(txn.checks_mut().delete(check)?.is_some())
}

/// Takes away the checks of a service, but for those that are `kept`.
fn remove_checks(
    node: &str,
    service: &str,
    kept: &[Check],
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<(), WriteError> {
    let checks = txn.checks().by_service((node, service));
    let gone = checks.filter(|check| kept.iter().all(|kept| kept.id != check.id));
    let gone: Vec<CheckId> = gone.map(|check| check.key()).collect();
    let mut gone = gone.iter();
    gone.try_for_each(|check| remove(check, context, txn).map(drop))
}

/// Sets what is due when nothing more is heard of a check: nothing, if it is not an agent's.
fn follow(check: &Check, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), WriteError> {
    let ttl = if is_reported(check) && check.status != Status::Critical {
        check.definition.ttl.0
    } else {
        Duration::ZERO
    };
    deadlines::set(Due::Fail(check.key()), ttl, context, txn)?;

    let due = Due::Deregister(check.key());
    let after = check.definition.deregister_critical_service_after.0;
    if !is_fatal(check) || after.is_zero() {
        return deadlines::clear(&due, txn);
    }
    let after = after.max(LEAST_CRITICAL);
    match txn.deadlines().get(&due) {
        // It is critical still, and time runs.
        Some(running) if running.time == after => Ok(()),
        _ => deadlines::set(due, after, context, txn),
    }
}

/// Whether an agent is told how it is.
fn is_reported(check: &Check) -> bool {
    check.own && check.kind == TTL
}

/// Whether its service goes, if it is so for long.
fn is_fatal(check: &Check) -> bool {
    check.own && check.status == Status::Critical && !check.service_id.is_empty()
}

/// What an agent says of a check of its own.
pub fn report(
    check: &CheckId,
    status: Status,
    output: String,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<Reply, Rejected> {
    let known = txn.checks().get(check).map(Row::to_record);
    let known = known.ok_or_else(|| Rejected::unknown("check", &check.1))?;
    let check = Check {
        status,
        output,
        ..known
    };
    put(check, context, txn)?;
    Ok(Reply::Done)
}

/// Nobody has reported on a check in time.
pub fn fail(
    check: &CheckId,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<(), Rejected> {
    let known = txn.checks().get(check);
    if known.is_some_and(|known| is_reported(known)) {
        let output = "TTL expired".to_owned();
        report(check, Status::Critical, output, context, txn)?;
    }
    Ok(())
}

/// A check has been critical for too long: its service goes.
pub fn give_up(
    check: &CheckId,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<(), Rejected> {
    let known = txn.checks().get(check).filter(|known| is_fatal(known));
    if let Some(service) = known.map(|known| known.service_id.clone()) {
        Deregistration::Service(check.0.clone(), service).apply(context, txn)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::duration::GoDuration;
    use crate::machine::{Machine, check, node, service};
    use crate::schema::{Deadline, Definition};

    const MINUTE: Duration = Duration::from_mins(1);

    fn definition(ttl: Duration, after: Duration) -> Definition {
        Definition {
            ttl: GoDuration(ttl),
            deregister_critical_service_after: GoDuration(after),
            ..Definition::default()
        }
    }

    /// A service with a TTL check, of an agent.
    fn web(status: Status, ttl: Duration, after: Duration) -> Registration {
        Registration {
            node: node("n"),
            skip_node_update: true,
            service: Some(service("n", "web")),
            checks: vec![Check {
                status,
                service_id: "web".to_owned(),
                kind: TTL.to_owned(),
                definition: definition(ttl, after),
                own: true,
                ..check("n", "beat")
            }],
            keep_status: true,
            ..Registration::default()
        }
    }

    fn register(machine: &mut Machine, registration: Registration) {
        machine.done(&Command::Register(Box::new(registration)));
    }

    fn status(machine: &Machine) -> Option<Status> {
        let db = machine.store.snapshot();
        db.checks().get(("n", "beat")).map(|check| check.status)
    }

    #[test]
    fn what_was_due_goes_with_a_check() {
        let node = || "n".to_owned();
        for gone in [
            Deregistration::Service(node(), "web".to_owned()),
            Deregistration::Check(node(), "beat".to_owned()),
            Deregistration::Node(node()),
        ] {
            // It would have been critical, or deregistered.
            for status in [Status::Passing, Status::Critical] {
                let mut machine = Machine::default();
                register(&mut machine, web(status, MINUTE, 2 * MINUTE));
                assert!(!machine.store.snapshot().deadlines().is_empty());
                machine.done(&Command::Deregister(gone.clone()));
                let db = machine.store.snapshot();
                assert!(db.deadlines().is_empty(), "{gone:?}");
            }
        }
    }

    #[test]
    fn a_check_that_the_agent_no_longer_makes_does_not_expire() {
        let mut machine = Machine::default();
        register(&mut machine, web(Status::Passing, MINUTE, 2 * MINUTE));
        let mut elsewhere = web(Status::Passing, MINUTE, 2 * MINUTE);
        elsewhere.checks[0].own = false;
        register(&mut machine, elsewhere);
        machine.pass(3 * MINUTE);
        machine.done(&Command::Expire);
        assert_eq!(status(&machine), Some(Status::Passing));
    }

    #[test]
    fn the_time_that_a_check_may_be_critical_is_that_of_the_last_registration() {
        let mut machine = Machine::default();
        let ill = |after| web(Status::Critical, 10 * MINUTE, after);
        register(&mut machine, ill(5 * MINUTE));
        machine.pass(2 * MINUTE);
        // The same again does not prolong it, nor does a report.
        register(&mut machine, ill(5 * MINUTE));
        let beat = ("n".to_owned(), "beat".to_owned());
        machine.done(&Command::Report(beat, Status::Critical, "still".to_owned()));
        machine.pass(3 * MINUTE);
        machine.done(&Command::Expire);
        assert_eq!(status(&machine), None);

        register(&mut machine, ill(5 * MINUTE));
        machine.pass(2 * MINUTE);
        register(&mut machine, ill(9 * MINUTE));
        machine.pass(4 * MINUTE);
        machine.done(&Command::Expire);
        assert_eq!(status(&machine), Some(Status::Critical));
        machine.pass(5 * MINUTE);
        machine.done(&Command::Expire);
        assert_eq!(status(&machine), None);
    }

    /// What is due is done to what there is by then.
    #[test]
    fn what_is_due_no_longer_is_not_done() {
        let mut machine = Machine::default();
        let mut well = web(Status::Passing, MINUTE, MINUTE);
        well.checks[0].kind = "http".to_owned();
        register(&mut machine, well);
        let of = || ("n".to_owned(), "beat".to_owned());
        let at = machine.now;
        for due in [Due::Fail(of()), Due::Deregister(of())] {
            let time = MINUTE;
            machine.edit(|txn| txn.deadlines_mut().upsert(Deadline { due, at, time }));
        }
        machine.pass(MINUTE);
        machine.done(&Command::Expire);
        assert_eq!(status(&machine), Some(Status::Passing));
        assert!(machine.store.snapshot().deadlines().is_empty());
    }
}
