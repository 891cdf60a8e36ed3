//! The table that these tests share.

use highwater::key::Each;
use highwater::{LogIndex, Row, Schema, Store, Table, WriteTxn};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A set of which a copy is cheap: those before and after a change share what is the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub(crate) struct Tags(pub(crate) rpds::RedBlackTreeSetSync<String>);

impl Each for Tags {
    type Item = String;
    type Form<'a> = &'a String;

    fn for_each_key<'a>(&'a self, f: &mut dyn FnMut(&'a String)) {
        self.0.iter().for_each(f);
    }
}

impl From<Vec<String>> for Tags {
    fn from(tags: Vec<String>) -> Self {
        Tags(tags.into_iter().collect())
    }
}

impl From<Tags> for Vec<String> {
    fn from(tags: Tags) -> Self {
        tags.0.iter().cloned().collect()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "devices")]
pub(crate) struct Device {
    #[primary_key]
    pub(crate) id: u32,
    #[index(unique)]
    pub(crate) name: String,
    #[index(each)]
    pub(crate) tags: Tags,
}

#[derive(Schema)]
pub(crate) struct Agent {
    pub(crate) devices: Device,
}

pub(crate) fn device(id: u32, tags: &[&str]) -> Device {
    let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Device {
        id,
        name: format!("eth{id}"),
        tags: tags.into(),
    }
}

/// Commits what `write` does.
pub(crate) fn commit(store: &Store<Agent>, write: impl FnOnce(&mut WriteTxn<Agent>)) -> LogIndex {
    let mut txn = store.write().unwrap();
    write(&mut txn);
    txn.commit().unwrap()
}

/// Inserts or replaces devices, in one transaction.
pub(crate) fn put(store: &Store<Agent>, devices: impl IntoIterator<Item = Device>) -> LogIndex {
    commit(store, |txn| {
        for device in devices {
            txn.devices_mut().upsert(device).unwrap();
        }
    })
}

pub(crate) fn ids<'a>(rows: impl IntoIterator<Item = &'a Row<Device>>) -> Vec<u32> {
    rows.into_iter().map(|row| row.id).collect()
}

/// Far enough away that only a hang gets there.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}
