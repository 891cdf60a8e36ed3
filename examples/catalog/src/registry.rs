//! Nodes, services and checks: they come, change, and leave with all that is on them.

use std::time::Duration;

use highwater::fsm::Context;
use highwater::{WriteError, WriteTxn};
use serde::{Deserialize, Serialize};

use crate::command::{Rejected, Reply};
use crate::schema::{Catalog, Check, Due, Node, Service, Status};
use crate::{deadlines, sessions};

/// The kind of the checks that somebody reports on.
pub const TTL: &str = "ttl";
/// No service is deregistered sooner, whatever its check says.
const LEAST_CRITICAL: Duration = Duration::from_mins(1);

/// A node with services and checks on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    pub node: Node,
    /// Leave the node as it is, if it is there.
    pub skip_node_update: bool,
    pub service: Option<Service>,
    pub checks: Vec<Check>,
    /// The checks are those of an agent: one that is there already keeps its status and output,
    /// and time passes for them.
    pub keep_status: bool,
    /// The service's checks that are not named here go.
    pub replace_checks: bool,
}

/// What leaves: a service with its checks, a check, or else a node with all that is on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deregistration {
    pub node: String,
    pub service: Option<String>,
    pub check: Option<String>,
}

impl Registration {
    pub fn apply(self, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
        let node = self.node.name.clone();
        if !(self.skip_node_update && txn.nodes().contains(&node)) {
            txn.nodes_mut().upsert(self.node)?;
        }
        if let Some(service) = self.service {
            if self.replace_checks {
                let of = (&node, &service.id);
                let known: Vec<_> = txn.checks().by_service(of).cloned().collect();
                for check in known {
                    if self.checks.iter().all(|kept| kept.id != check.id) {
                        remove(&node, &check.id, context, txn)?;
                    }
                }
            }
            txn.services_mut().upsert(service)?;
        }
        for mut check in self.checks {
            if !check.service_id.is_empty() && !txn.services().contains((&node, &check.service_id))
            {
                return Err(Rejected::UnknownService(check.service_id));
            }
            if self.keep_status
                && let Some(known) = txn.checks().get((&node, &check.id))
            {
                check.status = known.status;
                check.output.clone_from(&known.output);
            }
            if self.keep_status {
                follow(&check, context, txn)?;
            }
            put(check, context, txn)?;
        }
        Ok(Reply::Done)
    }
}

impl Deregistration {
    pub fn apply(self, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
        let Deregistration {
            node,
            service,
            check,
        } = self;
        let was = match (service, check) {
            (Some(service), _) => {
                let checks = txn.checks().by_service((&node, &service));
                for check in checks.map(|check| check.id.clone()).collect::<Vec<_>>() {
                    end_sessions(&node, &check, context, txn)?;
                }
                // With its checks.
                txn.services_mut().delete((&node, &service))?.is_some()
            }
            (None, Some(check)) => remove(&node, &check, context, txn)?,
            (None, None) => {
                sessions::end_all(|sessions| sessions.by_node(&node), context, txn)?;
                // With all that is on it.
                txn.nodes_mut().delete(&node)?.is_some()
            }
        };
        Ok(Reply::Was(was))
    }
}

/// Stores a check. The sessions of one that is critical end.
fn put(check: Check, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), WriteError> {
    if check.status == Status::Critical {
        end_sessions(&check.node, &check.id, context, txn)?;
    }
    txn.checks_mut().upsert(check)?;
    Ok(())
}

/// Takes a check away; whether it was there.
fn remove(
    node: &str,
    check: &str,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<bool, WriteError> {
    end_sessions(node, check, context, txn)?;
    Ok(txn.checks_mut().delete((node, check))?.is_some())
}

fn end_sessions(
    node: &str,
    check: &str,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<(), WriteError> {
    sessions::end_all(|sessions| sessions.by_check((node, check)), context, txn)
}

/// Sets what is due when nothing more is heard of an agent's check.
fn follow(check: &Check, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), WriteError> {
    let critical = check.status == Status::Critical;
    let of = || (check.node.clone(), check.id.clone());
    let (node, id) = of();
    let expires = check.kind == TTL && !critical;
    let ttl = if expires {
        check.definition.ttl.0
    } else {
        Duration::ZERO
    };
    deadlines::set(Due::Fail(node, id), ttl, context, txn)?;

    let (node, id) = of();
    let due = Due::Deregister(node, id);
    let after = check.definition.deregister_critical_service_after.0;
    if !critical || check.service_id.is_empty() || after.is_zero() {
        deadlines::clear(&due, txn)
    } else if txn.deadlines().contains(&due) {
        // A report that it is critical still does not prolong this.
        Ok(())
    } else {
        deadlines::set(due, after.max(LEAST_CRITICAL), context, txn)
    }
}

/// What an agent says of a check of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub node: String,
    pub check: String,
    pub status: Status,
    pub output: String,
}

impl Report {
    pub fn apply(self, context: &Context, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
        let Some(known) = txn.checks().get((&self.node, &self.check)) else {
            return Err(Rejected::UnknownCheck(self.check));
        };
        let mut check = Check::clone(known);
        check.status = self.status;
        check.output = self.output;
        follow(&check, context, txn)?;
        put(check, context, txn)?;
        Ok(Reply::Done)
    }
}

/// Nobody has reported on a check in time.
pub fn fail(
    node: String,
    check: String,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<(), Rejected> {
    if !txn.checks().contains((&node, &check)) {
        return Ok(());
    }
    let report = Report {
        node,
        check,
        status: Status::Critical,
        output: "TTL expired".to_owned(),
    };
    report.apply(context, txn).map(drop)
}

/// A check has been critical for too long: its service goes.
pub fn give_up(
    node: String,
    check: &str,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<(), Rejected> {
    let Some(known) = txn.checks().get((&node, check)) else {
        return Ok(());
    };
    let service = Deregistration {
        service: Some(known.service_id.clone()),
        check: None,
        node,
    };
    service.apply(context, txn).map(drop)
}
