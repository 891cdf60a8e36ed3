//! `/v1/health/`: services with the checks that say whether they work.

use serde_json::{Value, json};

use super::catalog::instances;
use super::error::{Answered, HttpError};
use super::request::Asked;
use super::shapes;
use crate::schema::{CatalogView, Status};

/// The checks of a node and of the services on it.
pub fn node(db: &CatalogView, asked: &Asked) -> Vec<Value> {
    let checks = db.checks().leading(&asked.name);
    checks.map(|check| shapes::check(db, check)).collect()
}

/// The checks of all instances of a service.
pub fn checks(db: &CatalogView, asked: &Asked) -> Vec<Value> {
    let services = db.services().by_name(&asked.name);
    let wanted = services.filter(|service| asked.wants_node(db, &service.node));
    let checks = wanted.flat_map(|of| db.checks().by_service((&of.node, &of.id)));
    checks.map(|check| shapes::check(db, check)).collect()
}

/// The checks in a state, or in `any`.
pub async fn state(asked: Asked) -> Answered {
    let status = match asked.name.as_str() {
        "any" => None,
        "passing" => Some(Status::Passing),
        "warning" => Some(Status::Warning),
        "critical" => Some(Status::Critical),
        other => {
            let text = format!("Invalid check state: {other:?}");
            return Err(HttpError::bad_request(text));
        }
    };
    let query = |db: &CatalogView| {
        let checks = match status {
            Some(status) => db.checks().by_status(status),
            None => db.checks().iter(),
        };
        let wanted = checks.filter(|check| asked.wants_node(db, &check.node));
        let shown = wanted.map(|check| shapes::check(db, check));
        shown.collect::<Vec<_>>()
    };
    asked.answer(query).await
}

/// The instances of a service, each with the checks of its node and its own; `?passing`: only
/// those of which all pass.
pub async fn service(asked: Asked) -> Answered {
    let passing = asked.flag("passing")?;
    let query = |db: &CatalogView| {
        let mut found = Vec::new();
        for (service, node) in instances(db, &asked) {
            let of_node = db.checks().by_node_alone(&service.node);
            let of_service = db.checks().by_service((&service.node, &service.id));
            let checks: Vec<_> = of_node.chain(of_service).collect();
            if !passing || checks.iter().all(|check| check.status == Status::Passing) {
                found.push(json!({
                    "Node": shapes::node(node),
                    "Service": shapes::service(service),
                    "Checks": checks.iter().map(|c| shapes::check(db, c)).collect::<Vec<_>>(),
                }));
            }
        }
        found
    };
    asked.answer(query).await
}
