//! What the crate does with a table whose record type is not at hand: changed keys for the
//! watches, stamps for tracked reads, and rows to and from bytes for images.

use std::any::TypeId;
use std::marker::PhantomData;

use super::core::Root;
use super::derive::Derivation;
use super::intake::{Intake, intake};
use super::keys::{entry_key, for_each_only_in, index_keys};
use super::operate::{At, Must};
use super::rules;
use super::txn::Txn;
use super::view::{RawView, Readable};
use crate::feed::{Replaced, TableChanges};
use crate::key::{Key, KeyBuf, KeySink, Show};
#[cfg(feature = "json")]
use crate::key::{TextColumns, Unread};
use crate::position::LogIndex;
use crate::schema::{OnDelete, Row, Table};
use crate::store::{KeyText, WriteError};
use crate::tree::{self, NodeStamp, RawTree, Stamp, Tree};
use crate::version::{Edition, Version};
use crate::watch::Scope;

/// One table of a schema, its record type erased. Made by [`table_ops`]; only this crate
/// implements it.
#[expect(private_bounds, reason = "what it does is this crate's own business")]
pub trait TableOps: Erased {
    /// The table's name.
    fn name(&self) -> &'static str;
}

/// The operations of a table with records `T`, for `Schema::tables`.
pub fn table_ops<T: Table + Readable>() -> Box<dyn TableOps> {
    Box::new(Typed::<T>(PhantomData))
}

/// What is declared of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexInfo {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [&'static str],
    pub(crate) parts: &'static [&'static str],
    pub(crate) when: Option<&'static str>,
    pub(crate) unique: bool,
    pub(crate) each: bool,
    /// The table it refers to, and what a deletion there does.
    pub(crate) references: Option<(&'static str, Follow)>,
}

/// What the deletion of a record does to those that refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    Restrict,
    Cascade,
    SetNull,
}

/// A row whose type is not at hand.
pub(crate) trait AnyRow {
    fn create_index(&self) -> LogIndex;
    fn modify_index(&self) -> LogIndex;
    /// The record as serde writes it.
    #[cfg(feature = "json")]
    fn json(&self) -> Result<serde_json::Value, serde_json::Error>;
    /// Appends the record as a `MessagePack` map with named fields.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), rmp_serde::encode::Error>;
    /// Whether these bytes are a record of the row's type.
    fn reads(&self, bytes: &[u8]) -> Result<(), rmp_serde::decode::Error>;
}

impl<T: Table> AnyRow for Row<T> {
    fn create_index(&self) -> LogIndex {
        Row::create_index(self)
    }

    fn modify_index(&self) -> LogIndex {
        Row::modify_index(self)
    }

    #[cfg(feature = "json")]
    fn json(&self) -> Result<serde_json::Value, serde_json::Error> {
        let record: &T = self;
        serde_json::to_value(record)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), rmp_serde::encode::Error> {
        let record: &T = self;
        record.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())
    }

    fn reads(&self, bytes: &[u8]) -> Result<(), rmp_serde::decode::Error> {
        rmp_serde::from_slice::<T>(bytes).map(drop)
    }
}

