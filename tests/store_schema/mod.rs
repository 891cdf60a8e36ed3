//! The schema that the tests of the store, its watches and its feed share.
#![allow(dead_code, reason = "not every test uses all of it")]

use highwater::{Feed, FeedError, FeedItem, LogIndex, Row, Schema, Store, Table, Turn, WriteTxn};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A service, with an index of every kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "services")]
#[index(by_name_node(name, node))]
pub(crate) struct Service {
    #[primary_key]
    pub(crate) id: String,
    #[index]
    pub(crate) node: String,
    pub(crate) name: String,
    #[index(each)]
    pub(crate) tags: BTreeSet<String>,
    #[index(each, unique)]
    pub(crate) port: Option<u16>,
    pub(crate) note: u32,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "nodes")]
pub(crate) struct Node {
    #[primary_key]
    pub(crate) name: String,
    pub(crate) address: u32,
}

/// A check, with a key of two fields and an index that is unique for each of several items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "checks")]
pub(crate) struct Check {
    #[primary_key]
    pub(crate) node: String,
    #[primary_key]
    pub(crate) number: i32,
    #[index(each, unique)]
    pub(crate) aliases: Vec<String>,
}

#[derive(Debug, Schema)]
pub(crate) struct Catalog {
    services: Service,
    nodes: Node,
    checks: Check,
}

pub(crate) fn service(id: &str, node: &str, name: &str) -> Service {
    Service {
        id: id.to_owned(),
        node: node.to_owned(),
        name: name.to_owned(),
        tags: BTreeSet::new(),
        port: None,
        note: 0,
    }
}

pub(crate) fn tagged(id: &str, tags: &[&str]) -> Service {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Service {
        tags,
        ..service(id, "n", "s")
    }
}

pub(crate) fn node(name: &str, address: u32) -> Node {
    Node {
        name: name.to_owned(),
        address,
    }
}

pub(crate) fn check(node: &str, number: i32, aliases: &[&str]) -> Check {
    let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    Check {
        node: node.to_owned(),
        number,
        aliases,
    }
}

/// The transaction that applies entry `index`, which must be new.
pub(crate) fn at(store: &Store<Catalog>, index: u64) -> WriteTxn<Catalog> {
    match store.write_at(LogIndex(index)).expect("the store is open") {
        Turn::Apply(txn) => txn,
        Turn::AlreadyApplied { applied } => panic!("{index} is applied: {applied}"),
    }
}

/// Commits what `write` does as entry `index`.
pub(crate) fn commit_at(
    store: &Store<Catalog>,
    index: u64,
    write: impl FnOnce(&mut WriteTxn<Catalog>),
) {
    let mut txn = at(store, index);
    write(&mut txn);
    assert_eq!(txn.commit(), Ok(LogIndex(index)));
}

/// Far enough away that only a hang gets there.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Long enough that what is not to happen would have happened, mostly.
pub(crate) fn shortly() -> Instant {
    Instant::now() + Duration::from_millis(30)
}

/// The next event of a feed that is there already. Bookmarks are passed over; nothing is restored.
pub(crate) fn event<E>(feed: &mut Feed<E>) -> Result<Option<E>, FeedError> {
    while let Some(item) = feed.try_next()? {
        match item {
            FeedItem::Event(event) => return Ok(Some(event)),
            FeedItem::Bookmark(_) => {}
            FeedItem::Restored(position) => panic!("restored at {position}"),
        }
    }
    Ok(None)
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(30)),
        }
    }
}

/// The ids of services, in order.
pub(crate) fn ids<'a>(rows: impl Iterator<Item = &'a Row<Service>>) -> Vec<&'a str> {
    rows.map(|row| row.id.as_str()).collect()
}
