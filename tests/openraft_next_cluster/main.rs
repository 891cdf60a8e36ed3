//! Clusters of three and five nodes in virtual time, each run from a seed: partitions, crashes,
//! lost answers, images, reads on every node. What clients were told is checked for
//! linearizability, and planted bugs must be found by the same checks.
//!
//! `SEEDS=10000 cargo test --release --features openraft-next --test openraft_next_cluster` runs as
//! many seeds as one has patience for.
#![cfg(feature = "openraft-next")]
#![allow(missing_docs, reason = "openraft's macro declares a type without")]

mod client;
#[path = "../cluster/mod.rs"]
mod cluster;
mod network;
mod node;
mod world;

use client::{client, watcher};
use cluster::{Held, Op, Registers, Rng, Write, check, search};
use highwater::openraft_next::{Request, Response, StateMachine};
use node::{crash, start};
use openraft_next::{AsyncRuntime, Instant, NodeInfo};
use openraft_rt_sim::{SimInstant, SimRuntime};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use world::{Bug, Met, Shared, World, sleep, timeout};

openraft_next::declare_raft_types!(
    pub Types:
        D = Request<Write>,
        R = Response<u64, Held>,
        NodeId = u64,
        Node = NodeInfo,
        AsyncRuntime = SimRuntime,
);

type Machine = StateMachine<Registers, Write, Types>;
type Raft = openraft_next::Raft<Types, Machine>;

/// Partitions, crashes, images, until the end; then all is well again.
async fn nemesis(shared: &Shared, nodes: u64, until: u64) -> Result<(), String> {
    while shared.now() < until {
        sleep(100 + shared.below(400)).await;
        let id = shared.below(nodes);
        match shared.below(3) {
            0 => {
                {
                    let mut world = shared.lock();
                    world.met.partitions += 1;
                    for id in 0..nodes {
                        let side = world.rng.below(2);
                        world.sides.insert(id, side);
                    }
                }
                sleep(200 + shared.below(800)).await;
                shared.lock().sides.clear();
            }
            1 => {
                if let Some(dir) = crash(shared, id).await {
                    // Now and then for longer than the log keeps.
                    sleep(50 + shared.below(1000)).await;
                    start(shared, id, dir).await?;
                }
            }
            _ => {
                if let Some(node) = shared.node(id) {
                    shared.lock().met.images += 1;
                    let _ = node.raft.trigger().snapshot().await;
                }
            }
        }
    }
    Ok(())
}

/// A directory in memory, where there is one: a simulated machine need not wait for a real disk.
fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    let in_memory = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok());
    in_memory
        .flatten()
        .unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// One run: what clients were told, and what there was in it.
fn run(seed: u64, nodes: u64, bug: Bug) -> Result<(Vec<Op>, Met), String> {
    const CLIENTS: usize = 3;
    const LONG: u64 = 4_000_000;
    let dir = temporary();
    let root = dir.path().to_owned();
    SimRuntime::with_seed(seed).block_on(async move {
        let shared = Shared(Arc::new(Mutex::new(World {
            nodes: BTreeMap::new(),
            sides: BTreeMap::new(),
            rng: Rng::new(seed),
            bug,
            history: Vec::new(),
            zero: SimInstant::now(),
            dir: root.clone(),
            started: 0,
            met: Met::default(),
        })));
        for id in 0..nodes {
            start(&shared, id, root.join(format!("{id}"))).await?;
        }
        let members: BTreeMap<_, _> = (0..nodes).map(|id| (id, NodeInfo::default())).collect();
        let first = shared.node(0).ok_or("no node")?;
        first
            .raft
            .initialize(members)
            .await
            .map_err(|e| e.to_string())?;
        drop(first);
        let mut tasks = Vec::new();
        for number in 0..CLIENTS {
            tasks.push(SimRuntime::spawn(client(
                shared.clone(),
                number,
                nodes,
                LONG,
            )));
        }
        for _ in 0..2 {
            tasks.push(SimRuntime::spawn(watcher(shared.clone(), nodes, LONG)));
        }
        nemesis(&shared, nodes, LONG).await?;
        for task in tasks {
            let ended = timeout(60_000, task)
                .await
                .ok_or("somebody waits for ever")?;
            ended.map_err(|error| format!("a task: {error:?}"))?;
        }
        sleep(3000).await;

        let (nodes, history, met) = {
            let world = shared.lock();
            (world.nodes.clone(), world.history.clone(), world.met)
        };
        let registers = check(&history)?;
        search_beginning(&history)?;
        for (id, node) in &nodes {
            let snapshot = node.store.snapshot();
            let held: BTreeMap<_, _> = snapshot
                .registers()
                .iter()
                .map(|register| (register.key.clone(), register.value))
                .collect();
            if held != registers {
                return Err(format!("node {id} has {held:?}, told was {registers:?}"));
            }
        }
        for node in nodes.into_values() {
            node.raft.shutdown().await.map_err(|e| format!("{e:?}"))?;
        }
        Ok((history, met))
    })
}

