//! One record that is derived of a great many.

use highwater::{Schema, Store, Table, TableWriter, WriteError};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Reading {
    #[primary_key]
    id: u32,
    value: u64,
}

/// One record, of a great many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(derived_from = Reading, by = Total::add)]
struct Total {
    #[primary_key]
    of: u8,
    readings: u64,
    sum: u64,
}

impl Total {
    fn add(
        before: Option<&Reading>,
        after: Option<&Reading>,
        totals: &mut TableWriter<'_, Total>,
    ) -> Result<(), WriteError> {
        let (readings, sum) = totals
            .read()
            .first()
            .map_or((0, 0), |t| (t.readings, t.sum));
        let value = |reading: Option<&Reading>| reading.map_or(0, |reading| reading.value);
        let count = |reading: Option<&Reading>| u64::from(reading.is_some());
        let total = Total {
            of: 0,
            readings: readings + count(after) - count(before),
            sum: sum + value(after) - value(before),
        };
        totals.upsert(total).map(drop)
    }
}

#[derive(Debug, Schema)]
struct Readings {
    readings: Reading,
    totals: Total,
}

#[test]
fn it_is_made_anew_of_all_records_each_once() {
    let store = Store::<Readings>::new();
    let mut txn = store.write().unwrap();
    let readings = (0..5000).map(|id| Reading {
        id,
        value: u64::from(id),
    });
    txn.readings_mut().insert_all(readings).unwrap();
    txn.commit().unwrap();
    let mut bytes = Vec::new();
    store.snapshot().write_image(&mut bytes).unwrap();
    let other = Store::<Readings>::from_image(&bytes[..]).unwrap();
    for store in [store, other] {
        let snap = store.snapshot();
        let total = snap.totals().first().unwrap();
        assert_eq!((total.readings, total.sum), (5000, 4999 * 2500));
    }
}
