//! Ordered maps with indexes kept by hand: one text for every ordered map with the interface of
//! `std`'s, since they differ in nothing but the map.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::record::Record;

/// What an index has under a key and an id.
pub(super) trait Entry<R>: Clone + Debug {
    /// Whether it is the record, and so has to be replaced with it.
    const IS_RECORD: bool;
    /// The entry for a record.
    fn of(record: &Arc<R>) -> Self;
    /// The record; `find` finds it by its id.
    fn record<'a>(&'a self, find: impl FnOnce() -> &'a Arc<R>) -> &'a Arc<R>;
}

impl<R: Record> Entry<R> for Arc<R> {
    const IS_RECORD: bool = true;

    fn of(record: &Arc<R>) -> Self {
        Arc::clone(record)
    }

    fn record<'a>(&'a self, _: impl FnOnce() -> &'a Arc<R>) -> &'a Arc<R> {
        self
    }
}

impl<R: Record> Entry<R> for () {
    const IS_RECORD: bool = false;

    fn of(_: &Arc<R>) -> Self {}

    fn record<'a>(&'a self, find: impl FnOnce() -> &'a Arc<R>) -> &'a Arc<R> {
        find()
    }
}

/// Texts from `start` on. (Opaque, so that a map's `range` takes it for bounds on `str` alone.)
pub(super) fn from(start: &str) -> impl RangeBounds<str> {
    (Bound::Included(start), Bound::Unbounded)
}

/// Defines `Maps`, the primary map and its indexes over the ordered map type `$map`, the indexes with
/// entries of type `$entry`.
///
/// Texts are `Arc<str>`, which the persistent maps copy far faster than `String`, and shared between
/// the maps. Keys that many records share lead to a map of their own; the pair (name, node) is nearly
/// unique, and is one map.
macro_rules! maps {
    ($map:path, $record:ident => $entry:ty) => {
        use std::borrow::Borrow;
        use std::sync::Arc;

        use $map as Map;

        use super::hand_kept::Entry;
        use crate::record::{Record, Service};

        type Id<$record> = <$record as Record>::Id;
        type Groups<$record> = Map<Arc<str>, Map<Id<$record>, $entry>>;

        /// The records, by id and by every index.
        #[derive(Clone, Debug)]
        struct Maps<$record: Record> {
            ids: Map<Id<$record>, Arc<$record>>,
            nodes: Groups<$record>,
            names: Groups<$record>,
            tags: Groups<$record>,
            pairs: Map<(Arc<str>, Arc<str>, Id<$record>), $entry>,
        }

        impl<$record: Record> Default for Maps<$record> {
            fn default() -> Self {
                Self {
                    ids: Map::new(),
                    nodes: Map::new(),
                    names: Map::new(),
                    tags: Map::new(),
                    pairs: Map::new(),
                }
            }
        }

        fn link<$record: Record>(
            groups: &mut Groups<$record>,
            key: &str,
            id: &Id<$record>,
            entry: $entry,
        ) {
            if let Some(group) = groups.get_mut(key) {
                group.insert(id.clone(), entry);
            } else {
                let mut group = Map::new();
                group.insert(id.clone(), entry);
                groups.insert(Arc::from(key), group);
            }
        }

        fn unlink<$record: Record>(groups: &mut Groups<$record>, key: &str, id: &$record::Key) {
            if let Some(group) = groups.get_mut(key) {
                group.remove(id);
                if group.is_empty() {
                    groups.remove(key);
                }
            }
        }

        impl<$record: Record> Maps<$record> {
            fn get(&self, id: &$record::Key, mut see: impl FnMut(&$record)) {
                if let Some(record) = self.ids.get(id) {
                    see(record);
                }
            }

            /// The record with an id that an index has.
            fn kept(&self, id: &Id<$record>) -> &Arc<$record> {
                self.ids
                    .get(id.borrow())
                    .expect("an index leads to records")
            }

            fn scan(&self, mut see: impl FnMut(&$record)) {
                for record in self.ids.values() {
                    see(record);
                }
            }

            fn by_node(&self, node: &str, see: impl FnMut(&$record)) {
                self.see_group(&self.nodes, node, see);
            }

            fn by_name(&self, name: &str, see: impl FnMut(&$record)) {
                self.see_group(&self.names, name, see);
            }

            fn by_tag(&self, tag: &str, see: impl FnMut(&$record)) {
                self.see_group(&self.tags, tag, see);
            }

            fn see_group(
                &self,
                groups: &Groups<$record>,
                key: &str,
                mut see: impl FnMut(&$record),
            ) {
                for (id, entry) in groups.get(key).into_iter().flatten() {
                    see(entry.record(|| self.kept(id)));
                }
            }

            fn by_name_node(&self, name: &str, node: &str, mut see: impl FnMut(&$record)) {
                let from = (Arc::from(name), Arc::from(node), $record::least());
                for ((found_name, found_node, id), entry) in self.pairs.range(from..) {
                    if **found_name != *name || **found_node != *node {
                        break;
                    }
                    see(entry.record(|| self.kept(id)));
                }
            }

            fn upsert(&mut self, record: $record) {
                let record = Arc::new(record);
                let (id, old) = match self.ids.get_key_value(record.key()) {
                    Some((id, old)) => (id.clone(), Some(Arc::clone(old))),
                    None => (record.id(), None),
                };
                let same = old.as_ref().is_some_and(|old| {
                    (old.node(), old.name(), old.tags())
                        == (record.node(), record.name(), record.tags())
                });
                if !same && let Some(old) = &old {
                    self.unlink_changed(old, &record);
                }
                if !same || <$entry as Entry<$record>>::IS_RECORD {
                    self.link(&id, &record);
                }
                self.ids.insert(id, record);
            }

            fn delete(&mut self, id: &$record::Key) -> bool {
                let Some(old) = self.ids.remove(id) else {
                    return false;
                };
                unlink::<$record>(&mut self.nodes, old.node(), id);
                unlink::<$record>(&mut self.names, old.name(), id);
                for tag in old.tags() {
                    unlink::<$record>(&mut self.tags, tag, id);
                }
                self.unlink_pair(&old);
                true
            }

            fn link(&mut self, id: &Id<$record>, record: &Arc<$record>) {
                let entry = || <$entry as Entry<$record>>::of(record);
                link::<$record>(&mut self.nodes, record.node(), id, entry());
                link::<$record>(&mut self.names, record.name(), id, entry());
                for tag in record.tags() {
                    link::<$record>(&mut self.tags, tag, id, entry());
                }
                let pair = (
                    Arc::from(record.name()),
                    Arc::from(record.node()),
                    id.clone(),
                );
                self.pairs.insert(pair, entry());
            }

            fn unlink_changed(&mut self, old: &$record, new: &$record) {
                if old.node() != new.node() {
                    unlink::<$record>(&mut self.nodes, old.node(), old.key());
                }
                if old.name() != new.name() {
                    unlink::<$record>(&mut self.names, old.name(), old.key());
                }
                for tag in old.tags().iter().filter(|tag| !new.tags().contains(tag)) {
                    unlink::<$record>(&mut self.tags, tag, old.key());
                }
                if (old.name(), old.node()) != (new.name(), new.node()) {
                    self.unlink_pair(old);
                }
            }

            fn unlink_pair(&mut self, old: &$record) {
                let pair = (Arc::from(old.name()), Arc::from(old.node()), old.id());
                self.pairs.remove(&pair);
            }
        }

        impl Maps<Service> {
            fn by_prefix(&self, prefix: &str, mut see: impl FnMut(&Service)) {
                for (id, record) in self.ids.range(super::hand_kept::from(prefix)) {
                    if !id.starts_with(prefix) {
                        break;
                    }
                    see(record);
                }
            }
        }
    };
}

