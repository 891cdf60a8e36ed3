//! Look-up forms, prefixes, leading columns.

use super::*;
use crate::position::LogIndex;
use proptest::collection::btree_set;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::num::Wrapping;
use std::sync::Arc;

/// A newtype as `#[derive(Key)]` makes it.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Name(String);

impl Key for Name {
    fn encode(&self, out: &mut KeyBuf) {
        self.0.encode(out);
    }
}

impl NewtypeKey for Name {
    type Inner = String;
}

impl AsKey<Name> for Name {
    fn encode_as(&self, out: &mut KeyBuf) {
        self.encode(out);
    }
}

macro_rules! all_equal {
    ($expected:expr, $($key:ty: $($form:expr),* ;)*) => {
        let expected = $expected;
        $($(prop_assert_eq!(&Index::<$key>::get($form), &expected);)*)*
    };
}

proptest! {
    #[test]
    fn forms_of_text(string in text()) {
        let text = string.as_str();
        let boxed: Box<str> = text.into();
        let shared: Arc<str> = text.into();
        let cow = Cow::Borrowed(text);
        all_equal!(encode(&string),
            String: text, &text, &string, string.clone(), &boxed, boxed.clone(), &shared, shared.clone(), &cow, cow.clone();
            Box<str>: text, &text, &string, string.clone(), &boxed, boxed.clone(), &shared, shared.clone(), &cow, cow.clone();
            Arc<str>: text, &text, &string, string.clone(), &boxed, boxed.clone(), &shared, shared.clone(), &cow, cow.clone();
            Cow<'_, str>: text, &text, &string, string.clone(), &boxed, boxed.clone(), &shared, shared.clone(), &cow, cow.clone();
            Name: text, &string, Name(string.clone()), &Name(string.clone());
            (String,): (text,), &(string.clone(),);
            [String; 1]: [text], [&string], [string.clone()];
        );
    }

    #[test]
    fn forms_of_bytes(vec in bytes()) {
        let bytes = vec.as_slice();
        let boxed: Box<[u8]> = bytes.into();
        let shared: Arc<[u8]> = bytes.into();
        all_equal!(encode(&vec),
            Vec<u8>: bytes, &bytes, &vec, vec.clone(), &boxed, boxed.clone(), &shared, shared.clone();
            Box<[u8]>: bytes, &bytes, &vec, vec.clone(), &boxed, boxed.clone(), &shared, shared.clone();
            Arc<[u8]>: bytes, &bytes, &vec, vec.clone(), &boxed, boxed.clone(), &shared, shared.clone();
        );
    }

    #[test]
    fn forms_of_composites(a in text(), b: u16, c in proptest::option::of(bytes()), d: [u8; 3]) {
        type K = (String, u16, Option<Vec<u8>>, [u8; 3]);
        let key: K = (a.clone(), b, c.clone(), d);
        all_equal!(encode(&key),
            K: &key, key.clone(), (a.as_str(), b, c.as_deref(), d), (&a, &b, &c, &d);
        );
        all_equal!(encode(&Some(Reverse(Wrapping(b)))),
            Option<Reverse<Wrapping<u16>>>: Some(Reverse(Wrapping(b))), Some(&Reverse(Wrapping(b))), Some(Reverse(Wrapping(&b)));
        );
    }
}

/// Literals take the key's type; arrays of bytes serve as bytes and as arrays.
#[test]
fn literals_infer() {
    assert_eq!(Index::<u16>::get(5), [0, 5]);
    for key in &[5, 5] {
        assert_eq!(Index::<u16>::get(key), [0, 5]);
    }
    assert_eq!(Index::<i8>::get(-1), [0x7F]);
    assert_eq!(Index::<(String, u8)>::get(("a", 5)), [b'a', 0, 0, 5]);
    assert_eq!(Index::<[u16; 2]>::get([1, 2]), [0, 1, 0, 2]);
    assert_eq!(Index::<[u8; 2]>::get(b"ab"), *b"ab");
    assert_eq!(Index::<[u8; 2]>::get(*b"ab"), *b"ab");
    assert_eq!(Index::<Vec<u8>>::get(b"ab"), *b"ab\0\0");
    assert_eq!(Index::<Vec<u8>>::prefix(b"ab"), *b"ab");
    assert_eq!(Index::<Option<String>>::get(Some("a")), *b"\x01a\0\0");
    assert!(Index::<()>::get(()).is_empty());
    assert_eq!(
        Index::<LogIndex>::get(LogIndex(1)),
        [0, 0, 0, 0, 0, 0, 0, 1]
    );
    assert!(Index::<u64>::range(3..=9).contains(&encode(&9u64)));
    assert!(!Index::<u64>::range(3..9).contains(&encode(&9u64)));
    assert!(Index::<Option<u8>>::range(None..Some(3)).contains(&[0]));
}

