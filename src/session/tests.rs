//! Sessions alone: windows, expiry, bounds, and what an image may say of them.

use super::sessions::Stored;
use super::*;
use proptest::prelude::*;

fn at(index: u64, time_ms: u64) -> Moment {
    Moment {
        index: LogIndex(index),
        time_ms,
    }
}

fn request(session: u64, sequence: u64, answered: u64) -> RequestId {
    RequestId {
        session: SessionId(session),
        sequence,
        answered,
    }
}

/// Applies a command if it is new; whether it was, or the index of its first answer.
fn send(sessions: &mut Sessions, at: Moment, id: RequestId) -> Result<Option<u64>, SessionError> {
    match sessions.look(at, id)? {
        Known::New => {
            let answer = Answer {
                index: at.index,
                bytes: vec![7; 3],
            };
            sessions.answered(id, answer);
            Ok(None)
        }
        Known::Answered(answer) => Ok(Some(answer.index.0)),
    }
}

#[test]
fn sequences_come_in_any_order_within_the_window() {
    let mut sessions = Sessions::default();
    assert_eq!(sessions.open(at(1, 1000), 100, 4), SessionId(1));
    let mut send = |index, sequence, answered| {
        let at = at(index, 1000);
        super::tests::send(&mut sessions, at, request(1, sequence, answered))
    };
    assert_eq!(send(2, 3, 0), Ok(None));
    assert_eq!(send(3, 1, 0), Ok(None));
    assert_eq!(send(4, 3, 0), Ok(Some(2)));
    assert_eq!(send(5, 5, 0), Ok(None), "the window is 2 to 5");
    assert!(matches!(
        send(6, 1, 0),
        Err(SessionError::Forgotten { through: 1, .. })
    ));
    assert_eq!(send(7, 2, 0), Ok(None));
    assert_eq!(send(8, 2, 0), Ok(Some(7)));
    assert_eq!(send(9, 6, 9), Ok(None), "not believed beyond itself");
    assert_eq!(send(10, 6, 0), Ok(Some(9)));
    assert!(send(11, 5, 0).is_err());
    assert!(send(12, 0, 0).is_err(), "they count from 1");
    assert_eq!(send(13, u64::MAX, u64::MAX), Ok(None));
    assert!(send(14, 7, 0).is_err());
}

#[test]
fn a_session_lives_while_it_is_used() {
    let mut sessions = Sessions::default();
    sessions.open(at(1, 1000), 100, 4);
    sessions.open(at(2, 1000), 1000, 4);
    for (index, time) in [(3, 1090), (4, 1180), (5, 1270)] {
        assert_eq!(
            send(&mut sessions, at(index, time), request(1, index, 0)),
            Ok(None)
        );
    }
    sessions.expire(1369);
    assert_eq!(sessions.len(), 2);
    // Expired, though not removed yet.
    let late = send(&mut sessions, at(6, 1370), request(1, 3, 0));
    let unknown = SessionError::Unknown {
        session: SessionId(1),
    };
    assert_eq!(late, Err(unknown.clone()));
    assert_eq!(
        sessions.close(at(6, 1370), SessionId(1)),
        Err(unknown.clone())
    );
    assert_eq!(
        sessions.renew(at(6, 1370), SessionId(1)),
        Err(unknown.clone())
    );
    sessions.expire(1370);
    assert_eq!(sessions.len(), 1);
    assert_eq!(
        send(&mut sessions, at(7, 1370), request(1, 3, 0)),
        Err(unknown)
    );
    sessions.renew(at(8, 1990), SessionId(2)).unwrap();
    sessions.expire(2989);
    assert_eq!(sessions.len(), 1);
    sessions.close(at(9, 2989), SessionId(2)).unwrap();
    assert_eq!(sessions, Sessions::default());
}

#[test]
fn there_are_only_so_many() {
    let mut sessions = Sessions::default();
    for index in 1..=MAX_SESSIONS as u64 {
        sessions.open(at(index, index), 1_000_000, 1);
    }
    let most = sessions.len();
    sessions.renew(at(0, 900_000), SessionId(1)).unwrap();
    sessions.open(at(1_000_000, 900_000), 5, 1);
    assert_eq!(sessions.len(), most);
    let at = at(0, 900_000);
    assert!(sessions.renew(at, SessionId(1)).is_ok());
    assert!(
        sessions.renew(at, SessionId(2)).is_err(),
        "it would have expired first"
    );
    // A few at a time.
    sessions.expire(u64::MAX);
    assert_eq!(sessions.len(), most - 64);
}

