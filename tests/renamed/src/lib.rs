//! A schema with everything that generated code names a path for, where no crate is called `highwater`.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;
use store::{Key, Schema, Table, TableWriter, WriteError};

/// The kind of a service.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize, Key)]
#[key(crate = store)]
pub enum Kind {
    /// One that others call.
    Server,
    /// One that stands before others.
    Proxy {
        /// How many it stands before.
        depth: u8,
    },
}

/// A service, as it was.
#[derive(Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(crate = store, name = "services")]
pub struct ServiceV1 {
    #[primary_key]
    id: String,
    kind: Kind,
}

/// A service.
#[derive(Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(crate = store, name = "services", version = 2, from = ServiceV1, check = Service::is_named)]
#[index(when = Service::is_named, by_forms(reverse(caseless(id)), each(tags), sparse(node)))]
#[index(unique, by_length(with = Service::length -> u64, id))]
pub struct Service {
    /// What it is called.
    #[primary_key]
    pub id: String,
    /// What it is for.
    #[index]
    pub kind: Kind,
    /// What is said of it.
    #[index(each)]
    pub tags: BTreeMap<String, u8>,
    /// Where it runs.
    #[index(sparse, references = Node, cascade)]
    pub node: Option<String>,
    /// How long it is there.
    #[expires]
    pub until: Option<SystemTime>,
}

impl Service {
    fn is_named(&self) -> bool {
        !self.id.is_empty()
    }

    fn length(&self) -> u64 {
        self.id.len() as u64
    }
}

impl From<ServiceV1> for Service {
    fn from(ServiceV1 { id, kind }: ServiceV1) -> Self {
        Service {
            id,
            kind,
            tags: BTreeMap::new(),
            node: None,
            until: None,
        }
    }
}

/// A node.
#[derive(Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(crate = store)]
pub struct Node {
    /// What it is called.
    #[primary_key]
    pub name: String,
}

/// How many services a node has.
#[derive(Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(crate = store, derived_from = Service, by = Load::count)]
pub struct Load {
    #[primary_key]
    node: String,
    services: u32,
}

impl Load {
    fn count(
        before: Option<&Service>,
        after: Option<&Service>,
        loads: &mut TableWriter<'_, Load>,
    ) -> Result<(), WriteError> {
        let on = |service: Option<&Service>| service.and_then(|service| service.node.clone());
        for (node, more) in [(on(before), false), (on(after), true)] {
            let Some(node) = node else { continue };
            let services = loads.read().get(&node).map_or(0, |load| load.services);
            let services = if more { services + 1 } else { services - 1 };
            loads.upsert(Load { node, services })?;
        }
        Ok(())
    }
}

/// All of them.
#[derive(Debug, Schema)]
#[schema(crate = store)]
pub struct Catalog {
    services: Service,
    nodes: Node,
    loads: Load,
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Store;

    #[test]
    fn all_of_it_works() -> Result<(), Box<dyn std::error::Error>> {
        let store = Store::<Catalog>::new();
        let mut txn = store.write()?;
        txn.nodes_mut().insert(Node { name: "n1".into() })?;
        txn.services_mut().insert(Service {
            id: "Web".into(),
            kind: Kind::Proxy { depth: 2 },
            tags: BTreeMap::from([("blue".into(), 1)]),
            node: Some("n1".into()),
            until: Some(SystemTime::UNIX_EPOCH),
        })?;
        txn.commit()?;
        let snap = store.snapshot();
        assert_eq!(snap.services().by_kind(Kind::Proxy { depth: 2 }).count(), 1);
        assert_eq!(snap.services().forms_index().iter().count(), 1);
        assert_eq!(snap.services().due(SystemTime::now()).count(), 1);
        assert_eq!(snap.loads().get("n1").map(|load| load.services), Some(1));
        let mut txn = store.write()?;
        txn.nodes_mut().delete("n1")?;
        txn.commit()?;
        assert!(store.snapshot().services().is_empty());
        Ok(())
    }
}