type Three = (String, String, u32);

proptest! {
    /// Promise 5, for a prefix that is often one.
    #[test]
    fn prefix_of_text((string, n) in (text(), any::<prop::sample::Index>()), other in text()) {
        let at = n.index(string.len() + 1);
        let own = &string[..string.floor_char_boundary(at)];
        for prefix in [own, other.as_str()] {
            let begins = string.starts_with(prefix);
            prop_assert_eq!(encode(&string).starts_with(&Index::<String>::prefix(prefix)), begins);
            prop_assert_eq!(Index::<Name>::prefix(prefix), Index::<String>::prefix(prefix));
            let composite = encode(&(&string, &other, 7u32));
            prop_assert_eq!(composite.starts_with(&Index::<Three>::prefix(prefix)), begins);
        }
    }

    #[test]
    fn prefix_of_bytes((bytes, n) in (bytes(), any::<prop::sample::Index>()), other in bytes()) {
        for prefix in [&bytes[..n.index(bytes.len() + 1)], &other] {
            let begins = bytes.starts_with(prefix);
            prop_assert_eq!(encode(&bytes).starts_with(&Index::<Vec<u8>>::prefix(prefix)), begins);
            let some = encode(&Some(&bytes));
            prop_assert_eq!(some.starts_with(&Index::<Option<Vec<u8>>>::prefix(Some(prefix))), begins);
        }
    }

    /// Bytes are no beginning of what is shorter, whatever follows that.
    #[test]
    fn prefix_of_arrays(array: [u8; 3], after: [u8; 2], n in 0..6_usize, other in bytes()) {
        let key = [&array[..], &after].concat();
        for prefix in [&key[..n.min(5)], &other] {
            let begins = array.starts_with(prefix);
            prop_assert_eq!(encode(&array).starts_with(&Index::<[u8; 3]>::prefix(prefix)), begins);
            let found = Index::<([u8; 3], [u8; 2])>::prefix(prefix);
            prop_assert_eq!(encode(&(array, after)).starts_with(&found), begins);
        }
    }

    /// Of the first column of a composite key, which may be absent, or in falling order.
    #[test]
    fn prefix_of_what_wraps_text((string, n) in (text(), any::<prop::sample::Index>()), other in text()) {
        let own = &string[..string.floor_char_boundary(n.index(string.len() + 1))];
        for prefix in [own, other.as_str()] {
            let begins = string.starts_with(prefix);
            let some = encode(&(Some(&string), 7u8, &other));
            let none = encode(&(None::<String>, 7u8, &other));
            let found = Index::<(Option<String>, u8, String)>::prefix(Some(prefix));
            prop_assert_eq!((some.starts_with(&found), none.starts_with(&found)), (begins, false));
            let found = Index::<(Option<String>, u8, String)>::prefix(None::<&str>);
            prop_assert_eq!((some.starts_with(&found), none.starts_with(&found)), (false, true));
            let falling = encode(&(Reverse(&string), 7u8));
            let found = Index::<(Reverse<String>, u8)>::prefix(Reverse(prefix));
            prop_assert_eq!(falling.starts_with(&found), begins);
        }
    }

    /// Exact columns, then the beginning of the next: of exactly those keys that have them.
    #[test]
    fn prefix_after_exact_columns(
        (a, b, c) in (text(), 0..2u8, text()),
        (x, y, z) in (text(), 0..2u8, text()),
        same: bool,
    ) {
        type K = (String, u8, String);
        let key = encode(&(&a, b, &c));
        let x = if same { &a } else { &x };
        prop_assert_eq!(
            key.starts_with(&Index::<K>::prefix((x, y, z.as_str()))),
            a == *x && b == y && c.starts_with(&z)
        );
        prop_assert_eq!(key.starts_with(&Index::<K>::leading((x, y))), a == *x && b == y);
        prop_assert_eq!(key.starts_with(&Index::<K>::leading(x.as_str())), a == *x);
    }
}

