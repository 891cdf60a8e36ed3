//! Derived tables: after every commit each is what its functions make of the source's records, all
//! taken anew, whatever has led there.

use highwater::fsm::{Batch, Command, Context, HaltKind, LogEntry, Outcome, Proposal, Rejected};
use highwater::{
    CommitError, Conflict, FeedItem, LogIndex, Schema, Snapshot, Start, Store, Table, TableWriter,
    Turn, WriteError, WriteTxn,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    id: u8,
    zone: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Job {
    #[primary_key]
    id: u8,
    #[index(references = Node, cascade)]
    node: u8,
    cores: u32,
    port: Option<u8>,
}

/// A roll-up: what a node has to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Job, by = Load::count)]
struct Load {
    #[primary_key]
    node: u8,
    jobs: u32,
    #[index]
    cores: u32,
}

impl Load {
    fn count(
        before: Option<&Job>,
        after: Option<&Job>,
        loads: &mut TableWriter<'_, Load>,
    ) -> Result<(), WriteError> {
        let part = |job: Option<&Job>| job.map(|job| (job.node, job.cores));
        if part(before) == part(after) {
            return Ok(());
        }
        assert!(after.is_none_or(|job| job.cores < 1000), "too much of it");
        let of = |loads: &TableWriter<'_, Load>, node: u8| match loads.read().get(node) {
            Some(load) => Load::clone(load),
            None => Load {
                node,
                jobs: 0,
                cores: 0,
            },
        };
        if let Some(job) = before {
            let mut load = of(loads, job.node);
            load.jobs -= 1;
            load.cores -= job.cores;
            if load.jobs == 0 {
                loads.delete(job.node)?;
            } else {
                loads.upsert(load)?;
            }
        }
        if let Some(job) = after {
            let mut load = of(loads, job.node);
            load.jobs += 1;
            load.cores += job.cores;
            loads.upsert(load)?;
        }
        Ok(())
    }
}

/// A join: a node and its jobs, whichever of them is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Job, by = Place::job, derived_from = Node, by = Place::node)]
struct Place {
    #[primary_key]
    node: u8,
    #[index(sparse)]
    zone: Option<u8>,
    #[index(each)]
    jobs: BTreeSet<u8>,
}

impl Place {
    fn change(
        node: u8,
        places: &mut TableWriter<'_, Place>,
        change: impl FnOnce(&mut Place),
    ) -> Result<(), WriteError> {
        let found = places.read().get(node).map(|place| Place::clone(place));
        let mut place = found.unwrap_or(Place {
            node,
            zone: None,
            jobs: BTreeSet::new(),
        });
        change(&mut place);
        if place.zone.is_none() && place.jobs.is_empty() {
            places.delete(node)?;
        } else {
            places.upsert(place)?;
        }
        Ok(())
    }

    fn job(
        before: Option<&Job>,
        after: Option<&Job>,
        places: &mut TableWriter<'_, Place>,
    ) -> Result<(), WriteError> {
        if let Some(job) = before {
            Place::change(job.node, places, |place| {
                place.jobs.remove(&job.id);
            })?;
        }
        if let Some(job) = after {
            Place::change(job.node, places, |place| {
                place.jobs.insert(job.id);
            })?;
        }
        Ok(())
    }

    fn node(
        before: Option<&Node>,
        after: Option<&Node>,
        places: &mut TableWriter<'_, Place>,
    ) -> Result<(), WriteError> {
        let id = before.or(after).map(|node| node.id).unwrap();
        Place::change(id, places, |place| place.zone = after.map(|node| node.zone))
    }
}

/// Who listens where; one job a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Job, by = Listener::listen)]
struct Listener {
    #[primary_key]
    job: u8,
    #[index(unique)]
    port: u8,
}

