//! Clients: they write until they are answered, read where they happen to be, and hold blocking queries.

use crate::cluster::{Change, Held, Kind, Op, RegistersView, Write};
use crate::world::{Bug, Shared, sleep, timeout};
use highwater::fsm::{Outcome, Proposal, RequestId, SessionId, SessionOptions};
use highwater::openraft_next::{Request, Response, read_index};
use highwater::{LogIndex, WaitError};

/// One client: writes until it is answered, reads where it happens to be.
pub(crate) async fn client(shared: Shared, client: usize, nodes: u64, until: u64) {
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
pub(crate) async fn watcher(shared: Shared, nodes: u64, until: u64) {
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
            let query = |db: &RegistersView| db.registers().get(&key).map(|r| r.value);
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
