//! Pages: a cursor goes on where an iterator was, and so does a copy of it.

use crate::store_schema::*;
use highwater::{Cursor, CursorError, HistoryId, Rows, Store, StoreOptions};

#[test]
fn a_page_ends_where_the_next_begins() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 3, |txn| {
        for id in ["a", "b", "c", "d", "e"] {
            txn.services_mut().insert(tagged(id, &["x"])).unwrap();
        }
    });
    let snap = store.snapshot();
    let query = |db: &CatalogView, tag: &str| -> Vec<String> {
        ids(db.services().by_tags(tag))
            .into_iter()
            .map(String::from)
            .collect()
    };
    assert_eq!(query(&snap, "x").len(), 5);
    let mut page = snap.services().by_tags("x");
    let start = page.cursor().unwrap();
    assert_eq!(ids(page.by_ref().take(2)), ["a", "b"]);
    let cursor = page.cursor().unwrap();
    assert_eq!(cursor.position(), snap.position());
    // What it is, and nothing else, comes back from text and from serde.
    assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
    let json = serde_json::to_string(&cursor).unwrap();
    assert_eq!(json, format!("\"{cursor}\""));
    assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
    assert_eq!(page.count(), 3);

    // The record it stands at goes, others come: each page is of its own snapshot.
    commit_at(&store, 4, |txn| {
        let mut services = txn.services_mut();
        services.delete("b").unwrap();
        services.delete("d").unwrap();
        services.insert(tagged("aa", &["x"])).unwrap();
        services.insert(tagged("bb", &["x"])).unwrap();
        services.insert(tagged("z", &["y"])).unwrap();
    });
    let later = store.snapshot();
    let services = later.services();
    let rest = services.by_tags("x").resume(&cursor).unwrap();
    assert_eq!(ids(rest), ["bb", "c", "e"]);
    let mut rest = services.by_tags("x").resume(&cursor).unwrap();
    assert!(rest.next().is_some());
    let further = rest.cursor().unwrap();
    assert_eq!(
        ids(services.by_tags("x").resume(&further).unwrap()),
        ["c", "e"]
    );
    assert_eq!(services.by_tags("x").resume(&start).unwrap().count(), 5);
    rest.by_ref().for_each(drop);
    assert_eq!(rest.cursor(), None);
    let mut back = services.by_tags("x");
    assert_eq!(back.next_back().unwrap().id, "e");
    let cursor_back = back.cursor_back().unwrap();
    let rest = services.by_tags("x").resume(&cursor_back).unwrap();
    assert_eq!(ids(rest.rev()), ["c", "bb", "aa", "a"]);

    // Another query's, another history's, or nobody's.
    for other in [
        services.by_tags("y").resume(&cursor).err(),
        services.tags_index().iter().resume(&cursor).err(),
        services.by_node("x").resume(&cursor).err(),
    ] {
        assert_eq!(other, Some(CursorError::OtherQuery));
    }
    let other = Store::<Catalog>::with_options(StoreOptions {
        history: HistoryId(7),
        ..StoreOptions::default()
    });
    assert_eq!(
        other
            .snapshot()
            .services()
            .by_tags("x")
            .resume(&cursor)
            .err(),
        Some(CursorError::OtherHistory {
            cursor: HistoryId::UNNAMED,
            now: HistoryId(7)
        })
    );
    let text = cursor.to_string();
    for bad in [
        "",
        "0",
        "zz",
        &text[..8],
        &format!("02{}", &text[2..]),
        &format!("01f0{}", &text[4..]),
    ] {
        assert_eq!(bad.parse::<Cursor>(), Err(CursorError::Malformed), "{bad}");
    }
    // Made up: a key that the query does not reach.
    let made_up = format!("{}7a", &text[..60]).parse::<Cursor>().unwrap();
    assert_eq!(
        services.by_tags("x").resume(&made_up).err(),
        Some(CursorError::OtherQuery)
    );
}

#[test]
fn a_copy_of_an_iterator_has_its_place() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        for id in ["xa", "xb", "xc", "xd"] {
            txn.services_mut()
                .insert(tagged(id, &["a", "xx", "xy"]))
                .unwrap();
        }
    });
    let rest = |db: &CatalogView| -> Vec<Vec<String>> {
        let services = db.services();
        let query = || services.tags_index().prefix("x");
        let mut rows = query();
        rows.by_ref().take(2).for_each(drop);
        let copy = rows.clone();
        let cursors = [rows.cursor(), copy.cursor()].map(Option::unwrap);
        let rests = cursors.map(|cursor| query().resume(&cursor).unwrap());
        let owned = |rows: Rows<'_, Service>| rows.map(|row| row.id.clone()).collect();
        rests.into_iter().chain([rows, copy]).map(owned).collect()
    };
    let tracked = store.watch(|db| rest(db)).0.value;
    for rests in [rest(&store.snapshot()), tracked] {
        for rest in rests {
            assert_eq!(rest, ["xc", "xd", "xa", "xb", "xc", "xd"]);
        }
    }
}