impl Listener {
    fn listen(
        before: Option<&Job>,
        after: Option<&Job>,
        listeners: &mut TableWriter<'_, Listener>,
    ) -> Result<(), WriteError> {
        let listens = |job: &&Job| job.port.is_some();
        match (before.filter(listens), after.filter(listens)) {
            (Some(job), None) => listeners.delete(job.id).map(drop),
            (_, Some(job)) => listeners
                .upsert(Listener {
                    job: job.id,
                    port: job.port.unwrap(),
                })
                .map(drop),
            (None, None) => Ok(()),
        }
    }
}

/// The sources come after what is derived of them, or before.
#[derive(Debug, Schema)]
struct Cluster {
    loads: Load,
    jobs: Job,
    nodes: Node,
    places: Place,
    listeners: Listener,
}

fn job(id: u8, node: u8, cores: u32) -> Job {
    Job {
        id,
        node,
        cores,
        port: None,
    }
}

/// All there is of the derived tables, of the records alone.
#[derive(Debug, Default, PartialEq)]
struct Derived {
    loads: BTreeMap<u8, (u32, u32)>,
    places: BTreeMap<u8, (Option<u8>, BTreeSet<u8>)>,
    listeners: BTreeMap<u8, u8>,
}

impl Derived {
    fn wanted(snap: &Snapshot<Cluster>) -> Self {
        let mut wanted = Derived::default();
        for job in snap.jobs().iter() {
            let load = wanted.loads.entry(job.node).or_default();
            *load = (load.0 + 1, load.1 + job.cores);
            let place = wanted.places.entry(job.node).or_default();
            place.1.insert(job.id);
            wanted.listeners.extend(job.port.map(|port| (job.id, port)));
        }
        for node in snap.nodes().iter() {
            wanted.places.entry(node.id).or_default().0 = Some(node.zone);
        }
        wanted
    }

    fn found(snap: &Snapshot<Cluster>) -> Self {
        let loads = snap.loads().iter();
        let places = snap.places().iter();
        let listeners = snap.listeners().iter();
        Derived {
            loads: loads.map(|l| (l.node, (l.jobs, l.cores))).collect(),
            places: places.map(|p| (p.node, (p.zone, p.jobs.clone()))).collect(),
            listeners: listeners.map(|l| (l.job, l.port)).collect(),
        }
    }
}

fn check(store: &Store<Cluster>) {
    let snap = store.snapshot();
    assert_eq!(Derived::found(&snap), Derived::wanted(&snap));
    snap.check().unwrap();
}

fn image(store: &Store<Cluster>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    bytes
}

/// A write to one record.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Write {
    Put(Job),
    Delete(u8),
    Node(Node),
    /// With its jobs.
    DeleteNode(u8),
    /// Of a key range.
    Clear,
}

fn write() -> impl Strategy<Value = Write> {
    let port = prop::option::weighted(0.4, 0_u8..12);
    prop_oneof![
        8 => (0_u8..8, 0_u8..4, 0_u32..3, port)
            .prop_map(|(id, node, cores, port)| Write::Put(Job { id, node, cores, port })),
        3 => (0_u8..8).prop_map(Write::Delete),
        4 => (0_u8..4, 0_u8..3).prop_map(|(id, zone)| Write::Node(Node { id, zone })),
        1 => (0_u8..4).prop_map(Write::DeleteNode),
        1 => Just(Write::Clear),
    ]
}

