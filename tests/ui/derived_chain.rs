//! A derived table of a derived one, and a reference to one.
use highwater::{Schema, Table, TableWriter, WriteError};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
struct Job {
    #[primary_key]
    id: u8,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Job, by = Load::count)]
struct Load {
    #[primary_key]
    id: u8,
}

impl Load {
    fn count(_: Option<&Job>, _: Option<&Job>, _: &mut TableWriter<'_, Load>) -> Result<(), WriteError> {
        Ok(())
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Load, by = Sum::add)]
struct Sum {
    #[primary_key]
    id: u8,
}

impl Sum {
    fn add(_: Option<&Load>, _: Option<&Load>, _: &mut TableWriter<'_, Sum>) -> Result<(), WriteError> {
        Ok(())
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(local)]
struct Note {
    #[primary_key]
    id: u8,
    #[index(references = Load)]
    load: u8,
}

#[derive(Schema)]
struct Chain {
    jobs: Job,
    loads: Load,
    sums: Sum,
}

#[derive(Schema)]
struct Noted {
    jobs: Job,
    loads: Load,
    notes: Note,
}

fn main() {}
