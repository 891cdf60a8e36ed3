//! What `#[derive(Table)]`, `#[derive(Schema)]` and `#[derive(Key)]` say about the types they are
//! put on, through the public interface.

use highwater::key::{AsKey, KeyBuf, KeySink, NewtypeKey};
use highwater::{Key, Schema, Table};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "services")]
#[index(by_name_node(name, node))]
#[index(unique, by_node_port(node, port))]
struct Service {
    #[primary_key]
    id: String,
    #[index]
    node: String,
    #[index(name = "kind")]
    name: String,
    #[index(each)]
    tags: BTreeSet<String>,
    #[index(each, unique)]
    addresses: Vec<std::net::IpAddr>,
    #[index(unique)]
    port: u16,
    meta: String,
}

fn web() -> Service {
    Service {
        id: "web-1".into(),
        node: "n1".into(),
        name: "web".into(),
        tags: ["green", "blue"].map(String::from).into(),
        addresses: vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        port: 80,
        meta: String::new(),
    }
}

fn encoded(key: &impl Key) -> Vec<u8> {
    let mut out = KeyBuf::new();
    key.encode(&mut out);
    out.as_bytes().to_vec()
}

fn primary_key(record: &impl Table) -> Vec<u8> {
    let mut out = KeyBuf::new();
    record.encode_key(&mut out);
    out.as_bytes().to_vec()
}

fn index_keys<T: Table>(record: &T, index: &str) -> Vec<Vec<u8>> {
    let mut sink = KeySink::new();
    let index = T::INDEXES
        .iter()
        .find(|def| def.name == index)
        .expect("an index of this name");
    (index.keys)(record, &mut sink);
    sink.iter().map(<[u8]>::to_vec).collect()
}

#[test]
fn indexes_are_as_declared() {
    let indexes: Vec<_> = Service::INDEXES
        .iter()
        .map(|index| (index.name, index.fields, index.unique, index.each))
        .collect();
    let expected: [(&str, &[&str], bool, bool); 7] = [
        ("name_node", &["name", "node"], false, false),
        ("node_port", &["node", "port"], true, false),
        ("node", &["node"], false, false),
        ("kind", &["name"], false, false),
        ("tags", &["tags"], false, true),
        ("addresses", &["addresses"], true, true),
        ("port", &["port"], true, false),
    ];
    assert_eq!(indexes, expected);
    assert_eq!(Service::NAME, "services");
    assert_eq!(Service::PRIMARY_KEY, ["id"]);
    let fields = ["id", "node", "name", "tags", "addresses", "port", "meta"];
    assert_eq!(Service::FIELDS, fields);
}

#[test]
fn keys_follow_from_the_record() {
    let web = web();
    assert_eq!(primary_key(&web), encoded(&web.id));
    assert_eq!(index_keys(&web, "node"), [encoded(&web.node)]);
    assert_eq!(index_keys(&web, "kind"), [encoded(&web.name)]);
    assert_eq!(index_keys(&web, "port"), [encoded(&web.port)]);
    let pair = (web.name.clone(), web.node.clone());
    assert_eq!(index_keys(&web, "name_node"), [encoded(&pair)]);
    assert_eq!(
        index_keys(&web, "node_port"),
        [encoded(&(web.node.clone(), web.port))]
    );
    let tags: Vec<_> = web.tags.iter().map(encoded).collect();
    assert_eq!(index_keys(&web, "tags"), tags);
    let addresses: Vec<_> = web.addresses.iter().map(encoded).collect();
    assert_eq!(index_keys(&web, "addresses"), addresses);
    let bare = Service {
        tags: BTreeSet::new(),
        ..web
    };
    assert!(index_keys(&bare, "tags").is_empty());
}