impl Write {
    fn run(self, txn: &mut WriteTxn<Cluster>) -> Result<(), WriteError> {
        match self {
            Write::Put(job) => txn.jobs_mut().upsert(job).map(drop),
            Write::Delete(id) => txn.jobs_mut().delete(id).map(drop),
            Write::Node(node) => txn.nodes_mut().upsert(node).map(drop),
            Write::DeleteNode(id) => txn.nodes_mut().delete(id).map(drop),
            Write::Clear => txn.jobs_mut().delete_where(|job| job.id < 4).map(drop),
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Write(Write),
    Savepoint,
    Rollback(usize),
    Release(usize),
    /// Looks at the rules in the middle of the entry, which changes nothing.
    Look,
    NextEntry,
    Commit,
    Abort,
    Keep,
    /// Of an image kept.
    Rewind(usize),
    /// In another store, with which it goes on.
    RestoreNew,
    /// With which it goes on.
    Fork,
}

fn op() -> impl Strategy<Value = Op> {
    let n = any::<usize>;
    prop_oneof![
        30 => write().prop_map(Op::Write),
        4 => Just(Op::Savepoint),
        3 => n().prop_map(Op::Rollback),
        1 => n().prop_map(Op::Release),
        1 => Just(Op::Look),
        5 => Just(Op::NextEntry),
        8 => Just(Op::Commit),
        1 => Just(Op::Abort),
        1 => Just(Op::Keep),
        1 => n().prop_map(Op::Rewind),
        1 => Just(Op::RestoreNew),
        1 => Just(Op::Fork),
    ]
}

fn begin(store: &Store<Cluster>) -> WriteTxn<Cluster> {
    let next = store.position().index.next();
    match store.write_at(next).unwrap() {
        Turn::Apply(txn) => txn,
        Turn::AlreadyApplied { .. } => unreachable!("nobody else writes"),
    }
}

fn run(ops: Vec<Op>) {
    let mut store = Store::<Cluster>::new();
    let mut kept = vec![image(&store)];
    let mut ops = ops.into_iter();
    let mut more = true;
    while more {
        let mut txn = begin(&store);
        let mut points = Vec::new();
        // What ends the transaction.
        let end = loop {
            let Some(op) = ops.next() else {
                more = false;
                break Op::Commit;
            };
            match op {
                Op::Write(write) => write.run(&mut txn).unwrap(),
                Op::Savepoint => points.push(txn.savepoint()),
                Op::Rollback(n) | Op::Release(n) if !points.is_empty() => {
                    let at = n % points.len();
                    let point = points.drain(at..).next().unwrap();
                    if matches!(op, Op::Rollback(_)) {
                        txn.rollback_to(point);
                    } else {
                        txn.release(point);
                    }
                }
                Op::Rollback(_) | Op::Release(_) => {}
                Op::Look => drop(txn.check_rules()),
                Op::NextEntry => {
                    // After an error the entry goes on.
                    if txn.next_entry(txn.index().next()).is_ok() {
                        points.clear();
                    }
                }
                op => break op,
            }
        };
        if matches!(end, Op::Abort) {
            drop(txn);
        } else {
            let before = store.snapshot();
            match txn.commit() {
                Ok(_) => {}
                Err(CommitError::RuleBroken(_)) => {
                    assert_eq!(store.position(), before.position());
                }
                Err(error) => panic!("{error}"),
            }
        }
        check(&store);
        match end {
            Op::Keep => kept.push(image(&store)),
            Op::Rewind(n) => {
                store.rewind(&kept[n % kept.len()][..]).unwrap();
            }
            Op::RestoreNew => store = Store::from_image(&image(&store)[..]).unwrap(),
            Op::Fork => {
                let fork = store.fork();
                let before = Derived::found(&store.snapshot());
                check(&fork);
                assert_eq!(Derived::found(&fork.snapshot()), before);
                store = fork;
                // Images of a fork are of another history.
                kept = vec![image(&store)];
            }
            _ => {}
        }
        check(&store);
    }
}

/// An entry of the log: writes, of which the last can be a refusal.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Request {
    writes: Vec<Write>,
    refuse: bool,
}

impl Command<Cluster> for Request {
    type Reply = ();
    type Error = Rejected;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), Rejected> {
        for write in self.writes {
            write.run(txn)?;
        }
        if self.refuse {
            return Err("it is to be refused".into());
        }
        Ok(())
    }
}