/// Defines the system `$name`: [`Maps`](maps) of a persistent map, published by `arc-swap`.
macro_rules! published {
    ($name:ident, $key:literal, $title:literal, $map:literal, $indexes:literal) => {
        use std::sync::Mutex;

        use arc_swap::{ArcSwap, Guard};

        use super::{Prefixes, System};

        #[doc = concat!("`", $map, "` maps behind `arc-swap`.")]
        #[derive(Debug)]
        pub struct $name<R: Record = Service> {
            current: ArcSwap<Maps<R>>,
            /// One writer at a time.
            writer: Mutex<()>,
        }

        /// The maps as they were at some moment.
        #[derive(Debug)]
        pub struct View<R: Record>(Guard<Arc<Maps<R>>>);

        impl<R: Record> $name<R> {
            fn write<T>(&self, edit: impl FnOnce(&mut Maps<R>) -> T) -> T {
                let _one = self.writer.lock().expect("no writer has panicked");
                let mut next = Maps::clone(&self.current.load());
                let result = edit(&mut next);
                self.current.store(Arc::new(next));
                result
            }
        }

        impl<R: Record> System<R> for $name<R> {
            type View<'a> = View<R>;

            const NAME: &'static str = $key;
            const TITLE: &'static str = $title;
            const HOW: &'static str = concat!(
                "`",
                $map,
                "` maps in one struct behind `arc_swap::ArcSwap`. A write clones the struct, edits \
                 the clone, stores it; a read loads it. Records in `Arc`, keys `Arc<str>`; ",
                $indexes,
                "."
            );
            const ENCODES: bool = false;

            fn create() -> Self {
                Self {
                    current: ArcSwap::default(),
                    writer: Mutex::default(),
                }
            }

            fn view(&self) -> View<R> {
                View(self.current.load())
            }

            fn get(view: &Self::View<'_>, id: &R::Key, see: impl FnMut(&R)) {
                view.0.get(id, see);
            }

            fn scan(view: &Self::View<'_>, see: impl FnMut(&R)) {
                view.0.scan(see);
            }

            fn by_node(view: &Self::View<'_>, node: &str, see: impl FnMut(&R)) {
                view.0.by_node(node, see);
            }

            fn by_name(view: &Self::View<'_>, name: &str, see: impl FnMut(&R)) {
                view.0.by_name(name, see);
            }

            fn by_tag(view: &Self::View<'_>, tag: &str, see: impl FnMut(&R)) {
                view.0.by_tag(tag, see);
            }

            fn by_name_node(
                view: &Self::View<'_>,
                name: &str,
                node: &str,
                see: impl FnMut(&R),
            ) {
                view.0.by_name_node(name, node, see);
            }

            fn upsert(&self, records: impl IntoIterator<Item = R>) {
                self.write(|maps| records.into_iter().for_each(|record| maps.upsert(record)));
            }

            fn delete(&self, id: &R::Key) -> bool {
                self.write(|maps| maps.delete(id))
            }
        }

        impl Prefixes for $name {
            fn by_prefix(view: &Self::View<'_>, prefix: &str, see: impl FnMut(&Service)) {
                view.0.by_prefix(prefix, see);
            }
        }
    };
}

pub(super) use {maps, published};
