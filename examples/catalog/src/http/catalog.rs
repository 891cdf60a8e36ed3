//! `/v1/catalog/`: nodes and services, registered from anywhere.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Response;
use highwater::Row;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Answered, HttpError, require};
use super::request::{Asked, JsonBody, own_datacenter};
use super::shapes;
use crate::app::DATACENTER;
use crate::command::Command;
use crate::registry::{Deregistration, Registration};
use crate::schema::{CatalogView, Check, Node, Service};

pub async fn datacenters(asked: Asked) -> Response {
    asked.json(&[DATACENTER])
}

pub fn nodes(db: &CatalogView, asked: &Asked) -> Vec<Value> {
    let nodes = db.nodes().iter();
    let wanted = nodes.filter(|node| asked.wants_meta(&node.meta));
    wanted.map(shapes::node).collect()
}

/// A node with its services by id; `null` if there is no such node.
pub fn node(db: &CatalogView, asked: &Asked) -> Option<Value> {
    let node = db.nodes().get(&asked.name)?;
    let services = shapes::services_of(db, &asked.name);
    Some(json!({ "Node": shapes::node(node), "Services": services }))
}

/// The names of all services, each with all tags that an instance of it has.
pub fn services(db: &CatalogView, asked: &Asked) -> BTreeMap<String, BTreeSet<String>> {
    let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for service in db.services().iter() {
        if asked.wants_node(db, &service.node) {
            let of_name = tags.entry(service.name.clone()).or_default();
            of_name.extend(service.tags.iter().cloned());
        }
    }
    tags
}

/// The instances of a service.
pub fn service(db: &CatalogView, asked: &Asked) -> Vec<Value> {
    let instances = instances(db, asked);
    instances
        .map(|(service, node)| shapes::service_node(service, node))
        .collect()
}

/// The instances of a service with their nodes, without those that are not asked for.
pub fn instances<'d>(
    db: &'d CatalogView,
    asked: &Asked,
) -> impl Iterator<Item = (&'d Row<Service>, &'d Row<Node>)> {
    let services = db.services().by_name(&asked.name);
    services.filter_map(|service| {
        let node = db.nodes().get(&service.node)?;
        (asked.wants_tags(&service.tags) && asked.wants_meta(&node.meta)).then_some((service, node))
    })
}

/// What `/v1/catalog/register` is sent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct RegisterBody {
    datacenter: String,
    #[serde(flatten)]
    node: Node,
    #[serde(rename = "skipnodeupdate")]
    skip_node_update: bool,
    service: Option<Service>,
    check: Option<Check>,
    checks: Vec<Check>,
}

pub async fn register(asked: Asked, JsonBody(request): JsonBody<RegisterBody>) -> Answered {
    own_datacenter(&request.datacenter)?;
    let node = request.node;
    require(!node.name.is_empty(), "Must provide node")?;
    let address = !node.address.is_empty() || request.skip_node_update;
    require(address, "Must provide address if SkipNodeUpdate is not set")?;
    let service = request.service.map(|of| service_on(&node.name, of));
    let checks = request.checks.into_iter().chain(request.check);
    let checks = checks.map(|check| check_of(&node.name, check));
    let registration = Registration {
        service: service.transpose()?,
        checks: checks.collect::<Result<_, _>>()?,
        node,
        skip_node_update: request.skip_node_update,
        ..Registration::default()
    };
    asked.done(Command::Register(Box::new(registration))).await
}

fn service_on(node: &str, mut service: Service) -> Result<Service, HttpError> {
    require(
        !service.name.is_empty(),
        "Must provide service name with ID",
    )?;
    if service.id.is_empty() {
        service.id.clone_from(&service.name);
    }
    node.clone_into(&mut service.node);
    Ok(service)
}

fn check_of(node: &str, mut check: Check) -> Result<Check, HttpError> {
    require(
        check.node.is_empty() || check.node == node,
        format_args!("check node {:?} does not match node {node:?}", check.node),
    )?;
    if check.id.is_empty() {
        check.id.clone_from(&check.name);
    }
    require(
        !check.id.is_empty(),
        "Must provide CheckID or Name of the check",
    )?;
    node.clone_into(&mut check.node);
    check.own = false;
    Ok(check)
}

/// What `/v1/catalog/deregister` is sent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct DeregisterBody {
    datacenter: String,
    node: String,
    #[serde(alias = "serviceid")]
    service: Option<String>,
    #[serde(alias = "checkid")]
    check: Option<String>,
}

pub async fn deregister(asked: Asked, JsonBody(request): JsonBody<DeregisterBody>) -> Answered {
    own_datacenter(&request.datacenter)?;
    let node = request.node;
    require(!node.is_empty(), "Must provide node")?;
    let gone = match (request.service, request.check) {
        (Some(id), _) => Deregistration::Service(node, id),
        (None, Some(id)) => Deregistration::Check(node, id),
        (None, None) => Deregistration::Node(node),
    };
    asked.done(Command::Deregister(gone)).await
}
