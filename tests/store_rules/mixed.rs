//! What becomes of those that go with a record anyway is not in the way of the deletion.

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Seat {
    #[primary_key]
    id: u8,
    #[index(sparse, references = Guest, set_null)]
    #[index(unique, name = "held")]
    guest: Option<u8>,
    #[index(sparse, references = Guest, cascade)]
    owner: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Guest {
    #[primary_key]
    id: u8,
    #[index(sparse, references = Self, cascade)]
    of: Option<u8>,
}

#[derive(Schema)]
struct Party {
    seats: Seat,
    guests: Guest,
}

/// Seat 1 is held by nobody and goes with guest 2, who is guest 1's; seat 2 is held by guest 1.
fn party() -> Store<Party> {
    let store = Store::<Party>::new();
    let mut txn = store.write().unwrap();
    for (id, of) in [(1, None), (2, Some(1)), (3, Some(1))] {
        txn.guests_mut().insert(Guest { id, of }).unwrap();
    }
    for (id, guest, owner) in [
        (1, None, Some(2)),
        (2, Some(1), None),
        (3, Some(3), Some(3)),
    ] {
        txn.seats_mut().insert(Seat { id, guest, owner }).unwrap();
    }
    txn.commit().unwrap();
    store
}

fn left(store: &Store<Party>) -> Vec<(u8, Option<u8>)> {
    let snap = store.snapshot();
    snap.check().unwrap();
    snap.seats()
        .iter()
        .map(|seat| (seat.id, seat.guest))
        .collect()
}

#[test]
fn what_is_deleted_clashes_with_nothing() {
    let store = party();
    let mut txn = store.write().unwrap();
    txn.guests_mut().delete(1).unwrap().unwrap();
    assert!(txn.guests().is_empty());
    txn.commit().unwrap();
    assert_eq!(left(&store), [(2, None)]);
}

#[test]
fn all_that_a_deletion_finds_is_deleted_together_and_handed_back() {
    let store = party();
    let mut txn = store.write().unwrap();
    let gone = txn.guests_mut().delete_where(|_| true).unwrap();
    let ids: Vec<u8> = gone.iter().map(|guest| guest.id).collect();
    assert_eq!(ids, [1, 2, 3]);
    // Each once, also if a query finds it twice.
    assert_eq!(txn.changes().guests().count(), 3);
    txn.commit().unwrap();
    assert_eq!(left(&store), [(2, None)]);
}
