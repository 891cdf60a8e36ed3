//! A running transaction and its model.

use crate::item::{Entry, Item, Shop, State, changed, stored};
use crate::op::{Expected, How, Op};
use highwater::{LogIndex, Row, TableWriter, WriteError, WriteTxn};
use std::collections::BTreeSet;

/// A running transaction and its model.
pub(crate) struct Running {
    pub(crate) txn: WriteTxn<Shop>,
    pub(crate) counted: bool,
    pub(crate) index: u64,
    pub(crate) state: State,
    /// The state at the beginning of the entry.
    pub(crate) began: State,
    /// What each ended entry changed.
    pub(crate) ended: Vec<(u64, BTreeSet<Entry>)>,
    /// Whether anything was written, taken back since or not.
    pub(crate) wrote: bool,
    pub(crate) savepoints: Vec<(highwater::Savepoint, State)>,
}

impl Running {
    pub(crate) fn write(&mut self, op: Op) {
        let before = self.state.clone();
        match op {
            Op::Put(how, item) => self.put(how, item),
            Op::Touch(id, value) => {
                if let Some((item, ..)) = self.state.get(&id) {
                    let item = Item {
                        value,
                        ..item.clone()
                    };
                    self.put(How::Update, item);
                }
            }
            Op::Change(id, value) => self.change(&id, value),
            Op::DeletePrefix(prefix) => self.delete_all(
                |item| item.id.starts_with(&prefix),
                |mut items| items.delete_prefix(&prefix),
            ),
            Op::DeleteTagged(tag) => self.delete_all(
                |item| item.tags.iter().any(|other| other.starts_with(&tag)),
                |mut items| items.delete_query(|items| items.tags_index().prefix(&tag)),
            ),
            Op::DeleteWhere(value) => self.delete_all(
                |item| item.value == value,
                |mut items| items.delete_where(|item| item.value == value),
            ),
            Op::Delete(id, expected) => self.delete(&id, expected),
            _ => unreachable!("not a write: {op:?}"),
        }
        self.wrote |= self.state != before;
    }

    pub(crate) fn end_entry(&mut self) {
        self.ended
            .push((self.index, changed(&self.began, &self.state)));
        self.began = self.state.clone();
        self.savepoints.clear();
    }

    pub(crate) fn expected(&self, id: &str, expected: Expected) -> u64 {
        let modified = self.state.get(id).map_or(0, |(_, _, modified)| *modified);
        match expected {
            Expected::Right => modified,
            Expected::Wrong => modified + 1,
            Expected::Absent => 0,
        }
    }

    pub(crate) fn put(&mut self, how: How, item: Item) {
        let before = self.state.get(&item.id).cloned();
        let modified = before.as_ref().map_or(0, |(_, _, modified)| *modified);
        let mut items = self.txn.items_mut();
        let (exists, conflict, result) = match how {
            How::Insert => (
                Some(false),
                false,
                items.insert(item.clone()).map(|()| None),
            ),
            How::Update => (Some(true), false, items.update(item.clone()).map(Some)),
            How::Upsert => (None, false, items.upsert(item.clone())),
            How::UpsertIf(expected) => {
                let index = self.expected(&item.id, expected);
                let result = self
                    .txn
                    .items_mut()
                    .upsert_if(item.clone(), LogIndex(index));
                (None, index != modified, result)
            }
            How::UpdateIf(expected) => {
                let index = self.expected(&item.id, expected);
                let result = self
                    .txn
                    .items_mut()
                    .update_if(item.clone(), LogIndex(index));
                (Some(true), index != modified, result.map(Some))
            }
        };
        // What is unique in `first` is unique in `serial` already, which is looked at after it.
        let first = |item: &Item| item.value == 0;
        let holder = self.state.values().find(|(other, ..)| {
            other.id != item.id && other.serial.is_some() && other.serial == item.serial
        });
        let unchanged = before.as_ref().is_some_and(|(old, ..)| *old == item);
        match result {
            Err(WriteError::Conflict { .. }) => assert!(conflict),
            Err(WriteError::AlreadyExists { .. }) => {
                assert!(exists == Some(false) && before.is_some());
            }
            Err(WriteError::NotFound { .. }) => assert!(exists == Some(true) && before.is_none()),
            Err(WriteError::NotUnique { index, .. }) => {
                let (other, ..) = holder.unwrap();
                let both = first(other) && first(&item) && other.group == item.group;
                assert_eq!(index, if both { "first" } else { "serial" });
                assert!(!unchanged);
            }
            Err(error) => panic!("{error}"),
            Ok(previous) => {
                assert!(!conflict && exists.is_none_or(|exists| exists == before.is_some()));
                assert_eq!(previous.as_ref().map(stored), before);
                if !unchanged {
                    assert!(holder.is_none());
                    let created = before.map_or(self.index, |(_, created, _)| created);
                    self.state
                        .insert(item.id.clone(), (item, created, self.index));
                }
            }
        }
    }

