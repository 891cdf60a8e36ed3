//! What every system holds: services, with one of three kinds of primary keys.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::sync::Arc;

use highwater::Table;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::data::{Random, Texts};

/// A registered service with some kind of primary key: one record type for each kind.
pub trait Record: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// What its kind of key is called in options and data.
    const KEYS: &'static str;
    /// The key as ordered maps keep it.
    type Id: Ord + Clone + Debug + Send + Sync + Borrow<Self::Key>;
    /// The key as a look-up takes it.
    type Key: Ord + Debug + ?Sized;
    /// Many keys.
    type Keys: Keys<Key = Self::Key>;

    /// The record with number `i` for a key.
    fn new(i: usize, fields: Fields) -> Self;
    /// The keys of the records with these numbers, in this order.
    fn keys(order: &[usize]) -> Self::Keys;
    /// A key that no other is before.
    fn least() -> Self::Id;
    /// Its key as ordered maps keep it.
    fn id(&self) -> Self::Id;
    /// Its key.
    fn key(&self) -> &Self::Key;
    /// Where it runs.
    fn node(&self) -> &str;
    /// What it is.
    fn name(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &[String];
    /// Where it listens.
    fn port(&self) -> u16;
    /// Its payload.
    fn payload(&self) -> &[u8];
}

/// Many keys, close together in memory: going through them costs hardly a cache miss.
pub trait Keys: Debug + Send + Sync + 'static {
    /// One of them.
    type Key: ?Sized;
    /// All from number `from` on, round and round.
    fn cycle_from(&self, from: usize) -> impl Iterator<Item = &Self::Key>;
}

impl Keys for Texts {
    type Key = str;

    fn cycle_from(&self, from: usize) -> impl Iterator<Item = &str> {
        Self::cycle_from(self, from)
    }
}

impl<K: Debug + Send + Sync + 'static> Keys for Vec<K> {
    type Key = K;

    fn cycle_from(&self, from: usize) -> impl Iterator<Item = &K> {
        self[from % self.len()..].iter().chain(self.iter().cycle())
    }
}

/// The fields of a service other than its key.
#[derive(Debug)]
pub struct Fields {
    pub(crate) node: String,
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) port: u16,
    pub(crate) payload: Vec<u8>,
}

/// Defines a record type with keys of type `$key`.
macro_rules! service {
    (
        $(#[$doc:meta])*
        $name:ident, $keys:literal, $field:ty, $id:ty as $key:ty, many $many:ty,
        of $of:expr, all $all:expr, least $least:expr, key $borrow:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
        #[table(name = "services")]
        #[index(by_name_node(name, node))]
        pub struct $name {
            /// Made from the record's number.
            #[primary_key]
            pub id: $field,
            /// Where it runs; [`PER_NODE`](crate::data::PER_NODE) records each.
            #[index]
            pub node: String,
            /// What it is; one of [`NAMES`](crate::data::NAMES).
            #[index]
            pub name: String,
            /// Two of [`TAGS`](crate::data::TAGS), in order.
            #[index(each)]
            pub tags: Vec<String>,
            /// Where it listens; changes with the revision.
            pub port: u16,
            /// [`PAYLOAD`](crate::data::PAYLOAD) bytes; change with the revision.
            pub payload: Vec<u8>,
        }

        impl Record for $name {
            const KEYS: &'static str = $keys;
            type Id = $id;
            type Key = $key;
            type Keys = $many;

            fn new(i: usize, fields: Fields) -> Self {
                let Fields { node, name, tags, port, payload } = fields;
                Self { id: $of(i), node, name, tags, port, payload }
            }

            fn keys(order: &[usize]) -> $many {
                $all(order.iter().map(|&i| $of(i)))
            }

            fn least() -> $id {
                $least
            }

            fn id(&self) -> $id {
                <$id>::from(self.id.clone())
            }

            fn key(&self) -> &$key {
                $borrow(&self.id)
            }

            fn node(&self) -> &str {
                &self.node
            }

            fn name(&self) -> &str {
                &self.name
            }

            fn tags(&self) -> &[String] {
                &self.tags
            }

            fn port(&self) -> u16 {
                self.port
            }

            fn payload(&self) -> &[u8] {
                &self.payload
            }
        }
    };
}

service!(
    /// A service whose id is text, and sequential: `svc-%08d`.
    Service, "text", String, Arc<str> as str, many Texts,
    of |i| format!("svc-{i:08}"), all Texts::new, least Arc::from(""), key String::as_str
);
service!(
    /// A service whose id is a random UUID.
    UuidService, "uuid", Uuid, Uuid as Uuid, many Vec<Uuid>,
    of uuid, all Vec::from_iter, least Uuid::nil(), key std::convert::identity
);
service!(
    /// A service whose id is its number.
    NumberService, "u64", u64, u64 as u64, many Vec<u64>,
    of number, all Vec::from_iter, least 0, key std::convert::identity
);

fn number(i: usize) -> u64 {
    u64::try_from(i).expect("a usize fits in 64 bits")
}

/// Random for whoever does not know that it is made from `i`.
fn uuid(i: usize) -> Uuid {
    let mut random = Random::new(!number(i));
    let (high, low) = (random.draw(), random.draw());
    let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    Builder::from_random_bytes(bytes).into_uuid()
}
