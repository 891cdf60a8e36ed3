//! The members of the cluster in the catalog: who leads says which of them answer.
//!
//! Each node has registered itself, with a check that says whether it is there. The leader, whom all
//! answer, reports on that, and sessions of a node that has died end with it. What was on a node that
//! is a member no longer goes.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::cluster::{MemberId, Seen};
use crate::command::Command;
use crate::log::Log;
use crate::registry::{Deregistration, Report};
use crate::schema::{ALIVE, CatalogView, Check, Status};

/// A member that has not answered for so long is taken for dead. A restart takes less, and so does
/// what a disk or a network is slow for at times; a lock that a dead node holds need not be held
/// much longer.
const SILENT: Duration = Duration::from_secs(5);
/// Between looks.
const LOOK: Duration = Duration::from_secs(1);

/// What the check says of a node that is there.
pub const ANSWERS: &str = "Agent alive and reachable";
const SILENCE: &str = "Agent not live or unreachable";

/// Runs until it is aborted, while this node leads.
pub async fn watch(app: &App) {
    let Log::Cluster(node) = &*app.log else {
        return pending().await;
    };
    // While a majority does not answer, it may be this node that was stopped and has missed the answers.
    let mut began = None;
    loop {
        sleep(LOOK).await;
        let Some(members) = node.answers() else {
            began = None;
            continue;
        };
        let listened = began.get_or_insert_with(Instant::now).elapsed();
        let known = |(Seen { id, member, .. }, answered): &(Seen, Option<Duration>)| Known {
            id: *id,
            name: member.name.clone(),
            answers: match answered {
                Some(ago) if *ago < SILENT => Some(true),
                // Nobody is silent for longer than somebody listens.
                _ => (listened >= SILENT).then_some(false),
            },
        };
        let known: Vec<Known> = members.iter().map(known).collect();
        // One, any of them, and then another look: until a second was written the first may have changed
        // what there is to say.
        let Some(command) = fastrand::choice(news(&app.store.snapshot(), &known)) else {
            continue;
        };
        if let Err(error) = app.write(command.clone()).await {
            eprintln!("catalog: {command:?}: {error}");
        }
    }
}

/// What the leader knows of a member.
struct Known {
    id: MemberId,
    name: String,
    /// None, if that is still to be seen.
    answers: Option<bool>,
}

/// What is otherwise in the catalog than the leader knows it to be.
fn news(db: &CatalogView, members: &[Known]) -> Vec<Command> {
    let of = |check: &Check| {
        let row = db.nodes().get(&check.node);
        let id = row.map(|node| node.id.as_str()).unwrap_or_default();
        // A node that lost its data is another member of the same name, and registers itself anew;
        // one whose machine was given another name is the same member.
        let mut members = members.iter();
        members.find(|known| known.name == check.node || known.id.uuid().to_string() == id)
    };
    let mut news = Vec::new();
    for check in db.checks().by_own_id(ALIVE) {
        let node = check.node.clone();
        let Some(member) = of(check) else {
            news.push(Command::Deregister(Deregistration {
                node,
                service: None,
                check: None,
            }));
            continue;
        };
        let (status, output) = match member.answers {
            Some(true) => (Status::Passing, ANSWERS),
            Some(false) => (Status::Critical, SILENCE),
            None => continue,
        };
        if check.status != status {
            news.push(Command::UpdateCheck(Report {
                node,
                check: ALIVE.to_owned(),
                status,
                output: output.to_owned(),
            }));
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, check, node};

    #[test]
    fn what_is_otherwise_is_said() {
        let mut machine = Machine::default();
        let id = |number| MemberId {
            number,
            life: number,
        };
        let names = ["well", "ill", "again", "gone", "renamed", "dark", "quiet"];
        for (number, name) in (1..).zip(names) {
            let mut row = node(name);
            row.id = id(number).uuid().to_string();
            let mut alive = check(name, ALIVE);
            alive.own = true;
            if ["again", "dark"].contains(&name) {
                alive.status = Status::Critical;
            }
            machine.edit(|txn| txn.nodes_mut().insert(row));
            machine.edit(|txn| txn.checks_mut().insert(alive));
        }
        // What somebody else registered is none of the leader's business.
        machine.edit(|txn| txn.nodes_mut().insert(node("elsewhere")));
        machine.edit(|txn| txn.checks_mut().insert(check("elsewhere", ALIVE)));
        let known = |number, name, answers| Known {
            id: id(number),
            name: str::to_owned(name),
            answers,
        };
        let members = [
            known(1, "well", Some(true)),
            known(2, "ill", Some(false)),
            // In another life.
            known(8, "again", Some(true)),
            known(5, "by its old name", Some(true)),
            known(6, "dark", None),
            known(7, "quiet", None),
        ];
        let news = news(&machine.store.snapshot(), &members);
        let report = |node: &str, status, output: &str| {
            Command::UpdateCheck(Report {
                node: node.to_owned(),
                check: ALIVE.to_owned(),
                status,
                output: output.to_owned(),
            })
        };
        let gone = Command::Deregister(Deregistration {
            node: "gone".to_owned(),
            service: None,
            check: None,
        });
        let expected = [
            report("again", Status::Passing, ANSWERS),
            gone,
            report("ill", Status::Critical, SILENCE),
        ];
        assert_eq!(news, expected);
    }
}
