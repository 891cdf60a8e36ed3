//! The commands of the log, and what each does to the tables.

use std::fmt;

use highwater::fsm::{self, Context};
use highwater::{WriteError, WriteTxn};
use serde::{Deserialize, Serialize};

use crate::kv::{self, KvOp, KvPair, TxnError};
use crate::schema::{Catalog, Check, Node, Service, Status};

/// A change of the catalog, as it is written to the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// One operation on the key/value store.
    Kv(KvOp),
    /// Several, all or none.
    Txn(Vec<KvOp>),
    Register(Box<Registration>),
    Deregister(Deregistration),
    UpdateCheck {
        node: String,
        check: String,
        status: Status,
        output: String,
    },
}

/// A node with services and checks on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// What leaves: a service with its checks, a check, or else a node with all that is on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deregistration {
    pub node: String,
    pub service: Option<String>,
    pub check: Option<String>,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    /// Deregistered: whether it was there.
    Was(bool),
    /// What the operations on the key/value store returned.
    Pairs(Vec<KvPair>),
}

/// Why a command was refused; it has changed nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rejected {
    /// The record has another modify index than was expected.
    Stale,
    Absent,
    Exists,
    Txn(Vec<TxnError>),
    UnknownService(String),
    UnknownCheck(String),
    /// A name longer than a key may be.
    Invalid(String),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::Stale => f.write_str("index is stale"),
            Rejected::Absent => f.write_str("it doesn't exist"),
            Rejected::Exists => f.write_str("it exists"),
            Rejected::Txn(errors) => write!(f, "{} operations were refused", errors.len()),
            Rejected::UnknownService(id) => write!(
                f,
                "Unknown service ID {id:?}. Ensure that the service ID is passed, not the service name."
            ),
            Rejected::UnknownCheck(id) => write!(
                f,
                "Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name."
            ),
            Rejected::Invalid(why) => f.write_str(why),
        }
    }
}

impl From<WriteError> for Rejected {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict { .. } => Rejected::Stale,
            other => Rejected::Invalid(other.to_string()),
        }
    }
}

impl fsm::Command<Catalog> for Command {
    type Reply = Reply;
    type Error = Rejected;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
        match self {
            Command::Kv(op) => kv::apply(op, txn).map(Reply::Pairs),
            Command::Txn(ops) => kv::apply_all(ops, txn).map(Reply::Pairs),
            Command::Register(registration) => registration.apply(txn),
            Command::Deregister(deregistration) => deregistration.apply(txn),
            Command::UpdateCheck {
                node,
                check,
                status,
                output,
            } => {
                let updated = txn.checks_mut().update_with((&node, &check), |check| {
                    check.status = status;
                    check.output = output;
                });
                match updated {
                    Err(WriteError::NotFound { .. }) => Err(Rejected::UnknownCheck(check)),
                    updated => Ok(updated.map(|_| Reply::Done)?),
                }
            }
        }
    }
}

impl Registration {
    fn apply(self, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
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
                        txn.checks_mut().delete((&check.node, &check.id))?;
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
            txn.checks_mut().upsert(check)?;
        }
        Ok(Reply::Done)
    }
}

impl Deregistration {
    fn apply(self, txn: &mut WriteTxn<Catalog>) -> Result<Reply, Rejected> {
        let Deregistration {
            node,
            service,
            check,
        } = self;
        let was = match (service, check) {
            (Some(service), _) => {
                let of = (&node, &service);
                txn.checks_mut()
                    .delete_query(|checks| checks.by_service(of))?;
                txn.services_mut().delete((&node, &service))?.is_some()
            }
            (None, Some(check)) => txn.checks_mut().delete((&node, &check))?.is_some(),
            (None, None) => {
                txn.checks_mut()
                    .delete_query(|checks| checks.leading(&node))?;
                txn.services_mut()
                    .delete_query(|services| services.leading(&node))?;
                txn.nodes_mut().delete(&node)?.is_some()
            }
        };
        Ok(Reply::Was(was))
    }
}