/// The search is exponential at worst, so it is given the beginning of the history: what is in the
/// log up to some entry has seen nothing of what comes after.
fn search_beginning(history: &[Op]) -> Result<(), String> {
    let mut ops = history.to_vec();
    ops.sort_by_key(|op| op.index);
    let last = ops.get(200).map_or(u64::MAX, |op| op.index);
    ops.retain(|op| op.index <= last);
    search(&ops)
}

fn seeds(default: u64) -> u64 {
    std::env::var("SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(default)
}

fn runs(nodes: u64, seeds: u64) {
    let (mut ops, mut met) = (0, Met::default());
    for seed in 1..=seeds {
        match run(seed, nodes, Bug::None) {
            Ok((history, had)) => {
                ops += history.len();
                met.partitions += had.partitions;
                met.crashes += had.crashes;
                met.images += had.images;
                met.installed += had.installed;
                met.repeated += had.repeated;
                met.watched += had.watched;
            }
            Err(why) => panic!("seed {seed}, {nodes} nodes: {why}"),
        }
    }
    println!("{seeds} seeds, {nodes} nodes: {ops} operations, {met:?}");
    // All of it was there, or the runs say little.
    for had in [
        met.partitions,
        met.crashes,
        met.images,
        met.installed,
        met.repeated,
        met.watched,
    ] {
        assert!(had > 0, "{met:?}");
    }
}

#[test]
fn three_nodes_keep_what_they_say() {
    runs(3, seeds(70));
}

#[test]
fn five_nodes_keep_what_they_say() {
    runs(5, seeds(30));
}

#[test]
fn a_seed_is_a_run() {
    let run = || format!("{:?}", run(7, 3, Bug::None).unwrap());
    assert_eq!(run(), run());
}

/// Some seed shows it, by what the right check says.
fn is_found(bug: Bug, says: &[&str]) {
    let mut told = Vec::new();
    for seed in 1..=40 {
        let ran = catch_unwind(AssertUnwindSafe(|| run(seed, 3, bug)));
        let why = match ran {
            Ok(Ok(_)) => continue,
            Ok(Err(why)) => why,
            Err(panic) => panic
                .downcast_ref::<String>()
                .map_or_else(|| "a panic".to_owned(), Clone::clone),
        };
        if says.iter().any(|says| why.contains(says)) {
            return;
        }
        told.push(why);
    }
    panic!("{bug:?} was not found, but {told:?}");
}

#[test]
fn a_read_that_does_not_wait_is_found() {
    is_found(Bug::Impatient, &["was answered before"]);
}

#[test]
fn a_write_that_is_applied_twice_is_found() {
    is_found(Bug::Forgetful, &["the register held", "told was"]);
}

#[test]
fn an_image_that_is_not_durable_is_found() {
    is_found(Bug::Volatile, &["entries were lost", "purged"]);
}
