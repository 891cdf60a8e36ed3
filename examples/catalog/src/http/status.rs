//! `/v1/status/`: who leads. A node alone does; nodes of a cluster are named by where they talk to
//! each other.

use axum::extract::State;
use axum::response::Response;

use super::blocking::json;
use super::request::Params;
use crate::app::App;

/// Empty, if nobody does.
pub async fn leader(State(app): State<App>, params: Params) -> Response {
    let leader = match app.log.members() {
        None => app.agent.address.to_string(),
        Some(members) => {
            let leader = members.into_iter().find(|seen| seen.leader);
            leader.map(|seen| seen.member.address).unwrap_or_default()
        }
    };
    json(&params, &leader)
}

pub async fn peers(State(app): State<App>, params: Params) -> Response {
    let peers = match app.log.members() {
        None => vec![app.agent.address.to_string()],
        Some(members) => members
            .into_iter()
            .filter(|seen| seen.voter)
            .map(|seen| seen.member.address)
            .collect(),
    };
    json(&params, &peers)
}
