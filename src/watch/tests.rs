//! The room as the store uses it: against a naive model, with wakers that run at once, and from
//! several threads.
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

const TREES: usize = 3;

/// The changed keys of one version.
#[derive(Clone, Debug, Default)]
struct Changed {
    version: u64,
    keys: Vec<(usize, Vec<u8>)>,
}

impl ChangedKeys for Changed {
    fn for_each(&self, tree: usize, f: &mut dyn FnMut(&[u8])) {
        self.keys
            .iter()
            .filter(|key| key.0 == tree)
            .for_each(|key| f(&key.1));
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn changed(keys: &[(usize, &[u8])]) -> Changed {
    Changed {
        version: 1,
        keys: keys
            .iter()
            .map(|(tree, key)| (*tree, key.to_vec()))
            .collect(),
    }
}

fn at(index: u64) -> Position {
    Position {
        history: HistoryId(1),
        index: LogIndex(index),
    }
}

fn point(tree: usize, bytes: &[u8]) -> Vec<(usize, Region)> {
    vec![(tree, Region::Point(bytes.into()))]
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

impl Watches {
    /// A watch that has seen nothing yet.
    fn register(self: &Arc<Self>, regions: Vec<(usize, Region)>) -> Watch {
        self.register_seen(regions, 0)
    }
}

/// Nothing is registered, counted or kept.
fn assert_empty(watches: &Arc<Watches>) {
    assert_eq!(watches.len(), 0);
    assert_eq!(watches.waiting.load(Ordering::Relaxed), 0);
    for (registry, armed) in watches.trees.iter().zip(&watches.armed) {
        assert!(lock(registry).is_empty());
        assert_eq!(armed.load(Ordering::Relaxed), 0);
    }
    assert_eq!(lock(&watches.indexes).take_all().len(), 0);
    assert_eq!(Arc::strong_count(watches), 1);
}

// ------------------------------------------------------------------------------ against a model

#[derive(Clone, Debug)]
enum Op {
    Register {
        regions: Vec<(usize, Region)>,
        behind: u64,
    },
    Drop(prop::sample::Index),
    Fire(prop::sample::Index),
    Join([prop::sample::Index; 2]),
    Coarsen(prop::sample::Index, usize),
    Publish(Vec<(usize, Vec<u8>)>),
    Restore,
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(7), Just(255)], 0..=max)
}

fn region() -> impl Strategy<Value = Region> {
    prop_oneof![
        3 => bytes(4).prop_map(|key| Region::Point(key.into())),
        2 => bytes(3).prop_map(|key| Region::Prefix(key.into())),
        3 => (bytes(4), prop::option::weighted(0.7, bytes(4)))
            .prop_map(|(lo, hi)| Region::Range(lo.into(), hi.map(Into::into))),
        // Long enough for several words of the hash.
        1 => bytes(24).prop_map(|key| Region::Prefix(key.into())),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let region = (0..TREES, region());
    prop_oneof![
        8 => (prop::collection::vec(region, 0..4), 0..2u64)
            .prop_map(|(regions, behind)| Op::Register { regions, behind }),
        3 => any::<prop::sample::Index>().prop_map(Op::Drop),
        1 => any::<prop::sample::Index>().prop_map(Op::Fire),
        2 => any::<[prop::sample::Index; 2]>().prop_map(Op::Join),
        1 => (any::<prop::sample::Index>(), 2..5_usize).prop_map(|(of, most)| Op::Coarsen(of, most)),
        4 => prop::collection::vec((0..TREES, prop_oneof![4 => bytes(5), 1 => bytes(24)]), 0..3)
            .prop_map(Op::Publish),
        1 => Just(Op::Restore),
    ]
}

/// A watch beside what the model says of it.
struct Modelled {
    watch: Watch,
    /// Each with the version that was seen of it.
    regions: Vec<((usize, Region), u64)>,
    fired: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn exactly_those_whose_keys_changed_fire(ops in prop::collection::vec(op(), 1..120)) {
        let watches = Watches::new(TREES);
        let mut model: Vec<Modelled> = Vec::new();
        // The newest version; with `behind` 0 a watch has seen the one that comes next already,
        // as one that registers between publish and meeting has.
        let mut version = 1;
        for op in ops {
            match op {
                Op::Register { regions, behind } => {
                    let seen = version + 1 - behind;
                    let watch = watches.register_seen(regions.clone(), seen);
                    let mut regions: Vec<_> =
                        regions.into_iter().map(|region| (region, seen)).collect();
                    if region::filed(regions.iter().map(|(region, _)| region.clone())).is_empty() {
                        // Filed where no key is, ranges in which none can be, too.
                        regions.push(((TREES, Region::whole()), seen));
                    }
                    model.push(Modelled { watch, regions, fired: false });
                }
                Op::Join([from, into]) if model.len() > 1 => {
                    let from = model.swap_remove(from.index(model.len()));
                    let into = into.index(model.len());
                    let into = &mut model[into];
                    watches.join(&from.watch.shared, &into.watch.shared);
                    into.regions.extend(from.regions);
                    into.fired |= from.fired;
                }
                Op::Coarsen(which, most) if !model.is_empty() => {
                    let modelled = which.index(model.len());
                    let modelled = &mut model[modelled];
                    watches.coarsen(&modelled.watch.shared, most);
                    let seen = modelled.regions.iter().map(|(_, seen)| *seen).min();
                    let regions = std::mem::take(&mut modelled.regions);
                    let filed = region::filed(regions.into_iter().map(|(region, _)| region));
                    let coarse = coarsened(filed, most / 2).into_iter();
                    modelled.regions = coarse.map(|region| (region, seen.unwrap_or(0))).collect();
                }
                Op::Drop(which) if !model.is_empty() => {
                    model.swap_remove(which.index(model.len()));
                }
                Op::Fire(which) if !model.is_empty() => {
                    let modelled = which.index(model.len());
                    model[modelled].watch.fire();
                    model[modelled].fired = true;
                }
                Op::Drop(_) | Op::Fire(_) | Op::Join(_) | Op::Coarsen(..) => {}
                Op::Publish(keys) => {
                    version += 1;
                    let changed = Changed { version, keys };
                    watches.published(at(version), &changed);
                    for modelled in &mut model {
                        modelled.fired |= changed.keys.iter().any(|(tree, key)| {
                            modelled.regions.iter().any(|((of, region), seen)| {
                                *seen < version && of == tree && region.contains(key)
                            })
                        });
                    }
                }
                Op::Restore => {
                    version += 1;
                    watches.restored();
                    for modelled in &mut model {
                        modelled.fired = true;
                    }
                }
            }
            for modelled in &model {
                prop_assert_eq!(
                    modelled.watch.has_fired(), modelled.fired,
                    "regions {:?}", modelled.regions
                );
            }
            prop_assert_eq!(
                watches.len(), model.iter().filter(|modelled| !modelled.fired).count()
            );
        }
        // What has fired was taken out already.
        model.retain(|modelled| !modelled.fired);
        drop(model);
        assert_empty(&watches);
    }
}

#[test]
fn a_set_is_coarser_beyond_its_bound_and_misses_nothing() {
    let watches = Watches::new(2);
    let mut set = WatchSet::with_bound(64);
    assert!(!set.has_fired() && !set.wait(Instant::now()));
    for n in 0..5_000_u32 {
        let key = [b"key-".as_slice(), &n.to_be_bytes()].concat();
        set.add(watches.register(point(0, &key)));
        let regions = lock(&watches.trees[0]).len();
        assert!(regions <= 64, "{regions}");
    }
    // One watch, of what is far away from what was read not a part.
    assert_eq!(watches.len(), 1);
    watches.published(at(1), &changed(&[(1, b"key-"), (0, b"other")]));
    assert!(!set.has_fired());
    watches.published(at(2), &changed(&[(0, b"key-\0\0\x11\x11")]));
    assert!(set.has_fired());
    // What is added afterwards is not kept.
    set.add(watches.register(point(0, b"x")));
    assert_eq!(watches.len(), 0);
    drop(set);
    assert_empty(&watches);
    let mut set = WatchSet::new();
    let fired = watches.register(point(0, b"x"));
    fired.fire();
    set.add(watches.register(point(0, b"y")));
    set.add(fired);
    assert!(set.wait(soon()));
    drop(set);
    assert_empty(&watches);
}

#[test]
fn a_commit_of_many_keys_meets_every_one() {
    let watches = Watches::new(1);
    let keys: Vec<[u8; 4]> = (0..2000u32).map(u32::to_be_bytes).collect();
    let held: Vec<Watch> = keys
        .iter()
        .step_by(7)
        .map(|key| watches.register(point(0, key)))
        .collect();
    let other = watches.register(point(0, b"other"));
    let keys = keys.iter().map(|key| (0, key.to_vec())).collect();
    watches.published(at(1), &Changed { version: 1, keys });
    assert!(held.iter().all(Watch::has_fired));
    assert!(!other.has_fired());
    assert_eq!(watches.len(), 1);
}

#[test]
fn trees_without_watches_are_not_asked() {
    struct Asked(StdMutex<BTreeSet<usize>>);
    impl ChangedKeys for Asked {
        fn for_each(&self, tree: usize, _: &mut dyn FnMut(&[u8])) {
            self.0.lock().expect("no panic").insert(tree);
        }
    }
    let asked = Asked(StdMutex::default());
    let watches = Watches::new(4);
    watches.published(at(1), &asked);
    let held = watches.register(point(2, b"k"));
    let idle = watches.register(Vec::new());
    watches.published(at(2), &asked);
    drop((held, idle));
    watches.published(at(3), &asked);
    assert_eq!(asked.0.into_inner().expect("no panic"), BTreeSet::from([2]));
    assert_empty(&watches);
}

/// What the documentation of `Watch` says it costs.
#[test]
fn a_watch_of_one_point_is_small() {
    // One more than a power of two: arenas and tables have just doubled.
    const COUNT: u32 = (1 << 12) + 1;
    let watches = Watches::new(1);
    let mut held = Vec::with_capacity(COUNT as usize);
    let cost = allocation_counter::measure(|| {
        for n in 0..COUNT {
            held.push(watches.register(point(0, format!("service-{n:08}").as_bytes())));
        }
    });
    // `held` grew before the measuring began.
    let handle = i64::try_from(size_of::<Watch>()).expect("small");
    let bytes = cost.bytes_current / i64::from(COUNT) + handle;
    assert!(bytes < 200, "{bytes} bytes a watch");
    let freed = allocation_counter::measure(|| held.clear());
    // Emptied arenas keep a little room for the next watches.
    let kept = cost.bytes_current + freed.bytes_current;
    assert!((0..4096).contains(&kept), "{kept} bytes kept");
}

// ------------------------------------------------------------------------------- restore and end

#[test]
fn the_end_fires_all_and_whatever_comes_later() {
    let watches = Watches::new(2);
    let early = [
        watches.register(point(0, b"a")),
        watches.register(Vec::new()),
    ];
    let early_index = watches.register_index(HistoryId(1), LogIndex(9));
    assert_eq!(watches.ended(), None);
    let why = Ended::Halted("entry 7 cannot be decoded".into());
    watches.end(why.clone());
    watches.end(Ended::Closed);
    assert_eq!(watches.ended(), Some(why));
    assert!(early.iter().all(Watch::has_fired));
    assert!(early_index.wait(Instant::now()));
    let both = [point(0, b"a"), point(1, b"b")].concat();
    assert!(watches.register(both).has_fired());
    assert!(watches.register(Vec::new()).has_fired());
    assert!(
        watches
            .register_index(HistoryId(1), LogIndex(9))
            .wait(Instant::now())
    );
    drop((early, early_index));
    assert_empty(&watches);
}

#[test]
fn index_waiters_wake_when_reached_or_when_the_history_changes() {
    let watches = Watches::new(1);
    let waiter = |index| watches.register_index(HistoryId(1), LogIndex(index));
    let fired = |waiter: &IndexWaiter| waiter.wait(Instant::now());
    let (five, six, dropped) = (waiter(5), waiter(6), waiter(5));
    drop(dropped);
    watches.published(at(4), &changed(&[]));
    assert!(!fired(&five));
    watches.published(at(5), &changed(&[]));
    assert!(fired(&five) && !fired(&six));
    assert_eq!(watches.len(), 1);
    watches.restored();
    assert!(fired(&six));
    drop((five, six));
    assert_empty(&watches);
}

// ---------------------------------------------------------------------------------- tasks, threads

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicU32);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(future: &mut (impl Future<Output = ()> + Unpin), waker: &Waker) -> bool {
    Pin::new(future)
        .poll(&mut Context::from_waker(waker))
        .is_ready()
}

#[test]
fn a_poll_replaces_the_task_that_is_woken() {
    let watches = Watches::new(1);
    let mut watch = watches.register(point(0, b"k"));
    let (first, second) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
    assert!(!poll(&mut watch, &first.clone().into()));
    assert!(!poll(&mut watch, &second.clone().into()));
    assert!(!poll(&mut watch, &second.clone().into()));
    assert_eq!(Arc::strong_count(&first), 1);
    watches.published(at(1), &changed(&[(0, b"k")]));
    assert_eq!(
        (
            first.0.load(Ordering::Relaxed),
            second.0.load(Ordering::Relaxed)
        ),
        (0, 1)
    );
    assert!(poll(&mut watch, &first.clone().into()));
    assert!(poll(&mut watch, &first.clone().into()));

    let mut dropped = watches.register(point(0, b"k"));
    assert!(!poll(&mut dropped, &first.clone().into()));
    drop(dropped);
    assert_eq!(Arc::strong_count(&first), 1);
}

/// A task whose executor runs it inside `wake`: it awaits its watch, registers the next one,
/// commits something else, and so on.
struct Inline {
    watches: Arc<Watches>,
    held: StdMutex<Option<(Watch, IndexWaiter)>>,
    rounds: AtomicU32,
}

impl Inline {
    fn run(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        loop {
            let taken = self.held.lock().expect("no panic").take();
            if let Some((mut watch, mut index)) = taken {
                if !poll(&mut watch, &waker) {
                    assert!(!poll(&mut index, &waker));
                    *self.held.lock().expect("no panic") = Some((watch, index));
                    return;
                }
                self.rounds.fetch_add(1, Ordering::Relaxed);
                // Dropping, firing and committing from within a wake.
                self.watches.register(point(0, b"k")).fire();
                self.watches.published(at(1), &changed(&[(0, b"other")]));
            }
            let watch = self.watches.register(point(0, b"k"));
            let index = self
                .watches
                .register_index(HistoryId(1), LogIndex(u64::MAX));
            *self.held.lock().expect("no panic") = Some((watch, index));
        }
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        self.run();
    }
}

#[test]
fn an_executor_that_runs_inline_and_registers_again_does_not_deadlock() {
    let watches = Watches::new(1);
    let tasks: Vec<Arc<Inline>> = (0..3)
        .map(|_| {
            Arc::new(Inline {
                watches: Arc::clone(&watches),
                held: StdMutex::default(),
                rounds: AtomicU32::new(0),
            })
        })
        .collect();
    tasks.iter().for_each(Inline::run);
    for index in 1..=5 {
        watches.published(at(index), &changed(&[(0, b"k"), (0, b"k")]));
    }
    for task in tasks {
        assert_eq!(task.rounds.load(Ordering::Relaxed), 5);
        let held = task.held.lock().expect("no panic").take();
        drop(held);
    }
    assert_empty(&watches);
}

#[test]
fn a_waker_that_panics_keeps_nobody_asleep() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            // Without the message that a panic would print.
            std::panic::resume_unwind(Box::new(()));
        }
    }
    let watches = Watches::new(1);
    let counter = Arc::new(Counter::default());
    let wakers = [
        Arc::new(Panics).into(),
        counter.clone().into(),
        Arc::new(Panics).into(),
    ];
    let held: Vec<Watch> = wakers
        .iter()
        .map(|waker| {
            let mut watch = watches.register(point(0, b"k"));
            assert!(!poll(&mut watch, waker));
            watch
        })
        .collect();
    watches.published(at(1), &changed(&[(0, b"k")]));
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    assert!(held.iter().all(Watch::has_fired));
    drop(held);
    assert_empty(&watches);
}

