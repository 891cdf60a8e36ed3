//! The storage that openraft 0.9 sees: its own suite, what the suite does not ask, and a cluster.
#![cfg(feature = "openraft")]
#![allow(missing_docs, reason = "openraft's macro declares a type without")]

mod common;
mod openraft_cluster;

use common::{Bank, Failure, Request as Command, TOLD, at, balance, request};
use highwater::fsm::Proposal;
use highwater::openraft::{
    ImageFile, LogStore, NodeError, NodeOptions, Request, Response, SnapshotBuilder, StateMachine,
    open,
};
use highwater::{LogIndex, Store};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{
    CommittedLeaderId, Entry, EntryPayload, LogId, Membership, RaftLogReader, RaftSnapshotBuilder,
    StorageError, Vote,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use tempfile::TempDir;

openraft::declare_raft_types!(
    pub Types:
        D = Request<Command>,
        R = Response<i64, Failure>,
        NodeId = u64,
        Node = openraft::BasicNode,
        SnapshotData = ImageFile,
);

type Log = LogStore<Types>;
type Machine = StateMachine<Bank, Command, Types>;

fn node(dir: &Path) -> (Log, Machine) {
    open(&7, dir, NodeOptions::default()).unwrap()
}

struct Nodes;

impl StoreBuilder<Types, Log, Machine, TempDir> for Nodes {
    async fn build(&self) -> Result<(TempDir, Log, Machine), StorageError<u64>> {
        let dir = tempfile::tempdir().unwrap();
        let (log, machine) = node(dir.path());
        // It applies entry 5 after entry 3.
        Ok((dir, log, machine.with_gaps()))
    }
}

#[test]
fn openrafts_own_suite_passes() {
    Suite::test_all(Nodes).unwrap();
}

fn id(index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(1, 0), index)
}

fn entry(index: u64, payload: EntryPayload<Types>) -> Entry<Types> {
    Entry {
        log_id: id(index),
        payload,
    }
}

fn command(index: u64, command: &Command) -> Entry<Types> {
    let proposal = Proposal::new(command, at(1000 + index), index).unwrap();
    entry(index, EntryPayload::Normal(Request::from(&proposal)))
}

fn count(index: u64) -> Entry<Types> {
    command(index, &Command::Count { id: "a".into() })
}

fn first() -> Entry<Types> {
    let members = Membership::new(vec![BTreeSet::from([0])], None);
    entry(0, EntryPayload::Membership(members))
}

async fn image_of(machine: &mut Machine) -> openraft::Snapshot<Types> {
    let mut builder = machine.get_snapshot_builder().await;
    builder.build_snapshot().await.unwrap()
}

fn bytes(store: &Store<Bank>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_node_comes_back_with_log_vote_and_image() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (mut log, mut machine) = node(dir.path());
        log.save_vote(&Vote::new_committed(3, 8)).await.unwrap();
        let entries: Vec<_> = std::iter::once(first())
            .chain((1..=40).map(count))
            .collect();
        log.blocking_append(entries.clone()).await.unwrap();
        machine.apply(entries[..=20].to_vec()).await.unwrap();
        image_of(&mut machine).await;
        machine.apply(entries[21..=30].to_vec()).await.unwrap();
        log.save_committed(Some(id(30))).await.unwrap();
        log.purge(id(10)).await.unwrap();
        log.truncate(id(36)).await.unwrap();
        assert_eq!(balance(machine.store(), "a"), Some(30));
        // Another cannot have the same directory.
        assert!(open::<Bank, Command, Types>(&7, dir.path(), NodeOptions::default()).is_err());
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
    assert_eq!(machine.store().position().index, LogIndex(21));
    let entries = log.try_get_log_entries(21..=30).await.unwrap();
    assert_eq!(entries.len(), 10);
    let answers = machine.apply(entries).await.unwrap();
    assert_eq!(answers[9].index, LogIndex(31));
    common::only_its_driver_writes(machine.store(), "openraft");
    assert_eq!(balance(machine.store(), "a"), Some(30));
    assert!(log.try_get_log_entries(..=10).await.unwrap().is_empty());
    assert_eq!(log.try_get_log_entries(11..).await.unwrap().len(), 25);
}

#[tokio::test]
async fn who_led_does_not_lead_again_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = node(dir.path());
    log.save_vote(&Vote::new_committed(3, 7)).await.unwrap();
    assert_eq!(
        log.read_vote().await.unwrap(),
        Some(Vote::new_committed(3, 7))
    );
    drop(log);
    let (mut log, _) = node(dir.path());
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(3, 7)));
}

