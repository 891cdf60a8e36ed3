//! Making a check: a connection, or a request over plain HTTP.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::log::{Failure, in_full};
use crate::schema::{Definition, Status};

/// How long a check may take that does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is kept as the check's output, in bytes.
const MOST_OUTPUT: usize = 4096;

/// Makes the check once, and says what came of it.
pub async fn make(definition: &Definition) -> (Status, String) {
    let time = match definition.timeout.0 {
        Duration::ZERO => DEFAULT_TIMEOUT,
        time => time,
    };
    let made = timeout(time, async {
        if definition.http.is_empty() {
            connect(&definition.tcp).await
        } else {
            request(definition).await
        }
    });
    match made.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => (Status::Critical, error.to_string()),
        Err(_) => (Status::Critical, format!("no answer within {time:?}")),
    }
}

async fn connect(address: &str) -> Result<(Status, String), Failure> {
    TcpStream::connect(address)
        .await
        .map_err(|error| format!("TCP connect {address}: {error}"))?;
    Ok((Status::Passing, format!("TCP connect {address}: Success")))
}

/// Any 2xx passes, 429 warns, all else is critical.
async fn request(definition: &Definition) -> Result<(Status, String), Failure> {
    let (url, method) = (&definition.http, definition.method.as_str());
    let method = if method.is_empty() { "GET" } else { method };
    let mut request = Request::builder().method(method).uri(plain(url)?);
    for (name, values) in &definition.header {
        for value in values {
            request = request.header(name, value);
        }
    }
    let request = request.body(Body::from(definition.body.clone()))?;
    let mut client = Client::builder(TokioExecutor::new());
    // The next one is to make a connection again.
    let client = client.pool_max_idle_per_host(0).build_http();
    let answer = client.request(request).await;
    let answer = answer.map_err(|error| in_full(&error))?;
    let status = match answer.status() {
        code if code.is_success() => Status::Passing,
        StatusCode::TOO_MANY_REQUESTS => Status::Warning,
        _ => Status::Critical,
    };
    let code = answer.status();
    let text = Limited::new(answer.into_body(), MOST_OUTPUT).collect();
    let text = text
        .await
        .map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    let text = text.unwrap_or_else(|_| "(too long, or cut off)".to_owned());
    let output = format!("HTTP {method} {url}: {code} Output: {text}");
    Ok((status, output))
}

/// The URL of a request that is made here.
pub fn plain(url: &str) -> Result<Uri, Failure> {
    let uri: Uri = url.parse()?;
    if uri.scheme_str() != Some("http") {
        return Err(format!("{url:?}: only checks of http:// are made here").into());
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_is_requested() {
        for url in [
            "http://localhost",
            "http://10.0.0.1:81/a/b?c=d",
            "http://[::1]:81/",
        ] {
            assert!(plain(url).is_ok(), "{url}");
        }
        for url in ["", "localhost", "https://localhost", "http://", "/path"] {
            assert!(plain(url).is_err(), "{url}");
        }
    }
}
