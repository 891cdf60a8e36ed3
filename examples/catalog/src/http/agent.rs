//! `/v1/agent/`: this node, and the services and checks registered on it.

use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodRouter, put};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::blocking::written;
use super::error::{Answered, HttpError, require};
use super::request::{Asked, JsonBody};
use super::shapes;
use crate::app::{App, DATACENTER};
use crate::cluster::Seen;
use crate::command::{Command, Rejected, Reply};
use crate::log::Failure;
use crate::probe;
use crate::registry::{Deregistration, Registration, TTL};
use crate::schema::{ALIVE, CatalogView, Check, Definition, Service, Status};

/// The version of Consul whose interface this is.
const VERSION: &str = "1.21.0";

/// The status of a member that is there, as Consul's gossip numbers it.
const ANSWERS: u8 = 1;
/// That of one that does not answer.
const FAILED: u8 = 4;

/// So that what is registered by one request, with names in each check, is one entry of the log.
const MOST_CHECKS: usize = 128;
const LONGEST_NAME: usize = 512;

pub async fn self_(asked: Asked) -> Response {
    let app = &asked.app;
    let node = &app.agent.node;
    let leads = app.log.leads();
    asked.json(&json!({
        "Config": {
            "Datacenter": DATACENTER,
            "PrimaryDatacenter": DATACENTER,
            "NodeName": node.name,
            "NodeID": node.id,
            "Server": true,
            "Revision": "",
            "Version": VERSION,
        },
        "DebugConfig": {},
        "Coord": null,
        "Member": this_member(app),
        // What tools look at to find the leader.
        "Stats": {
            "consul": { "leader": leads.to_string(), "server": "true" },
            "raft": {
                "state": if leads { "Leader" } else { "Follower" },
                "applied_index": app.store.position().index.to_string(),
            },
        },
        "Meta": node.meta,
    }))
}

/// All members of the cluster, or this node alone.
pub async fn members(asked: Asked) -> Response {
    let app = &asked.app;
    let Some(members) = app.log.members() else {
        return asked.json(&[this_member(app)]);
    };
    let db = app.store.snapshot();
    let members = members.iter().map(|Seen { member, voter, .. }| {
        let (host, port) = member.host_and_port();
        let tags = json!({ "nonvoter": if *voter { "0" } else { "1" } });
        let health = db.checks().get((&member.name, ALIVE));
        let fails = health.is_some_and(|check| check.status == Status::Critical);
        let status = if fails { FAILED } else { ANSWERS };
        describe(&member.name, &host, port, status, tags)
    });
    asked.json(&members.collect::<Vec<_>>())
}

fn this_member(app: &App) -> Value {
    let (node, port) = (&app.agent.node, app.agent.address.port());
    let tags = json!({ "id": node.id, "bootstrap": "1" });
    describe(&node.name, &node.address, port, ANSWERS, tags)
}

