//! Every kind of index.

use highwater::{Key, Row, Schema, Store, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Has an index of every kind that go-memdb has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
#[index(by_has_owner(with = Gadget::has_owner -> bool))]
#[index(by_has_labels(with = Gadget::has_labels -> bool))]
#[index(by_has_meta(with = Gadget::has_meta -> bool))]
#[index(by_owner_name(sparse(owner), name))]
#[index(unique, by_owner_serial(sparse(owner), sparse(serial)))]
#[index(by_label_size(each(labels), size))]
#[index(by_initial(with = Gadget::initial -> Option<char>))]
struct Gadget {
    #[primary_key]
    id: u32,
    #[index]
    #[index(caseless, name = "lower")]
    name: String,
    #[index(each)]
    labels: Vec<String>,
    #[index(each)]
    meta: BTreeMap<String, String>,
    #[index]
    offset: i8,
    #[index]
    #[index(when = Gadget::is_small, name = "small")]
    size: u64,
    #[index]
    on: bool,
    #[index]
    uid: [u8; 16],
    #[index(sparse)]
    owner: Option<String>,
    serial: Option<u32>,
    #[index]
    grade: Grade,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Key,
)]
enum Grade {
    #[default]
    Good,
    Bad,
}

impl Gadget {
    fn has_owner(&self) -> bool {
        self.owner.is_some()
    }

    fn has_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    fn has_meta(&self) -> bool {
        !self.meta.is_empty()
    }

    fn is_small(&self) -> bool {
        self.size < 10
    }

    fn initial(&self) -> Option<char> {
        self.name.chars().next()
    }
}

#[derive(Schema)]
struct Shop {
    gadgets: Gadget,
}

/// Gadgets numbered from 0.
fn shop(gadgets: impl IntoIterator<Item = Gadget>) -> Store<Shop> {
    let store = Store::<Shop>::new();
    let mut txn = store.write().unwrap();
    for (id, gadget) in (0..).zip(gadgets) {
        txn.gadgets_mut().insert(Gadget { id, ..gadget }).unwrap();
    }
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
    store
}

fn found<'a>(rows: impl IntoIterator<Item = &'a Row<Gadget>>) -> Vec<u32> {
    rows.into_iter().map(|row| row.id).collect()
}

fn named(name: &str) -> Gadget {
    Gadget {
        name: name.to_owned(),
        ..Gadget::default()
    }
}

#[test]
fn string_field_index_with_and_without_lowercase() {
    let store = shop(["Web", "web", "webs", "", "WEB\0x"].map(named));
    let snap = store.snapshot();
    let gadgets = snap.gadgets();
    assert_eq!(found(gadgets.by_name("web")), [1]);
    assert_eq!(found(gadgets.by_lower("wEb")), [0, 1]);
    assert_eq!(found(gadgets.lower_index().prefix("WEB")), [0, 1, 4, 2]);
    let store = shop(["ÖL", "öl"].map(named));
    assert_eq!(found(store.snapshot().gadgets().by_lower("Öl")), [0, 1]);
    // The empty text is a text.
    assert_eq!(found(gadgets.by_name("")), [3]);
}

#[test]
fn string_slice_field_index() {
    let labels = |labels: &[&str]| Gadget {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..Gadget::default()
    };
    let store = shop([labels(&["a", "b", "a"]), labels(&[]), labels(&["b", ""])]);
    let snap = store.snapshot();
    let by = snap.gadgets().labels_index();
    assert_eq!(found(by.get("b")), [0, 2]);
    assert_eq!(found(by.iter()), [2, 0, 0, 2]);
}

#[test]
fn string_map_field_index_by_key_and_by_entry() {
    let meta = |entries: &[(&str, &str)]| Gadget {
        meta: entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..Gadget::default()
    };
    let store = shop([
        meta(&[("zone", "a"), ("rack", "7")]),
        meta(&[("zone", "b")]),
        meta(&[("zones", "a")]),
    ]);
    let snap = store.snapshot();
    let by = snap.gadgets().meta_index();
    assert_eq!(found(by.get(("zone", "a"))), [0]);
    assert_eq!(found(by.leading("zone")), [0, 1]);
    assert_eq!(found(by.leading_range("zone", "b"..)), [1]);
}

