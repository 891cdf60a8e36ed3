//! The tables: keys and values, nodes, services, health checks.

use std::collections::BTreeMap;

use bytes::Bytes;
use highwater::{Key, Schema, Table};
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;

/// Everything the catalog knows.
#[derive(Debug, Schema)]
pub struct Catalog {
    kv: KvEntry,
    nodes: Node,
    services: Service,
    checks: Check,
}

/// One key of the key/value store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "kv")]
pub struct KvEntry {
    #[primary_key]
    pub key: String,
    pub value: Bytes,
    pub flags: u64,
}

/// A machine that services run on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "nodes")]
pub struct Node {
    #[primary_key]
    pub name: String,
    pub id: String,
    pub address: String,
    pub tagged_addresses: BTreeMap<String, String>,
    pub meta: BTreeMap<String, String>,
}

/// An instance of a service on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "services")]
pub struct Service {
    #[primary_key]
    pub node: String,
    #[primary_key]
    pub id: String,
    #[index]
    pub name: String,
    pub kind: String,
    pub tags: Vec<String>,
    pub address: String,
    pub port: i64,
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    pub meta: BTreeMap<String, String>,
    pub weights: Weights,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "checks")]
#[index(by_service(node, service_id))]
pub struct Check {
    #[primary_key]
    pub node: String,
    #[primary_key]
    pub id: String,
    pub name: String,
    #[index]
    pub status: Status,
    pub notes: String,
    pub output: String,
    /// Empty: of the node as a whole.
    pub service_id: String,
    pub kind: String,
    pub definition: Definition,
}

/// The state of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Key)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Passing,
    Warning,
    Critical,
}

/// How a check is made. The agent makes its own checks (see `timers.rs`); of those that were
/// registered from elsewhere this is data for whoever makes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Definition {
    #[serde(
        rename = "HTTP",
        alias = "http",
        skip_serializing_if = "String::is_empty"
    )]
    pub http: String,
    #[serde(alias = "header", skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, Vec<String>>,
    #[serde(alias = "method", skip_serializing_if = "String::is_empty")]
    pub method: String,
    #[serde(alias = "body", skip_serializing_if = "String::is_empty")]
    pub body: String,
    #[serde(
        rename = "TLSSkipVerify",
        alias = "tlsskipverify",
        skip_serializing_if = "is_false"
    )]
    pub tls_skip_verify: bool,
    #[serde(
        rename = "TCP",
        alias = "tcp",
        skip_serializing_if = "String::is_empty"
    )]
    pub tcp: String,
    #[serde(
        rename = "TTL",
        alias = "ttl",
        skip_serializing_if = "GoDuration::is_zero"
    )]
    pub ttl: GoDuration,
    #[serde(alias = "interval", skip_serializing_if = "GoDuration::is_zero")]
    pub interval: GoDuration,
    #[serde(alias = "timeout", skip_serializing_if = "GoDuration::is_zero")]
    pub timeout: GoDuration,
    #[serde(
        alias = "deregistercriticalserviceafter",
        skip_serializing_if = "GoDuration::is_zero"
    )]
    pub deregister_critical_service_after: GoDuration,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
