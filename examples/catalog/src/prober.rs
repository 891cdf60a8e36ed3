//! Makes the agent's checks that are a connection or a request, each again and again in a task of
//! its own, and reports what has changed.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater::LogIndex;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::app::App;
use crate::command::Command;
use crate::probe;
use crate::registry::Report;
use crate::schema::Check;

/// No check is made more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// The kinds of checks that are made.
const KINDS: [&str; 2] = ["http", "tcp"];

/// The tasks, by check. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Prober(Arc<Mutex<HashMap<String, AbortHandle>>>);

impl Prober {
    fn tasks(&self) -> MutexGuard<'_, HashMap<String, AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a check from now on, if it is one that is made; anew, if it is made already. `index`
    /// is that of its registration, which this node may not have yet.
    pub fn begin(&self, app: &App, check: String, index: LogIndex) {
        let (id, app) = (check.clone(), app.clone());
        let task = tokio::spawn(async move {
            if app
                .store
                .snapshot_at_least_async(index, pending::<()>())
                .await
                .is_ok()
            {
                again_and_again(app, id).await;
            }
        });
        let mut tasks = self.tasks();
        tasks.retain(|_, task| !task.is_finished());
        if let Some(before) = tasks.insert(check, task.abort_handle()) {
            before.abort();
        }
    }

    pub fn end(&self) {
        self.tasks().drain().for_each(|(_, task)| task.abort());
    }
}

/// Until there is no such check.
async fn again_and_again(app: App, id: String) {
    let known = || {
        let db = app.store.snapshot();
        let check = db.checks().get((&app.agent.node.name, &id));
        check.map(|row| Check::clone(row))
    };
    let is_made = |check: &Check| check.own && KINDS.contains(&check.kind.as_str());
    while let Some(check) = known().filter(is_made) {
        let (status, output) = probe::make(&check.definition).await;
        // What is as it was is no news, whatever words it came with.
        if status != check.status {
            let report = Report {
                node: check.node,
                check: check.id,
                status,
                output,
            };
            if let Err(error) = app.propose(Command::UpdateCheck(report)).await {
                eprintln!("catalog: check {id:?}: {error}");
            }
        }
        sleep(check.definition.interval.0.max(LEAST_INTERVAL)).await;
    }
}
