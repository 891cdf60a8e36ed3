//! Lets time pass: whoever leads says so in the log when something is due, and what becomes of the
//! members of its cluster (`members.rs`).
//!
//! A command says no more than that; what it does follows from the tables and the log's clock (see
//! `deadlines.rs`). So one that is sent twice, or by somebody who has just lost the lead, does no
//! harm.

use std::future::pending;
use std::time::Duration;

use highwater::LogIndex;
use tokio::time::sleep;

use crate::app::App;
use crate::command::Command;
use crate::members;
use crate::schema::CatalogView;

/// Before another try.
const PAUSE: Duration = Duration::from_millis(500);
/// Before the first of those to begin, which all writes wait for.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Runs until it is aborted.
pub async fn run(app: App) {
    loop {
        let Some(term) = app.log.leads_in(|term| term.is_some()).await else {
            continue;
        };
        tokio::select! {
            () = reign(&app, term) => {}
            _ = app.log.leads_in(|now| now != Some(term)) => {}
        }
    }
}

async fn reign(app: &App, term: u64) {
    // One alone has begun already, for it registers itself before.
    let mut pause = FIRST_PAUSE;
    while app.log.time(term).is_none() {
        if let Err(error) = app.log.begin(term).await {
            // Raft may not take the leader for one yet, or no more; then this is not said.
            sleep(pause).await;
            if pause == PAUSE {
                eprintln!("catalog: cannot let time pass: {error}");
            }
            pause = PAUSE.min(2 * pause);
        }
    }
    let expiring = async {
        loop {
            until_due(app, term).await;
            if let Err(error) = app.write(Command::Expire).await {
                eprintln!("catalog: cannot do what is due: {error}");
                sleep(PAUSE).await;
            }
        }
    };
    tokio::join!(expiring, members::watch(app));
}

/// Waits until the first deadline, whichever that is by then; for ever if the store has ended.
async fn until_due(app: &App, term: u64) {
    let (mut after, mut left) = (LogIndex(0), Duration::ZERO);
    loop {
        let next = |db: &CatalogView| db.deadlines().next_due();
        let next = app.store.blocking_query_async(after, sleep(left), next);
        let (Ok(next), Some(now)) = (next.await, app.log.time(term)) else {
            return pending().await;
        };
        after = next.index;
        left = match next.value.map(|at| at.duration_since(now)) {
            Some(Ok(left)) if !left.is_zero() => left,
            Some(_) => return,
            None => Duration::MAX,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use highwater::fsm::{Outcome, Proposal};
    use highwater::journal::{Journal, JournalOptions};

    use super::*;
    use crate::duration::GoDuration;
    use crate::log::{self, ALONE};
    use crate::machine::{check, node};
    use crate::registry::{Registration, TTL};
    use crate::schema::{Catalog, Check, Status};
    use crate::server;

    const YEAR: Duration = Duration::from_hours(365 * 24);

    /// Who led before had a clock that was a year ahead.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_logs_time_goes_on_whatever_it_was_before() {
        let folder = tempfile::tempdir().unwrap();
        let options = JournalOptions::default();
        let (journal, _) = Journal::<Catalog, Command>::open(folder.path(), options).unwrap();
        let ahead = SystemTime::now() + YEAR;
        let begin = Proposal::new(&Command::Begin, ahead, 0).unwrap();
        let (_, outcome) = journal.submit(begin).unwrap();
        assert!(matches!(outcome, Outcome::Done(Ok(_))));
        journal.close().unwrap();

        let log = log::open(folder.path()).unwrap();
        log.begin(ALONE).await.unwrap();
        let agent = server::agent(&log, "n".to_owned(), ([127, 0, 0, 1], 0).into());
        let app = App::new(log, agent, Duration::from_secs(10));
        let keeping = tokio::spawn(run(app.clone()));
        let mut beat = Check {
            kind: TTL.to_owned(),
            own: true,
            ..check("n", "beat")
        };
        beat.definition.ttl = GoDuration(Duration::from_millis(100));
        let registration = Registration {
            node: node("n"),
            checks: vec![beat],
            ..Registration::default()
        };
        let register = Command::Register(Box::new(registration));
        let (index, _) = app.write(register).await.unwrap();
        let status = |db: &CatalogView| db.checks().get(("n", "beat")).map(|check| check.status);
        let patience = sleep(Duration::from_mins(1));
        let found = app.store.blocking_query_async(index, patience, status);
        assert_eq!(found.await.unwrap().value, Some(Status::Critical));
        let time = app.log.time(ALONE).unwrap();
        assert!((ahead..ahead + YEAR).contains(&time), "{time:?}");
        keeping.abort();
    }
}
