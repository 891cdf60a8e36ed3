//! A cluster of real processes, to which faults can be done.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::support::{Catalog, Client, Reply};
use super::wire::{State, Wire};

/// Longer than anything takes on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Asks until there is an answer.
#[track_caller]
pub fn until<R>(what: &str, mut ask: impl FnMut() -> Option<R>) -> R {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Killed when dropped.
pub struct Cluster {
    nodes: BTreeMap<u64, Node>,
    /// From one node to another.
    wires: BTreeMap<(u64, u64), Wire>,
    /// As `--keep` says.
    keep: u64,
    folder: TempDir,
}

struct Node {
    /// Where it talks to others.
    peer: SocketAddr,
    /// `--peers`, without itself: it asks each through a wire.
    others: Vec<u64>,
    client: Client,
    program: Option<Catalog>,
}

impl Cluster {
    /// So many nodes, which agree on a leader.
    pub fn of(count: u64, keep: u64) -> Self {
        let mut cluster = Cluster {
            nodes: BTreeMap::new(),
            wires: BTreeMap::new(),
            keep,
            folder: tempfile::tempdir().unwrap(),
        };
        let numbers: Vec<u64> = (1..=count).collect();
        for &number in &numbers {
            cluster.place(number, &numbers);
        }
        for &number in &numbers {
            cluster.start(number);
        }
        cluster.leader_of(&numbers);
        cluster
    }

    /// Starts one more node, which asks those that are there to let it in.
    pub fn add(&mut self, number: u64) {
        let others: Vec<u64> = self.nodes.keys().copied().collect();
        self.place(number, &others);
        self.start(number);
    }

    fn place(&mut self, number: u64, others: &[u64]) {
        let client = Client::new(free_address().to_string());
        let others = others.iter().copied().filter(|other| *other != number);
        let node = Node {
            peer: free_address(),
            others: others.collect(),
            client,
            program: None,
        };
        self.nodes.insert(number, node);
    }

    /// Starts a node, on the data that it has.
    pub fn start(&mut self, number: u64) {
        let node = &self.nodes[&number];
        let mut peers = vec![format!("{number}={}", node.peer)];
        for &other in &node.others {
            let to = self.nodes[&other].peer;
            let wire = self.wires.entry((number, other));
            let address = wire.or_insert_with(|| Wire::to(to)).address;
            peers.push(format!("{other}={address}"));
        }
        let mut errors = File::options();
        let errors = errors.create(true).append(true).open(self.errors(number));
        let mut program = Catalog::program();
        program
            .args(["--node", &number.to_string(), "--peers", &peers.join(",")])
            .args(["--listen", &node.client.address, "--session-ttl-min", "1s"])
            .args(["--keep", &self.keep.to_string(), "--data"])
            .arg(self.folder.path())
            .stderr(errors.unwrap());
        let program = Catalog::run(&mut program);
        self.node(number).program = Some(program);
    }

    fn node(&mut self, number: u64) -> &mut Node {
        self.nodes.get_mut(&number).unwrap()
    }

    fn program(&mut self, number: u64) -> &mut Catalog {
        self.node(number).program.as_mut().unwrap()
    }

    fn errors(&self, number: u64) -> PathBuf {
        self.folder.path().join(format!("errors-{number}"))
    }

    /// Where a node keeps its log and images.
    pub fn folder(&self, number: u64) -> PathBuf {
        self.folder.path().join(format!("node-{number}"))
    }

    pub fn client(&self, number: u64) -> &Client {
        &self.nodes[&number].client
    }

    /// Who asks a node what nodes ask each other.
    pub fn peer(&self, number: u64) -> Client {
        Client::new(self.nodes[&number].peer.to_string())
    }

    pub fn numbers(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    pub fn others(&self, number: u64) -> Vec<u64> {
        let mut others = self.numbers();
        others.retain(|other| *other != number);
        others
    }

    /// As if its power had gone.
    pub fn kill(&mut self, number: u64) {
        self.program(number).kill();
        self.node(number).program = None;
    }

    /// Asks a node to end, and waits until it has.
    pub fn terminate(&mut self, number: u64) -> ExitStatus {
        let ended = self.program(number).terminate();
        self.node(number).program = None;
        ended
    }

    /// Waits until a node has ended by itself.
    pub fn wait(&mut self, number: u64) -> ExitStatus {
        let ended = self.program(number).wait();
        self.node(number).program = None;
        ended
    }

    /// A process that stops runs no more, and keeps its connections.
    pub fn stop(&mut self, number: u64) {
        self.program(number).signal("-STOP");
    }

    pub fn go_on(&mut self, number: u64) {
        self.program(number).signal("-CONT");
    }

    /// Removes all data of a node that does not run.
    pub fn wipe(&mut self, number: u64) {
        assert!(self.node(number).program.is_none());
        fs::remove_dir_all(self.folder(number)).unwrap();
    }

    /// Does something to all wires from and to a node.
    pub fn set_wires(&self, of: u64, state: State) {
        self.set_wires_from(of, state);
        for other in self.others(of) {
            self.wire(other, of).set(state);
        }
    }

    /// To those from a node.
    pub fn set_wires_from(&self, node: u64, state: State) {
        for other in self.others(node) {
            self.wire(node, other).set(state);
        }
    }

    /// From one to another.
    pub fn wire(&self, from: u64, to: u64) -> &Wire {
        &self.wires[&(from, to)]
    }

    /// The members of the cluster, as a node knows them.
    pub fn members(&self, as_seen_by: u64) -> Option<Vec<Value>> {
        let path = "/v1/operator/raft/configuration";
        let reply = self.client(as_seen_by).request("GET", path, &[]).ok()?;
        reply.ok().json()["Servers"].as_array().cloned()
    }

    /// The voters, as a node knows them.
    pub fn voters(&self, as_seen_by: u64) -> Option<Vec<u64>> {
        let mut members = self.members(as_seen_by)?;
        members.retain(|member| member["Voter"] == true);
        Some(members.iter().map(number_of).collect())
    }

    /// Waits until these agree that one of them leads.
    #[track_caller]
    pub fn leader_of(&self, numbers: &[u64]) -> u64 {
        until("one leader", || {
            let mut leaders = numbers.iter().map(|number| {
                let members = self.members(*number)?;
                members
                    .iter()
                    .find(|member| member["Leader"] == true)
                    .map(number_of)
            });
            let leader = leaders.next()??;
            let agreed = leaders.all(|other| other == Some(leader));
            (agreed && numbers.contains(&leader)).then_some(leader)
        })
    }

    /// Writes through a node until that has succeeded; with the index of the write, and how long
    /// it took.
    #[track_caller]
    pub fn write(&self, through: u64) -> (u64, Duration) {
        let began = Instant::now();
        let index = until("a write that succeeds", || {
            let put = self.client(through).request("PUT", "/v1/kv/progress", b"x");
            put.ok()
                .filter(|reply| reply.status == 200)
                .map(|reply| reply.index())
        });
        (index, began.elapsed())
    }

    /// Waits until a node has come to an index; with what it has then.
    #[track_caller]
    pub fn level(&self, number: u64, index: u64) -> Reply {
        until(&format!("node {number} is at {index}"), || {
            let path = format!("/v1/kv/?recurse&at-least={index}&wait=2s");
            let reply = self.client(number).request("GET", &path, &[]);
            reply.ok().filter(|reply| reply.status == 200)
        })
    }

    /// Waits until all nodes are level.
    #[track_caller]
    pub fn all_level(&self) -> Vec<Reply> {
        let numbers = self.numbers();
        let leader = self.leader_of(&numbers);
        let (index, _) = self.write(leader);
        numbers.iter().map(|n| self.level(*n, index)).collect()
    }

    /// Waits until all nodes are level, which then have the same. Nobody else writes.
    #[track_caller]
    pub fn all_same(&self) {
        let all = self.all_level();
        let same = |one: &Reply| one.text == all[0].text && one.index() == all[0].index();
        assert!(all.iter().all(same), "{all:#?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            for number in self.numbers() {
                let said = fs::read_to_string(self.errors(number)).unwrap_or_default();
                eprintln!("--- node {number} said:\n{said}");
            }
        }
    }
}

fn number_of(member: &Value) -> u64 {
    member["ID"].as_str().unwrap().parse().unwrap()
}

/// A port that is free now. It is none of those that the system gives to connections: a node that
/// is started again finds it free.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    // Programs that run at the same time begin elsewhere.
    let start = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).unwrap();
    loop {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
