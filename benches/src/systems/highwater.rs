//! highwater itself, through its public interface.

use ::highwater::{Schema, Snapshot, Store};

use super::{Prefixes, System};
use crate::record::{NumberService, Record, Service, UuidService};

/// A highwater store with its usual settings.
#[derive(Debug)]
pub struct Highwater<C: Schema = Catalog> {
    store: Store<C>,
}

/// Records that there is a highwater store for.
pub trait InHighwater: Record {
    /// The store.
    type Store: System<Self> + 'static;
}

/// Defines the schema `$catalog` of one table of `$record`, and the system that is a store of it.
macro_rules! store {
    ($catalog:ident, $record:ident) => {
        #[doc = concat!("The tables: one, of [`", stringify!($record), "`].")]
        #[derive(Debug, Schema)]
        pub struct $catalog {
            services: $record,
        }

        impl InHighwater for $record {
            type Store = Highwater<$catalog>;
        }

        impl System<$record> for Highwater<$catalog> {
            type View<'a> = Snapshot<$catalog>;

            const NAME: &'static str = "highwater";
            const TITLE: &'static str = "highwater";
            const HOW: &'static str = "A `Store` with its usual settings, its feed's window \
                                       included; every index leads straight to the record.";
            const ENCODES: bool = false;

            fn create() -> Self {
                Self {
                    store: Store::default(),
                }
            }

            fn view(&self) -> Snapshot<$catalog> {
                self.store.snapshot()
            }

            fn get(
                view: &Self::View<'_>,
                id: &<$record as Record>::Key,
                mut see: impl FnMut(&$record),
            ) {
                if let Some(service) = view.services().get(id) {
                    see(service);
                }
            }

            fn scan(view: &Self::View<'_>, mut see: impl FnMut(&$record)) {
                view.services().iter().for_each(|service| see(service));
            }

            fn by_node(view: &Self::View<'_>, node: &str, mut see: impl FnMut(&$record)) {
                view.services()
                    .by_node(node)
                    .for_each(|service| see(service));
            }

            fn by_name(view: &Self::View<'_>, name: &str, mut see: impl FnMut(&$record)) {
                view.services()
                    .by_name(name)
                    .for_each(|service| see(service));
            }

            fn by_tag(view: &Self::View<'_>, tag: &str, mut see: impl FnMut(&$record)) {
                view.services()
                    .by_tags(tag)
                    .for_each(|service| see(service));
            }

            fn by_name_node(
                view: &Self::View<'_>,
                name: &str,
                node: &str,
                mut see: impl FnMut(&$record),
            ) {
                view.services()
                    .by_name_node((name, node))
                    .for_each(|service| see(service));
            }

            fn upsert(&self, records: impl IntoIterator<Item = $record>) {
                let mut txn = self.store.write().expect("the store is open");
                for record in records {
                    txn.services_mut()
                        .upsert(record)
                        .expect("the record is right");
                }
                txn.commit().expect("the store is open");
            }

            fn delete(&self, id: &<$record as Record>::Key) -> bool {
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
    };
}

store!(Catalog, Service);
store!(UuidCatalog, UuidService);
store!(NumberCatalog, NumberService);

impl Prefixes for Highwater {
    fn by_prefix(view: &Self::View<'_>, prefix: &str, mut see: impl FnMut(&Service)) {
        view.services()
            .prefix(prefix)
            .for_each(|service| see(service));
    }
}
