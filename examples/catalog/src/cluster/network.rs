//! Raft's questions to other nodes, over [`Peers`].

use std::future::Future;
use std::io;
use std::time::Duration;

use highwater::openraft_next::ImageFile;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use serde::de::DeserializeOwned;

use super::wire::{Ask, Image, Peers, What};
use super::{Member, MemberId, Types};

/// A node that takes nothing of an image for so long is gone.
pub const STALLED: Duration = Duration::from_secs(10);

/// Makes connections for Raft.
#[derive(Debug)]
pub struct Network(pub Peers);

/// One node, for Raft.
#[derive(Debug)]
pub struct Connection {
    peers: Peers,
    to: MemberId,
    address: String,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, to: MemberId, member: &Member) -> Connection {
        Connection {
            peers: self.0.clone(),
            to,
            address: self.0.address(to, member).to_owned(),
        }
    }
}

impl Connection {
    async fn ask<R: DeserializeOwned>(
        &self,
        what: What,
        option: &RPCOption,
    ) -> Result<R, Unreachable<Types>> {
        let to = Some(self.to);
        let question = Ask { to, what };
        let answer = self.peers.ask(&self.address, &question, option.hard_ttl());
        answer.await.map_err(|error| Unreachable::new(&error))
    }
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = ImageFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Ok(self.ask(What::Append(request), &option).await?)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(self.ask(What::Vote(request), &option).await?)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(self.ask(What::PreVote(request), &option).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        mut snapshot: SnapshotOf<Types, ImageFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let failed = |error: io::Error| Unreachable::new(&error);
        let image = Image {
            vote,
            meta: snapshot.meta,
            bytes: snapshot.snapshot.len().map_err(failed)?,
        };
        let question = Ask {
            to: Some(self.to),
            what: image,
        };
        let sending =
            self.peers
                .send_image(&self.address, &question, &mut snapshot.snapshot, STALLED);
        tokio::select! {
            closed = cancel => Err(closed.into()),
            answer = sending => Ok(answer.map_err(failed)?),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        Ok(self.ask(What::Transfer(request), &option).await?)
    }
}