#[test]
fn foreign_state_is_refused() {
    let stored = |id, window, floor, sequences: &[u64]| Stored {
        id,
        ttl_ms: 5,
        window,
        expires_ms: 9,
        floor,
        answers: sequences
            .iter()
            .map(|&sequence| {
                let index = LogIndex(sequence);
                (
                    sequence,
                    Answer {
                        index,
                        bytes: Vec::new(),
                    },
                )
            })
            .collect(),
    };
    let kept = |format, sessions| {
        Kept::try_from(KeptImage {
            format,
            clock: 1,
            sessions,
        })
    };
    let good = kept(1, vec![stored(1, 4, 2, &[3, 5])]).unwrap();
    assert_eq!(good.sessions.len(), 1);
    assert!(kept(9, vec![]).unwrap_err().contains("format 9"));
    for wrong in [
        vec![stored(1, 4, 3, &[3, 5])],
        vec![stored(1, 4, 2, &[5, 3])],
        vec![stored(1, 2, 2, &[3, 5])],
        vec![stored(1, 0, 2, &[])],
        vec![stored(1, 9999, 2, &[])],
        vec![stored(1, 4, 2, &[]), stored(1, 4, 2, &[])],
    ] {
        assert!(kept(1, wrong).unwrap_err().contains("session 1"));
    }
    let many = (0..=MAX_SESSIONS as u64)
        .map(|id| stored(id, 1, 0, &[]))
        .collect();
    assert!(kept(1, many).unwrap_err().contains("too many"));
}

/// What is done with sessions.
#[derive(Clone, Debug)]
enum Step {
    Open {
        ttl: u64,
        window: u32,
    },
    Close(usize),
    Renew(usize),
    Send {
        session: usize,
        sequence: u64,
        answered: u64,
    },
    Wait(u64),
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (1_u64..200, 1_u32..6).prop_map(|(ttl, window)| Step::Open { ttl, window }),
        1 => (0_usize..4).prop_map(Step::Close),
        1 => (0_usize..4).prop_map(Step::Renew),
        8 => (0_usize..4, 0_u64..12, 0_u64..12).prop_map(|(session, sequence, answered)| {
            Step::Send { session, sequence, answered }
        }),
        2 => (0_u64..80).prop_map(Step::Wait),
        1 => Just(Step::Restore),
    ]
}

proptest! {
    /// No command is applied twice; one that was applied answers as it did, or its session
    /// says that it does not know; one that was not is never answered.
    #[test]
    fn nothing_is_applied_twice(steps in prop::collection::vec(step(), 1..120)) {
        let mut kept = Kept::default();
        let mut opened = Vec::new();
        let mut applied = std::collections::BTreeMap::new();
        let mut time = 1000;
        for (index, step) in (1..).zip(steps) {
            if let Step::Wait(ms) = step {
                time += ms;
            }
            let at = at(index, time);
            kept.sessions.expire(time);
            let pick = |i: usize| opened.get(opened.len().wrapping_sub(i + 1)).copied();
            match step {
                Step::Open { ttl, window } => {
                    opened.push(kept.sessions.open(at, ttl, window));
                }
                Step::Close(i) => {
                    if let Some(id) = pick(i) {
                        let _ = kept.sessions.close(at, id);
                        prop_assert!(kept.sessions.renew(at, id).is_err());
                    }
                }
                Step::Renew(i) => {
                    if let Some(id) = pick(i) {
                        let _ = kept.sessions.renew(at, id);
                    }
                }
                Step::Send { session, sequence, answered } => {
                    let Some(session) = pick(session) else { continue };
                    let id = RequestId { session, sequence, answered };
                    match send(&mut kept.sessions, at, id) {
                        Ok(None) => {
                            let before = applied.insert((session, sequence), index);
                            prop_assert_eq!(before, None, "applied twice");
                        }
                        Ok(Some(first)) => {
                            prop_assert_eq!(applied.get(&(session, sequence)), Some(&first));
                        }
                        Err(_) => {}
                    }
                }
                Step::Wait(_) => {}
                Step::Restore => {
                    let again = Kept::try_from(KeptImage::from(&kept)).unwrap();
                    prop_assert_eq!(&again, &kept);
                    kept = again;
                }
            }
        }
    }
}
