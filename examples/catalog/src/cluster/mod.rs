//! A node of a cluster: the catalog's log is Raft's.
//!
//! `identity.rs` says who a node is, `wire.rs` what nodes ask each other, `network.rs` asks for
//! Raft, `leader.rs` asks whoever leads, `server.rs` answers, `writes.rs` has commands applied exactly
//! once, `membership.rs` begins, joins and leaves clusters.

mod identity;
mod leader;
mod membership;
mod network;
mod server;
mod wire;
mod writes;

use std::collections::BTreeMap;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use highwater::Store;
use highwater::fsm::{Outcome, Proposal};
use highwater::openraft_next::{Inbox, NodeOptions, Request, Response, StateMachine, open};
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use openraft::metrics::RaftServerMetrics;
use openraft::{Config, Instant as _, RaftMetrics, ServerState, SnapshotPolicy};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::clock::Clock;
use crate::command::{Command, Rejected, Reply};
use crate::log::Failure;
use crate::schema::Catalog;
pub use identity::{Member, MemberId};
use wire::{Entry, Hello, Peers, What};
use writes::Writes;

openraft::declare_raft_types!(
    /// The catalog's Raft.
    pub Types:
        D = Request<Command>,
        R = Response<Reply, Rejected>,
        NodeId = MemberId,
        Node = Member,
);

type Raft = openraft::Raft<Types, StateMachine<Catalog, Command, Types>>;

const HEARTBEAT: Duration = Duration::from_millis(150);
/// A follower that hears nothing for longer stands for election.
const ELECTION: std::ops::Range<Duration> = Duration::from_millis(700)..Duration::from_millis(1400);
/// A leader that was not heard of for so long is none.
const LONG_AGO: Duration = Duration::from_secs(5);
/// How long a write or a consistent read is tried before it is refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the leader is given to answer one try.
const TRY: Duration = Duration::from_secs(3);
/// How long what other nodes have asked is answered when a node ends.
const ENDING: Duration = Duration::from_secs(1);
/// Between tries.
const PAUSE: Duration = Duration::from_millis(25);

/// How a node is started.
pub struct Setup {
    /// The node's number, unlike that of any other.
    pub number: u64,
    /// Its name in the catalog.
    pub name: String,
    /// Where its log and images are.
    pub folder: PathBuf,
    /// Where it is asked by other nodes.
    pub listener: TcpListener,
    /// Where the others are, by number; those that begin the cluster, or some that are in it.
    pub peers: BTreeMap<u64, String>,
    /// So many entries of the log are kept for followers that are behind, and an image is made
    /// after as many.
    pub keep: u64,
}

/// A running node.
pub struct Node {
    pub id: MemberId,
    pub member: Member,
    pub store: Store<Catalog>,
    raft: Raft,
    inbox: Inbox,
    peers: Peers,
    writes: Writes,
    pub clock: Clock,
    /// When the leader was last heard of; at first, when this node was started.
    heard: watch::Sender<Instant>,
    /// Answers other nodes.
    serving: Mutex<JoinSet<()>>,
    /// Told when this node ends.
    ending: Notify,
}

/// A member as seen by a node.
#[derive(Debug)]
pub struct Seen {
    pub id: MemberId,
    pub member: Member,
    pub voter: bool,
    pub leader: bool,
}

/// What a node knows of its leader.
#[derive(Clone, Copy, Debug)]
pub struct Contact {
    pub known: bool,
    /// How long ago it was heard of.
    pub last: Duration,
}

impl Contact {
    /// Of the leader with itself.
    pub const LEADER: Contact = Contact {
        known: true,
        last: Duration::ZERO,
    };
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn config(keep: u64) -> Result<Arc<Config>, Failure> {
    let config = Config {
        cluster_name: "catalog".to_owned(),
        heartbeat_interval: millis(HEARTBEAT),
        election_timeout_min: millis(ELECTION.start),
        election_timeout_max: millis(ELECTION.end),
        enable_pre_vote: Some(true),
        // A node that has nearly all is made a voter.
        replication_lag_threshold: 64,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(keep),
        max_in_snapshot_log_to_keep: keep,
        purge_batch_size: 64,
        ..Config::default()
    };
    Ok(Arc::new(config.validate()?))
}

/// The term that a node leads in, if it does.
fn term_of(now: &RaftServerMetrics<Types>) -> Option<u64> {
    let leads = now.state == ServerState::Leader;
    leads.then_some(now.vote.leader_id().term)
}

/// What is found in what is watched, when there is something; for ever, if it ends before.
async fn until<T: Send + Sync + 'static, R>(
    mut watched: WatchReceiverOf<Types, T>,
    find: impl Fn(&T) -> Option<R>,
) -> R {
    loop {
        if let Some(found) = find(&watched.borrow_watched()) {
            return found;
        }
        if watched.changed().await.is_err() {
            return pending().await;
        }
    }
}

