//! The tables: keys and values, sessions that lock them, nodes, services, health checks, events,
//! and what is due when.
//!
//! Nodes, services and checks are read of a request as they are of an image; the other names of their fields
//! are those that clients have for them.
//!
//! The references say what belongs to what: what is on a node goes with it, the checks of a service
//! go with it, what a session had locked is unlocked when it ends, and what was due for a session or
//! a check goes with it. A session refers to its node and its checks, and these must not go before it
//! has been ended: see `sessions.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use highwater::{Key, Schema, Table};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::duration::GoDuration;

/// Everything the catalog knows.
#[derive(Debug, Schema)]
pub struct Catalog {
    kv: KvEntry,
    sessions: Session,
    nodes: Node,
    services: Service,
    checks: Check,
    events: Event,
    deadlines: Deadline,
    beginning: Beginning,
}

/// One key of the key/value store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "kv")]
pub struct KvEntry {
    #[primary_key]
    pub key: String,
    pub value: Bytes,
    pub flags: u64,
    /// How often it was locked.
    #[serde(default)]
    pub lock_index: u64,
    /// Who has it locked.
    #[serde(default)]
    #[index(sparse, references = Session, set_null)]
    pub session: Option<Uuid>,
}

/// Somebody who locks keys, for as long as a node and its checks are well and he says that he is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "sessions")]
#[index(references = Check, by_check(node, each(with = Self::checks -> Vec<String>)))]
pub struct Session {
    #[primary_key]
    pub id: Uuid,
    pub name: String,
    #[index(references = Node)]
    pub node: String,
    /// For so long after its end nobody can lock what it had locked.
    pub lock_delay: GoDuration,
    pub behavior: Behavior,
    /// Zero: it ends by its checks alone.
    pub ttl: GoDuration,
    pub node_checks: Vec<String>,
    pub service_checks: Vec<String>,
}

impl Session {
    pub fn checks(&self) -> Vec<String> {
        [&*self.node_checks, &*self.service_checks].concat()
    }
}

/// What becomes of the keys that a session had locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Behavior {
    /// They are unlocked.
    #[default]
    Release,
    Delete,
}

/// A machine that services run on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "nodes")]
#[serde(default)]
pub struct Node {
    #[primary_key]
    #[serde(alias = "node")]
    pub name: String,
    pub id: String,
    pub address: String,
    #[serde(alias = "taggedaddresses")]
    pub tagged_addresses: BTreeMap<String, String>,
    #[serde(alias = "nodemeta")]
    pub meta: BTreeMap<String, String>,
}

/// An instance of a service on a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "services")]
#[serde(default)]
pub struct Service {
    #[primary_key]
    #[index(name = "host", references = Node, cascade)]
    pub node: String,
    #[primary_key]
    pub id: String,
    #[index]
    #[serde(alias = "service")]
    pub name: String,
    pub kind: String,
    pub tags: Vec<String>,
    pub address: String,
    pub port: i64,
    #[serde(alias = "taggedaddresses")]
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    pub meta: BTreeMap<String, String>,
    pub weights: Weights,
    #[serde(alias = "enabletagoverride")]
    pub enable_tag_override: bool,
}

/// Where else a service can be reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ServiceAddress {
    #[serde(alias = "address")]
    pub address: String,
    #[serde(alias = "port")]
    pub port: i64,
}

/// A service's share of the load, by state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Weights {
    #[serde(alias = "passing")]
    pub passing: i64,
    #[serde(alias = "warning")]
    pub warning: i64,
}

impl Default for Weights {
    fn default() -> Self {
        Weights {
            passing: 1,
            warning: 1,
        }
    }
}