/// Every form that a part of an index can have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[index(by_parts(each(tags), reverse(size), sparse(owner), caseless(name)))]
#[index(when = Self::is_large, by_name_size(name, size))]
#[index(unique, by_initial(with = initial -> char, id))]
#[index(by_words(caseless(each(with = Self::words -> Vec<String>))))]
#[index(by_pairs(each(tags), each(sizes)))]
struct Forms {
    #[primary_key]
    id: u8,
    #[index(each)]
    labels: BTreeMap<String, u8>,
    tags: Vec<String>,
    sizes: BTreeSet<u8>,
    #[index(reverse, name = "largest")]
    #[index(when = Self::is_large)]
    size: u8,
    #[index(sparse)]
    #[index(sparse, caseless, reverse, when = Self::is_large, name = "last_owner")]
    owner: Option<String>,
    #[index(caseless)]
    name: String,
}

fn initial(forms: &Forms) -> char {
    forms.name.chars().next().unwrap_or('-')
}

impl Forms {
    fn is_large(&self) -> bool {
        self.size > 9
    }

    fn words(&self) -> Vec<String> {
        self.name.split(' ').map(String::from).collect()
    }
}

fn forms() -> Forms {
    Forms {
        id: 7,
        labels: [("a".into(), 1), ("b".into(), 2)].into(),
        tags: vec!["x".into(), "y".into(), "x".into()],
        sizes: [3, 4].into(),
        size: 10,
        owner: Some("Me".into()),
        name: "Ärger Da".into(),
    }
}

#[test]
fn keys_of_every_form() {
    use std::cmp::Reverse;
    let text = |text: &str| String::from(text);
    let all = forms();
    let keys = |name| index_keys(&all, name);
    let parts = |tag| encoded(&(text(tag), Reverse(10u8), text("Me"), text("ärger da")));
    assert_eq!(keys("parts"), ["x", "y", "x"].map(parts));
    assert_eq!(keys("name_size"), [encoded(&(all.name.clone(), 10u8))]);
    assert_eq!(keys("initial"), [encoded(&('Ä', 7u8))]);
    assert_eq!(
        keys("words"),
        ["ärger", "da"].map(|word| encoded(&text(word)))
    );
    let pairs = [("x", 3u8), ("x", 4), ("y", 3), ("y", 4), ("x", 3), ("x", 4)];
    assert_eq!(
        keys("pairs"),
        pairs.map(|(tag, size)| encoded(&(text(tag), size)))
    );
    assert_eq!(
        keys("labels"),
        [("a", 1u8), ("b", 2)].map(|(key, value)| encoded(&(text(key), value)))
    );
    assert_eq!(keys("largest"), [encoded(&Reverse(10u8))]);
    assert_eq!(keys("size"), [encoded(&10u8)]);
    assert_eq!(keys("owner"), [encoded(&text("Me"))]);
    assert_eq!(keys("last_owner"), [encoded(&Reverse(text("me")))]);
    assert_eq!(keys("name"), [encoded(&text("ärger da"))]);

    let bare = Forms {
        labels: BTreeMap::new(),
        tags: Vec::new(),
        size: 9,
        owner: None,
        ..all
    };
    for index in [
        "parts",
        "name_size",
        "pairs",
        "labels",
        "size",
        "owner",
        "last_owner",
    ] {
        assert!(index_keys(&bare, index).is_empty(), "{index}");
    }
    let unowned = Forms {
        owner: None,
        ..forms()
    };
    assert!(index_keys(&unowned, "parts").is_empty());
    let fields: Vec<_> = Forms::INDEXES
        .iter()
        .take(4)
        .map(|index| (index.fields, index.each))
        .collect();
    let expected: [(&[&str], bool); 4] = [
        (&["tags", "size", "owner", "name"], true),
        (&["name", "size"], false),
        (&["initial", "id"], false),
        (&["Self::words"], true),
    ];
    assert_eq!(fields, expected);
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Table)]
struct HTTPRouteV2 {
    #[primary_key]
    host: String,
    #[primary_key]
    #[index]
    priority: i32,
    #[primary_key]
    exact: bool,
}

#[test]
fn several_primary_key_fields_are_a_tuple() {
    let route = HTTPRouteV2 {
        host: "a\0b".into(),
        priority: -3,
        exact: true,
    };
    let key: <HTTPRouteV2 as Table>::Key = ("a\0b".to_owned(), -3, true);
    assert_eq!(primary_key(&route), encoded(&key));
    assert_eq!(HTTPRouteV2::PRIMARY_KEY, ["host", "priority", "exact"]);
    assert_eq!(HTTPRouteV2::NAME, "http_route_v2");
}

