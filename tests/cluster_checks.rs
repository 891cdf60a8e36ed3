//! The checks of histories themselves: what cannot be is refused by both.

mod cluster;

use cluster::{Change, Kind, Op, check, search};

fn op(client: usize, began: u64, ended: u64, index: u64, kind: Kind) -> Op {
    Op {
        client,
        began,
        ended,
        index,
        key: "r".into(),
        kind,
    }
}

fn put(value: u64) -> Kind {
    Kind::Write(Change::Put(value), Ok(value))
}

fn add(told: u64) -> Kind {
    Kind::Write(Change::Add(1), Ok(told))
}

fn refused(history: &[Op]) {
    assert!(check(history).is_err(), "by index: {history:?}");
    assert!(search(history).is_err(), "by search: {history:?}");
}

#[test]
fn what_can_be_is_accepted() {
    let history = [
        op(0, 0, 9, 3, put(1)),
        op(1, 1, 20, 5, add(2)),
        op(2, 2, 8, 3, Kind::Read(1)),
        op(2, 10, 12, 5, Kind::Read(2)),
        op(3, 11, 13, 4, Kind::Read(1)),
        op(0, 21, 22, 6, Kind::Write(Change::Swap(1, 9), Err(2))),
    ];
    assert_eq!(check(&history).unwrap()["r"], 2);
    search(&history).unwrap();
}

#[test]
fn what_cannot_be_is_refused() {
    // A read that began after a write was answered, and does not see it.
    refused(&[op(0, 0, 1, 1, put(1)), op(1, 2, 3, 0, Kind::Read(0))]);
    // Two reads, one after the other, of which the later sees less.
    refused(&[
        op(0, 0, 9, 2, put(1)),
        op(1, 1, 2, 2, Kind::Read(1)),
        op(2, 3, 4, 1, Kind::Read(0)),
    ]);
    // A write that is lost.
    refused(&[
        op(0, 0, 1, 1, put(1)),
        op(1, 2, 3, 2, put(2)),
        op(1, 4, 5, 3, Kind::Read(1)),
    ]);
    // One that is applied twice.
    refused(&[op(0, 0, 1, 1, add(1)), op(1, 2, 3, 3, add(3))]);
    // A swap that fails though the value was there.
    refused(&[
        op(0, 0, 1, 1, put(4)),
        op(1, 2, 3, 2, Kind::Write(Change::Swap(4, 5), Err(3))),
    ]);
}

#[test]
fn a_local_read_may_be_old_but_not_older_than_asked() {
    let local = |at_least, value| Kind::Local { at_least, value };
    let write = op(0, 0, 1, 5, put(1));
    check(&[write.clone(), op(1, 2, 3, 4, local(3, 0))]).unwrap();
    assert!(check(&[write.clone(), op(1, 2, 3, 4, local(5, 0))]).is_err());
    assert!(check(&[write, op(1, 2, 3, 5, local(5, 0))]).is_err());
}

fn unanswered(began: u64, change: Change) -> Op {
    op(9, began, 0, 0, Kind::Unanswered(change))
}

#[test]
fn what_nobody_answered_may_have_happened_once() {
    let refused_swap = Kind::Refused(Change::Swap(1, 7));
    for seen in [1, 2] {
        let history = [
            op(0, 0, 1, 1, put(1)),
            unanswered(2, Change::Put(2)),
            op(1, 4, 5, 2, Kind::Read(seen)),
        ];
        check(&history).unwrap();
        search(&history).unwrap();
    }
    // Nothing else explains why this was refused.
    let history = [
        op(0, 0, 1, 1, put(1)),
        unanswered(2, Change::Put(2)),
        op(1, 4, 5, 3, refused_swap.clone()),
        op(1, 6, 7, 3, Kind::Read(2)),
    ];
    check(&history).unwrap();
    search(&history).unwrap();
    refused(&[op(0, 0, 1, 1, put(1)), op(1, 4, 5, 3, refused_swap.clone())]);
    // It happened, and then it did not.
    refused(&[
        op(0, 0, 1, 1, put(1)),
        unanswered(2, Change::Put(2)),
        op(1, 4, 5, 3, refused_swap),
        op(1, 6, 7, 3, Kind::Read(1)),
    ]);
    // It happened twice.
    refused(&[
        unanswered(0, Change::Put(2)),
        op(1, 1, 2, 1, Kind::Read(2)),
        op(0, 3, 4, 2, put(3)),
        op(1, 5, 6, 3, Kind::Read(2)),
    ]);
    // It was seen before it was asked for.
    refused(&[
        op(0, 0, 1, 1, put(1)),
        op(1, 2, 3, 2, Kind::Read(2)),
        unanswered(4, Change::Put(2)),
    ]);
}
