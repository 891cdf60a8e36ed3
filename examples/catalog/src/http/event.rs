//! `/v1/event/`: events, which everybody hears of.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use highwater::{LogIndex, Row};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::blocking::{after_and_wait, json, written};
use super::error::HttpError;
use super::request::{Params, RawBody};
use crate::app::App;
use crate::command::{Command, Reply};
use crate::schema::{CatalogView, Event};

/// In bytes: an event says that something is so, and what else there is to know is elsewhere. Serf, by
/// which Consul's agents tell events, takes no larger ones by default, their names included.
const LARGEST_PAYLOAD: usize = 512;

/// An event as Consul's clients expect it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shape<'a> {
    #[serde(rename = "ID")]
    id: Uuid,
    name: &'a str,
    #[serde(with = "crate::base64_or_null")]
    payload: Bytes,
    node_filter: &'a str,
    service_filter: &'a str,
    tag_filter: &'a str,
    version: u8,
    #[serde(rename = "LTime")]
    time: u64,
}

impl<'a> Shape<'a> {
    fn of(event: &'a Event) -> Self {
        Shape {
            id: event.id,
            name: &event.name,
            payload: event.payload.clone(),
            node_filter: &event.node_filter,
            service_filter: &event.service_filter,
            tag_filter: &event.tag_filter,
            version: 1,
            time: event.number,
        }
    }
}

pub async fn fire(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    RawBody(payload): RawBody,
) -> Result<Response, HttpError> {
    if payload.len() > LARGEST_PAYLOAD {
        return Err(HttpError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Event payload too large, max size: {LARGEST_PAYLOAD} bytes"),
        ));
    }
    let filter = |name| params.get(name).unwrap_or_default().to_owned();
    let mut event = Event {
        number: 0,
        id: Uuid::nil(),
        name,
        payload,
        node_filter: filter("node"),
        service_filter: filter("service"),
        tag_filter: filter("tag"),
    };
    let fire = Command::Fire(Box::new(event.clone()));
    match app.write(fire).await? {
        (index, Reply::Event { number, id }) => {
            (event.number, event.id) = (number, id);
            Ok(written(index, json(&params, &Shape::of(&event))))
        }
        (_, other) => Err(HttpError::unavailable(format!("no event: {other:?}"))),
    }
}

/// What stands for an event in `X-Consul-Index` and `?index`. Consul's clients make it from the ID of
/// an event (`IDToIndex`): the halves of it, combined by exclusive or.
fn index_of(event: &Event) -> LogIndex {
    let (high, low) = event.id.as_u64_pair();
    LogIndex(high ^ low)
}

/// The latest events, of all names or of one (`?name`), the oldest first. `?index` is that of the last
/// event that was seen, and of no entry: the answer waits until another is the last. An empty list has
/// the index 1.
pub async fn list(State(app): State<App>, params: Params) -> Result<Response, HttpError> {
    let name = params.get("name").filter(|name| !name.is_empty());
    let (seen, wait) = after_and_wait(&params)?;
    let until = Instant::now() + wait;
    app.snapshot(&params).await?;
    let mut after = LogIndex::ZERO;
    loop {
        let query = |db: &CatalogView| {
            let events = match name {
                Some(name) => db.events().by_name(name),
                None => db.events().iter(),
            };
            events.cloned().collect::<Vec<Row<Event>>>()
        };
        let found = app
            .store
            .blocking_query_async(after, sleep_until(until), query)
            .await?;
        let last = found.value.last().map(|event| index_of(event));
        let index = last.unwrap_or(LogIndex(1));
        if seen != index || Instant::now() >= until {
            let events: Vec<Shape> = found.value.iter().map(|event| Shape::of(event)).collect();
            return Ok(app.indexed(index, json(&params, &events)));
        }
        after = found.index;
    }
}
