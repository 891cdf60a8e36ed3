//! Making a check: a connection, or a request over plain HTTP.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::log::Failure;
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
    let Definition {
        http: url,
        header,
        method,
        body,
        ..
    } = definition;
    let method = if method.is_empty() { "GET" } else { method };
    let (host, uri) = target(url)?;
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::HOST, &host);
    for (name, values) in header {
        for value in values {
            request = request.header(name, value);
        }
    }
    let request = request.body(Body::from(body.clone()))?;
    let socket = TcpStream::connect(&host).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let code = answer.status();
    let text = Limited::new(answer.into_body(), MOST_OUTPUT)
        .collect()
        .await;
    connection.abort();
    let text = text.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    let status = match code {
        code if code.is_success() => Status::Passing,
        StatusCode::TOO_MANY_REQUESTS => Status::Warning,
        _ => Status::Critical,
    };
    let text = text.unwrap_or_else(|_| "(too long, or cut off)".to_owned());
    Ok((
        status,
        format!("HTTP {method} {url}: {code} Output: {text}"),
    ))
}

/// Where to connect to, and what to ask for there.
pub fn target(url: &str) -> Result<(String, Uri), Failure> {
    let uri: Uri = url.parse()?;
    if uri.scheme_str() != Some("http") {
        return Err(format!("{url:?}: only checks of http:// are made here").into());
    }
    let host = uri
        .host()
        .filter(|host| !host.is_empty())
        .ok_or("the URL has no host")?;
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((address, path.parse()?))
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn targets() {
        let parts = |url: &str| target(url).map(|(host, uri)| (host, uri.to_string())).ok();
        let is = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
        assert_eq!(parts("http://localhost"), is("localhost:80", "/"));
        assert_eq!(
            parts("http://10.0.0.1:81/a/b?c=d"),
            is("10.0.0.1:81", "/a/b?c=d")
        );
        assert_eq!(parts("http://[::1]:81/"), is("[::1]:81", "/"));
        for url in ["", "localhost", "https://localhost", "http://", "/path"] {
            assert_eq!(parts(url), None, "{url}");
        }
    }
}
