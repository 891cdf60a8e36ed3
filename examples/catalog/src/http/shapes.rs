//! Nodes, services, checks and sessions as Consul's clients expect them.

use highwater::Row;
use serde_json::{Value, json};

use crate::app::DATACENTER;
use crate::duration::GoDuration;
use crate::schema::{CatalogView, Check, Node, Service, Session};

pub fn node(node: &Row<Node>) -> Value {
    json!({
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": DATACENTER,
        "TaggedAddresses": node.tagged_addresses,
        "Meta": node.meta,
        "CreateIndex": node.create_index(),
        "ModifyIndex": node.modify_index(),
    })
}

/// A service as a part of its node.
pub fn service(service: &Row<Service>) -> Value {
    json!({
        "Kind": service.kind,
        "ID": service.id,
        "Service": service.name,
        "Tags": service.tags,
        "Meta": service.meta,
        "Port": service.port,
        "Address": service.address,
        "TaggedAddresses": service.tagged_addresses,
        "Weights": service.weights,
        "EnableTagOverride": service.enable_tag_override,
        "Datacenter": DATACENTER,
        "CreateIndex": service.create_index(),
        "ModifyIndex": service.modify_index(),
    })
}

/// A service together with its node.
pub fn service_node(service: &Row<Service>, node: &Row<Node>) -> Value {
    json!({
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": DATACENTER,
        "TaggedAddresses": node.tagged_addresses,
        "NodeMeta": node.meta,
        "ServiceKind": service.kind,
        "ServiceID": service.id,
        "ServiceName": service.name,
        "ServiceTags": service.tags,
        "ServiceAddress": service.address,
        "ServiceTaggedAddresses": service.tagged_addresses,
        "ServiceWeights": service.weights,
        "ServiceMeta": service.meta,
        "ServicePort": service.port,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "CreateIndex": service.create_index(),
        "ModifyIndex": service.modify_index(),
    })
}

/// A check with the name and tags of the service it is of.
pub fn check(db: &CatalogView, check: &Row<Check>) -> Value {
    let service = db.services().get((&check.node, &check.service_id));
    json!({
        "Node": check.node,
        "CheckID": check.id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": service.map(|service| service.name.as_str()).unwrap_or_default(),
        "ServiceTags": service.map(|service| service.tags.as_slice()).unwrap_or_default(),
        "Type": check.kind,
        "Interval": given(check.definition.interval),
        "Timeout": given(check.definition.timeout),
        "ExposedPort": 0,
        "Definition": check.definition,
        "CreateIndex": check.create_index(),
        "ModifyIndex": check.modify_index(),
    })
}

/// A duration, or nothing for one that was not given.
fn given(duration: GoDuration) -> String {
    if duration.is_zero() {
        String::new()
    } else {
        duration.to_string()
    }
}

pub fn session(session: &Row<Session>) -> Value {
    let nanos = u64::try_from(session.lock_delay.0.as_nanos()).unwrap_or(u64::MAX);
    let service_checks = session.service_checks.iter();
    json!({
        "ID": session.id,
        "Name": session.name,
        "Node": session.node,
        "LockDelay": nanos,
        "Behavior": session.behavior,
        "TTL": given(session.ttl),
        "NodeChecks": session.node_checks,
        "ServiceChecks": service_checks
            .map(|id| json!({ "ID": id, "Namespace": "" }))
            .collect::<Vec<_>>(),
        "CreateIndex": session.create_index(),
        "ModifyIndex": session.modify_index(),
    })
}
