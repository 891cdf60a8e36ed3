//! Asks the leader, whoever that is.

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
        let late = Instant::now() + PATIENCE;
        self.ask_leader(What::ReadIndex, late, &mut 0).await
    }

    /// Asks the leader, whoever that is, until there is an answer or it is too late. Each time that
    /// somebody is asked is counted in `tries`.
    pub async fn ask_leader<R: DeserializeOwned>(
        self: &Arc<Self>,
        what: What,
        late: Instant,
        tries: &mut u32,
    ) -> Result<R, Failure> {
        loop {
            let asking = async {
                let leader = self.who_leads().ok_or("No cluster leader")?;
                let another = |now: MemberId| (now != leader.id).then_some(());
                *tries += 1;
                tokio::select! {
                    answer = timeout(TRY, self.ask(&leader, what.clone())) => answer?,
                    () = until(self.raft.server_metrics(), |now| now.current_leader.and_then(another)) => {
                        Err("the leader has changed".into())
                    }
                }
            };
            match asking.await {
                Ok(answer) => return Ok(answer),
                Err(why) if Instant::now() + PAUSE >= late || self.writes.ended() => {
                    return Err(why);
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Asks a member, which may be this node.
    async fn ask<R: DeserializeOwned>(
        self: &Arc<Self>,
        whom: &Seen,
        what: What,
    ) -> Result<R, Failure> {
        if whom.id == self.id {
            return wire::decode(&server::answer(self, what).await?);
        }
        let peer = self.peers.member(whom.id, &whom.member);
        peer.ask(what, TRY).await
    }
}
