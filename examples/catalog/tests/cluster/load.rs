//! Clients that write and read at the same time, through all nodes, and note what they see.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::nodes::Cluster;
use super::registers::{Change, Kind, Op, Rng};
use super::support::{Client, Reply};

const CLIENTS: usize = 4;
const WATCHERS: usize = 2;
/// Keys that are written at the same time.
const KEYS: u64 = 4;
/// Between operations of a client.
const PAUSE: Duration = Duration::from_millis(5);
/// Of a held query, in seconds.
const WAIT: u64 = 1;
/// A write is answered, or refused, within 15 seconds; a machine that does much else is slower, and
/// a process may be stopped meanwhile.
const ANSWERED: Duration = Duration::from_secs(40);

/// What clients saw. Ends with [`end`](Load::end).
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<Op>>>,
}

struct Shared {
    nodes: Vec<(u64, Client)>,
    /// Bit n: node n is not asked.
    avoided: AtomicU64,
    /// Keys of their own: their histories stay small.
    epoch: AtomicU64,
    values: AtomicU64,
    writes: AtomicU64,
    wakes: AtomicU64,
    stop: AtomicBool,
    began: Instant,
}

impl Load {
    pub fn on(cluster: &Cluster, seed: u64) -> Self {
        let nodes = cluster.numbers().into_iter();
        let shared = Arc::new(Shared {
            nodes: nodes.map(|n| (n, cluster.client(n).clone())).collect(),
            avoided: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            values: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            wakes: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            began: Instant::now(),
        });
        let threads = (0..CLIENTS + WATCHERS).map(|number| {
            let mut client = Worker::new(&shared, number, seed);
            thread::spawn(move || {
                while !client.shared.stop.load(Ordering::Relaxed) {
                    if number < CLIENTS {
                        client.step();
                        thread::sleep(PAUSE);
                    } else {
                        client.watch();
                    }
                }
                client.ops
            })
        });
        Load {
            threads: threads.collect(),
            shared,
        }
    }

