//! `/v1/agent/`: this node, and the services and checks registered on it.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::blocking::{json as body, written};
use super::error::HttpError;
use super::request::{JsonBody, Params};
use super::shapes;
use crate::app::{App, DATACENTER};
use crate::command::{Command, Rejected, Reply};
use crate::probe;
use crate::registry::{Deregistration, Registration, Report, TTL};
use crate::schema::{Check, Definition, Service, ServiceAddress, Status, Weights};

/// The version of Consul whose interface this is.
const VERSION: &str = "1.21.0";

pub async fn self_(State(app): State<App>, params: Params) -> Response {
    let agent = &app.agent;
    body(
        &params,
        &json!({
            "Config": {
                "Datacenter": DATACENTER,
                "PrimaryDatacenter": DATACENTER,
                "NodeName": agent.node.name,
                "NodeID": agent.node.id,
                "Server": true,
                "Revision": "",
                "Version": VERSION,
            },
            "DebugConfig": {},
            "Coord": null,
            "Member": member(&app),
            "Stats": stats(&app),
            "Meta": agent.node.meta,
        }),
    )
}

/// So that what is registered by one request, with names in each check, is one entry of the log.
const MOST_CHECKS: usize = 128;
const LONGEST_NAME: usize = 512;

/// What tools look at to find the leader.
fn stats(app: &App) -> Value {
    let leads = app.log.leads();
    json!({
        "consul": { "leader": leads.to_string(), "server": "true" },
        "raft": {
            "state": if leads { "Leader" } else { "Follower" },
            "applied_index": app.store.position().index.to_string(),
        },
    })
}

/// All members of the cluster, or this node alone.
pub async fn members(State(app): State<App>, params: Params) -> Response {
    let Some(members) = app.log.members() else {
        return body(&params, &[member(&app)]);
    };
    let members: Vec<Value> = members
        .iter()
        .map(|seen| {
            let (host, port) = seen.member.address.rsplit_once(':').unwrap_or_default();
            let voters = if seen.voter { "0" } else { "1" };
            describe(&seen.member.name, host, port, &[("nonvoter", voters)])
        })
        .collect();
    body(&params, &members)
}

fn member(app: &App) -> Value {
    let (node, port) = (&app.agent.node, app.agent.address.port().to_string());
    let tags = [("id", node.id.as_str()), ("bootstrap", "1")];
    describe(&node.name, &node.address, &port, &tags)
}

/// A server as Consul's gossip describes it.
fn describe(name: &str, host: &str, port: &str, more: &[(&str, &str)]) -> Value {
    let mut tags = Map::new();
    let common = [
        ("dc", DATACENTER),
        ("role", "consul"),
        ("build", VERSION),
        ("port", port),
    ];
    tags.extend(
        common
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), json!(value))),
    );
    json!({
        "Name": name,
        "Addr": host,
        "Port": port.parse::<u16>().unwrap_or(0),
        "Tags": tags,
        // Alive.
        "Status": 1,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

pub async fn services(State(app): State<App>, params: Params) -> Result<Response, HttpError> {
    let db = app.snapshot(&params).await?;
    let services = db.services().leading(&app.agent.node.name);
    let by_id: Map<String, Value> = services
        .map(|service| (service.id.clone(), shapes::service(service)))
        .collect();
    Ok(body(&params, &by_id))
}

pub async fn checks(State(app): State<App>, params: Params) -> Result<Response, HttpError> {
    let db = app.snapshot(&params).await?;
    let checks = db.checks().leading(&app.agent.node.name);
    let by_id: Map<String, Value> = checks
        .map(|check| (check.id.clone(), shapes::check(&db, check)))
        .collect();
    Ok(body(&params, &by_id))
}

/// What `/v1/agent/service/register` is sent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ServiceBody {
    id: String,
    name: String,
    kind: String,
    tags: Vec<String>,
    address: String,
    port: i64,
    meta: BTreeMap<String, String>,
    #[serde(rename = "taggedaddresses")]
    tagged_addresses: BTreeMap<String, ServiceAddress>,
    weights: Weights,
    #[serde(rename = "enabletagoverride")]
    enable_tag_override: bool,
    check: Option<CheckBody>,
    checks: Vec<CheckBody>,
    /// The parts of a service mesh, which this catalog has not.
    connect: Map<String, Value>,
    proxy: Map<String, Value>,
}

/// What `/v1/agent/check/register` is sent, and the checks within a service.
#[derive(Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CheckBody {
    id: String,
    #[serde(rename = "checkid")]
    check_id: String,
    name: String,
    notes: String,
    #[serde(rename = "serviceid")]
    service_id: String,
    status: Option<Status>,
    #[serde(flatten)]
    definition: Definition,
}