#[test]
fn int_uint_and_bool_field_indexes() {
    let gadget = |offset, size, on| Gadget {
        offset,
        size,
        on,
        ..Gadget::default()
    };
    let store = shop([
        gadget(i8::MIN, u64::MAX, true),
        gadget(-1, 0, false),
        gadget(0, 256, true),
        gadget(i8::MAX, 255, false),
    ]);
    let snap = store.snapshot();
    let gadgets = snap.gadgets();
    assert_eq!(found(gadgets.offset_index().iter()), [0, 1, 2, 3]);
    assert_eq!(found(gadgets.size_index().iter()), [1, 3, 2, 0]);
    assert_eq!(found(gadgets.on_index().iter()), [1, 3, 0, 2]);
    assert_eq!(found(gadgets.by_on(true)), [0, 2]);
    assert_eq!(found(gadgets.by_size(255_u64)), [3]);
}

#[test]
fn uuid_field_index() {
    let uid = |first| Gadget {
        uid: [first, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255],
        ..Gadget::default()
    };
    let store = shop([uid(9), uid(0), uid(9)]);
    let snap = store.snapshot();
    assert_eq!(found(snap.gadgets().by_uid(uid(9).uid)), [0, 2]);
    let by = snap.gadgets().uid_index();
    assert_eq!(found(by.iter()), [1, 0, 2]);
    assert_eq!(found(by.prefix(&[9])), [0, 2]);
    assert_eq!(found(by.prefix(&[9, 0, 1])), [0, 2]);
    assert_eq!(by.prefix(&[9, 1]).count(), 0);
    assert_eq!(found(by.prefix(&[])), [1, 0, 2]);
    assert_eq!(found(by.prefix(&uid(0).uid)), [1]);
    // The numbers of the gadgets, which follow in the index, are no part of the key.
    let longer = [&uid(0).uid[..], &[0]].concat();
    assert_eq!(by.prefix(&longer).count(), 0);
}

#[test]
fn field_set_and_conditional_indexes() {
    let gadget = |owner: Option<&str>, size| Gadget {
        owner: owner.map(String::from),
        size,
        ..Gadget::default()
    };
    let store = shop([
        gadget(None, 1),
        gadget(Some("me"), 100),
        gadget(Some(""), 9),
    ]);
    let snap = store.snapshot();
    let gadgets = snap.gadgets();
    assert_eq!(found(gadgets.by_has_owner(true)), [1, 2]);
    assert_eq!(found(gadgets.by_has_owner(false)), [0]);
    // Only the records for which it holds are in the index.
    assert_eq!(found(gadgets.small_index().iter()), [0, 2]);
    assert_eq!(gadgets.small_index().len(), 2);
}

/// There an index of whether a list or a map is set panicked.
#[test]
fn field_set_index_of_a_list_and_of_a_map() {
    let labelled = Gadget {
        labels: vec![String::new()],
        ..named("a")
    };
    let meta = Gadget {
        meta: [("zone".to_owned(), String::new())].into(),
        ..named("b")
    };
    let store = shop([labelled, meta, named("c")]);
    let found_by = || {
        let snap = store.snapshot();
        let gadgets = snap.gadgets();
        [true, false].map(|set| {
            (
                found(gadgets.by_has_labels(set)),
                found(gadgets.by_has_meta(set)),
            )
        })
    };
    assert_eq!(found_by(), [(vec![0], vec![1]), (vec![1, 2], vec![0, 2])]);
    let mut txn = store.write().unwrap();
    let clear = |gadget: &mut Gadget| gadget.labels.clear();
    txn.gadgets_mut().update_with(0, clear).unwrap();
    txn.commit().unwrap();
    assert_eq!(found_by(), [(vec![], vec![1]), (vec![0, 1, 2], vec![0, 2])]);
}

