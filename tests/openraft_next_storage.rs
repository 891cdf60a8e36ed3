//! The storage that openraft 0.10 sees: its own suite, and what the suite does not ask.
#![cfg(feature = "openraft-next")]
#![allow(missing_docs, reason = "openraft's macro declares a type without")]

mod common;

use common::{Bank, Failure, Request as Command, at, balance};
use highwater::fsm::Proposal;
use highwater::openraft_next::{
    Blocking, ImageFile, LogStore, NodeOptions, Request, Response, StateMachine, open,
};
use highwater::{LogIndex, Store};
use openraft_next::alias::{EntryOf, LogIdOf, SnapshotOf};
use openraft_next::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft_next::testing::log::{StoreBuilder, Suite};
use openraft_next::{
    AsyncRuntime, EntryPayload, RaftLogReader, RaftSnapshotBuilder, StorageError, Vote,
};
use openraft_rt_sim::SimRuntime;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use tempfile::TempDir;

openraft_next::declare_raft_types!(
    pub Types:
        D = Request<Command>,
        R = Response<i64, Failure>,
        NodeId = u64,
        Node = openraft_next::NodeInfo,
        AsyncRuntime = SimRuntime,
);

type Log = LogStore<Types>;
type Machine = StateMachine<Bank, Command, Types>;
type Image = SnapshotOf<Types, ImageFile>;

fn node(dir: &Path) -> (Log, Machine) {
    let options = NodeOptions {
        blocking: Blocking::Inline,
        ..NodeOptions::default()
    };
    open(&7, dir, options).unwrap()
}

struct Nodes;

impl StoreBuilder<Types, Log, Machine, TempDir> for Nodes {
    async fn build(&self) -> Result<(TempDir, Log, Machine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let (log, machine) = node(dir.path());
        // It applies entry 5 after entry 3.
        Ok((dir, log, machine.with_gaps()))
    }
}

#[test]
fn openrafts_own_suite_passes() {
    SimRuntime::with_seed(1).block_on(async { Suite::test_all(Nodes).await.unwrap() });
}

fn id(index: u64) -> LogIdOf<Types> {
    openraft_next::testing::log_id::<Types>(1, 0, index)
}

fn entry(
    index: u64,
    payload: EntryPayload<Request<Command>, u64, openraft_next::NodeInfo>,
) -> EntryOf<Types> {
    EntryOf::<Types> {
        log_id: id(index),
        payload,
    }
}

fn count(index: u64) -> EntryOf<Types> {
    let command = Command::Count { id: "a".into() };
    let proposal = Proposal::new(&command, at(1000 + index), index).unwrap();
    entry(index, EntryPayload::Normal(Request::from(&proposal)))
}

fn first() -> EntryOf<Types> {
    let members = openraft_next::Membership::new_with_defaults(vec![BTreeSet::from([0])], []);
    entry(0, EntryPayload::Membership(members))
}

/// Entries as openraft streams them, with nobody to answer.
async fn apply(
    machine: &mut Machine,
    entries: impl IntoIterator<Item = EntryOf<Types>>,
) -> io::Result<()> {
    let entries: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    machine.apply(futures_util::stream::iter(entries)).await
}

fn bytes(store: &Store<Bank>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    bytes
}

async fn image_of(machine: &mut Machine) -> Image {
    let mut builder = machine.get_snapshot_builder().await;
    RaftSnapshotBuilder::<Types>::build_snapshot(&mut builder)
        .await
        .unwrap()
}

#[test]
fn a_node_comes_back_with_log_vote_and_image() {
    SimRuntime::with_seed(1).block_on(async {
        let dir = tempfile::tempdir().unwrap();
        {
            let (mut log, mut machine) = node(dir.path());
            log.save_vote(&Vote::new_committed(3, 8)).await.unwrap();
            let entries: Vec<_> = std::iter::once(first())
                .chain((1..=40).map(count))
                .collect();
            log.blocking_append(entries.clone()).await.unwrap();
            apply(&mut machine, entries[..=20].to_vec()).await.unwrap();
            image_of(&mut machine).await;
            apply(&mut machine, entries[21..=30].to_vec())
                .await
                .unwrap();
            log.save_committed(Some(id(30))).await.unwrap();
            log.purge(id(10)).await.unwrap();
            log.truncate_after(Some(id(35))).await.unwrap();
        }
        let (mut log, mut machine) = node(dir.path());
        assert_eq!(
            log.read_vote().await.unwrap(),
            Some(Vote::new_committed(3, 8))
        );
        assert_eq!(log.read_committed().await.unwrap(), Some(id(30)));
        let state = log.get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(id(10)));
        assert_eq!(state.last_log_id, Some(id(35)));
        let (applied, members) = machine.applied_state().await.unwrap();
        assert_eq!(applied, Some(id(20)));
        assert_eq!(*members.log_id(), Some(id(0)));
        assert_eq!(balance(machine.store(), "a"), Some(20));
        let entries = log.try_get_log_entries(21..=30).await.unwrap();
        apply(&mut machine, entries).await.unwrap();
        assert_eq!(balance(machine.store(), "a"), Some(30));
        assert_eq!(machine.store().position().index, LogIndex(31));
        common::only_its_driver_writes(machine.store(), "openraft");
        let error = apply(&mut machine, [count(33)]).await.unwrap_err();
        assert!(
            error.to_string().contains("entry 32 was expected"),
            "{error}"
        );
    });
}

#[test]
fn who_led_does_not_lead_again_by_itself() {
    SimRuntime::with_seed(1).block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let led = Vote::new_committed(3, 7);
        {
            let (mut log, _) = node(dir.path());
            log.save_vote(&led).await.unwrap();
            assert_eq!(log.read_vote().await.unwrap(), Some(led));
        }
        let (mut log, _) = node(dir.path());
        assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(3, 7)));
    });
}

#[test]
fn an_older_image_is_refused_and_a_received_one_installed() {
    SimRuntime::with_seed(1).block_on(async {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_, mut from) = node(one.path());
        let (_, mut to) = node(other.path());
        apply(&mut from, [first(), count(1)]).await.unwrap();
        let old = image_of(&mut from).await;
        apply(&mut to, [first(), count(1), count(2)]).await.unwrap();
        let before = bytes(to.store());
        let error = to
            .install_snapshot(&old.meta, old.snapshot)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("already at"), "{error}");
        assert_eq!(bytes(to.store()), before);

        apply(&mut from, (2..=2000).map(count)).await.unwrap();
        let mut new = image_of(&mut from).await;
        let mut received = to.inbox().receive().unwrap();
        io::copy(&mut new.snapshot, &mut received).unwrap();
        assert_eq!(received.len().unwrap(), new.snapshot.len().unwrap());
        to.install_snapshot(&new.meta, received).await.unwrap();
        assert_eq!(bytes(to.store()), bytes(from.store()));
        // What is received and not installed does not stay.
        drop(to.inbox().receive().unwrap());
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 2);
    });
}
