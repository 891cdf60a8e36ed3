//! Commands of sessions: applied once however often they are sent, also over restarts.

mod common;
#[path = "image_support/mod.rs"]
mod support;

use common::{Bank, Failure, Request, at, balance, request};
use highwater::fsm::{
    Batch, ClientSession, LogEntry, Outcome, Proposal, RequestId, SessionError, SessionId,
    SessionOptions,
};
use highwater::{ImageError, LogIndex, Store};
use proptest::prelude::*;
use std::time::Duration;
use support::Forge;

fn id(session: u64, sequence: u64) -> RequestId {
    RequestId {
        session: SessionId(session),
        sequence,
        answered: 0,
    }
}

/// Applies one proposal as the next entry; every other one goes through its bytes.
fn apply(store: &Store<Bank>, proposal: Proposal<Request>) -> Outcome<i64, Failure> {
    let index = store.position().index.next();
    let entry = if index.0.is_multiple_of(2) {
        LogEntry::from_proposal(index, proposal)
    } else {
        LogEntry::from_bytes(index, proposal.bytes().to_vec())
    };
    let applied = Batch::new(vec![entry]).dense().apply(store);
    assert_eq!(applied.halted, None);
    applied.outcomes.into_iter().next().unwrap()
}

fn count(account: &str) -> Request {
    Request::Count { id: account.into() }
}

fn send(store: &Store<Bank>, id: RequestId, request: &Request) -> Outcome<i64, Failure> {
    send_at(store, id, request, 0)
}

fn send_at(
    store: &Store<Bank>,
    id: RequestId,
    request: &Request,
    time_ms: u64,
) -> Outcome<i64, Failure> {
    apply(
        store,
        Proposal::in_session(id, request, at(time_ms), 0).unwrap(),
    )
}

fn again(store: &Store<Bank>) -> Store<Bank> {
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    Store::from_image(&image[..]).unwrap()
}

/// However its commands overtake each other, all that were answered are forgotten, and no other.
#[test]
fn a_client_says_what_it_waits_for_no_more() {
    let store = Store::<Bank>::new();
    let opened = apply(
        &store,
        Proposal::open_session(SessionOptions::default(), at(0)),
    );
    let Outcome::Session(opened) = opened else {
        panic!("{opened:?}");
    };
    let session = ClientSession::new(opened);
    assert_eq!(session.id(), opened);
    let sent = |sequence, answered| RequestId {
        session: opened,
        sequence,
        answered,
    };
    let slow = session.next_request();
    assert_eq!(slow.id(), sent(1, 0));
    let first = send(&store, slow.id(), &count("a"));
    for sequence in 2..=9 {
        let request = session.next_request();
        assert_eq!(request.id(), sent(sequence, 0));
        assert!(matches!(
            send(&store, request.id(), &count("a")),
            Outcome::Done(Ok(_))
        ));
    }
    // It was not answered, and is asked for again.
    let Outcome::Done(result) = first else {
        panic!("{first:?}");
    };
    let again = send(&store, slow.id(), &count("a"));
    assert!(matches!(again, Outcome::Repeated { result: now, .. } if now == result));
    let id = slow.id();
    drop(slow);
    let last = session.next_request();
    assert_eq!(last.id(), sent(10, 9));
    assert!(matches!(
        send(&store, last.id(), &count("a")),
        Outcome::Done(Ok(_))
    ));
    assert!(matches!(
        send(&store, id, &count("a")),
        Outcome::Refused(SessionError::Forgotten { .. })
    ));
}

#[test]
fn a_retried_command_is_applied_once_and_answered_as_at_first() {
    let store = Store::<Bank>::new();
    let opened = apply(
        &store,
        Proposal::open_session(SessionOptions::default(), at(1000)),
    );
    assert_eq!(opened, Outcome::Session(SessionId(1)));
    assert_eq!(send(&store, id(1, 1), &count("a")), Outcome::Done(Ok(1)));
    // Rejections are answers too.
    let close = Request::Close { id: "x".into() };
    let rejected = Failure::NoAccount("x".into());
    assert_eq!(
        send(&store, id(1, 2), &close),
        Outcome::Done(Err(rejected.clone()))
    );
    for store in [store.clone(), again(&store)] {
        let first = Outcome::Repeated {
            index: LogIndex(2),
            result: Ok(1),
        };
        assert_eq!(send(&store, id(1, 1), &count("a")), first);
        // Whatever is sent: the number names the command.
        assert_eq!(send(&store, id(1, 1), &count("b")), first);
        assert_eq!(
            send(&store, id(1, 2), &close),
            Outcome::Repeated {
                index: LogIndex(3),
                result: Err(rejected.clone())
            }
        );
        assert_eq!(balance(&store, "a"), Some(1));
        assert_eq!(balance(&store, "b"), None);
        assert_eq!(
            store.position().index,
            LogIndex(6),
            "they use their indexes all the same"
        );
    }
    // The command sees who sent it; one that is not of a session does not mind them.
    let plain = Proposal::new(&count("a"), at(0), 0).unwrap();
    assert_eq!(apply(&store, plain), Outcome::Done(Ok(2)));
}

