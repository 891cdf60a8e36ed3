//! `/v1/kv/`: the key/value store.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use highwater::LogIndex;

use super::blocking::written;
use super::error::{Answered, require};
use super::request::{Asked, RawBody};
use super::session;
use crate::command::{Command, Rejected};
use crate::kv::{KvOp, KvPair, Verb, Write};

pub const NO_KEY: &str = "Missing key name";

/// One key, all keys below a prefix (`?recurse`), or their names alone (`?keys`).
pub async fn get(asked: Asked) -> Answered {
    let key = &asked.name;
    if asked.has("keys") {
        return keys(&asked).await;
    }
    let recurse = asked.has("recurse");
    require(!key.is_empty() || recurse, NO_KEY)?;
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
        let entries = db.kv().prefix(prefix);
        let names = entries.map(|kv| up_to_separator(&kv.key, prefix.len(), separator));
        let mut names: Vec<&str> = names.collect();
        names.dedup();
        names.into_iter().map(str::to_owned).collect::<Vec<_>>()
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
    let verb = match asked.one_of(&["cas", "acquire", "release"])? {
        Some("cas") => Write::Cas,
        Some("acquire") => Write::Lock,
        Some(_) => Write::Unlock,
        None => Write::Set,
    };
    stored(&asked, verb, value).await
}

/// Answers whether the key is gone: always, but with `?cas`.
pub async fn delete(asked: Asked) -> Answered {
    let verb = match asked.one_of(&["recurse", "cas"])? {
        Some("recurse") => Write::DeleteTree,
        Some(_) => Write::DeleteCas,
        None => Write::Delete,
    };
    stored(&asked, verb, Bytes::new()).await
}

async fn stored(asked: &Asked, verb: Write, value: Bytes) -> Answered {
    require(!asked.name.is_empty() || verb == Write::DeleteTree, NO_KEY)?;
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
        Err(Rejected::Conflict(_)) => false,
        Err(other) => return Err(other.into()),
    };
    Ok(written(stored.index, asked.json(&answer)))
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
