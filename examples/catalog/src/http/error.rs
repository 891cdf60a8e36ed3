//! What a request that cannot be answered gets: a status and a line of text.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use highwater::WaitError;

use crate::command::Rejected;

/// What becomes of a request.
pub type Answered = Result<Response, HttpError>;

/// A refusal.
#[derive(Debug)]
pub struct HttpError {
    status: StatusCode,
    text: String,
}

impl HttpError {
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        HttpError {
            status,
            text: text.into(),
        }
    }

    pub fn bad_request(text: impl Into<String>) -> Self {
        HttpError::new(StatusCode::BAD_REQUEST, text)
    }

    /// The catalog cannot take or answer this now; another try may succeed.
    pub fn unavailable(error: impl std::fmt::Display) -> Self {
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        (self.status, self.text).into_response()
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
            Rejected::UnknownService(_) | Rejected::UnknownCheck(_) => StatusCode::NOT_FOUND,
            Rejected::Stale
            | Rejected::Absent
            | Rejected::Exists
            | Rejected::Locked
            | Rejected::NotLocked
            | Rejected::LockDelay
            | Rejected::Txn(_) => StatusCode::CONFLICT,
            // As Consul does.
            Rejected::InvalidSession(_) | Rejected::Session(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Rejected::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        HttpError::new(status, rejected.to_string())
    }
}