pub async fn register_service(
    State(app): State<App>,
    params: Params,
    JsonBody(request): JsonBody<ServiceBody>,
) -> Result<Response, HttpError> {
    let replace = params.flag("replace-existing-checks")?;
    let (service, checks) = request.into_service(&app.agent.node.name)?;
    register(&app, Some(service), checks, replace).await
}

pub async fn register_check(
    State(app): State<App>,
    JsonBody(request): JsonBody<CheckBody>,
) -> Result<Response, HttpError> {
    if request.name.is_empty() {
        return Err(HttpError::bad_request("Missing check name"));
    }
    let id = request.name.clone();
    let check = request.into_check(&app.agent.node.name, id)?;
    register(&app, None, vec![check], false).await
}

async fn register(
    app: &App,
    service: Option<Service>,
    checks: Vec<Check>,
    replace_checks: bool,
) -> Result<Response, HttpError> {
    let ids: Vec<String> = checks.iter().map(|check| check.id.clone()).collect();
    let registration = Registration {
        node: app.agent.node.clone(),
        skip_node_update: true,
        keep_status: true,
        service,
        checks,
        replace_checks,
    };
    let (index, _) = app.write(Command::Register(Box::new(registration))).await?;
    for id in ids {
        app.prober.begin(app, id, index);
    }
    Ok(written(index, StatusCode::OK.into_response()))
}

impl ServiceBody {
    fn into_service(self, node: &str) -> Result<(Service, Vec<Check>), HttpError> {
        if self.name.is_empty() {
            return Err(HttpError::bad_request("Missing service name"));
        }
        if !self.connect.is_empty() || !self.proxy.is_empty() {
            return Err(HttpError::bad_request("This catalog has no service mesh"));
        }
        let id = if self.id.is_empty() {
            self.name.clone()
        } else {
            self.id
        };
        let bodies = self.check.into_iter().chain(self.checks);
        // Clients send empty ones, for none.
        let bodies: Vec<CheckBody> = bodies
            .filter(|body| *body != CheckBody::default())
            .collect();
        if bodies.len() > MOST_CHECKS || id.len() > LONGEST_NAME || self.name.len() > LONGEST_NAME {
            return Err(HttpError::bad_request(format!(
                "A service has at most {MOST_CHECKS} checks, and a name and an ID of at most \
                 {LONGEST_NAME} bytes"
            )));
        }
        let several = bodies.len() > 1;
        let mut checks = Vec::new();
        for (i, mut check) in bodies.into_iter().enumerate() {
            let default_id = if several {
                format!("service:{id}:{}", i + 1)
            } else {
                format!("service:{id}")
            };
            if check.name.is_empty() {
                check.name = format!("Service '{}' check", self.name);
            }
            check.service_id.clone_from(&id);
            checks.push(check.into_check(node, default_id)?);
        }
        let service = Service {
            node: node.to_owned(),
            id,
            name: self.name,
            kind: self.kind,
            tags: self.tags,
            address: self.address,
            port: self.port,
            tagged_addresses: self.tagged_addresses,
            meta: self.meta,
            weights: self.weights,
            enable_tag_override: self.enable_tag_override,
        };
        Ok((service, checks))
    }
}