    /// Goes on with keys of their own, and asks all nodes but these.
    pub fn next(&self, avoided: &[u64]) {
        let bits = avoided.iter().fold(0, |bits, number| bits | 1 << number);
        self.shared.avoided.store(bits, Ordering::Relaxed);
        self.shared.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes that were acknowledged.
    pub fn writes(&self) -> u64 {
        self.shared.writes.load(Ordering::Relaxed)
    }

    /// Held queries that were answered by a change.
    pub fn wakes(&self) -> u64 {
        self.shared.wakes.load(Ordering::Relaxed)
    }

    /// One more client, of a node that the others avoid, until these go on with other keys.
    pub fn visit(&mut self, node: u64) {
        let number = self.threads.len() + 1;
        let mut visitor = Worker::new(&self.shared, number, 0);
        visitor.only = Some(node);
        let epoch = visitor.epoch();
        self.threads.push(thread::spawn(move || {
            while visitor.epoch() == epoch {
                visitor.step();
                thread::sleep(PAUSE);
            }
            visitor.ops
        }));
    }

    /// Ends it, and reads all that was written through every node once more.
    pub fn end(self) -> Vec<Op> {
        self.shared.avoided.store(0, Ordering::Relaxed);
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.epoch.fetch_add(1, Ordering::Relaxed);
        let mut history = Vec::new();
        for thread in self.threads {
            history.extend(thread.join().expect("a client"));
        }
        let mut keys: Vec<String> = history.iter().map(|op| op.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut last = Worker::new(&self.shared, CLIENTS + WATCHERS, 0);
        for (number, _) in &self.shared.nodes {
            last.only = Some(*number);
            for key in &keys {
                assert!(last.read(key), "node {number} did not answer");
            }
        }
        history.extend(last.ops);
        history
    }
}

/// One client.
struct Worker {
    shared: Arc<Shared>,
    number: usize,
    rng: Rng,
    /// Of each key: the value and index that were seen last.
    seen: HashMap<String, (u64, u64)>,
    /// The last write: its key and index.
    written: Option<(String, u64)>,
    only: Option<u64>,
    ops: Vec<Op>,
}

impl Worker {
    fn new(shared: &Arc<Shared>, number: usize, seed: u64) -> Self {
        Worker {
            shared: shared.clone(),
            number,
            rng: Rng::new(seed * 1000 + number as u64 + 1),
            seen: HashMap::new(),
            written: None,
            only: None,
            ops: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        self.shared.began.elapsed().as_nanos().try_into().unwrap()
    }

    fn client(&mut self) -> Client {
        loop {
            let nodes = &self.shared.nodes;
            let at = self.rng.below(nodes.len() as u64);
            let (number, client) = &nodes[usize::try_from(at).unwrap()];
            let avoided = self.shared.avoided.load(Ordering::Relaxed) >> number & 1 == 1;
            if self.only.map_or(!avoided, |only| only == *number) {
                return client.clone();
            }
        }
    }

    fn key(&mut self) -> String {
        format!("r{}-{}", self.epoch(), self.rng.below(KEYS))
    }

    fn epoch(&self) -> u64 {
        self.shared.epoch.load(Ordering::Relaxed)
    }

    fn step(&mut self) {
        let key = self.key();
        match self.rng.below(10) {
            0..3 => self.put(&key),
            3..6 => self.swap(&key),
            6 => self.delete(&key),
            7 => self.read_own(),
            _ => drop(self.read(&key)),
        }
    }

    fn put(&mut self, key: &str) {
        let value = self.new_value();
        self.write(key, "PUT", "", Change::Put(value));
    }

    /// Compares with what was seen last.
    fn swap(&mut self, key: &str) {
        let (old, index) = self.seen.get(key).copied().unwrap_or((0, 0));
        let index = if old == 0 { 0 } else { index };
        let new = self.new_value();
        self.write(key, "PUT", &format!("?cas={index}"), Change::Swap(old, new));
    }

    fn delete(&mut self, key: &str) {
        self.write(key, "DELETE", "", Change::Put(0));
    }

    fn new_value(&self) -> u64 {
        self.shared.values.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn write(&mut self, key: &str, method: &str, query: &str, change: Change) {
        let (Change::Put(value) | Change::Add(value) | Change::Swap(_, value)) = change;
        let body = if value == 0 {
            String::new()
        } else {
            value.to_string()
        };
        let (client, began, asked) = (self.client(), self.now(), Instant::now());
        let reply = client.request(method, &format!("/v1/kv/{key}{query}"), body.as_bytes());
        let took = asked.elapsed();
        assert!(took < ANSWERED, "a write took {took:?}: {reply:?}");
        let (kind, index) = match Outcome::of(reply) {
            Outcome::Done(index) => {
                self.seen.insert(key.to_owned(), (value, index));
                self.written = Some((key.to_owned(), index));
                self.shared.writes.fetch_add(1, Ordering::Relaxed);
                (Kind::Write(change, Ok(value)), index)
            }
            Outcome::Compared(index) => (Kind::Refused(change), index),
            Outcome::Unknown => (Kind::Unanswered(change), 0),
            // Whoever sees it sees what never was.
            Outcome::Never => return,
        };
        self.note(key, began, index, kind);
    }

    /// Reads what is newest; whether there was an answer.
    fn read(&mut self, key: &str) -> bool {
        let client = self.client();
        let (began, reply) = self.get(&client, key, "consistent");
        let Some((value, index)) = reply else {
            return false;
        };
        self.note(key, began, index, Kind::Read(value));
        true
    }

    /// Reads its own last write, perhaps on another node.
    fn read_own(&mut self) {
        let Some((key, at_least)) = self.written.clone() else {
            return;
        };
        let client = self.client();
        let (began, reply) = self.get(&client, &key, &format!("at-least={at_least}"));
        if let Some((value, index)) = reply {
            self.note(&key, began, index, Kind::Local { at_least, value });
        }
    }

    /// Waits on a node until a key changes, or no longer.
    fn watch(&mut self) {
        let epoch = self.epoch();
        let (client, key) = (self.client(), self.key());
        let Some((_, mut after)) = self.get(&client, &key, "stale").1 else {
            return thread::sleep(PAUSE);
        };
        for _ in 0..8 {
            let asked = Instant::now();
            let (began, reply) = self.get(&client, &key, &format!("index={after}&wait={WAIT}s"));
            let Some((value, index)) = reply else { return };
            let (wait, took) = (Duration::from_secs(WAIT), asked.elapsed());
            assert!(
                took < wait * 17 / 16 + ANSWERED,
                "a query was held for {took:?}"
            );
            if index > after {
                self.shared.wakes.fetch_add(1, Ordering::Relaxed);
            } else if took < wait {
                panic!("{index} is not past {after}, and {took:?} is not {wait:?}");
            }
            after = index;
            self.note(&key, began, index, Kind::Local { at_least: 0, value });
            if self.epoch() != epoch {
                return;
            }
        }
    }

    /// The value of a key, 0 if it has none, and its index; and when it was asked for.
    fn get(&mut self, client: &Client, key: &str, query: &str) -> (u64, Option<(u64, u64)>) {
        let began = self.now();
        let reply = client.request("GET", &format!("/v1/kv/{key}?raw&{query}"), &[]);
        let Ok(reply) = reply else {
            return (began, None);
        };
        let value = match reply.status {
            200 => reply.text.parse().expect("a value that was written"),
            404 => 0,
            503 => return (began, None),
            _ => panic!("{reply:?}"),
        };
        let seen = (value, reply.index());
        self.seen.insert(key.to_owned(), seen);
        (began, Some(seen))
    }

    fn note(&mut self, key: &str, began: u64, index: u64, kind: Kind) {
        self.ops.push(Op {
            client: self.number,
            began,
            ended: self.now(),
            index,
            key: key.to_owned(),
            kind,
        });
    }
}

/// What became of a write.
enum Outcome {
    Done(u64),
    /// It had another index than was asked for.
    Compared(u64),
    Unknown,
    /// It was refused before it was sent anywhere.
    Never,
}

impl Outcome {
    fn of(reply: Result<Reply, ureq::Error>) -> Self {
        match reply {
            Ok(reply) if reply.status == 200 => match reply.text.as_str() {
                "true" => Outcome::Done(reply.index()),
                "false" => Outcome::Compared(reply.index()),
                _ => panic!("{reply:?}"),
            },
            Ok(reply) if reply.status == 503 && reply.text.contains("not known") => {
                Outcome::Unknown
            }
            Ok(reply) if reply.status == 503 => Outcome::Never,
            Ok(reply) => panic!("{reply:?}"),
            Err(ureq::Error::Io(error))
                if error.kind() == std::io::ErrorKind::ConnectionRefused =>
            {
                Outcome::Never
            }
            Err(_) => Outcome::Unknown,
        }
    }
}
