//! What is looked at in `MessagePack` bytes before serde sees them.
//!
//! `rmp-serde` accepts bytes after the value, and does not count every kind of nesting against its
//! recursion limit, so bytes from outside could overflow the stack. [`check`] walks them first,
//! without recursion and without allocating: exactly one value, no deeper than [`MAX_DEPTH`], no
//! length that the bytes at hand cannot hold.

use rmp::Marker;
use std::fmt;

/// How deep arrays and maps may nest in a record. A scalar has depth 0.
pub(crate) const MAX_DEPTH: usize = 128;

/// Why bytes are not one acceptable `MessagePack` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Offset of the byte at which it was seen.
    pub(crate) offset: usize,
    pub(crate) kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The value needs more bytes than there are.
    Short,
    /// Bytes follow the value.
    Trailing,
    /// Nested deeper than [`MAX_DEPTH`].
    Deep,
    /// The one byte that begins nothing.
    Reserved,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { offset, kind } = self;
        match kind {
            FaultKind::Short => {
                write!(
                    f,
                    "the MessagePack value at its byte {offset} needs more bytes than it has"
                )
            }
            FaultKind::Trailing => write!(f, "bytes follow its MessagePack value at byte {offset}"),
            FaultKind::Deep => {
                write!(
                    f,
                    "it nests deeper than {MAX_DEPTH} levels at its byte {offset}"
                )
            }
            FaultKind::Reserved => {
                write!(f, "its byte {offset} is the reserved MessagePack marker c1")
            }
        }
    }
}

/// Checks that `bytes` are exactly one value. O(length), no allocation.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let end = end_of(bytes, 0)?;
    if end == bytes.len() {
        Ok(())
    } else {
        Err(Fault {
            offset: end,
            kind: FaultKind::Trailing,
        })
    }
}

