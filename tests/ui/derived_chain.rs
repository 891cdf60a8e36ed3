//! A derived table of a derived one, and of a local one; a reference to a derived one.
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
    #[index(references = Load, cascade)]
    load: u8,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(local)]
struct Seen {
    #[primary_key]
    id: u8,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Job, by = Total::job, derived_from = Seen, by = Total::seen)]
struct Total {
    #[primary_key]
    id: u8,
}

impl Total {
    fn job(_: Option<&Job>, _: Option<&Job>, _: &mut TableWriter<'_, Total>) -> Result<(), WriteError> {
        Ok(())
    }

    fn seen(_: Option<&Seen>, _: Option<&Seen>, _: &mut TableWriter<'_, Total>) -> Result<(), WriteError> {
        Ok(())
    }
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

#[derive(Schema)]
struct OfALocal {
    jobs: Job,
    seen: Seen,
    totals: Total,
}

fn main() {}
