//! Asks the leader, whoever that is.

use std::io;
use std::sync::Arc;

use highwater::LogIndex;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::wire::{self, What};
use super::{MemberId, Node, PATIENCE, PAUSE, Seen, TRY, server, until};
use crate::log::Failure;

impl Node {
    /// An index at or above that of every write that was answered before this was called.
    pub async fn read_index(self: &Arc<Self>) -> Result<LogIndex, Failure> {
        let until = Instant::now() + PATIENCE;
        self.ask_leader(What::ReadIndex, until, &mut 0).await
    }

    /// Asks the leader, whoever that is, until there is an answer or it is too late. Each time that
    /// somebody is asked is counted in `tries`.
    pub async fn ask_leader<R: DeserializeOwned>(
        self: &Arc<Self>,
        what: What,
        until: Instant,
        tries: &mut u32,
    ) -> Result<R, Failure> {
        loop {
            let why = match self.who_leads() {
                Some(leader) => {
                    *tries += 1;
                    let answer = timeout(TRY, self.ask(&leader, what.clone()));
                    tokio::select! {
                        answer = answer => match answer {
                            Ok(Ok(answer)) => return Ok(answer),
                            Ok(Err(error)) => error.into(),
                            Err(late) => late.into(),
                        },
                        _ = self.leader_changes(leader.id) => "the leader has changed".into(),
                    }
                }
                None => "No cluster leader".into(),
            };
            if Instant::now() + PAUSE >= until || self.writes.ended() {
                return Err(why);
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks a member, which may be this node.
    async fn ask<R: DeserializeOwned>(self: &Arc<Self>, whom: &Seen, what: What) -> io::Result<R> {
        if whom.id == self.id {
            return wire::decode(&server::answer(self, what).await?);
        }
        let peer = self.peers.member(whom.id, &whom.member);
        peer.ask(what, TRY).await
    }

    /// Waits until another leads.
    async fn leader_changes(&self, from: MemberId) -> MemberId {
        let metrics = self.raft.server_metrics();
        until(metrics, |now| {
            now.current_leader.filter(|leader| *leader != from)
        })
        .await
    }
}