/// Every spelling of a name that serde knows, against what serde writes.
mod serialized_names {
    use super::*;

    macro_rules! records {
        ($($name:ident $rule:literal),* $(,)?) => {$(
            #[derive(Default, PartialEq, Serialize, Deserialize, Table)]
            #[serde(rename_all = $rule)]
            struct $name {
                #[primary_key]
                id: u8,
                node_address: u8,
                _odd_name: u8,
                #[serde(rename = "Own Name", default, skip_serializing_if = "Option::is_some")]
                #[index]
                renamed: Option<u8>,
                #[serde(rename(serialize = "both", deserialize = "both"))]
                r#type: u8,
                #[serde(skip)]
                cache: u8,
                #[serde(alias = "former")]
                r#async: u8,
            }
        )*

        #[test]
        fn are_those_of_serde() {
            $(
                let written = serde_json::to_value($name::default()).unwrap();
                let written: BTreeSet<_> = written.as_object().unwrap().keys().cloned().collect();
                let declared: BTreeSet<_> = $name::FIELDS.iter().map(|&f| f.to_owned()).collect();
                assert_eq!(declared, written, "{}", $rule);
                assert_eq!($name::FIELDS.len(), declared.len());
                assert_eq!($name::INDEXES[0].fields, ["Own Name"]);
                assert_eq!($name::INDEXES[0].name, "renamed");
            )*
        }};
    }

    records!(
        Lower "lowercase",
        Upper "UPPERCASE",
        Pascal "PascalCase",
        Camel "camelCase",
        Snake "snake_case",
        ScreamingSnake "SCREAMING_SNAKE_CASE",
        Kebab "kebab-case",
        ScreamingKebab "SCREAMING-KEBAB-CASE",
    );

    #[derive(PartialEq, Serialize, Deserialize, Table)]
    #[serde(tag = "kind")]
    struct Tagged {
        #[primary_key]
        id: u8,
    }

    #[test]
    fn the_tag_is_a_field() {
        assert_eq!(
            serde_json::to_string(&Tagged { id: 1 }).unwrap(),
            r#"{"kind":"Tagged","id":1}"#
        );
        assert_eq!(Tagged::FIELDS, ["kind", "id"]);
    }
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[table(name = "raw")]
struct r#Raw {
    #[primary_key]
    #[index]
    r#type: u32,
    #[cfg(any())]
    #[index]
    absent: f64,
    #[cfg(not(any()))]
    #[index(name = "self")]
    r#mod: u32,
}

#[test]
fn raw_names_and_conditional_fields() {
    let raw = Raw {
        r#type: 1,
        r#mod: 2,
    };
    assert_eq!(Raw::FIELDS, ["type", "mod"]);
    assert_eq!(index_keys(&raw, "type"), [encoded(&1u32)]);
    assert_eq!(index_keys(&raw, "self"), [encoded(&2u32)]);
    assert_eq!(Raw::INDEXES.len(), 2);
}

#[derive(Schema)]
struct Catalog {
    services: Service,
    r#routes: HTTPRouteV2,
    #[cfg(any())]
    absent: NoSuchTable,
    raw: Raw,
}

#[test]
fn tables_are_in_declared_order() {
    assert_eq!(Catalog::TABLES, ["services", "http_route_v2", "raw"]);
}

#[derive(Schema)]
struct Empty {}

#[test]
fn a_schema_without_tables() {
    assert!(Empty::TABLES.is_empty());
}

