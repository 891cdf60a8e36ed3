//! Servers of several versions behind one log: which commands may be in it.

use highwater::fsm::{Batch, Command, Context, HaltKind, LogEntry, Outcome, Proposal, Rejected};
use highwater::{Guard, LogIndex, Row, Schema, Snapshot, Store, Table, WriteTxn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// A server of the cluster, with the version of its program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Server {
    #[primary_key]
    name: String,
    #[index]
    version: u32,
}

/// What the log may have, once all servers know it: there is one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Gate {
    #[primary_key]
    id: (),
    /// The version whose commands may be proposed.
    level: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Lock {
    #[primary_key]
    name: String,
}

#[derive(Schema)]
struct Cluster {
    servers: Server,
    gates: Gate,
    locks: Lock,
}

#[derive(Serialize, Deserialize)]
enum Request {
    /// A server begins with a version.
    Join {
        name: String,
        version: u32,
    },
    Leave {
        name: String,
    },
    /// Raises the level from what was seen, where all servers were seen to be at it.
    Raise {
        level: u32,
        gate: LogIndex,
        seen: Guard,
    },
    /// Is known since version 2.
    Lock {
        name: String,
    },
}

impl Request {
    /// The version since which it is known.
    fn since(&self) -> u32 {
        match self {
            Request::Lock { .. } => 2,
            _ => 1,
        }
    }

    /// The request to raise the level, if every server is at it.
    fn raise(level: u32, snapshot: &Snapshot<Cluster>) -> Option<Request> {
        let ((all, gate), seen) = snapshot.guarded(|db| {
            let oldest = db.servers().version_index().first();
            let all = oldest.is_some_and(|server| server.version >= level);
            (
                all,
                db.gates().get(()).map_or(LogIndex(0), Row::modify_index),
            )
        });
        all.then_some(Request::Raise { level, gate, seen })
    }
}

fn level(db: &ClusterView) -> u32 {
    db.gates().get(()).map_or(1, |gate| gate.level)
}

/// That the log may have commands of this version. A leader asks before it proposes one; and as it may have
/// asked an old snapshot, each server asks when the command is applied, and all hear the same.
fn is_open(db: &ClusterView, since: u32) -> Result<(), Rejected> {
    let level = level(db);
    if since > level {
        return Err(
            format!("commands of version {since} are not in use: the level is {level}").into(),
        );
    }
    Ok(())
}

impl Command<Cluster> for Request {
    type Reply = ();
    type Error = Rejected;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), Rejected> {
        is_open(txn, self.since())?;
        match self {
            Request::Join { name, version } => {
                if version < level(txn) {
                    return Err(format!("a server of version {version} is too old").into());
                }
                txn.servers_mut().upsert(Server { name, version })?;
            }
            Request::Leave { name } => drop(txn.servers_mut().delete(&name)?),
            Request::Raise { level, gate, seen } => {
                txn.validate(&seen)?;
                txn.gates_mut().upsert_if(Gate { id: (), level }, gate)?;
            }
            Request::Lock { name } => txn.locks_mut().insert(Lock { name })?,
        }
        Ok(())
    }
}

/// Applies a command as the next entry of the log.
fn apply<C, S>(store: &Store<S>, command: &C) -> Result<(), C::Error>
where
    S: Schema,
    C: Command<S, Reply = ()> + Serialize + DeserializeOwned,
    C::Error: std::fmt::Debug,
{
    let proposal = Proposal::new(command, SystemTime::UNIX_EPOCH, 1).unwrap();
    let entry = LogEntry::from_proposal(store.position().index.next(), proposal);
    match Batch::new(vec![entry]).apply(store).outcomes.pop() {
        Some(Outcome::Done(done)) => done,
        other => panic!("{other:?}"),
    }
}

fn join(name: &str, version: u32) -> Request {
    let name = name.to_owned();
    Request::Join { name, version }
}

fn lock() -> Request {
    Request::Lock { name: "l".into() }
}

