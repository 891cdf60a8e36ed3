//! highwater itself, through its public interface.

use ::highwater::{Schema, Snapshot, Store};

use super::System;
use crate::data::Service;

/// The tables: one.
#[derive(Debug, Schema)]
pub struct Catalog {
    services: Service,
}

/// A highwater store with its usual settings.
#[derive(Debug, Default)]
pub struct Highwater {
    store: Store<Catalog>,
}

impl System for Highwater {
    type View<'a> = Snapshot<Catalog>;

    const NAME: &'static str = "highwater";
    const TITLE: &'static str = "highwater";
    const HOW: &'static str = "A `Store` with its usual settings, its feed's window included; every \
                               index leads straight to the record.";
    const ENCODES: bool = false;

    fn create() -> Self {
        Self::default()
    }

    fn view(&self) -> Snapshot<Catalog> {
        self.store.snapshot()
    }

    fn get(view: &Self::View<'_>, id: &str, mut see: impl FnMut(&Service)) {
        if let Some(service) = view.services().get(id) {
            see(service);
        }
    }

    fn scan(view: &Self::View<'_>, mut see: impl FnMut(&Service)) {
        view.services().iter().for_each(|service| see(service));
    }

    fn by_prefix(view: &Self::View<'_>, prefix: &str, mut see: impl FnMut(&Service)) {
        view.services()
            .prefix(prefix)
            .for_each(|service| see(service));
    }

    fn by_node(view: &Self::View<'_>, node: &str, mut see: impl FnMut(&Service)) {
        view.services()
            .by_node(node)
            .for_each(|service| see(service));
    }

    fn by_name(view: &Self::View<'_>, name: &str, mut see: impl FnMut(&Service)) {
        view.services()
            .by_name(name)
            .for_each(|service| see(service));
    }

    fn by_tag(view: &Self::View<'_>, tag: &str, mut see: impl FnMut(&Service)) {
        view.services()
            .by_tags(tag)
            .for_each(|service| see(service));
    }

    fn by_name_node(view: &Self::View<'_>, name: &str, node: &str, mut see: impl FnMut(&Service)) {
        view.services()
            .by_name_node((name, node))
            .for_each(|service| see(service));
    }

    fn upsert(&self, records: impl IntoIterator<Item = Service>) {
        let mut txn = self.store.write().expect("the store is open");
        for record in records {
            txn.services_mut()
                .upsert(record)
                .expect("the record is right");
        }
        txn.commit().expect("the store is open");
    }

    fn delete(&self, id: &str) -> bool {
        let mut txn = self.store.write().expect("the store is open");
        let found = txn
            .services_mut()
            .delete(id)
            .expect("the id is right")
            .is_some();
        txn.commit().expect("the store is open");
        found
    }
}