#[test]
fn a_session_that_is_not_there_is_refused_and_never_made_anew() {
    let store = Store::<Bank>::new();
    let unknown = |session| {
        Outcome::Refused(SessionError::Unknown {
            session: SessionId(session),
        })
    };
    assert_eq!(send(&store, id(1, 1), &count("a")), unknown(1));
    let ttl = Duration::from_millis(50);
    let options = SessionOptions { ttl, window: 2 };
    assert_eq!(
        apply(&store, Proposal::open_session(options, at(1000))),
        Outcome::Session(SessionId(2))
    );
    assert_eq!(
        send_at(&store, id(2, 1), &count("a"), 1049),
        Outcome::Done(Ok(1))
    );
    // Another's entry moves the log's clock on.
    let _ = apply(&store, Proposal::new(&count("b"), at(1099), 0).unwrap());
    assert_eq!(send(&store, id(2, 2), &count("a")), unknown(2));
    assert_eq!(send(&again(&store), id(2, 1), &count("a")), unknown(2));

    let session = match apply(&store, Proposal::open_session(options, at(0))) {
        Outcome::Session(session) => session,
        other => panic!("{other:?}"),
    };
    let renew = Proposal::renew_session(session, at(1140));
    assert_eq!(apply(&store, renew), Outcome::Session(session));
    assert_eq!(
        send_at(&store, id(session.0, 1), &count("a"), 1185),
        Outcome::Done(Ok(2))
    );
    let close = || Proposal::close_session(session, at(1185));
    assert_eq!(apply(&store, close()), Outcome::Session(session));
    assert_eq!(apply(&store, close()), unknown(session.0));
    assert_eq!(
        apply(&store, Proposal::renew_session(session, at(1))),
        unknown(session.0)
    );
    assert_eq!(
        send(&store, id(session.0, 1), &count("a")),
        unknown(session.0)
    );
    assert_eq!(balance(&store, "a"), Some(2));
}

#[test]
fn what_is_forgotten_is_refused() {
    let store = Store::<Bank>::new();
    let options = SessionOptions {
        window: 2,
        ..SessionOptions::default()
    };
    let _ = apply(&store, Proposal::open_session(options, at(0)));
    for sequence in [3, 2, 4] {
        assert!(matches!(
            send(&store, id(1, sequence), &count("a")),
            Outcome::Done(Ok(_))
        ));
    }
    let forgotten = |sequence, through| {
        Outcome::Refused(SessionError::Forgotten {
            session: SessionId(1),
            sequence,
            through,
        })
    };
    assert_eq!(send(&store, id(1, 1), &count("a")), forgotten(1, 2));
    assert_eq!(send(&store, id(1, 2), &count("a")), forgotten(2, 2));
    let answered = RequestId {
        answered: 4,
        ..id(1, 5)
    };
    assert_eq!(send(&store, answered, &count("a")), Outcome::Done(Ok(4)));
    assert_eq!(send(&store, id(1, 4), &count("a")), forgotten(4, 4));
    assert_eq!(balance(&store, "a"), Some(4));
}

/// The frame of an image that has the sessions.
const SESSIONS: u8 = 8;