#[test]
fn a_deadline_that_passes_says_so() {
    let watches = Watches::new(1);
    let watch = watches.register(point(0, b"k"));
    assert!(!watch.wait(Instant::now() + Duration::from_millis(5)));
    assert!(!watch.wait(Instant::now()));
    watch.fire();
    assert!(watch.wait(Instant::now()));
}

#[test]
fn several_threads_wait_for_one_watch() {
    let watches = Watches::new(1);
    let watch = watches.register(point(0, b"k"));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| watch.wait(soon()))).collect();
        watches.published(at(1), &changed(&[(0, b"k")]));
        for thread in waiting {
            assert!(thread.join().expect("no panic"));
        }
    });
}

/// Threads follow a counter by watch and by index while it is raised: every raise reaches them.
#[test]
fn followers_miss_nothing() {
    const LAST: u64 = 3000;
    let watches = Watches::new(1);
    let root = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for follower in 0..4 {
            let (watches, root) = (&watches, &root);
            scope.spawn(move || {
                let mut seen = 0;
                while seen < LAST {
                    if follower % 2 == 0 {
                        let watch = watches.register_seen(point(0, b"k"), seen);
                        let now = root.load(Ordering::Relaxed);
                        assert!(now > seen || watch.wait(soon()), "asleep at {seen}");
                    } else {
                        let waiter = watches.register_index(HistoryId(1), LogIndex(seen + 1));
                        let now = root.load(Ordering::Relaxed);
                        assert!(now > seen || waiter.wait(soon()), "asleep at {seen}");
                    }
                    let now = root.load(Ordering::Acquire);
                    assert!(now > seen, "woken at {seen}, for nothing");
                    seen = now;
                }
            });
        }
        for version in 1..=LAST {
            root.store(version, Ordering::Release);
            let changed = Changed {
                version,
                keys: vec![(0, b"k".to_vec())],
            };
            watches.published(at(version), &changed);
            if version % 64 == 0 {
                std::thread::yield_now();
            }
        }
    });
    assert_empty(&watches);
}

/// Watches over several trees are dropped by one thread while another fires them.
#[test]
fn dropping_while_firing_leaves_nothing_behind() {
    let watches = Watches::new(TREES);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut version = 0;
            while !stop.load(Ordering::Relaxed) {
                version += 1;
                let tree = usize::try_from(version).expect("small") % TREES;
                let keys = vec![(tree, b"ab".to_vec()), (tree, b"x".to_vec())];
                watches.published(at(version), &Changed { version, keys });
            }
        });
        for n in 0..4000u64 {
            let regions = vec![
                (0, Region::Point((*b"ab").into())),
                (1, Region::Prefix((*b"a").into())),
                (2, Region::Range((*b"a").into(), None)),
            ];
            let watch = watches.register(regions);
            let index = watches.register_index(HistoryId(1), LogIndex(n));
            if n % 3 == 0 {
                std::thread::yield_now();
            }
            if n % 2 == 0 {
                let mut set: WatchSet = [watch, watches.register(point(0, b"x"))]
                    .into_iter()
                    .collect();
                set.extend((0..4).map(|tree| watches.register(point(tree % TREES, b"no"))));
                drop((set, index));
            } else {
                drop((watch, index));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_empty(&watches);
}
