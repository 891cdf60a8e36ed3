//! Reads: every one of them is a blocking query.
//!
//! A handler gives a function from the tables to an answer. The store knows what the function
//! read, which log index that has, and when it has changed.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use highwater::{Answer, LogIndex, Snapshot};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::error::HttpError;
use super::request::Params;
use crate::app::App;
use crate::duration::GoDuration;
use crate::schema::{Catalog, CatalogView};

const DEFAULT_WAIT: Duration = Duration::from_mins(5);
const MOST_WAIT: Duration = Duration::from_mins(10);
/// How long a read that is to be at an index waits for it, if it does not say.
pub const CATCH_UP: Duration = Duration::from_secs(10);

impl App {
    /// Answers when the query's index is past `?index`, or after `?wait` with what there is.
    pub async fn read<R>(
        &self,
        params: &Params,
        query: impl FnMut(&CatalogView) -> R,
    ) -> Result<Answer<R>, HttpError> {
        let (after, wait) = after_and_wait(params)?;
        let until = Instant::now() + wait;
        self.snapshot(params).await?;
        Ok(self
            .store
            .blocking_query_async(after, sleep_until(until), query)
            .await?)
    }

    /// The same, with the answer sent as JSON.
    pub async fn answer<R: Serialize>(
        &self,
        params: &Params,
        query: impl FnMut(&CatalogView) -> R,
    ) -> Result<Response, HttpError> {
        let answer = self.read(params, query).await?;
        Ok(self.indexed(answer.index, json(params, &answer.value)))
    }

    /// What this node has, once it has what `?at-least` and `?consistent` ask for, and, but for
    /// `?stale`, what it had before it was started.
    pub async fn snapshot(&self, params: &Params) -> Result<Snapshot<Catalog>, HttpError> {
        let mut least = LogIndex(params.number("at-least")?.unwrap_or(0));
        let until = Instant::now()
            + match wait(params)? {
                Duration::ZERO => CATCH_UP,
                wait => wait.min(MOST_WAIT),
            };
        if params.has("consistent") {
            let index = timeout_at(until, self.log.read_index()).await;
            let index = index.map_err(|_| HttpError::unavailable("No answer of a leader"))?;
            least = least.max(index.map_err(HttpError::unavailable)?);
        } else if !params.has("stale") {
            let ready = timeout_at(until, self.ready()).await;
            ready.map_err(|_| HttpError::unavailable("This node has not caught up yet"))?;
        }
        let snapshot = self
            .store
            .snapshot_at_least_async(least, sleep_until(until));
        Ok(snapshot.await?)
    }

    /// Adds the headers that every read has.
    pub fn indexed(&self, index: LogIndex, response: Response) -> Response {
        let contact = self.log.contact();
        let known = if contact.known { "true" } else { "false" };
        let millis = u64::try_from(contact.last.as_millis()).unwrap_or(u64::MAX);
        let mut response = written(index, response);
        let headers = response.headers_mut();
        headers.insert("x-consul-knownleader", HeaderValue::from_static(known));
        headers.insert("x-consul-lastcontact", HeaderValue::from(millis));
        response
    }
}

/// Adds the index of a write, which a read can ask to be at.
pub fn written(index: LogIndex, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert("x-consul-index", HeaderValue::from(index.0));
    response
}

/// `?index` and `?wait`, the latter with up to a sixteenth more, so that queries that began
/// together do not end together.
pub fn after_and_wait(params: &Params) -> Result<(LogIndex, Duration), HttpError> {
    let after = match params.get("index").unwrap_or_default() {
        "" => LogIndex::ZERO,
        text => {
            let index = text
                .parse()
                .map_err(|_| HttpError::bad_request("Invalid index"))?;
            LogIndex(index)
        }
    };
    let wait = match wait(params)? {
        Duration::ZERO => DEFAULT_WAIT,
        wait => wait.min(MOST_WAIT),
    };
    Ok((after, wait + wait.mul_f64(fastrand::f64() / 16.0)))
}

/// `?wait`; zero if it is not given.
fn wait(params: &Params) -> Result<Duration, HttpError> {
    match params.get("wait").unwrap_or_default() {
        "" => Ok(Duration::ZERO),
        text => match text.parse() {
            Ok(GoDuration(wait)) => Ok(wait),
            Err(_) => Err(HttpError::bad_request("Invalid wait time")),
        },
    }
}

/// A body of JSON, indented on `?pretty`.
pub fn json(params: &Params, value: &impl Serialize) -> Response {
    let bytes = if params.has("pretty") {
        pretty(value)
    } else {
        serde_json::to_vec(value)
    };
    match bytes {
        Ok(bytes) => (
            [(header::CONTENT_TYPE, "application/json")],
            Body::from(bytes),
        )
            .into_response(),
        Err(error) => {
            HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

fn pretty(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut bytes, indent,
    ))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<(LogIndex, Duration), HttpError> {
        after_and_wait(&Params::parse(query))
    }

    #[test]
    fn waits() {
        for (query, index, seconds) in [
            ("", 0, 300.0),
            ("index=7", 7, 300.0),
            ("index=7&wait=0s", 7, 300.0),
            ("index=7&wait=10s", 7, 10.0),
            ("index=7&wait=1h", 7, 600.0),
            ("wait=500ms&index=18446744073709551615", u64::MAX, 0.5),
        ] {
            let (after, wait) = parse(query).unwrap();
            assert_eq!(after, LogIndex(index), "{query}");
            let wait = wait.as_secs_f64();
            assert!(
                wait >= seconds && wait <= seconds * 17.0 / 16.0,
                "{query}: {wait}"
            );
        }
        for query in [
            "index=x",
            "index=-1",
            "wait=10",
            "wait=x",
            "index=18446744073709551616",
        ] {
            assert!(parse(query).is_err(), "{query}");
        }
    }
}
