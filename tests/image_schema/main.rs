//! Images met by programs of another schema: nothing is lost silently, and what can be read is.

mod unknown;
mod versions;

use highwater::{ImageError, LogIndex, Schema, Store, Table};
use serde::{Deserialize, Serialize};

/// The program that writes.
mod old {
    use super::{Deserialize, Schema, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "items")]
    pub(crate) struct Item {
        #[primary_key]
        pub id: u32,
        #[index]
        pub kind: String,
        #[index]
        pub size: u16,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "tags")]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        items: Item,
        tags: Tag,
    }
}

macro_rules! program {
    ($name:ident, $($item:item)*) => {
        mod $name {
            #[allow(unused_imports, reason = "not each program uses all")]
            use super::{Deserialize, Schema, Serialize, Table};
            $(
                #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
                $item
            )*
            #[derive(Schema)]
            pub(crate) struct Program {
                items: Item,
                tags: Tag,
            }
        }
    };
}

/// An old store: item i of kind `k(i mod 3)` and size i mod 2, made at index i, and one deleted.
fn written() -> (Store<old::Program>, Vec<u8>) {
    let store = Store::<old::Program>::new();
    for i in 1..=9_u32 {
        let mut txn = store.write().unwrap();
        let kind = format!("k{}", i % 3);
        txn.items_mut()
            .insert(old::Item {
                id: i,
                kind,
                size: (i % 2) as u16,
            })
            .unwrap();
        txn.tags_mut()
            .insert(old::Tag {
                name: format!("t{i}"),
            })
            .unwrap();
        txn.commit().unwrap();
    }
    let mut txn = store.write().unwrap();
    txn.items_mut().delete(4_u32).unwrap();
    txn.commit().unwrap();
    store.advance_to(LogIndex(50)).unwrap();
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    (store, bytes)
}

program! { grown,
    #[table(name = "tags")]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
        #[serde(default)]
        pub colour: Option<String>,
    }

    #[table(name = "items")]
    #[index(by_size_kind(size, kind))]
    pub(crate) struct Item {
        #[index(unique)]
        #[serde(default = "Item::next")]
        pub serial: u64,
        #[primary_key]
        pub id: u32,
        #[index]
        pub size: u16,
        #[index]
        pub kind: String,
    }
}

impl grown::Item {
    /// A default of its own for each record that is read.
    fn next() -> u64 {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

#[test]
fn a_grown_schema_reads_it_all() {
    let (store, bytes) = written();
    let grown = Store::<grown::Program>::new();
    grown.restore(&bytes[..]).unwrap();
    let (old, new) = (store.snapshot(), grown.snapshot());
    new.check().unwrap();
    assert_eq!(new.items().len(), 8);
    for (a, b) in old.items().iter().zip(new.items().iter()) {
        assert_eq!((a.id, &a.kind, a.size), (b.id, &b.kind, b.size));
        assert_eq!(
            (a.create_index(), a.modify_index()),
            (b.create_index(), b.modify_index())
        );
    }
    assert_eq!(new.tags().get("t3").unwrap().colour, None);
    // The indexes that were there keep their stamps, in whatever order they are declared now.
    for kind in ["k0", "k1", "k2", "k9"] {
        assert_eq!(
            new.items().by_kind(kind).log_index(),
            old.items().by_kind(kind).log_index()
        );
    }
    assert_eq!(
        new.items().by_size(0_u16).log_index(),
        old.items().by_size(0_u16).log_index()
    );
    assert_eq!(old.items().by_kind("k1").log_index(), LogIndex(10));
    // A new one begins at the image's.
    assert_eq!(
        new.items().by_size_kind((1_u16, "k0")).log_index(),
        LogIndex(50)
    );
    assert_eq!(new.items().size_kind_index().log_index(), LogIndex(50));
}

mod more {
    use super::{Deserialize, Schema, Serialize, Table, old};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "extra")]
    pub(crate) struct Extra {
        #[primary_key]
        pub id: u8,
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        extra: Extra,
        tags: old::Tag,
        items: old::Item,
    }
}

