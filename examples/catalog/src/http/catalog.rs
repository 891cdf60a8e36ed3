//! `/v1/catalog/`: nodes and services, registered from anywhere.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::blocking::{json as body, written};
use super::error::HttpError;
use super::request::{JsonBody, Params, own_datacenter};
use super::shapes;
use crate::app::{App, DATACENTER};
use crate::command::Command;
use crate::registry::{Deregistration, Registration};
use crate::schema::{Check, Definition, Node, Service, ServiceAddress, Status, Weights};

pub async fn datacenters(params: Params) -> Response {
    body(&params, &[DATACENTER])
}

pub async fn nodes(State(app): State<App>, params: Params) -> Result<Response, HttpError> {
    app.answer(&params, |db| {
        let wanted = db
            .nodes()
            .iter()
            .filter(|node| params.wants_node(&node.meta));
        wanted.map(shapes::node).collect::<Vec<_>>()
    })
    .await
}

/// A node with its services by id; `null` if there is no such node.
pub async fn node(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    app.answer(&params, |db| {
        let node = db.nodes().get(&name)?;
        let services: Map<String, Value> = db
            .services()
            .leading(&name)
            .map(|service| (service.id.clone(), shapes::service(service)))
            .collect();
        Some(json!({ "Node": shapes::node(node), "Services": services }))
    })
    .await
}

/// The names of all services, each with all tags that an instance of it has.
pub async fn services(State(app): State<App>, params: Params) -> Result<Response, HttpError> {
    app.answer(&params, |db| {
        let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for service in db.services().iter() {
            if db
                .nodes()
                .get(&service.node)
                .is_some_and(|node| params.wants_node(&node.meta))
            {
                tags.entry(service.name.clone())
                    .or_default()
                    .extend(service.tags.iter().cloned());
            }
        }
        tags
    })
    .await
}

/// The instances of a service.
pub async fn service(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    app.answer(&params, |db| {
        let mut found = Vec::new();
        for service in db
            .services()
            .by_name(&name)
            .filter(|s| params.wants_tags(&s.tags))
        {
            let node = db
                .nodes()
                .get(&service.node)
                .filter(|node| params.wants_node(&node.meta));
            found.extend(node.map(|node| shapes::service_node(service, node)));
        }
        found
    })
    .await
}

/// What `/v1/catalog/register` is sent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct RegisterBody {
    datacenter: String,
    id: String,
    node: String,
    address: String,
    #[serde(rename = "taggedaddresses")]
    tagged_addresses: BTreeMap<String, String>,
    #[serde(rename = "nodemeta")]
    meta: BTreeMap<String, String>,
    #[serde(rename = "skipnodeupdate")]
    skip_node_update: bool,
    service: Option<ServiceBody>,
    check: Option<CheckBody>,
    checks: Vec<CheckBody>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceBody {
    kind: String,
    id: String,
    service: String,
    tags: Vec<String>,
    address: String,
    port: i64,
    #[serde(rename = "taggedaddresses")]
    tagged_addresses: BTreeMap<String, ServiceAddress>,
    meta: BTreeMap<String, String>,
    weights: Weights,
    #[serde(rename = "enabletagoverride")]
    enable_tag_override: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CheckBody {
    node: String,
    #[serde(rename = "checkid")]
    id: String,
    name: String,
    status: Option<Status>,
    notes: String,
    output: String,
    #[serde(rename = "serviceid")]
    service_id: String,
    #[serde(rename = "type")]
    kind: String,
    definition: Definition,
}

pub async fn register(
    State(app): State<App>,
    params: Params,
    JsonBody(request): JsonBody<RegisterBody>,
) -> Result<Response, HttpError> {
    own_datacenter(&request.datacenter)?;
    let registration = Box::new(request.into_registration()?);
    let (index, _) = app.write(Command::Register(registration)).await?;
    Ok(written(index, body(&params, &true)))
}

impl RegisterBody {
    fn into_registration(self) -> Result<Registration, HttpError> {
        if self.node.is_empty() {
            return Err(HttpError::bad_request("Must provide node"));
        }
        if self.address.is_empty() && !self.skip_node_update {
            return Err(HttpError::bad_request(
                "Must provide address if SkipNodeUpdate is not set",
            ));
        }
        let node = Node {
            name: self.node,
            id: self.id,
            address: self.address,
            tagged_addresses: self.tagged_addresses,
            meta: self.meta,
        };
        let service = self
            .service
            .map(|body| body.into_service(&node.name))
            .transpose()?;
        let checks = self.checks.into_iter().chain(self.check);
        let checks = checks
            .map(|body| body.into_check(&node.name))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Registration {
            node,
            skip_node_update: self.skip_node_update,
            service,
            checks,
            keep_status: false,
            replace_checks: false,
        })
    }
}

impl ServiceBody {
    fn into_service(self, node: &str) -> Result<Service, HttpError> {
        if self.service.is_empty() {
            return Err(HttpError::bad_request("Must provide service name with ID"));
        }
        Ok(Service {
            node: node.to_owned(),
            id: if self.id.is_empty() {
                self.service.clone()
            } else {
                self.id
            },
            name: self.service,
            kind: self.kind,
            tags: self.tags,
            address: self.address,
            port: self.port,
            tagged_addresses: self.tagged_addresses,
            meta: self.meta,
            weights: self.weights,
            enable_tag_override: self.enable_tag_override,
        })
    }
}

impl CheckBody {
    fn into_check(self, node: &str) -> Result<Check, HttpError> {
        if !self.node.is_empty() && self.node != node {
            let text = format!("check node {:?} does not match node {node:?}", self.node);
            return Err(HttpError::bad_request(text));
        }
        let id = if self.id.is_empty() {
            self.name.clone()
        } else {
            self.id
        };
        if id.is_empty() {
            return Err(HttpError::bad_request(
                "Must provide CheckID or Name of the check",
            ));
        }
        Ok(Check {
            node: node.to_owned(),
            id,
            name: self.name,
            status: self.status.unwrap_or(Status::Critical),
            notes: self.notes,
            output: self.output,
            service_id: self.service_id,
            kind: self.kind,
            definition: self.definition,
            own: false,
        })
    }
}

/// What `/v1/catalog/deregister` is sent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct DeregisterBody {
    datacenter: String,
    node: String,
    serviceid: String,
    checkid: String,
}

pub async fn deregister(
    State(app): State<App>,
    params: Params,
    JsonBody(request): JsonBody<DeregisterBody>,
) -> Result<Response, HttpError> {
    own_datacenter(&request.datacenter)?;
    if request.node.is_empty() {
        return Err(HttpError::bad_request("Must provide node"));
    }
    let deregistration = Deregistration {
        node: request.node,
        service: Some(request.serviceid).filter(|id| !id.is_empty()),
        check: Some(request.checkid).filter(|id| !id.is_empty()),
    };
    let (index, _) = app.write(Command::Deregister(deregistration)).await?;
    Ok(written(index, body(&params, &true)))
}
