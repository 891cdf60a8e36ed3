//! Faults under load: no acknowledged write is lost, none is applied twice, reads see what they have
//! to, and writes go on.

use std::thread;
use std::time::Duration;

use super::history::{broken, verify};
use super::load::Load;
use super::nodes::{Cluster, until};
use super::registers::Rng;
use super::wire::State;

/// So few that nodes which are away miss more.
const KEEP: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Whom {
    Leader,
    Follower,
}

use Whom::{Follower, Leader};

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// `kill -9`, and started again.
    Kill(Whom),
    /// SIGSTOP, and SIGCONT.
    Stop(Whom),
    /// `kill -9`, and started with nothing.
    Wipe(Whom),
    /// Away for longer than the log is kept.
    Away,
    /// SIGTERM, and started again.
    End(Whom),
    Isolate(Whom, State),
}

/// Each of these, or as many at random as `CATALOG_ROUNDS` says.
fn campaign(seed: u64, faults: &[Fault]) {
    let mut cluster = Cluster::of(3, KEEP);
    let mut load = Load::on(&cluster, seed);
    match std::env::var("CATALOG_ROUNDS") {
        Ok(rounds) => {
            let mut rng = Rng::new(seed + u64::from(std::process::id()));
            for _ in 0..rounds.parse().expect("a number") {
                let at = rng.below(faults.len() as u64);
                round(
                    &mut cluster,
                    &mut load,
                    faults[usize::try_from(at).unwrap()],
                );
            }
        }
        Err(_) => {
            for &fault in faults {
                round(&mut cluster, &mut load, fault);
            }
        }
    }
    let (writes, wakes) = (load.writes(), load.wakes());
    let history = load.end();
    let all = cluster.all_level();
    assert!(all.iter().all(|one| *one == all[0]), "{all:#?}");
    verify(&history).unwrap();
    println!(
        "{} operations, {writes} writes, {wakes} wakes",
        history.len()
    );
    assert!(writes > 100 && wakes > 10);
    // The same checks find what did not happen.
    let broken = broken(&history);
    assert!(broken.len() >= 3);
    for (what, history) in broken {
        assert!(verify(&history).is_err(), "{what}: {history:#?}");
    }
}

fn round(cluster: &mut Cluster, load: &mut Load, fault: Fault) {
    let numbers = cluster.numbers();
    let leader = cluster.leader_of(&numbers);
    let (Fault::Kill(whom)
    | Fault::Stop(whom)
    | Fault::Wipe(whom)
    | Fault::End(whom)
    | Fault::Isolate(whom, _)) = fault
    else {
        return away(cluster, load, leader);
    };
    let node = if whom == Leader {
        leader
    } else {
        cluster.others(leader)[0]
    };
    // One that takes requests and does not get on with them would hold up all clients.
    let hangs = matches!(fault, Fault::Stop(_) | Fault::Isolate(..));
    load.next(if hangs {
        std::slice::from_ref(&node)
    } else {
        &[]
    });
    thread::sleep(Duration::from_millis(200));
    match fault {
        Fault::Kill(_) | Fault::Wipe(_) => cluster.kill(node),
        Fault::Stop(_) => cluster.stop(node),
        Fault::End(_) => assert!(cluster.terminate(node).success()),
        Fault::Isolate(_, state) => cluster.set_wires(node, state),
        Fault::Away => {}
    }
    if hangs {
        load.visit(node);
    }
    let others = cluster.others(node);
    let (_, took) = cluster.write(others[0]);
    println!("{fault:?}: node {node}, which {leader} leads; a write after {took:?}");
    let enough = load.writes() + 100;
    until("writes go on", || (load.writes() > enough).then_some(()));
    match fault {
        Fault::Kill(_) | Fault::End(_) => cluster.start(node),
        Fault::Wipe(_) => {
            cluster.wipe(node);
            cluster.start(node);
            until("the node votes again", || {
                (cluster.voters(others[0])? == numbers).then_some(())
            });
        }
        Fault::Stop(_) => cluster.go_on(node),
        Fault::Isolate(..) => cluster.set_wires(node, State::Open),
        Fault::Away => {}
    }
    load.next(&[]);
    cluster.all_level();
}

fn away(cluster: &mut Cluster, load: &Load, leader: u64) {
    let node = cluster.others(leader)[0];
    load.next(&[node]);
    cluster.kill(node);
    let enough = load.writes() + 3 * KEEP;
    until("writes go on", || (load.writes() > enough).then_some(()));
    cluster.start(node);
    cluster.all_level();
}

#[test]
fn processes_fail() {
    let faults = [
        Fault::Kill(Leader),
        Fault::Kill(Follower),
        Fault::Stop(Leader),
        Fault::Stop(Follower),
        Fault::Wipe(Follower),
        Fault::Away,
        Fault::Wipe(Leader),
        Fault::End(Leader),
        Fault::End(Follower),
    ];
    campaign(1, &faults);
}

#[test]
fn networks_fail() {
    let faults = [
        Fault::Isolate(Leader, State::Cut),
        Fault::Isolate(Follower, State::Cut),
        Fault::Isolate(Leader, State::Held),
        Fault::Isolate(Follower, State::Held),
    ];
    campaign(2, &faults);
}
