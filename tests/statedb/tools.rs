//! What is read, written and counted without the types.

use crate::device::{Agent, commit, device, put};
use highwater::{LogIndex, Store, TableStats};

/// `db`: the tables, with their indexes and how much they hold.
#[test]
fn the_tables_of_a_store() {
    let store = Store::<Agent>::new();
    put(&store, [device(1, &["a", "b"]), device(2, &[])]);
    let schema = Store::<Agent>::describe();
    let (table, stats) = (&schema.tables[0], &store.stats().tables[0]);
    let indexes: Vec<_> = table
        .indexes
        .iter()
        .map(|index| (index.name, index.unique))
        .collect();
    assert_eq!(
        (table.name, &indexes[..]),
        ("devices", &[("name", true), ("tags", false)][..])
    );
    let &TableStats {
        name,
        records,
        index_entries,
        ..
    } = stats;
    assert_eq!((name, records, index_entries), ("devices", 2, 4));
}

/// The figures of their metrics that are a store's: objects, revisions, and what observers cost, which is a
/// version where a snapshot is held and nothing where changes are followed.
#[test]
fn metrics() {
    let store = Store::<Agent>::new();
    put(&store, (0..100).map(|id| device(id, &["a"])));
    let held = store.snapshot();
    let _changes = store.follow().unwrap().1;
    let (_, _watch) = store.watch(|db| db.devices().contains(7));
    commit(&store, |txn| {
        drop(txn.devices_mut().delete_where(|row| row.id > 9).unwrap());
    });
    let stats = store.stats();
    assert_eq!(stats.position.index, LogIndex(2));
    assert_eq!((stats.records(), stats.index_entries()), (10, 20));
    assert_eq!(
        (stats.versions, stats.oldest, stats.watchers),
        (2, held.position(), 1)
    );
    assert!(stats.pinned_bytes > 0 && stats.live_bytes > 0);
    assert_eq!(held.devices().log_index(), LogIndex(1));
    assert_eq!(store.snapshot().devices().log_index(), LogIndex(2));
}

#[cfg(feature = "json")]
mod json {
    use super::*;
    use crate::device::Device;
    use highwater::untyped::{Error, Row};
    use highwater::{Schema, Snapshot};
    use serde_json::{Value, json};

    /// `GET /dump`: all tables, or some, as JSON.
    fn dump<S: Schema>(snapshot: &Snapshot<S>) -> Result<Value, Error> {
        let mut all = serde_json::Map::new();
        for table in Store::<S>::describe().tables {
            let rows = snapshot
                .untyped(table.name)
                .into_iter()
                .flat_map(|table| table.rows());
            let values: Result<Vec<Value>, Error> = rows.map(|row| Ok(row?.value)).collect();
            all.insert(table.name.to_owned(), values?.into());
        }
        Ok(all.into())
    }

    /// `db/show`: a table with its fields as a header.
    fn show<S: Schema>(snapshot: &Snapshot<S>, table: &str) -> Option<String> {
        let schema = Store::<S>::describe();
        let fields = schema.tables.iter().find(|found| found.name == table)?;
        let fields: Vec<_> = fields.fields.iter().map(|field| field.name).collect();
        let mut lines = vec![fields.join("\t")];
        for row in snapshot.untyped(table)?.rows() {
            let row = row.ok()?.value;
            let row: Vec<_> = fields.iter().map(|field| row[*field].to_string()).collect();
            lines.push(row.join("\t"));
        }
        Some(lines.join("\n"))
    }

    fn filled() -> Store<Agent> {
        let store = Store::<Agent>::new();
        put(
            &store,
            [device(1, &["a", "b"]), device(2, &["ab"]), device(10, &[])],
        );
        store
    }

    #[test]
    fn a_dump_and_a_table_for_people() {
        let snap = filled().snapshot();
        let dumped = dump(&snap).unwrap();
        assert_eq!(
            dumped["devices"][1],
            json!({ "id": 2, "name": "eth2", "tags": ["ab"] })
        );
        assert_eq!(dumped["devices"].as_array().unwrap().len(), 3);
        let shown = show(&snap, "devices").unwrap();
        assert_eq!(shown.lines().next(), Some("id\tname\ttags"));
        assert_eq!(shown.lines().nth(1), Some("1\t\"eth1\"\t[\"a\",\"b\"]"));
        assert!(show(&snap, "nothing").is_none());
    }

    /// `db/get`, `db/list`, `db/prefix`, `db/lowerbound`: by the name of an index, with keys as text.
    #[test]
    fn queries_by_text() {
        let snap = filled().snapshot();
        let devices = snap.untyped("devices").unwrap();
        let ids = |rows: &mut dyn Iterator<Item = Result<Row, Error>>| {
            let ids = rows.map(|row| row.unwrap().value["id"].as_u64().unwrap());
            ids.collect::<Vec<_>>()
        };
        assert_eq!(
            devices.get(&["10"]).unwrap().unwrap().value["name"],
            "eth10"
        );
        let tags = devices.index("tags").unwrap();
        assert_eq!(ids(&mut tags.get(&["a"]).unwrap()), [1]);
        assert_eq!(ids(&mut tags.prefix(&["a"]).unwrap()), [1, 2]);
        let name = devices.index("name").unwrap();
        assert_eq!(ids(&mut name.from(&["eth10"]).unwrap()), [10, 2]);
        assert_eq!(ids(&mut name.from(&["eth11"]).unwrap()), [2]);
        assert_eq!(ids(&mut devices.from(&["2"]).unwrap()), [2, 10]);
        assert!(ids(&mut devices.from(&["11"]).unwrap()).is_empty());
        assert!(devices.from(&["two"]).is_err());
    }

    /// `db/insert` and `db/delete`: records are written by their types, which read them from what was typed.
    #[test]
    fn records_from_text() {
        let store = filled();
        let typed = r#"{ "id": 3, "name": "lo", "tags": ["x"] }"#;
        put(&store, [serde_json::from_str::<Device>(typed).unwrap()]);
        assert_eq!(store.snapshot().devices().by_name("lo").unwrap().id, 3);
        let wrong = serde_json::from_str::<Device>(r#"{ "id": "3" }"#);
        assert!(wrong.is_err());
        // A deletion by the key that was typed.
        let id: u32 = "3".parse().unwrap();
        commit(&store, |txn| {
            let gone = txn.devices_mut().delete(id).unwrap();
            assert_eq!(gone.unwrap().name, "lo");
            assert!(txn.devices_mut().delete(id).unwrap().is_none());
        });
        assert!(store.snapshot().devices().by_name("lo").is_none());
    }

    /// `GET /changes`: each as JSON, with its revision and whether it is a deletion.
    #[test]
    fn changes_as_json() {
        let store = filled();
        let (_, mut changes) = store.follow_of(|db| db.devices().iter()).unwrap();
        commit(&store, |txn| {
            txn.devices_mut().delete(1).unwrap();
            txn.devices_mut().insert(device(4, &[])).unwrap();
        });
        let mut lines = Vec::new();
        while let Some(item) = changes.try_next().unwrap() {
            let highwater::FeedItem::Event(event) = item else {
                continue;
            };
            for change in event.changes() {
                let object = change.after.or(change.before).map(|row| &**row);
                let deleted = change.after.is_none();
                lines.push(json!({ "obj": object, "rev": event.index().0, "deleted": deleted }));
            }
        }
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["obj"]["id"], 1);
        assert_eq!(
            (&lines[0]["deleted"], &lines[1]["deleted"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(lines[1]["rev"], 2);
    }
}
