//! `SQLite`, in memory.

use std::sync::{Mutex, MutexGuard};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, params};

use super::{Prefixes, System};
use crate::record::Service;

const SCHEMA: &str = "
    CREATE TABLE services (
        id TEXT PRIMARY KEY, node TEXT NOT NULL, name TEXT NOT NULL, tags TEXT NOT NULL,
        port INTEGER NOT NULL, payload BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX by_node ON services (node);
    CREATE INDEX by_name ON services (name);
    CREATE INDEX by_name_node ON services (name, node);
    CREATE TABLE tags (
        tag TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tag, id)
    ) STRICT, WITHOUT ROWID;
";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.node, s.name, s.tags, s.port, s.payload FROM services s ",
            $rest
        )
    };
}

/// One connection to an in-memory database behind a `std::sync::Mutex`.
#[derive(Debug)]
pub struct Sqlite {
    connection: Mutex<Connection>,
}

impl Sqlite {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("no user has panicked")
    }
}

fn decode(row: &Row<'_>) -> rusqlite::Result<Service> {
    Ok(Service {
        id: row.get(0)?,
        node: row.get(1)?,
        name: row.get(2)?,
        tags: row
            .get_ref(3)?
            .as_str()?
            .split(' ')
            .map(str::to_owned)
            .collect(),
        port: row.get(4)?,
        payload: row.get(5)?,
    })
}

fn prepare<'a>(connection: &'a Connection, sql: &str) -> CachedStatement<'a> {
    connection
        .prepare_cached(sql)
        .expect("the statement is right")
}

fn see_all(connection: &Connection, sql: &str, params: impl Params, mut see: impl FnMut(&Service)) {
    let mut statement = prepare(connection, sql);
    let mut rows = statement.query(params).expect("the parameters are right");
    while let Some(row) = rows.next().expect("the database is sound") {
        see(&decode(row).expect("the columns are right"));
    }
}

/// The changes of one transaction.
fn upsert(connection: &Connection, record: &Service) -> rusqlite::Result<()> {
    let old: Option<String> = prepare(connection, "SELECT tags FROM services WHERE id = ?1")
        .query_row([&record.id], |row| row.get(0))
        .optional()?;
    let tags = record.tags.join(" ");
    prepare(
        connection,
        "INSERT INTO services (id, node, name, tags, port, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET node = excluded.node, name = excluded.name,
         tags = excluded.tags, port = excluded.port, payload = excluded.payload",
    )
    .execute(params![
        record.id,
        record.node,
        record.name,
        tags,
        record.port,
        record.payload
    ])?;
    if old.as_ref() != Some(&tags) {
        if let Some(old) = old {
            delete_tags(connection, &record.id, &old)?;
        }
        let mut insert = prepare(connection, "INSERT INTO tags (tag, id) VALUES (?1, ?2)");
        for tag in &record.tags {
            insert.execute([tag, &record.id])?;
        }
    }
    Ok(())
}

fn delete_tags(connection: &Connection, id: &str, tags: &str) -> rusqlite::Result<()> {
    let mut delete = prepare(connection, "DELETE FROM tags WHERE tag = ?1 AND id = ?2");
    for tag in tags.split(' ') {
        delete.execute([tag, id])?;
    }
    Ok(())
}

fn delete(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    let old: Option<String> = prepare(
        connection,
        "DELETE FROM services WHERE id = ?1 RETURNING tags",
    )
    .query_row([id], |row| row.get(0))
    .optional()?;
    if let Some(old) = &old {
        delete_tags(connection, id, old)?;
    }
    Ok(old.is_some())
}

impl System for Sqlite {
    type View<'a> = MutexGuard<'a, Connection>;

    const NAME: &'static str = "sqlite";
    const TITLE: &'static str = "SQLite";
    const HOW: &'static str = "`rusqlite`, bundled, `:memory:`, one connection behind \
                               `std::sync::Mutex`, which is its reader's snapshot. Tables `WITHOUT \
                               ROWID`, tags in a table of their own, prepared statements cached; \
                               each record read is decoded whole.";
    const ENCODES: bool = true;

    fn create() -> Self {
        let connection = Connection::open_in_memory().expect("memory suffices");
        connection.set_prepared_statement_cache_capacity(32);
        connection
            .execute_batch(SCHEMA)
            .expect("the schema is right");
        Self {
            connection: Mutex::new(connection),
        }
    }

    fn view(&self) -> MutexGuard<'_, Connection> {
        self.lock()
    }

    fn get(view: &Self::View<'_>, id: &str, see: impl FnMut(&Service)) {
        see_all(view, select!("WHERE s.id = ?1"), [id], see);
    }

    fn scan(view: &Self::View<'_>, see: impl FnMut(&Service)) {
        see_all(view, select!("ORDER BY s.id"), [], see);
    }

    fn by_node(view: &Self::View<'_>, node: &str, see: impl FnMut(&Service)) {
        see_all(
            view,
            select!("WHERE s.node = ?1 ORDER BY s.id"),
            [node],
            see,
        );
    }

    fn by_name(view: &Self::View<'_>, name: &str, see: impl FnMut(&Service)) {
        see_all(
            view,
            select!("WHERE s.name = ?1 ORDER BY s.id"),
            [name],
            see,
        );
    }

    fn by_tag(view: &Self::View<'_>, tag: &str, see: impl FnMut(&Service)) {
        let sql = select!("JOIN tags t ON t.id = s.id WHERE t.tag = ?1 ORDER BY t.id");
        see_all(view, sql, [tag], see);
    }

    fn by_name_node(view: &Self::View<'_>, name: &str, node: &str, see: impl FnMut(&Service)) {
        let sql = select!("WHERE s.name = ?1 AND s.node = ?2 ORDER BY s.id");
        see_all(view, sql, [name, node], see);
    }

    fn upsert(&self, records: impl IntoIterator<Item = Service>) {
        let connection = self.lock();
        let transaction = connection.unchecked_transaction().expect("none is open");
        for record in records {
            upsert(&transaction, &record).expect("the record is right");
        }
        transaction.commit().expect("memory suffices");
    }

    fn delete(&self, id: &str) -> bool {
        let connection = self.lock();
        let transaction = connection.unchecked_transaction().expect("none is open");
        let found = delete(&transaction, id).expect("the id is right");
        transaction.commit().expect("memory suffices");
        found
    }

    fn foreign_bytes(&self) -> u64 {
        let connection = self.lock();
        let pragma = |name: &str| -> i64 {
            connection
                .pragma_query_value(None, name, |row| row.get(0))
                .expect("SQLite has it")
        };
        u64::try_from(pragma("page_count") * pragma("page_size")).expect("sizes are positive")
    }
}

impl Prefixes for Sqlite {
    fn by_prefix(view: &Self::View<'_>, prefix: &str, see: impl FnMut(&Service)) {
        // The first text after all that begin with the prefix; the prefixes used here are ASCII.
        let mut end = prefix.to_owned();
        end.push(char::MAX);
        let sql = select!("WHERE s.id >= ?1 AND s.id < ?2 ORDER BY s.id");
        see_all(view, sql, [prefix, &end], see);
    }
}