#[test]
fn allow_missing_keeps_records_out_of_the_index() {
    let store = shop([
        named("a"),
        Gadget {
            owner: Some("me".to_owned()),
            ..named("b")
        },
    ]);
    let snap = store.snapshot();
    assert_eq!(found(snap.gadgets().owner_index().iter()), [1]);
    assert_eq!(found(snap.gadgets().owner_name_index().iter()), [1]);
}

#[test]
fn compound_index_exactly_by_its_first_columns_or_with_the_last_as_a_prefix() {
    let gadget = |owner: &str, name: &str| Gadget {
        owner: Some(owner.to_owned()),
        ..named(name)
    };
    let store = shop([
        gadget("a", "x"),
        gadget("ab", "x"),
        gadget("a", "xy"),
        gadget("b", "x"),
    ]);
    let snap = store.snapshot();
    let by = snap.gadgets().owner_name_index();
    assert_eq!(found(by.get(("a", "x"))), [0]);
    assert_eq!(found(by.leading("a")), [0, 2]);
    assert_eq!(found(by.prefix(("a", "x"))), [0, 2]);
    assert_eq!(found(by.prefix("a")), [0, 2, 1]);
    assert_eq!(found(by.range(("a", "xy")..=("b", "x"))), [2, 1, 3]);
}

#[test]
fn compound_multi_index_has_every_combination_once() {
    let gadget = |labels: &[&str], size| Gadget {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        size,
        ..Gadget::default()
    };
    let store = shop([gadget(&["a", "b", "a"], 1), gadget(&["b"], 2)]);
    let snap = store.snapshot();
    let by = snap.gadgets().label_size_index();
    assert_eq!(by.len(), 3);
    assert_eq!(found(by.get(("b", 1_u64))), [0]);
    assert_eq!(found(by.leading("b")), [0, 1]);
}

#[test]
fn custom_indexers_are_functions_and_types() {
    let graded = |name: &str, grade| Gadget {
        grade,
        ..named(name)
    };
    let store = shop([
        graded("öl", Grade::Bad),
        graded("", Grade::Good),
        graded("olive", Grade::Good),
    ]);
    let snap = store.snapshot();
    let gadgets = snap.gadgets();
    assert_eq!(found(gadgets.by_initial(Some('ö'))), [0]);
    assert_eq!(found(gadgets.by_initial(None::<char>)), [1]);
    assert_eq!(found(gadgets.by_grade(Grade::Good)), [1, 2]);
    assert_eq!(found(gadgets.grade_index().iter().rev()), [0, 2, 1]);
}

/// Where `CompoundIndex` is unique and may lack a part, records share the empty key there.
#[test]
fn rows_without_a_part_do_not_take_one_another_s_place() {
    let gadget = |owner: Option<&str>, serial| Gadget {
        owner: owner.map(String::from),
        serial,
        ..Gadget::default()
    };
    let store = shop([
        gadget(None, Some(1)),
        gadget(None, Some(1)),
        gadget(Some("a"), None),
        gadget(Some("a"), None),
        gadget(Some("a"), Some(1)),
    ]);
    let mut txn = store.write().unwrap();
    assert_eq!(txn.gadgets().owner_serial_index().len(), 1);
    let clash = Gadget {
        id: 9,
        ..gadget(Some("a"), Some(1))
    };
    assert!(txn.gadgets_mut().insert(clash).is_err());
}

