//! `/v1/kv/`: the key/value store.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use highwater::LogIndex;

use super::blocking::{json, written};
use super::error::HttpError;
use super::request::{Params, RawBody};
use super::session;
use crate::app::App;
use crate::command::{Command, Rejected};
use crate::kv::{KvOp, KvPair};

type Key = Option<Path<String>>;

/// One key, all keys below a prefix (`?recurse`), or their names alone (`?keys`).
pub async fn get(State(app): State<App>, key: Key, params: Params) -> Result<Response, HttpError> {
    let key = name(key);
    if params.has("keys") {
        return keys(&app, &key, &params).await;
    }
    let found = if params.has("recurse") {
        app.read(&params, |db| {
            db.kv().prefix(&key).map(KvPair::from).collect::<Vec<_>>()
        })
        .await?
    } else {
        required(&key)?;
        app.read(&params, |db| {
            db.kv().get(&key).map(KvPair::from).into_iter().collect()
        })
        .await?
    };
    let response = match found.value.as_slice() {
        [] => StatusCode::NOT_FOUND.into_response(),
        [pair] if params.has("raw") && !params.has("recurse") => raw(pair),
        pairs => json(&params, &pairs),
    };
    Ok(app.indexed(found.index, response))
}

async fn keys(app: &App, prefix: &str, params: &Params) -> Result<Response, HttpError> {
    // Clients older than the correction of its spelling send the other one.
    let separator = params
        .get("separator")
        .or(params.get("seperator"))
        .unwrap_or_default();
    let found = app
        .read(params, |db| {
            let mut names: Vec<String> = Vec::new();
            for entry in db.kv().prefix(prefix) {
                let name = up_to_separator(&entry.key, prefix.len(), separator);
                if names.last().is_none_or(|last| last != name) {
                    names.push(name.to_owned());
                }
            }
            names
        })
        .await?;
    let response = if found.value.is_empty() && !prefix.is_empty() {
        StatusCode::NOT_FOUND.into_response()
    } else {
        json(params, &found.value)
    };
    Ok(app.indexed(found.index, response))
}

/// `key` up to and with the first separator beyond the prefix.
fn up_to_separator<'a>(key: &'a str, prefix: usize, separator: &str) -> &'a str {
    match key[prefix..].find(separator) {
        Some(at) if !separator.is_empty() => &key[..prefix + at + separator.len()],
        _ => key,
    }
}

/// The value itself. It is the user's: a browser must neither guess what it is nor run it.
fn raw(pair: &KvPair) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
    ];
    (headers, pair.value.clone()).into_response()
}

/// Answers whether the value was stored: always, but with `?cas`, `?acquire`, and `?release`.
pub async fn put(
    State(app): State<App>,
    key: Key,
    params: Params,
    RawBody(value): RawBody,
) -> Result<Response, HttpError> {
    let key = name(key);
    required(&key)?;
    params.exclusive(&["cas", "acquire", "release"])?;
    let flags = params.number("flags")?.unwrap_or(0);
    let op = if let Some(index) = params.number("cas")? {
        KvOp::Cas {
            key,
            value,
            flags,
            index: LogIndex(index),
        }
    } else if let Some(session) = params.get("acquire") {
        KvOp::Lock {
            key,
            value,
            flags,
            session: session::id(session)?,
        }
    } else if let Some(session) = params.get("release") {
        KvOp::Unlock {
            key,
            value,
            flags,
            session: session::id(session)?,
        }
    } else {
        KvOp::Set { key, value, flags }
    };
    stored(&app, &params, op).await
}

/// Answers whether the key is gone: always, but with `?cas`.
pub async fn delete(
    State(app): State<App>,
    key: Key,
    params: Params,
) -> Result<Response, HttpError> {
    let key = name(key);
    params.exclusive(&["recurse", "cas"])?;
    if !params.has("recurse") {
        required(&key)?;
    }
    let op = match params.number("cas")? {
        Some(index) => KvOp::DeleteCas {
            key,
            index: LogIndex(index),
        },
        None if params.has("recurse") => KvOp::DeleteTree { prefix: key },
        None => KvOp::Delete { key },
    };
    stored(&app, &params, op).await
}

async fn stored(app: &App, params: &Params, op: KvOp) -> Result<Response, HttpError> {
    let stored = app.propose(Command::Kv(op)).await?;
    let answer = match stored.result {
        Ok(_) => json(params, &true),
        Err(Rejected::Stale | Rejected::Locked | Rejected::NotLocked | Rejected::LockDelay) => {
            json(params, &false)
        }
        Err(other) => return Err(other.into()),
    };
    Ok(written(stored.index, answer))
}

fn name(key: Key) -> String {
    key.map(|Path(key)| key).unwrap_or_default()
}

fn required(key: &str) -> Result<(), HttpError> {
    if key.is_empty() {
        Err(HttpError::bad_request("Missing key name"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::up_to_separator;

    #[test]
    fn separators() {
        assert_eq!(up_to_separator("a/b/c", 0, "/"), "a/");
        assert_eq!(up_to_separator("a/b/c", 2, "/"), "a/b/");
        assert_eq!(up_to_separator("a/b/c", 4, "/"), "a/b/c");
        assert_eq!(up_to_separator("a/b/c", 0, ""), "a/b/c");
        assert_eq!(up_to_separator("x--y--z", 0, "--"), "x--");
    }
}
