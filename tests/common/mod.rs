//! A small bank: the commands that the tests of the fsm and of the journal share.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "no interface of anybody")]

use highwater::fsm::{Batch, Command, Context, LogEntry, Proposal};
use highwater::{
    ImageError, LogIndex, Position, Schema, Store, StoreError, Table, WriteError, WriteTxn,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "accounts")]
pub struct Account {
    #[primary_key]
    pub id: String,
    #[index]
    pub amount: i64,
}

#[derive(Debug, Schema)]
pub struct Bank {
    accounts: Account,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// A new account.
    Open {
        id: String,
        amount: i64,
    },
    /// From one to the other. Takes before it looks whether there is somebody to give to.
    Pay {
        from: String,
        to: String,
        amount: i64,
    },
    Close {
        id: String,
    },
    /// Sets the amount to the log's time.
    Note {
        id: String,
    },
    /// Sets the amount at random.
    Draw {
        id: String,
    },
    /// Changes something, then panics.
    Panic,
    /// Adds one to an account that may be new.
    Count {
        id: String,
    },
    /// Only takes space in the log.
    Fill {
        bytes: String,
    },
    /// Adds to [`TOLD`] after the commit.
    Tell(u64),
}

/// What [`Request::Tell`] has told.
pub static TOLD: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Failure {
    NoAccount(String),
    NotEnough(i64),
    Exists(String),
    Write(WriteError),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Failure::Write(error)
    }
}

/// So many milliseconds after the Unix epoch.
pub fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

pub fn account(id: &str, amount: i64) -> Account {
    Account {
        id: id.into(),
        amount,
    }
}

pub fn balance(store: &Store<Bank>, id: &str) -> Option<i64> {
    store
        .snapshot()
        .accounts()
        .get(id)
        .map(|account| account.amount)
}

impl Command<Bank> for Request {
    type Reply = i64;
    type Error = Failure;

    fn apply(self, context: &Context, txn: &mut WriteTxn<Bank>) -> Result<i64, Failure> {
        let amount = |txn: &WriteTxn<Bank>, id: &str| match txn.accounts().get(id) {
            Some(account) => Ok(account.amount),
            None => Err(Failure::NoAccount(id.into())),
        };
        let set = |txn: &mut WriteTxn<Bank>, id: &str, amount: i64| {
            txn.accounts_mut().upsert(account(id, amount)).unwrap();
            amount
        };
        match self {
            Request::Open { id, amount } => {
                let opened = txn.accounts_mut().insert(account(&id, amount));
                opened.map_err(|_| Failure::Exists(id))?;
                Ok(amount)
            }
            Request::Pay {
                from,
                to,
                amount: paid,
            } => {
                let had = amount(txn, &from)?;
                if had < paid {
                    return Err(Failure::NotEnough(had));
                }
                set(txn, &from, had - paid);
                let has = amount(txn, &to)?;
                Ok(set(txn, &to, has + paid))
            }
            Request::Close { id } => {
                let had = amount(txn, &id)?;
                txn.accounts_mut().delete(id.as_str()).unwrap();
                Ok(had)
            }
            Request::Note { id } => Ok(set(txn, &id, i64::try_from(context.time_ms()).unwrap())),
            Request::Draw { id } => Ok(set(txn, &id, (context.random(0) >> 2).cast_signed())),
            Request::Panic => {
                set(txn, "changed", 1);
                panic!("as it was told");
            }
            Request::Count { id } => {
                let had = amount(txn, &id).unwrap_or(0);
                Ok(set(txn, &id, had + 1))
            }
            Request::Fill { bytes } => Ok(i64::try_from(bytes.len()).unwrap()),
            Request::Tell(more) => {
                txn.after_commit(move |_| {
                    TOLD.fetch_add(more, Ordering::SeqCst);
                });
                Ok(0)
            }
        }
    }
}

/// Any request that does not panic, over few accounts.
pub fn request() -> impl Strategy<Value = Request> {
    let id = || "[a-e]";
    prop_oneof![
        (id(), 0_i64..100).prop_map(|(id, amount)| Request::Open { id, amount }),
        (id(), id(), 0_i64..60).prop_map(|(from, to, amount)| Request::Pay { from, to, amount }),
        id().prop_map(|id| Request::Close { id }),
        id().prop_map(|id| Request::Note { id }),
        id().prop_map(|id| Request::Count { id }),
        (0_usize..100).prop_map(|n| Request::Fill {
            bytes: "x".repeat(n)
        }),
    ]
}

/// That a store takes no write through any handle that its driver gives out, is as it was then, and can
/// be forked.
pub fn only_its_driver_writes(store: &Store<Bank>, driver: &str) {
    let before = store.position();
    let mut image = Vec::new();
    let snapshot = store.snapshot();
    snapshot.write_image(&mut image).unwrap();
    let next = before.index.next();
    let at = Position {
        index: LogIndex(before.index.0 + 9),
        ..before
    };
    let image = &image[..];
    for store in [store.clone(), store.clone().clone()] {
        let refused = [
            store.write().map(drop),
            store.try_write().map(drop),
            store.write_at(next).map(drop),
            store.advance_to(next),
        ];
        for refused in refused {
            match refused {
                Err(error @ StoreError::Driven { by }) => {
                    assert_eq!(by, driver);
                    assert!(error.to_string().contains("propose"), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        let restores = [
            store.restore(image),
            store.rewind(image),
            store.restore_at(image, at, None),
        ];
        for restored in restores {
            assert!(
                matches!(restored, Err(ImageError::Store(StoreError::Driven { .. }))),
                "{restored:?}"
            );
        }
        let entry = LogEntry::<Request>::empty(next);
        let applied = Batch::new(vec![entry]).apply(&store);
        assert!(applied.outcomes.is_empty());
        assert!(applied.halted.unwrap().to_string().contains(driver));
        let proposal = Proposal::new(&Request::Panic, SystemTime::UNIX_EPOCH, 0).unwrap();
        let refused = proposal.apply(&store).unwrap_err().to_string();
        assert!(refused.contains(driver), "{refused}");
        assert_eq!(store.position(), before);
    }
    let fork = store.fork();
    let mut txn = fork.write().unwrap();
    txn.accounts_mut().upsert(account("tried", 1)).unwrap();
    txn.commit().unwrap();
    assert!(!store.snapshot().accounts().contains("tried"));
}
