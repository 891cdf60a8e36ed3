//! Encoding a key for a look-up allocates nothing up to `KeyBuf::INLINE` bytes.

#![expect(
    clippy::needless_pass_by_value,
    reason = "as the methods of a table take them"
)]

use allocation_counter::measure;
use highwater::{AsKey, AsPrefix, Each, Key, KeyBounds, KeyBuf, KeySink, Leading};
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

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
