//! The records that these tests have beside those of `store_schema`.

use crate::store_schema::{Catalog, CatalogView};
use highwater::{Row, Schema, Store, Table, Watch};
use serde::{Deserialize, Serialize};

/// Numbers, texts, and an index that two collections give the keys of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[index(by_kind_zone(kind, zone))]
#[index(by_product(each(sizes), each(colours), kind))]
pub(crate) struct Thing {
    #[primary_key]
    pub(crate) id: String,
    #[index]
    pub(crate) age: i32,
    #[index(caseless)]
    pub(crate) kind: String,
    #[index(sparse)]
    pub(crate) zone: Option<String>,
    pub(crate) sizes: Vec<String>,
    pub(crate) colours: Vec<String>,
}

#[derive(Schema)]
pub(crate) struct Things {
    pub(crate) things: Thing,
}

pub(crate) fn thing(id: &str, age: i32) -> Thing {
    Thing {
        id: id.to_owned(),
        age,
        kind: "Kind".to_owned(),
        zone: None,
        sizes: Vec::new(),
        colours: Vec::new(),
    }
}

pub(crate) fn things(all: impl IntoIterator<Item = Thing>) -> Store<Things> {
    let store = Store::<Things>::new();
    let mut txn = store.write().unwrap();
    for thing in all {
        txn.things_mut().insert(thing).unwrap();
    }
    txn.commit().unwrap();
    store
}

pub(crate) fn names<'a>(rows: impl Iterator<Item = &'a Row<Thing>>) -> Vec<&'a str> {
    rows.map(|row| row.id.as_str()).collect()
}

pub(crate) fn watch<R>(store: &Store<Catalog>, read: impl FnOnce(&CatalogView) -> R) -> Watch {
    store
        .watch(|db| {
            read(db);
        })
        .1
}
