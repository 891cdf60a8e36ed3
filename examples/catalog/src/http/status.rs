//! `/v1/status/`: who leads. A node alone does; nodes of a cluster are named by where they talk to
//! each other.

use axum::response::Response;

use super::request::Asked;
use crate::cluster::Seen;

/// Empty, if nobody does.
pub async fn leader(asked: Asked) -> Response {
    let leader = addresses(&asked, |seen| seen.leader).pop();
    asked.json(&leader.unwrap_or_default())
}

pub async fn peers(asked: Asked) -> Response {
    asked.json(&addresses(&asked, |seen| seen.voter))
}

/// Where the members are that are so. One alone is all of it.
fn addresses(asked: &Asked, are: fn(&Seen) -> bool) -> Vec<String> {
    let Some(members) = asked.app.log.members() else {
        return vec![asked.app.agent.address.to_string()];
    };
    let members = members.into_iter().filter(are);
    members.map(|seen| seen.member.address).collect()
}
