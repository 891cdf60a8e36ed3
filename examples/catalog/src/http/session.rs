//! `/v1/session/`: sessions, which lock keys.

use std::time::Duration;

use axum::http::StatusCode;
use highwater::Row;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::blocking::{CATCH_UP, written};
use super::error::{Answered, HttpError, require};
use super::request::{Asked, JsonBody};
use super::shapes;
use crate::command::{Command, Reply};
use crate::duration::GoDuration;
use crate::schema::{ALIVE, Behavior, CatalogView, Session};

/// For so long after a session nobody can lock what it had locked, if it does not say.
const LOCK_DELAY: GoDuration = GoDuration(Duration::from_secs(15));
const MOST_TTL: GoDuration = GoDuration(Duration::from_hours(24));

/// The ID in a path or a parameter.
pub fn id(text: &str) -> Result<Uuid, HttpError> {
    let invalid = || format!("invalid session {text:?}: expected the UUID of one");
    text.parse().map_err(|_| HttpError::bad_request(invalid()))
}

/// What `/v1/session/create` is sent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct SessionBody {
    name: String,
    node: Option<String>,
    #[serde(rename = "lockdelay")]
    lock_delay: Option<GoDuration>,
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

/// A duration; a small number is one of seconds.
fn seconds(GoDuration(given): GoDuration) -> GoDuration {
    const SMALL: Duration = Duration::from_micros(1);
    GoDuration(if given < SMALL {
        Duration::from_secs(given.subsec_nanos().into())
    } else {
        given
    })
}

pub async fn create(asked: Asked, JsonBody(request): JsonBody<SessionBody>) -> Answered {
    let (ttl, least) = (request.ttl, GoDuration(asked.app.least_ttl));
    require(
        ttl.is_zero() || (least..=MOST_TTL).contains(&ttl),
        format_args!("Invalid Session TTL '{ttl}', must be between [{least}={MOST_TTL}]"),
    )?;
    let this_node = &asked.app.agent.node.name;
    let node_checks = request.node_checks.or(request.checks);
    let service_checks = request.service_checks.into_iter();
    let session = Session {
        name: request.name,
        node: request.node.unwrap_or_else(|| this_node.clone()),
        lock_delay: request.lock_delay.map_or(LOCK_DELAY, seconds),
        behavior: request.behavior,
        ttl,
        node_checks: node_checks.unwrap_or_else(|| vec![ALIVE.to_owned()]),
        service_checks: service_checks.map(|check| check.id).collect(),
        ..Session::default()
    };
    let create = Command::CreateSession(Box::new(session));
    match asked.app.write(create).await? {
        (index, Reply::Session(id)) => Ok(written(index, asked.json(&json!({ "ID": id })))),
        (_, other) => Err(HttpError::unavailable(format!("no session: {other:?}"))),
    }
}

/// Answers `true`, also for one that is gone.
pub async fn destroy(asked: Asked) -> Answered {
    let id = id(&asked.name)?;
    asked.done(Command::DestroySession(id)).await
}

pub async fn renew(asked: Asked) -> Answered {
    let id = id(&asked.name)?;
    let (index, _) = asked.app.write(Command::RenewSession(id)).await?;
    let store = &asked.app.store;
    let db = store.snapshot_at_least_async(index, sleep(CATCH_UP));
    let found = db.await?.sessions().get(id).map(shapes::session);
    let text = format!("Session id '{id}' not found");
    let found = found.ok_or(HttpError(StatusCode::NOT_FOUND, text))?;
    Ok(written(index, asked.json(&[found])))
}

pub async fn info(asked: Asked) -> Answered {
    let id = id(&asked.name)?;
    asked.answer(|db| all(db.sessions().get(id))).await
}

pub fn list(db: &CatalogView, _: &Asked) -> Vec<Value> {
    all(db.sessions().iter())
}

pub fn of_node(db: &CatalogView, asked: &Asked) -> Vec<Value> {
    all(db.sessions().by_node(&asked.name))
}

fn all<'a>(sessions: impl IntoIterator<Item = &'a Row<Session>>) -> Vec<Value> {
    sessions.into_iter().map(shapes::session).collect()
}
