//! Buffers against `Vec` and `BTreeSet`, and the collections that fill them.

use super::*;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Edit {
    Push(u8),
    Extend(Vec<u8>),
    Truncate(usize),
    Clear,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => any::<u8>().prop_map(Edit::Push),
        4 => vec(any::<u8>(), 0..80).prop_map(Edit::Extend),
        2 => (100..300usize).prop_map(Edit::Truncate),
        1 => (0..140usize).prop_map(Edit::Truncate),
        1 => Just(Edit::Clear),
    ]
}

proptest! {
    /// Against a `Vec`, to and fro over the inline length.
    #[test]
    fn key_buf(edits in vec(edit(), 0..40)) {
        let (mut buf, mut model) = (KeyBuf::new(), Vec::new());
        for edit in edits {
            let before = (buf.clone(), model.clone());
            match edit {
                Edit::Push(byte) => {
                    buf.push(byte);
                    model.push(byte);
                }
                Edit::Extend(bytes) => {
                    buf.extend(&bytes);
                    model.extend(bytes);
                }
                Edit::Truncate(len) => {
                    buf.truncate(len);
                    model.truncate(len);
                }
                Edit::Clear => {
                    buf.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(buf.as_bytes(), &model);
            prop_assert_eq!((buf.len(), buf.is_empty()), (model.len(), model.is_empty()));
            prop_assert_eq!(buf.cmp(&before.0), model.cmp(&before.1));
            prop_assert_eq!(&buf, &KeyBuf::from(model.as_slice()));
        }
    }

    #[test]
    fn key_sink(keys in vec(near(), 0..20)) {
        let mut sink = KeySink::new();
        for _ in 0..2 {
            sink.clear();
            prop_assert!(sink.is_empty());
            for key in &keys {
                sink.push(|buf| key.encode(buf));
            }
            prop_assert_eq!(sink.len(), keys.len());
            let in_order: Vec<_> = keys.iter().map(encode).collect();
            prop_assert_eq!(sink.iter().collect::<Vec<_>>(), in_order);
            sink.sort_dedup();
            let sorted: BTreeSet<_> = keys.iter().map(encode).collect();
            prop_assert_eq!(sink.len(), sorted.len());
            prop_assert!(sink.iter().eq(sorted.iter()));
        }
    }
}

#[test]
fn each_item_once() {
    fn items<E: Each>(each: &E) -> Vec<Vec<u8>> {
        let mut items = Vec::new();
        each.for_each_key(&mut |item| {
            let mut out = KeyBuf::new();
            item.encode_as(&mut out);
            items.push(out.as_bytes().to_vec());
        });
        items.sort();
        items
    }
    let numbers = [1, 2, 3].map(|n: i32| encode(&n));
    assert_eq!(items(&vec![3, 1, 2]), numbers);
    assert_eq!(items(&VecDeque::from([3, 1, 2])), numbers);
    assert_eq!(items(&BTreeSet::from([3, 1, 2])), numbers);
    assert_eq!(items(&HashSet::from([3, 1, 2])), numbers);
    assert_eq!(items(&Box::<[i32]>::from([3, 1, 2])), numbers);
    assert_eq!(items(&Arc::<[i32]>::from([3, 1, 2])), numbers);
    assert_eq!(items(&[3, 1, 2]), numbers);
    assert_eq!(items(&Some(String::from("a"))), [encode("a")]);
    assert!(items(&None::<String>).is_empty());
    let entries = BTreeMap::from([("a", 2), ("b", 1)].map(|(k, v)| (String::from(k), v)));
    assert_eq!(items(&entries), [encode(&("a", 2)), encode(&("b", 1))]);
}
