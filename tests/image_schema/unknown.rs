//! Images that have what an older program does not know: taken as long as nothing is in it, so that the
//! programs of a cluster can be brought up to date one after the other.

use super::old::{Program, Tag};
use super::written;
use highwater::{ImageError, LogIndex, Schema, Store, Table};
use serde::{Deserialize, Serialize};

/// The newer program: a table and fields that come to be used when all know them.
mod newer {
    use super::{Deserialize, Schema, Serialize, Table};

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "items")]
    #[index(by_zone_kind(zone, kind))]
    pub(crate) struct Item {
        #[primary_key]
        pub id: u32,
        #[index]
        pub kind: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub zone: Option<String>,
        #[index]
        pub size: u16,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub owners: Vec<String>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "extra")]
    pub(crate) struct Extra {
        #[primary_key]
        pub id: u8,
        #[index]
        pub kind: String,
        #[index(unique)]
        pub serial: u64,
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        extra: Extra,
        tags: super::Tag,
        items: Item,
    }
}

fn extra() -> newer::Extra {
    newer::Extra {
        id: 1,
        kind: "k".into(),
        serial: 1,
    }
}

fn image<S: Schema>(store: &Store<S>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    bytes
}

/// The newer program's store, with what the older one wrote.
fn taken_over() -> Store<newer::Program> {
    let (_, bytes) = written();
    Store::from_image(&bytes[..]).unwrap()
}

/// What the older program says; its store is as it was.
fn refused(bytes: &[u8]) -> ImageError {
    let (store, before) = written();
    let error = store.rewind(bytes).unwrap_err();
    assert_eq!(image(&store), before, "{error}");
    error
}

#[test]
fn what_has_nothing_in_it_is_passed_over() {
    let newer = taken_over();
    // The table has been used, and its trees have stamps.
    let mut txn = newer.write().unwrap();
    txn.extra_mut().insert(extra()).unwrap();
    txn.commit().unwrap();
    let mut txn = newer.write().unwrap();
    txn.extra_mut().delete(1).unwrap();
    let item = newer::Item {
        id: 12,
        kind: "k1".into(),
        ..newer::Item::default()
    };
    txn.items_mut().insert(item).unwrap();
    txn.commit().unwrap();

    let older = Store::<Program>::from_image(&image(&newer)[..]).unwrap();
    let (old, new) = (older.snapshot(), newer.snapshot());
    old.check().unwrap();
    assert_eq!(old.position(), new.position());
    assert_eq!((old.items().len(), old.tags().len()), (9, 9));
    let item = old.items().get(12_u32).unwrap();
    assert_eq!((&item.kind[..], item.modify_index()), ("k1", LogIndex(52)));
    // Indexes of queries that both have are the same.
    for kind in ["k0", "k1", "k2", "k9"] {
        let (old, new) = (old.items().by_kind(kind), new.items().by_kind(kind));
        assert_eq!(old.log_index(), new.log_index());
    }
    // And back.
    let again = Store::<newer::Program>::from_image(&image(&older)[..]).unwrap();
    let all = |store: &Store<newer::Program>| -> Vec<_> {
        let snap = store.snapshot();
        snap.items().iter().map(|item| (**item).clone()).collect()
    };
    assert_eq!(all(&again), all(&newer));
}

#[test]
fn a_record_of_an_unknown_table_is_refused() {
    let newer = taken_over();
    let mut txn = newer.write().unwrap();
    txn.extra_mut().insert(extra()).unwrap();
    txn.commit().unwrap();
    match refused(&image(&newer)) {
        error @ ImageError::UnknownTable { .. } => {
            assert!(error.to_string().contains("`extra`"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_of_an_unknown_field_is_refused() {
    let with = |zone: Option<&str>, owners: &[&str]| newer::Item {
        id: 3,
        zone: zone.map(Into::into),
        owners: owners.iter().map(ToString::to_string).collect(),
        ..newer::Item::default()
    };
    for (item, unknown) in [
        (with(Some("z"), &[]), "zone"),
        (with(None, &["o"]), "owners"),
    ] {
        let newer = taken_over();
        let mut txn = newer.write().unwrap();
        txn.items_mut().upsert(item).unwrap();
        txn.commit().unwrap();
        match refused(&image(&newer)) {
            ImageError::UnknownField {
                place,
                version: 1,
                field,
            } => {
                assert_eq!(field, unknown);
                // Of items 1 to 9 the fourth is deleted.
                assert_eq!((place.table, place.row), (Some("items"), Some(2)));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Two nodes come to know a table at different positions. What was read of it is alike on both only when
/// that index has had an entry.
#[test]
fn guards_of_a_new_table_hold_alike_when_it_has_been_written_to() {
    let (store, bytes) = written();
    let first = Store::<newer::Program>::from_image(&bytes[..]).unwrap();
    first.advance_to(LogIndex(51)).unwrap();
    store.advance_to(LogIndex(51)).unwrap();
    let second = Store::<newer::Program>::from_image(&image(&store)[..]).unwrap();
    let read =
        |db: &newer::ProgramView| db.extra().contains(7) || db.extra().by_serial(7).is_some();
    let (_, early) = first.snapshot().guarded(read);
    for (store, holds) in [(&first, true), (&second, false)] {
        let mut txn = store.write().unwrap();
        assert_eq!(txn.validate(&early).is_ok(), holds);
        txn.extra_mut().insert(extra()).unwrap();
        txn.commit().unwrap();
    }
    let (_, guard) = first.snapshot().guarded(read);
    for store in [&first, &second] {
        assert_eq!(store.write().unwrap().validate(&guard), Ok(()));
    }
}

/// Nil is a value: a newer program may take what is not there for another.
#[test]
fn a_field_that_is_nil_is_refused() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "tags")]
    struct Label {
        #[primary_key]
        name: String,
        colour: Option<String>,
    }
    #[derive(Schema)]
    struct Labels {
        items: super::old::Item,
        labels: Label,
    }
    let labels = Store::<Labels>::new();
    let mut txn = labels.write().unwrap();
    txn.labels_mut()
        .insert(Label {
            name: "t".into(),
            colour: None,
        })
        .unwrap();
    txn.commit().unwrap();
    let error = refused(&image(&labels)).to_string();
    assert!(
        error.contains("`colour`") && error.contains("record 0 of table `tags`"),
        "{error}"
    );
}
