//! `/v1/status/`: who leads. There is one server, and it does.

use axum::extract::State;
use axum::response::Response;

use super::blocking::json;
use super::request::Params;
use crate::app::App;

pub async fn leader(State(app): State<App>, params: Params) -> Response {
    json(&params, &app.agent.address.to_string())
}

pub async fn peers(State(app): State<App>, params: Params) -> Response {
    json(&params, &[app.agent.address.to_string()])
}
