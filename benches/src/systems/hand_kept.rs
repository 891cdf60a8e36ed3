//! Ordered maps with indexes kept by hand: one text for every ordered map with the interface of
//! `std`'s, since they differ in nothing but the map.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::data::Service;

/// What an index has under a key and an id.
pub(super) trait Entry: Clone + Debug {
    /// Whether it is the record, and so has to be replaced with it.
    const IS_RECORD: bool;
    /// The entry for a record.
    fn of(record: &Arc<Service>) -> Self;
    /// The record; `find` finds it by its id.
    fn record<'a>(&'a self, find: impl FnOnce() -> &'a Arc<Service>) -> &'a Arc<Service>;
}

impl Entry for Arc<Service> {
    const IS_RECORD: bool = true;

    fn of(record: &Arc<Service>) -> Self {
        Arc::clone(record)
    }

    fn record<'a>(&'a self, _: impl FnOnce() -> &'a Arc<Service>) -> &'a Arc<Service> {
        self
    }
}

impl Entry for () {
    const IS_RECORD: bool = false;

    fn of(_: &Arc<Service>) -> Self {}

    fn record<'a>(&'a self, find: impl FnOnce() -> &'a Arc<Service>) -> &'a Arc<Service> {
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
    ($map:path, $entry:ty) => {
        use std::sync::Arc;

        use $map as Map;

        use super::hand_kept::Entry;
        use crate::data::Service;

        type Groups = Map<Arc<str>, Map<Arc<str>, $entry>>;

        /// The records, by id and by every index.
        #[derive(Clone, Debug, Default)]
        struct Maps {
            ids: Map<Arc<str>, Arc<Service>>,
            nodes: Groups,
            names: Groups,
            tags: Groups,
            pairs: Map<(Arc<str>, Arc<str>, Arc<str>), $entry>,
        }

        fn link(groups: &mut Groups, key: &str, id: &Arc<str>, entry: $entry) {
            if let Some(group) = groups.get_mut(key) {
                group.insert(Arc::clone(id), entry);
            } else {
                let mut group = Map::new();
                group.insert(Arc::clone(id), entry);
                groups.insert(Arc::from(key), group);
            }
        }

        fn unlink(groups: &mut Groups, key: &str, id: &str) {
            if let Some(group) = groups.get_mut(key) {
                group.remove(id);
                if group.is_empty() {
                    groups.remove(key);
                }
            }
        }

        impl Maps {
            fn get(&self, id: &str, mut see: impl FnMut(&Service)) {
                if let Some(record) = self.ids.get(id) {
                    see(record);
                }
            }

            fn scan(&self, mut see: impl FnMut(&Service)) {
                for record in self.ids.values() {
                    see(record);
                }
            }

            fn by_prefix(&self, prefix: &str, mut see: impl FnMut(&Service)) {
                for (id, record) in self.ids.range(super::hand_kept::from(prefix)) {
                    if !id.starts_with(prefix) {
                        break;
                    }
                    see(record);
                }
            }

            fn by_node(&self, node: &str, see: impl FnMut(&Service)) {
                self.see_group(&self.nodes, node, see);
            }

            fn by_name(&self, name: &str, see: impl FnMut(&Service)) {
                self.see_group(&self.names, name, see);
            }

            fn by_tag(&self, tag: &str, see: impl FnMut(&Service)) {
                self.see_group(&self.tags, tag, see);
            }

            fn see_group(&self, groups: &Groups, key: &str, mut see: impl FnMut(&Service)) {
                for (id, entry) in groups.get(key).into_iter().flatten() {
                    see(entry.record(|| &self.ids[id]));
                }
            }

            fn by_name_node(&self, name: &str, node: &str, mut see: impl FnMut(&Service)) {
                let from = (Arc::from(name), Arc::from(node), Arc::from(""));
                for ((found_name, found_node, id), entry) in self.pairs.range(from..) {
                    if **found_name != *name || **found_node != *node {
                        break;
                    }
                    see(entry.record(|| &self.ids[id]));
                }
            }

            fn upsert(&mut self, record: Service) {
                let record = Arc::new(record);
                let (id, old) = match self.ids.get_key_value(record.id.as_str()) {
                    Some((id, old)) => (Arc::clone(id), Some(Arc::clone(old))),
                    None => (Arc::from(record.id.as_str()), None),
                };
                let same = old.as_ref().is_some_and(|old| {
                    (&old.node, &old.name, &old.tags) == (&record.node, &record.name, &record.tags)
                });
                if !same && let Some(old) = &old {
                    self.unlink_changed(old, &record);
                }
                if !same || <$entry>::IS_RECORD {
                    self.link(&id, &record);
                }
                self.ids.insert(id, record);
            }

            fn delete(&mut self, id: &str) -> bool {
                let Some(old) = self.ids.remove(id) else {
                    return false;
                };
                unlink(&mut self.nodes, &old.node, id);
                unlink(&mut self.names, &old.name, id);
                for tag in &old.tags {
                    unlink(&mut self.tags, tag, id);
                }
                self.unlink_pair(&old);
                true
            }

            fn link(&mut self, id: &Arc<str>, record: &Arc<Service>) {
                let entry = || <$entry>::of(record);
                link(&mut self.nodes, &record.node, id, entry());
                link(&mut self.names, &record.name, id, entry());
                for tag in &record.tags {
                    link(&mut self.tags, tag, id, entry());
                }
                let pair = (
                    Arc::from(&*record.name),
                    Arc::from(&*record.node),
                    Arc::clone(id),
                );
                self.pairs.insert(pair, entry());
            }

            fn unlink_changed(&mut self, old: &Service, new: &Service) {
                if old.node != new.node {
                    unlink(&mut self.nodes, &old.node, &old.id);
                }
                if old.name != new.name {
                    unlink(&mut self.names, &old.name, &old.id);
                }
                for tag in old.tags.iter().filter(|tag| !new.tags.contains(tag)) {
                    unlink(&mut self.tags, tag, &old.id);
                }
                if (&old.name, &old.node) != (&new.name, &new.node) {
                    self.unlink_pair(old);
                }
            }

            fn unlink_pair(&mut self, old: &Service) {
                let pair = (
                    Arc::from(&*old.name),
                    Arc::from(&*old.node),
                    Arc::from(&*old.id),
                );
                self.pairs.remove(&pair);
            }
        }
    };
}

/// Defines the system `$name`: [`Maps`](maps) of a persistent map, published by `arc-swap`.
macro_rules! published {
    ($name:ident, $key:literal, $title:literal, $map:literal, $indexes:literal) => {
        use std::sync::Mutex;

        use arc_swap::{ArcSwap, Guard};

        use super::System;

        #[doc = concat!("`", $map, "` maps behind `arc-swap`.")]
        #[derive(Debug, Default)]
        pub struct $name {
            current: ArcSwap<Maps>,
            /// One writer at a time.
            writer: Mutex<()>,
        }

        /// The maps as they were at some moment.
        #[derive(Debug)]
        pub struct View(Guard<Arc<Maps>>);

        impl $name {
            fn write<R>(&self, edit: impl FnOnce(&mut Maps) -> R) -> R {
                let _one = self.writer.lock().expect("no writer has panicked");
                let mut next = Maps::clone(&self.current.load());
                let result = edit(&mut next);
                self.current.store(Arc::new(next));
                result
            }
        }

        impl System for $name {
            type View<'a> = View;

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
                Self::default()
            }

            fn view(&self) -> View {
                View(self.current.load())
            }

            fn get(view: &Self::View<'_>, id: &str, see: impl FnMut(&Service)) {
                view.0.get(id, see);
            }

            fn scan(view: &Self::View<'_>, see: impl FnMut(&Service)) {
                view.0.scan(see);
            }

            fn by_prefix(view: &Self::View<'_>, prefix: &str, see: impl FnMut(&Service)) {
                view.0.by_prefix(prefix, see);
            }

            fn by_node(view: &Self::View<'_>, node: &str, see: impl FnMut(&Service)) {
                view.0.by_node(node, see);
            }

            fn by_name(view: &Self::View<'_>, name: &str, see: impl FnMut(&Service)) {
                view.0.by_name(name, see);
            }

            fn by_tag(view: &Self::View<'_>, tag: &str, see: impl FnMut(&Service)) {
                view.0.by_tag(tag, see);
            }

            fn by_name_node(
                view: &Self::View<'_>,
                name: &str,
                node: &str,
                see: impl FnMut(&Service),
            ) {
                view.0.by_name_node(name, node, see);
            }

            fn upsert(&self, records: impl IntoIterator<Item = Service>) {
                self.write(|maps| records.into_iter().for_each(|record| maps.upsert(record)));
            }

            fn delete(&self, id: &str) -> bool {
                self.write(|maps| maps.delete(id))
            }
        }
    };
}

pub(super) use {maps, published};
