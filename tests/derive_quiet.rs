//! Generated code raises no warning and needs nothing from the scope it is in: everything strict is
//! denied here, most of what is generated is never used, and the usual names mean other things.
#![deny(
    warnings,
    dead_code,
    missing_docs,
    missing_copy_implementations,
    missing_debug_implementations,
    non_local_definitions,
    private_bounds,
    private_interfaces,
    rust_2018_idioms,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unreachable_pub,
    unsafe_code,
    unused,
    unused_qualifications,
    unused_results,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]

/// Public, as in a library.
pub mod public {
    use highwater::key::{AsKey, Each};
    use highwater::{IndexReader, Key, Row, Rows, TableReader};
    use serde::{Deserialize, Serialize};

    /// A service.
    #[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, highwater::Table)]
    #[index(by_name_port(name, port))]
    #[index(unique, by_port_name(port, name))]
    #[index(when = Self::is_low, by_forms(reverse(caseless(name)), each(tags), sparse(ports), reverse(each(labels))))]
    #[index(by_letters(each(with = Self::letters -> Vec<char>)))]
    pub struct Service {
        #[primary_key]
        id: String,
        #[primary_key]
        #[index(unique, name = "first")]
        port: u16,
        #[index]
        name: String,
        #[index(each)]
        tags: Vec<String>,
        #[index(each, unique)]
        #[index(sparse, name = "present", when = Self::is_low)]
        ports: Option<u16>,
        #[index]
        hidden: Hidden,
        #[index(each)]
        labels: std::collections::BTreeMap<String, u8>,
    }

    /// A node, which refers to itself and to a service.
    #[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, highwater::Table)]
    #[table(check = Self::is_named)]
    #[index(references = Service, cascade, by_service(id, port))]
    pub struct Node {
        #[primary_key]
        id: String,
        port: u16,
        #[index(sparse, references = Self, set_null)]
        on: Option<String>,
    }

    impl Node {
        const fn is_named(&self) -> bool {
            !self.id.is_empty()
        }
    }

    impl Service {
        const fn is_low(&self) -> bool {
            self.port < 1024
        }

        fn letters(&self) -> Vec<char> {
            self.name.chars().collect()
        }
    }

    /// A key that is less visible than the table it is a key of.
    #[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, highwater::Key)]
    struct Hidden(u8, String);

    /// Uses the names that generated code spells out, which then could be shorter.
    pub fn uses<'a, T: highwater::Table, K: Key>(
        table: TableReader<'a, T>,
        index: &IndexReader<'a, T, <Vec<K> as Each>::Item>,
        key: impl AsKey<K>,
    ) -> (Rows<'a, T>, Option<&'a Row<T>>) {
        (index.get(key), table.first())
    }

    /// A schema.
    #[derive(Clone, Debug, highwater::Schema)]
    pub struct Catalog {
        /// The services.
        services: Service,
        /// The nodes.
        nodes: Node,
    }
}

mod private {
    //! Private and unused, as in a program that does not use every look-up.
    //!
    //! The types themselves are used below, as anything unused of one's own is still one's own.

    #[derive(PartialEq, serde::Serialize, serde::Deserialize, highwater::Table)]
    struct Node {
        #[primary_key]
        name: Status,
        #[index(each, unique)]
        tags: [u8; 2],
    }

    #[derive(PartialEq, serde::Serialize, serde::Deserialize, highwater::Key)]
    enum Status {
        Up,
        Down(u8),
    }

    #[derive(highwater::Schema)]
    struct Nodes {
        nodes: Node,
    }

    #[test]
    fn is_used() {
        assert_eq!(<Nodes as highwater::Schema>::TABLES, ["node"]);
        let node = Node {
            name: Status::Up,
            tags: [1, 2],
        };
        assert!(node.tags == [1, 2] && node.name != Status::Down(1));
    }
}

#[test]
fn types_of_a_function() {
    #[derive(PartialEq, serde::Serialize, serde::Deserialize, highwater::Table)]
    struct Local {
        #[primary_key]
        #[index(name = "again")]
        key: u8,
    }

    #[derive(highwater::Schema)]
    struct Locals {
        locals: Local,
    }

    assert_eq!(<Locals as highwater::Schema>::TABLES, ["local"]);
}

/// Every name that generated code could have meant is taken by something else.
mod shadowed {
    #![allow(
        dead_code,
        unused_macros,
        non_camel_case_types,
        missing_debug_implementations,
        missing_copy_implementations,
        clippy::missing_const_for_fn,
        clippy::redundant_pub_crate,
        clippy::unused_self
    )]

    mod core {}
    mod std {}
    mod highwater {}
    mod serde {}
    struct Option;
    struct Some;
    struct String;
    struct Vec;
    struct Box;
    struct Result;
    struct Row;
    struct Rows;
    struct KeyBuf;
    struct u8;
    struct u16;
    struct u64;
    struct usize;
    struct str;
    struct bool;
    trait Key {
        fn encode(&self) {}
    }
    trait Table {
        fn encode_key(&self) {}
    }
    trait From {
        fn from() {}
    }
    trait Clone {}
    trait Debug {}
    trait Deref {}
    impl<T> Key for T {}
    impl<T> Table for T {}
    impl<T> From for T {}
    macro_rules! assert {
        () => {};
    }
    macro_rules! vec {
        () => {};
    }

    #[derive(::core::clone::Clone, ::core::cmp::PartialEq, ::highwater::Key)]
    pub(super) struct Id(::core::primitive::u8);

    impl Id {
        /// What a method call instead of a path would have called.
        fn encode(&self) {}
        fn encode_as(&self) {}
    }

    #[derive(::core::clone::Clone, ::core::cmp::PartialEq, ::highwater::Table)]
    #[table(check = is_first)]
    pub(super) struct Record {
        #[primary_key]
        #[index(name = "other")]
        id: Id,
        #[index(each)]
        ids: ::std::vec::Vec<Id>,
        #[index(unique)]
        #[index(caseless, reverse, when = is_first, name = "again")]
        text: ::std::string::String,
        #[index(sparse, references = Self, set_null)]
        optional: ::core::option::Option<Id>,
    }

    fn is_first(record: &Record) -> ::core::primitive::bool {
        record.id.0 == 0
    }

    #[derive(::highwater::Schema)]
    struct Records {
        records: Record,
    }

    #[test]
    fn is_not_seen() {
        ::core::assert_eq!(<Records as ::highwater::Schema>::TABLES, ["record"]);
    }
}

/// What serde's derives cannot do where primitive types are shadowed.
mod shadowed_serde {
    use super::shadowed::Record;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    impl Serialize for Record {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_unit()
        }
    }

    impl<'de> Deserialize<'de> for Record {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(D::Error::custom("never read"))
        }
    }
}
