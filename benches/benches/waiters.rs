//! `waiters`: what it costs that a great many wait, and how fast they are woken.
//!
//! Prints a table of medians. A waiter is a watch with the waker of a task, as an executor holds it;
//! the tasks themselves, which are the program's, are not measured. Bytes are what the process's
//! resident memory grew by. Beside them: tokio's `watch` and `Notify`, one for each key in a map, as
//! a program would do it by hand; a bare `unpark`, which is what the kernel takes; and, with `--go`,
//! go-memdb's watch sets, in a process of their own.

use std::collections::HashMap;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use highwater::{Schema, Store, StoreOptions, Table, Watch, WatchSet};
use highwater_benches::peer;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "services")]
struct Service {
    #[primary_key]
    id: String,
    revision: u64,
}

#[derive(Schema)]
struct Catalog {
    services: Service,
}

type Error = Box<dyn std::error::Error>;

/// The waker of all tasks: counts.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn id(n: usize) -> String {
    format!("service-{n:07}")
}

/// A store with so many records, every second number.
fn store(records: usize) -> Result<Store<Catalog>, Error> {
    let store = Store::<Catalog>::with_options(StoreOptions {
        window: 16,
        ..StoreOptions::default()
    });
    let mut txn = store.write()?;
    let record = |n: usize| Service {
        id: id(2 * n),
        revision: 0,
    };
    txn.services_mut().insert_all((0..records).map(record))?;
    txn.commit()?;
    Ok(store)
}

/// Changes records in one commit.
fn commit(
    store: &Store<Catalog>,
    ids: impl Iterator<Item = String>,
    revision: u64,
) -> Result<(), Error> {
    let mut txn = store.write()?;
    for id in ids {
        txn.services_mut().upsert(Service { id, revision })?;
    }
    txn.commit()?;
    Ok(())
}

/// Bytes of resident memory, where the system tells.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
fn per(time: Duration, count: usize) -> f64 {
    time.as_nanos() as f64 / count as f64
}

/// Registers a task with a waiter.
fn poll(waiter: &mut (impl Future + Unpin), waker: &Waker) {
    assert!(
        Pin::new(waiter)
            .poll(&mut Context::from_waker(waker))
            .is_pending(),
        "nothing has changed yet"
    );
}

fn watch_key(store: &Store<Catalog>, n: usize) -> Watch {
    let id = id(n);
    store.watch(|db| db.services().contains(&id)).1
}

/// How long commits of keys that nobody watches take in stores that take turns: the median each.
fn commits<const N: usize>(stores: [&Store<Catalog>; N]) -> Result<[Duration; N], Error> {
    let mut times = [const { Vec::new() }; N];
    for round in 0..400_u64 {
        for (store, times) in stores.iter().zip(&mut times) {
            let begin = Instant::now();
            for n in 0..25 {
                commit(store, std::iter::once(format!("before {n}")), round + 1)?;
            }
            times.push(begin.elapsed() / 25);
        }
    }
    Ok(times.map(median))
}

fn ratio(with: Duration, without: Duration) -> f64 {
    with.as_secs_f64() / without.as_secs_f64()
}

/// Bytes a waiter, and what they cost a commit.
fn many(count: usize, records: usize) -> Result<(), Error> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let watched = store(records)?;
    let free = store(records)?;
    let mut held = Vec::with_capacity(count);
    // So that the handles are counted: written to, its pages are resident.
    let before = resident();
    let begin = Instant::now();
    for n in 0..count {
        let mut watch = watch_key(&watched, 2 * n + 1);
        poll(&mut watch, &waker);
        held.push(watch);
    }
    let took = begin.elapsed();
    let bytes = (resident() - before) / count as u64;
    println!("{count} waiters on distinct keys: {bytes} bytes each (handles included)");
    println!("  registering: {:.0} ns each", per(took, count));
    let [with, without] = commits([&watched, &free])?;
    println!(
        "  a commit of an unwatched key: {with:.1?} with them, {without:.1?} without: {:.2} times",
        ratio(with, without)
    );
    let begin = Instant::now();
    drop(held);
    println!("  dropping: {:.0} ns each", per(begin.elapsed(), count));
    assert_eq!(woken.0.load(Ordering::Relaxed), 0, "nobody was woken");
    Ok(())
}

/// A kind of query, and how it is made at a key.
type Kind = (&'static str, fn(&CatalogView, &str));

/// The same for ranges, pages and absent keys: no commit looks through them.
fn kinds(count: usize, records: usize) -> Result<(), Error> {
    let free = store(records)?;
    let kinds: [Kind; 4] = [
        ("absent keys", |db, id| {
            black_box(db.services().contains(id));
        }),
        ("open ranges", |db, id| {
            black_box(db.services().range(id..).log_index());
        }),
        ("pages of ten", |db, id| {
            black_box(db.services().range(id..).take(10).count());
        }),
        ("prefixes", |db, id| {
            black_box(db.services().prefix(id).count());
        }),
    ];
    for (name, read) in kinds {
        let watched = store(records)?;
        let held: Vec<Watch> = (0..count)
            .map(|n| watched.watch(|db| read(db, &id(2 * n + 1))).1)
            .collect();
        let [with, without] = commits([&watched, &free])?;
        println!(
            "{count} {name}: a commit of an unwatched key {:.2} times that without",
            ratio(with, without)
        );
        assert!(held.iter().all(|watch| !watch.has_fired()), "{name}");
    }
    Ok(())
}

/// Waking tasks: `watchers` of each of `keys` keys, which one commit changes.
fn wake(watchers: usize, keys: usize, rounds: u64) -> Result<(), Error> {
    let store = store(keys)?;
    let ids = || (0..keys).map(|n| id(2 * n));
    let (mut plain, mut waking) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let begin = Instant::now();
        commit(&store, ids(), 2 * round + 1)?;
        plain.push(begin.elapsed());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut held: Vec<Watch> = (0..keys * watchers)
            .map(|n| watch_key(&store, 2 * (n % keys)))
            .collect();
        for watch in &mut held {
            poll(watch, &waker);
        }
        let begin = Instant::now();
        commit(&store, ids(), 2 * round + 2)?;
        waking.push(begin.elapsed());
        assert_eq!(woken.0.load(Ordering::Relaxed), keys * watchers);
    }
    let more = median(waking).saturating_sub(median(plain));
    println!(
        "waking {watchers} tasks on each of {keys} keys in one commit: {:.0} ns each",
        per(more, watchers * keys)
    );
    Ok(())
}