impl Node {
    /// Opens a node's folder and takes part in its cluster, which it begins or joins meanwhile.
    pub async fn start(setup: Setup) -> Result<Arc<Self>, Failure> {
        let id = identity::of_folder(setup.number, &setup.folder)?;
        let (address, given) = (setup.listener.local_addr()?, setup.peers.get(&setup.number));
        let member = Member {
            name: setup.name,
            address: given.cloned().unwrap_or_else(|| address.to_string()),
        };
        let (log, machine) =
            open::<Catalog, Command, Types>(&id, &setup.folder, NodeOptions::default())?;
        let (store, inbox) = (machine.store().clone(), machine.inbox());
        let peers = Peers::new(setup.peers);
        let raft = Raft::new(id, config(setup.keep)?, peers.clone(), log, machine).await?;
        let node = Arc::new(Node {
            id,
            member,
            store,
            raft,
            inbox,
            peers,
            writes: Writes::default(),
            clock: Clock::default(),
            heard: watch::Sender::new(Instant::now()),
            serving: Mutex::default(),
            ending: Notify::new(),
        });
        let (serving, settling) = (node.clone(), node.clone());
        node.serving.lock().await.spawn(async move {
            tokio::select! {
                () = server::serve(serving, setup.listener) => {}
                () = async { membership::settle(settling).await; pending().await } => {}
            }
        });
        Ok(node)
    }

    fn leader(&self) -> Option<MemberId> {
        self.raft.server_metrics().borrow_watched().current_leader
    }

    /// Whether this node is the leader, or takes itself for it.
    pub fn leads(&self) -> bool {
        self.term().is_some()
    }

    /// The term that this node leads in.
    fn term(&self) -> Option<u64> {
        term_of(&self.raft.server_metrics().borrow_watched())
    }

    /// Waits until it is as wanted.
    pub async fn leads_in(&self, wanted: impl Fn(Option<u64>) -> bool + Send) -> Option<u64> {
        let find = |now: &_| Some(term_of(now)).filter(|term| wanted(*term));
        until(self.raft.server_metrics(), find).await
    }

    /// The members of the cluster, as far as this node knows.
    pub fn members(&self) -> Vec<Seen> {
        let leader = self.leader();
        let metrics = self.raft.server_metrics();
        let config = &metrics.borrow_watched().membership_config;
        let voters: Vec<MemberId> = config.voter_ids().collect();
        let seen = config.nodes().map(|(&id, member)| Seen {
            id,
            member: Member {
                address: self.peers.address(id, member).to_owned(),
                ..member.clone()
            },
            voter: voters.contains(&id),
            leader: leader == Some(id),
        });
        seen.collect()
    }

    /// The member that leads, if that is known.
    fn who_leads(&self) -> Option<Seen> {
        self.members().into_iter().find(|seen| seen.leader)
    }

    /// A leader is in contact with itself while a majority answers it. One that is cut off does not
    /// know of another.
    pub fn contact(&self) -> Contact {
        let answered = self.leads().then(|| self.answered()).flatten();
        let last = match answered {
            Some(ago) if ago < ELECTION.start => Duration::ZERO,
            Some(ago) => ago,
            None => self.heard.borrow().elapsed(),
        };
        Contact {
            known: self.leader().is_some() && last < LONG_AGO,
            last,
        }
    }

    /// Why Raft has ended on this node without being asked to: until then this waits.
    pub async fn failed(&self) -> String {
        let why = |now: &RaftMetrics<Types>| match &now.running_state {
            Ok(()) | Err(Fatal::Stopped) => None,
            Err(fatal) => Some(fatal.to_string()),
        };
        until(self.raft.metrics(), why).await
    }