/// See [`TableOps`]. `base` is always the table's first tree.
pub(crate) trait Erased: Send + Sync {
    /// Its record type.
    fn record(&self) -> TypeId;
    /// The tables that it refers to, or is derived from: that in words, the name, and the record type.
    fn others(&self) -> Vec<(&'static str, &'static str, TypeId)>;
    /// Names of all fields, as serialized.
    fn fields(&self) -> &'static [&'static str];
    /// Whether images leave it out.
    fn is_local(&self) -> bool;
    /// The version of its records.
    fn version(&self) -> u32;
    /// The oldest version that can be read.
    fn oldest_version(&self) -> u32 {
        let before = u32::try_from(self.earlier().len()).unwrap_or(u32::MAX);
        self.version().saturating_sub(before)
    }
    /// Of each version before that can be read, the newest first, the fields, if that is known.
    fn earlier(&self) -> Vec<Option<&'static [&'static str]>>;
    /// The types of the fields, as written.
    fn types(&self) -> &'static [&'static str];
    /// The names of its checks.
    fn checks(&self) -> Vec<&'static str>;
    /// Other names of fields, each with the one in `fields`.
    fn aliases(&self) -> &'static [(&'static str, &'static str)];
    /// Names of the primary key's fields.
    fn primary_key(&self) -> &'static [&'static str];
    /// How many trees it has: one by primary key and one for each index.
    fn trees(&self) -> usize;
    /// Index number `i`, if there is one.
    fn index(&self, i: usize) -> Option<IndexInfo>;
    /// How the keys of the table's tree number `which` (0: the primary one) are shown, and, if they have
    /// primary keys after them, those.
    fn shows(&self, which: usize) -> (Show, Option<Show>);
    /// The names of the tables it is derived from.
    fn sources(&self) -> Vec<&'static str>;
    /// Writes what follows from these changes of its source number `number`.
    fn derive(
        &self,
        view: &mut RawView,
        at: At,
        number: usize,
        changes: &dyn TableChanges,
    ) -> Result<(), WriteError>;
    /// Its next records, at most so many, from the key `from` on, as if they were inserted just now;
    /// `from` is then where to go on.
    fn rows_from(
        &self,
        txn: &Txn,
        base: usize,
        from: &mut Vec<u8>,
        most: usize,
    ) -> Box<dyn TableChanges>;
    /// Whether it has a record with this primary key.
    fn has(&self, txn: &Txn, at: At, primary: &[u8]) -> bool;
    /// The primary keys of the records that have this key in index number `i`.
    fn referring(&self, txn: &Txn, at: At, i: usize, key: &[u8]) -> Vec<KeyBuf>;
    /// The first of them.
    fn first_referring(&self, txn: &Txn, at: At, i: usize, key: &[u8]) -> Option<KeyBuf>;
    /// The primary keys of the records that have a key in index number `i` which is not `there`.
    fn referring_to_none(
        &self,
        txn: &Txn,
        at: At,
        i: usize,
        there: &dyn Fn(&[u8]) -> bool,
    ) -> Vec<KeyBuf>;
    /// Takes a record away, and what its own deletion does to others not into account.
    fn delete(&self, txn: &mut Txn, at: At, primary: &[u8]) -> Result<bool, WriteError>;
    /// Takes the reference that is index number `i` away from a record.
    fn set_null(&self, txn: &mut Txn, at: At, i: usize, primary: &[u8]) -> Result<(), WriteError>;
    /// Tests the rules of the schema on what these operations of the running entry have left.
    fn verify(&self, txn: &Txn, at: At, changes: &dyn TableChanges) -> Result<(), WriteError>;
    /// Appends its trees, empty, in order.
    fn empty_trees(&self, out: &mut Vec<RawTree>);

    /// The records by primary key.
    fn rows<'v>(
        &self,
        version: &'v Version<Root>,
        base: usize,
    ) -> Box<dyn Iterator<Item = &'v dyn AnyRow> + 'v>;

    /// The records of the entries of tree number `tree` of the store whose keys begin so; with `onward`,
    /// of all from the first on that is no less.
    #[cfg(feature = "json")]
    fn rows_at<'v>(
        &self,
        version: &'v Version<Root>,
        tree: usize,
        key: &[u8],
        onward: bool,
    ) -> Box<dyn Iterator<Item = &'v dyn AnyRow> + 'v>;

    /// Appends the key of the table's tree number `which` (0: the primary one) with these texts.
    #[cfg(feature = "json")]
    fn encode_columns(
        &self,
        which: usize,
        columns: &mut TextColumns<'_>,
        out: &mut KeyBuf,
    ) -> Result<(), Unread>;

    /// The index of what `scope` covers of tree `tree`.
    fn stamp(&self, version: &Version<Root>, tree: usize, scope: &Scope) -> Stamp;
    /// The same of a transaction's working state.
    fn stamp_in(&self, txn: &Txn, tree: usize, scope: &Scope) -> Stamp;
    /// Every key of the table's tree number `which` (0: the primary one) that `changes` touched.
    fn changed_keys(&self, changes: &dyn TableChanges, which: usize, f: &mut dyn FnMut(&[u8]));

    /// Empties all its trees; their stamps begin at `stamp`.
    fn reset(&self, edition: &mut Edition<Root>, base: usize, stamp: Stamp);
    /// Takes in records of the version that is so many before the present one, for its trees, which
    /// must be empty.
    fn intake(&self, before: usize) -> Box<dyn Intake>;
    /// Every key of a tree, in order, with its record's modify index.
    fn entries(&self, version: &Version<Root>, tree: usize, f: &mut dyn FnMut(&[u8], Stamp));
    /// The same of an edition.
    fn new_entries(&self, edition: &Edition<Root>, tree: usize, f: &mut dyn FnMut(&[u8], Stamp));
    /// The stamps of the nodes of the table's tree number `tree` of the version.
    fn stamps(&self, version: &Version<Root>, tree: usize) -> Vec<NodeStamp>;
    /// Gives the nodes of a tree their stamps; false if they are impossible (the edition is then
    /// to be dropped).
    fn set_stamps(
        &self,
        edition: &mut Edition<Root>,
        tree: usize,
        stamps: &[NodeStamp],
        max: Stamp,
    ) -> bool;

    /// Whether every index holds exactly what the records say. For tests.
    fn check(&self, version: &Version<Root>, base: usize) -> Result<(), String>;
}

