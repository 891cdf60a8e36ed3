//! Who is in the cluster: it is begun once, by all who are named to begin it; others join, and
//! members leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::time::{Instant, sleep};

use super::wire::{Answered, Ask, Hello, Refused, What};
use super::{Member, MemberId, Node, PATIENCE, PAUSE, Seen, Types};

const ASK_AGAIN: Duration = Duration::from_millis(200);
const HELLO: Duration = Duration::from_secs(1);
/// A node that joins is sent an image first.
const JOIN: Duration = Duration::from_mins(10);

/// Makes a node a voter of its cluster: one that all begin together, or one that is there. Until
/// then it asks, also after a restart.
pub async fn settle(node: Node) {
    let id = node.id();
    loop {
        // Of its state and not of its metrics, which say of no members at all until it has begun: a node
        // that was removed while it was away must not ask.
        let voter = node.0.raft.with_raft_state(move |state| {
            let members = state.membership_state.effective();
            members.voter_ids().any(|voter| voter == id)
        });
        if !matches!(voter.await, Ok(false)) {
            return;
        }
        let said = ask_all(&node).await;
        let told = node.0.peers.addresses();
        let cluster = said.iter().find(|(_, hello)| !hello.voters.is_empty());
        if let Some((address, hello)) = cluster {
            // Or it is among those that begin it, and will hear from the leader.
            if !hello.voters.contains(&node.id())
                && let Err(why) = join(&node, address.clone()).await
            {
                eprintln!("catalog: node {}: cannot join yet: {why}", node.id().number);
            }
        } else if told.keys().next() == Some(&node.id().number)
            && said.len() + 1 == told.len()
            && said.values().all(|hello| hello.told.iter().eq(told.keys()))
        {
            let others = said.into_values().map(|hello| (hello.id, hello.member));
            let mut members: BTreeMap<_, _> = others.collect();
            members.insert(node.id(), node.0.member.clone());
            if let Err(error) = node.0.raft.initialize(members).await {
                eprintln!("catalog: cannot begin a cluster: {error}");
            }
        }
        sleep(ASK_AGAIN).await;
    }
}

/// What the other nodes that this one was told of say of themselves, by their addresses.
async fn ask_all(node: &Node) -> BTreeMap<String, Hello> {
    let mut asking = tokio::task::JoinSet::new();
    for (&number, address) in node.0.peers.addresses() {
        if number == node.id().number {
            continue;
        }
        let (peers, address) = (node.0.peers.clone(), address.clone());
        asking.spawn(async move {
            let hello = Ask {
                to: None,
                what: What::Hello,
            };
            let answer = peers.ask::<Hello>(&address, &hello, HELLO).await;
            let hello = answer.ok()?.ok()?;
            (hello.id.number == number).then_some((address, hello))
        });
    }
    asking.join_all().await.into_iter().flatten().collect()
}

/// Asks a member, and the leader if that is another, to be let in.
async fn join(node: &Node, mut address: String) -> Result<(), String> {
    let question = Ask {
        to: None,
        what: What::Join(node.id(), node.0.member.clone()),
    };
    for _ in 0..3 {
        match node.0.peers.ask::<()>(&address, &question, JOIN).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Refused::Follow(leader, member))) => {
                node.0
                    .peers
                    .address(leader, &member)
                    .clone_into(&mut address);
            }
            Ok(Err(refused)) => return Err(refused.to_string()),
            Err(error) => return Err(format!("{address}: {error}")),
        }
    }
    Err("nobody says who leads".to_owned())
}

/// Makes a node a voter, when it has nearly all that the others have. Other lives of the same number
/// leave.
pub async fn admit(node: &Node, id: MemberId, member: Member) -> Answered<()> {
    let raft = &node.0.raft;
    let until = Instant::now() + PATIENCE;
    let mut learns = false;
    loop {
        let changed = if learns {
            raft.change_membership(admission(node, id), false).await
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
            Err(error) => return Err(refused(&error)),
        }
    }
}

fn admission(node: &Node, id: MemberId) -> ChangeMembers<MemberId, Member> {
    let others = node
        .members()
        .into_iter()
        .filter(|seen| seen.id.number == id.number && seen.id != id);
    let (voters, learners): (Vec<Seen>, Vec<Seen>) = others.partition(|seen| seen.voter);
    let ids = |lives: Vec<Seen>| lives.into_iter().map(|seen| seen.id).collect();
    ChangeMembers::Batch(vec![
        ChangeMembers::AddVoterIds(BTreeSet::from([id])),
        ChangeMembers::RemoveVoters(ids(voters)),
        ChangeMembers::RemoveNodes(ids(learners)),
    ])
}

/// Makes a node a member no longer.
pub async fn dismiss(node: &Node, id: MemberId) -> Answered<()> {
    let gone = BTreeSet::from([id]);
    let Some(seen) = node.members().into_iter().find(|seen| seen.id == id) else {
        return Ok(());
    };
    let change = if seen.voter {
        ChangeMembers::RemoveVoters(gone)
    } else {
        ChangeMembers::RemoveNodes(gone)
    };
    let changed = node.0.raft.change_membership(change, false).await;
    changed.map(drop).map_err(|error| refused(&error))
}

fn refused(error: &RaftError<Types, ClientWriteError<Types>>) -> Refused {
    if let Some(forward) = error.forward_to_leader()
        && let (Some(leader), Some(member)) = (forward.leader_id, &forward.leader_node)
    {
        return Refused::Follow(leader, member.clone());
    }
    Refused::Other(error.to_string())
}

impl Node {
    /// Removes a member, this one or another.
    pub async fn remove(&self, id: MemberId) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let question = Ask {
            to: None,
            what: What::Leave(id),
        };
        loop {
            let why = match self.leader_address() {
                Some((leader, _)) if leader == self.id() => match dismiss(self, id).await {
                    Ok(()) => return Ok(()),
                    Err(refused) => refused.to_string(),
                },
                Some((_, address)) => {
                    match self.0.peers.ask::<()>(&address, &question, PATIENCE).await {
                        Ok(Ok(())) => return Ok(()),
                        Ok(Err(refused)) => refused.to_string(),
                        Err(error) => error.to_string(),
                    }
                }
                None => super::NO_LEADER.to_owned(),
            };
            if Instant::now() >= until {
                return Err(why);
            }
            sleep(PAUSE).await;
        }
    }
}
