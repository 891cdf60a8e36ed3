//! The agent's checks as time passes: a check that nobody reports on becomes critical, one that is
//! a connection or a request is made again, a service whose check stays critical for too long is
//! deregistered.
//!
//! Time is no part of the catalog's state: what it brings about is proposed as a command like any
//! other. After a restart every check has its full time again.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::app::App;
use crate::command::{Command, Deregistration};
use crate::probe;
use crate::schema::{Check, Status};

/// No service is deregistered sooner, whatever its check says.
const LEAST_CRITICAL: Duration = Duration::from_mins(1);
/// No check is made more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// Tells the timers of the agent's checks what was heard of.
#[derive(Clone, Debug)]
pub struct Timers(UnboundedSender<Heard>);

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
        (Timers(sender), heard)
    }

    pub fn heard(&self, heard: Heard) {
        // The receiver ends with the program.
        let _ = self.0.send(heard);
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
    let Check {
        node,
        id,
        service_id,
        status: before,
        definition,
        ..
    } = check;
    let update = |status, output| Command::UpdateCheck {
        node: node.clone(),
        check: id.clone(),
        status,
        output,
    };
    let command = match act {
        Act::Expire => Some(update(Status::Critical, "TTL expired".to_owned())),
        Act::Probe => {
            let (status, output) = probe::make(&definition).await;
            // What is as it was is no news, whatever words it came with.
            (status != before).then(|| update(status, output))
        }
        Act::Deregister => Some(Command::Deregister(Deregistration {
            node: node.clone(),
            service: Some(service_id),
            check: None,
        })),
    };
    if let Some(command) = command
        && let Err(error) = app.propose(command).await
    {
        eprintln!("catalog: check {id:?}: {error}");
    }
    app.timers.heard(Heard::Reported(id));
}
