//! `std` maps behind a lock.

use std::sync::{RwLock, RwLockReadGuard};

use super::{Prefixes, System};

super::hand_kept::maps!(::std::collections::BTreeMap, R => Arc<R>);

/// `std::collections::BTreeMap`s behind a `std::sync::RwLock`.
#[derive(Debug)]
pub struct Std<R: Record = Service> {
    current: RwLock<Maps<R>>,
}

/// The maps, kept from changing.
#[derive(Debug)]
pub struct View<'a, R: Record>(RwLockReadGuard<'a, Maps<R>>);

impl<R: Record> Std<R> {
    fn write<T>(&self, edit: impl FnOnce(&mut Maps<R>) -> T) -> T {
        edit(&mut self.current.write().expect("no writer has panicked"))
    }
}

impl<R: Record> System<R> for Std<R> {
    type View<'a> = View<'a, R>;

    const NAME: &'static str = "std";
    const TITLE: &'static str = "`std` + lock";
    const HOW: &'static str = "`BTreeMap`s in one struct behind `std::sync::RwLock`. Records in \
                               `Arc`, keys `Arc<str>`; every index leads straight to the record. A \
                               transaction is not undone when it fails.";
    const ENCODES: bool = false;

    fn create() -> Self {
        Self {
            current: RwLock::default(),
        }
    }

    fn view(&self) -> View<'_, R> {
        View(self.current.read().expect("no writer has panicked"))
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

    fn by_name_node(view: &Self::View<'_>, name: &str, node: &str, see: impl FnMut(&R)) {
        view.0.by_name_node(name, node, see);
    }

    fn upsert(&self, records: impl IntoIterator<Item = R>) {
        self.write(|maps| records.into_iter().for_each(|record| maps.upsert(record)));
    }

    fn delete(&self, id: &R::Key) -> bool {
        self.write(|maps| maps.delete(id))
    }
}

impl Prefixes for Std {
    fn by_prefix(view: &Self::View<'_>, prefix: &str, see: impl FnMut(&Service)) {
        view.0.by_prefix(prefix, see);
    }
}
