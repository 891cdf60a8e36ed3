//! Lets time pass: whoever leads says so in the log when something is due.
//!
//! A command says no more than that; what it does follows from the tables and the log's clock (see
//! `deadlines.rs`). So one that is sent twice, or by somebody who has just lost the lead, does no
//! harm.

use std::future::pending;
use std::time::{Duration, SystemTime};

use highwater::LogIndex;
use tokio::time::sleep;

use crate::app::App;
use crate::command::Command;
use crate::schema::CatalogView;

/// Before another try.
const PAUSE: Duration = Duration::from_millis(500);
/// The clock of the machine can be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Runs until it is aborted.
pub async fn run(app: App) {
    loop {
        let term = app.log.leads_in(|term| term.is_some()).await;
        tokio::select! {
            () = reign(&app) => {}
            _ = app.log.leads_in(|now| now != term) => {}
        }
    }
}

async fn reign(app: &App) {
    // Always: this store may lack what came before, and then nothing seems to be due.
    insist(app, Command::Begin).await;
    loop {
        until_due(app).await;
        insist(app, Command::Expire).await;
    }
}

async fn insist(app: &App, command: Command) {
    while let Err(error) = app.write(command.clone()).await {
        eprintln!("catalog: {command:?}: {error}");
        sleep(PAUSE).await;
    }
}

/// Waits until the first deadline, whichever that is by then; for ever if the store has ended.
async fn until_due(app: &App) {
    let (mut after, mut left) = (LogIndex(0), Duration::ZERO);
    loop {
        let next = |db: &CatalogView| db.deadlines().next_due();
        let Ok(next) = app
            .store
            .blocking_query_async(after, sleep(left), next)
            .await
        else {
            return pending().await;
        };
        after = next.index;
        left = LONGEST_SLEEP;
        if let Some(at) = next.value {
            let Ok(until) = at.duration_since(SystemTime::now()) else {
                return;
            };
            left = left.min(until);
        }
    }
}
