//! Ways to read, and sessions that never read below what they have seen.

use crate::past::{put_at, retaining};
use crate::store_schema::*;
use crate::{at_position, image};
use highwater::WaitError::HistoryChanged;
use highwater::{
    AsOfError, HistoryId, LogIndex, Position, ReadError, ReadMode, ReadSession, Retention, Store,
    StoreOptions, WaitError,
};
use proptest::prelude::*;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn one_entry_for_every_way_to_read() {
    let store = retaining(Retention {
        versions: 2,
        ..Retention::default()
    });
    for index in 1..=5 {
        put_at(&store, index);
    }
    let ready = || std::future::ready(());
    let both = |mode: ReadMode| {
        let blocking = store
            .read(mode, Instant::now())
            .map(|snapshot| snapshot.index().0);
        let on_executor = block_on(store.read_async(mode, ready()));
        assert_eq!(on_executor.map(|snapshot| snapshot.index().0), blocking);
        blocking
    };
    let exactly = |index: u64| ReadMode::Exactly(LogIndex(index).into());
    assert_eq!(both(ReadMode::Any), Ok(5));
    assert_eq!(both(LogIndex(4).into()), Ok(5));
    assert_eq!(both(at_position(5).into()), Ok(5));
    let lagging = |wanted| {
        Err(ReadError::Wait(WaitError::Lagging {
            wanted: LogIndex(wanted),
            applied: LogIndex(5),
        }))
    };
    assert_eq!(both(LogIndex(6).into()), lagging(6));
    assert_eq!(both(exactly(5)), Ok(5));
    assert_eq!(both(exactly(3)), Ok(3));
    assert_eq!(
        both(exactly(2)),
        Err(ReadError::AsOf(AsOfError::Compacted {
            wanted: LogIndex(2),
            oldest: at_position(3)
        }))
    );
    assert_eq!(both(exactly(6)), lagging(6));
    // It is waited for; if it is past when the wait ends, it is looked for in the past.
    thread::scope(|scope| {
        let waiting = [6, 8].map(|index| scope.spawn(move || index)).map(|index| {
            let store = &store;
            let index = index.join().unwrap();
            scope.spawn(move || {
                store
                    .read(exactly(index), soon())
                    .map(|past| past.index().0)
            })
        });
        thread::sleep(Duration::from_millis(5));
        put_at(&store, 6);
        let mut txn = at(&store, 7);
        txn.next_entry(LogIndex(8)).unwrap();
        txn.next_entry(LogIndex(9)).unwrap();
        txn.commit().unwrap();
        let [found, inside] = waiting.map(|waiting| waiting.join().unwrap());
        assert_eq!(found, Ok(6));
        assert!(matches!(
            inside,
            Err(ReadError::AsOf(AsOfError::Unpublished { .. }))
        ));
    });
}

