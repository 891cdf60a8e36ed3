//! Records of earlier versions: converted, form by form; others refused before anything changes.

use highwater::describe;
use highwater::{ImageError, LogIndex, Schema, Store, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The first program.
mod v1 {
    use super::{Deserialize, Schema, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "services")]
    pub(crate) struct Service {
        #[primary_key]
        pub id: u32,
        #[index]
        pub node: String,
        #[index]
        pub address: String,
        /// Later forms have it no more.
        pub retired: bool,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "nodes")]
    pub(crate) struct Node {
        #[primary_key]
        pub name: String,
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        services: Service,
        nodes: Node,
    }
}

/// The second one: the address is in two.
mod v2 {
    use super::{Deserialize, Schema, Serialize, Table, v1};

    #[derive(Deserialize)]
    pub(crate) struct ServiceV1 {
        pub(crate) id: u32,
        pub(crate) node: String,
        pub(crate) address: String,
        pub(crate) retired: bool,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "services", version = 2, from = ServiceV1)]
    pub(crate) struct Service {
        #[primary_key]
        pub id: u32,
        #[index]
        pub node: String,
        #[index]
        pub host: String,
        pub port: u16,
        pub state: String,
    }

    impl From<ServiceV1> for Service {
        fn from(old: ServiceV1) -> Self {
            let (host, port) = old.address.split_once(':').unwrap_or((&old.address, "1"));
            let state = if old.retired { "retired" } else { "active" };
            Service {
                id: old.id,
                node: old.node,
                host: host.into(),
                port: port.parse().unwrap_or(1),
                state: state.into(),
            }
        }
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        services: Service,
        nodes: v1::Node,
    }
}

/// The third one: named by where it is, which is what it is found by; what it was found by is kept.
mod v3 {
    use super::{Deserialize, Schema, Serialize, Table, v1, v2};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct ServiceV2 {
        id: u32,
        node: String,
        host: String,
        #[serde(alias = "harbour")]
        port: u16,
        state: String,
    }

    impl From<v2::ServiceV1> for ServiceV2 {
        fn from(old: v2::ServiceV1) -> Self {
            let v2::Service {
                id,
                node,
                host,
                port,
                state,
            } = old.into();
            ServiceV2 {
                id,
                node,
                host,
                port,
                state,
            }
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "services", version = 3, from = ServiceV2, from = super::v2::ServiceV1)]
    pub(crate) struct Service {
        #[primary_key]
        pub host: String,
        #[primary_key]
        pub port: u16,
        #[index(unique)]
        pub number: u32,
        #[index]
        pub node: String,
        pub state: String,
    }

    impl From<ServiceV2> for Service {
        fn from(old: ServiceV2) -> Self {
            Service {
                host: old.host,
                port: old.port,
                number: old.id,
                node: old.node,
                state: old.state,
            }
        }
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        services: Service,
        nodes: v1::Node,
    }
}

/// The fourth one, which has forgotten how it began.
mod v4 {
    use super::{Deserialize, Schema, Serialize, Table, v1};

    #[derive(Deserialize)]
    pub(crate) struct ServiceV3 {
        host: String,
        port: u16,
        #[serde(rename = "number")]
        _number: u32,
        #[serde(rename = "node")]
        _node: String,
        #[serde(rename = "state")]
        _state: String,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "services", version = 4, from = ServiceV3)]
    pub(crate) struct Service {
        #[primary_key]
        pub address: String,
    }

    impl From<ServiceV3> for Service {
        fn from(old: ServiceV3) -> Self {
            Service {
                address: format!("{}:{}", old.host, old.port),
            }
        }
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        services: Service,
        nodes: v1::Node,
    }
}

fn image<S: Schema>(store: &Store<S>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    bytes
}

/// Services 1 to 6, the later ones at earlier addresses; one changed, one deleted, and time passed.
fn first() -> Store<v1::Program> {
    let store = Store::<v1::Program>::new();
    let service = |id: u32, address: String| v1::Service {
        id,
        node: format!("n{}", id % 2),
        address,
        retired: id == 3,
    };
    for id in 1..=6 {
        let mut txn = store.write().unwrap();
        let address = format!("10.0.0.{}:{}", 10 - id, 80 + id);
        txn.services_mut().insert(service(id, address)).unwrap();
        let name = format!("n{id}");
        txn.nodes_mut().insert(v1::Node { name }).unwrap();
        txn.commit().unwrap();
    }
    let mut txn = store.write().unwrap();
    let moved = service(2, "10.0.0.1:99".into());
    txn.services_mut().update(moved).unwrap();
    txn.services_mut().delete(4_u32).unwrap();
    txn.commit().unwrap();
    store.advance_to(LogIndex(20)).unwrap();
    store
}

