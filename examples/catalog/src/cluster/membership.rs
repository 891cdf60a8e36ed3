//! Who is in the cluster: it is begun once, by all who are named to begin it; others join, and
//! members leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::time::{Instant, sleep};

use super::wire::{Hello, What};
use super::{Member, MemberId, Node, PATIENCE, Seen};
use crate::log::Failure;

const ASK_AGAIN: Duration = Duration::from_millis(200);
const HELLO: Duration = Duration::from_secs(1);
/// A node that joins is sent an image first.
const JOIN: Duration = Duration::from_mins(10);

/// Makes a node a voter of its cluster: one that all begin together, or one that is there. Until
/// then it asks, also after a restart.
pub async fn settle(node: Arc<Node>) {
    let id = node.id;
    loop {
        // Of its state and not of its metrics, which say of no members at all until it has begun: a node
        // that was removed while it was away must not ask.
        let voter = node.raft.with_raft_state(move |state| {
            let members = state.membership_state.effective();
            members.voter_ids().any(|voter| voter == id)
        });
        if !matches!(voter.await, Ok(false)) {
            return;
        }
        let said = ask_all(&node).await;
        let told = &node.peers.addresses;
        let cluster = said.iter().find(|hello| !hello.voters.is_empty());
        if let Some(hello) = cluster {
            let leader = said.iter().find_map(|hello| hello.leader.as_ref());
            // Or it is among those that begin it, and will hear from the leader.
            if !hello.voters.contains(&id)
                && let Err(why) = join(&node, leader).await
            {
                eprintln!("catalog: node {}: cannot join yet: {why}", id.number);
            }
        } else if told.keys().next() == Some(&id.number)
            && said.len() + 1 == told.len()
            && said.iter().all(|hello| hello.told.iter().eq(told.keys()))
        {
            let others = said.into_iter().map(|hello| (hello.id, hello.member));
            let mut members: BTreeMap<_, _> = others.collect();
            members.insert(id, node.member.clone());
            if let Err(error) = node.raft.initialize(members).await {
                eprintln!("catalog: cannot begin a cluster: {error}");
            }
        }
        sleep(ASK_AGAIN).await;
    }
}

/// What the other nodes that this one was told of say of themselves.
async fn ask_all(node: &Node) -> Vec<Hello> {
    let mut asking = tokio::task::JoinSet::new();
    for (&number, address) in node.peers.addresses.iter() {
        if number == node.id.number {
            continue;
        }
        let peer = node.peers.at(address);
        asking.spawn(async move {
            let answer = peer.ask::<Hello>(What::Hello, HELLO).await;
            answer.ok().filter(|hello| hello.id.number == number)
        });
    }
    asking.join_all().await.into_iter().flatten().collect()
}

/// Asks who leads to be let in.
async fn join(node: &Node, leader: Option<&(MemberId, Member)>) -> Result<(), Failure> {
    let (leader, at) = leader.ok_or("nobody says who leads")?;
    let join = What::Join(node.id, node.member.clone());
    node.peers.member(*leader, at).ask(join, JOIN).await
}

/// Makes a node a voter, when it has nearly all that the others have. Other lives of the same number
/// leave.
pub async fn admit(node: Arc<Node>, id: MemberId, member: Member) -> Result<(), Failure> {
    let raft = &node.raft;
    let until = Instant::now() + PATIENCE;
    let mut learns = false;
    loop {
        let changed = if learns {
            raft.change_membership(admission(&node, id), false).await
        } else {
            raft.add_learner(id, member.clone(), true).await
        };
        match changed {
            Ok(_) if learns => return Ok(()),
            Ok(_) => learns = true,
            // Another node comes or goes.
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_),
            ))) if Instant::now() < until => sleep(ASK_AGAIN).await,
            Err(error) => return Err(error.into()),
        }
    }
}

fn admission(node: &Node, id: MemberId) -> ChangeMembers<MemberId, Member> {
    let others = node.members().into_iter();
    let others = others.filter(|seen| seen.id.number == id.number && seen.id != id);
    let (voters, learners): (Vec<Seen>, Vec<Seen>) = others.partition(|seen| seen.voter);
    let ids = |lives: Vec<Seen>| lives.into_iter().map(|seen| seen.id).collect();
    ChangeMembers::Batch(vec![
        ChangeMembers::AddVoterIds(BTreeSet::from([id])),
        ChangeMembers::RemoveVoters(ids(voters)),
        ChangeMembers::RemoveNodes(ids(learners)),
    ])
}

/// Makes a node a member no longer.
pub async fn dismiss(node: Arc<Node>, id: MemberId) -> Result<(), Failure> {
    let gone = BTreeSet::from([id]);
    let change = match node.members().into_iter().find(|seen| seen.id == id) {
        Some(seen) if seen.voter => ChangeMembers::RemoveVoters(gone),
        Some(_) => ChangeMembers::RemoveNodes(gone),
        None => return Ok(()),
    };
    node.raft.change_membership(change, false).await?;
    Ok(())
}

impl Node {
    /// Removes a member, this one or another.
    pub async fn remove(self: &Arc<Self>, id: MemberId) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        self.ask_leader(What::Leave(id), until, &mut 0).await
    }
}
