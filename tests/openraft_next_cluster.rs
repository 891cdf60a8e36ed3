//! Clusters of three and five nodes in virtual time, each run from a seed: partitions, crashes,
//! lost answers, images, reads on every node. What clients were told is checked for
//! linearizability, and planted bugs must be found by the same checks.
//!
//! `SEEDS=10000 cargo test --release --features openraft-next --test openraft_next_cluster` runs as
//! many seeds as one has patience for.
#![cfg(feature = "openraft-next")]
#![allow(missing_docs, reason = "openraft's macro declares a type without")]

mod cluster;

use cluster::{Change, Held, Kind, Op, Registers, Rng, Write, check, search};
use highwater::fsm::{Outcome, Proposal, RequestId, SessionId, SessionOptions};
use highwater::openraft_next::{
    Blocking, ImageFile, Inbox, NodeOptions, Request, Response, StateMachine, open, read_index,
};
use highwater::{LogIndex, Store, WaitError};
use openraft_next::alias::{SnapshotOf, VoteOf};
use openraft_next::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft_next::network::RPCOption;
use openraft_next::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft_next::{
    AnyError, AsyncRuntime, Config, Instant, NodeInfo, OptionalSend, RaftNetworkFactory,
    RaftNetworkV2, SnapshotPolicy,
};
use openraft_rt_sim::{SimInstant, SimRuntime};
use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

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

/// A mistake that a driver or its user could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// A read that does not wait for the leader's index.
    Impatient,
    /// A write that is sent again without a session.
    Forgetful,
    /// An image that is not there any more after a crash.
    Volatile,
}

#[derive(Clone)]
struct Node {
    raft: Raft,
    store: Store<Registers>,
    inbox: Inbox,
    dir: PathBuf,
}

/// All there is of a run.
struct World {
    nodes: BTreeMap<u64, Node>,
    /// Who can talk to whom: those of the same side.
    sides: BTreeMap<u64, u64>,
    rng: Rng,
    bug: Bug,
    history: Vec<Op>,
    zero: SimInstant,
    dir: PathBuf,
    /// How many nodes were ever started.
    started: u64,
    met: Met,
}

/// What a run had in it.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    partitions: u64,
    crashes: u64,
    images: u64,
    installed: u64,
    repeated: u64,
    watched: u64,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn below(&self, bound: u64) -> u64 {
        self.lock().rng.below(bound)
    }

    fn now(&self) -> u64 {
        let zero = self.lock().zero;
        u64::try_from(zero.elapsed().as_micros()).unwrap()
    }

    /// What a client's clock says.
    fn clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.now())
    }

    fn node(&self, id: u64) -> Option<Node> {
        self.lock().nodes.get(&id).cloned()
    }

    /// The node `to`, if `from` can reach it.
    fn reach(&self, from: u64, to: u64) -> Option<Node> {
        let world = self.lock();
        let same = world.sides.get(&from) == world.sides.get(&to);
        world.nodes.get(&to).filter(|_| same).cloned()
    }

    async fn delay(&self) {
        sleep(1 + self.below(8)).await;
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn sleep(millis: u64) {
    SimRuntime::sleep(ms(millis)).await;
}

async fn timeout<R>(millis: u64, work: impl Future<Output = R> + Send) -> Option<R> {
    SimRuntime::timeout(ms(millis), work).await.ok()
}

struct Network {
    from: u64,
    shared: Shared,
}

struct Connection {
    from: u64,
    to: u64,
    shared: Shared,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, to: u64, _: &NodeInfo) -> Connection {
        Connection {
            from: self.from,
            to,
            shared: self.shared.clone(),
        }
    }
}

fn unreachable() -> Unreachable<Types> {
    Unreachable::new(&AnyError::error("it cannot be reached"))
}

