//! `/v1/event/`: events, which everybody hears of.

use axum::http::StatusCode;
use highwater::LogIndex;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::blocking::{after_and_wait, written};
use super::error::{Answered, HttpError};
use super::request::{Asked, RawBody};
use super::shapes;
use crate::command::{Command, Reply};
use crate::schema::{CatalogView, Event};

/// In bytes: an event says that something is so, and what else there is to know is elsewhere. Serf, by
/// which Consul's agents tell events, takes no larger ones by default, their names included.
const LARGEST_PAYLOAD: usize = 512;

pub async fn fire(asked: Asked, RawBody(payload): RawBody) -> Answered {
    if payload.len() > LARGEST_PAYLOAD {
        let text = format!("Event payload too large, max size: {LARGEST_PAYLOAD} bytes");
        return Err(HttpError(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let mut event = Event {
        name: asked.name.clone(),
        payload,
        node_filter: asked.text("node").to_owned(),
        service_filter: asked.text("service").to_owned(),
        tag_filter: asked.text("tag").to_owned(),
        ..Event::default()
    };
    let fire = Command::Fire(Box::new(event.clone()));
    match asked.app.write(fire).await? {
        (index, Reply::Event { number, id }) => {
            (event.number, event.id) = (number, id);
            Ok(written(index, asked.json(&shapes::event(&event))))
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
pub async fn list(asked: Asked) -> Answered {
    let name = asked.text("name");
    let (seen, wait) = after_and_wait(&asked)?;
    let until = Instant::now() + wait;
    asked.snapshot().await?;
    let mut after = LogIndex::ZERO;
    loop {
        let query = |db: &CatalogView| {
            let events = match name {
                "" => db.events().iter(),
                name => db.events().by_name(name),
            };
            let last = events.clone().next_back();
            let index = last.map_or(LogIndex(1), |last| index_of(last));
            let shown: Vec<Value> = events.map(|event| shapes::event(event)).collect();
            (index, shown)
        };
        let store = &asked.app.store;
        let found = store.blocking_query_async(after, sleep_until(until), query);
        let found = found.await?;
        let (index, events) = found.value;
        if seen != index || Instant::now() >= until {
            return Ok(asked.indexed(index, asked.json(&events)));
        }
        after = found.index;
    }
}