struct Typed<T>(PhantomData<fn() -> T>);

impl<T: Table + Readable> TableOps for Typed<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }
}

/// The primary key of `row`.
fn primary_key<T: Table>(row: &Row<T>) -> KeyBuf {
    let mut primary = KeyBuf::new();
    row.encode_key(&mut primary);
    primary
}

/// The records that have this key in index number `i`.
fn referring<'t, T: Table>(txn: &'t Txn, at: At, i: usize, key: &[u8]) -> tree::Range<'t, Row<T>> {
    let tree = txn.edition.tree::<Row<T>>(at.base + 1 + i);
    // Keys are self-delimiting: the entries that begin with one are the entries of that key.
    tree.prefix(key)
}

/// The index of what `scope` covers of `tree`.
pub(super) fn scope_stamp<T: Table>(tree: Tree<'_, Row<T>>, scope: &Scope) -> Stamp {
    match scope {
        Scope::Point(key) => match tree.get(key.as_bytes()) {
            Some(row) => row.modify_index().0,
            None => tree.absent_stamp(key.as_bytes()),
        },
        Scope::Prefix(prefix) => tree.prefix_stamp(prefix.as_bytes()),
        Scope::Range(range) if range.is_empty() => 0,
        Scope::Range(range) => {
            tree.range_stamp(range.lo.as_bytes(), range.hi.as_ref().map(KeyBuf::as_bytes))
        }
    }
}

/// Every key of `tree`, in order, with its record's modify index.
fn for_each_entry<T: Table>(tree: Tree<'_, Row<T>>, f: &mut dyn FnMut(&[u8], Stamp)) {
    let mut entries = tree.entries();
    while let Some((key, row)) = entries.next() {
        f(key, row.modify_index().0);
    }
}

impl<T: Table + Readable> Erased for Typed<T> {
    fn record(&self) -> TypeId {
        TypeId::of::<T>()
    }

    fn others(&self) -> Vec<(&'static str, &'static str, TypeId)> {
        let references = T::INDEXES.iter().filter_map(|index| index.references);
        let targets = references.map(|to| ("refers to", to.table, (to.record)()));
        let sources = T::DERIVATIONS
            .iter()
            .map(|from| ("is derived from", from.source(), from.record()));
        targets.chain(sources).collect()
    }

