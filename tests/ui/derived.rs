//! Derived tables: declared wrongly, written by others, in a schema that does not fit.
use highwater::{Schema, Store, Table, TableWriter, WriteError};
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
#[table(by = Malformed::count)]
#[table(derived_from = Job)]
struct Malformed {
    #[primary_key]
    id: u8,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from)]
#[table(derived_from = Job, by)]
#[table(derived_from = "Job")]
struct WithoutValues {
    #[primary_key]
    id: u8,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Job, by = Twice::count, derived_from = Job, by = Twice::count, local)]
struct Twice {
    #[primary_key]
    id: u8,
}

impl Twice {
    fn count(_: Option<&Job>, _: Option<&Job>, _: &mut TableWriter<'_, Twice>) -> Result<(), WriteError> {
        Ok(())
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(version = 2, from = Job, derived_from = Job, by = Versioned::count)]
struct Versioned {
    #[primary_key]
    id: u8,
}

impl Versioned {
    fn count(_: Option<&Job>, _: Option<&Job>, _: &mut TableWriter<'_, Self>) -> Result<(), WriteError> {
        Ok(())
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Job, by = Load::count, check = Ruled::check)]
struct Ruled {
    #[primary_key]
    #[index(references = Job)]
    id: u8,
}

impl Ruled {
    fn check(&self) -> bool {
        self.id > 0
    }
}

#[derive(Schema)]
struct Whole {
    jobs: Job,
    loads: Load,
}

#[derive(Schema)]
struct WithoutSource {
    loads: Load,
}

fn main() {
    let store = Store::<Whole>::new();
    let mut txn = store.write().unwrap();
    txn.jobs_mut().insert(Job { id: 1 }).unwrap();
    txn.loads_mut().insert(Load { id: 1 }).unwrap();
}