#[test]
fn indexers_are_told_in_the_words_they_were_declared_in() {
    let schema = Store::<Shop>::describe();
    let indexes = schema.tables[0].indexes.iter();
    let told: Vec<_> = indexes
        .map(|index| (index.name, index.parts, index.when))
        .collect();
    for expected in [
        ("has_owner", &["with = Gadget::has_owner -> bool"][..], None),
        ("owner_serial", &["sparse(owner)", "sparse(serial)"], None),
        ("label_size", &["each(labels)", "size"], None),
        ("lower", &["caseless(name)"], None),
        ("small", &["size"], Some("Gadget::is_small")),
    ] {
        assert!(told.contains(&expected), "{expected:?} of {told:?}");
    }
}

/// The tables of go-memdb know no types: what is asked for by text alone finds the same.
#[cfg(feature = "json")]
#[test]
fn every_indexer_is_asked_by_text() {
    use highwater::untyped::Error;

    let store = shop([
        Gadget {
            labels: ["a", "b"].map(String::from).into(),
            meta: [("zone".to_owned(), "n1".to_owned())].into(),
            offset: -5,
            size: 300,
            owner: Some("me".to_owned()),
            serial: Some(7),
            grade: Grade::Bad,
            ..named("Web")
        },
        Gadget {
            labels: vec!["ab".to_owned()],
            meta: [("zone".to_owned(), "n2".to_owned())].into(),
            owner: Some("you".to_owned()),
            ..named("")
        },
    ]);
    let snap = store.snapshot();
    let gadgets = snap.untyped("gadget").unwrap();
    let ids = |rows: &mut dyn Iterator<Item = Result<highwater::untyped::Row, Error>>| {
        rows.map(|row| row.unwrap().value["id"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let get = |index: &str, key: &[&str]| {
        let index = gadgets.index(index).unwrap();
        ids(&mut index.get(key).unwrap())
    };
    for (index, key, found) in [
        ("name", &["Web"][..], &[0][..]),
        ("name", &[""], &[1]),
        ("by_lower", &["wEB"], &[0]),
        ("labels", &["ab"], &[1]),
        ("meta", &["zone", "n2"], &[1]),
        ("meta", &["zone"], &[0, 1]),
        ("offset", &["-5"], &[0]),
        ("size", &["300"], &[0]),
        ("on", &["false"], &[0, 1]),
        ("owner_name", &["you"], &[1]),
        ("owner_serial", &["me", "7"], &[0]),
        ("label_size", &["a", "300"], &[0]),
        ("initial", &["W"], &[0]),
        ("initial", &["null"], &[1]),
        ("grade", &["Bad"], &[0]),
        ("has_owner", &["true"], &[0, 1]),
        ("size", &["301"], &[]),
    ] {
        assert_eq!(get(index, key), found, "{index} {key:?}");
    }
    // What is no key's text is an error.
    for (index, key) in [
        ("size", &["many"][..]),
        ("size", &["300", "7"]),
        ("grade", &["Worse"]),
    ] {
        let of = gadgets.index(index).unwrap();
        let error = of.get(key).err().unwrap();
        assert!(matches!(error, Error::NoKey { .. }), "{error}");
        assert!(error.to_string().contains(key[0]), "{error}");
    }
    let prefix = |index: &str, key: &[&str]| {
        let index = gadgets.index(index).unwrap();
        ids(&mut index.prefix(key).unwrap())
    };
    assert_eq!(prefix("labels", &["a"]), [0, 1]);
    assert_eq!(prefix("lower", &["WE"]), [0]);
    assert_eq!(prefix("meta", &["zone", "n"]), [0, 1]);
    assert_eq!(ids(&mut gadgets.index("name").unwrap().rows()), [1, 0]);
    assert!(gadgets.index("by").is_none());
    assert_eq!(gadgets.get(&["1"]).unwrap().unwrap().value["name"], "");
    let error = gadgets.index("size").unwrap().prefix(&["3"]).err().unwrap();
    assert!(matches!(
        error,
        Error::NoText {
            table: "gadget",
            index: Some("size")
        }
    ));
    let error = gadgets.index("uid").unwrap().get(&["0"]).err().unwrap();
    assert!(error.to_string().contains("gadget.uid"), "{error}");
}
