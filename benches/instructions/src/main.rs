//! `instructions OPERATION`: does it many times inside [`counted`], the one function that callgrind
//! is told to count, and prints how many times.

use std::hint::black_box;
use std::process::ExitCode;

use data::{Data, LOAD, Random};
use highwater::{Schema, Store};
use record::Service;

#[path = "../../src/data.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the records of the benches, of which not all is needed here"
)]
mod data;
#[path = "../../src/record.rs"]
#[allow(dead_code, unreachable_pub, reason = "as above, of other kinds")]
mod record;

/// Records in the store: enough for trees of several levels, few enough for a slow machine.
const RECORDS: usize = 10_000;
/// How often an operation is done.
const TIMES: usize = 1000;

/// The tables: one, with five index entries a record beside its id.
#[derive(Debug, Schema)]
pub struct Catalog {
    services: Service,
}

/// What callgrind counts.
#[inline(never)]
fn counted<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}

fn upsert(store: &Store<Catalog>, records: impl IntoIterator<Item = Service>) {
    let mut txn = store.write().expect("the store is open");
    for record in records {
        txn.services_mut()
            .upsert(record)
            .expect("the record is right");
    }
    txn.commit().expect("the store is open");
}

fn loaded(data: &Data) -> Store<Catalog> {
    let store = Store::new();
    for batch in Random::new(2).permutation(data.len()).chunks(LOAD) {
        upsert(&store, batch.iter().map(|&i| data.record(i, 0)));
    }
    store
}

/// Records to touch, in random order.
fn some() -> Vec<usize> {
    let mut order = Random::new(3).permutation(RECORDS);
    order.truncate(TIMES);
    order
}

/// Gets a record by its id, on a snapshot that is held.
fn get(store: &Store<Catalog>) -> usize {
    let ids: Vec<String> = some().into_iter().map(Data::id).collect();
    let snapshot = store.snapshot();
    counted(|| {
        let found = ids.iter().filter_map(|id| snapshot.services().get(id));
        found
            .map(|service| usize::from(service.port))
            .sum::<usize>()
    });
    ids.len()
}

/// Goes to the next record of a walk over all of them.
fn next(store: &Store<Catalog>) -> usize {
    let snapshot = store.snapshot();
    counted(|| {
        let all = snapshot.services().iter();
        all.map(|service| usize::from(service.port)).sum::<usize>()
    });
    RECORDS
}

/// Replaces a record, whose index keys stay the same, in a transaction of its own.
fn commit(store: &Store<Catalog>, data: &Data) -> usize {
    let records: Vec<Service> = some().into_iter().map(|i| data.record(i, 1)).collect();
    let count = records.len();
    counted(|| {
        for record in records {
            upsert(store, [record]);
        }
    });
    count
}

/// Takes in one of many records for an empty table.
fn fill(data: &Data) -> usize {
    let records: Vec<Service> = Random::new(2)
        .permutation(data.len())
        .into_iter()
        .map(|i| data.record(i, 0))
        .collect();
    let store = Store::<Catalog>::new();
    counted(|| {
        let mut txn = store.write().expect("the store is open");
        txn.services_mut()
            .insert_all(records)
            .expect("the records are right");
        txn.commit().expect("the store is open")
    });
    data.len()
}

fn main() -> ExitCode {
    let data = Data::new(RECORDS);
    let operation = std::env::args().nth(1).unwrap_or_default();
    let store = loaded(&data);
    let times = match operation.as_str() {
        "get" => get(&store),
        "next" => next(&store),
        "commit" => commit(&store, &data),
        "fill" => fill(&data),
        _ => {
            eprintln!("usage: instructions get|next|commit|fill");
            return ExitCode::FAILURE;
        }
    };
    println!("{times}");
    ExitCode::SUCCESS
}