impl Connection {
    /// A question and its answer, each of which may be lost.
    async fn call<R, E, F: Future<Output = Result<R, E>> + Send>(
        &self,
        patience: Duration,
        ask: impl FnOnce(Node) -> F,
    ) -> Result<R, Unreachable<Types>> {
        self.shared.delay().await;
        let Some(node) = self.shared.reach(self.from, self.to) else {
            SimRuntime::sleep(patience).await;
            return Err(unreachable());
        };
        let answer = ask(node).await.map_err(|_| unreachable());
        self.shared.delay().await;
        if self.shared.reach(self.to, self.from).is_none() {
            SimRuntime::sleep(patience).await;
            return Err(unreachable());
        }
        answer
    }
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = ImageFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let ask = |node: Node| async move { node.raft.append_entries(request).await };
        Ok(self.call(option.soft_ttl(), ask).await?)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let ask = |node: Node| async move { node.raft.vote(request).await };
        Ok(self.call(option.soft_ttl(), ask).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        mut snapshot: SnapshotOf<Types, ImageFile>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let shared = self.shared.clone();
        let ask = |node: Node| async move {
            // Through a file of the receiver's, as a network would.
            let mut received = node.inbox.receive().unwrap();
            io::copy(&mut snapshot.snapshot, &mut received).unwrap();
            let received = SnapshotOf::<Types, ImageFile> {
                meta: snapshot.meta,
                snapshot: received,
            };
            shared.lock().met.installed += 1;
            node.raft.install_full_snapshot(vote, received).await
        };
        Ok(self.call(option.soft_ttl(), ask).await?)
    }
}

fn config() -> Arc<Config> {
    let config = Config {
        heartbeat_interval: 50,
        election_timeout_min: 150,
        election_timeout_max: 300,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(40),
        max_in_snapshot_log_to_keep: 5,
        purge_batch_size: 1,
        ..Config::default()
    };
    Arc::new(config.validate().unwrap())
}

/// Starts a node on what a directory has.
async fn start(shared: &Shared, id: u64, dir: PathBuf) -> Result<(), String> {
    let options = NodeOptions {
        blocking: Blocking::Inline,
        ..NodeOptions::default()
    };
    let (log, machine) =
        open::<Registers, Write, Types>(&id, &dir, options).map_err(|fault| fault.to_string())?;
    let (store, inbox) = (machine.store().clone(), machine.inbox());
    let network = Network {
        from: id,
        shared: shared.clone(),
    };
    let raft = Raft::new(id, config(), network, log, machine)
        .await
        .map_err(|error| error.to_string())?;
    let node = Node {
        raft,
        store,
        inbox,
        dir,
    };
    shared.lock().nodes.insert(id, node);
    Ok(())
}

/// As `kill -9`: what the files hold at this moment is what the next start finds.
async fn crash(shared: &Shared, id: u64) -> Option<PathBuf> {
    let node = shared.lock().nodes.remove(&id)?;
    let (dir, bug) = {
        let mut world = shared.lock();
        world.started += 1;
        world.met.crashes += 1;
        (world.dir.join(format!("{id}-{}", world.started)), world.bug)
    };
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(&node.dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if bug == Bug::Volatile && name.starts_with("image") {
            continue;
        }
        fs::copy(entry.path(), dir.join(name)).unwrap();
    }
    node.raft.shutdown().await.unwrap();
    let _ = fs::remove_dir_all(&node.dir);
    Some(dir)
}

/// One client: writes until it is answered, reads where it happens to be.
async fn client(shared: Shared, client: usize, nodes: u64, until: u64) {
    let session = loop {
        let proposal = Proposal::open_session(SessionOptions::default(), shared.clock());
        if let Some(Response {
            outcome: Outcome::Session(session),
            ..
        }) = send(&shared, nodes, &proposal).await
        {
            break session;
        }
    };
    let (mut sequence, mut seen) = (0, 0);
    while shared.now() < until {
        sleep(shared.below(25)).await;
        let key = format!("r{}", shared.below(3));
        let began = shared.now();
        let (index, kind) = match shared.below(8) {
            0..=3 => {
                sequence += 1;
                let change = match shared.below(3) {
                    0 => Change::Put(shared.below(4)),
                    1 => Change::Add(1 + shared.below(3)),
                    _ => Change::Swap(shared.below(4), shared.below(4)),
                };
                let write = Write {
                    key: key.clone(),
                    change: change.clone(),
                };
                let (index, told) = write_once(&shared, nodes, session, sequence, &write).await;
                (index, Kind::Write(change, told))
            }
            4..=6 => {
                let Some((index, value)) = read(&shared, nodes, &key).await else {
                    continue;
                };
                (index, Kind::Read(value))
            }
            _ => {
                let at = shared.below(nodes);
                let Some(node) = shared.node(at) else {
                    continue;
                };
                let waited = node
                    .store
                    .snapshot_at_least_async(LogIndex(seen), sleep(300))
                    .await;
                let Ok(snapshot) = waited else { continue };
                let value = snapshot
                    .registers()
                    .get(&key)
                    .map_or(0, |register| register.value);
                let at_least = seen;
                (snapshot.index().0, Kind::Local { at_least, value })
            }
        };
        seen = seen.max(index);
        let ended = shared.now();
        shared.lock().history.push(Op {
            client,
            began,
            ended,
            index,
            key,
            kind,
        });
    }
}

