//! Reading allocates nothing: encoding a key of up to `KeyBuf::INLINE` bytes, look-ups, walks.

#![expect(
    clippy::needless_pass_by_value,
    reason = "as the methods of a table take them"
)]

mod store_schema;

use allocation_counter::measure;
use highwater::key::{AsKey, AsPrefix, Each, KeyBounds, KeyBuf, KeySink, Leading};
use highwater::{Key, Store};
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use store_schema::{Catalog, Service, service};

fn allocations(f: impl FnOnce()) -> u64 {
    measure(f).count_total
}

fn get<K: Key>(key: impl AsKey<K>) {
    let mut buf = KeyBuf::new();
    key.encode_as(&mut buf);
    black_box(buf.as_bytes());
}

fn prefix<K: Key>(prefix: impl AsPrefix<K>) {
    let mut buf = KeyBuf::new();
    prefix.encode_prefix(&mut buf);
    black_box(buf.as_bytes());
}

fn leading<K: Key, M>(columns: impl Leading<K, M>) {
    let mut buf = KeyBuf::new();
    columns.encode_leading(&mut buf);
    black_box(buf.as_bytes());
}

fn range<K: Key>(bounds: impl KeyBounds<K>) {
    let (mut start, mut end) = (KeyBuf::new(), KeyBuf::new());
    black_box((bounds.encode_start(&mut start), bounds.encode_end(&mut end)));
    black_box((start.as_bytes(), end.as_bytes()));
}

#[test]
fn none_up_to_the_inline_length() {
    // Two bytes end it: exactly the inline length.
    let text = "n".repeat(KeyBuf::INLINE - 2);
    let owned = (String::from("web"), Some(vec![0u8; 40]), 7u64);
    let address: IpAddr = "10.0.0.1".parse().expect("an address");
    let measured = allocations(|| {
        get::<u64>(7);
        get::<String>(text.as_str());
        get::<String>(&text);
        get::<(String, Option<Vec<u8>>, u64)>(&owned);
        get::<(String, Option<Vec<u8>>, u64)>(("web", Some(b"a\0b"), 7));
        get::<(IpAddr, SystemTime, Duration)>((address, SystemTime::UNIX_EPOCH, Duration::ZERO));
        prefix::<String>(text.as_str());
        prefix::<(String, String)>(("web", "n"));
        leading::<(String, u32, String), _>(("web", 3));
        range::<String>("a".."f");
    });
    assert_eq!(measured, 0);
}

#[test]
fn one_beyond_it() {
    let text = "n".repeat(KeyBuf::INLINE - 1);
    assert_eq!(allocations(|| get::<String>(text.as_str())), 1);
}

#[test]
fn none_for_the_index_keys_of_a_row() {
    let tags: std::collections::BTreeSet<String> =
        ["edge", "db", "primary"].map(String::from).into();
    let mut keys = KeySink::new();
    let measured = allocations(|| {
        tags.for_each_key(&mut |tag| keys.push(|buf| Key::encode(tag, buf)));
        keys.sort_dedup();
        black_box(keys.iter().count());
    });
    assert_eq!((measured, keys.len()), (0, 3));
}

#[test]
fn none_for_look_ups_and_walks() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().expect("it is open");
    for i in 0..1000_u16 {
        let id = format!("s{i:04}");
        let record = Service {
            port: Some(i),
            ..service(&id, &format!("n{:02}", i % 50), "web")
        };
        txn.services_mut().insert(record).expect("it is new");
    }
    txn.commit().expect("it is open");
    let measured = allocations(|| {
        let snapshot = store.snapshot();
        let services = snapshot.services();
        black_box(services.get("s0500").map(|row| row.note));
        black_box(services.get("none").is_none());
        black_box(services.by_port(7_u16).map(|row| row.note));
        // Counting them alone would pass none of them.
        assert_eq!(services.by_node("n07").fold(0, |n, _| n + 1), 20);
        assert_eq!(
            services
                .range("s0100".."s0200")
                .take(8)
                .fold(0, |n, _| n + 1),
            8
        );
        assert_eq!(services.by_node("n07").count(), 20);
    });
    assert_eq!(measured, 0);
    // A long walk looks ahead: it has a place for what it finds there, and nothing for each record.
    let measured = allocations(|| {
        let snapshot = store.snapshot();
        let services = snapshot.services();
        assert_eq!(services.iter().fold(0, |n, _| n + 1), 1000);
        assert_eq!(services.iter().rev().fold(0, |n, _| n + 1), 1000);
        assert_eq!(services.range("s0100".."s0200").fold(0, |n, _| n + 1), 100);
        assert_eq!(services.prefix("s05").fold(0, |n, _| n + 1), 100);
    });
    assert_eq!(measured, 4);
}

#[test]
fn four_for_a_commit_beside_the_nodes() {
    let store = Store::<Catalog>::new();
    let commit = |record: Service| {
        let mut txn = store.write().unwrap();
        drop(txn.services_mut().upsert(record).unwrap());
        txn.commit().unwrap();
    };
    let record = |n: u16| Service {
        port: Some(n),
        ..service("web", "n1", "web")
    };
    (0..300).for_each(|n| commit(record(n)));
    // The row, its change set in two parts, and the transaction; nodes and versions come from what the
    // commits before have freed. Now and then the window of change sets begins a new part.
    let cost = |n| {
        let record = record(n);
        allocations(|| commit(record))
    };
    let least = (300..320).map(cost).min();
    // Builds with debug assertions check the trees before they publish them.
    let checks = if cfg!(debug_assertions) { 4 } else { 0 };
    assert_eq!(least, Some(4 + checks));
}

/// What a tracked closure has read is noted: point by point, to a limit.
#[test]
fn a_great_many_reads_are_noted_in_little_memory() {
    const READS: u32 = 100_000;
    let store = Store::<Catalog>::new();
    store_schema::commit_at(&store, 1, |txn| {
        for n in (0..READS).step_by(100) {
            txn.services_mut()
                .insert(service(&format!("s{n:06}"), "n", "s"))
                .unwrap();
        }
    });
    store_schema::commit_at(&store, 2, |txn| {
        txn.services_mut()
            .insert(service("other", "m", "s"))
            .unwrap();
    });
    let mut id = String::with_capacity(16);
    let mut result = None;
    let cost = measure(|| {
        result = Some(store.watch(|db| {
            use std::fmt::Write;
            (0..READS)
                .filter(|n| {
                    id.clear();
                    write!(id, "s{n:06}").unwrap();
                    // Both ways a read is noted: at once, and when its iterator is dropped.
                    db.services().contains(id.as_str()) | (db.services().prefix(&id).count() > 0)
                })
                .count()
        }));
    });
    let most = cost.bytes_max;
    assert!(most < 4 << 20, "{most} bytes");
    let (answer, watch) = result.unwrap();
    // The index is still that of what was read, and of nothing beside it.
    assert_eq!((answer.value, answer.index.0), (1_000, 1));
    let held = measure(|| drop(watch)).bytes_current;
    assert!(-held < 1 << 19, "{held} bytes were kept");

    // Iterators that are never dropped.
    let cost = measure(|| {
        let (_, watch) = store.watch(|db| {
            for n in 0..READS {
                std::mem::forget(db.services().range(format!("s{n:06}").as_str()..));
            }
        });
        assert!(!watch.has_fired());
    });
    assert!(cost.bytes_max < 4 << 20, "{} bytes", cost.bytes_max);
}
