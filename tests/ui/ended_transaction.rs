//! What would be a panic, or a silent fault, elsewhere: a transaction after its end, a savepoint used
//! twice, a write while something is read, a stored record changed in place.
use highwater::{Schema, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Node {
    #[primary_key]
    name: String,
    port: u16,
}

#[derive(Schema)]
struct Catalog {
    nodes: Node,
}

fn after_its_end(store: &Store<Catalog>) {
    let txn = store.write().unwrap();
    let _ = txn.commit();
    let _ = txn.nodes().len();
}

fn savepoint_twice(store: &Store<Catalog>) {
    let mut txn = store.write().unwrap();
    let savepoint = txn.savepoint();
    txn.rollback_to(savepoint);
    txn.rollback_to(savepoint);
}

fn write_while_reading(store: &Store<Catalog>) {
    let mut txn = store.write().unwrap();
    for node in txn.nodes().iter() {
        let _ = txn.nodes_mut().delete(&node.name);
    }
}

fn change_in_place(store: &Store<Catalog>) {
    let snap = store.snapshot();
    snap.nodes().get("n1").unwrap().port = 80;
}

fn main() {}
