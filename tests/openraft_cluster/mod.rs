//! Nodes of openraft 0.9 that talk to each other by function calls, which can be cut.

use super::{Command, Machine, Types, node};
use highwater::fsm::Proposal;
use highwater::openraft::{Request, linearizable, read_index};
use highwater::{LogIndex, Store};
use openraft::error::{
    Infallible, InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{
    AnyError, BasicNode, Config, Raft, RaftNetwork, RaftNetworkFactory, ServerState, SnapshotPolicy,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::common::Bank;

type RpcError<E = Infallible> = RPCError<u64, BasicNode, RaftError<u64, E>>;

/// Far longer than anything takes here.
const PATIENCE: Duration = Duration::from_mins(1);

/// The nodes that can be reached.
#[derive(Clone, Default)]
struct Reachable(Arc<Mutex<BTreeMap<u64, Raft<Types>>>>);

impl Reachable {
    fn get(&self, id: u64) -> Option<Raft<Types>> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.get(&id).cloned()
    }

    fn set(&self, id: u64, raft: Option<Raft<Types>>) {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match raft {
            Some(raft) => nodes.insert(id, raft),
            None => nodes.remove(&id),
        };
    }
}

struct Connection {
    nodes: Reachable,
    to: u64,
}

impl RaftNetworkFactory<Types> for Reachable {
    type Network = Connection;

    async fn new_client(&mut self, to: u64, _: &BasicNode) -> Connection {
        Connection {
            nodes: self.clone(),
            to,
        }
    }
}

impl Connection {
    #[expect(clippy::result_large_err, reason = "openraft's own error")]
    fn node<E: Error>(&self) -> Result<Raft<Types>, RpcError<E>> {
        let gone = AnyError::error("it is gone");
        let node = self.nodes.get(self.to);
        node.ok_or_else(|| Unreachable::new(&gone).into())
    }

    fn remote<E: Error>(&self, error: RaftError<u64, E>) -> RpcError<E> {
        match error {
            RaftError::Fatal(error) => NetworkError::new(&error).into(),
            error @ RaftError::APIError(_) => RemoteError::new(self.to, error).into(),
        }
    }
}

impl RaftNetwork<Types> for Connection {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        let answer = self.node()?.append_entries(request).await;
        answer.map_err(|error| self.remote(error))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, RpcError> {
        let answer = self.node()?.vote(request).await;
        answer.map_err(|error| self.remote(error))
    }

    /// A piece of an image: openraft reads and writes the files.
    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, RpcError<InstallSnapshotError>> {
        let answer = self.node()?.install_snapshot(request).await;
        answer.map_err(|error| self.remote(error))
    }
}

struct Member {
    raft: Raft<Types>,
    store: Store<Bank>,
}

async fn start(nodes: &Reachable, id: u64, dir: &Path) -> Member {
    let config = Config {
        heartbeat_interval: 50,
        election_timeout_min: 200,
        election_timeout_max: 400,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        // An image is several pieces.
        snapshot_max_chunk_size: 200,
        ..Config::default()
    };
    let config = Arc::new(config.validate().unwrap());
    let (log, machine): (_, Machine) = node(dir);
    let store = machine.store().clone();
    let raft = Raft::new(id, config, nodes.clone(), log, machine);
    let raft = raft.await.unwrap();
    nodes.set(id, Some(raft.clone()));
    Member { raft, store }
}

async fn count(leader: &Member) -> LogIndex {
    let command = Command::Count { id: "a".into() };
    let proposal = Proposal::new(&command, SystemTime::UNIX_EPOCH, 1).unwrap();
    let written = leader.raft.client_write(Request::from(&proposal));
    written.await.unwrap().data.index
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_elects_replicates_and_brings_up_who_is_new() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let nodes = Reachable::default();
    let mut members = BTreeMap::new();
    for id in 0..3 {
        let member = start(&nodes, id, dirs[usize::try_from(id).unwrap()].path()).await;
        members.insert(id, member);
    }
    let first = (0..3).map(|id| (id, BasicNode::default()));
    let first: BTreeMap<u64, BasicNode> = first.collect();
    members[&0].raft.initialize(first).await.unwrap();
    let until = || tokio::time::sleep(PATIENCE);
    let leads = |member: &Member| member.raft.metrics().borrow().current_leader;
    let elected = members[&0].raft.wait(Some(PATIENCE));
    elected
        .metrics(|now| now.current_leader.is_some(), "a leader")
        .await
        .unwrap();
    let leader = leads(&members[&0]).unwrap();
    for _ in 0..50 {
        count(&members[&leader]).await;
    }

    // What was answered is read on every node, when it has the leader's index.
    let read = linearizable(&members[&leader].raft, &members[&leader].store, until());
    assert_eq!(read.await.unwrap().accounts().get("a").unwrap().amount, 50);
    let index = read_index(&members[&leader].raft).await.unwrap();
    for member in members.values() {
        let snapshot = member.store.snapshot_at_least_async(index, until());
        let snapshot = snapshot.await.unwrap();
        assert_eq!(snapshot.accounts().get("a").unwrap().amount, 50);
    }
    let follower = (leader + 1) % 3;
    assert!(read_index(&members[&follower].raft).await.is_err());

    // A new node is brought up by an image: the log has nothing of that any more.
    let raft = &members[&leader].raft;
    raft.trigger().snapshot().await.unwrap();
    let purged = raft.wait(Some(PATIENCE));
    purged
        .metrics(|now| now.purged.is_some_and(|id| id.index >= 40), "purged")
        .await
        .unwrap();
    let new = start(&nodes, 3, dirs[3].path()).await;
    raft.add_learner(3, BasicNode::default(), true)
        .await
        .unwrap();
    let snapshot = new.store.snapshot_at_least_async(index, until());
    let snapshot = snapshot.await.unwrap();
    assert_eq!(snapshot.accounts().get("a").unwrap().amount, 50);
    let by_image = new.raft.wait(Some(PATIENCE));
    by_image
        .metrics(|now| now.snapshot.is_some(), "an image")
        .await
        .unwrap();
    members.insert(3, new);

    // The leader is lost: another goes on, with all that was answered.
    nodes.set(leader, None);
    let lost = members.remove(&leader).unwrap();
    lost.raft.shutdown().await.unwrap();
    let another = members[&follower].raft.wait(Some(PATIENCE));
    let another = another
        .metrics(
            |now| now.current_leader.is_some_and(|now| now != leader),
            "another leader",
        )
        .await
        .unwrap();
    let leader = another.current_leader.unwrap();
    let leading = members[&leader].raft.wait(Some(PATIENCE));
    leading
        .state(ServerState::Leader, "it leads")
        .await
        .unwrap();
    let index = count(&members[&leader]).await;
    for member in members.values() {
        let snapshot = member.store.snapshot_at_least_async(index, until());
        let snapshot = snapshot.await.unwrap();
        assert_eq!(snapshot.accounts().get("a").unwrap().amount, 51);
    }
    for member in members.into_values() {
        member.raft.shutdown().await.unwrap();
    }
}
