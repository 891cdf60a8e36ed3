//! The agent's checks as time passes: a check that nobody reports on becomes critical, one that is
//! a connection or a request is made again, a service whose check stays critical for too long is
//! deregistered.
//!
//! Time is no part of the catalog's state: what it brings about is proposed as a command like any
//! other. After a restart every check has its full time again.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

use crate::app::App;
use crate::command::{Command, Deregistration};
use crate::http::HttpError;
use crate::probe;
use crate::schema::{Check, Status};

/// No service is deregistered sooner, whatever its check says.
const LEAST_CRITICAL: Duration = Duration::from_mins(1);
/// No check is made more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// The kinds of checks that the agent makes.
pub const MADE_HERE: [&str; 3] = ["ttl", "http", "tcp"];
/// Reports of different checks seldom wait for each other.
const GUARDS: usize = 64;

/// Tells the timers of the agent's checks what was heard of.
#[derive(Clone, Debug)]
pub struct Timers {
    sender: UnboundedSender<Heard>,
    reports: Arc<Reports>,
}

/// When each check was last reported on: what its timer does and what a report does come one after
/// the other, or a report that came in time would be overruled by an expiry that is under way.
#[derive(Debug)]
struct Reports {
    hasher: RandomState,
    guards: [Mutex<HashMap<String, Instant>>; GUARDS],
}

impl Reports {
    async fn lock(&self, check: &str) -> MutexGuard<'_, HashMap<String, Instant>> {
        let hash = self.hasher.hash_one(check);
        #[expect(clippy::cast_possible_truncation, reason = "it is below GUARDS")]
        self.guards[(hash % GUARDS as u64) as usize].lock().await
    }
}

/// Held while a report is taken to the log.
#[must_use]
pub struct Reporting<'a> {
    _guard: MutexGuard<'a, HashMap<String, Instant>>,
}

/// What was heard of a check.
#[derive(Debug)]
pub enum Heard {
    /// It has been registered, or the program has been started.
    Begun(String),
    /// Its state has been reported.
    Reported(String),
}

impl Timers {
    /// The timers, and what [`run`] takes.
    pub fn new() -> (Self, UnboundedReceiver<Heard>) {
        let (sender, heard) = unbounded_channel();
        let reports = Arc::new(Reports {
            hasher: RandomState::new(),
            guards: std::array::from_fn(|_| Mutex::default()),
        });
        (Timers { sender, reports }, heard)
    }

    /// A report has come: until the guard is dropped, the check does not expire.
    pub async fn report(&self, check: &str) -> Reporting<'_> {
        let came = Instant::now();
        let mut guard = self.reports.lock(check).await;
        guard.insert(check.to_owned(), came);
        Reporting { _guard: guard }
    }

    pub fn heard(&self, heard: Heard) {
        // The receiver ends with the program.
        let _ = self.sender.send(heard);
    }
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Act {
    /// Nothing was heard: the check is critical.
    Expire,
    /// The check is to be made.
    Probe,
    /// The check was critical for too long.
    Deregister,
}

/// Deadlines by time, and by what they are for.
#[derive(Default)]
struct Deadlines {
    first: BTreeSet<(Instant, String, Act)>,
    by_check: HashMap<(String, Act), Instant>,
}

impl Deadlines {
    fn clear(&mut self, check: &str, act: Act) {
        if let Some(at) = self.by_check.remove(&(check.to_owned(), act)) {
            self.first.remove(&(at, check.to_owned(), act));
        }
    }

    fn set(&mut self, check: &str, act: Act, at: Instant) {
        self.clear(check, act);
        self.first.insert((at, check.to_owned(), act));
        self.by_check.insert((check.to_owned(), act), at);
    }

    fn pop(&mut self) -> Option<(String, Act)> {
        let (_, check, act) = self.first.pop_first()?;
        self.by_check.remove(&(check.clone(), act));
        Some((check, act))
    }

    /// Sets what follows from the state of a check.
    fn follow(&mut self, id: &str, check: Option<&Check>, begun: bool) {
        let now = Instant::now();
        for act in [Act::Expire, Act::Probe, Act::Deregister] {
            match check.and_then(|check| time_until(act, check)) {
                None => self.clear(id, act),
                // A report that it is critical still does not prolong this.
                Some(_)
                    if act == Act::Deregister
                        && self.by_check.contains_key(&(id.to_owned(), act)) => {}
                Some(_) if act == Act::Probe && begun => self.set(id, act, now),
                Some(time) => self.set(id, act, now + time),
            }
        }
    }
}

/// When something has to be done, if nothing is heard of the check.
fn time_until(act: Act, check: &Check) -> Option<Duration> {
    let Check {
        definition,
        status,
        service_id,
        ..
    } = check;
    let (time, least, applies) = match act {
        Act::Expire => (definition.ttl, Duration::ZERO, *status != Status::Critical),
        Act::Probe => (definition.interval, LEAST_INTERVAL, true),
        Act::Deregister => (
            definition.deregister_critical_service_after,
            LEAST_CRITICAL,
            *status == Status::Critical && !service_id.is_empty(),
        ),
    };
    (applies && !time.is_zero()).then(|| time.0.max(least))
}

