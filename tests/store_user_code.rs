//! User code inside the store: what panics in it, and destructors that use it.

mod store_schema;

use highwater::{LogIndex, Store, StoreOptions, Table, WriteTxn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// User code that panics when it is told to.
mod faulty {
    use super::*;
    use serde::{Deserialize, Serialize};

    pub(crate) static PANIC: AtomicBool = AtomicBool::new(false);

    fn trip() {
        if PANIC.load(Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("told to"));
        }
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub(crate) struct Field(pub(crate) u8);

    impl PartialEq for Field {
        fn eq(&self, other: &Self) -> bool {
            trip();
            self.0 == other.0
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Marked(pub(crate) u8);

    impl highwater::Key for Marked {
        fn encode(&self, out: &mut highwater::key::KeyBuf) {
            trip();
            out.push(self.0);
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    pub(crate) struct Faulty {
        #[primary_key]
        pub(crate) id: u32,
        #[index]
        pub(crate) marked: Marked,
        pub(crate) field: Field,
    }

    #[derive(highwater::Schema)]
    pub(crate) struct Faults {
        faults: Faulty,
    }

    pub(crate) fn faulty(id: u32, byte: u8) -> Faulty {
        Faulty {
            id,
            marked: Marked(byte),
            field: Field(byte),
        }
    }
}

#[test]
fn a_panic_in_user_code_leaves_nothing_half_done() {
    use faulty::{Faults, PANIC, faulty};
    let store = Store::<Faults>::new();
    let mut txn = store.write().unwrap();
    txn.faults_mut().insert(faulty(1, 1)).unwrap();
    let mut panics = |f: &mut dyn FnMut(&mut WriteTxn<Faults>)| {
        PANIC.store(true, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| f(&mut txn))).is_err());
        PANIC.store(false, Ordering::Relaxed);
        assert_eq!(txn.faults().len(), 1);
        assert_eq!(txn.faults().by_marked(&faulty::Marked(1)).count(), 1);
    };
    panics(&mut |txn| drop(txn.faults_mut().upsert(faulty(1, 2))));
    panics(&mut |txn| drop(txn.faults_mut().insert(faulty(2, 2))));
    panics(&mut |txn| drop(txn.faults_mut().delete(1_u32)));
    panics(&mut |txn| drop(txn.faults_mut().insert_all([faulty(2, 2), faulty(3, 3)])));
    // On a thread of its own, into a table that is empty.
    let empty = Store::<Faults>::with_options(StoreOptions {
        threads: 2,
        ..StoreOptions::default()
    });
    let mut loading = empty.write().unwrap();
    PANIC.store(true, Ordering::Relaxed);
    let load = || {
        loading
            .faults_mut()
            .insert_all([faulty(2, 2), faulty(3, 3)])
    };
    assert!(catch_unwind(AssertUnwindSafe(load)).is_err());
    PANIC.store(false, Ordering::Relaxed);
    loading.faults_mut().insert(faulty(9, 9)).unwrap();
    loading.commit().unwrap();
    assert_eq!(empty.snapshot().faults().len(), 1);
    empty.snapshot().check().unwrap();
    txn.faults_mut().upsert(faulty(1, 3)).unwrap();
    assert_eq!(txn.commit(), Ok(LogIndex(1)));
    store.snapshot().check().unwrap();

    // A watcher is woken though the key function will not say again what changed.
    let (_, watch) = store.watch(|db| db.faults().by_marked(&faulty::Marked(9)).count());
    let mut txn = store.write().unwrap();
    txn.faults_mut().upsert(faulty(1, 4)).unwrap();
    PANIC.store(true, Ordering::Relaxed);
    let committed = txn.commit();
    PANIC.store(false, Ordering::Relaxed);
    assert_eq!(committed, Ok(LogIndex(2)));
    assert!(watch.has_fired());

    // A panic in a transaction leaves the store as it was, and open: nothing is to be asserted of it.
    let snap = store.snapshot();
    let unwound = catch_unwind(|| {
        let mut txn = store.write().unwrap();
        let id = 6 + u32::try_from(snap.faults().len()).unwrap();
        txn.faults_mut().insert(faulty(id, 7)).unwrap();
        assert_eq!(txn.faults().len(), 2);
        std::panic::resume_unwind(Box::new("in the middle"));
    });
    assert!(unwound.is_err());
    assert_eq!(store.position().index, LogIndex(2));
    assert_eq!(snap.faults().len(), 1);
    store.snapshot().check().unwrap();
    let mut txn = store.write().unwrap();
    txn.faults_mut().insert(faulty(7, 7)).unwrap();
    assert_eq!(txn.commit(), Ok(LogIndex(3)));
    let moved = catch_unwind(move || (store.snapshot().faults().len(), snap.faults().len()));
    assert_eq!(moved.unwrap(), (2, 1));
}

/// A record whose destructor uses the store.
mod noisy {
    use super::*;
    use serde::{Deserialize, Serialize};

    pub(crate) static STORE: OnceLock<Mutex<Option<Store<Noise>>>> = OnceLock::new();
    pub(crate) static DROPPED: AtomicUsize = AtomicUsize::new(0);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Loud(pub(crate) u8);

    impl Drop for Loud {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            let store = STORE.get().and_then(|store| store.try_lock().ok()?.clone());
            if let Some(store) = store {
                let _ = store.snapshot().noises().len();
                drop(
                    store
                        .try_write()
                        .unwrap()
                        .expect("the writer's slot is free"),
                );
            }
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Table)]
    pub(crate) struct Noisy {
        #[primary_key]
        pub(crate) id: u32,
        pub(crate) loud: Loud,
    }

    #[derive(highwater::Schema)]
    pub(crate) struct Noise {
        noises: Noisy,
    }
}

#[test]
fn destructors_run_when_the_store_is_free() {
    use noisy::{DROPPED, Loud, Noise, Noisy, STORE};
    let store = Store::<Noise>::with_options(StoreOptions {
        window: 1,
        ..StoreOptions::default()
    });
    let cell = STORE.get_or_init(|| Mutex::new(Some(store.clone())));
    let mut kept = Vec::new();
    for round in 0..40_u8 {
        let mut txn = store.write().unwrap();
        for id in 0..5 {
            let mut row = Noisy {
                id,
                loud: Loud(round),
            };
            row.loud.0 += 1;
            let previous = txn.noises_mut().upsert(row).unwrap();
            // Kept over the end of the transaction: its count is not the last here.
            kept.push(previous);
        }
        let savepoint = txn.savepoint();
        let extra = Noisy {
            id: 100,
            loud: Loud(0),
        };
        txn.noises_mut().insert(extra).unwrap();
        txn.rollback_to(savepoint);
        if round % 4 == 0 {
            drop(txn);
        } else {
            txn.commit().unwrap();
        }
    }
    store.collect();
    // At least those undone and those of dropped transactions are gone.
    assert!(DROPPED.load(Ordering::Relaxed) >= 40);
    *cell.lock().unwrap() = None;
}
