//! Images written and restored: what comes back, what is refused, who notices.

#[path = "image_support/mod.rs"]
mod support;

use highwater::{HistoryId, ImageError, LogIndex, Position, Store, StoreOptions};
use proptest::prelude::*;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};
use support::{
    Catalog, Link, NODES, PORTS, at, image, image_of, queries, records, seen, service, small, texts,
};

const A: HistoryId = HistoryId(0xa);
const B: HistoryId = HistoryId(0xb);

fn store_of(history: HistoryId) -> Store<Catalog> {
    Store::with_options(StoreOptions {
        history,
        ..StoreOptions::default()
    })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[derive(Clone, Debug)]
enum Step {
    Upsert {
        id: usize,
        node: usize,
        port: u16,
    },
    Delete {
        id: usize,
    },
    Link {
        from: u8,
        to: i16,
        weight: f64,
    },
    Unlink {
        from: u8,
        to: i16,
    },
    /// Ends the entry; the next has an index higher by this.
    Entry {
        gap: u64,
        publish: bool,
    },
    Driver {
        state: Vec<u8>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let ids = texts().len();
    prop_oneof![
        8 => (0..ids, 0..NODES.len(), 0..PORTS)
            .prop_map(|(id, node, port)| Step::Upsert { id, node, port }),
        5 => (0..ids).prop_map(|id| Step::Delete { id }),
        2 => (0_u8..4, -2_i16..2, any::<f64>().prop_filter("a number", |w| !w.is_nan()))
            .prop_map(|(from, to, weight)| Step::Link { from, to, weight }),
        1 => (0_u8..4, -2_i16..2).prop_map(|(from, to)| Step::Unlink { from, to }),
        6 => (1_u64..4, any::<bool>()).prop_map(|(gap, publish)| Step::Entry { gap, publish }),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(|state| Step::Driver { state }),
    ]
}

/// Applies the steps as the next entries; one in conflict with a unique key is passed over.
fn apply(store: &Store<Catalog>, steps: &[Step]) {
    let texts = texts();
    let mut left = steps;
    let mut index = store.position().index.0 + 1;
    while !left.is_empty() {
        at(store, index, |txn| {
            while let Some((step, rest)) = left.split_first() {
                left = rest;
                match step {
                    Step::Upsert { id, node, port } => {
                        let _ =
                            txn.services_mut()
                                .upsert(service(&texts[*id], NODES[*node], *port));
                    }
                    Step::Delete { id } => {
                        txn.services_mut().delete(&texts[*id]).unwrap();
                    }
                    Step::Link { from, to, weight } => {
                        let link = Link {
                            from: *from,
                            to: *to,
                            weight: *weight,
                        };
                        txn.links_mut().upsert(link).unwrap();
                    }
                    Step::Unlink { from, to } => {
                        txn.links_mut().delete((*from, *to)).unwrap();
                    }
                    Step::Driver { state } => txn.set_driver_state(state.clone()),
                    Step::Entry { gap, publish } => {
                        index += gap;
                        if *publish {
                            return;
                        }
                        txn.next_entry(LogIndex(index)).unwrap();
                    }
                }
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A restored store is the one that was written, now and after the same further entries.
    #[test]
    fn round_trip(
        before in prop::collection::vec(step(), 0..120),
        other in prop::collection::vec(step(), 0..30),
        after in prop::collection::vec(step(), 0..40),
        threads in 1_usize..4,
    ) {
        let store = store_of(A);
        apply(&store, &before);
        let bytes = image(&store);

        let restored = Store::with_options(StoreOptions {
            history: B,
            threads,
            ..StoreOptions::default()
        });
        apply(&restored, &other);
        let position = restored.restore(&bytes[..]).unwrap();
        prop_assert_eq!(position, store.position());
        prop_assert_eq!(seen(&restored), seen(&store));
        prop_assert_eq!(image(&restored), bytes);

        apply(&store, &after);
        apply(&restored, &after);
        prop_assert_eq!(seen(&restored), seen(&store));
    }

    /// A restore at a higher index is an entry that changes everything: no index of a query falls.
    #[test]
    fn restored_at_a_higher_index_nothing_falls(
        before in prop::collection::vec(step(), 0..60),
        between in prop::collection::vec(step(), 0..60),
        same_history in any::<bool>(),
    ) {
        let (store, source) = (store_of(A), store_of(if same_history { A } else { B }));
        apply(&source, &before);
        apply(&store, &before);
        apply(&store, &between);
        let old = queries(&store.snapshot());
        let to = Position { history: A, index: LogIndex(store.position().index.0 + 1) };
        prop_assert_eq!(store.restore_at(&image(&source)[..], to, None).unwrap(), to);
        store.snapshot().check().unwrap();
        prop_assert_eq!(store.position(), to);
        let words = |lines: Vec<String>| {
            lines.iter().map(|line| line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        prop_assert_eq!(words(records(&store.snapshot())), words(records(&source.snapshot())));
        for row in store.snapshot().services().iter() {
            prop_assert_eq!(row.modify_index(), to.index);
        }
        for (old, new) in old.iter().zip(&queries(&store.snapshot())) {
            prop_assert!(support::index_in(old) <= support::index_in(new), "{}\n{}", old, new);
        }
        let again = image(&store);
        let copy = Store::<Catalog>::from_image(&again[..]).unwrap();
        prop_assert_eq!(seen(&copy), seen(&store));
    }
}

#[test]
fn an_empty_store_comes_back() {
    let bytes = image(&store_of(A));
    let restored = Store::<Catalog>::from_image(&bytes[..]).unwrap();
    assert_eq!(
        restored.position(),
        Position {
            history: A,
            index: LogIndex(0)
        }
    );
    assert_eq!(image(&restored), bytes);
}

#[test]
fn driver_state_comes_back() {
    let restored = Store::<Catalog>::from_image(&image(&small())[..]).unwrap();
    assert_eq!(restored.snapshot().driver_state(), Some(&b"term 4"[..]));
    let none = Store::<Catalog>::from_image(&image(&store_of(A))[..]).unwrap();
    assert_eq!(none.snapshot().driver_state(), None);
}

#[test]
fn large_tables_and_records_span_frames() {
    let store = store_of(A);
    at(&store, 1, |txn| {
        for i in 0..3000 {
            let mut record = service(&format!("s{i:05}"), NODES[i as usize % 4], i);
            if i % 1000 == 7 {
                record.note = Some("x".repeat(300_000));
            }
            txn.services_mut().insert(record).unwrap();
        }
    });
    at(&store, 2, |txn| {
        for i in (0..3000).step_by(7) {
            txn.services_mut().delete(format!("s{i:05}")).unwrap();
        }
    });
    let bytes = image(&store);
    let frames = support::Forge::parse(&bytes).frames;
    let row_frames = frames.iter().filter(|frame| frame[0] == support::ROWS);
    assert!(row_frames.count() >= 4);
    assert!(frames.iter().all(|frame| frame.len() < 301_000));
    assert_eq!(support::Forge::parse(&bytes).bytes(), bytes);
    let restored = Store::<Catalog>::from_image(&bytes[..]).unwrap();
    restored.snapshot().check().unwrap();
    assert_eq!(records(&restored.snapshot()), records(&store.snapshot()));
    assert_eq!(image(&restored), bytes);
}

#[test]
fn a_reader_in_small_pieces_is_as_good() {
    struct Bytewise<'a>(&'a [u8], bool);
    impl Read for Bytewise<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let most = buf.len().min(1);
            self.0.read(&mut buf[..most])
        }
    }
    let bytes = image(&small());
    let restored = Store::<Catalog>::from_image(Bytewise(&bytes, false)).unwrap();
    assert_eq!(seen(&restored), seen(&small()));
}

#[test]
fn older_images_of_the_same_history_are_refused_unless_meant() {
    let store = small();
    let old = image(&store);
    store.restore(&old[..]).unwrap();
    at(&store, 20, |txn| {
        txn.services_mut().delete("ab").unwrap();
    });
    let now = seen(&store);
    match store.restore(&old[..]) {
        Err(ImageError::Older { image, store }) => {
            assert_eq!((image.index, store.index), (LogIndex(9), LogIndex(20)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(seen(&store), now);
    let position = store.rewind(&old[..]).unwrap();
    assert_eq!(position.index, LogIndex(9));
    assert_eq!(seen(&store), seen(&small()));
    // The log goes on from there.
    at(&store, 10, |txn| {
        txn.services_mut().delete("b").unwrap();
    });
    assert_eq!(store.position().index, LogIndex(10));
}

#[test]
fn another_history_comes_with_its_image_whatever_the_index() {
    let image_of = |history, index| {
        let store = store_of(history);
        at(&store, index, |txn| {
            txn.services_mut().insert(service("a", "n", 1)).unwrap();
        });
        (image(&store), store.position())
    };
    for (history, index) in [(A, 5), (B, 900), (A, 7)] {
        let store = store_of(if history == A { B } else { A });
        store.advance_to(LogIndex(50)).unwrap();
        let (bytes, position) = image_of(history, index);
        assert_eq!(store.restore(&bytes[..]).unwrap(), position);
        assert_eq!(store.position(), position);
    }
}

#[test]
fn restore_at_is_above_all_before() {
    let store = small();
    let image = image(&store);
    let now = seen(&store);
    let unnamed = |index| Position {
        history: HistoryId::UNNAMED,
        index: LogIndex(index),
    };
    for asked in [
        unnamed(9),
        unnamed(8),
        unnamed(0),
        Position {
            history: A,
            index: LogIndex(0),
        },
    ] {
        match store.restore_at(&image[..], asked, None) {
            Err(ImageError::NotAhead { asked: named, last }) => {
                assert_eq!(named, asked);
                assert_eq!(last.history, asked.history);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(seen(&store), now);
    }
    // Above the store's index, but not above the image's in the same history.
    let behind = Store::<Catalog>::new();
    assert!(matches!(
        behind.restore_at(&image[..], unnamed(5), None),
        Err(ImageError::NotAhead { .. })
    ));
    // The driver's state is the store's, or what the driver says; never the image's.
    let other = store_of(A);
    at(&other, 1, |txn| txn.set_driver_state(b"mine".to_vec()));
    other
        .restore_at(
            &image[..],
            Position {
                history: A,
                index: LogIndex(2),
            },
            None,
        )
        .unwrap();
    assert_eq!(other.snapshot().driver_state(), Some(&b"mine"[..]));
    let state = Some(b"new".to_vec());
    other
        .restore_at(
            &image[..],
            Position {
                history: A,
                index: LogIndex(3),
            },
            state,
        )
        .unwrap();
    assert_eq!(other.snapshot().driver_state(), Some(&b"new"[..]));
    // Rows of another history are made by the entry that restores them.
    let snapshot = other.snapshot();
    assert!(
        snapshot
            .services()
            .iter()
            .all(|row| row.create_index() == LogIndex(3))
    );
    // In the image's own history they keep the index of their creation.
    store.restore_at(&image[..], unnamed(30), None).unwrap();
    let snapshot = store.snapshot();
    assert_eq!(
        snapshot.services().get("ab").unwrap().create_index(),
        LogIndex(3)
    );
    assert_eq!(
        snapshot.services().get("ab").unwrap().modify_index(),
        LogIndex(30)
    );
    assert_eq!(snapshot.services().prefix("zz").log_index(), LogIndex(30));
}

#[test]
fn snapshots_held_over_restores_stay_what_they_were() {
    let store = small();
    let source = store_of(B);
    let mut held = Vec::new();
    for round in 0..10_u16 {
        at(&source, 10 + u64::from(round), |txn| {
            for i in 0..20 {
                let id = format!("{}{i}", ["a", "b", "c"][usize::from(round % 3)]);
                let _ = txn.services_mut().upsert(service(&id, "n", i + 20 * round));
            }
        });
        let snapshot = store.snapshot();
        let before = (records(&snapshot), queries(&snapshot), image_of(&snapshot));
        held.push((snapshot, before));
        store.restore(&image(&source)[..]).unwrap();
        assert_eq!(seen(&store), seen(&source));
        store.collect();
        for (snapshot, before) in &held {
            snapshot.check().unwrap();
            assert_eq!(
                &(records(snapshot), queries(snapshot), image_of(snapshot)),
                before
            );
        }
        if round % 4 == 3 {
            held.remove(1);
        }
    }
}

#[test]
fn watches_fire_and_waiters_move_over() {
    let store = small();
    let later = {
        let copy = Store::<Catalog>::from_image(&image(&store)[..]).unwrap();
        copy.advance_to(LogIndex(40)).unwrap();
        image(&copy)
    };
    let (_, present) = store.watch(|db| db.services().get("ab").is_some());
    let (_, absent) = store.watch(|db| db.services().get("zz").is_some());
    let (_, whole) = store.watch(|db| db.links().iter().count());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| store.snapshot_at_least(LogIndex(40), soon()));
        let query = scope.spawn(|| {
            store.blocking_query(LogIndex(9), soon(), |db| db.services().get("ab").cloned())
        });
        store.restore(&later[..]).unwrap();
        assert_eq!(waiter.join().unwrap().unwrap().index(), LogIndex(40));
        // Its answer has not changed; it must not hang on to the old tree, though.
        at(&store, 41, |txn| {
            txn.services_mut().delete("ab").unwrap();
        });
        let answer = query.join().unwrap().unwrap();
        assert!(answer.value.is_none() && answer.index == LogIndex(41));
    });
    for watch in [present, absent, whole] {
        assert!(watch.wait(soon()));
    }
}

#[test]
fn a_refused_image_wakes_nobody() {
    let store = small();
    let mut bytes = image(&store);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let (_, watch) = store.watch(|db| db.services().iter().count());
    assert!(store.restore(&bytes[..]).is_err());
    assert!(!watch.wait(Instant::now()));
}

#[test]
fn closed_and_halted_stores_take_none() {
    let bytes = image(&small());
    let store = small();
    store.close();
    assert!(matches!(
        store.restore(&bytes[..]),
        Err(ImageError::Store(_))
    ));
    let store = small();
    store.halt("entry 10 cannot be decoded");
    match store.restore(&bytes[..]) {
        Err(error @ ImageError::Store(_)) => assert!(error.to_string().contains("entry 10")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failing_writer_is_reported_with_its_place() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = bytes.len().min(self.0);
            self.0 -= room;
            if room == 0 {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(room)
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            if self.0 == 0 {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        }
    }
    let snapshot = small().snapshot();
    let len = image_of(&snapshot).len();
    for room in 0..=len {
        match snapshot.write_image(Full(room)) {
            Err(ImageError::Write { offset, source }) => {
                assert!(offset <= room as u64);
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            }
            other => panic!("{room}: {other:?}"),
        }
    }
    snapshot.write_image(Full(len + 1)).unwrap();
}

#[test]
fn a_failing_reader_changes_nothing() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cable pulled"))
        }
    }
    let store = small();
    let now = seen(&store);
    let bytes = image(&store);
    for cut in 0..=bytes.len() {
        match store.restore(bytes[..cut].chain(Fails)) {
            Err(ImageError::Read { offset, .. }) => assert_eq!(offset, cut as u64),
            other => panic!("{cut}: {other:?}"),
        }
    }
    assert_eq!(seen(&store), now);
}

#[test]
fn commits_go_on_while_an_image_is_written() {
    /// Commits at every piece that is written.
    struct Busy(Store<Catalog>, Vec<u8>);
    impl Write for Busy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let next = self.0.position().index.0 + 1;
            at(&self.0, next, |txn| {
                txn.services_mut()
                    .upsert(service("ab", "n2", u16::try_from(next).unwrap() + 100))
                    .unwrap();
                txn.services_mut().delete("b").unwrap();
            });
            self.1.extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let store = small();
    let snapshot = store.snapshot();
    let before = image(&store);
    let mut busy = Busy(store.clone(), Vec::new());
    snapshot.write_image(&mut busy).unwrap();
    assert_eq!(busy.1, before);
    assert!(store.position().index > LogIndex(20));
}

#[test]
fn a_panicking_reader_leaves_the_store_writable() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("reader");
        }
    }
    let store = small();
    let now = seen(&store);
    let bytes = image(&store);
    let input = bytes[..bytes.len() / 2].chain(Panics);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.restore(input)));
    assert!(panicked.is_err());
    assert_eq!(seen(&store), now);
    at(&store, 30, |txn| {
        txn.services_mut().delete("ab").unwrap();
    });
}