#[test]
fn a_table_that_the_image_lacks_is_empty() {
    let (store, bytes) = written();
    let more = Store::<more::Program>::new();
    let mut txn = more.write().unwrap();
    txn.extra_mut().insert(more::Extra { id: 1 }).unwrap();
    txn.commit().unwrap();
    // The unnamed history is at 1 here and at 50 in the image.
    more.restore(&bytes[..]).unwrap();
    let snapshot = more.snapshot();
    snapshot.check().unwrap();
    assert!(snapshot.extra().is_empty());
    assert_eq!(snapshot.extra().log_index(), LogIndex(50));
    assert_eq!(snapshot.items().len(), 8);
    assert_eq!(
        snapshot.items().prefix_index_for_test(),
        store.snapshot().items().prefix_index_for_test()
    );
}

/// Indexes of one table's queries.
trait PrefixIndex {
    fn prefix_index_for_test(&self) -> Vec<LogIndex>;
}

impl PrefixIndex for old::ItemReader<'_> {
    fn prefix_index_for_test(&self) -> Vec<LogIndex> {
        (0..12_u32)
            .map(|id| self.range(id..id + 2).log_index())
            .collect()
    }
}

program! { keyed,
    #[table(name = "items")]
    pub(crate) struct Item {
        pub id: u32,
        #[primary_key]
        pub kind: String,
        #[primary_key]
        pub size: u16,
    }
    #[table(name = "tags")]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
    }
}

