//! Makes the agent's checks that are a connection or a request, each again and again in a task of
//! its own, and reports what has changed.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::time::Duration;

use highwater::{LogIndex, WaitError};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::app::App;
use crate::command::Command;
use crate::probe;
use crate::registry::Report;
use crate::schema::{CatalogView, Definition};

/// No check is made more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// The kinds of checks that are made.
const KINDS: [&str; 2] = ["http", "tcp"];

/// Makes the checks that there are, whenever and wherever they were registered. Until the store is
/// closed, or this is aborted.
pub async fn run(app: App) {
    let mut tasks = JoinSet::new();
    let mut made: HashMap<String, (Definition, AbortHandle)> = HashMap::new();
    let mut after = LogIndex::ZERO;
    let wanted = |db: &CatalogView| {
        let checks = db.checks().leading(&app.agent.node.name);
        let own = checks.filter(|check| check.own && KINDS.contains(&check.kind.as_str()));
        own.map(|check| (check.id.clone(), check.definition.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    loop {
        let found = app
            .store
            .blocking_query_async(after, pending::<()>(), wanted);
        let found = match found.await {
            Ok(found) => found,
            // A node that joins a cluster was sent its tables.
            Err(WaitError::HistoryChanged { .. }) => {
                after = LogIndex::ZERO;
                continue;
            }
            Err(_) => return,
        };
        after = found.index;
        made.retain(|id, (definition, task)| {
            let same = found.value.get(id) == Some(definition);
            if !same {
                task.abort();
            }
            same
        });
        while tasks.try_join_next().is_some() {}
        for (id, definition) in found.value {
            made.entry(id.clone()).or_insert_with(|| {
                let again = again_and_again(app.clone(), id, definition.clone());
                (definition, tasks.spawn(again))
            });
        }
    }
}

async fn again_and_again(app: App, check: String, definition: Definition) {
    let node = &app.agent.node.name;
    loop {
        let (status, output) = probe::make(&definition).await;
        let known = app
            .store
            .snapshot()
            .checks()
            .get((node, &check))
            .map(|known| known.status);
        // What is as it was is no news, whatever words it came with.
        if known.is_some_and(|known| known != status) {
            let report = Report {
                node: node.clone(),
                check: check.clone(),
                status,
                output,
            };
            if let Err(error) = app.propose(Command::UpdateCheck(report)).await {
                eprintln!("catalog: check {check:?}: {error}");
            }
        }
        sleep(definition.interval.0.max(LEAST_INTERVAL)).await;
    }
}
