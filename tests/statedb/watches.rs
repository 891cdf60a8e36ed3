//! Watch channels of each kind of query, and sets of them.

use crate::device::{Agent, AgentView, commit, device, put, soon};
use highwater::{Store, Watch, WatchSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

/// What fires the watch of a query: each of these writes is made to a store of its own.
fn fires<R>(query: impl Fn(&AgentView) -> R) -> [bool; 4] {
    let writes = [
        device(2, &["b"]),
        device(2, &["h", "x"]),
        device(7, &["hello"]),
        device(8, &["z"]),
    ];
    writes.map(|write| {
        let store = Store::<Agent>::new();
        put(
            &store,
            [device(1, &["hello"]), device(2, &["h"]), device(3, &["x"])],
        );
        let (_, watch) = store.watch(&query);
        put(&store, [write]);
        watch.has_fired()
    })
}

#[test]
fn every_query_has_a_watch_of_what_it_covers() {
    let get = |db: &AgentView| db.devices().get(2).is_some();
    assert_eq!(fires(get), [true, true, false, false]);
    let absent = |db: &AgentView| db.devices().by_name("eth7").is_some();
    assert_eq!(fires(absent), [false, false, true, false]);
    let list = |db: &AgentView| db.devices().by_tags("hello").count();
    assert_eq!(fires(list), [false, false, true, false]);
    let prefix = |db: &AgentView| db.devices().tags_index().prefix("h").count();
    assert_eq!(fires(prefix), [true, true, true, false]);
    // There it is the whole table's.
    let lower_bound = |db: &AgentView| db.devices().range(3..).count();
    assert_eq!(fires(lower_bound), [false, false, true, true]);
    let all = |db: &AgentView| db.devices().iter().count();
    assert_eq!(fires(all), [true; 4]);
}

/// `InsertWatch`: of what was just written, from its commit on.
#[test]
fn what_was_written_is_watched_until_it_is_written_again() {
    let store = Store::<Agent>::new();
    put(&store, [device(1, &[])]);
    let (_, watch) = store.watch(|db| db.devices().get(1).is_some());
    put(&store, [device(2, &[])]);
    assert!(!watch.has_fired());
    put(&store, [device(1, &["again"])]);
    assert!(watch.has_fired());
}

/// Which of them have fired: a set says only that one has, so who has to know keeps the watches. The first of
/// them is waited for as a future.
async fn some(watches: &mut [Watch]) -> Vec<usize> {
    std::future::poll_fn(|context: &mut Context<'_>| {
        let mut fired = Vec::new();
        for (i, watch) in watches.iter_mut().enumerate() {
            if Pin::new(watch).poll(context).is_ready() {
                fired.push(i);
            }
        }
        if fired.is_empty() {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(fired)
    })
    .await
}

#[test]
fn a_set_is_waited_for_as_one() {
    let store = Store::<Agent>::new();
    let watch = |id: u32| store.watch(|db| db.devices().get(id).is_some()).1;
    let set: WatchSet = (0..100).map(watch).collect();
    assert_eq!(store.stats().watchers, 1);
    put(&store, [device(100, &[])]);
    assert!(!set.has_fired());
    put(&store, [device(99, &[])]);
    assert!(set.wait(soon()));
    // Which ones.
    let mut watches: Vec<Watch> = (0..10).map(watch).collect();
    commit(&store, |txn| {
        for id in [3, 5, 50] {
            txn.devices_mut().insert(device(id, &[])).unwrap();
        }
    });
    let mut which = std::pin::pin!(some(&mut watches));
    let mut context = Context::from_waker(Waker::noop());
    let std::task::Poll::Ready(fired) = which.as_mut().poll(&mut context) else {
        panic!("nothing has fired")
    };
    assert_eq!(fired, [3, 5]);
}
