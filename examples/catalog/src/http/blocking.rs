//! Reads: every one of them is a blocking query.
//!
//! A handler gives a function from the tables to an answer. The store knows what the function
//! read, which log index that has, and when it has changed.

use std::str::FromStr;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use highwater::{Answer, LogIndex, Snapshot};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::error::{Answered, HttpError};
use super::request::{Asked, Params};
use crate::app::App;
use crate::command::Command;
use crate::duration::GoDuration;
use crate::schema::{Catalog, CatalogView};

const DEFAULT_WAIT: Duration = Duration::from_mins(5);
const MOST_WAIT: Duration = Duration::from_mins(10);
/// How long a read that is to be at an index waits for it, if it does not say.
pub const CATCH_UP: Duration = Duration::from_secs(10);

/// The endpoint of a read, which is a function of the tables and of what is asked.
pub fn read<R>(query: fn(&CatalogView, &Asked) -> R) -> MethodRouter<App>
where
    R: Serialize + Send + 'static,
{
    get(async move |asked: Asked| asked.answer(|db| query(db, &asked)).await)
}

/// The same for one that has no index, and is answered at once.
pub fn read_now<R>(query: fn(&CatalogView, &Asked) -> R) -> MethodRouter<App>
where
    R: Serialize + Send + 'static,
{
    get(async move |asked: Asked| -> Answered {
        let db = asked.snapshot().await?;
        Ok(asked.json(&query(&db, &asked)))
    })
}

impl Asked {
    /// Answers when the query's index is past `?index`, or after `?wait` with what there is.
    pub async fn read<R>(
        &self,
        query: impl FnMut(&CatalogView) -> R,
    ) -> Result<Answer<R>, HttpError> {
        let (after, wait) = after_and_wait(self)?;
        let until = Instant::now() + wait;
        self.snapshot().await?;
        let store = &self.app.store;
        let answer = store.blocking_query_async(after, sleep_until(until), query);
        Ok(answer.await?)
    }

    /// The same, with the answer sent as JSON.
    pub async fn answer<R: Serialize>(&self, query: impl FnMut(&CatalogView) -> R) -> Answered {
        let answer = self.read(query).await?;
        Ok(self.indexed(answer.index, self.json(&answer.value)))
    }

    /// What this node has, once it has what `?at-least` and `?consistent` ask for, and, but for
    /// `?stale`, what it had before it was started.
    pub async fn snapshot(&self) -> Result<Snapshot<Catalog>, HttpError> {
        let mut least = LogIndex(self.number("at-least")?.unwrap_or(0));
        let until = Instant::now() + wait(self, CATCH_UP)?;
        if self.has("consistent") {
            let index = timeout_at(until, self.app.log.read_index()).await;
            let index = index.map_err(|_| HttpError::unavailable("No answer of a leader"))?;
            least = least.max(index?);
        } else if !self.has("stale") {
            let ready = timeout_at(until, self.app.caught_up.wait()).await;
            ready.map_err(|_| HttpError::unavailable("This node has not caught up yet"))?;
        }
        let store = &self.app.store;
        let db = store.snapshot_at_least_async(least, sleep_until(until));
        Ok(db.await?)
    }

    /// Adds the headers that every read has.
    pub fn indexed(&self, index: LogIndex, response: Response) -> Response {
        let contact = self.app.log.contact();
        let contact = [
            ("x-consul-knownleader", contact.known.to_string()),
            ("x-consul-lastcontact", contact.last.as_millis().to_string()),
        ];
        (contact, written(index, response)).into_response()
    }

    /// A body of JSON, indented on `?pretty`.
    pub fn json(&self, value: &impl Serialize) -> Response {
        let mut bytes = Vec::new();
        let written = if self.has("pretty") {
            let indent = PrettyFormatter::with_indent(b"    ");
            let mut to = Serializer::with_formatter(&mut bytes, indent);
            value.serialize(&mut to).map(|()| bytes.push(b'\n'))
        } else {
            serde_json::to_writer(&mut bytes, value)
        };
        match written {
            Ok(()) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => {
                HttpError(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
            }
        }
    }

    /// Has a command applied, and answers `true`.
    pub async fn done(&self, command: Command) -> Answered {
        let (index, _) = self.app.write(command).await?;
        Ok(written(index, self.json(&true)))
    }
}

/// Adds the index of a write, which a read can ask to be at.
pub fn written(index: LogIndex, response: impl IntoResponse) -> Response {
    ([("x-consul-index", index.0.to_string())], response).into_response()
}

/// `?index` and `?wait`, the latter with up to a sixteenth more, so that queries that began
/// together do not end together.
pub fn after_and_wait(params: &Params) -> Result<(LogIndex, Duration), HttpError> {
    let after = LogIndex(given(params, "index", "Invalid index")?);
    let wait = wait(params, DEFAULT_WAIT)?;
    Ok((after, wait + wait.mul_f64(fastrand::f64() / 16.0)))
}

/// `?wait`, or so long, if it is not given.
fn wait(params: &Params, otherwise: Duration) -> Result<Duration, HttpError> {
    Ok(match given(params, "wait", "Invalid wait time")? {
        GoDuration(Duration::ZERO) => otherwise,
        GoDuration(wait) => wait.min(MOST_WAIT),
    })
}

/// A parameter, which may be empty or not there.
fn given<T: FromStr + Default>(params: &Params, name: &str, why: &str) -> Result<T, HttpError> {
    match params.text(name) {
        "" => Ok(T::default()),
        text => text.parse().map_err(|_| HttpError::bad_request(why)),
    }
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
