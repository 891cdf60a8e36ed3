//! Trees alone, each under one ordered key: what a table with only a primary key costs, beside the
//! persistent maps that could stand in its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::highwater::{Schema, Snapshot, Store, Table};
use arc_swap::{ArcSwap, Guard};
use rart::{ArrayKey, VersionedAdaptiveRadixTree};
use serde::{Deserialize, Serialize};

use crate::check::Sum;
use crate::data::{Data, Texts};

/// What a tree has under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "items")]
pub struct Item {
    /// `svc-%08d`.
    #[primary_key]
    pub id: String,
    /// Anything.
    pub value: u64,
}

/// The item with number `i`.
pub fn item(i: usize) -> Item {
    Item {
        id: Data::id(i),
        value: u64::try_from(i).expect("a usize fits in 64 bits"),
    }
}

/// A map from text to items, of which a reader can keep a version.
pub trait Tree: Sized {
    /// A version.
    type View<'a>
    where
        Self: 'a;

    /// What it is called in options and data.
    const NAME: &'static str;
    /// How it does the work.
    const HOW: &'static str;

    /// An empty one.
    fn create() -> Self;
    /// The newest version.
    fn view(&self) -> Self::View<'_>;
    /// Creates or replaces one item, and makes that the newest version.
    fn insert(&mut self, item: Item);
    /// The item with this id, if there is one.
    fn get(view: &Self::View<'_>, id: &str, see: impl FnMut(&Item));
    /// All items, by id.
    fn walk(view: &Self::View<'_>, see: impl FnMut(&Item));
}

/// Code that is generic over the tree it is given.
pub trait TreeVisitor {
    /// Called once with each chosen tree.
    fn visit<T: Tree + 'static>(&mut self);
}

/// The names of all trees.
pub const TREES: &[&str] = &[
    One::NAME,
    Im::NAME,
    Imbl::NAME,
    Rpds::NAME,
    Rart::NAME,
    Std::NAME,
];

/// Calls `visitor` with the tree called `name`; false if there is none.
pub fn visit_tree(name: &str, visitor: &mut impl TreeVisitor) -> bool {
    match name {
        One::NAME => visitor.visit::<One>(),
        Im::NAME => visitor.visit::<Im>(),
        Imbl::NAME => visitor.visit::<Imbl>(),
        Rpds::NAME => visitor.visit::<Rpds>(),
        Rart::NAME => visitor.visit::<Rart>(),
        Std::NAME => visitor.visit::<Std>(),
        _ => return false,
    }
    true
}

/// A number that the answers of all trees to the same questions come to: of a walk, and of gets of
/// the first hundred of `ids`.
pub fn sum<T: Tree>(tree: &T, ids: &Texts) -> u64 {
    let view = &tree.view();
    let mut sum = Sum::default();
    T::walk(view, |item| sum.add(item.value));
    for id in ids.cycle_from(0).take(100) {
        T::get(view, id, |item| sum.add(item.value));
    }
    sum.get()
}

/// The tables: one.
#[derive(Debug, Schema)]
pub struct Items {
    items: Item,
}

/// A highwater store of one table with one index.
#[derive(Debug, Default)]
pub struct One {
    store: Store<Items>,
}

impl Tree for One {
    type View<'a> = Snapshot<Items>;

    const NAME: &'static str = "highwater";
    const HOW: &'static str = "A `Store` of one table with only a primary key: transactions, feed, \
                               rows with their indexes of creation and change included.";

    fn create() -> Self {
        Self::default()
    }

    fn view(&self) -> Snapshot<Items> {
        self.store.snapshot()
    }

    fn insert(&mut self, item: Item) {
        let mut txn = self.store.write().expect("the store is open");
        txn.items_mut().upsert(item).expect("the item is right");
        txn.commit().expect("the store is open");
    }

    fn get(view: &Self::View<'_>, id: &str, mut see: impl FnMut(&Item)) {
        if let Some(item) = view.items().get(id) {
            see(item);
        }
    }

    fn walk(view: &Self::View<'_>, mut see: impl FnMut(&Item)) {
        view.items().iter().for_each(|item| see(item));
    }
}

/// Defines the tree `$name`: a persistent map, the newest version of which is in an `ArcSwap`.
macro_rules! published {
    (
        $name:ident, $key:literal, $how:literal, $map:ty, insert $insert:ident,
        key $owned:expr, look $look:expr, walk $walk:ident
    ) => {
        #[doc = concat!("`", $key, "` behind `arc-swap`.")]
        #[expect(missing_debug_implementations, reason = "not all of the maps have one")]
        pub struct $name {
            current: ArcSwap<$map>,
        }

        impl Tree for $name {
            type View<'a> = Guard<Arc<$map>>;

            const NAME: &'static str = $key;
            const HOW: &'static str = $how;

            fn create() -> Self {
                Self {
                    current: ArcSwap::from_pointee(<$map>::default()),
                }
            }

            fn view(&self) -> Self::View<'_> {
                self.current.load()
            }

            fn insert(&mut self, item: Item) {
                let mut next = <$map>::clone(&self.current.load());
                next.$insert($owned(&item.id), Arc::new(item));
                self.current.store(Arc::new(next));
            }

            fn get(view: &Self::View<'_>, id: &str, mut see: impl FnMut(&Item)) {
                if let Some(item) = view.get($look(id)) {
                    see(item);
                }
            }

            fn walk(view: &Self::View<'_>, mut see: impl FnMut(&Item)) {
                view.$walk().for_each(|item| see(item));
            }
        }
    };
}

fn text(id: &str) -> Arc<str> {
    Arc::from(id)
}

fn array(id: &str) -> ArrayKey<16> {
    ArrayKey::from(id)
}

published!(
    Im, "im", "`im::OrdMap` in an `ArcSwap`, keys `Arc<str>`.",
    im::OrdMap<Arc<str>, Arc<Item>>, insert insert, key text, look std::convert::identity, walk values
);
published!(
    Imbl, "imbl", "`imbl::OrdMap` in an `ArcSwap`, keys `Arc<str>`.",
    imbl::OrdMap<Arc<str>, Arc<Item>>, insert insert, key text, look std::convert::identity, walk values
);
published!(
    Rpds, "rpds", "`rpds::RedBlackTreeMapSync` in an `ArcSwap`, keys `Arc<str>`.",
    rpds::RedBlackTreeMapSync<Arc<str>, Arc<Item>>, insert insert_mut, key text,
    look std::convert::identity, walk values
);
published!(
    Rart, "rart", "`rart::VersionedAdaptiveRadixTree` in an `ArcSwap`, keys of 16 bytes in place.",
    VersionedAdaptiveRadixTree<ArrayKey<16>, Arc<Item>>, insert insert, key array,
    look ArrayKey::<16>::from, walk values_iter
);

/// A `BTreeMap`, edited in place: it has no versions and needs no commit.
#[derive(Debug, Default)]
pub struct Std {
    map: BTreeMap<Arc<str>, Arc<Item>>,
}

impl Tree for Std {
    type View<'a> = &'a BTreeMap<Arc<str>, Arc<Item>>;

    const NAME: &'static str = "std";
    const HOW: &'static str = "`BTreeMap` without any lock, keys `Arc<str>`: edited in place, \
                               without versions.";

    fn create() -> Self {
        Self::default()
    }

    fn view(&self) -> Self::View<'_> {
        &self.map
    }

    fn insert(&mut self, item: Item) {
        self.map.insert(text(&item.id), Arc::new(item));
    }

    fn get(view: &Self::View<'_>, id: &str, mut see: impl FnMut(&Item)) {
        if let Some(item) = view.get(id) {
            see(item);
        }
    }

    fn walk(view: &Self::View<'_>, mut see: impl FnMut(&Item)) {
        view.values().for_each(|item| see(item));
    }
}