/// Sends a proposal by some node to whom that takes for the leader. `None`: it is not known
/// whether it was applied.
async fn send(
    shared: &Shared,
    nodes: u64,
    proposal: &Proposal<Write>,
) -> Option<Response<u64, Held>> {
    let at = shared.below(nodes);
    let node = shared.node(at)?;
    shared.delay().await;
    let leader = node.raft.current_leader().await?;
    let leader = shared.reach(at, leader)?;
    let written = timeout(400, leader.raft.client_write(Request::from(proposal))).await;
    let response = written?.ok()?.data;
    shared.delay().await;
    // The answer is lost, now and then.
    (shared.below(8) != 0).then_some(response)
}

async fn write_once(
    shared: &Shared,
    nodes: u64,
    session: SessionId,
    sequence: u64,
    write: &Write,
) -> (u64, Result<u64, u64>) {
    let bug = shared.lock().bug;
    loop {
        let now = shared.clock();
        let id = RequestId {
            session,
            sequence,
            answered: sequence - 1,
        };
        let proposal = match bug {
            Bug::Forgetful => Proposal::new(write, now, 0),
            _ => Proposal::in_session(id, write, now, 0),
        };
        match send(shared, nodes, &proposal.unwrap()).await {
            Some(Response {
                index,
                outcome: Outcome::Done(told),
            }) => return (index.0, told.map_err(|Held(value)| value)),
            Some(Response {
                outcome: Outcome::Repeated { index, result },
                ..
            }) => {
                shared.lock().met.repeated += 1;
                return (index.0, result.map_err(|Held(value)| value));
            }
            Some(other) => panic!("{other:?}"),
            None => sleep(20).await,
        }
    }
}

/// A linearizable read on any node: the leader's index, then that node's own state.
async fn read(shared: &Shared, nodes: u64, key: &str) -> Option<(u64, u64)> {
    let at = shared.below(nodes);
    let node = shared.node(at)?;
    let bug = shared.lock().bug;
    let index = if bug == Bug::Impatient {
        LogIndex(0)
    } else {
        let leader = node.raft.current_leader().await?;
        let leader = shared.reach(at, leader)?;
        shared.delay().await;
        let index = timeout(300, read_index(&leader.raft)).await?.ok()?;
        shared.delay().await;
        index
    };
    let waited = node.store.snapshot_at_least_async(index, sleep(300)).await;
    let snapshot = waited.ok()?;
    let value = snapshot
        .registers()
        .get(key)
        .map_or(0, |register| register.value);
    Some((snapshot.index().0, value))
}

/// Holds a blocking query on one node after the other.
async fn watcher(shared: Shared, nodes: u64, until: u64) {
    const WAIT: u64 = 200;
    while shared.now() < until {
        let at = shared.below(nodes);
        let Some(node) = shared.node(at) else {
            sleep(20).await;
            continue;
        };
        let key = format!("r{}", shared.below(3));
        let mut after = LogIndex(0);
        for _ in 0..10 {
            let began = shared.now();
            let query = |db: &cluster::RegistersView| db.registers().get(&key).map(|r| r.value);
            let answer = node
                .store
                .blocking_query_async(after, sleep(WAIT), query)
                .await;
            let took = shared.now() - began;
            assert!(took <= (WAIT + 1) * 1000, "held for {took} us");
            match answer {
                Ok(answer) => {
                    assert!(answer.index >= after, "{} after {after}", answer.index);
                    after = answer.index;
                    let value = answer.value.unwrap_or(0);
                    let mut world = shared.lock();
                    world.met.watched += u64::from(answer.changed);
                    // What it was at its own index it still was when it was read.
                    world.history.push(Op {
                        client: 0,
                        began,
                        ended: began,
                        index: answer.index.0,
                        key: key.clone(),
                        kind: Kind::Local { at_least: 0, value },
                    });
                }
                Err(WaitError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

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