/// A server as Consul's gossip describes it.
fn describe(name: &str, host: &str, port: u16, status: u8, mut tags: Value) -> Value {
    tags["dc"] = DATACENTER.into();
    tags["role"] = "consul".into();
    tags["build"] = VERSION.into();
    tags["port"] = port.to_string().into();
    json!({
        "Name": name,
        "Addr": host,
        "Port": port,
        "Tags": tags,
        "Status": status,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

pub fn services(db: &CatalogView, asked: &Asked) -> Map<String, Value> {
    shapes::services_of(db, &asked.app.agent.node.name)
}

pub fn checks(db: &CatalogView, asked: &Asked) -> Map<String, Value> {
    let checks = db.checks().leading(&asked.app.agent.node.name);
    let by_id = checks.map(|check| (check.id.clone(), shapes::check(db, check)));
    by_id.collect()
}

/// What `/v1/agent/service/register` is sent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ServiceBody {
    #[serde(flatten)]
    service: Service,
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
    #[serde(rename = "checkid")]
    check_id: String,
    #[serde(flatten)]
    check: Check,
    #[serde(flatten)]
    definition: Definition,
}

pub async fn register_service(asked: Asked, JsonBody(request): JsonBody<ServiceBody>) -> Answered {
    let replace = asked.flag("replace-existing-checks")?;
    let (service, checks) = request.into_service(&asked.app.agent.node.name)?;
    register(&asked.app, Some(service), checks, replace).await
}

pub async fn register_check(asked: Asked, JsonBody(request): JsonBody<CheckBody>) -> Answered {
    let id = request.check.name.clone();
    require(!id.is_empty(), "Missing check name")?;
    let check = request.into_check(&asked.app.agent.node.name, id)?;
    register(&asked.app, None, vec![check], false).await
}

async fn register(
    app: &App,
    service: Option<Service>,
    checks: Vec<Check>,
    replace_checks: bool,
) -> Answered {
    let registration = Registration {
        node: app.agent.node.clone(),
        skip_node_update: true,
        keep_status: true,
        service,
        checks,
        replace_checks,
    };
    let (index, _) = app.write(Command::Register(Box::new(registration))).await?;
    Ok(written(index, StatusCode::OK))
}

impl ServiceBody {
    fn into_service(self, node: &str) -> Result<(Service, Vec<Check>), HttpError> {
        let mut service = self.service;
        require(!service.name.is_empty(), "Missing service name")?;
        let mesh = !self.connect.is_empty() || !self.proxy.is_empty();
        require(!mesh, "This catalog has no service mesh")?;
        if service.id.is_empty() {
            service.id.clone_from(&service.name);
        }
        node.clone_into(&mut service.node);
        let Service { id, name, .. } = &service;
        let mut bodies: Vec<CheckBody> = self.check.into_iter().chain(self.checks).collect();
        // Clients send empty ones, for none.
        bodies.retain(|body| *body != CheckBody::default());
        require(
            bodies.len() <= MOST_CHECKS && id.len().max(name.len()) <= LONGEST_NAME,
            format_args!(
                "A service has at most {MOST_CHECKS} checks, and a name and an ID of at most \
                 {LONGEST_NAME} bytes"
            ),
        )?;
        let several = bodies.len() > 1;
        let mut checks = Vec::new();
        for (i, mut body) in bodies.into_iter().enumerate() {
            let default_id = if several {
                format!("service:{id}:{}", i + 1)
            } else {
                format!("service:{id}")
            };
            if body.check.name.is_empty() {
                body.check.name = format!("Service '{name}' check");
            }
            body.check.service_id.clone_from(id);
            checks.push(body.into_check(node, default_id)?);
        }
        Ok((service, checks))
    }
}

impl CheckBody {
    fn into_check(self, node: &str, default_id: String) -> Result<Check, HttpError> {
        let kind = kind(&self.definition)
            .map_err(|why| HttpError::bad_request(format!("Invalid check: {why}")))?;
        let mut ids = [self.check.id, self.check_id].into_iter();
        let id = ids.find(|id| !id.is_empty());
        Ok(Check {
            node: node.to_owned(),
            id: id.unwrap_or(default_id),
            output: String::new(),
            kind: kind.to_owned(),
            definition: self.definition,
            own: true,
            ..self.check
        })
    }
}

/// What is done for a check: wait for reports, send a request, or connect.
fn kind(definition: &Definition) -> Result<&'static str, Failure> {
    let timed = !definition.interval.is_zero();
    let Definition { http, tcp, ttl, .. } = definition;
    match (ttl.is_zero(), http.is_empty(), tcp.is_empty(), timed) {
        (false, true, true, false) => Ok(TTL),
        (true, false, true, true) => probe::plain(http).map(|_| "http"),
        (true, true, false, true) => Ok("tcp"),
        _ => Err(
            "expected either TTL, or Interval with one of HTTP and TCP; no other checks are \
                  made here"
                .into(),
        ),
    }
}

pub async fn deregister_service(asked: Asked) -> Answered {
    deregister(&asked, "service", Deregistration::Service).await
}

pub async fn deregister_check(asked: Asked) -> Answered {
    deregister(&asked, "check", Deregistration::Check).await
}

async fn deregister(
    asked: &Asked,
    kind: &str,
    of: fn(String, String) -> Deregistration,
) -> Answered {
    let gone = of(asked.app.agent.node.name.clone(), asked.name.clone());
    match asked.app.write(Command::Deregister(gone)).await? {
        (_, Reply::Was(false)) => Err(Rejected::unknown(kind, &asked.name).into()),
        (index, _) => Ok(written(index, StatusCode::OK)),
    }
}

/// What `/v1/agent/check/update` is sent.
#[derive(Deserialize)]
pub struct UpdateBody {
    status: Status,
    #[serde(default)]
    output: String,
}

pub async fn update(asked: Asked, JsonBody(body): JsonBody<UpdateBody>) -> Answered {
    report(&asked, body.status, &body.output).await
}

/// The endpoint that says so of a check.
pub fn says(status: Status) -> MethodRouter<App> {
    put(async move |asked: Asked| report(&asked, status, asked.text("note")).await)
}

async fn report(asked: &Asked, status: Status, output: &str) -> Answered {
    let check = (asked.app.agent.node.name.clone(), asked.name.clone());
    let db = asked.app.store.snapshot();
    if (db.checks().get(&check)).is_some_and(|known| !known.own || known.kind != TTL) {
        let text = format!("CheckID {:?} does not have associated TTL", check.1);
        return Err(HttpError(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    let report = Command::Report(check, status, output.to_owned());
    let (index, _) = asked.app.write(report).await?;
    Ok(written(index, StatusCode::OK))
}
