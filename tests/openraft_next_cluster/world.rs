//! The world of a run: its nodes, who reaches whom, its clock and chance, and what clients were told.

use crate::cluster::{Op, Rng};
use crate::node::Node;
use openraft_next::{AsyncRuntime, Instant};
use openraft_rt_sim::{SimInstant, SimRuntime};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A mistake that a driver or its user could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// A read that does not wait for the leader's index.
    Impatient,
    /// A write that is sent again without a session.
    Forgetful,
    /// An image that is not there any more after a crash.
    Volatile,
}

/// All there is of a run.
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<u64, Node>,
    /// Who can talk to whom: those of the same side.
    pub(crate) sides: BTreeMap<u64, u64>,
    pub(crate) rng: Rng,
    pub(crate) bug: Bug,
    pub(crate) history: Vec<Op>,
    pub(crate) zero: SimInstant,
    pub(crate) dir: PathBuf,
    /// How many nodes were ever started.
    pub(crate) started: u64,
    pub(crate) met: Met,
}

/// What a run had in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    pub(crate) partitions: u64,
    pub(crate) crashes: u64,
    pub(crate) images: u64,
    pub(crate) installed: u64,
    pub(crate) repeated: u64,
    pub(crate) watched: u64,
}

#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.lock().rng.below(bound)
    }

    pub(crate) fn now(&self) -> u64 {
        let zero = self.lock().zero;
        u64::try_from(zero.elapsed().as_micros()).unwrap()
    }

    /// What a client's clock says.
    pub(crate) fn clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.now())
    }

    pub(crate) fn node(&self, id: u64) -> Option<Node> {
        self.lock().nodes.get(&id).cloned()
    }

    /// The node `to`, if `from` can reach it.
    pub(crate) fn reach(&self, from: u64, to: u64) -> Option<Node> {
        let world = self.lock();
        let same = world.sides.get(&from) == world.sides.get(&to);
        world.nodes.get(&to).filter(|_| same).cloned()
    }

    pub(crate) async fn delay(&self) {
        sleep(1 + self.below(8)).await;
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) async fn sleep(millis: u64) {
    SimRuntime::sleep(ms(millis)).await;
}

pub(crate) async fn timeout<R>(millis: u64, work: impl Future<Output = R> + Send) -> Option<R> {
    SimRuntime::timeout(ms(millis), work).await.ok()
}