#[test]
fn a_bound_on_staleness_waits_for_the_drivers_word() {
    let store = Store::<Catalog>::new();
    put_at(&store, 3);
    let fresh = |most: Duration| ReadMode::MaxStale(most);
    let hour = Duration::from_hours(1);
    let not_heard = ReadError::Stale {
        allowed: hour,
        heard: None,
    };
    assert_eq!(
        store.read(fresh(hour), Instant::now()).unwrap_err(),
        not_heard
    );
    let ready = std::future::ready(());
    assert_eq!(
        block_on(store.read_async(fresh(hour), ready)).unwrap_err(),
        not_heard
    );
    assert_eq!(store.staleness(), None);
    // Heard of, and caught up with.
    let said = |index| Position {
        history: HistoryId::UNNAMED,
        index,
    };
    store.note_committed(said(LogIndex(3)), Instant::now());
    assert!(store.read(fresh(hour), Instant::now()).is_ok());
    assert!(store.staleness().unwrap() < hour);
    // That was before now.
    let now = Instant::now();
    assert!(matches!(
        store.read(fresh(Duration::ZERO), now).unwrap_err(),
        ReadError::Stale { heard: Some(_), .. }
    ));
    // Those who wait go on when it is said, and applied; one that says less does not count.
    for blocking in [true, false] {
        let index = store.position().index;
        let (second, third) = (index.next(), index.next().next());
        let reader = {
            let store = store.clone();
            thread::spawn(move || {
                if blocking {
                    store.read(fresh(Duration::ZERO), soon())
                } else {
                    let never = std::future::pending();
                    block_on(store.read_async(fresh(Duration::ZERO), never))
                }
            })
        };
        thread::sleep(Duration::from_millis(10));
        store.note_committed(said(index), now);
        thread::sleep(Duration::from_millis(5));
        assert!(!reader.is_finished());
        store.note_committed(said(third), Instant::now());
        put_at(&store, second.0);
        thread::sleep(Duration::from_millis(5));
        assert!(!reader.is_finished());
        put_at(&store, third.0);
        assert_eq!(reader.join().unwrap().unwrap().index(), third);
    }
    // A thousand words that the store lags behind with: it is no staler than what it has caught up
    // with.
    let index = store.position().index.0;
    let begin = Instant::now();
    for ahead in 1..=1000 {
        store.note_committed(said(LogIndex(index + ahead)), Instant::now());
    }
    assert!(store.staleness().is_some());
    assert!(store.read(fresh(begin.elapsed()), shortly()).is_err());
    put_at(&store, index + 1000);
    assert!(store.staleness().unwrap() <= begin.elapsed());
    // Another history: what was said is of no matter.
    store.restore(&image(5, 9_000)[..]).unwrap();
    assert_eq!(store.staleness(), None);
    // The old log's leader may still be heard of: it says nothing of this one.
    store.note_committed(said(LogIndex(1)), Instant::now());
    assert_eq!(store.staleness(), None);
    let now = Instant::now();
    assert!(store.read(fresh(hour), now).is_err());
    store.note_committed(store.position(), now);
    assert!(store.read(fresh(hour), now).is_ok());
    let reader = {
        let store = store.clone();
        thread::spawn(move || store.read(fresh(Duration::ZERO), soon()).map(|_| ()))
    };
    thread::sleep(Duration::from_millis(5));
    store.halt("broken");
    assert_eq!(
        reader.join().unwrap(),
        Err(ReadError::Wait(WaitError::Halted {
            reason: "broken".to_owned()
        }))
    );
    store.note_authority();
    assert_eq!(store.staleness(), Some(Duration::ZERO));
    assert!(store.read(fresh(Duration::ZERO), Instant::now()).is_ok());
}

#[test]
fn a_session_never_reads_below_what_it_has_seen() {
    let [leader, follower] = [(); 2].map(|()| {
        Store::<Catalog>::with_options(StoreOptions {
            history: HistoryId(0x2a),
            retain: Some(Retention {
                versions: 10,
                ..Retention::default()
            }),
            ..StoreOptions::default()
        })
    });
    let mut session = ReadSession::new();
    assert_eq!(session.to_string(), "0");
    put_at(&leader, 1);
    put_at(&leader, 2);
    // The answer of a write is a bare index: of the history that is read next.
    session.observe(LogIndex(2)).unwrap();
    session.observe(LogIndex(1)).unwrap();
    assert_eq!(session.to_string(), "2");
    let passed = Instant::now();
    assert_eq!(
        session.read(&follower, ReadMode::Any, passed).unwrap_err(),
        ReadError::Wait(WaitError::Lagging {
            wanted: LogIndex(2),
            applied: LogIndex(0)
        })
    );
    let snapshot = session.read(&leader, ReadMode::Any, passed).unwrap();
    assert_eq!(
        (snapshot.index(), session.to_string()),
        (LogIndex(2), "2@2a".to_owned())
    );
    // What a query has answered counts; over to the other, through bytes.
    put_at(&leader, 3);
    let answer = leader
        .blocking_query(LogIndex(0), soon(), |db| db.nodes().len())
        .unwrap();
    session.observe(&answer).unwrap();
    let json = serde_json::to_string(&session).unwrap();
    assert_eq!(json, "\"3@2a\"");
    let mut session: ReadSession = serde_json::from_str(&json).unwrap();
    let reader = {
        let follower = follower.clone();
        thread::spawn(move || {
            let never = std::future::pending();
            let seen = block_on(session.read_async(&follower, ReadMode::Any, never));
            (seen.unwrap().index(), session)
        })
    };
    for index in 1..=3 {
        put_at(&follower, index);
    }
    let (seen, mut session) = reader.join().unwrap();
    assert_eq!(seen, LogIndex(3));
    // Exactly an older one is none for it, though it is retained.
    let exactly = |index| ReadMode::Exactly(LogIndex(index).into());
    assert!(follower.read(exactly(2), passed).is_ok());
    assert_eq!(
        session.read(&follower, exactly(2), passed).unwrap_err(),
        ReadError::BeforeSession {
            wanted: LogIndex(2),
            seen: LogIndex(3)
        }
    );
    put_at(&follower, 4);
    assert_eq!(
        session.read(&follower, exactly(3), passed).unwrap().index(),
        LogIndex(3)
    );
    assert_eq!(
        session
            .read(&follower, LogIndex(4), passed)
            .unwrap()
            .index(),
        LogIndex(4)
    );
    assert_eq!(
        session.mark(),
        Position {
            history: HistoryId(0x2a),
            index: LogIndex(4)
        }
        .into()
    );
    // Another history is an error, and leaves it as it was.
    let other = Store::<Catalog>::new();
    put_at(&other, 100);
    let before = session.clone();
    let told = session.read(&other, ReadMode::Any, soon()).unwrap_err();
    assert!(matches!(told, ReadError::Wait(HistoryChanged { .. })));
    let told = session.observe(other.position()).unwrap_err();
    assert!(matches!(told, HistoryChanged { .. }));
    assert_eq!(session, before);
}