#[tokio::test]
async fn what_is_committed_is_in_the_log_and_what_is_sent_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = node(dir.path());
    let bytes = "x".repeat(1 << 20);
    let fill = Command::Fill { bytes };
    let entries = std::iter::once(first()).chain((1..=9).map(|index| command(index, &fill)));
    log.blocking_append(entries).await.unwrap();
    // Noted with an edit that is on the disk before the entry.
    log.save_committed(Some(id(10))).await.unwrap();
    log.save_vote(&Vote::new(1, 7)).await.unwrap();
    assert_eq!(log.read_committed().await.unwrap(), None);
    log.save_committed(Some(id(9))).await.unwrap();
    assert_eq!(log.read_committed().await.unwrap(), Some(id(9)));

    let sent = log.limited_get_log_entries(0, 10).await.unwrap();
    assert_eq!(sent.len(), 4, "as many as have four MiB");
    let sent = log.limited_get_log_entries(9, 10).await.unwrap();
    assert_eq!(sent.len(), 1);
    assert!(
        log.limited_get_log_entries(10, 12)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn what_was_in_the_log_is_not_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let told = || TOLD.load(std::sync::atomic::Ordering::SeqCst);
    let entries = [
        first(),
        command(1, &Command::Tell(1)),
        command(2, &Command::Tell(10)),
    ];
    {
        let (mut log, mut machine) = node(dir.path());
        log.blocking_append(entries.clone()).await.unwrap();
        machine.apply(entries.clone()).await.unwrap();
        assert_eq!(told(), 11);
    }
    let (_, mut machine) = node(dir.path());
    let more = entries.into_iter().chain([command(3, &Command::Tell(100))]);
    let answers = machine.apply(more.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(answers.len(), 4);
    assert_eq!(told(), 111);
}

#[tokio::test]
async fn a_gap_in_the_log_stops_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut machine) = node(dir.path());
    machine.apply([first(), count(1)]).await.unwrap();
    let error = machine.apply([count(3)]).await.unwrap_err();
    assert!(
        error.to_string().contains("entry 3 was expected"),
        "{error}"
    );
    // What is read goes on; the mark stays.
    assert_eq!(machine.store().position().index, LogIndex(2));
    assert!(machine.apply([count(2)]).await.is_err());
}

#[tokio::test]
async fn an_image_without_its_log_or_a_log_without_its_image() {
    // The image is lost, and the log begins after it: openraft finds it when it starts, and the
    // machine if it does not.
    let dir = tempfile::tempdir().unwrap();
    {
        let (mut log, _) = node(dir.path());
        let entries = std::iter::once(first()).chain((1..=9).map(count));
        log.blocking_append(entries).await.unwrap();
        log.purge(id(5)).await.unwrap();
    }
    let (mut log, mut machine) = node(dir.path());
    let rest = log.try_get_log_entries(..).await.unwrap();
    let error = machine.apply(rest).await.unwrap_err();
    assert!(
        error.to_string().contains("entry 1 was expected"),
        "{error}"
    );
}

