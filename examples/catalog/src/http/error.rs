//! What a request that cannot be answered gets: a status and a line of text.

use std::fmt::Display;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use highwater::WaitError;

use crate::command::Rejected;
use crate::log::Failure;

/// What becomes of a request.
pub type Answered = Result<Response, HttpError>;

/// Refuses what a client has sent (400), if it is not as it has to be.
pub fn require(holds: bool, otherwise: impl Display) -> Result<(), HttpError> {
    if holds {
        Ok(())
    } else {
        Err(HttpError::bad_request(otherwise.to_string()))
    }
}

/// A refusal.
#[derive(Debug)]
pub struct HttpError(pub StatusCode, pub String);

impl HttpError {
    pub fn bad_request(text: impl Into<String>) -> Self {
        HttpError(StatusCode::BAD_REQUEST, text.into())
    }

    /// The catalog cannot take or answer this now; another try may succeed.
    pub fn unavailable(error: impl Display) -> Self {
        HttpError(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<Failure> for HttpError {
    fn from(error: Failure) -> Self {
        HttpError::unavailable(error)
    }
}

impl From<WaitError> for HttpError {
    fn from(error: WaitError) -> Self {
        HttpError::unavailable(error)
    }
}

impl From<Rejected> for HttpError {
    fn from(rejected: Rejected) -> Self {
        let status = match rejected {
            Rejected::Unknown(_) => StatusCode::NOT_FOUND,
            Rejected::Conflict(_) | Rejected::Txn(_) => StatusCode::CONFLICT,
            // As Consul does.
            Rejected::Session(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Rejected::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        HttpError(status, rejected.to_string())
    }
}
