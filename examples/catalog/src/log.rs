//! The log that writes to the store: kept in a folder, or nowhere.

use std::path::Path;

use highwater::journal::{Journal, Options};

use crate::command::Command;
use crate::schema::Catalog;

/// What went wrong below.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

pub type Log = Journal<Catalog, Command>;

/// Opens or begins the log in a folder.
pub fn open(folder: &Path) -> Result<Log, Failure> {
    let (log, recovery) = Journal::open(folder, Options::default())?;
    println!("catalog: data in {}: {recovery}", folder.display());
    Ok(log)
}

/// A log that ends with the program.
pub fn in_memory() -> Log {
    println!("catalog: data in memory only");
    Journal::in_memory(Options::default())
}