#[tokio::test]
async fn an_older_image_is_refused_and_a_newer_installed_beside_the_readers() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, mut from) = node(one.path());
    let (_, mut to) = node(other.path());
    from.apply([first(), count(1), count(2)]).await.unwrap();
    let old = image_of(&mut from).await;
    to.apply([first(), count(1), count(2), count(3)])
        .await
        .unwrap();
    let before = bytes(to.store());

    let error = to
        .install_snapshot(&old.meta, old.snapshot)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("already at"), "{error}");
    assert_eq!(bytes(to.store()), before, "nothing was changed");
    assert!(to.get_current_snapshot().await.unwrap().is_none());
    to.apply([count(4)]).await.unwrap();

    from.apply([count(3), count(4), count(5), count(6)])
        .await
        .unwrap();
    let new = image_of(&mut from).await;
    let held = to.store().snapshot();
    let waiter = {
        let store = to.store().clone();
        std::thread::spawn(move || {
            let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
            store
                .snapshot_at_least(LogIndex(7), deadline)
                .unwrap()
                .index()
        })
    };
    // As it comes over the network: into a file of the receiver's own.
    let mut received = to.begin_receiving_snapshot().await.unwrap();
    let mut sent = new.snapshot;
    tokio::io::copy(&mut sent, &mut received).await.unwrap();
    to.install_snapshot(&new.meta, received).await.unwrap();
    assert_eq!(waiter.join().unwrap(), LogIndex(7));
    assert_eq!(held.index(), LogIndex(5));
    assert_eq!(bytes(to.store()), bytes(from.store()));
    assert_eq!(to.applied_state().await.unwrap().0, Some(id(6)));
    let current = to.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta, new.meta);

    // A damaged one changes nothing either, and what was received of it is removed.
    from.apply([count(7)]).await.unwrap();
    let newer = image_of(&mut from).await;
    let mut whole = Vec::new();
    tokio::io::copy(&mut { newer.snapshot }, &mut whole)
        .await
        .unwrap();
    let at = whole.len() / 2;
    whole[at] ^= 1;
    let mut received = to.begin_receiving_snapshot().await.unwrap();
    tokio::io::copy(&mut &whole[..], &mut received)
        .await
        .unwrap();
    assert!(to.install_snapshot(&newer.meta, received).await.is_err());
    assert_eq!(to.store().position().index, LogIndex(7));
    drop(to);
    assert_eq!(images(other.path()), ["image-00000000000000000007"]);
    let (_, mut to) = node(other.path());
    assert_eq!(to.applied_state().await.unwrap().0, Some(id(6)));
}

fn images(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("image"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_image_that_is_built_late_does_not_replace_a_newer() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, mut machine) = node(one.path());
    let (_, mut ahead) = node(other.path());
    machine.apply([first(), count(1)]).await.unwrap();
    let mut late: SnapshotBuilder<Bank> = machine.get_snapshot_builder().await;
    // Entries and an image come while it has not begun.
    machine.apply([count(2)]).await.unwrap();
    ahead
        .apply([first(), count(1), count(2), count(3)])
        .await
        .unwrap();
    let newer = image_of(&mut ahead).await;
    machine
        .install_snapshot(&newer.meta, newer.snapshot)
        .await
        .unwrap();
    let built: openraft::Snapshot<Types> = late.build_snapshot().await.unwrap();
    assert_eq!(built.meta.last_log_id, Some(id(3)), "the newest there is");
    let current = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta.last_log_id, Some(id(3)));
    assert_eq!(images(one.path()), ["image-00000000000000000004"]);
}

#[test]
fn faults_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("raft.redb"),
        b"nothing of ours, at some length",
    )
    .unwrap();
    let error = open::<Bank, Command, Types>(&7, dir.path(), NodeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("raft.redb"), "{error}");
    std::fs::remove_file(dir.path().join("raft.redb")).unwrap();
    std::fs::write(dir.path().join("image-00000000000000000009"), b"no image").unwrap();
    let error = open::<Bank, Command, Types>(&7, dir.path(), NodeOptions::default()).unwrap_err();
    assert!(matches!(error, NodeError::Image { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// One by one, in batches, and after an image in the middle: byte for byte the same image, and
    /// the same answers.
    #[test]
    fn a_log_has_one_outcome(
        log in prop::collection::vec(prop::option::weighted(0.8, request()), 1..60),
        cuts in prop::collection::vec(1_usize..9, 60),
        image_at in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let entries = || {
            let payload = |(index, request): (u64, &Option<Command>)| match request {
                Some(request) => command(index, request),
                None => entry(index, EntryPayload::Blank),
            };
            std::iter::once(first()).chain((1..).zip(&log).map(payload))
        };
        runtime.block_on(async {
            let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
            let (_, mut single) = node(dirs[0].path());
            let mut expected = Vec::new();
            for entry in entries() {
                expected.extend(single.apply([entry]).await.unwrap());
            }
            let (_, mut machine) = node(dirs[1].path());
            let mut answers = Vec::new();
            let image_at = image_at.index(log.len());
            let mut rest = entries().peekable();
            let mut moved = false;
            for cut in cuts {
                if !moved && answers.len() > image_at {
                    moved = true;
                    let image = image_of(&mut machine).await;
                    let (_, mut other) = node(dirs[2].path());
                    other.install_snapshot(&image.meta, image.snapshot).await.unwrap();
                    machine = other;
                }
                answers.extend(machine.apply(rest.by_ref().take(cut)).await.unwrap());
            }
            assert!(rest.peek().is_none());
            assert_eq!(answers, expected);
            assert_eq!(bytes(machine.store()), bytes(single.store()));
        });
    }
}
