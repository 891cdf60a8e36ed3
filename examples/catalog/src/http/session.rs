//! `/v1/session/`: sessions, which lock keys.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use highwater::Row;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::blocking::{CATCH_UP, json as body, written};
use super::error::HttpError;
use super::request::{Params, RawBody, decode};
use super::shapes;
use crate::app::App;
use crate::command::{Command, Rejected, Reply};
use crate::duration::GoDuration;
use crate::schema::{ALIVE, Behavior, Session};

const MOST_TTL: Duration = Duration::from_hours(24);

/// The ID in a path or a parameter.
pub fn id(text: &str) -> Result<Uuid, HttpError> {
    text.parse()
        .map_err(|_| Rejected::InvalidSession(text.to_owned()).into())
}

/// What `/v1/session/create` is sent.
#[derive(Deserialize)]
#[serde(default)]
pub struct SessionBody {
    name: String,
    node: String,
    #[serde(rename = "lockdelay", deserialize_with = "seconds")]
    lock_delay: GoDuration,
    behavior: Behavior,
    ttl: GoDuration,
    #[serde(rename = "nodechecks")]
    node_checks: Option<Vec<String>>,
    /// What clients of old call those.
    checks: Option<Vec<String>>,
    #[serde(rename = "servicechecks")]
    service_checks: Vec<ServiceCheck>,
}

#[derive(Deserialize)]
struct ServiceCheck {
    id: String,
}

impl Default for SessionBody {
    fn default() -> Self {
        SessionBody {
            name: String::new(),
            node: String::new(),
            lock_delay: GoDuration(Duration::from_secs(15)),
            behavior: Behavior::Release,
            ttl: GoDuration::default(),
            node_checks: None,
            checks: None,
            service_checks: Vec::new(),
        }
    }
}

/// A duration; a small number is one of seconds.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<GoDuration, D::Error> {
    const SMALL: Duration = Duration::from_micros(1);
    let GoDuration(given) = GoDuration::deserialize(from)?;
    Ok(GoDuration(if given < SMALL {
        Duration::from_secs(given.subsec_nanos().into())
    } else {
        given
    }))
}

pub async fn create(
    State(app): State<App>,
    params: Params,
    RawBody(sent): RawBody,
) -> Result<Response, HttpError> {
    let request: SessionBody = match &*sent {
        [] => SessionBody::default(),
        sent => decode(sent)?,
    };
    let ttl = request.ttl.0;
    if !ttl.is_zero() && !(app.least_ttl..=MOST_TTL).contains(&ttl) {
        let least = GoDuration(app.least_ttl);
        return Err(HttpError::bad_request(format!(
            "Invalid Session TTL '{}', must be between [{least}={}]",
            request.ttl,
            GoDuration(MOST_TTL)
        )));
    }
    let node_checks = request.node_checks.or(request.checks);
    let session = Session {
        id: Uuid::nil(),
        name: request.name,
        node: if request.node.is_empty() {
            app.agent.node.name.clone()
        } else {
            request.node
        },
        lock_delay: request.lock_delay,
        behavior: request.behavior,
        ttl: request.ttl,
        node_checks: node_checks.unwrap_or_else(|| vec![ALIVE.to_owned()]),
        service_checks: request
            .service_checks
            .into_iter()
            .map(|check| check.id)
            .collect(),
    };
    match app.write(Command::CreateSession(Box::new(session))).await? {
        (index, Reply::Session(id)) => Ok(written(index, body(&params, &json!({ "ID": id })))),
        (_, other) => Err(HttpError::unavailable(format!("no session: {other:?}"))),
    }
}

/// Answers `true`, also for one that is gone.
pub async fn destroy(
    State(app): State<App>,
    Path(text): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let (index, _) = app.write(Command::DestroySession(id(&text)?)).await?;
    Ok(written(index, body(&params, &true)))
}

pub async fn renew(
    State(app): State<App>,
    Path(text): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let id = id(&text)?;
    let (index, _) = app.write(Command::RenewSession(id)).await?;
    let found = app
        .store
        .snapshot_at_least_async(index, sleep(CATCH_UP))
        .await?;
    let found = found.sessions().get(id).map(shapes::session);
    let found = found.ok_or_else(|| {
        HttpError::new(
            StatusCode::NOT_FOUND,
            format!("Session id '{id}' not found"),
        )
    })?;
    Ok(written(index, body(&params, &[found])))
}

pub async fn info(
    State(app): State<App>,
    Path(text): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let id = id(&text)?;
    app.answer(&params, |db| all(db.sessions().get(id))).await
}

pub async fn list(State(app): State<App>, params: Params) -> Result<Response, HttpError> {
    app.answer(&params, |db| all(db.sessions().iter())).await
}

pub async fn of_node(
    State(app): State<App>,
    Path(node): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    app.answer(&params, |db| all(db.sessions().by_node(&node)))
        .await
}

fn all<'a>(sessions: impl IntoIterator<Item = &'a Row<Session>>) -> Vec<Value> {
    sessions.into_iter().map(shapes::session).collect()
}
