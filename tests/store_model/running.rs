//! A running transaction and its model.

use crate::item::Item;
use crate::op::{Expected, How, Op};
use crate::own::Note;
use crate::part::Part;
use crate::query::Query;
use crate::rules;
use crate::site::Site;
use crate::state::{Entry, Model, Shop, ShopChanges, State, stored};
use highwater::{Change, CommitError, LogIndex, Row, Snapshot, WriteError, WriteTxn};
use std::collections::{BTreeMap, BTreeSet};

/// One write to a table.
enum Write<T: Model> {
    Insert(T),
    Update(T),
    Upsert(T),
    UpsertIf(T, LogIndex),
    UpdateIf(T, LogIndex),
    Delete(T::Key),
    DeleteIf(T::Key, LogIndex),
    Clear,
    InsertAll(Vec<T>),
}

/// The rows that were there, of those it was about.
type Written<T> = Result<Vec<Row<T>>, WriteError>;

/// A table that is written.
trait Writable: Model {
    fn write(txn: &mut WriteTxn<Shop>, write: Write<Self>) -> Written<Self>;
}

macro_rules! writable {
    ($($record:ty: $table:ident),*) => {$(
        impl Writable for $record {
            fn write(txn: &mut WriteTxn<Shop>, write: Write<Self>) -> Written<Self> {
                let mut table = txn.$table();
                let row = match write {
                    Write::Insert(record) => table.insert(record).map(|()| None),
                    Write::Update(record) => table.update(record).map(Some),
                    Write::Upsert(record) => table.upsert(record),
                    Write::UpsertIf(record, index) => table.upsert_if(record, index),
                    Write::UpdateIf(record, index) => table.update_if(record, index).map(Some),
                    Write::Delete(id) => table.delete(&id),
                    Write::DeleteIf(id, index) => table.delete_if(&id, index).map(Some),
                    Write::Clear => return table.delete_where(|_| true),
                    Write::InsertAll(records) => table.insert_all(records).map(|()| None),
                };
                row.map(Vec::from_iter)
            }
        }
    )*};
}
writable!(Item: items_mut, Site: sites_mut, Part: parts_mut, Note: notes_mut);

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
            Op::PutSite(how, site) => self.put(how, site),
            Op::PutPart(how, part) => self.put(how, part),
            Op::PutNote(how, note) => self.put(how, note),
            Op::Touch(id, value) => {
                if let Some((item, ..)) = self.state.items.get(&id) {
                    let item = Item {
                        value,
                        ..item.clone()
                    };
                    self.put(How::Update, item);
                }
            }
            Op::Change(id, value) => self.change(&id, value),
            Op::DeletePrefix(prefix) => self.delete_all(
                |item: &Item| item.id.starts_with(&prefix),
                |txn| txn.items_mut().delete_prefix(&prefix),
            ),
            Op::DeleteTagged(tag) => self.delete_all(
                |item: &Item| item.tags.iter().any(|other| other.starts_with(&tag)),
                |txn| {
                    txn.items_mut()
                        .delete_query(|items| items.tags_index().prefix(&tag))
                },
            ),
            Op::DeleteWhere(value) => self.delete_all(
                |item: &Item| item.value == value,
                |txn| txn.items_mut().delete_where(|item| item.value == value),
            ),
            Op::DeleteSites(lo) => self.delete_all(
                |site: &Site| site.rank >= lo,
                |txn| txn.sites_mut().delete_where(|site| site.rank >= lo),
            ),
            Op::DeleteShelf(on) => self.delete_all(
                |part: &Part| part.shelf == on,
                |txn| txn.parts_mut().delete_query(|parts| parts.leading(on)),
            ),
            Op::DeleteMarked(mark) => self.delete_all(
                |part: &Part| part.marks.contains(&mark) && !part.colors.is_empty(),
                |txn| {
                    txn.parts_mut()
                        .delete_query(|parts| parts.mark_color_index().leading(mark))
                },
            ),
            Op::Delete(id, expected) => self.delete::<Item>(&id, expected),
            Op::DeleteSite(id, expected) => self.delete::<Site>(&id, expected),
            Op::DeletePart(id, expected) => self.delete::<Part>(&id, expected),
            Op::DeleteNote(id, expected) => self.delete::<Note>(&id, expected),
            Op::InsertItems(clear, items) => self.insert_all(clear, items),
            Op::InsertSites(clear, sites) => self.insert_all(clear, sites),
            Op::InsertParts(clear, parts) => self.insert_all(clear, parts),
            Op::Mend => self.mend(),
            _ => unreachable!("not a write: {op:?}"),
        }
        self.wrote |= self.state != before;
    }

    /// Deletes what breaks a rule, until nothing does.
    pub(crate) fn mend(&mut self) {
        loop {
            if let Some((id, _)) = rules::items(&self.state).pop() {
                self.delete::<Item>(&id, None);
            } else if let Some((id, _)) = rules::sites(&self.state).pop() {
                self.delete::<Site>(&id, None);
            } else if let Some((id, _)) = rules::parts(&self.state).pop() {
                self.delete::<Part>(&id, None);
            } else {
                return;
            }
        }
    }

    /// Ends the entry and begins the next, unless a rule is broken: then it goes on.
    pub(crate) fn next_entry(&mut self, gap: u64) {
        let result = self.txn.next_entry(LogIndex(self.index + gap));
        // What is derived is there in either case.
        self.derived();
        let broken = rules::broken(&self.state);
        match result {
            Ok(()) => {
                assert!(broken.is_empty(), "{broken:?}");
                self.end_entry();
                self.index += gap;
                self.counted = false;
            }
            Err(CommitError::RuleBroken(error)) => {
                let told = broken.iter().any(|broken| broken.is_told_by(&error));
                assert!(told, "{error}: {broken:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// What is derived has been written.
    fn derived(&mut self) {
        let before = self.state.clone();
        self.state
            .derived(State::read(&self.txn).tallies, self.index);
        self.wrote |= self.state != before;
    }

    /// A snapshot of what was written so far, and what it is to be.
    pub(crate) fn see(&mut self) -> (Snapshot<Shop>, State) {
        let snap = self.txn.snapshot().unwrap();
        assert_eq!(snap.index(), LogIndex(self.index));
        self.derived();
        (snap, self.state.clone())
    }

    pub(crate) fn end_entry(&mut self) {
        self.ended
            .push((self.index, self.began.changed(&self.state)));
        self.began = self.state.clone();
        self.savepoints.clear();
    }

    fn modified<T: Model>(&self, id: &T::Key) -> u64 {
        let found = T::rows(&self.state).get(id);
        found.map_or(0, |(_, _, modified)| *modified)
    }

    fn expected<T: Model>(&self, id: &T::Key, expected: Expected) -> u64 {
        match expected {
            Expected::Right => self.modified::<T>(id),
            Expected::Wrong => self.modified::<T>(id) + 1,
            Expected::Absent => 0,
        }
    }

    fn put<T: Writable>(&mut self, how: How, record: T) {
        let id = record.id();
        let before = T::rows(&self.state).get(&id).cloned();
        let modified = self.modified::<T>(&id);
        let new = record.clone();
        let index = match how {
            How::UpsertIf(expected) | How::UpdateIf(expected) => self.expected::<T>(&id, expected),
            How::Insert | How::Update | How::Upsert => modified,
        };
        let (exists, write) = match how {
            How::Insert => (Some(false), Write::Insert(new)),
            How::Update => (Some(true), Write::Update(new)),
            How::Upsert => (None, Write::Upsert(new)),
            How::UpsertIf(_) => (None, Write::UpsertIf(new, LogIndex(index))),
            How::UpdateIf(_) => (Some(true), Write::UpdateIf(new, LogIndex(index))),
        };
        let conflict = index != modified;
        let unchanged = before.as_ref().is_some_and(|(old, ..)| *old == record);
        match T::write(&mut self.txn, write) {
            Err(WriteError::Conflict { .. }) => assert!(conflict),
            Err(WriteError::AlreadyExists { .. }) => {
                assert!(exists == Some(false) && before.is_some());
            }
            Err(WriteError::NotFound { .. }) => assert!(exists == Some(true) && before.is_none()),
            Err(WriteError::NotUnique { index, .. }) => {
                assert_eq!(self.state.clash(&record), Some(&*index));
                assert!(!unchanged);
            }
            Err(error) => panic!("{error}"),
            Ok(previous) => {
                assert!(!conflict && exists.is_none_or(|exists| exists == before.is_some()));
                assert_eq!(previous.first().map(stored), before);
                if !unchanged {
                    assert_eq!(self.state.clash(&record), None);
                    self.state.put(record, self.index);
                }
            }
        }
    }

    /// What the end of the entry would say of its rules.
    pub(crate) fn check_rules(&self) {
        let broken = rules::broken(&self.state);
        match self.txn.check_rules() {
            Ok(()) => assert!(broken.is_empty(), "{broken:?}"),
            Err(error) => {
                let told = broken.iter().any(|broken| broken.is_told_by(&error));
                assert!(told, "{error}: {broken:?}");
            }
        }
    }

    /// Queries see what was written here.
    pub(crate) fn ask<'q>(&self, queries: impl IntoIterator<Item = &'q Query>) {
        let entries = self.state.entries();
        for query in queries {
            let (expected, _) = query.model(&entries);
            assert_eq!(query.run(&self.txn), expected, "{query:?}");
        }
    }

    /// The net changes so far are the difference to the beginning of the entry.
    pub(crate) fn check_changes(&self) {
        let mut told = self.began.clone();
        follow(&mut told, &self.txn.changes(), None);
        assert_eq!(told, self.state);
    }

    fn change(&mut self, id: &str, value: u8) {
        let changed = self.state.items.get(id).map(|(item, ..)| Item {
            value,
            ..item.clone()
        });
        // What is refused, and when, is as for an update.
        let savepoint = self.txn.savepoint();
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
                    assert_eq!(stored(&previous), self.state.items[id]);
                    if *previous != item {
                        self.state.put(item, self.index);
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

    /// All that are found go, and then what goes with them.
    fn delete_all<T: Model>(
        &mut self,
        which: impl Fn(&T) -> bool,
        delete: impl FnOnce(&mut WriteTxn<Shop>) -> Written<T>,
    ) {
        let deleted = delete(&mut self.txn).unwrap();
        let deleted: BTreeMap<_, _> = deleted.iter().map(|row| (row.id(), stored(row))).collect();
        let mut expected = T::rows(&self.state).clone();
        expected.retain(|_, (record, ..)| which(record));
        T::rows_mut(&mut self.state).retain(|_, (record, ..)| !which(record));
        for id in expected.keys() {
            T::follow(&mut self.state, id, self.index);
        }
        assert_eq!(deleted, expected);
    }

    fn delete<T: Writable>(&mut self, id: &T::Key, expected: Option<Expected>) {
        let before = T::rows(&self.state).get(id).cloned();
        let Some(expected) = expected else {
            let previous = T::write(&mut self.txn, Write::Delete(id.clone())).unwrap();
            assert_eq!(previous.first().map(stored), before);
            self.state.delete::<T>(id, self.index);
            return;
        };
        let index = self.expected::<T>(id, expected);
        let modified = self.modified::<T>(id);
        match T::write(&mut self.txn, Write::DeleteIf(id.clone(), LogIndex(index))) {
            Ok(previous) => {
                assert_eq!(index, modified);
                assert_eq!(previous.first().map(stored), before);
                self.state.delete::<T>(id, self.index);
            }
            Err(WriteError::Conflict { .. }) => assert_ne!(index, modified),
            Err(WriteError::NotFound { .. }) => assert!(before.is_none() && index == 0),
            Err(error) => panic!("{error}"),
        }
    }

    fn insert_all<T: Writable>(&mut self, clear: bool, records: Vec<T>) {
        if clear {
            self.delete_all(|_| true, |txn| T::write(txn, Write::Clear));
        }
        let mut after = self.state.clone();
        let mut refused = None;
        for record in &records {
            if T::rows(&after).contains_key(&record.id()) {
                refused = Some(None);
            } else if let Some(index) = after.clash(record) {
                refused = Some(Some(index));
            }
            if refused.is_some() {
                break;
            }
            after.put(record.clone(), self.index);
        }
        match T::write(&mut self.txn, Write::InsertAll(records)) {
            Ok(_) => {
                assert_eq!(refused, None);
                self.state = after;
            }
            Err(WriteError::AlreadyExists { .. }) => assert_eq!(refused, Some(None)),
            Err(WriteError::NotUnique { index, .. }) => assert_eq!(refused, Some(Some(&*index))),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Does to a state what changes say, each of which is told once and begins with what is there. They are of
/// one entry, with this index if it is known.
pub(crate) fn follow(state: &mut State, changes: &ShopChanges, index: Option<LogIndex>) {
    fn table<'a, T: Model>(
        state: &mut State,
        changes: impl Iterator<Item = Change<'a, T>>,
        index: Option<LogIndex>,
    ) {
        let rows = T::rows_mut(state);
        let mut told = BTreeSet::new();
        for change in changes {
            let id = change.after.or(change.before).unwrap().id();
            let before = match change.after {
                Some(row) => {
                    assert!(index.is_none_or(|index| row.modify_index() == index));
                    rows.insert(id.clone(), stored(row))
                }
                None => rows.remove(&id),
            };
            assert_eq!(change.before.map(stored), before);
            assert!(told.insert(id), "told twice");
        }
    }
    table::<Item>(state, changes.items(), index);
    table(state, changes.tallies(), index);
    table(state, changes.sites(), index);
    table(state, changes.parts(), index);
    table(state, changes.notes(), index);
}