    /// The net changes so far are the difference to the beginning of the entry.
    pub(crate) fn check_changes(&self) {
        let changes = self.txn.changes();
        let mut told = BTreeSet::new();
        for change in changes.items() {
            let id = &change.after.or(change.before).unwrap().id;
            assert!(told.insert(id.clone()));
            assert_eq!(change.before.map(stored).as_ref(), self.began.get(id));
            assert_eq!(change.after.map(stored).as_ref(), self.state.get(id));
        }
        let ids = self.began.keys().chain(self.state.keys());
        let differ = ids.filter(|id| self.began.get(*id) != self.state.get(*id));
        assert!(differ.into_iter().all(|id| told.contains(id)));
    }

    pub(crate) fn change(&mut self, id: &str, value: u8) {
        let changed = self.state.get(id).map(|(item, ..)| Item {
            value,
            ..item.clone()
        });
        // What is refused, and when, is as for an update.
        let savepoint = self.txn.savepoint();
        let before = self.state.clone();
        let by_update = changed
            .as_ref()
            .map(|item| self.txn.items_mut().update(item.clone()));
        self.txn.rollback_to(savepoint);
        let result = self
            .txn
            .items_mut()
            .update_with(id, |item| item.value = value);
        match by_update {
            None => assert!(matches!(result, Err(WriteError::NotFound { .. }))),
            Some(by_update) => {
                assert_eq!(result, by_update);
                if let (Ok(previous), Some(item)) = (result, changed) {
                    assert_eq!(stored(&previous), before[id]);
                    if *previous != item {
                        let stored = (item, before[id].1, self.index);
                        self.state.insert(id.to_owned(), stored);
                    }
                }
            }
        }
        let renamed = self
            .txn
            .items_mut()
            .update_with(id, |item| item.id.push('z'));
        assert!(matches!(
            renamed,
            Err(WriteError::KeyChanged { .. } | WriteError::NotFound { .. })
        ));
    }

    pub(crate) fn delete_all(
        &mut self,
        which: impl Fn(&Item) -> bool,
        delete: impl FnOnce(TableWriter<'_, Item>) -> Result<Vec<Row<Item>>, WriteError>,
    ) {
        let deleted = delete(self.txn.items_mut()).unwrap();
        let mut deleted: Vec<_> = deleted.iter().map(stored).collect();
        deleted.sort_by_key(|(item, ..)| item.id.clone());
        let expected = self.state.values().filter(|(item, ..)| which(item));
        assert!(deleted.iter().eq(expected));
        self.state.retain(|_, (item, ..)| !which(item));
    }

    pub(crate) fn delete(&mut self, id: &str, expected: Option<Expected>) {
        let before = self.state.get(id).cloned();
        let Some(expected) = expected else {
            let previous = self.txn.items_mut().delete(id).unwrap();
            assert_eq!(previous.as_ref().map(stored), before);
            self.state.remove(id);
            return;
        };
        let index = self.expected(id, expected);
        let modified = before.as_ref().map_or(0, |(_, _, modified)| *modified);
        match self.txn.items_mut().delete_if(id, LogIndex(index)) {
            Ok(previous) => {
                assert_eq!(index, modified);
                assert_eq!(Some(stored(&previous)), before);
                self.state.remove(id);
            }
            Err(WriteError::Conflict { .. }) => assert_ne!(index, modified),
            Err(WriteError::NotFound { .. }) => assert!(before.is_none() && index == 0),
            Err(error) => panic!("{error}"),
        }
    }
}
