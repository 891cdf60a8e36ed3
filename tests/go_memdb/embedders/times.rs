//! Which index was when: nomad's time table.

use highwater::fsm::{Batch, Command, Context, LogEntry, Proposal, Rejected};
use highwater::{LogIndex, Schema, Store, Table, WriteError, WriteTxn};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// That the log was at an index at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Moment {
    #[primary_key]
    index: u64,
    #[index]
    time: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Job {
    #[primary_key]
    id: u32,
}

#[derive(Schema)]
struct Cluster {
    moments: Moment,
    jobs: Job,
}

/// How far apart moments are, and how long they are kept.
const EVERY: Duration = Duration::from_mins(5);
const FOR: Duration = Duration::from_hours(72);

/// Notes when the entry was, if that is some time after the last that was noted.
fn note(context: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), WriteError> {
    let (index, time) = (context.index().0, context.time());
    let last = txn.moments().last().map(|moment| moment.time);
    if last.is_some_and(|last| time < last + EVERY) {
        return Ok(());
    }
    txn.moments_mut().insert(Moment { index, time })?;
    if let Some(before) = time.checked_sub(FOR) {
        txn.moments_mut()
            .delete_query(|moments| moments.time_index().range(..before))?;
    }
    Ok(())
}

/// The last index that was noted at this time or before.
fn nearest_index(db: &ClusterView, time: SystemTime) -> Option<LogIndex> {
    let moment = db.moments().time_index().range(..=time).next_back()?;
    Some(LogIndex(moment.index))
}

/// When the last was that was noted at this index or before.
fn nearest_time(db: &ClusterView, index: LogIndex) -> Option<SystemTime> {
    let moment = db.moments().range(..=index.0).next_back()?;
    Some(moment.time)
}

#[derive(Serialize, Deserialize)]
struct Run(u32);

impl Command<Cluster> for Run {
    type Reply = ();
    type Error = Rejected;

    fn apply(self, context: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), Rejected> {
        note(context, txn)?;
        txn.jobs_mut().upsert(Job { id: self.0 })?;
        Ok(())
    }
}

fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

/// A log with an entry at each of these times.
fn log(times: impl IntoIterator<Item = u64>) -> Vec<LogEntry<Run>> {
    (1..)
        .zip(times)
        .map(|(index, secs)| {
            let proposal = Proposal::new(&Run(7), at(secs), 1).unwrap();
            LogEntry::from_proposal(LogIndex(index), proposal)
        })
        .collect()
}

#[test]
fn the_time_of_an_index_and_the_index_of_a_time() {
    let store = Store::<Cluster>::new();
    // The clock of the machine that leads at 800 is behind.
    let times = [1000, 1100, 1300, 1350, 800, 1900];
    assert!(Batch::new(log(times)).apply(&store).halted.is_none());
    let snap = store.snapshot();
    for (secs, index) in [
        (999, None),
        (1000, Some(1)),
        (1299, Some(1)),
        (1300, Some(3)),
        (5000, Some(6)),
    ] {
        assert_eq!(
            nearest_index(&snap, at(secs)),
            index.map(LogIndex),
            "{secs}"
        );
    }
    for (index, secs) in [
        (0, None),
        (1, Some(1000)),
        (2, Some(1000)),
        (5, Some(1300)),
        (6, Some(1900)),
    ] {
        assert_eq!(
            nearest_time(&snap, LogIndex(index)),
            secs.map(at),
            "{index}"
        );
    }
    // It is in the image, as any table is.
    let mut image = Vec::new();
    snap.write_image(&mut image).unwrap();
    let again = Store::<Cluster>::from_image(&image[..]).unwrap();
    assert_eq!(
        nearest_index(&again.snapshot(), at(1400)),
        Some(LogIndex(3))
    );
}

#[test]
fn what_is_long_ago_is_forgotten() {
    let store = Store::<Cluster>::new();
    let days = (0..10).map(|day| day * 24 * 3600);
    assert!(Batch::new(log(days)).apply(&store).halted.is_none());
    let snap = store.snapshot();
    let kept: Vec<_> = snap.moments().iter().map(|moment| moment.index).collect();
    assert_eq!(kept, [7, 8, 9, 10]);
}
