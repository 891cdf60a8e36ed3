//! Answers what other nodes ask.

use std::io::{self, Write};

use highwater::openraft_next::read_index;
use openraft::alias::{SnapshotMetaOf, SnapshotOf, VoteOf};
use openraft::raft::{AppendEntriesResponse, SnapshotResponse};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::wire::{Answered, Ask, Hello, Refused, What, decode, read_frame, write_frame};
use super::{Node, PAUSE, TRY, Types, membership, network};

/// Serves until it is aborted, with all its connections.
pub async fn serve(node: Node, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let node = node.clone();
                    connections.spawn(async move {
                        // Who asks is told by the end of the connection.
                        let _ = connection(&node, stream).await;
                    });
                }
                // As many files are open as may be.
                Err(_) => sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(node: &Node, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(frame) = read_frame(&mut stream).await? {
        let Ask { to, what } = decode(&frame)?;
        drop(frame);
        if to.is_some_and(|to| to != node.id()) {
            let refused: Answered<()> = Err(Refused::Other(format!("this is {}", node.id())));
            write_frame(&mut stream, &refused).await?;
            if matches!(what, What::Image { .. }) {
                return Ok(());
            }
            continue;
        }
        answer(node, &mut stream, what).await?;
    }
    Ok(())
}

fn other<E: std::fmt::Display>(error: E) -> Refused {
    Refused::Other(error.to_string())
}

async fn answer(node: &Node, stream: &mut TcpStream, what: What) -> io::Result<()> {
    let raft = &node.0.raft;
    match what {
        What::Append(request) => {
            let answered = raft.append_entries(request).await;
            // One that was the leader is no contact.
            if answered
                .as_ref()
                .is_ok_and(|answer| !matches!(answer, AppendEntriesResponse::HigherVote(_)))
            {
                node.hear();
            }
            tell(stream, answered.map_err(other)).await
        }
        What::Vote(request) => tell(stream, raft.vote(request).await.map_err(other)).await,
        What::PreVote(request) => tell(stream, raft.pre_vote(request).await.map_err(other)).await,
        What::Transfer(request) => {
            let answered = raft.handle_transfer_leader(request).await;
            tell(stream, answered.map_err(other)).await
        }
        What::Image { vote, meta, bytes } => {
            let installed = receive(node, stream, vote, meta, bytes).await?;
            tell(stream, installed).await
        }
        What::Write(entry) => {
            let written = timeout(TRY, node.lead(entry)).await;
            let written = written
                .map_err(other)
                .and_then(|written| written.map_err(other));
            tell(stream, written).await
        }
        What::ReadIndex => {
            let index = timeout(TRY, read_index(raft)).await;
            let index = index.map_err(other).and_then(|index| index.map_err(other));
            tell(stream, index).await
        }
        What::Hello => tell(stream, Ok(hello(node))).await,
        What::Join(id, member) => tell(stream, membership::admit(node, id, member).await).await,
        What::Leave(id) => tell(stream, membership::dismiss(node, id).await).await,
    }
}

async fn tell<R: Serialize>(stream: &mut TcpStream, answer: Answered<R>) -> io::Result<()> {
    write_frame(stream, &answer).await
}

fn hello(node: &Node) -> Hello {
    let voters = node.members().into_iter().filter(|seen| seen.voter);
    Hello {
        id: node.id(),
        member: node.0.member.clone(),
        told: node.0.peers.addresses().keys().copied().collect(),
        voters: voters.map(|seen| seen.id).collect(),
    }
}

/// Takes an image into a file, and installs it.
async fn receive(
    node: &Node,
    stream: &mut TcpStream,
    vote: VoteOf<Types>,
    meta: SnapshotMetaOf<Types>,
    bytes: u64,
) -> io::Result<Answered<SnapshotResponse<Types>>> {
    const STEP: usize = 256 << 10;
    let mut file = node.0.inbox.receive().map_err(io::Error::other)?;
    let mut stream = stream.take(bytes);
    let mut buffer = Vec::with_capacity(STEP);
    loop {
        buffer.clear();
        let mut step = (&mut stream).take(STEP as u64);
        if timeout(network::STALLED, step.read_to_end(&mut buffer)).await?? == 0 {
            break;
        }
        tokio::task::block_in_place(|| file.write_all(&buffer))?;
    }
    if stream.limit() > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    node.hear();
    let image = SnapshotOf::<Types, _> {
        meta,
        snapshot: file,
    };
    let installed = node.0.raft.install_full_snapshot(vote, image).await;
    Ok(installed.map_err(other))
}
