//! `/v1/operator/raft/`: the members of the cluster.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::blocking::json as body;
use super::error::HttpError;
use super::request::Params;
use crate::app::App;
use crate::cluster::Node;
use crate::log::Log;

fn cluster(app: &App) -> Result<&Node, HttpError> {
    match &*app.log {
        Log::Cluster(node) => Ok(node),
        Log::Alone(..) => Err(HttpError::bad_request("This node is not in a cluster")),
    }
}

pub async fn configuration(State(app): State<App>, params: Params) -> Result<Response, HttpError> {
    let servers: Vec<Value> = cluster(&app)?
        .members()
        .into_iter()
        .map(|seen| {
            json!({
                "ID": seen.id.number.to_string(),
                "Node": seen.member.name,
                "Address": seen.member.address,
                "Leader": seen.leader,
                "Voter": seen.voter,
                "ProtocolVersion": "3",
            })
        })
        .collect();
    Ok(body(
        &params,
        &json!({ "Servers": servers, "Index": app.store.position().index }),
    ))
}

/// Removes a member: `?id` is its number, `?address` where it talks to the others.
pub async fn remove(State(app): State<App>, params: Params) -> Result<StatusCode, HttpError> {
    params.exclusive(&["id", "address"])?;
    let (id, address) = (params.number("id")?, params.get("address"));
    if id.is_none() && address.is_none() {
        return Err(HttpError::bad_request(
            "Must specify either ?id with the number of a node or ?address",
        ));
    }
    let node = cluster(&app)?;
    let gone = node.members().into_iter().find(|seen| {
        Some(seen.id.number) == id || address.is_some_and(|at| at == seen.member.address)
    });
    let Some(gone) = gone else {
        return Err(HttpError::new(
            StatusCode::NOT_FOUND,
            "no such node is in the cluster",
        ));
    };
    node.remove(gone.id).await.map_err(HttpError::unavailable)?;
    Ok(StatusCode::OK)
}

/// `/v1/agent/leave`: this node leaves its cluster, and ends.
pub async fn leave(State(app): State<App>) -> Result<StatusCode, HttpError> {
    if let Log::Cluster(node) = &*app.log {
        let left = node.remove(node.id()).await;
        left.map_err(HttpError::unavailable)?;
    }
    app.end.notify_one();
    Ok(StatusCode::OK)
}