fn entries(log: &[Request], first: u64) -> Vec<LogEntry<Request>> {
    let entry = |(index, request)| {
        let proposal = Proposal::new(request, SystemTime::UNIX_EPOCH, 0).unwrap();
        LogEntry::from_proposal(LogIndex(index), proposal)
    };
    (first..).zip(log).map(entry).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_derived_table_is_what_its_function_makes_of_the_source(ops in vec(op(), 1..120)) {
        run(ops);
    }

    #[test]
    fn replicas_agree_with_stamps_and_all_however_entries_are_batched(
        log in vec((vec(write(), 0..5), prop::bool::weighted(0.2)), 1..30),
        batch in 1_usize..7,
    ) {
        let log: Vec<_> = log
            .into_iter()
            .map(|(writes, refuse)| Request { writes, refuse })
            .collect();
        let one = Store::<Cluster>::new();
        let mut feed = one.feed(Start::Now).unwrap();
        let mut outcomes = Vec::new();
        for (n, request) in (1..).zip(log.chunks(1)) {
            outcomes.extend(Batch::new(entries(request, n)).apply(&one).outcomes);
            check(&one);
        }
        let many = Store::<Cluster>::new();
        let mut of_batches = Vec::new();
        for (n, requests) in log.chunks(batch).enumerate() {
            let first = (n * batch + 1) as u64;
            of_batches.extend(Batch::new(entries(requests, first)).apply(&many).outcomes);
            check(&many);
        }
        prop_assert_eq!(outcomes, of_batches);
        let (one, many) = (one.snapshot(), many.snapshot());
        let stamped = |snap: &Snapshot<Cluster>| {
            let rows = snap.loads().iter().map(|load| {
                (load.node, load.create_index(), load.modify_index())
            });
            let indexes = (0..5).map(|cores| snap.loads().by_cores(cores).log_index());
            (rows.collect::<Vec<_>>(), indexes.collect::<Vec<_>>())
        };
        prop_assert_eq!(stamped(&one), stamped(&many));
        // The feed has each entry whole.
        let mut loads = BTreeMap::new();
        while let Some(item) = feed.try_next().unwrap() {
            let FeedItem::Event(event) = item else { continue };
            for change in event.loads() {
                match change.after {
                    Some(load) => loads.insert(load.node, (load.jobs, load.cores)),
                    None => loads.remove(&change.before.unwrap().node),
                };
            }
        }
        prop_assert_eq!(loads, Derived::found(&one).loads);
    }
}

fn two_nodes() -> Store<Cluster> {
    let store = Store::<Cluster>::new();
    let mut txn = store.write().unwrap();
    for id in [1, 2] {
        txn.nodes_mut().insert(Node { id, zone: 7 }).unwrap();
    }
    txn.jobs_mut().insert(job(1, 1, 5)).unwrap();
    txn.commit().unwrap();
    store
}

#[test]
fn what_it_is_derived_from_is_told() {
    let shown = Store::<Cluster>::describe().to_string();
    for table in [
        "table job\n",
        "table load, local, derived from job\n",
        "table place, local, derived from job, node\n",
    ] {
        assert!(shown.contains(table), "{shown}");
    }
}

