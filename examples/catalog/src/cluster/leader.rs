//! Asks the leader, whoever that is.

use std::future::pending;
use std::io;

use highwater::LogIndex;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::wire::{self, Ask, What};
use super::{MemberId, Node, PATIENCE, PAUSE, Seen, TRY, server};

impl Node {
    /// An index at or above that of every write that was answered before this was called.
    pub async fn read_index(&self) -> Result<LogIndex, String> {
        let until = Instant::now() + PATIENCE;
        self.ask_leader(What::ReadIndex, until, &mut 0).await
    }

    /// Asks the leader, whoever that is, until there is an answer or it is too late. Each time that
    /// somebody is asked is counted in `tries`.
    pub async fn ask_leader<R: DeserializeOwned>(
        &self,
        what: What,
        until: Instant,
        tries: &mut u32,
    ) -> Result<R, String> {
        loop {
            let why = match self.who_leads() {
                Some(leader) => {
                    *tries += 1;
                    let answer = timeout(TRY, self.ask(&leader, what.clone()));
                    tokio::select! {
                        answer = answer => match answer {
                            Ok(Ok(answer)) => return Ok(answer),
                            Ok(Err(error)) => error.to_string(),
                            Err(late) => late.to_string(),
                        },
                        () = self.leader_changes(leader.id) => "the leader has changed".to_owned(),
                    }
                }
                None => "No cluster leader".to_owned(),
            };
            if Instant::now() + PAUSE >= until || self.0.writes.ended() {
                return Err(why);
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks a member, which may be this node.
    async fn ask<R: DeserializeOwned>(&self, whom: &Seen, what: What) -> io::Result<R> {
        if whom.id == self.id() {
            return wire::decode(&server::answer(self, what).await?);
        }
        let to = Some(whom.id);
        let ask = Ask { to, what };
        self.0.peers.ask(&whom.member.address, &ask, TRY).await
    }

    /// Waits until another leads.
    async fn leader_changes(&self, from: MemberId) {
        let another = |now: MemberId| now != from;
        let wait = self.0.raft.wait(None);
        let changed = wait.metrics(
            |metrics| metrics.current_leader.is_some_and(another),
            "another leader",
        );
        if changed.await.is_err() {
            pending::<()>().await;
        }
    }
}
