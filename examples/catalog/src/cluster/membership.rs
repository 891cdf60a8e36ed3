//! Who is in the cluster: it is begun once, by all who are named to begin it; others join, and
//! members leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::time::sleep;

use super::wire::{Answered, Ask, Hello, Refused, What};
use super::{Member, MemberId, Node, PATIENCE, PAUSE, Types};

const ASK_AGAIN: Duration = Duration::from_millis(200);
const HELLO: Duration = Duration::from_secs(1);
/// A node that joins is sent an image first.
const JOIN: Duration = Duration::from_mins(10);

/// Makes a new node a member of a cluster. One that was in a cluster is in it.
pub async fn settle(node: Node) {
    loop {
        match node.0.raft.is_initialized().await {
            Ok(false) => {}
            Ok(true) | Err(_) => return,
        }
        let said = ask_all(&node).await;
        let cluster = said.iter().find_map(|(address, hello)| {
            let members = hello.cluster.as_ref()?;
            Some((address.clone(), members.contains_key(&node.id())))
        });
        let first = node.0.peers.addresses().keys().next() == Some(&node.id().number);
        let all = said.len() + 1 == node.0.peers.addresses().len();
        match cluster {
            Some((address, false)) => {
                if let Err(why) = join(&node, address).await {
                    eprintln!("catalog: node {}: cannot join yet: {why}", node.id().number);
                }
            }
            None if first && all => {
                let others = said.into_values().map(|hello| (hello.id, hello.member));
                let mut members: BTreeMap<_, _> = others.collect();
                members.insert(node.id(), node.0.member.clone());
                if let Err(error) = node.0.raft.initialize(members).await {
                    eprintln!("catalog: cannot begin a cluster: {error}");
                }
            }
            // It is among those that begin it, and will hear from the leader.
            Some((_, true)) | None => {}
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

/// Makes a node a member, when it has all that the others have. Another life of the same number
/// leaves.
pub async fn admit(node: &Node, id: MemberId, member: Member) -> Answered<()> {
    let raft = &node.0.raft;
    raft.add_learner(id, member, true)
        .await
        .map_err(|error| refused(&error))?;
    let others: BTreeSet<MemberId> = node
        .members()
        .into_iter()
        .map(|seen| seen.id)
        .filter(|other| other.number == id.number && *other != id)
        .collect();
    let change = ChangeMembers::Batch(vec![
        ChangeMembers::AddVoterIds(BTreeSet::from([id])),
        ChangeMembers::RemoveVoters(others),
    ]);
    raft.change_membership(change, false)
        .await
        .map_err(|error| refused(&error))?;
    Ok(())
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
        let until = tokio::time::Instant::now() + PATIENCE;
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
            if tokio::time::Instant::now() >= until {
                return Err(why);
            }
            sleep(PAUSE).await;
        }
    }
}