/// nomad asks the versions of all servers before it proposes, in 17 places, and followers have crashed where
/// that was forgotten (#10943, #14819, #26425); consul keeps what it has found in the replicated state.
#[test]
fn a_command_is_used_when_every_server_knows_it() {
    let store = Store::<Cluster>::new();
    for (name, version) in [("a", 2), ("b", 1)] {
        apply(&store, &join(name, version)).unwrap();
    }
    // Whoever proposes it, and whoever forgot to ask: it is no error of anybody's state.
    assert!(is_open(&store.snapshot(), lock().since()).is_err());
    let refused = apply(&store, &lock()).unwrap_err().to_string();
    assert!(refused.contains("the level is 1"), "{refused}");
    assert!(Request::raise(2, &store.snapshot()).is_none());
    apply(&store, &join("b", 2)).unwrap();
    let raise = Request::raise(2, &store.snapshot()).unwrap();
    apply(&store, &raise).unwrap();
    assert!(is_open(&store.snapshot(), lock().since()).is_ok());
    apply(&store, &lock()).unwrap();
    // Nobody comes who does not know what is in the log.
    assert!(apply(&store, &join("c", 1)).is_err());
    // The level is in the image, with when it was raised.
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    let again = Store::<Cluster>::from_image(&image[..]).unwrap();
    let gate = again.snapshot().gates().get(()).unwrap().clone();
    assert_eq!((gate.level, gate.modify_index()), (2, LogIndex(5)));
}

#[test]
fn a_level_is_raised_on_what_still_holds() {
    let store = Store::<Cluster>::new();
    apply(&store, &join("a", 2)).unwrap();
    let raise = |store: &Store<Cluster>| Request::raise(2, &store.snapshot()).unwrap();
    // An older server has come meanwhile.
    let seen = raise(&store);
    apply(&store, &join("b", 1)).unwrap();
    assert!(apply(&store, &seen).unwrap_err().is_conflict());
    assert_eq!(level(&store.snapshot()), 1);
    // It has gone. Of two who raise the level, one does.
    let name = "b".to_owned();
    apply(&store, &Request::Leave { name }).unwrap();
    let (one, other) = (raise(&store), raise(&store));
    apply(&store, &one).unwrap();
    assert!(apply(&store, &other).unwrap_err().is_conflict());
    assert_eq!(level(&store.snapshot()), 2);
}

/// What is in the log: a request, and whether who does not know it may pass it over.
#[derive(Serialize, Deserialize)]
struct Logged<R> {
    skip: bool,
    request: Vec<u8>,
    #[serde(skip)]
    of: std::marker::PhantomData<fn() -> R>,
}

impl<R: Serialize> Logged<R> {
    fn new(request: &R, skip: bool) -> Self {
        Logged {
            skip,
            request: serde_json::to_vec(request).unwrap(),
            of: std::marker::PhantomData,
        }
    }
}

impl<R> Command<Cluster> for Logged<R>
where
    R: Command<Cluster, Reply = (), Error = Rejected>,
{
    type Reply = ();
    type Error = Rejected;

    fn apply(self, context: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), Rejected> {
        match serde_json::from_slice::<R>(&self.request) {
            Ok(request) => request.apply(context, txn),
            Err(_) if self.skip => Ok(()),
            // Who passed this over would be in another state than the others.
            Err(error) => panic!("a request that this program does not know: {error}"),
        }
    }
}

/// The requests of the program before this one.
#[derive(Serialize, Deserialize)]
enum Older {
    Join { name: String, version: u32 },
}

impl Command<Cluster> for Older {
    type Reply = ();
    type Error = Rejected;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), Rejected> {
        let Older::Join { name, version } = self;
        txn.servers_mut().upsert(Server { name, version })?;
        Ok(())
    }
}

fn entry<R: Serialize>(index: u64, request: &R, skip: bool) -> LogEntry<Logged<Older>>
where
    Logged<R>: Command<Cluster>,
{
    let proposal = Proposal::new(&Logged::new(request, skip), SystemTime::UNIX_EPOCH, 1).unwrap();
    LogEntry::from_bytes(LogIndex(index), proposal.bytes().to_vec())
}

/// nomad #26425, a record of licences that older servers need not have, and #3033: the bit beside the type of
/// a command that says so. Of any other the older server stops, and has lost nothing.
#[test]
fn nomad_3033_an_older_server_passes_over_what_it_may_and_stops_at_what_it_must_know() {
    let store = Store::<Cluster>::new();
    let applied = Batch::new(vec![
        entry(1, &join("a", 2), false),
        entry(2, &lock(), true),
        entry(3, &join("b", 2), false),
        entry(4, &lock(), false),
        entry(5, &join("c", 2), false),
    ])
    .apply(&store);
    assert_eq!(applied.outcomes.len(), 3);
    let halt = applied.halted.unwrap();
    assert_eq!(halt.index, LogIndex(4));
    assert!(matches!(halt.kind, HaltKind::Panicked(_)), "{halt}");
    let snap = store.snapshot();
    assert_eq!((snap.index(), snap.servers().len()), (LogIndex(3), 2));
}