impl CheckBody {
    fn into_check(self, node: &str, default_id: String) -> Result<Check, HttpError> {
        let kind = kind(&self.definition)
            .map_err(|why| HttpError::bad_request(format!("Invalid check: {why}")))?;
        let id = [self.id, self.check_id]
            .into_iter()
            .find(|id| !id.is_empty());
        Ok(Check {
            node: node.to_owned(),
            id: id.unwrap_or(default_id),
            name: self.name,
            status: self.status.unwrap_or(Status::Critical),
            notes: self.notes,
            output: String::new(),
            service_id: self.service_id,
            kind: kind.to_owned(),
            definition: self.definition,
            own: true,
        })
    }
}

/// What is done for a check: wait for reports, send a request, or connect.
fn kind(definition: &Definition) -> Result<&'static str, String> {
    let Definition {
        ttl,
        http,
        tcp,
        interval,
        ..
    } = definition;
    match (
        ttl.is_zero(),
        http.is_empty(),
        tcp.is_empty(),
        interval.is_zero(),
    ) {
        (false, true, true, true) => Ok(TTL),
        (true, false, true, false) => probe::target(http)
            .map(|_| "http")
            .map_err(|error| error.to_string()),
        (true, true, false, false) => Ok("tcp"),
        _ => Err(
            "expected either TTL, or Interval with one of HTTP and TCP; no other checks are \
                  made here"
                .to_owned(),
        ),
    }
}

pub async fn deregister_service(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    deregister(&app, Some(id.clone()), None, Rejected::UnknownService(id)).await
}

pub async fn deregister_check(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    deregister(&app, None, Some(id.clone()), Rejected::UnknownCheck(id)).await
}

async fn deregister(
    app: &App,
    service: Option<String>,
    check: Option<String>,
    absent: Rejected,
) -> Result<Response, HttpError> {
    let node = app.agent.node.name.clone();
    let deregistration = Deregistration {
        node,
        service,
        check,
    };
    match app.write(Command::Deregister(deregistration)).await? {
        (_, Reply::Was(false)) => Err(absent.into()),
        (index, _) => Ok(written(index, StatusCode::OK.into_response())),
    }
}

/// What `/v1/agent/check/update` is sent.
#[derive(Deserialize)]
pub struct UpdateBody {
    status: Status,
    #[serde(default)]
    output: String,
}

pub async fn update(
    State(app): State<App>,
    Path(id): Path<String>,
    JsonBody(UpdateBody { status, output }): JsonBody<UpdateBody>,
) -> Result<Response, HttpError> {
    report(&app, id, status, output).await
}

pub async fn pass(
    State(app): State<App>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let note = params.get("note").unwrap_or_default().to_owned();
    report(&app, id, Status::Passing, note).await
}

pub async fn warn(
    State(app): State<App>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let note = params.get("note").unwrap_or_default().to_owned();
    report(&app, id, Status::Warning, note).await
}

pub async fn fail(
    State(app): State<App>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let note = params.get("note").unwrap_or_default().to_owned();
    report(&app, id, Status::Critical, note).await
}

async fn report(
    app: &App,
    check: String,
    status: Status,
    output: String,
) -> Result<Response, HttpError> {
    let report = Report {
        node: app.agent.node.name.clone(),
        check,
        status,
        output,
    };
    let db = app.store.snapshot();
    let known = db.checks().get((&report.node, &report.check));
    if known.is_some_and(|known| !known.own || known.kind != TTL) {
        return Err(HttpError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("CheckID {:?} does not have associated TTL", report.check),
        ));
    }
    let (index, _) = app.write(Command::UpdateCheck(report)).await?;
    Ok(written(index, StatusCode::OK.into_response()))
}
