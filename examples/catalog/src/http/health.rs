//! `/v1/health/`: services with the checks that say whether they work.

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;

use super::error::HttpError;
use super::request::Params;
use super::shapes;
use crate::app::App;
use crate::schema::Status;

/// The checks of a node and of the services on it.
pub async fn node(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    app.answer(&params, |db| {
        let checks = db.checks().leading(&name);
        checks
            .map(|check| shapes::check(db, check))
            .collect::<Vec<_>>()
    })
    .await
}

/// The checks of all instances of a service.
pub async fn checks(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    app.answer(&params, |db| {
        let mut found = Vec::new();
        for service in db.services().by_name(&name) {
            let node = db.nodes().get(&service.node);
            if node.is_some_and(|node| params.wants_node(&node.meta)) {
                let checks = db.checks().by_service((&service.node, &service.id));
                found.extend(checks.map(|check| shapes::check(db, check)));
            }
        }
        found
    })
    .await
}

/// The checks in a state, or in `any`.
pub async fn state(
    State(app): State<App>,
    Path(state): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let status = match state.as_str() {
        "any" => None,
        "passing" => Some(Status::Passing),
        "warning" => Some(Status::Warning),
        "critical" => Some(Status::Critical),
        _ => {
            return Err(HttpError::bad_request(format!(
                "Invalid check state: {state:?}"
            )));
        }
    };
    app.answer(&params, |db| {
        let checks = match status {
            Some(status) => db.checks().by_status(status),
            None => db.checks().iter(),
        };
        let wanted = checks.filter(|check| {
            db.nodes()
                .get(&check.node)
                .is_some_and(|node| params.wants_node(&node.meta))
        });
        wanted
            .map(|check| shapes::check(db, check))
            .collect::<Vec<_>>()
    })
    .await
}

/// The instances of a service, each with the checks of its node and its own; `?passing`: only
/// those of which all pass.
pub async fn service(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let passing = params.flag("passing")?;
    app.answer(&params, |db| {
        let mut found = Vec::new();
        for service in db
            .services()
            .by_name(&name)
            .filter(|s| params.wants_tags(&s.tags))
        {
            let Some(node) = db.nodes().get(&service.node) else {
                continue;
            };
            let of_node = db.checks().by_node_alone(&service.node);
            let of_service = db.checks().by_service((&service.node, &service.id));
            let checks: Vec<_> = of_node.chain(of_service).collect();
            let passes = checks.iter().all(|check| check.status == Status::Passing);
            if params.wants_node(&node.meta) && (passes || !passing) {
                found.push(json!({
                    "Node": shapes::node(node),
                    "Service": shapes::service(service),
                    "Checks": checks.iter().map(|c| shapes::check(db, c)).collect::<Vec<_>>(),
                }));
            }
        }
        found
    })
    .await
}