#[test]
fn what_is_derived_is_watched_asked_for_and_followed_as_any_table() {
    let store = two_nodes();
    let (load, watch) = store.watch(|db| db.loads().get(1).map(|load| load.cores));
    assert_eq!((load.value, load.index), (Some(5), LogIndex(1)));
    let mut feed = store
        .feed_of(Start::Now, |db| db.loads().range(1_u8..=1))
        .unwrap();
    assert!(matches!(feed.try_next(), Ok(Some(FeedItem::Bookmark(_)))));

    // Another node's load is another record.
    let mut txn = store.write().unwrap();
    txn.jobs_mut().insert(job(2, 2, 3)).unwrap();
    // Within the entry it is as it was before it.
    assert!(!txn.loads().contains(2));
    txn.commit().unwrap();
    assert!(!watch.has_fired());
    assert!(matches!(feed.try_next(), Ok(None)));

    let mut txn = store.write().unwrap();
    txn.jobs_mut().upsert(job(2, 1, 3)).unwrap();
    txn.commit().unwrap();
    assert!(watch.has_fired());
    let soon = Instant::now() + Duration::from_mins(1);
    let answer = store.blocking_query(load.index, soon, |db| {
        db.loads().by_cores(8).map(|load| load.jobs).sum::<u32>()
    });
    let answer = answer.unwrap();
    assert_eq!((answer.value, answer.index), (2, LogIndex(3)));
    match feed.try_next() {
        Ok(Some(FeedItem::Event(event))) => assert_eq!(event.changes().len(), 1),
        other => panic!("{other:?}"),
    }
    // What changes nothing that is derived wakes nobody.
    let (_, watch) = store.watch(|db| db.loads().iter().count());
    let mut txn = store.write().unwrap();
    let listening = Job {
        port: Some(80),
        ..job(2, 1, 3)
    };
    txn.jobs_mut().upsert(listening).unwrap();
    txn.commit().unwrap();
    assert!(!watch.has_fired());
}

#[test]
fn an_error_of_the_function_refuses_the_entry() {
    let store = two_nodes();
    let listening = |id| Job {
        port: Some(80),
        ..job(id, 1, 1)
    };
    let refusal = |error: &WriteError| matches!(error, WriteError::NotUnique { table, .. } if table == "listener");
    let mut txn = store.write().unwrap();
    for id in [2, 3] {
        txn.jobs_mut().insert(listening(id)).unwrap();
    }
    let next = txn.index().next();
    match txn.next_entry(next) {
        Err(CommitError::RuleBroken(error)) => assert!(refusal(&error)),
        other => panic!("{other:?}"),
    }
    // It goes on, and is set right.
    txn.jobs_mut().delete(3).unwrap();
    txn.next_entry(next).unwrap();
    txn.jobs_mut().insert(listening(3)).unwrap();
    assert!(matches!(txn.commit(), Err(CommitError::RuleBroken(error)) if refusal(&error)));
    check(&store);
    assert_eq!(store.snapshot().jobs().len(), 1);

    // A command.
    let writes = [2, 3].map(|id| Write::Put(listening(id))).into();
    let request = Request {
        writes,
        refuse: false,
    };
    let applied = Batch::new(entries(&[request], 2)).apply(&store);
    assert!(
        matches!(&applied.outcomes[..], [Outcome::Done(Err(Rejected::Write(error)))] if refusal(error))
    );
    assert_eq!(store.position().index, LogIndex(2));
    check(&store);
    assert_eq!(store.snapshot().jobs().len(), 1);
}

#[test]
fn a_panic_of_the_function_halts_at_its_entry() {
    let store = two_nodes();
    let put = |id, cores| Request {
        writes: vec![Write::Put(job(id, 2, cores))],
        refuse: false,
    };
    let log = [put(2, 1), put(3, 1000), put(4, 1)];
    let applied = Batch::new(entries(&log, 2)).apply(&store);
    let halted = applied.halted.unwrap();
    assert_eq!(halted.index, LogIndex(3));
    assert!(matches!(halted.kind, HaltKind::Panicked(why) if why == "too much of it"));
    assert_eq!(store.position().index, LogIndex(2));
    check(&store);
}