mod keys {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Key)]
    struct Id(String);

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Key)]
    struct Place {
        node: Id,
        r#type: Kind,
        weight: (i8, Option<bool>),
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Key)]
    enum Kind {
        Passing = 3,
        Warning,
        Critical = 900,
    }

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Key)]
    enum Target {
        Any,
        Node(Id),
        Port { node: Id, r#in: u16 },
        Nothing {},
    }

    fn looked_up<K>(form: &impl AsKey<K>) -> Vec<u8> {
        let mut out = KeyBuf::new();
        form.encode_as(&mut out);
        out.as_bytes().to_vec()
    }

    fn id(text: &str) -> Id {
        Id(text.into())
    }

    #[test]
    fn a_newtype_is_what_it_wraps() {
        fn inner<K: NewtypeKey<Inner = String>>() {}
        inner::<Id>();
        assert_eq!(encoded(&id("a")), encoded(&"a".to_owned()));
        assert_eq!(looked_up::<Id>(&"a"), encoded(&id("a")));
        assert_eq!(looked_up::<Id>(&id("a")), encoded(&id("a")));
        assert_eq!(looked_up::<Id>(&&id("a")), encoded(&id("a")));
    }

    #[test]
    fn fields_in_declared_order() {
        let place = Place {
            node: id("n"),
            r#type: Kind::Warning,
            weight: (-1, Some(true)),
        };
        let tuple = ("n".to_owned(), 1u16, (-1i8, Some(true)));
        assert_eq!(encoded(&place), encoded(&tuple));
        assert_eq!(looked_up::<Place>(&place), encoded(&tuple));
    }

    #[test]
    fn a_variant_is_its_ordinal_and_fields() {
        assert_eq!(encoded(&Kind::Critical), encoded(&2u16));
        assert_eq!(encoded(&Target::Any), encoded(&0u16));
        assert_eq!(encoded(&Target::Node(id("x"))), encoded(&(1u16, id("x"))));
        let port = Target::Port {
            node: id("x"),
            r#in: 7,
        };
        assert_eq!(encoded(&port), encoded(&(2u16, id("x"), 7u16)));
        assert_eq!(encoded(&Target::Nothing {}), encoded(&3u16));
    }

    #[test]
    fn byte_order_is_ord() {
        let ids = ["", "\0", "\0\0", "a", "a\0b", "ab", "\u{10ffff}"].map(id);
        let kinds = [Kind::Passing, Kind::Warning, Kind::Critical];
        let weights = [
            (-128, None),
            (-1, Some(false)),
            (-1, Some(true)),
            (127, None),
        ];
        let mut places = Vec::new();
        let mut targets = vec![Target::Any, Target::Nothing {}];
        for node in ids {
            targets.push(Target::Node(node.clone()));
            for r#in in [0, 255, 256, u16::MAX] {
                targets.push(Target::Port {
                    node: node.clone(),
                    r#in,
                });
            }
            for r#type in kinds {
                let place = |weight| Place {
                    node: node.clone(),
                    r#type,
                    weight,
                };
                places.extend(weights.map(place));
            }
        }
        agree(&places);
        agree(&targets);
    }

    fn agree<K: Key + Ord + std::fmt::Debug>(values: &[K]) {
        for a in values {
            for b in values {
                let (x, y) = (encoded(a), encoded(b));
                assert_eq!(x.cmp(&y), a.cmp(b), "{a:?} and {b:?}");
                assert!(a == b || !y.starts_with(&x), "{a:?} begins {b:?}");
            }
        }
    }
}

/// The crate under another name: a table, a schema and a key all take its path.
mod renamed {
    mod vendored {
        pub(super) use highwater as store;
    }
    use vendored::store;

    #[derive(
        Clone,
        Debug,
        PartialEq,
        Eq,
        PartialOrd,
        Ord,
        serde::Serialize,
        serde::Deserialize,
        store::Key,
    )]
    #[key(crate = vendored::store)]
    struct Name(String);

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, store::Table)]
    #[table(crate = vendored::store)]
    struct Node {
        #[primary_key]
        name: Name,
        #[index(each)]
        roles: Vec<u8>,
    }

    #[derive(store::Schema)]
    #[schema(crate = self::vendored::store)]
    struct Nodes {
        nodes: Node,
    }

    #[test]
    fn paths_are_followed() {
        assert_eq!(<Nodes as store::Schema>::TABLES, ["node"]);
    }
}
