//! A cluster: nodes and jobs, what is derived of them, and what that is to be.

use highwater::{Schema, Snapshot, Store, Table, TableWriter, WriteError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
pub(super) struct Node {
    #[primary_key]
    pub(super) id: u8,
    pub(super) zone: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
pub(super) struct Job {
    #[primary_key]
    pub(super) id: u8,
    #[index(references = Node, cascade)]
    pub(super) node: u8,
    pub(super) cores: u32,
    pub(super) port: Option<u8>,
}

/// A roll-up: what a node has to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Job, by = Load::count)]
pub(super) struct Load {
    #[primary_key]
    pub(super) node: u8,
    pub(super) jobs: u32,
    #[index]
    pub(super) cores: u32,
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
pub(super) struct Place {
    #[primary_key]
    pub(super) node: u8,
    #[index(sparse)]
    pub(super) zone: Option<u8>,
    #[index(each)]
    pub(super) jobs: BTreeSet<u8>,
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
pub(super) struct Listener {
    #[primary_key]
    pub(super) job: u8,
    #[index(unique)]
    pub(super) port: u8,
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
pub(super) struct Cluster {
    loads: Load,
    jobs: Job,
    nodes: Node,
    places: Place,
    listeners: Listener,
}

pub(super) fn job(id: u8, node: u8, cores: u32) -> Job {
    Job {
        id,
        node,
        cores,
        port: None,
    }
}

/// All there is of the derived tables, of the records alone.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Derived {
    pub(super) loads: BTreeMap<u8, (u32, u32)>,
    pub(super) places: BTreeMap<u8, (Option<u8>, BTreeSet<u8>)>,
    pub(super) listeners: BTreeMap<u8, u8>,
}

impl Derived {
    pub(super) fn wanted(snap: &Snapshot<Cluster>) -> Self {
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

    pub(super) fn found(snap: &Snapshot<Cluster>) -> Self {
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

pub(super) fn check(store: &Store<Cluster>) {
    check_in(&store.snapshot());
}

pub(super) fn check_in(snap: &Snapshot<Cluster>) {
    assert_eq!(Derived::found(snap), Derived::wanted(snap));
    snap.check().unwrap();
}

pub(super) fn image(store: &Store<Cluster>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    bytes
}