#[test]
fn sessions_of_an_image_are_checked_before_anything_is_changed() {
    let store = Store::<Bank>::new();
    let _ = apply(
        &store,
        Proposal::open_session(SessionOptions::default(), at(5)),
    );
    let _ = send(&store, id(1, 1), &count("a"));
    let good = image(&store);
    let frame = Forge::parse(&good).frame(SESSIONS).clone();
    // The format does not change unseen.
    let expected = [
        &[SESSIONS, 0x83][..],
        b"\xa6format\x01\xa5clock\x05\xa8sessions\x91",
        b"\x86\xa2id\x01\xa6ttl_ms\xce\x00\x09\x27\xc0\xa6window\xcc\x80",
        b"\xaaexpires_ms\xce\x00\x09\x27\xc5\xa5floor\x00",
        b"\xa7answers\x91\x92\x01\x82\xa5index\x02\xa5bytes\xc4\x05\x81\xa2Ok\x01",
    ];
    assert_eq!(frame, expected.concat(), "raise the format's number");

    let other = Store::<Bank>::new();
    let _ = apply(&other, Proposal::new(&count("b"), at(1), 1).unwrap());
    let before = image(&other);
    let refused = |says: &str, change: &dyn Fn(&mut Forge)| {
        let mut forge = Forge::parse(&good);
        change(&mut forge);
        let error = other.restore(&forge.bytes()[..]).unwrap_err();
        assert!(matches!(error, ImageError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(image(&other), before);
    };
    refused("the sessions' frame is due", &|forge| {
        forge.frames.retain(|frame| frame[0] != SESSIONS);
    });
    refused("the sessions", &|forge| {
        *forge.frame(SESSIONS) = vec![SESSIONS, 0xc0];
    });
    refused("format 2", &|forge| {
        let frame = forge.frame(SESSIONS);
        let at = frame.windows(6).position(|bytes| bytes == b"format");
        frame[at.unwrap() + 6] = 2;
    });
    refused("out of order", &|forge| {
        let frame = forge.frame(SESSIONS);
        let at = frame.windows(5).position(|bytes| bytes == b"floor");
        frame[at.unwrap() + 5] = 1;
    });
    other.restore(&good[..]).unwrap();
    assert_eq!(balance(&other, "a"), Some(1));
}

/// What is proposed: by which client's session, if one, at which time.
#[derive(Clone, Debug)]
enum Step {
    Plain(Request),
    InSession(usize, u64, u64, Request),
    Open(u64, u32),
    Renew(usize),
    Close(usize),
    Empty,
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0_usize..4;
    prop_oneof![
        3 => request().prop_map(Step::Plain),
        9 => (client(), 0_u64..10, 0_u64..10, request())
            .prop_map(|(c, s, answered, r)| Step::InSession(c, s, answered, r)),
        2 => (1_u64..300, 1_u32..6).prop_map(|(ttl, window)| Step::Open(ttl, window)),
        1 => client().prop_map(Step::Renew),
        1 => client().prop_map(Step::Close),
        1 => Just(Step::Empty),
    ]
}

/// The log that steps give: sessions are named by the indexes of the entries that open them.
fn log(steps: &[(Step, u64)]) -> Vec<LogEntry<Request>> {
    let mut opened = vec![0];
    let mut time = at(1000);
    let mut entries = Vec::new();
    for (index, (step, wait)) in (1..).zip(steps) {
        time += Duration::from_millis(*wait);
        let pick = |client: usize| SessionId(opened[opened.len().saturating_sub(client + 1)]);
        let proposal = match step {
            Step::Plain(request) => Proposal::new(request, time, index),
            Step::InSession(client, sequence, answered, request) => {
                let id = RequestId {
                    session: pick(*client),
                    sequence: *sequence,
                    answered: *answered,
                };
                Proposal::in_session(id, request, time, index)
            }
            Step::Open(ttl, window) => {
                let options = SessionOptions {
                    ttl: Duration::from_millis(*ttl),
                    window: *window,
                };
                opened.push(index);
                Ok(Proposal::open_session(options, time))
            }
            Step::Renew(client) => Ok(Proposal::renew_session(pick(*client), time)),
            Step::Close(client) => Ok(Proposal::close_session(pick(*client), time)),
            Step::Empty => {
                entries.push(LogEntry::empty(LogIndex(index)));
                continue;
            }
        };
        let bytes = proposal.unwrap().bytes().to_vec();
        entries.push(LogEntry::from_bytes(LogIndex(index), bytes));
    }
    entries
}

fn image(store: &Store<Bank>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same log gives the same image and the same answers: one by one, in batches, and after
    /// an image in the middle.
    #[test]
    fn a_log_of_sessions_has_one_outcome(
        steps in prop::collection::vec((step(), 0_u64..40), 1..80),
        cuts in prop::collection::vec(1_usize..9, 1..40),
        restored in 0_usize..40,
    ) {
        let one = Store::<Bank>::new();
        let mut expected = Vec::new();
        for entry in log(&steps) {
            let applied = Batch::new(vec![entry]).dense().apply(&one);
            prop_assert_eq!(applied.halted, None);
            expected.extend(applied.outcomes);
        }
        let mut other = Store::<Bank>::new();
        let mut outcomes = Vec::new();
        let mut rest = log(&steps).into_iter();
        for (i, cut) in cuts.iter().copied().chain(std::iter::repeat(3)).enumerate() {
            let batch: Vec<_> = rest.by_ref().take(cut).collect();
            if batch.is_empty() {
                break;
            }
            if i == restored {
                other = Store::from_image(&image(&other)[..]).unwrap();
            }
            outcomes.extend(Batch::new(batch).dense().apply(&other).outcomes);
        }
        prop_assert_eq!(outcomes, expected);
        prop_assert_eq!(image(&other), image(&one));
    }
}
