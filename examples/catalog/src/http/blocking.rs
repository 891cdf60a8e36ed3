//! Reads: every one of them is a blocking query.
//!
//! A handler gives a function from the tables to an answer. The store knows what the function
//! read, which log index that has, and when it has changed.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use highwater::{Answer, LogIndex};
use serde::Serialize;

use super::error::HttpError;
use super::request::Params;
use crate::app::App;
use crate::duration::GoDuration;
use crate::schema::CatalogView;

const DEFAULT_WAIT: Duration = Duration::from_mins(5);
const MOST_WAIT: Duration = Duration::from_mins(10);

impl App {
    /// Answers when the query's index is past `?index`, or after `?wait` with what there is.
    pub async fn read<R>(
        &self,
        params: &Params,
        query: impl FnMut(&CatalogView) -> R,
    ) -> Result<Answer<R>, HttpError> {
        let (after, wait) = after_and_wait(params)?;
        Ok(self
            .store
            .blocking_query_async(after, tokio::time::sleep(wait), query)
            .await?)
    }

    /// The same, with the answer sent as JSON.
    pub async fn answer<R: Serialize>(
        &self,
        params: &Params,
        query: impl FnMut(&CatalogView) -> R,
    ) -> Result<Response, HttpError> {
        let answer = self.read(params, query).await?;
        Ok(indexed(answer.index, json(params, &answer.value)))
    }
}

/// `?index` and `?wait`, the latter with up to a sixteenth more, so that queries that began
/// together do not end together.
fn after_and_wait(params: &Params) -> Result<(LogIndex, Duration), HttpError> {
    let after = match params.get("index").unwrap_or_default() {
        "" => LogIndex::ZERO,
        text => {
            let index = text
                .parse()
                .map_err(|_| HttpError::bad_request("Invalid index"))?;
            LogIndex(index)
        }
    };
    let wait = match params.get("wait").unwrap_or_default() {
        "" => Duration::ZERO,
        text => {
            let wait: GoDuration = text
                .parse()
                .map_err(|_| HttpError::bad_request("Invalid wait time"))?;
            wait.0
        }
    };
    let wait = if wait.is_zero() {
        DEFAULT_WAIT
    } else {
        wait.min(MOST_WAIT)
    };
    Ok((after, wait + wait.mul_f64(fastrand::f64() / 16.0)))
}

/// Adds the headers that every read has. There is one server: it leads, and is never behind.
pub fn indexed(index: LogIndex, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert("x-consul-index", HeaderValue::from(index.0));
    headers.insert("x-consul-knownleader", HeaderValue::from_static("true"));
    headers.insert("x-consul-lastcontact", HeaderValue::from_static("0"));
    response
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
