//! Events: the latest are kept, for whoever waits for them.

use highwater::WriteTxn;
use highwater::fsm::Context;

use crate::command::{Rejected, Reply, drawn};
use crate::schema::{Catalog, Event};

/// So many are kept, of all names together.
const KEPT: u64 = 256;

/// Adds an event, in the place of the oldest. Its number and ID are the log's.
pub fn fire(
    mut event: Event,
    context: &Context,
    txn: &mut WriteTxn<Catalog>,
) -> Result<Reply, Rejected> {
    event.number = txn.events().last().map_or(1, |last| last.number + 1);
    event.id = drawn(context);
    if let Some(gone) = event.number.checked_sub(KEPT) {
        txn.events_mut().delete(gone)?;
    }
    let (number, id) = (event.number, event.id);
    txn.events_mut().insert(event)?;
    Ok(Reply::Event { number, id })
}
