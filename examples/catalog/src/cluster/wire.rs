//! What nodes ask each other: each question is a request over HTTP, and has one answer.
//!
//! Both are `MessagePack` with named fields. That of an image is in a header, and the bytes of the image
//! are the body. There is no authentication: these ports belong into a network of the cluster's own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use highwater::fsm::RequestId;
use http_body_util::{BodyExt, Channel, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use openraft::alias::{SnapshotMetaOf, VoteOf};
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Member, MemberId, Types};
use crate::command::Command;
use crate::log::{Failure, in_full};

/// No question or answer is longer, in bytes: some dozen of the longest commands.
pub const MAX_BODY: usize = 64 << 20;
/// The `Content-Type` of every question. A browser does not send it to another site without asking, and
/// that is refused.
pub const MEDIA_TYPE: &str = "application/msgpack";
/// The header with the question that an image comes with.
pub const QUESTION: &str = "question";
/// So many connections to a node are kept for the next question.
const MAX_IDLE: usize = 64;
/// And for so long.
const IDLE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(1);
/// What is large is given more time: no network and disk that are used take longer for a KiB.
const KIB: Duration = Duration::from_millis(1);

/// A question to a node.
#[derive(Serialize, Deserialize)]
pub struct Ask<Q> {
    /// Whom it is for. A node of another life refuses it.
    pub to: Option<MemberId>,
    pub what: Q,
}

/// What is asked. In brackets: what an answer has.
#[derive(Clone, Serialize, Deserialize)]
pub enum What {
    /// Raft's own (`AppendEntriesResponse`).
    Append(AppendEntriesRequest<Types>),
    /// Raft's own (`VoteResponse`).
    Vote(VoteRequest<Types>),
    /// Raft's own (`VoteResponse`).
    PreVote(VoteRequest<Types>),
    /// Raft's own (`TransferLeaderResponse`).
    Transfer(TransferLeaderRequest<Types>),
    /// Of the leader: to have this logged and applied (`Response`).
    Write(Entry),
    /// Of the leader: the index that a read has to wait for (a `LogIndex`).
    ReadIndex,
    /// Who it is, and whom it is with ([`Hello`]).
    Hello,
    /// To be made a member (nothing).
    Join(MemberId, Member),
    /// To be a member no longer (nothing).
    Leave(MemberId),
}

/// Raft's own: what an image of so many bytes comes with (`SnapshotResponse`).
#[derive(Serialize, Deserialize)]
pub struct Image {
    pub vote: VoteOf<Types>,
    pub meta: SnapshotMetaOf<Types>,
    pub bytes: u64,
}

/// What is to come into the log. The leader gives it its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// Opens a session of a node.
    Session,
    /// A command in it.
    Command(RequestId, Command),
}

/// What a node says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    pub id: MemberId,
    pub member: Member,
    /// The numbers of the nodes that it was told of.
    pub told: BTreeSet<u64>,
    /// The voters of its cluster; none, if it has no cluster.
    pub voters: BTreeSet<MemberId>,
    /// Who leads, if it knows that.
    pub leader: Option<(MemberId, Member)>,
}

/// Where nodes are, and the connections to them.
#[derive(Clone, Debug)]
pub struct Peers {
    /// By number, as this process was told: newer than what Raft has kept.
    pub addresses: Arc<BTreeMap<u64, String>>,
    client: Client<HttpConnector, Body>,
}

impl Peers {
    pub fn new(addresses: BTreeMap<u64, String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new());
        Peers {
            addresses: Arc::new(addresses),
            client: client.build(connector),
        }
    }

    /// Where a member is.
    pub fn address<'a>(&'a self, id: MemberId, member: &'a Member) -> &'a str {
        self.addresses.get(&id.number).unwrap_or(&member.address)
    }

    /// A member, to be asked.
    pub fn member(&self, id: MemberId, member: &Member) -> Peer {
        Peer {
            to: Some(id),
            ..self.at(self.address(id, member))
        }
    }

    /// Whoever is there, to be asked.
    pub fn at(&self, address: &str) -> Peer {
        Peer {
            client: self.client.clone(),
            address: address.to_owned(),
            to: None,
        }
    }
}

