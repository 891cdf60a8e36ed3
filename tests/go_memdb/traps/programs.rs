//! What the schema says, and programs with another one.

use crate::store_schema::*;
use crate::things::{Things, names, thing, things};
use highwater::{Schema, Store, Table};
use serde::{Deserialize, Serialize};

/// go-memdb PR #125.
#[test]
fn memdb_78_an_index_is_added_by_the_next_program() {
    mod before {
        use highwater::{Schema, Table};
        use serde::{Deserialize, Serialize};

        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
        #[table(name = "thing")]
        pub(super) struct Thing {
            #[primary_key]
            pub(super) id: String,
            pub(super) age: i32,
            pub(super) kind: String,
            pub(super) zone: Option<String>,
            pub(super) sizes: Vec<String>,
            pub(super) colours: Vec<String>,
        }

        #[derive(Schema)]
        pub(super) struct Things {
            pub(super) things: Thing,
        }
    }
    let old = Store::<before::Things>::new();
    let mut txn = old.write().unwrap();
    for n in 0..50 {
        let record = before::Thing {
            id: n.to_string(),
            age: n % 5,
            kind: "k".to_owned(),
            zone: None,
            sizes: Vec::new(),
            colours: Vec::new(),
        };
        txn.things_mut().insert(record).unwrap();
    }
    txn.commit().unwrap();
    let mut image = Vec::new();
    old.snapshot().write_image(&mut image).unwrap();
    let new = Store::<Things>::from_image(&image[..]).unwrap();
    new.snapshot().check().unwrap();
    assert_eq!(new.snapshot().things().by_age(3).count(), 10);
}

/// Tables and indexes were keyed by one string: "a.b" and "id" was "a" and "b.id".
#[test]
fn memdb_names_of_tables_and_indexes_may_be_any() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "a.b")]
    struct One {
        #[primary_key]
        id: u8,
        #[index(name = "x_prefix")]
        x: String,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "a")]
    struct Two {
        #[primary_key]
        id: u8,
        #[index(name = "id")]
        b: u8,
    }

    #[derive(Schema)]
    struct Both {
        ones: One,
        twos: Two,
    }

    let store = Store::<Both>::new();
    let mut txn = store.write().unwrap();
    let x = "text".to_owned();
    txn.ones_mut().insert(One { id: 1, x }).unwrap();
    txn.twos_mut().insert(Two { id: 2, b: 1 }).unwrap();
    assert_eq!(txn.twos().by_id(1).next().unwrap().id, 2);
    assert_eq!(txn.ones().x_prefix_index().prefix("te").count(), 1);
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

#[test]
fn nomad_20072_an_older_program_refuses_what_it_does_not_know_before_it_changes_anything() {
    let source = Store::<Catalog>::new();
    commit_at(&source, 3, |txn| {
        txn.services_mut().insert(service("a", "n", "s")).unwrap();
    });
    let mut image = Vec::new();
    source.snapshot().write_image(&mut image).unwrap();
    let store = things([thing("a", 1)]);
    let error = store.restore(&image[..]).unwrap_err().to_string();
    assert!(error.contains("services"), "{error}");
    assert_eq!(names(store.snapshot().things().iter()), ["a"]);
}
