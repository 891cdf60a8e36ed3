//! Answers what other nodes ask.

use std::io::{self, Write};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::routing::post;
use axum::serve::ListenerExt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use highwater::openraft_next::read_index;
use http_body_util::BodyExt;
use openraft::alias::SnapshotOf;
use openraft::raft::AppendEntriesResponse;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::wire::{Ask, Hello, Image, MAX_BODY, MEDIA_TYPE, QUESTION, What, decode, encode};
use super::{Node, TRY, Types, membership, network};
use crate::http::{Answered, HttpError};
use crate::log::Failure;

/// Serves until the node ends, and then answers what was asked.
pub async fn serve(node: Arc<Node>, listener: TcpListener) {
    let routes = Router::new()
        .route("/", post(ask))
        .route("/image", post(receive))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(of_a_node))
        .with_state(node.clone());
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    let serving = axum::serve(listener, routes.into_make_service());
    let serving = serving.with_graceful_shutdown(async move { node.ending.notified().await });
    // It does not fail.
    let _ = serving.await;
}

/// Refuses what a browser can be made to send by a page of somebody else.
async fn of_a_node(request: Request, next: Next) -> Answered {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) {
        let why = "here nodes ask nodes, and no web pages do";
        return Err(HttpError(StatusCode::FORBIDDEN, why.to_owned()));
    }
    if (headers.get(header::CONTENT_TYPE)).is_none_or(|given| given != MEDIA_TYPE) {
        let why = format!("expected the content-type {MEDIA_TYPE}");
        return Err(HttpError(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    Ok(next.run(request).await)
}

async fn ask(State(node): State<Arc<Node>>, question: Bytes) -> Result<Vec<u8>, HttpError> {
    let what = read(&node, &question)?;
    drop(question);
    Ok(answer(&node, what).await?)
}

/// What is asked of this node. What is asked of another life of it is refused.
fn read<Q: DeserializeOwned>(node: &Node, question: &[u8]) -> Result<Q, Failure> {
    let Ask { to, what } = decode(question)?;
    if to.is_some_and(|to| to != node.id) {
        return Err(format!("this is {}", node.id).into());
    }
    Ok(what)
}

/// What this node answers.
pub async fn answer(node: &Arc<Node>, what: What) -> Result<Vec<u8>, Failure> {
    let raft = &node.raft;
    match what {
        What::Append(request) => {
            let answer = raft.append_entries(request).await?;
            // One that was the leader is no contact.
            if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                node.hear();
            }
            encode(&answer)
        }
        What::Vote(request) => encode(&raft.vote(request).await?),
        What::PreVote(request) => encode(&raft.pre_vote(request).await?),
        What::Transfer(request) => encode(&raft.handle_transfer_leader(request).await?),
        What::Write(entry) => encode(&timeout(TRY, node.lead(entry)).await??),
        What::ReadIndex => encode(&timeout(TRY, read_index(raft)).await??),
        What::Hello => encode(&hello(node)),
        // Who asks may give up: a change of members that was begun goes on.
        What::Join(id, member) => {
            encode(&tokio::spawn(membership::admit(node.clone(), id, member)).await??)
        }
        What::Leave(id) => encode(&tokio::spawn(membership::dismiss(node.clone(), id)).await??),
    }
}

fn hello(node: &Node) -> Hello {
    let voters = node.members().into_iter().filter(|seen| seen.voter);
    Hello {
        id: node.id,
        member: node.member.clone(),
        told: node.peers.addresses.keys().copied().collect(),
        voters: voters.map(|seen| seen.id).collect(),
        leader: node.who_leads().map(|seen| (seen.id, seen.member)),
    }
}

/// Takes an image into a file, and installs it. What is asked is in a header.
async fn receive(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    image: Body,
) -> Result<Vec<u8>, HttpError> {
    Ok(install(&node, &headers, image).await?)
}

async fn install(node: &Node, headers: &HeaderMap, mut image: Body) -> Result<Vec<u8>, Failure> {
    let question = headers.get(QUESTION).map(HeaderValue::as_bytes);
    let question = STANDARD.decode(question.unwrap_or_default())?;
    let Image { vote, meta, bytes } = read(node, &question)?;
    let mut file = node.inbox.receive()?;
    let mut received = 0;
    while received <= bytes
        && let Some(frame) = timeout(network::STALLED, image.frame()).await?
    {
        let data = frame?.into_data().unwrap_or_default();
        tokio::task::block_in_place(|| file.write_all(&data))?;
        received += data.len() as u64;
    }
    if received != bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    node.hear();
    let snapshot = file;
    let image = SnapshotOf::<Types, _> { meta, snapshot };
    encode(&node.raft.install_full_snapshot(vote, image).await?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::machine::in_process;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_that_ends_keeps_no_connection() {
        let folder = tempfile::tempdir().unwrap();
        let node = in_process(1, folder.path()).await.remove(0);
        let mut connection = TcpStream::connect(&node.member.address).unwrap();
        let patience = Some(Duration::from_secs(30));
        connection.set_read_timeout(patience).unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = [0; 1024];
        let first = tokio::task::block_in_place(|| connection.read(&mut answer)).unwrap();
        assert!(answer[..first].starts_with(b"HTTP/1.1 415"));
        node.close(false).await.unwrap();
        let rest = tokio::task::block_in_place(|| connection.read_to_end(&mut Vec::new()));
        rest.unwrap();
    }
}
