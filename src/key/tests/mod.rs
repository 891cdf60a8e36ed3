//! The promises of this room, for every key type, against `Ord` and plain models.

mod buffers;
mod columns;
mod laws;
mod lookup;
mod ranges;
mod shown;

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::marker::PhantomData;

fn encode<K: Key + ?Sized>(key: &K) -> Vec<u8> {
    let mut buf = KeyBuf::new();
    key.encode(&mut buf);
    buf.as_bytes().to_vec()
}

/// Stands for an index with keys `K`: its methods infer as those of a table do.
struct Index<K>(PhantomData<K>);

#[expect(
    clippy::needless_pass_by_value,
    reason = "as the methods of a table take them"
)]
impl<K: Key> Index<K> {
    fn get(key: impl AsKey<K>) -> Vec<u8> {
        let mut buf = KeyBuf::new();
        key.encode_as(&mut buf);
        buf.as_bytes().to_vec()
    }

    fn prefix(prefix: impl AsPrefix<K>) -> Vec<u8> {
        let mut buf = KeyBuf::new();
        prefix.encode_prefix(&mut buf);
        buf.as_bytes().to_vec()
    }

    fn leading<M>(columns: impl Leading<K, M>) -> Vec<u8> {
        let mut buf = KeyBuf::new();
        columns.encode_leading(&mut buf);
        buf.as_bytes().to_vec()
    }

    fn range(bounds: impl KeyBounds<K>) -> ByteRange {
        ByteRange::from_bounds(&bounds)
    }
}

/// Bytes whose neighbours in the order are near: zeros, ones, `FF`, and little else.
fn bytes() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        9 => vec(prop_oneof![Just(0), Just(1), Just(b'a'), Just(0xFE), Just(0xFF), any::<u8>()], 0..6),
        1 => (60..70usize).prop_map(|n| b"\0a".repeat(n)),
    ]
    .boxed()
}

/// The same of text.
fn text() -> BoxedStrategy<String> {
    let char = prop_oneof![
        Just('\0'),
        Just('\u{1}'),
        Just('a'),
        Just('b'),
        Just('\u{FF}'),
        Just(char::MAX),
        any::<char>(),
    ];
    prop_oneof![
        9 => vec(char, 0..6).prop_map(String::from_iter),
        1 => (60..70usize).prop_map(|n| "a\0".repeat(n)),
    ]
    .boxed()
}

/// A few keys that are often equal.
fn near() -> impl Strategy<Value = String> + Clone {
    "[\\x00a]{0,2}"
}
