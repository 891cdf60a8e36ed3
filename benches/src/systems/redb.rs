//! `redb`, in memory.

use std::cell::OnceCell;

use ::redb::backends::InMemoryBackend;
use ::redb::{
    Database, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table,
    TableDefinition, WriteTransaction,
};

use super::{Prefixes, System};
use crate::record::Service;

/// node, name, tags, port, payload.
type Columns = (
    &'static str,
    &'static str,
    Vec<&'static str>,
    u16,
    &'static [u8],
);
type Pair = (&'static str, &'static str);
type Triple = (&'static str, &'static str, &'static str);

const SERVICES: TableDefinition<'_, &str, Columns> = TableDefinition::new("services");
const BY_NODE: TableDefinition<'_, Pair, ()> = TableDefinition::new("by_node");
const BY_NAME: TableDefinition<'_, Pair, ()> = TableDefinition::new("by_name");
const BY_TAG: TableDefinition<'_, Pair, ()> = TableDefinition::new("by_tag");
const BY_NAME_NODE: TableDefinition<'_, Triple, ()> = TableDefinition::new("by_name_node");

/// Enough for every page of a million records, so that none is ever decoded twice for lack of room.
const CACHE: usize = 4 << 30;

/// A `redb` database over its in-memory backend.
#[derive(Debug)]
pub struct Redb {
    database: Database,
}

/// A read transaction and the tables it has opened.
pub struct View {
    transaction: ReadTransaction,
    services: ReadOnlyTable<&'static str, Columns>,
    nodes: OnceCell<ReadOnlyTable<Pair, ()>>,
    names: OnceCell<ReadOnlyTable<Pair, ()>>,
    tags: OnceCell<ReadOnlyTable<Pair, ()>>,
    pairs: OnceCell<ReadOnlyTable<Triple, ()>>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl View {
    fn open<'a, K: Key>(
        &self,
        cell: &'a OnceCell<ReadOnlyTable<K, ()>>,
        table: TableDefinition<'_, K, ()>,
    ) -> &'a ReadOnlyTable<K, ()> {
        cell.get_or_init(|| {
            self.transaction
                .open_table(table)
                .expect("the table is there")
        })
    }

    fn see(&self, id: &str, mut see: impl FnMut(&Service)) {
        if let Some(found) = self.services.get(id).expect("the database is sound") {
            see(&decode(id, found.value()));
        }
    }

    fn see_pairs(&self, index: &ReadOnlyTable<Pair, ()>, key: &str, mut see: impl FnMut(&Service)) {
        for entry in index.range((key, "")..).expect("the database is sound") {
            let (entry, ()) = entry
                .map(|(k, v)| (k, v.value()))
                .expect("the database is sound");
            let (found, id) = entry.value();
            if found != key {
                break;
            }
            self.see(id, &mut see);
        }
    }
}

fn decode(
    id: &str,
    (node, name, tags, port, payload): (&str, &str, Vec<&str>, u16, &[u8]),
) -> Service {
    Service {
        id: id.to_owned(),
        node: node.to_owned(),
        name: name.to_owned(),
        tags: tags.into_iter().map(str::to_owned).collect(),
        port,
        payload: payload.to_owned(),
    }
}

/// The index tables, opened when a transaction first changes an index key.
struct Indexes<'t> {
    nodes: Table<'t, Pair, ()>,
    names: Table<'t, Pair, ()>,
    tags: Table<'t, Pair, ()>,
    pairs: Table<'t, Triple, ()>,
}

/// The index keys of a record.
struct Keys<'a> {
    id: &'a str,
    node: &'a str,
    name: &'a str,
    tags: Vec<&'a str>,
}

impl<'t> Indexes<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, ::redb::Error> {
        Ok(Self {
            nodes: transaction.open_table(BY_NODE)?,
            names: transaction.open_table(BY_NAME)?,
            tags: transaction.open_table(BY_TAG)?,
            pairs: transaction.open_table(BY_NAME_NODE)?,
        })
    }

    fn insert(&mut self, new: &Keys<'_>) -> Result<(), ::redb::Error> {
        self.nodes.insert((new.node, new.id), ())?;
        self.names.insert((new.name, new.id), ())?;
        for tag in &new.tags {
            self.tags.insert((*tag, new.id), ())?;
        }
        self.pairs.insert((new.name, new.node, new.id), ())?;
        Ok(())
    }

    fn remove(&mut self, old: &Keys<'_>) -> Result<(), ::redb::Error> {
        self.nodes.remove((old.node, old.id))?;
        self.names.remove((old.name, old.id))?;
        for tag in &old.tags {
            self.tags.remove((*tag, old.id))?;
        }
        self.pairs.remove((old.name, old.node, old.id))?;
        Ok(())
    }
}

