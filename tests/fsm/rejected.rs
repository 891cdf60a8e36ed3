//! Why commands are rejected, by the error type that is there for it, and commands that are tried.

use super::common::at;
use highwater::fsm::{
    Command, Context, HaltKind, Outcome, Proposal, Rejected, RequestId, SessionOptions,
};
use highwater::{Conflict, Guard, LogIndex, Schema, Store, Table, WriteError, WriteTxn};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(check = Seat::is_named)]
struct Seat {
    #[primary_key]
    number: u32,
    #[index(unique)]
    guest: String,
}

impl Seat {
    fn is_named(&self) -> bool {
        !self.guest.is_empty()
    }
}

#[derive(Schema)]
struct Room {
    seats: Seat,
}

#[derive(Clone, Serialize, Deserialize)]
enum Request {
    Sit(Seat),
    /// If what was read is as it was.
    SitIf(Seat, Guard),
    SitAs(Seat, LogIndex),
    /// By the log's time and randomness.
    Draw,
    Leave(u32),
    Panic,
}

impl Command<Room> for Request {
    type Reply = ();
    type Error = Rejected;

    fn apply(self, context: &Context, txn: &mut WriteTxn<Room>) -> Result<(), Rejected> {
        match self {
            Request::Sit(seat) => drop(txn.seats_mut().upsert(seat)?),
            Request::SitIf(seat, guard) => {
                txn.validate(&guard)?;
                txn.seats_mut().insert(seat)?;
            }
            Request::SitAs(seat, seen) => drop(txn.seats_mut().upsert_if(seat, seen)?),
            Request::Draw => {
                let number = u32::try_from(context.random(0) >> 40).map_err(|e| e.to_string())?;
                let guest = context.time_ms().to_string();
                txn.seats_mut().insert(Seat { number, guest })?;
            }
            Request::Leave(number) => {
                let left = txn.seats_mut().delete(number)?;
                left.ok_or("nobody sits there")?;
            }
            Request::Panic => {
                txn.seats_mut().insert(seat(99, "nobody"))?;
                panic!("as it was told");
            }
        }
        Ok(())
    }
}

fn seat(number: u32, guest: &str) -> Seat {
    Seat {
        number,
        guest: guest.into(),
    }
}

type Told = Option<Result<(), Rejected>>;

fn apply(store: &Store<Room>, request: &Request) -> Told {
    let proposal = Proposal::new(request, at(5), 3).unwrap();
    proposal.apply(store).unwrap().into_answer()
}

#[test]
fn all_that_is_refused_in_a_command_is_its_error_and_is_told_again() {
    let store = Store::<Room>::new();
    assert_eq!(apply(&store, &Request::Sit(seat(1, "ann"))), Some(Ok(())));
    let guard = store.snapshot().guarded(|db| db.seats().len()).1;
    assert_eq!(apply(&store, &Request::Sit(seat(2, "bob"))), Some(Ok(())));
    let open = Proposal::<Request>::open_session(SessionOptions::default(), at(5));
    let Outcome::Session(session) = open.apply(&store).unwrap() else {
        panic!("a session was opened");
    };

    let before = store.snapshot();
    let rejected = [
        Request::Sit(seat(3, "ann")),
        Request::Sit(seat(3, "")),
        Request::SitAs(seat(2, "eve"), LogIndex(1)),
        Request::SitIf(seat(3, "eve"), guard),
        Request::Leave(7),
    ];
    let mut whys = Vec::new();
    for (sequence, request) in (1..).zip(rejected) {
        let id = RequestId {
            session,
            sequence,
            answered: 0,
        };
        let send = || {
            let proposal = Proposal::in_session(id, &request, at(5), 3).unwrap();
            proposal.apply(&store).unwrap()
        };
        let index = store.position().index.next();
        let Outcome::Done(Err(why)) = send() else {
            panic!("request {sequence} was not rejected");
        };
        let result = Err(why.clone());
        assert_eq!(send(), Outcome::Repeated { index, result });
        whys.push(why);
    }
    assert!(
        before
            .seats()
            .diff(&store.snapshot().seats())
            .next()
            .is_none()
    );

    let [clash, rule, other, changed, reason] = &whys[..] else {
        panic!("{whys:?}");
    };
    assert!(matches!(
        clash,
        Rejected::Write(WriteError::NotUnique { .. })
    ));
    assert!(matches!(
        rule,
        Rejected::Write(WriteError::CheckFailed { .. })
    ));
    assert!(matches!(
        other,
        Rejected::Write(WriteError::Conflict { .. })
    ));
    assert!(matches!(
        changed,
        Rejected::Conflict(Conflict::Changed { .. })
    ));
    assert_eq!(*reason, Rejected::from("nobody sits there"));
    assert_eq!(
        whys.iter().map(Rejected::is_conflict).collect::<Vec<_>>(),
        [false, false, true, true, false]
    );
    let texts: Vec<_> = whys.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts[0],
        "table seat, unique index guest: key \"ann\" belongs to the record with primary key 1"
    );
    assert!(texts[3].contains("table seat has changed"), "{}", texts[3]);
    assert_eq!(texts[4], "nobody sits there");
}

#[test]
fn a_command_is_tried_in_a_fork_as_it_would_be_applied() {
    let store = Store::<Room>::new();
    assert_eq!(apply(&store, &Request::Sit(seat(1, "ann"))), Some(Ok(())));
    let plan = store.fork();
    assert_eq!(apply(&plan, &Request::Draw), Some(Ok(())));
    // It draws the same seat again, and uses its index.
    assert!(matches!(
        apply(&plan, &Request::Draw),
        Some(Err(Rejected::Write(WriteError::AlreadyExists { .. })))
    ));
    assert_eq!(apply(&plan, &Request::Leave(1)), Some(Ok(())));
    assert!(store.snapshot().seats().contains(1));
    assert_eq!(plan.position().index, LogIndex(4));
    assert_eq!(plan.snapshot().seats().len(), 1);
    assert_eq!(store.position().index, LogIndex(1));

    assert_eq!(apply(&store, &Request::Draw), Some(Ok(())));
    assert_eq!(
        plan.snapshot().seats().first().unwrap(),
        store.snapshot().seats().last().unwrap()
    );
}

#[test]
fn what_would_halt_the_store_is_told_and_changes_nothing() {
    let store = Store::<Room>::new();
    let plan = store.fork();
    let panicking = Proposal::new(&Request::Panic, at(5), 3).unwrap();
    let halt = panicking.apply(&plan).unwrap_err();
    assert_eq!(halt.index, LogIndex(1));
    assert_eq!(halt.kind, HaltKind::Panicked("as it was told".into()));
    assert_eq!(plan.position().index, LogIndex(0));
    assert_eq!(apply(&plan, &Request::Sit(seat(1, "ann"))), Some(Ok(())));
    assert_eq!(plan.snapshot().seats().len(), 1);

    plan.close();
    let late = Proposal::new(&Request::Draw, at(5), 3).unwrap();
    let halt = late.apply(&plan).unwrap_err();
    assert_eq!(halt.to_string(), "entry 2: the store is closed");
}