#[test]
fn it_is_in_no_image_and_of_the_position_at_which_it_was_made_anew() {
    let store = two_nodes();
    let mut txn = store.write().unwrap();
    txn.jobs_mut().insert(job(2, 2, 3)).unwrap();
    txn.commit().unwrap();
    let bytes = image(&store);
    let other = Store::<Cluster>::from_image(&bytes[..]).unwrap();
    check(&other);
    let of = |store: &Store<Cluster>, node: u8| {
        let snap = store.snapshot();
        let load = snap.loads().get(node).unwrap();
        (load.create_index().0, load.modify_index().0)
    };
    assert_eq!((of(&store, 1), of(&store, 2)), ((1, 1), (2, 2)));
    assert_eq!((of(&other, 1), of(&other, 2)), ((2, 2), (2, 2)));
    assert_eq!(image(&other), bytes);
    // From there on they are the same.
    for store in [&store, &other] {
        let mut txn = store.write().unwrap();
        txn.jobs_mut().delete(1).unwrap();
        txn.jobs_mut().insert(job(3, 2, 1)).unwrap();
        txn.commit().unwrap();
        check(store);
        assert_eq!(of(store, 2).1, 3);
    }
    // What was read of it is no ground for a command.
    let (_, guard) = store.snapshot().guarded(|db| db.loads().contains(2));
    let txn = store.write().unwrap();
    assert!(matches!(txn.validate(&guard), Err(Conflict::Local { table }) if table == "load"));
}

#[test]
fn an_image_of_which_it_cannot_be_made_is_refused() {
    // As a program without the derived table writes it.
    let plain = Store::<Plain>::new();
    let mut txn = plain.write().unwrap();
    txn.nodes_mut().insert(Node { id: 1, zone: 1 }).unwrap();
    for id in 0..3 {
        let port = Some(id / 2);
        txn.jobs_mut()
            .insert(Job {
                port,
                ..job(id, 1, 1)
            })
            .unwrap();
    }
    txn.commit().unwrap();
    let mut bytes = Vec::new();
    plain.snapshot().write_image(&mut bytes).unwrap();
    let store = two_nodes();
    let before = store.position();
    let error = store.restore(&bytes[..]).unwrap_err();
    assert!(error.to_string().contains("listener"), "{error}");
    assert_eq!(store.position(), before);
    check(&store);

    // With ports that differ it is one like any other.
    let mut txn = plain.write().unwrap();
    txn.jobs_mut().delete(0).unwrap();
    txn.commit().unwrap();
    let mut bytes = Vec::new();
    plain.snapshot().write_image(&mut bytes).unwrap();
    store.restore(&bytes[..]).unwrap();
    check(&store);
    assert_eq!(store.snapshot().loads().get(1).unwrap().jobs, 2);
}

#[derive(Debug, Schema)]
struct Plain {
    jobs: Job,
    nodes: Node,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Reading {
    #[primary_key]
    id: u32,
    value: u64,
}

/// One record, of a great many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Reading, by = Total::add)]
struct Total {
    #[primary_key]
    of: u8,
    readings: u64,
    sum: u64,
}

impl Total {
    fn add(
        before: Option<&Reading>,
        after: Option<&Reading>,
        totals: &mut TableWriter<'_, Total>,
    ) -> Result<(), WriteError> {
        let (readings, sum) = totals
            .read()
            .first()
            .map_or((0, 0), |t| (t.readings, t.sum));
        let value = |reading: Option<&Reading>| reading.map_or(0, |reading| reading.value);
        let count = |reading: Option<&Reading>| u64::from(reading.is_some());
        let total = Total {
            of: 0,
            readings: readings + count(after) - count(before),
            sum: sum + value(after) - value(before),
        };
        totals.upsert(total).map(drop)
    }
}

#[derive(Debug, Schema)]
struct Readings {
    readings: Reading,
    totals: Total,
}

#[test]
fn it_is_made_anew_of_all_records_each_once() {
    let store = Store::<Readings>::new();
    let mut txn = store.write().unwrap();
    let readings = (0..5000).map(|id| Reading {
        id,
        value: u64::from(id),
    });
    txn.readings_mut().insert_all(readings).unwrap();
    txn.commit().unwrap();
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    let other = Store::<Readings>::from_image(&bytes[..]).unwrap();
    for store in [store, other] {
        let snap = store.snapshot();
        let total = snap.totals().first().unwrap();
        assert_eq!((total.readings, total.sum), (5000, 4999 * 2500));
    }
}
