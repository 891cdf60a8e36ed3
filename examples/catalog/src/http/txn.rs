//! `/v1/txn`: several operations on the key/value store, all or none.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::blocking::written;
use super::error::{Answered, HttpError};
use super::kv::NO_KEY;
use super::request::{Asked, JsonBody};
use crate::command::{Command, Rejected, Reply};
use crate::kv::{self, KvOp, KvPair, Read, TxnError, Verb, Write};

const MOST_OPS: usize = 128;

/// One operation: a member that names its kind.
#[derive(Deserialize)]
pub struct Op {
    kv: Option<Value>,
}

/// Applies the operations: 200 with their results, or 409 with the reasons. What only reads is answered
/// from a snapshot, and does not come into the log.
pub async fn put(asked: Asked, JsonBody(ops): JsonBody<Vec<Op>>) -> Answered {
    if ops.len() > MOST_OPS {
        let many = ops.len();
        let text = format!("Transaction contains too many operations ({many} > {MOST_OPS})");
        return Err(HttpError(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let (mut parsed, mut refused) = (Vec::new(), Vec::new());
    for (op_index, op) in ops.into_iter().enumerate() {
        match op.parse() {
            Ok(op) => parsed.push(op),
            Err(what) => refused.push(TxnError { op_index, what }),
        }
    }
    if !refused.is_empty() {
        return answer(&asked, Err(Rejected::Txn(refused)));
    }
    if parsed.iter().all(|op| matches!(op.verb, Verb::Read(_))) {
        let db = asked.snapshot().await?;
        let answer = answer(&asked, kv::read_all(&parsed, &db))?;
        return Ok(asked.indexed(db.index(), answer));
    }
    let done = asked.app.propose(Command::Txn(parsed)).await?;
    let pairs = done.result.map(|reply| match reply {
        Reply::Pairs(pairs) => pairs,
        _ => Vec::new(),
    });
    Ok(written(done.index, answer(&asked, pairs)?))
}

fn answer(asked: &Asked, outcome: Result<Vec<KvPair>, Rejected>) -> Answered {
    match outcome {
        Ok(pairs) => {
            let results: Vec<_> = pairs.iter().map(|pair| json!({ "KV": pair })).collect();
            Ok(asked.json(&json!({ "Results": results, "Errors": null })))
        }
        Err(Rejected::Txn(errors)) => {
            let answer = asked.json(&json!({ "Results": null, "Errors": errors }));
            Ok((StatusCode::CONFLICT, answer).into_response())
        }
        Err(other) => Err(other.into()),
    }
}

impl Op {
    fn parse(self) -> Result<KvOp, String> {
        let none = "only KV operations are supported in a transaction";
        let op = serde_json::from_value(self.kv.ok_or(none)?);
        let op: KvOp = op.map_err(|error| error.to_string())?;
        match op.verb {
            Verb::Read(Read::GetTree) | Verb::Write(Write::DeleteTree) => Ok(op),
            _ if op.key.is_empty() => Err(NO_KEY.to_owned()),
            _ => Ok(op),
        }
    }
}
