//! Nodes, services, checks, sessions and events as Consul's clients expect them.

use highwater::Row;
use serde_json::{Map, Value, json};

use crate::app::DATACENTER;
use crate::base64_or_null;
use crate::schema::{CatalogView, Check, Definition, Event, Node, Service, Session};

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

/// The services of a node, by id.
pub fn services_of(db: &CatalogView, node: &str) -> Map<String, Value> {
    let services = db.services().leading(node);
    let by_id = services.map(|of_node| (of_node.id.clone(), service(of_node)));
    by_id.collect()
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
        "Interval": check.definition.interval,
        "Timeout": check.definition.timeout,
        "ExposedPort": 0,
        "Definition": given(&check.definition),
        "CreateIndex": check.create_index(),
        "ModifyIndex": check.modify_index(),
    })
}

/// What was said of how a check is made.
fn given(definition: &Definition) -> Value {
    let mut value = json!(definition);
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| *member != "" && *member != false && *member != json!({}));
    }
    value
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
        "TTL": session.ttl,
        "NodeChecks": session.node_checks,
        "ServiceChecks": service_checks
            .map(|id| json!({ "ID": id, "Namespace": "" }))
            .collect::<Vec<_>>(),
        "CreateIndex": session.create_index(),
        "ModifyIndex": session.modify_index(),
    })
}

pub fn event(event: &Event) -> Value {
    json!({
        "ID": event.id,
        "Name": event.name,
        "Payload": base64_or_null::encode(&event.payload),
        "NodeFilter": event.node_filter,
        "ServiceFilter": event.service_filter,
        "TagFilter": event.tag_filter,
        "Version": 1,
        "LTime": event.number,
    })
}
