//! A unique index that taking a reference away can clash in.

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Seat {
    #[primary_key]
    id: u8,
    #[index(sparse, references = Guest, set_null)]
    #[index(unique, name = "held")]
    guest: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Guest {
    #[primary_key]
    id: u8,
    #[index(references = Self, cascade)]
    of: u8,
}

#[derive(Schema)]
struct Party {
    seats: Seat,
    guests: Guest,
}

#[test]
fn a_deletion_that_cannot_be_done_whole_is_not_done() {
    let store = Store::<Party>::new();
    let mut txn = store.write().unwrap();
    for (id, of) in [(1, 1), (2, 1), (3, 3)] {
        txn.guests_mut().insert(Guest { id, of }).unwrap();
    }
    for (id, guest) in [(1, None), (2, Some(2)), (3, Some(3))] {
        txn.seats_mut().insert(Seat { id, guest }).unwrap();
    }
    txn.commit().unwrap();
    let mut txn = store.write().unwrap();
    // Guest 2 goes with guest 1, and seat 2 would be held by nobody, as seat 1 is.
    let error = txn.guests_mut().delete(1).unwrap_err();
    assert!(matches!(error, WriteError::NotUnique { index, .. } if index == "held"));
    assert!(txn.guests_mut().delete_where(|_| true).is_err());
    assert_eq!((txn.guests().len(), txn.changes().guests().count()), (3, 0));
    txn.seats_mut().delete(1).unwrap();
    txn.guests_mut().delete(1).unwrap();
    assert_eq!(
        (
            txn.guests().len(),
            txn.seats().by_held(None::<u8>).unwrap().id
        ),
        (1, 2)
    );
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}
