//! The network: it delays, loses answers, and knows who can reach whom.

use crate::Types;
use crate::node::Node;
use crate::world::Shared;
use highwater::openraft_next::ImageFile;
use openraft_next::alias::{SnapshotOf, VoteOf};
use openraft_next::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft_next::network::RPCOption;
use openraft_next::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft_next::{
    AnyError, AsyncRuntime, NodeInfo, OptionalSend, RaftNetworkFactory, RaftNetworkV2,
};
use openraft_rt_sim::SimRuntime;
use std::future::Future;
use std::io;
use std::time::Duration;

pub(crate) struct Network {
    pub(crate) from: u64,
    pub(crate) shared: Shared,
}

pub(crate) struct Connection {
    from: u64,
    to: u64,
    shared: Shared,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, to: u64, _: &NodeInfo) -> Connection {
        Connection {
            from: self.from,
            to,
            shared: self.shared.clone(),
        }
    }
}

fn unreachable() -> Unreachable<Types> {
    Unreachable::new(&AnyError::error("it cannot be reached"))
}

impl Connection {
    /// A question and its answer, each of which may be lost.
    async fn call<R, E, F: Future<Output = Result<R, E>> + Send>(
        &self,
        patience: Duration,
        ask: impl FnOnce(Node) -> F,
    ) -> Result<R, Unreachable<Types>> {
        self.shared.delay().await;
        let Some(node) = self.shared.reach(self.from, self.to) else {
            SimRuntime::sleep(patience).await;
            return Err(unreachable());
        };
        let answer = ask(node).await.map_err(|_| unreachable());
        self.shared.delay().await;
        if self.shared.reach(self.to, self.from).is_none() {
            SimRuntime::sleep(patience).await;
            return Err(unreachable());
        }
        answer
    }
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = ImageFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let ask = |node: Node| async move { node.raft.append_entries(request).await };
        Ok(self.call(option.soft_ttl(), ask).await?)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let ask = |node: Node| async move { node.raft.vote(request).await };
        Ok(self.call(option.soft_ttl(), ask).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        mut snapshot: SnapshotOf<Types, ImageFile>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let shared = self.shared.clone();
        let ask = |node: Node| async move {
            // Through a file of the receiver's, as a network would.
            let mut received = node.inbox.receive().unwrap();
            io::copy(&mut snapshot.snapshot, &mut received).unwrap();
            let received = SnapshotOf::<Types, ImageFile> {
                meta: snapshot.meta,
                snapshot: received,
            };
            shared.lock().met.installed += 1;
            node.raft.install_full_snapshot(vote, received).await
        };
        Ok(self.call(option.soft_ttl(), ask).await?)
    }
}