    fn fields(&self) -> &'static [&'static str] {
        T::FIELDS
    }

    fn is_local(&self) -> bool {
        T::LOCAL
    }

    fn version(&self) -> u32 {
        T::VERSION
    }

    fn earlier(&self) -> Vec<Option<&'static [&'static str]>> {
        let fields = T::EARLIER.iter().map(|earlier| (earlier.fields)());
        fields.collect()
    }

    fn types(&self) -> &'static [&'static str] {
        T::TYPES
    }

    fn checks(&self) -> Vec<&'static str> {
        T::CHECKS.iter().map(|check| check.name).collect()
    }

    fn aliases(&self) -> &'static [(&'static str, &'static str)] {
        T::ALIASES
    }

    fn primary_key(&self) -> &'static [&'static str] {
        T::PRIMARY_KEY
    }

    fn trees(&self) -> usize {
        1 + T::INDEXES.len()
    }

    fn shows(&self, which: usize) -> (Show, Option<Show>) {
        match which.checked_sub(1) {
            None => (T::Key::show, None),
            Some(i) => {
                let index = &T::INDEXES[i];
                (index.show, (!index.unique).then_some(T::Key::show))
            }
        }
    }

    fn index(&self, i: usize) -> Option<IndexInfo> {
        T::INDEXES.get(i).map(|index| IndexInfo {
            name: index.name,
            fields: index.fields,
            parts: index.parts,
            when: index.when,
            unique: index.unique,
            each: index.each,
            references: index.references.map(|reference| {
                let follow = match reference.on_delete {
                    OnDelete::Restrict => Follow::Restrict,
                    OnDelete::Cascade => Follow::Cascade,
                    OnDelete::SetNull(_) => Follow::SetNull,
                };
                (reference.table, follow)
            }),
        })
    }

    fn sources(&self) -> Vec<&'static str> {
        T::DERIVATIONS.iter().map(Derivation::source).collect()
    }

    fn derive(
        &self,
        view: &mut RawView,
        at: At,
        number: usize,
        changes: &dyn TableChanges,
    ) -> Result<(), WriteError> {
        T::DERIVATIONS[number].run(view, at, changes)
    }

    fn rows_from(
        &self,
        txn: &Txn,
        base: usize,
        from: &mut Vec<u8>,
        most: usize,
    ) -> Box<dyn TableChanges> {
        let rows = txn.edition.tree::<Row<T>>(base).range(from, None);
        let found: Vec<_> = rows.take(most).cloned().collect();
        if let Some(last) = found.last() {
            let mut key = KeyBuf::new();
            last.encode_key(&mut key);
            // The least key after it.
            key.push(0);
            *from = key.as_bytes().to_vec();
        }
        <dyn TableChanges>::insertions(found.into_iter())
    }

    fn has(&self, txn: &Txn, at: At, primary: &[u8]) -> bool {
        txn.edition.tree::<Row<T>>(at.base).get(primary).is_some()
    }

    fn referring(&self, txn: &Txn, at: At, i: usize, key: &[u8]) -> Vec<KeyBuf> {
        referring::<T>(txn, at, i, key).map(primary_key).collect()
    }

    fn first_referring(&self, txn: &Txn, at: At, i: usize, key: &[u8]) -> Option<KeyBuf> {
        referring::<T>(txn, at, i, key).next().map(primary_key)
    }

    fn referring_to_none(
        &self,
        txn: &Txn,
        at: At,
        i: usize,
        there: &dyn Fn(&[u8]) -> bool,
    ) -> Vec<KeyBuf> {
        let mut keys = KeySink::new();
        let refers_to_none = |row: &&Row<T>| {
            index_keys::<T>(i, row, &mut keys);
            keys.iter().any(|key| !there(key))
        };
        let rows = txn.edition.tree::<Row<T>>(at.base).iter();
        rows.filter(refers_to_none).map(primary_key).collect()
    }

    fn delete(&self, txn: &mut Txn, at: At, primary: &[u8]) -> Result<bool, WriteError> {
        let taken = txn.take::<T>(at, |out| out.extend(primary), None)?;
        Ok(taken.is_some())
    }

    fn set_null(&self, txn: &mut Txn, at: At, i: usize, primary: &[u8]) -> Result<(), WriteError> {
        let row = txn.edition.tree::<Row<T>>(at.base).get(primary).cloned();
        if let (Some(row), Some(reference)) = (row, T::INDEXES[i].references)
            && let OnDelete::SetNull(without) = reference.on_delete
        {
            txn.put(at, without(&row), Must::Exist, None)?;
        }
        Ok(())
    }

    fn verify(&self, txn: &Txn, at: At, changes: &dyn TableChanges) -> Result<(), WriteError> {
        rules::verify::<T>(txn, at, changes.typed::<T>())
    }

    fn empty_trees(&self, out: &mut Vec<RawTree>) {
        out.extend((0..self.trees()).map(|_| RawTree::empty::<Row<T>>(0)));
    }

    fn rows<'v>(
        &self,
        version: &'v Version<Root>,
        base: usize,
    ) -> Box<dyn Iterator<Item = &'v dyn AnyRow> + 'v> {
        Box::new(
            version
                .tree::<Row<T>>(base)
                .iter()
                .map(|row| row as &dyn AnyRow),
        )
    }

    #[cfg(feature = "json")]
    fn rows_at<'v>(
        &self,
        version: &'v Version<Root>,
        tree: usize,
        key: &[u8],
        onward: bool,
    ) -> Box<dyn Iterator<Item = &'v dyn AnyRow> + 'v> {
        let tree = version.tree::<Row<T>>(tree);
        let rows = if onward {
            tree.range(key, None)
        } else {
            tree.prefix(key)
        };
        Box::new(rows.map(|row| row as &dyn AnyRow))
    }

    #[cfg(feature = "json")]
    fn encode_columns(
        &self,
        which: usize,
        columns: &mut TextColumns<'_>,
        out: &mut KeyBuf,
    ) -> Result<(), Unread> {
        match which.checked_sub(1) {
            None => T::Key::encode_columns(columns, out),
            Some(i) => (T::INDEXES[i].text)(columns, out),
        }
    }

    fn stamp(&self, version: &Version<Root>, tree: usize, scope: &Scope) -> Stamp {
        scope_stamp(version.tree::<Row<T>>(tree), scope)
    }

    fn stamp_in(&self, txn: &Txn, tree: usize, scope: &Scope) -> Stamp {
        scope_stamp(txn.edition.tree::<Row<T>>(tree), scope)
    }

    fn changed_keys(&self, changes: &dyn TableChanges, which: usize, f: &mut dyn FnMut(&[u8])) {
        let mut primary = KeyBuf::new();
        let Some(i) = which.checked_sub(1) else {
            for Replaced { before, after } in changes.typed::<T>() {
                if let Some(row) = after.as_ref().or(before.as_ref()) {
                    primary.clear();
                    row.encode_key(&mut primary);
                    f(primary.as_bytes());
                }
            }
            return;
        };
        let mut entry = KeyBuf::new();
        let (mut before, mut after) = (KeySink::new(), KeySink::new());
        for Replaced {
            before: old,
            after: new,
        } in changes.typed::<T>()
        {
            let Some(row) = new.as_ref().or(old.as_ref()) else {
                continue;
            };
            primary.clear();
            row.encode_key(&mut primary);
            before.clear();
            after.clear();
            if let Some(old) = old {
                index_keys::<T>(i, old, &mut before);
            }
            if let Some(new) = new {
                index_keys::<T>(i, new, &mut after);
            }
            let unique = T::INDEXES[i].unique;
            // Most changes keep most keys: each is named once.
            for_each_only_in(&before, &after, |key| {
                entry_key(unique, key, primary.as_bytes(), &mut entry);
                f(entry.as_bytes());
            });
            for key in after.iter() {
                entry_key(unique, key, primary.as_bytes(), &mut entry);
                f(entry.as_bytes());
            }
        }
    }

    fn reset(&self, edition: &mut Edition<Root>, base: usize, stamp: Stamp) {
        for tree in base..base + self.trees() {
            edition.reset(tree, stamp);
        }
    }

    fn intake(&self, before: usize) -> Box<dyn Intake> {
        intake::<T>(before)
    }

    fn entries(&self, version: &Version<Root>, tree: usize, f: &mut dyn FnMut(&[u8], Stamp)) {
        for_each_entry(version.tree::<Row<T>>(tree), f);
    }

    fn new_entries(&self, edition: &Edition<Root>, tree: usize, f: &mut dyn FnMut(&[u8], Stamp)) {
        for_each_entry(edition.tree::<Row<T>>(tree), f);
    }

    fn stamps(&self, version: &Version<Root>, tree: usize) -> Vec<NodeStamp> {
        version.tree::<Row<T>>(tree).stamps()
    }

    fn set_stamps(
        &self,
        edition: &mut Edition<Root>,
        tree: usize,
        stamps: &[NodeStamp],
        max: Stamp,
    ) -> bool {
        edition.set_stamps(tree, stamps, max)
    }

    fn check(&self, version: &Version<Root>, base: usize) -> Result<(), String> {
        let mut entries = vec![0_u64; T::INDEXES.len()];
        let (mut primary, mut entry) = (KeyBuf::new(), KeyBuf::new());
        let mut keys = KeySink::new();
        let mut rows = version.tree::<Row<T>>(base).entries();
        while let Some((stored, row)) = rows.next() {
            primary.clear();
            row.encode_key(&mut primary);
            if stored != primary.as_bytes() {
                return Err(format!(
                    "{}: a record is stored under another's key",
                    T::NAME
                ));
            }
            for (i, index) in T::INDEXES.iter().enumerate() {
                index_keys::<T>(i, row, &mut keys);
                for key in keys.iter() {
                    entry_key(index.unique, key, primary.as_bytes(), &mut entry);
                    let found = version.tree::<Row<T>>(base + 1 + i).get(entry.as_bytes());
                    if !found
                        .is_some_and(|found| std::ptr::eq(&raw const **found, &raw const **row))
                    {
                        let key =
                            KeyText::beginning(entry.as_bytes(), index.show, Some(T::Key::show));
                        return Err(format!("{}.{}: entry {key} is wrong", T::NAME, index.name));
                    }
                    entries[i] += 1;
                }
            }
        }
        for (i, index) in T::INDEXES.iter().enumerate() {
            let len = version.tree::<Row<T>>(base + 1 + i).len();
            if len != entries[i] {
                let wanted = entries[i];
                return Err(format!(
                    "{}.{}: {len} entries, not {wanted}",
                    T::NAME,
                    index.name
                ));
            }
        }
        Ok(())
    }
}
