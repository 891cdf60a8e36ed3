//! Counters that survive: the least program with a durable store.
//!
//! ```sh
//! cargo run --example journal --features journal -- apples pears apples
//! ```
//!
//! adds one to each counter that is named and prints them all. Run it again: it goes on from
//! where it was. Kill it at any moment: what it has printed is there.

use highwater::fsm::{Command, Context, Rejected};
use highwater::journal::{Journal, JournalOptions};
use highwater::{Schema, Table, WriteTxn};
use serde::{Deserialize, Serialize};
use std::error::Error;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "counters")]
struct Counter {
    #[primary_key]
    name: String,
    value: u64,
}

#[derive(Debug, Schema)]
struct Counters {
    counters: Counter,
}

/// What is written to the log.
#[derive(Serialize, Deserialize)]
enum Request {
    Add { name: String, amount: u64 },
}

impl Command<Counters> for Request {
    type Reply = u64;
    type Error = Rejected;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Counters>) -> Result<u64, Rejected> {
        let Request::Add { name, amount } = self;
        let old = txn.counters().get(&name).map_or(0, |counter| counter.value);
        let value = old
            .checked_add(amount)
            .ok_or_else(|| format!("{name} is full"))?;
        txn.counters_mut().upsert(Counter { name, value })?;
        Ok(value)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join("highwater-counters");
    let (journal, recovery) = Journal::<Counters, Request>::open(&dir, JournalOptions::default())?;
    println!("{}: {recovery}", dir.display());

    for name in std::env::args().skip(1) {
        let committed = journal.propose(Request::Add { name, amount: 1 })?;
        println!("entry {}: now {}", committed.index, committed.result?);
    }
    for counter in journal.store().snapshot().counters().iter() {
        println!("{:>8} {}", counter.value, counter.name);
    }
    journal.close()?;
    Ok(())
}