/// A health check of a node, or, with a `service_id`, of a service on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "checks")]
#[serde(default)]
#[index(references = Service, cascade, when = Self::is_of_service, by_service(node, service_id))]
pub struct Check {
    #[primary_key]
    #[index(name = "host", references = Node, cascade)]
    #[index(name = "node_alone", when = Self::is_of_node)]
    pub node: String,
    #[primary_key]
    #[index(name = "own_id", when = Self::is_own)]
    #[serde(alias = "checkid")]
    pub id: String,
    pub name: String,
    #[index]
    pub status: Status,
    pub notes: String,
    pub output: String,
    /// Empty: of the node as a whole.
    #[serde(alias = "serviceid")]
    pub service_id: String,
    #[serde(alias = "type")]
    pub kind: String,
    pub definition: Definition,
    /// Its node's agent makes it, or is reported to. Otherwise somebody else makes it.
    pub own: bool,
}

impl Check {
    pub fn key(&self) -> CheckId {
        (self.node.clone(), self.id.clone())
    }

    fn is_of_service(&self) -> bool {
        !self.service_id.is_empty()
    }

    fn is_of_node(&self) -> bool {
        !self.is_of_service()
    }

    fn is_own(&self) -> bool {
        self.own
    }
}

/// A check's node and its own ID.
pub type CheckId = (String, String);

/// The ID of the check of each node that says whether its agent is there.
pub const ALIVE: &str = "serfHealth";

/// The state of a check: critical, until somebody says otherwise.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Key,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Passing,
    Warning,
    #[default]
    Critical,
}

/// How a check is made. The agent makes its own checks (see `prober.rs`); of others this is data for
/// whoever makes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Definition {
    #[serde(rename = "HTTP", alias = "http")]
    pub http: String,
    #[serde(alias = "header")]
    pub header: BTreeMap<String, Vec<String>>,
    #[serde(alias = "method")]
    pub method: String,
    #[serde(alias = "body")]
    pub body: String,
    #[serde(rename = "TLSSkipVerify", alias = "tlsskipverify")]
    pub tls_skip_verify: bool,
    #[serde(rename = "TCP", alias = "tcp")]
    pub tcp: String,
    #[serde(rename = "TTL", alias = "ttl")]
    pub ttl: GoDuration,
    #[serde(alias = "interval")]
    pub interval: GoDuration,
    #[serde(alias = "timeout")]
    pub timeout: GoDuration,
    #[serde(alias = "deregistercriticalserviceafter")]
    pub deregister_critical_service_after: GoDuration,
}

/// What somebody wanted all to know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "events")]
pub struct Event {
    /// Events have consecutive numbers.
    #[primary_key]
    pub number: u64,
    pub id: Uuid,
    #[index]
    pub name: String,
    pub payload: Bytes,
    pub node_filter: String,
    pub service_filter: String,
    pub tag_filter: String,
}

/// What is done when the log's clock has come so far, unless it is put off, or what it is of goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "deadlines")]
#[index(references = Session, cascade, by_session(sparse(with = Self::session -> Option<Uuid>)))]
#[index(references = Check, cascade, by_check(sparse(with = Self::check -> Option<CheckId>)))]
pub struct Deadline {
    #[primary_key]
    pub due: Due,
    #[expires]
    pub at: SystemTime,
    /// How far it is put off each time.
    pub time: Duration,
}

impl Deadline {
    fn session(&self) -> Option<Uuid> {
        match self.due {
            Due::End(session) => Some(session),
            _ => None,
        }
    }

    fn check(&self) -> Option<CheckId> {
        match &self.due {
            Due::Fail(check) | Due::Deregister(check) => Some(check.clone()),
            _ => None,
        }
    }
}

/// When somebody began to let time pass, the last time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "beginning")]
pub struct Beginning {
    /// There is one.
    #[primary_key]
    pub only: (),
    pub at: SystemTime,
}

/// What can be due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Key)]
pub enum Due {
    /// A session that was not renewed ends.
    End(Uuid),
    /// A check that nobody has reported on is critical.
    Fail(CheckId),
    /// The service of a check that has been critical for too long goes.
    Deregister(CheckId),
    /// A key whose session has ended can be locked again.
    Unlock(String),
}
