//! Snapshots of the state, and restores.

use super::{image, put};
use crate::store_schema::*;
use highwater::{LogIndex, Store};
use std::io::{self, Read};

/// consul PR #8474.
#[test]
fn a_restore_does_not_stamp_anew() {
    let store = Store::<Catalog>::new();
    put(&store, 3, "a");
    put(&store, 5, "b");
    put(&store, 9, "a");
    let again = Store::<Catalog>::from_image(&image(&store)[..]).unwrap();
    let snap = again.snapshot();
    let a = snap.services().get("a").unwrap();
    assert_eq!(
        (a.create_index(), a.modify_index()),
        (LogIndex(3), LogIndex(9))
    );
    assert_eq!(snap.services().log_index_of("b"), LogIndex(5));
    assert_eq!(snap.index(), LogIndex(9));
}

/// nomad #27442, consul #3326, #5327, #5356: what is read while a large image comes in.
#[test]
fn a_store_is_read_while_it_is_restored() {
    struct Slow<'a>(&'a [u8], &'a Store<Catalog>);
    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            assert_eq!(ids(self.1.snapshot().services().iter()), ["old"]);
            let len = out.len().min(100);
            self.0.read(&mut out[..len])
        }
    }
    let store = Store::<Catalog>::new();
    put(&store, 1, "old");
    let source = Store::<Catalog>::new();
    for index in 1..50 {
        put(&source, index, &index.to_string());
    }
    let position = store.restore(Slow(&image(&source), &store)).unwrap();
    assert_eq!(
        (position.index, store.snapshot().services().len()),
        (LogIndex(49), 49)
    );
}

/// A truncated snapshot was accepted if it ended between two records.
#[test]
fn a_truncated_image_is_refused_wherever_it_ends() {
    let source = Store::<Catalog>::new();
    for index in 1..6 {
        put(&source, index, &index.to_string());
    }
    let image = image(&source);
    let store = Store::<Catalog>::new();
    put(&store, 1, "old");
    for len in 0..image.len() {
        assert!(
            store.restore(&image[..len]).is_err(),
            "{len} of {}",
            image.len()
        );
    }
    assert_eq!(ids(store.snapshot().services().iter()), ["old"]);
}

/// consul and nomad tell every ten seconds how far a restore has got.
#[test]
fn how_far_a_restore_is_its_reader_knows() {
    struct Counting<'a>(&'a [u8], &'a mut Vec<usize>);
    impl Read for Counting<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let len = out.len().min(1000);
            self.1.push(self.0.len());
            self.0.read(&mut out[..len])
        }
    }
    let source = Store::<Catalog>::new();
    for index in 1..200 {
        put(&source, index, &index.to_string());
    }
    let image = image(&source);
    let mut left = Vec::new();
    let store = Store::<Catalog>::new();
    store.restore(Counting(&image, &mut left)).unwrap();
    assert!(left.len() > 10 && left.is_sorted_by(|a, b| a >= b));
    assert_eq!((left.first(), left.last()), (Some(&image.len()), Some(&0)));
}

/// nomad restores what a filter lets through. Here all is restored, the rest deleted, and what is left written as an
/// image of its own.
#[test]
fn a_part_of_an_image_is_an_image() {
    let source = Store::<Catalog>::new();
    for index in 1..10 {
        put(&source, index, &format!("{}/{index}", index % 3));
    }
    let parts = Store::<Catalog>::from_image(&image(&source)[..]).unwrap();
    commit_at(&parts, 10, |txn| {
        let others = txn
            .services_mut()
            .delete_where(|row| !row.id.starts_with('1'));
        assert_eq!(others.unwrap().len(), 6);
    });
    let store = Store::<Catalog>::from_image(&image(&parts)[..]).unwrap();
    let snap = store.snapshot();
    assert_eq!(ids(snap.services().iter()), ["1/1", "1/4", "1/7"]);
    assert_eq!(
        snap.services().get("1/4").unwrap().modify_index(),
        LogIndex(4)
    );
    snap.check().unwrap();
}