/// Where the value ends that begins at a byte.
fn end_of(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    // Values still to come at each open level.
    let mut open = [0_u64; MAX_DEPTH];
    let mut depth = 0;
    let mut at = start;
    loop {
        let head = Head::read(bytes, at)?;
        at = head.end;
        if head.children > 0 {
            if depth == MAX_DEPTH {
                return Err(Fault {
                    offset: head.start,
                    kind: FaultKind::Deep,
                });
            }
            open[depth] = head.children;
            depth += 1;
            continue;
        }
        // A value has ended, and with it every level of which it was the last.
        while depth > 0 {
            open[depth - 1] -= 1;
            if open[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// The keys of a value that has been [`check`]ed and is a map, of any other none; one that is not text is
/// as if it were empty.
pub(super) fn keys(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let head = Head::read(bytes, 0).ok();
    let head = head.filter(|_| is_map(Marker::from_u8(bytes[0])));
    let (mut at, mut left) = head.map_or((0, 0), |head| (head.end, head.children / 2));
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let (key, value) = (at, end_of(bytes, at).ok()?);
        at = end_of(bytes, value).ok()?;
        let text = rmp::decode::read_str_from_slice(&bytes[key..value]);
        Some(text.map_or("", |(text, _)| text))
    })
}

fn is_map(marker: Marker) -> bool {
    matches!(marker, Marker::FixMap(_) | Marker::Map16 | Marker::Map32)
}

/// The first bytes of a value: all of a scalar, or what says how many values an array or map has.
struct Head {
    start: usize,
    end: usize,
    children: u64,
}

impl Head {
    fn read(bytes: &[u8], start: usize) -> Result<Head, Fault> {
        let short = Fault {
            offset: start,
            kind: FaultKind::Short,
        };
        let &first = bytes.get(start).ok_or(short)?;
        let after = start + 1;
        // (bytes of a length field, bytes of payload beside it, values for each unit of length)
        let (field, fixed, scale) = match Marker::from_u8(first) {
            Marker::Null | Marker::True | Marker::False | Marker::FixPos(_) | Marker::FixNeg(_) => {
                (0, 0, 0)
            }
            Marker::U8 | Marker::I8 => (0, 1, 0),
            Marker::U16 | Marker::I16 | Marker::FixExt1 => (0, 2, 0),
            Marker::FixExt2 => (0, 3, 0),
            Marker::U32 | Marker::I32 | Marker::F32 => (0, 4, 0),
            Marker::FixExt4 => (0, 5, 0),
            Marker::U64 | Marker::I64 | Marker::F64 => (0, 8, 0),
            Marker::FixExt8 => (0, 9, 0),
            Marker::FixExt16 => (0, 17, 0),
            Marker::FixStr(n) => (0, u64::from(n), 0),
            Marker::Str8 | Marker::Bin8 => (1, 0, 0),
            Marker::Str16 | Marker::Bin16 => (2, 0, 0),
            Marker::Str32 | Marker::Bin32 => (4, 0, 0),
            // The type byte of an extension.
            Marker::Ext8 => (1, 1, 0),
            Marker::Ext16 => (2, 1, 0),
            Marker::Ext32 => (4, 1, 0),
            Marker::FixArray(n) => return Head::nest(bytes, start, after, u64::from(n)),
            Marker::FixMap(n) => return Head::nest(bytes, start, after, 2 * u64::from(n)),
            Marker::Array16 => (2, 0, 1),
            Marker::Array32 => (4, 0, 1),
            Marker::Map16 => (2, 0, 2),
            Marker::Map32 => (4, 0, 2),
            Marker::Reserved => {
                return Err(Fault {
                    offset: start,
                    kind: FaultKind::Reserved,
                });
            }
        };
        let length = bytes
            .get(after..after + field)
            .ok_or(short)?
            .iter()
            .fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
        if scale > 0 {
            return Head::nest(bytes, start, after + field, length * scale);
        }
        let left = bytes.len() - after - field;
        match usize::try_from(fixed + length) {
            Ok(payload) if payload <= left => Ok(Head {
                start,
                end: after + field + payload,
                children: 0,
            }),
            _ => Err(short),
        }
    }

    /// Each value takes a byte at least, so a count beyond the bytes at hand is refused at once.
    fn nest(bytes: &[u8], start: usize, end: usize, children: u64) -> Result<Head, Fault> {
        if children > (bytes.len() - end) as u64 {
            return Err(Fault {
                offset: start,
                kind: FaultKind::Short,
            });
        }
        Ok(Head {
            start,
            end,
            children,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Serialize;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, Serialize)]
    enum Any {
        Unit,
        Bool(bool),
        Int(i64),
        Float(f64),
        Text(String),
        Bytes(#[serde(serialize_with = "as_bytes")] Vec<u8>),
        List(Vec<Any>),
        Map(BTreeMap<String, Any>),
        Option(Option<Box<Any>>),
    }

    fn as_bytes<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    fn any_value() -> impl Strategy<Value = Any> {
        let leaf = prop_oneof![
            Just(Any::Unit),
            any::<bool>().prop_map(Any::Bool),
            (any::<i64>(), 0_u32..64).prop_map(|(n, bits)| Any::Int(n >> bits)),
            any::<f64>().prop_map(Any::Float),
            ".{0,40}".prop_map(Any::Text),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Any::Bytes),
        ];
        leaf.prop_recursive(6, 200, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Any::List),
                prop::collection::btree_map(".{0,4}", inner.clone(), 0..20).prop_map(Any::Map),
                prop::option::of(inner.prop_map(Box::new)).prop_map(Any::Option),
            ]
        })
    }

    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = vec![0x91; depth];
        bytes.push(0xc0);
        bytes
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        let fault = check(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(
            fault,
            Fault {
                offset: MAX_DEPTH,
                kind: FaultKind::Deep
            }
        );
        assert_eq!(check(&nested(1_000_000)).unwrap_err().kind, FaultKind::Deep);
    }

    #[test]
    fn claimed_lengths_are_refused() {
        for head in [0xc6_u8, 0xc9, 0xdb, 0xdd, 0xdf] {
            let bytes = [head, 0xff, 0xff, 0xff, 0xff, 0];
            assert_eq!(
                check(&bytes).unwrap_err().kind,
                FaultKind::Short,
                "{head:02x}"
            );
        }
    }

    #[test]
    fn one_value_and_no_more() {
        assert_eq!(
            check(&[]),
            Err(Fault {
                offset: 0,
                kind: FaultKind::Short
            })
        );
        assert_eq!(
            check(&[0xc0, 0xc0]),
            Err(Fault {
                offset: 1,
                kind: FaultKind::Trailing
            })
        );
        assert_eq!(
            check(&[0xc1]),
            Err(Fault {
                offset: 0,
                kind: FaultKind::Reserved
            })
        );
        assert_eq!(check(&[0x92, 0x90, 0x80]), Ok(()));
        assert_eq!(
            check(&[0x81, 0xa1, b'a']),
            Err(Fault {
                offset: 3,
                kind: FaultKind::Short
            })
        );
        assert_eq!(
            check(&[0x82, 0xc0]),
            Err(Fault {
                offset: 0,
                kind: FaultKind::Short
            })
        );
    }

    #[test]
    fn extensions_are_one_value() {
        for (bytes, len) in [
            (&[0xd4_u8][..], 2),
            (&[0xd5], 3),
            (&[0xd6], 5),
            (&[0xd7], 9),
        ] {
            let mut bytes = bytes.to_vec();
            bytes.resize(1 + len, 0);
            assert_eq!(check(&bytes), Ok(()));
        }
        assert_eq!(check(&[0xc7, 2, 9, 1, 2]), Ok(()));
        assert_eq!(check(&[0xc8, 0, 1, 9, 1]), Ok(()));
        let mut fix16 = vec![0xd8];
        fix16.resize(18, 0);
        assert_eq!(check(&fix16), Ok(()));
    }

    #[test]
    fn keys_of_a_map() {
        let nested = BTreeMap::from([("a", Any::Int(1)), ("b", Any::List(vec![Any::Unit; 20]))]);
        let bytes = rmp_serde::to_vec_named(&nested).unwrap();
        assert!(keys(&bytes).eq(["a", "b"]));
        let many: BTreeMap<_, _> = (0..70_000).map(|n| (format!("{n:05}"), 0_u8)).collect();
        let bytes = rmp_serde::to_vec_named(&many).unwrap();
        assert!(keys(&bytes).eq(many.keys()));
        // {1: nil, "a": nil}, and what is no map.
        assert!(keys(&[0x82, 1, 0xc0, 0xa1, b'a', 0xc0]).eq(["", "a"]));
        assert_eq!(keys(&[0x92, 1, 0xc0]).count() + keys(&[0xc0]).count(), 0);
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_accepted_and_no_cut_of_it(value in any_value(), cut in any::<prop::sample::Index>()) {
            let bytes = rmp_serde::to_vec_named(&value).unwrap();
            prop_assert_eq!(check(&bytes), Ok(()));
            prop_assert!(check(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = check(&bytes);
        }

        /// What is accepted is one whole value to the reader that comes after.
        #[test]
        fn agrees_with_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let mut reader = rmp_serde::Deserializer::from_read_ref(&bytes);
            let decoded = serde::de::IgnoredAny::deserialize(&mut reader);
            if check(&bytes).is_ok() {
                prop_assert!(decoded.is_ok() || bytes.iter().any(|b| (0xc7..=0xc9).contains(b) || (0xd4..=0xd8).contains(b)));
            }
        }
    }
    use serde::Deserialize;
}