#[test]
fn another_primary_key_is_refused() {
    let (_, bytes) = written();
    match Store::<keyed::Program>::from_image(&bytes[..]) {
        Err(error @ ImageError::PrimaryKey { .. }) => {
            let text = error.to_string();
            assert!(
                text.contains("(id)") && text.contains("(kind, size)"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
}

program! { wider,
    #[table(name = "items")]
    pub(crate) struct Item {
        #[primary_key]
        pub id: u64,
        #[index]
        pub kind: String,
        #[index]
        pub size: u64,
    }
    #[table(name = "tags")]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
    }
}

#[test]
fn keys_of_another_type_are_read_and_their_stamps_begin_anew() {
    let (store, bytes) = written();
    let wider = Store::<wider::Program>::from_image(&bytes[..]).unwrap();
    let snapshot = wider.snapshot();
    snapshot.check().unwrap();
    assert_eq!(snapshot.items().len(), 8);
    assert_eq!(
        snapshot.items().get(3_u64).unwrap().modify_index(),
        LogIndex(3)
    );
    assert_eq!(snapshot.items().by_kind("k1").log_index(), LogIndex(50));
    assert_eq!(snapshot.items().log_index_of(4_u64), LogIndex(50));
    // The other table's are as they were.
    assert_eq!(
        snapshot.tags().log_index(),
        store.snapshot().tags().log_index()
    );
}

program! { strict,
    #[table(name = "items")]
    pub(crate) struct Item {
        #[primary_key]
        pub id: u32,
        #[index(unique)]
        pub kind: String,
        #[index]
        pub size: u16,
    }
    #[table(name = "tags")]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
    }
}

#[test]
fn what_breaks_a_new_unique_index_is_refused_at_its_record() {
    let (_, bytes) = written();
    match Store::<strict::Program>::from_image(&bytes[..]) {
        Err(ImageError::Refused { place, source }) => {
            // Items 1, 2, 3 have three kinds; the next, item 5, has that of item 2.
            assert_eq!((place.table, place.row), (Some("items"), Some(3)));
            let text = source.to_string();
            assert!(text.contains("kind") && text.contains("k2"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

program! { narrower,
    #[table(name = "items")]
    pub(crate) struct Item {
        #[primary_key]
        pub id: u32,
        #[index]
        pub kind: u8,
        #[index]
        pub size: u16,
    }
    #[table(name = "tags")]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
    }
}

#[test]
fn a_field_of_another_type_is_refused_at_the_first_record() {
    let (_, bytes) = written();
    match Store::<narrower::Program>::from_image(&bytes[..]) {
        Err(ImageError::Record { place, .. }) => {
            assert_eq!((place.table, place.row), (Some("items"), Some(0)));
        }
        other => panic!("{other:?}"),
    }
}

program! { demanding,
    #[table(name = "items")]
    pub(crate) struct Item {
        #[primary_key]
        pub id: u32,
        #[index]
        pub kind: String,
        #[index]
        pub size: u16,
        pub owner: String,
    }
    #[table(name = "tags")]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
    }
}

#[test]
fn a_new_field_without_a_default_is_refused_with_advice() {
    let (_, bytes) = written();
    match Store::<demanding::Program>::from_image(&bytes[..]) {
        Err(error @ ImageError::Record { .. }) => {
            let text = error.to_string();
            assert!(
                text.contains("owner") && text.contains("serde(default)"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
}

program! { renamed,
    #[table(name = "items")]
    pub(crate) struct Item {
        #[primary_key]
        #[serde(alias = "id")]
        pub number: u32,
        #[index(name = "kind")]
        #[serde(rename = "sort", alias = "kind", alias = "class")]
        pub kind: String,
        #[index]
        pub size: u16,
    }

    #[table(name = "tags")]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
    }
}

#[test]
fn a_renamed_field_is_read_by_its_alias() {
    assert_eq!(
        renamed::Item::ALIASES,
        [("id", "number"), ("kind", "sort"), ("class", "sort")]
    );
    let (old, bytes) = written();
    let store = Store::<renamed::Program>::from_image(&bytes[..]).unwrap();
    let (before, after) = (old.snapshot(), store.snapshot());
    assert_eq!(after.items().get(5_u32).unwrap().kind, "k2");
    assert_eq!(after.items().by_kind("k1").count(), 2);
    // The index is the same one, so its stamps are the image's.
    for kind in ["k0", "k1", "k2", "none"] {
        assert_eq!(
            after.items().by_kind(kind).log_index(),
            before.items().by_kind(kind).log_index()
        );
    }
    // What it writes has the new names, and reads back.
    let mut again = Vec::new();
    after.write_image(&mut again).unwrap();
    assert!(Store::<renamed::Program>::from_image(&again[..]).is_ok());
    assert!(Store::<old::Program>::from_image(&again[..]).is_err());
}

/// A table that is the process's own, and one that is not.
mod one {
    use super::{Deserialize, Schema, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "seen", local)]
    pub(crate) struct Seen {
        #[primary_key]
        pub id: u32,
        #[index]
        pub times: u8,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "tags")]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        seen: Seen,
        tags: Tag,
    }
}

/// Where a table has become local.
mod was_shared {
    use super::{Deserialize, Schema, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "tags", local)]
    pub(crate) struct Tag {
        #[primary_key]
        pub name: String,
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        tags: Tag,
    }
}

#[test]
fn what_is_local_is_in_no_image_and_survives_a_restore() {
    let write = |store: &Store<one::Program>, times: u8, name: &str| {
        let mut txn = store.write().unwrap();
        txn.seen_mut().upsert(one::Seen { id: 1, times }).unwrap();
        txn.tags_mut()
            .upsert(one::Tag { name: name.into() })
            .unwrap();
        txn.commit().unwrap();
    };
    let image = |store: &Store<one::Program>| {
        let mut bytes = Vec::new();
        let summary = store.snapshot().write_image(&mut bytes).unwrap();
        assert_eq!(summary.rows, store.snapshot().tags().len() as u64);
        bytes
    };
    let (store, other) = (Store::<one::Program>::new(), Store::<one::Program>::new());
    write(&store, 1, "a");
    let first = image(&store);
    write(&store, 2, "b");
    // Stores that differ in what is local alone have the same image.
    write(&other, 7, "a");
    assert_eq!(image(&other), first);

    // It stays where the log goes on; a watch of it fires all the same.
    let (_, watch) = other.watch(|db| db.seen().iter().count());
    other.restore(&image(&store)[..]).unwrap();
    assert!(watch.has_fired());
    let snap = other.snapshot();
    assert_eq!((snap.index(), snap.tags().len()), (LogIndex(2), 2));
    assert_eq!(snap.seen().by_times(7).count(), 1);
    snap.check().unwrap();
    write(&other, 8, "c");
    other.snapshot().check().unwrap();
    // Back in the log, or in a new process, it is empty.
    other.rewind(&first[..]).unwrap();
    assert!(other.snapshot().seen().is_empty());
    assert_eq!(other.snapshot().tags().len(), 1);
    let new = Store::<one::Program>::from_image(&first[..]).unwrap();
    assert!(new.snapshot().seen().is_empty());
    new.snapshot().check().unwrap();

    // A table that was not local when the image was written is taken as it was.
    let local = Store::<was_shared::Program>::from_image(&first[..]).unwrap();
    assert!(local.snapshot().tags().contains("a"));
}