impl Redb {
    fn write(&self, records: impl IntoIterator<Item = Service>) -> Result<(), ::redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut services = transaction.open_table(SERVICES)?;
            let mut indexes = None;
            for record in records {
                let Service {
                    id,
                    node,
                    name,
                    tags,
                    port,
                    payload,
                } = &record;
                let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
                let columns = (
                    node.as_str(),
                    name.as_str(),
                    tags,
                    *port,
                    payload.as_slice(),
                );
                let old = services.insert(id.as_str(), &columns)?;
                let old = old.as_ref().map(|old| {
                    let (node, name, tags, ..) = old.value();
                    Keys {
                        id,
                        node,
                        name,
                        tags,
                    }
                });
                let new = Keys {
                    id,
                    node,
                    name,
                    tags: columns.2,
                };
                if let Some(old) = &old
                    && (old.node, old.name, &old.tags) == (new.node, new.name, &new.tags)
                {
                    continue;
                }
                if indexes.is_none() {
                    indexes = Some(Indexes::open(&transaction)?);
                }
                if let Some(indexes) = &mut indexes {
                    if let Some(old) = &old {
                        indexes.remove(old)?;
                    }
                    indexes.insert(&new)?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn remove(&self, id: &str) -> Result<bool, ::redb::Error> {
        let transaction = self.database.begin_write()?;
        let found = {
            let mut services = transaction.open_table(SERVICES)?;
            let old = services.remove(id)?;
            if let Some(old) = &old {
                let (node, name, tags, ..) = old.value();
                Indexes::open(&transaction)?.remove(&Keys {
                    id,
                    node,
                    name,
                    tags,
                })?;
            }
            old.is_some()
        };
        transaction.commit()?;
        Ok(found)
    }
}

impl System for Redb {
    type View<'a> = View;

    const NAME: &'static str = "redb";
    const TITLE: &'static str = "`redb`";
    const HOW: &'static str = "`redb` over its `InMemoryBackend`, its cache larger than the data. \
                               Columns in a tuple, an index a table of (key, id); each record read \
                               is decoded whole. A view is a read transaction with the table open.";
    const ENCODES: bool = true;

    fn create() -> Self {
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create_with_backend(InMemoryBackend::new())
            .expect("memory suffices");
        let transaction = database.begin_write().expect("none is open");
        transaction.open_table(SERVICES).expect("it is new");
        Indexes::open(&transaction).expect("they are new");
        transaction.commit().expect("memory suffices");
        Self { database }
    }

    fn view(&self) -> View {
        let transaction = self.database.begin_read().expect("memory suffices");
        let services = transaction
            .open_table(SERVICES)
            .expect("the table is there");
        View {
            transaction,
            services,
            nodes: OnceCell::new(),
            names: OnceCell::new(),
            tags: OnceCell::new(),
            pairs: OnceCell::new(),
        }
    }

    fn get(view: &View, id: &str, see: impl FnMut(&Service)) {
        view.see(id, see);
    }

    fn scan(view: &View, mut see: impl FnMut(&Service)) {
        for entry in view.services.iter().expect("the database is sound") {
            let (id, columns) = entry.expect("the database is sound");
            see(&decode(id.value(), columns.value()));
        }
    }

    fn by_node(view: &View, node: &str, see: impl FnMut(&Service)) {
        view.see_pairs(view.open(&view.nodes, BY_NODE), node, see);
    }

    fn by_name(view: &View, name: &str, see: impl FnMut(&Service)) {
        view.see_pairs(view.open(&view.names, BY_NAME), name, see);
    }

    fn by_tag(view: &View, tag: &str, see: impl FnMut(&Service)) {
        view.see_pairs(view.open(&view.tags, BY_TAG), tag, see);
    }

    fn by_name_node(view: &View, name: &str, node: &str, mut see: impl FnMut(&Service)) {
        let index = view.open(&view.pairs, BY_NAME_NODE);
        for entry in index
            .range((name, node, "")..)
            .expect("the database is sound")
        {
            let (entry, _) = entry.expect("the database is sound");
            let (found_name, found_node, id) = entry.value();
            if (found_name, found_node) != (name, node) {
                break;
            }
            view.see(id, &mut see);
        }
    }

    fn upsert(&self, records: impl IntoIterator<Item = Service>) {
        self.write(records).expect("memory suffices");
    }

    fn delete(&self, id: &str) -> bool {
        self.remove(id).expect("memory suffices")
    }
}

impl Prefixes for Redb {
    fn by_prefix(view: &View, prefix: &str, mut see: impl FnMut(&Service)) {
        for entry in view
            .services
            .range(prefix..)
            .expect("the database is sound")
        {
            let (id, columns) = entry.expect("the database is sound");
            if !id.value().starts_with(prefix) {
                break;
            }
            see(&decode(id.value(), columns.value()));
        }
    }
}
