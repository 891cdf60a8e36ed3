//! `/v1/status/`: who leads. A node alone does; nodes of a cluster are named by where they talk to
//! each other.

use axum::response::Response;

use super::request::Asked;

/// Empty, if nobody does.
pub async fn leader(asked: Asked) -> Response {
    let leader = match asked.app.log.members() {
        None => asked.app.agent.address.to_string(),
        Some(members) => {
            let leader = members.into_iter().find(|seen| seen.leader);
            leader.map(|seen| seen.member.address).unwrap_or_default()
        }
    };
    asked.json(&leader)
}

pub async fn peers(asked: Asked) -> Response {
    let peers = match asked.app.log.members() {
        None => vec![asked.app.agent.address.to_string()],
        Some(members) => {
            let voters = members.into_iter().filter(|seen| seen.voter);
            voters.map(|seen| seen.member.address).collect()
        }
    };
    asked.json(&peers)
}
