//! Snapshots: they never change, go to any thread, and are compared with one another.

use crate::load;
use crate::store_schema::*;
use highwater::{LogIndex, Snapshot, Store, Turn, WriteTxn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn handles_go_to_any_thread() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<WriteTxn<Catalog>>();
    send::<Turn<Catalog>>();
    send::<Snapshot<Catalog>>();
    sync::<Snapshot<Catalog>>();
    send::<Store<Catalog>>();
    sync::<Store<Catalog>>();
    send::<highwater::Feed<highwater::Event<Catalog>>>();
    send::<highwater::Event<Catalog>>();
    sync::<highwater::Event<Catalog>>();
    send::<highwater::Rows<'static, Service>>();
}

#[test]
fn snapshots_never_change() {
    let store = Store::<Catalog>::new();
    let mut held = vec![(store.snapshot(), Vec::new())];
    let mut names = Vec::new();
    for i in 1..60_u32 {
        let name = format!("{:02}", i * 37 % 59);
        commit_at(&store, u64::from(i), |txn| {
            txn.nodes_mut().insert(node(&name, i)).unwrap();
            if i % 3 == 0 {
                txn.nodes_mut().delete(names.remove(0)).unwrap();
            }
            names.push(name.clone());
        });
        held.push((store.snapshot(), names.clone()));
    }
    for (i, (snap, names)) in held.iter_mut().enumerate() {
        names.sort();
        let found: Vec<&str> = snap.nodes().iter().map(|row| row.name.as_str()).collect();
        assert_eq!(found, *names);
        assert_eq!(snap.clone().index(), LogIndex(i as u64));
    }
    drop(store);
    let (last, names) = held.pop().unwrap();
    assert_eq!(last.nodes().len(), names.len());
    last.check().unwrap();
}

#[test]
fn readers_see_whole_commits_while_a_writer_runs() {
    let store = Store::<Catalog>::new();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            thread::spawn(move || {
                let mut last = LogIndex(0);
                while !done.load(Ordering::Relaxed) {
                    let snap = store.snapshot();
                    assert!(snap.index() >= last);
                    last = snap.index();
                    // Each commit moves the number from one table to the other.
                    let total = snap.nodes().len() + snap.checks().len();
                    assert!(total == 0 || total == 20, "{total}");
                    assert_eq!(snap.nodes().iter().count(), snap.nodes().len());
                }
            })
        })
        .collect();
    commit_at(&store, 1, |txn| {
        for i in 0..20 {
            txn.nodes_mut().insert(node(&i.to_string(), 1)).unwrap();
        }
    });
    for round in 0..400_u64 {
        let name = (round % 20).to_string();
        commit_at(&store, 2 + round, |txn| {
            if txn.nodes_mut().delete(name.as_str()).unwrap().is_some() {
                txn.checks_mut().insert(check(&name, 0, &[&name])).unwrap();
            } else {
                txn.checks_mut().delete((name.as_str(), 0)).unwrap();
                txn.nodes_mut().insert(node(&name, 1)).unwrap();
            }
        });
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    store.snapshot().check().unwrap();
}

#[test]
fn changes_between_snapshots() {
    let store = Store::<Catalog>::new();
    let empty = store.snapshot();
    load(&store, 300);
    let before = store.snapshot();
    let mut txn = store.write().unwrap();
    txn.services_mut().delete("s00007").unwrap();
    txn.services_mut()
        .upsert(service("s00100", "n", "db"))
        .unwrap();
    txn.services_mut()
        .insert(service("s00100x", "n", "db"))
        .unwrap();
    txn.commit().unwrap();
    let after = store.snapshot();
    let changes = |new: &Snapshot<Catalog>, old: &Snapshot<Catalog>| -> Vec<_> {
        let diff = new.services().diff(&old.services());
        let name = |row: Option<&highwater::Row<Service>>| row.map(|row| row.name.clone());
        diff.map(|change| {
            let row = change.after.or(change.before).unwrap();
            (row.id.clone(), name(change.before), name(change.after))
        })
        .collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        changes(&after, &before),
        [
            ("s00007".to_owned(), some("web"), None),
            ("s00100".to_owned(), some("web"), some("db")),
            ("s00100x".to_owned(), None, some("db")),
        ]
    );
    assert_eq!(changes(&before, &empty).len(), 300);
    assert_eq!(changes(&empty, &before).len(), 300);
    assert!(changes(&after, &after).is_empty());

    // A copy of another store: all is compared, nothing differs.
    let mut image = Vec::new();
    after.write_image(&mut image).unwrap();
    let copy = Store::<Catalog>::from_image(&image[..]).unwrap();
    assert!(changes(&copy.snapshot(), &after).is_empty());
    assert_eq!(changes(&copy.snapshot(), &before).len(), 3);

    // In a tracked query both tables were read.
    let (_, watch) = store.watch(|db| db.services().diff(&after.services()).count());
    load(&Store::new(), 1);
    assert!(!watch.has_fired());
    let mut txn = store.write().unwrap();
    txn.services_mut().delete("s00200").unwrap();
    txn.commit().unwrap();
    assert!(watch.has_fired());
}