/// Runs until the last [`Timers`] is gone.
pub async fn run(app: App, mut heard: UnboundedReceiver<Heard>) {
    let node = &app.agent.node.name;
    let mut deadlines = Deadlines::default();
    loop {
        let next = deadlines.first.first().map(|(at, _, _)| *at);
        let (check, begun) = tokio::select! {
            // A report that came in time counts, also if this task did not.
            biased;
            heard = heard.recv() => match heard {
                Some(Heard::Begun(check)) => (check, true),
                Some(Heard::Reported(check)) => (check, false),
                None => return,
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                let Some((check, act)) = deadlines.pop() else { continue };
                let db = app.store.snapshot();
                if let Some(row) = db.checks().get((node, &check)) {
                    tokio::spawn(carry_out(app.clone(), act, Check::clone(row)));
                }
                continue;
            }
        };
        let db = app.store.snapshot();
        deadlines.follow(
            &check,
            db.checks().get((node, &check)).map(|row| &**row),
            begun,
        );
    }
}

/// Does what the time has come for, and reports it.
async fn carry_out(app: App, act: Act, check: Check) {
    let done = match act {
        Act::Expire => expire(&app, &check).await,
        Act::Probe => probe(&app, &check).await,
        Act::Deregister => deregister(&app, &check).await,
    };
    if let Err(error) = done {
        eprintln!("catalog: check {:?}: {error}", check.id);
    }
    app.timers.heard(Heard::Reported(check.id));
}

fn update(check: &Check, status: Status, output: String) -> Command {
    Command::UpdateCheck {
        node: check.node.clone(),
        check: check.id.clone(),
        status,
        output,
    }
}

async fn expire(app: &App, check: &Check) -> Result<(), HttpError> {
    let reports = app.timers.reports.lock(&check.id).await;
    let ttl = check.definition.ttl.0;
    if reports
        .get(&check.id)
        .is_some_and(|last| last.elapsed() < ttl)
    {
        return Ok(());
    }
    let expired = update(check, Status::Critical, "TTL expired".to_owned());
    app.propose(expired).await.map(drop)
}

async fn probe(app: &App, check: &Check) -> Result<(), HttpError> {
    let (status, output) = probe::make(&check.definition).await;
    if status == check.status {
        // What is as it was is no news, whatever words it came with.
        return Ok(());
    }
    app.propose(update(check, status, output)).await.map(drop)
}

async fn deregister(app: &App, check: &Check) -> Result<(), HttpError> {
    let _reports = app.timers.reports.lock(&check.id).await;
    let db = app.store.snapshot();
    let now = db.checks().get((&check.node, &check.id));
    if now.is_none_or(|now| now.status != Status::Critical) {
        return Ok(());
    }
    let service = Deregistration {
        node: check.node.clone(),
        service: Some(check.service_id.clone()),
        check: None,
    };
    app.propose(Command::Deregister(service)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Registration;
    use crate::duration::GoDuration;
    use crate::log;
    use crate::schema::{Definition, Node};
    use crate::server;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_report_that_came_in_time_counts_however_long_the_log_takes() {
        let log = log::in_memory();
        let agent = server::agent(&log, "n".to_owned(), ([127, 0, 0, 1], 1).into());
        let (timers, _heard) = Timers::new();
        let app = App::new(log, agent, timers);
        let ttl = GoDuration(Duration::from_mins(1));
        let check = Check {
            node: "n".to_owned(),
            id: "c".to_owned(),
            name: "c".to_owned(),
            status: Status::Passing,
            notes: String::new(),
            output: String::new(),
            service_id: String::new(),
            kind: "ttl".to_owned(),
            definition: Definition {
                ttl,
                ..Definition::default()
            },
        };
        let registration = Registration {
            node: Node::clone(&app.agent.node),
            skip_node_update: false,
            service: None,
            checks: vec![check.clone()],
            keep_status: false,
            replace_checks: false,
        };
        app.write(Command::Register(Box::new(registration)))
            .await
            .unwrap();
        let status = || {
            let db = app.store.snapshot();
            db.checks().get(("n", "c")).map(|check| check.status)
        };
        // The timer is due while a report is on its way to the log.
        let reporting = app.timers.report("c").await;
        let due = tokio::spawn(carry_out(app.clone(), Act::Expire, check.clone()));
        tokio::task::yield_now().await;
        drop(reporting);
        due.await.unwrap();
        assert_eq!(status(), Some(Status::Passing));
        // The same without one.
        app.timers.reports.lock("c").await.clear();
        carry_out(app.clone(), Act::Expire, check.clone()).await;
        assert_eq!(status(), Some(Status::Critical));
        app.write(update(&check, Status::Passing, String::new()))
            .await
            .unwrap();
        // A service whose check passes again is not deregistered any more.
        carry_out(app.clone(), Act::Deregister, check).await;
        assert_eq!(status(), Some(Status::Passing));
    }
}
