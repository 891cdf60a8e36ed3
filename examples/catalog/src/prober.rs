//! Makes the agent's checks that are a connection or a request, each again and again in a task of
//! its own, and reports what has changed.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::time::Duration;

use highwater::{LogIndex, WaitError};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app::App;
use crate::command::Command;
use crate::probe;
use crate::schema::{CatalogView, Definition};

/// No check is made more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// The kinds of checks that are made.
const KINDS: [&str; 2] = ["http", "tcp"];

/// Makes the checks that there are, whenever and wherever they were registered. Until the store is
/// closed, or this is aborted.
pub async fn run(app: App) {
    // A task ends when it is dropped.
    let mut made: HashMap<String, (Definition, JoinSet<()>)> = HashMap::new();
    let mut after = LogIndex::ZERO;
    let wanted = |db: &CatalogView| {
        let checks = db.checks().leading(&app.agent.node.name);
        let own = checks.filter(|check| check.own && KINDS.contains(&check.kind.as_str()));
        own.map(|check| (check.id.clone(), check.definition.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    loop {
        let store = &app.store;
        let found = store.blocking_query_async(after, pending::<()>(), wanted);
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
        made.retain(|id, (definition, _)| found.value.get(id) == Some(definition));
        for (id, definition) in found.value {
            made.entry(id.clone()).or_insert_with(|| {
                let again = again_and_again(app.clone(), id, definition.clone());
                (definition, JoinSet::from_iter([again]))
            });
        }
    }
}

async fn again_and_again(app: App, check: String, definition: Definition) {
    let check = (app.agent.node.name.clone(), check);
    loop {
        let (status, output) = probe::make(&definition).await;
        let db = app.store.snapshot();
        let known = db.checks().get(&check).map(|known| known.status);
        drop(db);
        // What is as it was is no news, whatever words it came with.
        if known.is_some_and(|known| known != status) {
            let report = Command::Report(check.clone(), status, output);
            if let Err(error) = app.propose(report).await {
                eprintln!("catalog: check {:?}: {error}", check.1);
            }
        }
        sleep(definition.interval.0.max(LEAST_INTERVAL)).await;
    }
}