    /// How long ago a majority has answered this node as the leader.
    fn answered(&self) -> Option<Duration> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let mut voters = metrics.membership_config.voter_ids();
        if voters.all(|voter| voter == self.id) {
            return Some(Duration::ZERO);
        }
        Some(metrics.last_quorum_acked?.elapsed())
    }

    /// As the leader: the members, and how long ago each has answered, if it has since this node
    /// leads. None while a majority does not answer: then it is this node that is cut off, or that
    /// was stopped.
    pub fn answers(&self) -> Option<Vec<(Seen, Option<Duration>)>> {
        if !self.leads() || self.answered()? >= ELECTION.start {
            return None;
        }
        let metrics = self.raft.metrics();
        let heard = metrics.borrow_watched().heartbeat.clone()?;
        let with_answer = |seen: Seen| match heard.get(&seen.id) {
            _ if seen.id == self.id => (seen, Some(Duration::ZERO)),
            Some(Some(at)) => (seen, Some(at.elapsed())),
            _ => (seen, None),
        };
        Some(self.members().into_iter().map(with_answer).collect())
    }

    fn hear(&self) {
        self.heard.send_replace(Instant::now());
    }

    /// In a term that this node leads in, begins to let time pass.
    pub async fn begin(&self, term: u64) -> Result<(), Failure> {
        let seed = fastrand::u64(..);
        let proposal = Proposal::new(&Command::Begin, Clock::AS_IT_IS, seed)?;
        let (of_term, response) = timeout(TRY, self.propose(proposal)).await??;
        match response.outcome {
            Outcome::Done(Ok(Reply::Time(time))) if of_term == term => {
                self.clock.set(term, time);
                Ok(())
            }
            other => Err(format!("no time: {other:?}").into()),
        }
    }

    /// As the leader, has an entry logged and applied, at the log's time.
    async fn lead(&self, entry: Entry) -> Result<Response<Reply, Rejected>, Failure> {
        let term = self.term().ok_or("this node does not lead")?;
        let now = tokio::select! {
            now = self.clock.now_in(term) => now,
            _ = self.leads_in(|now| now != Some(term)) => return Err("this node leads no more".into()),
        };
        let proposal = match entry {
            Entry::Session => Proposal::open_session(writes::SESSION, now),
            // What not every node can apply must not come into the log.
            Entry::Command(id, command) => {
                Proposal::in_session(id, &command, now, fastrand::u64(..))?
            }
        };
        self.propose(proposal).await.map(|(_, response)| response)
    }

    /// Has it logged and applied; with the term of its entry.
    async fn propose(
        &self,
        proposal: Proposal<Command>,
    ) -> Result<(u64, Response<Reply, Rejected>), Failure> {
        let written = self.raft.client_write(Request::from(&proposal)).await?;
        Ok((written.log_id.leader_id.term, written.data))
    }

    /// Ends the node: another takes the lead, if it is asked to hand it over.
    pub async fn close(&self, hand_over: bool) -> Result<(), Failure> {
        if hand_over {
            self.hand_over().await;
        }
        // Writes that are under way go to who leads now.
        self.writes.end(TRY).await;
        let ended = self.raft.shutdown().await;
        self.ending.notify_one();
        let mut serving = self.serving.lock().await;
        let _ = timeout(ENDING, serving.join_next()).await;
        serving.shutdown().await;
        // What is asked now is refused.
        self.store.close();
        Ok(ended?)
    }

    /// Lets another voter lead, if this node does and there is one that answers in time.
    async fn hand_over(&self) {
        let (raft, peers) = (&self.raft, &self.peers);
        let others = self.members().into_iter();
        for other in others.filter(|seen| seen.voter && seen.id != self.id) {
            if !self.leads() {
                return;
            }
            let peer = peers.member(other.id, &other.member);
            if peer.ask::<Hello>(What::Hello, HEARTBEAT).await.is_err() {
                continue;
            }
            if raft.trigger().transfer_leader(other.id).await.is_err() {
                return;
            }
            let wait = raft.wait(Some(ELECTION.end));
            let follows = wait.metrics(|now| now.state != ServerState::Leader, "handed over");
            let _ = follows.await;
        }
    }
}
