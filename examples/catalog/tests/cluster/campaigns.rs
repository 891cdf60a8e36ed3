//! Faults under load: no acknowledged write is lost, none is applied twice, reads see what they have
//! to, and writes go on.

use std::thread;
use std::time::{Duration, Instant};

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
    /// All at once.
    KillAll,
    /// SIGSTOP, and SIGCONT.
    Stop(Whom),
    /// SIGTERM, and started again.
    End(Whom),
    /// `kill -9`, and started with nothing.
    Wipe(Whom),
    /// The same, and killed again while it catches up.
    WipeTwice,
    /// Away for longer than the log is kept.
    Away,
    /// Nobody hears it, and it hears nobody.
    Isolate(Whom, State),
    /// It is asked, but reaches nobody.
    Mute(State),
    /// Connections end all the time.
    Shake,
}

/// Each of these, or as many at random as `CATALOG_ROUNDS` says.
fn campaign(seed: u64, faults: &[Fault]) {
    let mut cluster = Cluster::of(3, KEEP);
    let mut load = Load::on(&cluster, seed);
    let mut rng = Rng::new(seed + u64::from(std::process::id()));
    let faults = match std::env::var("CATALOG_ROUNDS") {
        Ok(rounds) => (0..rounds.parse().expect("a number"))
            .map(|_| faults[at_random(&mut rng, faults.len())])
            .collect(),
        Err(_) => faults.to_vec(),
    };
    for fault in faults {
        round(&mut cluster, &mut load, &mut rng, fault);
    }
    let (writes, wakes) = (load.writes(), load.wakes());
    let history = load.end();
    cluster.all_same();
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

fn at_random(rng: &mut Rng, below: usize) -> usize {
    usize::try_from(rng.below(below as u64)).unwrap()
}

fn pause(rng: &mut Rng, most: u64) {
    thread::sleep(Duration::from_millis(rng.below(most)));
}

/// One fault from its beginning to its end.
fn round(cluster: &mut Cluster, load: &mut Load, rng: &mut Rng, fault: Fault) {
    let numbers = cluster.numbers();
    let leader = cluster.leader_of(&numbers);
    let follower = cluster.others(leader)[at_random(rng, numbers.len() - 1)];
    let whom = |whom| if whom == Leader { leader } else { follower };
    // Whoever takes requests and does not get on with them would hold up all clients.
    let avoid = |load: &mut Load, node: u64| {
        load.next(&[node]);
        load.visit(node);
    };
    println!("{fault:?}; node {leader} leads");
    load.next(&[]);
    pause(rng, 300);
    match fault {
        Fault::Kill(node) => {
            cluster.kill(whom(node));
            without(cluster, load, whom(node), 100);
            cluster.start(whom(node));
        }
        Fault::KillAll => {
            for &node in &numbers {
                cluster.kill(node);
            }
            for &node in &numbers {
                cluster.start(node);
            }
        }
        Fault::Stop(node) => {
            avoid(load, whom(node));
            cluster.stop(whom(node));
            without(cluster, load, whom(node), 100);
            cluster.go_on(whom(node));
        }
        Fault::End(node) => {
            let asked = Instant::now();
            assert!(cluster.terminate(whom(node)).success());
            println!("it ended in {:?}", asked.elapsed());
            without(cluster, load, whom(node), 100);
            cluster.start(whom(node));
        }
        Fault::Wipe(node) => {
            cluster.kill(whom(node));
            without(cluster, load, whom(node), 100);
            cluster.wipe(whom(node));
            cluster.start(whom(node));
        }
        Fault::WipeTwice => {
            for _ in 0..2 {
                cluster.kill(follower);
                cluster.wipe(follower);
                cluster.start(follower);
                pause(rng, 500);
            }
            cluster.kill(follower);
            cluster.start(follower);
        }
        Fault::Away => {
            cluster.kill(follower);
            without(cluster, load, follower, 3 * KEEP);
            cluster.start(follower);
        }
        Fault::Isolate(node, state) => {
            avoid(load, whom(node));
            cluster.set_wires(whom(node), state);
            without(cluster, load, whom(node), 100);
            cluster.set_wires(whom(node), State::Open);
        }
        Fault::Mute(state) => {
            avoid(load, leader);
            cluster.set_wires_from(leader, state);
            without(cluster, load, leader, 100);
            cluster.set_wires_from(leader, State::Open);
        }
        Fault::Shake => {
            for _ in 0..30 {
                let node = numbers[at_random(rng, numbers.len())];
                cluster.set_wires(node, State::Cut);
                pause(rng, 50);
                cluster.set_wires(node, State::Open);
                pause(rng, 100);
            }
        }
    }
    load.next(&[]);
    let leader = cluster.leader_of(&numbers);
    until("all vote", || {
        (cluster.voters(leader)? == numbers).then_some(())
    });
    cluster.all_level();
}

/// Until so much is written without a node.
fn without(cluster: &Cluster, load: &Load, node: u64, writes: u64) {
    let (_, took) = cluster.write(cluster.others(node)[0]);
    println!("without node {node}: a write after {took:?}");
    let enough = load.writes() + writes;
    until("writes go on", || (load.writes() > enough).then_some(()));
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
        Fault::WipeTwice,
        Fault::KillAll,
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
        Fault::Mute(State::Cut),
        Fault::Mute(State::Held),
        Fault::Shake,
    ];
    campaign(2, &faults);
}
