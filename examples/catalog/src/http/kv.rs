//! `/v1/kv/`: the key/value store.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use highwater::LogIndex;

use super::blocking::written;
use super::error::{Answered, HttpError};
use super::request::{Asked, RawBody};
use super::session;
use crate::command::{Command, Rejected};
use crate::kv::{KvOp, KvPair, Verb, Write};

/// One key, all keys below a prefix (`?recurse`), or their names alone (`?keys`).
pub async fn get(asked: Asked) -> Answered {
    let key = &asked.name;
    if asked.has("keys") {
        return keys(&asked).await;
    }
    let recurse = asked.has("recurse");
    if !recurse {
        required(key)?;
    }
    let found = asked.read(|db| {
        if recurse {
            db.kv().prefix(key).map(KvPair::from).collect()
        } else {
            Vec::from_iter(db.kv().get(key).map(KvPair::from))
        }
    });
    let found = found.await?;
    let response = match found.value.as_slice() {
        [] => StatusCode::NOT_FOUND.into_response(),
        [pair] if asked.has("raw") && !recurse => raw(pair),
        pairs => asked.json(&pairs),
    };
    Ok(asked.indexed(found.index, response))
}

async fn keys(asked: &Asked) -> Answered {
    let prefix = &asked.name;
    // Clients older than the correction of its spelling send the other one.
    let separator = asked.get("separator").or(asked.get("seperator"));
    let separator = separator.unwrap_or_default();
    let found = asked.read(|db| {
        let mut names: Vec<String> = Vec::new();
        for entry in db.kv().prefix(prefix) {
            let name = up_to_separator(&entry.key, prefix.len(), separator);
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
        }
        names
    });
    let found = found.await?;
    let response = if found.value.is_empty() && !prefix.is_empty() {
        StatusCode::NOT_FOUND.into_response()
    } else {
        asked.json(&found.value)
    };
    Ok(asked.indexed(found.index, response))
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
pub async fn put(asked: Asked, RawBody(value): RawBody) -> Answered {
    required(&asked.name)?;
    asked.exclusive(&["cas", "acquire", "release"])?;
    let verb = if asked.has("cas") {
        Write::Cas
    } else if asked.has("acquire") {
        Write::Lock
    } else if asked.has("release") {
        Write::Unlock
    } else {
        Write::Set
    };
    stored(&asked, verb, value).await
}

/// Answers whether the key is gone: always, but with `?cas`.
pub async fn delete(asked: Asked) -> Answered {
    asked.exclusive(&["recurse", "cas"])?;
    let verb = if asked.has("recurse") {
        Write::DeleteTree
    } else {
        required(&asked.name)?;
        if asked.has("cas") {
            Write::DeleteCas
        } else {
            Write::Delete
        }
    };
    stored(&asked, verb, Bytes::new()).await
}

async fn stored(asked: &Asked, verb: Write, value: Bytes) -> Answered {
    let session = asked.get("acquire").or(asked.get("release"));
    let op = KvOp {
        verb: Verb::Write(verb),
        key: asked.name.clone(),
        value,
        flags: asked.number("flags")?.unwrap_or(0),
        index: LogIndex(asked.number("cas")?.unwrap_or(0)),
        session: session.map(session::id).transpose()?,
    };
    let stored = asked.app.propose(Command::Kv(op)).await?;
    let answer = match stored.result {
        Ok(_) => true,
        Err(Rejected::Stale | Rejected::Locked | Rejected::NotLocked | Rejected::LockDelay) => {
            false
        }
        Err(other) => return Err(other.into()),
    };
    Ok(written(stored.index, asked.json(&answer)))
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