#[test]
fn an_earlier_form_is_converted() {
    let (old, new) = (first(), Store::<v2::Program>::new());
    new.restore(&image(&old)[..]).unwrap();
    let (before, after) = (old.snapshot(), new.snapshot());
    after.check().unwrap();
    assert_eq!(new.position(), old.position());
    let moved = after.services().get(2_u32).unwrap();
    assert_eq!((moved.host.as_str(), moved.port), ("10.0.0.1", 99));
    // When a record was made and changed is not changed by its form.
    assert_eq!(moved.create_index(), LogIndex(2));
    assert_eq!(moved.modify_index(), LogIndex(7));
    assert_eq!(after.services().get(3_u32).unwrap().state, "retired");
    // Trees with the keys that they had keep their stamps; the others begin at the image's.
    for id in 1..=7_u32 {
        let (was, is) = (before.services(), after.services());
        assert_eq!(is.log_index_of(id), was.log_index_of(id));
    }
    for node in ["n0", "n1", "n2"] {
        let (was, is) = (before.services(), after.services());
        assert_eq!(is.by_node(node).log_index(), was.by_node(node).log_index());
    }
    assert_eq!(
        after.services().by_host("10.0.0.9").log_index(),
        LogIndex(20)
    );
    assert_eq!(after.nodes().log_index(), before.nodes().log_index());
}

#[test]
fn an_image_of_what_was_converted_is_of_the_new_version() {
    let new = Store::<v2::Program>::from_image(&image(&first())[..]).unwrap();
    let bytes = image(&new);
    let again = Store::<v2::Program>::from_image(&bytes[..]).unwrap();
    assert_eq!(image(&again), bytes);
    assert!(Store::<v1::Program>::from_image(&bytes[..]).is_err());
}

#[test]
fn forms_are_converted_one_after_the_other() {
    let old = first();
    let second = Store::<v2::Program>::from_image(&image(&old)[..]).unwrap();
    let straight = Store::<v3::Program>::from_image(&image(&old)[..]).unwrap();
    let stepwise = Store::<v3::Program>::from_image(&image(&second)[..]).unwrap();
    assert_eq!(image(&straight), image(&stepwise));
    // In the order of another key than the image's.
    let snapshot = straight.snapshot();
    snapshot.check().unwrap();
    let numbers: Vec<u32> = snapshot.services().iter().map(|s| s.number).collect();
    assert_eq!(numbers, [2, 6, 5, 3, 1]);
    let of_node: Vec<u32> = snapshot
        .services()
        .by_node("n1")
        .map(|s| s.number)
        .collect();
    assert_eq!(of_node, [5, 3, 1]);
    assert_eq!(snapshot.services().by_number(5_u32).unwrap().port, 85);
    assert_eq!(snapshot.services().get(("10.0.0.1", 99)).unwrap().number, 2);
    // It goes on as any other store does.
    let mut txn = straight.write().unwrap();
    txn.services_mut().delete(("10.0.0.1", 99)).unwrap();
    txn.commit().unwrap();
    straight.snapshot().check().unwrap();
}

