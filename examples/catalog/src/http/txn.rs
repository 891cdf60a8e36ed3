//! `/v1/txn`: several operations on the key/value store, all or none.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use highwater::LogIndex;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::blocking::{json as body, written};
use super::error::HttpError;
use super::request::{JsonBody, Params};
use crate::app::App;
use crate::command::{Command, Rejected, Reply};
use crate::kv::{self, KvOp, KvPair, KvRead, TxnError};

const MOST_OPS: usize = 128;

/// One operation: a member that names its kind.
#[derive(Deserialize)]
pub struct Op {
    kv: Option<KvBody>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KvBody {
    verb: String,
    key: String,
    value: String,
    flags: u64,
    index: LogIndex,
    session: String,
}

/// Applies the operations: 200 with their results, or 409 with the reasons.
pub async fn put(
    State(app): State<App>,
    params: Params,
    JsonBody(ops): JsonBody<Vec<Op>>,
) -> Result<Response, HttpError> {
    if ops.len() > MOST_OPS {
        return Err(HttpError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "Transaction contains too many operations ({} > {MOST_OPS})",
                ops.len()
            ),
        ));
    }
    let (mut parsed, mut refused) = (Vec::new(), Vec::new());
    for (op_index, op) in ops.into_iter().enumerate() {
        match op.parse() {
            Ok(op) => parsed.push(op),
            Err(what) => refused.push(TxnError { op_index, what }),
        }
    }
    let (at, outcome) = if refused.is_empty() {
        run(&app, &params, parsed).await?
    } else {
        (At::Nothing, Err(refused))
    };
    let answer = match outcome {
        Ok(pairs) => {
            let results: Vec<_> = pairs.iter().map(|pair| json!({ "KV": pair })).collect();
            body(&params, &json!({ "Results": results, "Errors": null }))
        }
        Err(errors) => {
            let answer = body(&params, &json!({ "Results": null, "Errors": errors }));
            (StatusCode::CONFLICT, answer).into_response()
        }
    };
    Ok(match at {
        At::Nothing => answer,
        At::Read(index) => app.indexed(index, answer),
        At::Written(index) => written(index, answer),
    })
}

/// Where in the log an answer is from.
enum At {
    Nothing,
    Read(LogIndex),
    Written(LogIndex),
}

type Outcome = Result<Vec<KvPair>, Vec<TxnError>>;

/// Through the log; what only reads is answered from a snapshot.
async fn run(app: &App, params: &Params, ops: Vec<KvOp>) -> Result<(At, Outcome), HttpError> {
    let reads: Option<Vec<KvRead>> = ops.iter().map(KvOp::as_read).collect();
    let (at, outcome) = if let Some(reads) = reads {
        let db = app.snapshot(params).await?;
        (At::Read(db.index()), kv::read_all(reads, &db))
    } else {
        let written = app.propose(Command::Txn(ops)).await?;
        let outcome = written.result.map(|reply| match reply {
            Reply::Pairs(pairs) => pairs,
            _ => Vec::new(),
        });
        (At::Written(written.index), outcome)
    };
    match outcome {
        Ok(pairs) => Ok((at, Ok(pairs))),
        Err(Rejected::Txn(errors)) => Ok((at, Err(errors))),
        Err(other) => Err(other.into()),
    }
}

impl Op {
    fn parse(self) -> Result<KvOp, String> {
        let Some(KvBody {
            verb,
            key,
            value,
            flags,
            index,
            session,
        }) = self.kv
        else {
            return Err("only KV operations are supported in a transaction".to_owned());
        };
        let value = Bytes::from(
            STANDARD
                .decode(value)
                .map_err(|error| format!("failed to decode value: {error}"))?,
        );
        if key.is_empty() && !matches!(verb.as_str(), "get-tree" | "delete-tree") {
            return Err("Missing key name".to_owned());
        }
        Ok(match verb.as_str() {
            "set" => KvOp::Set { key, value, flags },
            "cas" => KvOp::Cas {
                key,
                value,
                flags,
                index,
            },
            "lock" => KvOp::Lock {
                key,
                value,
                flags,
                session: session_id(&session)?,
            },
            "unlock" => KvOp::Unlock {
                key,
                value,
                flags,
                session: session_id(&session)?,
            },
            "delete" => KvOp::Delete { key },
            "delete-cas" => KvOp::DeleteCas { key, index },
            "delete-tree" => KvOp::DeleteTree { prefix: key },
            "get" => KvOp::Read(KvRead::Get { key }),
            "get-or-empty" => KvOp::Read(KvRead::GetOrEmpty { key }),
            "get-tree" => KvOp::Read(KvRead::GetTree { prefix: key }),
            "check-index" => KvOp::Read(KvRead::CheckIndex { key, index }),
            "check-session" => KvOp::Read(KvRead::CheckSession {
                key,
                session: session_id(&session)?,
            }),
            "check-not-exists" => KvOp::Read(KvRead::CheckNotExists { key }),
            _ => return Err(format!("unknown KV verb {verb:?}")),
        })
    }
}

fn session_id(text: &str) -> Result<Uuid, String> {
    text.parse()
        .map_err(|_| Rejected::InvalidSession(text.to_owned()).to_string())
}
