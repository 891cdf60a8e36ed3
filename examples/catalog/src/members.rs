//! The members of the cluster in the catalog: who leads says which of them answer.
//!
//! Each node registers itself, with a check that says whether it is there. The leader, whom all
//! answer, reports on that, and sessions of a node that has died end with it. What was on a node that
//! is a member no longer goes; a member that somebody has deregistered is registered again.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::cluster::{Member, MemberId, Seen};
use crate::command::Command;
use crate::registry::{Deregistration, Registration};
use crate::schema::{ALIVE, CatalogView, Check, Node, Status};

/// A member that has not answered for so long is taken for dead. A restart takes less, and so does
/// what a disk or a network is slow for at times; a lock that a dead node holds need not be held
/// much longer.
const SILENT: Duration = Duration::from_secs(5);
/// Between looks.
const LOOK: Duration = Duration::from_secs(1);

/// What the check says of a node that is there.
pub const ANSWERS: &str = "Agent alive and reachable";
const SILENCE: &str = "Agent not live or unreachable";

/// What registers a member: a node, and the check that says that it is there.
pub fn registration(node: Node) -> Registration {
    let alive = Check {
        node: node.name.clone(),
        id: ALIVE.to_owned(),
        name: "Serf Health Status".to_owned(),
        status: Status::Passing,
        output: ANSWERS.to_owned(),
        own: true,
        ..Check::default()
    };
    Registration {
        node,
        checks: vec![alive],
        ..Registration::default()
    }
}

/// Runs until it is aborted, while this node leads.
pub async fn watch(app: &App) {
    let Some(node) = app.log.cluster() else {
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
        let known = |(Seen { id, member, .. }, answered): (Seen, Option<Duration>)| Known {
            id,
            member,
            answers: match answered {
                Some(ago) if ago < SILENT => Some(true),
                // Nobody is silent for longer than somebody listens.
                _ => (listened >= SILENT).then_some(false),
            },
        };
        let known: Vec<Known> = members.into_iter().map(known).collect();
        // One, any of them, and then another look: until a second was written the first may have changed
        // what there is to say.
        let mut news = news(&app.store.snapshot(), &known);
        // A node that has just begun registers itself, with what it knows of itself.
        news.retain(|news| listened >= SILENT || !matches!(news, Command::Register(_)));
        if let Some(command) = fastrand::choice(news)
            && let Err(error) = app.write(command.clone()).await
        {
            eprintln!("catalog: {command:?}: {error}");
        }
    }
}

/// What the leader knows of a member.
struct Known {
    id: MemberId,
    member: Member,
    /// None, if that is still to be seen.
    answers: Option<bool>,
}

/// What is otherwise in the catalog than the leader knows it to be.
fn news(db: &CatalogView, members: &[Known]) -> Vec<Command> {
    let (mut news, mut registered) = (Vec::new(), BTreeSet::new());
    for check in db.checks().by_own_id(ALIVE) {
        let node = check.node.clone();
        let id = db.nodes().get(&node).map(|node| node.id.clone());
        // A node that lost its data is another member of the same name, and registers itself anew;
        // one whose machine was given another name is the same member.
        let is =
            |known: &Known| known.member.name == node || Some(known.id.uuid().to_string()) == id;
        let lives = members.iter().filter(|known| is(known));
        registered.extend(lives.clone().map(|known| known.id));
        // The one that answers, if one does.
        let Some(member) = lives.min_by_key(|known| known.answers != Some(true)) else {
            news.push(Command::Deregister(Deregistration::Node(node)));
            continue;
        };
        let (status, output) = match member.answers {
            Some(true) => (Status::Passing, ANSWERS),
            Some(false) => (Status::Critical, SILENCE),
            None => continue,
        };
        if check.status != status {
            let alive = (node, ALIVE.to_owned());
            news.push(Command::Report(alive, status, output.to_owned()));
        }
    }
    let there = members.iter().filter(|known| known.answers == Some(true));
    for Known { id, member, .. } in there.filter(|known| !registered.contains(&known.id)) {
        let (address, _) = member.host_and_port();
        let node = Node {
            name: member.name.clone(),
            id: id.uuid().to_string(),
            address,
            ..Node::default()
        };
        news.push(Command::Register(Box::new(Registration {
            skip_node_update: true,
            ..registration(node)
        })));
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
        let names = [
            "well", "ill", "again", "gone", "renamed", "dark", "quiet", "twice",
        ];
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
        let known = |number, name: &str, answers| Known {
            id: id(number),
            member: Member {
                name: name.to_owned(),
                address: "10.0.0.9:9500".to_owned(),
            },
            answers,
        };
        let members = [
            known(1, "well", Some(true)),
            known(2, "ill", Some(false)),
            // In another life.
            known(12, "again", Some(true)),
            known(5, "by its old name", Some(true)),
            known(6, "dark", None),
            known(7, "quiet", None),
            // Its last life is a member yet.
            known(8, "twice", Some(false)),
            known(13, "twice", Some(true)),
            // Somebody has deregistered these.
            known(9, "n", Some(true)),
            known(10, "lost", Some(true)),
            known(11, "lost and silent", Some(false)),
        ];
        let news = news(&machine.store.snapshot(), &members);
        let report = |node: &str, status, output: &str| {
            let alive = (node.to_owned(), ALIVE.to_owned());
            Command::Report(alive, status, output.to_owned())
        };
        let gone = Command::Deregister(Deregistration::Node("gone".to_owned()));
        let register = |number, name: &str| {
            let node = Node {
                id: id(number).uuid().to_string(),
                address: "10.0.0.9".to_owned(),
                ..node(name)
            };
            Command::Register(Box::new(Registration {
                // It is there, but for the check.
                skip_node_update: true,
                ..registration(node)
            }))
        };
        let expected = [
            report("again", Status::Passing, ANSWERS),
            gone,
            report("ill", Status::Critical, SILENCE),
            register(9, "n"),
            register(10, "lost"),
        ];
        assert_eq!(news, expected);
    }
}
