//! What nodes ask each other over TCP: a question, then its answer, one at a time a connection.
//!
//! Each is a frame: a length of four bytes (big-endian), then `MessagePack` with named fields. The
//! bytes of an image follow the frame that announces them. There is no authentication: these ports
//! belong into a network of the cluster's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use highwater::fsm::RequestId;
use openraft::alias::{SnapshotMetaOf, VoteOf};
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Member, MemberId, Types};
use crate::command::Command;

/// No question or answer is longer, in bytes: some dozen of the longest commands.
const MAX_FRAME: usize = 64 << 20;
/// So many connections to a node are kept for the next question.
const MAX_IDLE: usize = 64;
const CONNECT: Duration = Duration::from_secs(1);
/// What is large is given more time: no network and disk that are used take longer for a KiB.
const KIB: Duration = Duration::from_millis(1);

/// A question to a node.
#[derive(Serialize, Deserialize)]
pub struct Ask {
    /// Whom it is for. A node of another life refuses it.
    pub to: Option<MemberId>,
    pub what: What,
}

/// What is asked. In brackets: what an answer has.
#[derive(Serialize, Deserialize)]
pub enum What {
    /// Raft's own (`AppendEntriesResponse`).
    Append(AppendEntriesRequest<Types>),
    /// Raft's own (`VoteResponse`).
    Vote(VoteRequest<Types>),
    /// Raft's own (`VoteResponse`).
    PreVote(VoteRequest<Types>),
    /// Raft's own (`TransferLeaderResponse`).
    Transfer(TransferLeaderRequest<Types>),
    /// Raft's own: an image, whose bytes follow (`SnapshotResponse`).
    Image {
        vote: VoteOf<Types>,
        meta: SnapshotMetaOf<Types>,
        bytes: u64,
    },
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

/// What is to come into the log. The leader gives it its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// Opens a session of a node.
    Session { ttl: Duration, window: u32 },
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
}

/// Why a node did not do what it was asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Refused {
    /// It is not the leader, but knows who is.
    Follow(MemberId, Member),
    /// Something else; another try may succeed.
    Other(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Follow(leader, _) => write!(f, "the leader is node {leader}"),
            Refused::Other(why) => f.write_str(why),
        }
    }
}

pub type Answered<R> = Result<R, Refused>;

/// The bytes of an image on their way to a node.
pub trait Attachment: io::Read + Send {}

impl<R: io::Read + Send> Attachment for R {}

/// Where nodes are, and connections to them.
#[derive(Clone, Debug, Default)]
pub struct Peers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// By number, as this process was told: newer than what Raft has kept.
    addresses: BTreeMap<u64, String>,
    idle: Mutex<HashMap<String, Vec<TcpStream>>>,
}

impl Peers {
    pub fn new(addresses: BTreeMap<u64, String>) -> Self {
        Peers(Arc::new(Shared {
            addresses,
            idle: Mutex::default(),
        }))
    }

    /// All that this process was told of.
    pub fn addresses(&self) -> &BTreeMap<u64, String> {
        &self.0.addresses
    }

    /// Where a member is.
    pub fn address<'a>(&'a self, id: MemberId, member: &'a Member) -> &'a str {
        self.0.addresses.get(&id.number).unwrap_or(&member.address)
    }

    /// Asks, and waits for the answer for so long, and longer if the question is large.
    pub async fn ask<R: DeserializeOwned>(
        &self,
        address: &str,
        ask: &Ask,
        patience: Duration,
    ) -> io::Result<Answered<R>> {
        let frame = encode(ask)?;
        let patience = patience.saturating_add(time_for(frame.len()));
        let asking = async {
            // A connection that was kept may have ended since: then a new one is made. Whatever
            // is asked may be asked twice.
            if let Some(kept) = self.kept(address)
                && let Ok(answer) = self.exchange(address, kept, &frame).await
            {
                return Ok(answer);
            }
            let stream = connect(address).await?;
            self.exchange(address, stream, &frame).await
        };
        let answer = timeout(patience, asking).await??;
        decode(&answer)
    }

    /// Asks what has an image with it. `patience` is for each step, not for the whole; the answer
    /// is waited for longer if the image is large.
    pub async fn send_image<R: DeserializeOwned>(
        &self,
        address: &str,
        ask: &Ask,
        image: &mut impl Attachment,
        patience: Duration,
    ) -> io::Result<Answered<R>> {
        const STEP: usize = 256 << 10;
        let frame = encode(ask)?;
        let mut stream = connect(address).await?;
        timeout(patience, stream.write_all(&frame)).await??;
        let mut buffer = vec![0; STEP];
        let mut sent = 0_usize;
        loop {
            let read = tokio::task::block_in_place(|| image.read(&mut buffer))?;
            if read == 0 {
                break;
            }
            sent = sent.saturating_add(read);
            timeout(patience, stream.write_all(&buffer[..read])).await??;
        }
        // It is installed before it is answered. A node whose power is gone never does, and its
        // connection does not tell.
        let patience = patience.saturating_add(time_for(sent));
        let answer = timeout(patience, read_frame(&mut stream)).await??;
        decode(&answer.ok_or(ErrorKind::UnexpectedEof)?)
    }

    fn kept(&self, address: &str) -> Option<TcpStream> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(address)?.pop()
    }

    async fn exchange(
        &self,
        address: &str,
        mut stream: TcpStream,
        frame: &[u8],
    ) -> io::Result<Vec<u8>> {
        stream.write_all(frame).await?;
        let answer = read_frame(&mut stream).await?;
        let answer = answer.ok_or(ErrorKind::UnexpectedEof)?;
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = idle.entry(address.to_owned()).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(stream);
        }
        Ok(answer)
    }
}

/// What so many bytes are given.
fn time_for(bytes: usize) -> Duration {
    KIB.saturating_mul(u32::try_from(bytes >> 10).unwrap_or(u32::MAX))
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A frame with its length.
fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    rmp_serde::encode::write_named(&mut frame, value).map_err(io::Error::other)?;
    let body = frame.len() - 4;
    if body > MAX_FRAME {
        return Err(io::Error::other(format!("a message of {body} bytes")));
    }
    let length = u32::try_from(body).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

pub fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(body).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// The next frame; none if the other has ended.
pub async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match from.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length as usize > MAX_FRAME {
        let what = format!("a message of {length} bytes");
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    // Grows with what comes, not with what is announced.
    let mut body = Vec::new();
    let read = from.take(length.into()).read_to_end(&mut body).await?;
    if read == length as usize {
        Ok(Some(body))
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}

pub async fn write_frame(
    to: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> io::Result<()> {
    to.write_all(&encode(value)?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_end_where_they_say() {
        let frame = encode(&Ask {
            to: None,
            what: What::Hello,
        })
        .unwrap();
        let two = [frame.clone(), frame.clone()].concat();
        let mut from = two.as_slice();
        for _ in 0..2 {
            let body = read_frame(&mut from).await.unwrap().unwrap();
            assert!(matches!(
                decode(&body),
                Ok(Ask {
                    to: None,
                    what: What::Hello
                })
            ));
        }
        assert!(read_frame(&mut from).await.unwrap().is_none());
        for cut in 4..frame.len() {
            assert!(read_frame(&mut &frame[..cut]).await.is_err());
        }
        assert!(read_frame(&mut [0xff; 8].as_slice()).await.is_err());
        assert!(decode::<Ask>(b"\xc1").is_err());
    }
}