#[test]
fn leading_columns() {
    type Pair = (String, u32);
    type Four = (String, u32, String, bool);
    type Eight = (u8, u8, u8, u8, u8, u8, u8, u8);
    assert_eq!(Index::<Pair>::leading("web"), *b"web\0\0");
    assert_eq!(Index::<Pair>::leading(String::from("web")), *b"web\0\0");
    assert_eq!(Index::<(u8, u8)>::leading(3), [3]);
    assert_eq!(Index::<Four>::leading("web"), encode("web"));
    assert_eq!(Index::<Four>::leading(("web", 3)), encode(&("web", 3u32)));
    assert_eq!(
        Index::<Four>::leading((&String::from("web"), 3)),
        encode(&("web", 3u32))
    );
    assert_eq!(
        Index::<Four>::leading(("web", 3, "a")),
        encode(&("web", 3u32, "a"))
    );
    assert_eq!(
        Index::<(Pair, u8)>::leading(("web", 3)),
        encode(&("web", 3u32))
    );
    assert_eq!(
        Index::<Eight>::leading((1, 2, 3, 4, 5, 6, 7)),
        [1, 2, 3, 4, 5, 6, 7]
    );
}

/// The greatest of `stored` that is a prefix of `whole`, found through its candidates; they must fall.
fn longest_prefix<K: Key>(stored: &[K], whole: &impl HasPrefixes<K>) -> Option<Vec<u8>> {
    let keys: BTreeSet<Vec<u8>> = stored.iter().map(encode).collect();
    let mut found = None;
    let mut last: Option<Vec<u8>> = None;
    whole.for_each_prefix(&mut |key| {
        let key = key.as_bytes().to_vec();
        assert!(last.replace(key.clone()).is_none_or(|last| key < last));
        if keys.contains(&key) {
            found = Some(key);
        }
        found.is_some()
    });
    found
}

#[cfg(feature = "ipnet")]
#[test]
fn networks_of_an_address() {
    use ipnet::IpNet;
    use std::net::IpAddr;
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let stored = [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3/8",
        "10.1.2.0/24",
        "fd00::/8",
        "::/0",
    ]
    .map(net);
    let cases = [
        ("10.1.2.9", Some("10.1.2.0/24")),
        ("10.1.3.9", Some("10.1.0.0/16")),
        ("10.200.0.1", Some("10.0.0.0/8")),
        ("11.0.0.1", None),
        ("fd12::1", Some("fd00::/8")),
        ("::1", Some("::/0")),
    ];
    for (address, expected) in cases {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(
            longest_prefix(&stored, &address),
            expected.map(|text| encode(&net(text)))
        );
    }
    assert_eq!(
        longest_prefix(&stored, &net("10.1.0.7/15")),
        Some(encode(&net("10.0.0.0/8")))
    );
}

proptest! {
    #[test]
    fn prefixes_of_text(stored in btree_set(text(), 0..40), text in text()) {
        let expected = stored.iter().filter(|s| text.starts_with(s.as_str())).max().map(encode);
        let stored: Vec<_> = stored.into_iter().collect();
        prop_assert_eq!(longest_prefix(&stored, &text), expected);
    }

    #[cfg(feature = "ipnet")]
    #[test]
    fn networks_in_order(stored in btree_set((0..3_u32, 0..33_u8), 0..20), address in any::<u32>()) {
        use ipnet::Ipv4Net;
        // Addresses that differ early or late.
        let address = address & 0xc000_0003;
        let stored: Vec<Ipv4Net> = stored
            .into_iter()
            .map(|(bits, len)| Ipv4Net::new((bits << 30 | bits).into(), len).unwrap().trunc())
            .collect();
        for a in &stored {
            for b in &stored {
                prop_assert_eq!(encode(a).cmp(&encode(b)), a.cmp(b));
            }
        }
        let whole = std::net::Ipv4Addr::from(address);
        let expected = stored.iter().filter(|net| net.contains(&whole)).max_by_key(|net| net.prefix_len());
        prop_assert_eq!(longest_prefix(&stored, &whole), expected.map(encode));
    }
}
