//! `/v1/operator/raft/`: the members of the cluster.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;

use super::error::{Answered, HttpError, require};
use super::request::Asked;
use crate::app::App;
use crate::cluster::Node;

fn cluster(app: &App) -> Result<&Arc<Node>, HttpError> {
    let alone = || HttpError::bad_request("This node is not in a cluster");
    app.log.cluster().ok_or_else(alone)
}

pub async fn configuration(asked: Asked) -> Answered {
    let members = cluster(&asked.app)?.members().into_iter();
    let servers = members.map(|seen| {
        json!({
            "ID": seen.id.number.to_string(),
            "Node": seen.member.name,
            "Address": seen.member.address,
            "Leader": seen.leader,
            "Voter": seen.voter,
            "ProtocolVersion": "3",
        })
    });
    let index = asked.app.store.position().index;
    Ok(asked.json(&json!({ "Servers": servers.collect::<Vec<_>>(), "Index": index })))
}

/// Removes a member: `?id` is its number, `?address` where it talks to the others.
pub async fn remove(asked: Asked) -> Result<StatusCode, HttpError> {
    let given = asked.one_of(&["id", "address"])?.is_some();
    require(
        given,
        "Must specify either ?id with the number of a node or ?address",
    )?;
    let (id, address) = (asked.number("id")?, asked.get("address"));
    let node = cluster(&asked.app)?;
    let gone = node.members().into_iter().find(|seen| {
        Some(seen.id.number) == id || address.is_some_and(|at| at == seen.member.address)
    });
    let absent = "no such node is in the cluster".to_owned();
    let gone = gone.ok_or(HttpError(StatusCode::NOT_FOUND, absent))?;
    node.remove(gone.id).await?;
    Ok(StatusCode::OK)
}

/// `/v1/agent/leave`: this node leaves its cluster, and ends.
pub async fn leave(asked: Asked) -> Result<StatusCode, HttpError> {
    if let Some(node) = asked.app.log.cluster() {
        node.remove(node.id).await?;
    }
    asked.app.end.notify_one();
    Ok(StatusCode::OK)
}
