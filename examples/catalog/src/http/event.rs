//! `/v1/event/`: events, which everybody hears of.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use highwater::Row;
use serde::Serialize;
use uuid::Uuid;

use super::blocking::{json, written};
use super::error::HttpError;
use super::request::{Params, RawBody};
use crate::app::App;
use crate::command::{Command, Reply};
use crate::schema::Event;

/// In bytes: an event says that something is so, and what else there is to know is elsewhere. Consul's
/// agents send no larger ones to each other, name and filters included.
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

/// The latest events, of all names or of one (`?name`), the oldest first.
pub async fn list(State(app): State<App>, params: Params) -> Result<Response, HttpError> {
    let name = params.get("name").filter(|name| !name.is_empty());
    let found = app.read(&params, |db| {
        let events = match name {
            Some(name) => db.events().by_name(name),
            None => db.events().iter(),
        };
        events.cloned().collect::<Vec<Row<Event>>>()
    });
    let found = found.await?;
    let events: Vec<Shape> = found.value.iter().map(|event| Shape::of(event)).collect();
    Ok(app.indexed(found.index, json(&params, &events)))
}
