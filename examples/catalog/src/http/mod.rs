//! The routes of Consul's HTTP interface.

mod agent;
mod blocking;
mod catalog;
mod error;
mod event;
mod health;
mod kv;
mod operator;
mod request;
mod session;
mod shapes;
mod status;
mod txn;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{delete, get, put};

use crate::app::App;
use crate::schema::Status::{Critical, Passing, Warning};
use blocking::{read, read_now};
pub use error::{Answered, HttpError};

/// The largest body, and so the largest value, in bytes.
const MAX_BODY: usize = 512 * 1024;

pub fn router(app: App) -> Router {
    let kv = get(kv::get).put(kv::put).delete(kv::delete);
    Router::new()
        .route("/v1/kv/", kv.clone())
        .route("/v1/kv/{*key}", kv)
        .route("/v1/txn", put(txn::put))
        .route("/v1/session/create", put(session::create))
        .route("/v1/session/destroy/{id}", put(session::destroy))
        .route("/v1/session/renew/{id}", put(session::renew))
        .route("/v1/session/info/{id}", get(session::info))
        .route("/v1/session/list", read(session::list))
        .route("/v1/session/node/{*name}", read(session::of_node))
        .route("/v1/event/fire/{*name}", put(event::fire))
        .route("/v1/event/list", get(event::list))
        .route("/v1/agent/self", get(agent::self_))
        .route("/v1/agent/members", get(agent::members))
        .route("/v1/agent/services", read_now(agent::services))
        .route("/v1/agent/checks", read_now(agent::checks))
        .route("/v1/agent/service/register", put(agent::register_service))
        .route(
            "/v1/agent/service/deregister/{*id}",
            put(agent::deregister_service),
        )
        .route("/v1/agent/check/register", put(agent::register_check))
        .route(
            "/v1/agent/check/deregister/{*id}",
            put(agent::deregister_check),
        )
        .route("/v1/agent/check/pass/{*id}", agent::says(Passing))
        .route("/v1/agent/check/warn/{*id}", agent::says(Warning))
        .route("/v1/agent/check/fail/{*id}", agent::says(Critical))
        .route("/v1/agent/check/update/{*id}", put(agent::update))
        .route("/v1/agent/leave", put(operator::leave))
        .route("/v1/catalog/register", put(catalog::register))
        .route("/v1/catalog/deregister", put(catalog::deregister))
        .route("/v1/catalog/datacenters", get(catalog::datacenters))
        .route("/v1/catalog/nodes", read(catalog::nodes))
        .route("/v1/catalog/node/{*name}", read(catalog::node))
        .route("/v1/catalog/services", read(catalog::services))
        .route("/v1/catalog/service/{*name}", read(catalog::service))
        .route("/v1/health/node/{*name}", read(health::node))
        .route("/v1/health/checks/{*name}", read(health::checks))
        .route("/v1/health/state/{*state}", get(health::state))
        .route("/v1/health/service/{*name}", get(health::service))
        .route("/v1/status/leader", get(status::leader))
        .route(
            "/v1/operator/raft/configuration",
            get(operator::configuration),
        )
        .route("/v1/operator/raft/peer", delete(operator::remove))
        .route("/v1/status/peers", get(status::peers))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
}

async fn unknown(uri: Uri) -> HttpError {
    let text = format!("Invalid URL path: {} is no endpoint here", uri.path());
    HttpError(StatusCode::NOT_FOUND, text)
}

async fn not_allowed(method: Method) -> HttpError {
    let text = format!("method {method} not allowed");
    HttpError(StatusCode::METHOD_NOT_ALLOWED, text)
}