#[test]
fn two_records_that_become_one_are_refused() {
    let old = first();
    let mut txn = old.write().unwrap();
    let mut twin = (**txn.services().get(5_u32).unwrap()).clone();
    twin.id = 9;
    txn.services_mut().insert(twin).unwrap();
    txn.commit().unwrap();
    let bytes = image(&old);
    assert!(Store::<v2::Program>::from_image(&bytes[..]).is_ok());
    match Store::<v3::Program>::from_image(&bytes[..]) {
        Err(ImageError::Refused { place, source }) => {
            assert_eq!((place.table, place.row), (Some("services"), Some(5)));
            let text = source.to_string();
            assert!(text.contains(r#"("10.0.0.5", 85)"#), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

/// Restores into a store that has content, which is as it was after the error.
fn refused<S: Schema>(store: &Store<S>, bytes: &[u8]) -> ImageError {
    let before = image(store);
    let error = store.rewind(bytes).unwrap_err();
    assert_eq!(image(store), before, "{error}");
    error
}

#[test]
fn a_newer_version_is_refused() {
    let old = first();
    let newer = Store::<v3::Program>::from_image(&image(&old)[..]).unwrap();
    match refused(&old, &image(&newer)) {
        error @ ImageError::NewerRecords {
            table: "services",
            image: 3,
            schema: 1,
        } => {
            let text = error.to_string();
            assert!(text.contains("`services`"), "{text}");
            assert!(text.contains("version 3") && text.contains("version 1"));
            assert!(text.contains("the program that wrote it"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_version_before_the_oldest_is_refused() {
    let (old, newest) = (first(), Store::<v4::Program>::new());
    for version in [1, 2] {
        let bytes = match version {
            1 => image(&old),
            _ => image(&Store::<v2::Program>::from_image(&image(&old)[..]).unwrap()),
        };
        match refused(&newest, &bytes) {
            error @ ImageError::OlderRecords {
                table: "services",
                image,
                oldest: 3,
                schema: 4,
            } => {
                assert_eq!(image, version);
                let text = error.to_string();
                assert!(text.contains("`services`"), "{text}");
                assert!(text.contains("versions 3 to 4"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
    let third = Store::<v3::Program>::from_image(&image(&old)[..]).unwrap();
    let fourth = Store::<v4::Program>::from_image(&image(&third)[..]).unwrap();
    assert_eq!(fourth.snapshot().services().len(), 5);
    assert!(fourth.snapshot().services().contains("10.0.0.1:99"));
}

/// A first program whose records have a field that later programs do not know of.
mod other_v1 {
    use super::{Deserialize, Schema, Serialize, Table, v1};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "services", version = 1)]
    pub(crate) struct Service {
        #[primary_key]
        pub id: u32,
        pub node: String,
        pub address: String,
        pub weight: u8,
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        services: Service,
        nodes: v1::Node,
    }
}

#[test]
fn a_field_that_the_earlier_form_has_not_is_refused() {
    let old = Store::<other_v1::Program>::new();
    let mut txn = old.write().unwrap();
    let service = other_v1::Service {
        id: 7,
        node: "n".into(),
        address: "a:1".into(),
        weight: 1,
    };
    txn.services_mut().insert(service).unwrap();
    txn.commit().unwrap();
    let bytes = image(&old);
    let error = refused(&Store::<v2::Program>::new(), &bytes);
    match &error {
        ImageError::UnknownField {
            place,
            version: 1,
            field,
        } => {
            assert_eq!((place.table, &field[..]), (Some("services"), "weight"));
            assert!(error.to_string().contains("of version 1"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_that_is_not_of_the_earlier_form_is_refused_at_its_place() {
    let old = Store::<other_v2::Program>::new();
    let mut txn = old.write().unwrap();
    txn.services_mut()
        .insert(other_v2::Service { id: 7 })
        .unwrap();
    txn.commit().unwrap();
    let bytes = image(&old);
    match Store::<v3::Program>::from_image(&bytes[..]) {
        Err(ImageError::Record { place, what }) => {
            assert_eq!((place.table, place.row), (Some("services"), Some(0)));
            assert!(what.contains("`node`"), "{what}");
        }
        other => panic!("{other:?}"),
    }
}

/// A second program of somebody else's.
mod other_v2 {
    use super::{BTreeMap, Deserialize, Schema, Serialize, Table, v1};

    /// What it was does not say its fields, so what it had is not known.
    #[derive(Deserialize)]
    pub(crate) struct Any(BTreeMap<String, u32>);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "services", version = 2, from = Any)]
    pub(crate) struct Service {
        #[primary_key]
        pub id: u32,
    }

    impl From<Any> for Service {
        fn from(Any(old): Any) -> Self {
            Service { id: old["id"] }
        }
    }

    #[derive(Schema)]
    pub(crate) struct Program {
        services: Service,
        nodes: v1::Node,
    }
}

#[test]
fn a_schema_tells_its_versions() {
    let versions = |schema: describe::Schema| {
        let [services, nodes] = &schema.tables[..] else {
            panic!("{schema:?}");
        };
        assert_eq!((nodes.version, nodes.oldest_version), (1, 1));
        (services.oldest_version, services.version)
    };
    assert_eq!(versions(Store::<v1::Program>::describe()), (1, 1));
    assert_eq!(versions(Store::<v2::Program>::describe()), (1, 2));
    assert_eq!(versions(Store::<v3::Program>::describe()), (1, 3));
    assert_eq!(versions(Store::<v4::Program>::describe()), (3, 4));
    assert_eq!((v3::Service::VERSION, v1::Service::VERSION), (3, 1));
}