/// A node to be asked.
#[derive(Debug)]
pub struct Peer {
    client: Client<HttpConnector, Body>,
    address: String,
    to: Option<MemberId>,
}

impl Peer {
    /// Asks, and waits for the answer for so long, and longer if the question is large. It is asked once
    /// more if its connection ends, as one that was kept may; not a write, whose tries are counted.
    pub async fn ask<R: DeserializeOwned>(
        &self,
        what: What,
        patience: Duration,
    ) -> Result<R, Failure> {
        let again = !matches!(what, What::Write(_));
        let question = Bytes::from(encode(&Ask { to: self.to, what })?);
        let patience = patience.saturating_add(time_for(question.len() as u64));
        let request = || {
            let request = Request::post(format!("http://{}/", self.address));
            let request = request.header(header::CONTENT_TYPE, MEDIA_TYPE);
            request.body(Body::from(question.clone()))
        };
        let again = again.then(request).transpose()?;
        let request = request()?;
        timeout(patience, self.send(request, again)).await?
    }

    /// Sends an image. `patience` is for each step, not for the whole; the answer
    /// is waited for longer if the image is large.
    pub async fn send_image<R: DeserializeOwned>(
        &self,
        what: Image,
        image: &mut (impl Read + Send),
        patience: Duration,
    ) -> Result<R, Failure> {
        const STEP: usize = 256 << 10;
        let (mut bytes, body) = Channel::<Bytes>::new(1);
        let installing = patience.saturating_add(time_for(what.bytes));
        let question = encode(&Ask { to: self.to, what })?;
        let request = Request::post(format!("http://{}/image", self.address))
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(QUESTION, STANDARD.encode(question))
            .body(Body::new(body))?;
        let sending = async {
            loop {
                let mut step = vec![0; STEP];
                let read = tokio::task::block_in_place(|| image.read(&mut step))?;
                if read == 0 {
                    break;
                }
                step.truncate(read);
                timeout(patience, bytes.send_data(step.into())).await??;
            }
            drop(bytes);
            // It is installed before it is answered. A node whose power is gone never does, and its
            // connection does not tell.
            tokio::time::sleep(installing).await;
            Err("the image was not installed in time".into())
        };
        tokio::select! {
            answer = self.send(request, None) => answer,
            failed = sending => failed,
        }
    }

    /// Sends a request, and the other one if the connection of the first ends.
    async fn send<R: DeserializeOwned>(
        &self,
        request: Request<Body>,
        again: Option<Request<Body>>,
    ) -> Result<R, Failure> {
        let mut response = self.client.request(request).await;
        if let Some(again) = again
            && matches!(&response, Err(error) if !error.is_connect())
        {
            response = self.client.request(again).await;
        }
        let response = response.map_err(|error| in_full(&error))?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), MAX_BODY).collect();
        let answer = answer.await?.to_bytes();
        if status.is_success() {
            decode(&answer)
        } else {
            let why = String::from_utf8_lossy(&answer);
            Err(format!("{status}: {why}").into())
        }
    }
}

/// What so many bytes are given.
fn time_for(bytes: u64) -> Duration {
    KIB.saturating_mul(u32::try_from(bytes >> 10).unwrap_or(u32::MAX))
}

pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    Ok(rmp_serde::to_vec_named(value)?)
}

pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    Ok(rmp_serde::from_slice(body)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers nothing to what it is asked first.
    #[tokio::test]
    async fn a_connection_that_ends_is_made_again() {
        let ask = |what| async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            thread::spawn(move || {
                let mut connections = listener.incoming().map(Result::unwrap);
                let mut asked = [0; 1024];
                let _ = connections.next().unwrap().read(&mut asked).unwrap();
                let mut again = connections.next().unwrap();
                let _ = again.read(&mut asked).unwrap();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\x07";
                again.write_all(answer).unwrap();
            });
            let peer = Peers::new(BTreeMap::new()).at(&address);
            peer.ask::<u64>(what, Duration::from_mins(1)).await
        };
        assert_eq!(ask(What::Hello).await.unwrap(), 7);
        // It may have been taken, and is numbered by who sends it.
        assert!(ask(What::Write(Entry::Session)).await.is_err());
    }
}