#[test]
fn a_session_asks_its_timer_no_more_when_it_is_over() {
    let store = Store::<Catalog>::new();
    let mut session = ReadSession::new();
    session.observe(LogIndex(1)).unwrap();
    let until = async { store.advance_to(LogIndex(1)).unwrap() };
    let read = session.read_async(&store, LogIndex(5), until);
    assert_eq!(
        block_on(read).unwrap_err(),
        ReadError::Wait(WaitError::Lagging {
            wanted: LogIndex(5),
            applied: LogIndex(1)
        })
    );
}

#[test]
fn a_session_does_not_go_back_with_the_store() {
    let store = Store::<Catalog>::new();
    put_at(&store, 1);
    let mut old = Vec::new();
    store.snapshot().write_image(&mut old).unwrap();
    put_at(&store, 3);
    let mut session = ReadSession::new();
    session.observe(store.position()).unwrap();
    // The store is far enough, but while the driver's word is waited for it goes back.
    let mut polls = 0;
    let until = std::future::poll_fn(|_| {
        polls += 1;
        if polls > 1 {
            return Poll::Ready(());
        }
        let position = store.rewind(&old[..]).unwrap();
        store.note_committed(position, Instant::now());
        Poll::Pending
    });
    let read = session.read_async(&store, ReadMode::MaxStale(Duration::ZERO), until);
    assert_eq!(
        block_on(read).unwrap_err(),
        ReadError::Wait(WaitError::Lagging {
            wanted: LogIndex(3),
            applied: LogIndex(1)
        })
    );
    assert_eq!(session.to_string(), "3@0");
}

proptest! {
    #[test]
    fn a_sessions_token_says_the_same(index in any::<u64>(), history in any::<Option<u128>>()) {
        let mut session = ReadSession::new();
        let index = LogIndex(index);
        match history.map(HistoryId) {
            None => session.observe(index).unwrap(),
            Some(history) => session.observe(Position { history, index }).unwrap(),
        }
        prop_assert_eq!(session.to_string().parse::<ReadSession>().unwrap(), session);
    }

    /// Whatever text comes, it is refused or it is a token, which says itself again.
    #[test]
    fn a_token_from_outside(text in "[0-9a-fA-F@+ -]{0,40}|.*") {
        if let Ok(session) = text.parse::<ReadSession>() {
            prop_assert_eq!(session.to_string().parse::<ReadSession>(), Ok(session));
            prop_assert!(text.starts_with(|c: char| c.is_ascii_digit()));
        }
    }
}