/// Many watches under one blocked thread: from the begin of the commit until the thread runs.
fn wake_thread(watches: usize, rounds: u64) -> Result<(), Error> {
    let store = store(watches)?;
    let mut times = Vec::new();
    for round in 0..rounds {
        let mut set = WatchSet::with_bound(watches);
        set.extend((0..watches).map(|n| watch_key(&store, 2 * n)));
        let deadline = Instant::now() + Duration::from_mins(1);
        let waiting = thread::spawn(move || {
            assert!(set.wait(deadline), "a commit changed a key");
            (Instant::now(), set)
        });
        thread::sleep(Duration::from_millis(20));
        let begin = Instant::now();
        commit(&store, std::iter::once(id(0)), round + 1)?;
        let (end, set) = waiting.join().map_err(|_| "the waiting thread panicked")?;
        times.push(end - begin);
        drop(set);
    }
    let mut bare = Vec::new();
    for _ in 0..rounds {
        let parked = thread::spawn(|| {
            thread::park();
            Instant::now()
        });
        thread::sleep(Duration::from_millis(20));
        let begin = Instant::now();
        parked.thread().unpark();
        bare.push(parked.join().map_err(|_| "the parked thread panicked")? - begin);
    }
    println!(
        "a commit to the thread that waits for {watches} watches: {:.1?}, {:.0} ns each; a bare \
         unpark: {:.1?}",
        median(times.clone()),
        per(median(times), watches),
        median(bare)
    );
    Ok(())
}

/// By hand: a channel or a `Notify` for each key, in a map.
fn by_hand(count: usize, woken_at_once: usize) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    // Nothing of it is freed: what comes after is to be counted, too.
    let before = resident();
    let mut channels = HashMap::new();
    let mut held = Vec::with_capacity(count);
    for n in 0..count {
        let (sender, mut receiver) = tokio::sync::watch::channel(0_u64);
        let mut waiter = Box::pin(async move { receiver.changed().await.is_ok() });
        poll(&mut waiter, &waker);
        channels.insert(id(2 * n), sender);
        held.push(waiter);
    }
    let bytes = (resident() - before) / count as u64;
    let keys: Vec<String> = (0..woken_at_once).map(|n| id(2 * n)).collect();
    let begin = Instant::now();
    for key in &keys {
        channels[key].send_replace(1);
    }
    println!(
        "tokio watch by key: {bytes} bytes a waiter, waking {woken_at_once} keys {:.0} ns each",
        per(begin.elapsed(), woken_at_once)
    );
    assert_eq!(woken.0.swap(0, Ordering::Relaxed), woken_at_once);
    std::mem::forget((channels, held));

    let before = resident();
    let mut channels = HashMap::new();
    let mut held = Vec::with_capacity(count);
    for n in 0..count {
        let notify = Arc::new(tokio::sync::Notify::new());
        let mut waiter = Box::pin(Arc::clone(&notify).notified_owned());
        poll(&mut waiter, &waker);
        channels.insert(id(2 * n), notify);
        held.push(waiter);
    }
    let bytes = (resident() - before) / count as u64;
    let begin = Instant::now();
    for key in &keys {
        channels[key].notify_waiters();
    }
    println!(
        "tokio Notify by key: {bytes} bytes a waiter, waking {woken_at_once} keys {:.0} ns each",
        per(begin.elapsed(), woken_at_once)
    );
    assert_eq!(woken.0.load(Ordering::Relaxed), woken_at_once);
    std::mem::forget((channels, held));
}

/// go-memdb's watch sets, by the program that is its side.
fn go_memdb(records: usize) -> Result<(), Error> {
    for figure in peer::run(&["watches", "--records", &records.to_string()])? {
        println!(
            "go-memdb, {}: {:.0} {}",
            figure.row, figure.value, figure.unit
        );
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    let wants = |option| std::env::args().any(|argument| argument == option);
    let quick = wants("--quick");
    let [waiters, large, rounds] = if quick {
        [100_000, 10_000, 3]
    } else {
        [1_000_000, 100_000, 9]
    };
    // First, while nothing was freed that memory could come from.
    by_hand(waiters, large);
    many(waiters, large)?;
    kinds(large, large)?;
    for (watchers, keys) in [(1, 1), (1_000, 1), (large, 1), (1, large)] {
        wake(watchers, keys, rounds as u64)?;
    }
    for watches in [1, 1_000, large] {
        wake_thread(watches, rounds as u64)?;
    }
    if wants("--go") {
        go_memdb(large + large / 10)?;
    }
    Ok(())
}
