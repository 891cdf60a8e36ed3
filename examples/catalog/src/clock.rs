//! The log's clock, by which all time of the catalog passes.
//!
//! Who leads gives each entry its time, and nobody else does: that which the log had come to when it
//! began to lead, and what has passed since by a clock that nobody sets. So the log's time counts the
//! time in which somebody leads, and neither jumps nor stands still when the clock of a machine is
//! wrong or is set. Only the first who ever leads begins with what its machine says.

use std::time::SystemTime;

use tokio::sync::watch;
use tokio::time::Instant;

/// The log's clock, as far as this node sets it.
#[derive(Debug)]
pub struct Clock(watch::Sender<Option<Reading>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    /// In which this node leads.
    term: u64,
    /// The log's time at `here`.
    log: SystemTime,
    here: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Clock(watch::Sender::new(None))
    }
}

impl Clock {
    /// The log's time at which an entry takes the time it finds.
    pub const AS_IT_IS: SystemTime = SystemTime::UNIX_EPOCH;

    /// In a term that this node leads in, the log has come to this time now.
    pub fn set(&self, term: u64, log: SystemTime) {
        let log = match log {
            Self::AS_IT_IS => SystemTime::now(),
            log => log,
        };
        let here = Instant::now();
        self.0.send_replace(Some(Reading { term, log, here }));
    }

    /// The log's time, if it was set in this term.
    pub fn now(&self, term: u64) -> Option<SystemTime> {
        let reading = (*self.0.borrow()).filter(|reading| reading.term == term)?;
        Some(reading.log + reading.here.elapsed())
    }

    /// Waits until it is.
    pub async fn now_in(&self, term: u64) -> SystemTime {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(now) = self.now(term) {
                return now;
            }
            // The sender is this.
            let _ = changes.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::command::{Command, Reply};
    use crate::machine::in_process;

    const YEAR: Duration = Duration::from_hours(365 * 24);

    #[tokio::test]
    async fn it_goes_on_from_where_the_log_was() {
        let clock = Clock::default();
        assert_eq!(clock.now(1), None);
        let ahead = SystemTime::now() + YEAR;
        clock.set(1, ahead);
        let now = clock.now(1).unwrap();
        assert!((ahead..ahead + YEAR).contains(&now), "{now:?}");
        // In another term it is another's.
        assert_eq!(clock.now(2), None);
        let behind = ahead - 2 * YEAR;
        let (now, ()) = tokio::join!(clock.now_in(2), async { clock.set(2, behind) });
        assert!((behind..ahead).contains(&now), "{now:?}");
        assert_eq!(clock.now(1), None);
    }

    /// Whatever the clocks of the others say: a command that comes from one of them has no time.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_leader_alone_gives_entries_their_time() {
        let folder = tempfile::tempdir().unwrap();
        let nodes = in_process(2, folder.path()).await;
        let (leader, term, other) = tokio::select! {
            term = nodes[0].leads_in(|term| term.is_some()) => (&nodes[0], term, &nodes[1]),
            term = nodes[1].leads_in(|term| term.is_some()) => (&nodes[1], term, &nodes[0]),
        };
        let term = term.unwrap();
        while leader.begin(term).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        let ahead = SystemTime::now() + YEAR;
        leader.clock.set(term, ahead);
        other.clock.set(term, ahead + YEAR);
        let beginning = other.write(&Command::Begin).await.unwrap();
        let Ok(Reply::Time(time)) = beginning.result else {
            panic!("{:?}", beginning.result);
        };
        assert!((ahead..ahead + YEAR).contains(&time), "{time:?}");
        for node in &nodes {
            node.close(false).await.unwrap();
        }
    }

    #[test]
    fn the_first_begins_with_what_its_machine_says() {
        let clock = Clock::default();
        let before = SystemTime::now();
        clock.set(0, Clock::AS_IT_IS);
        assert!(clock.now(0) >= Some(before));
    }
}
