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

use super::wire::{Image, Peer, Peers, What};
use super::{Member, MemberId, Types};
use crate::log::Failure;

/// A node that takes nothing of an image for so long is gone.
pub const STALLED: Duration = Duration::from_secs(10);

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, to: MemberId, member: &Member) -> Peer {
        self.member(to, member)
    }
}

fn unreachable(why: Failure) -> Unreachable<Types> {
    Unreachable::new(&io::Error::other(why))
}

impl Peer {
    async fn of_raft<R: DeserializeOwned>(
        &self,
        what: What,
        option: &RPCOption,
    ) -> Result<R, Unreachable<Types>> {
        let answer = self.ask(what, option.hard_ttl()).await;
        answer.map_err(unreachable)
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = ImageFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Ok(self.of_raft(What::Append(request), &option).await?)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(self.of_raft(What::Vote(request), &option).await?)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(self.of_raft(What::PreVote(request), &option).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        mut snapshot: SnapshotOf<Types, ImageFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let bytes = snapshot.snapshot.len();
        let image = Image {
            vote,
            meta: snapshot.meta,
            bytes: bytes.map_err(|error| unreachable(error.into()))?,
        };
        let sending = self.send_image(image, &mut snapshot.snapshot, STALLED);
        tokio::select! {
            closed = cancel => Err(closed.into()),
            answer = sending => Ok(answer.map_err(unreachable)?),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        Ok(self.of_raft(What::Transfer(request), &option).await?)
    }
}
