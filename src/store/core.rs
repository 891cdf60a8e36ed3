//! What all handles of one store share, whatever its schema.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::contact::Contact;
use super::derive::Deriving;
use super::erased::TableOps;
use super::fork::Origin;
use super::operate::{At, Scratch};
use super::past::{Past, Retention};
use super::rules::Rules;
use super::sound::assert_sound;
use super::track::stamp;
use crate::feed::{Newest, Part, Source, Window};
use crate::position::{HistoryId, LogIndex, Position};
use crate::session::Kept;
use crate::sync::{Mutex, lock};
use crate::version::{Edition, Trash, Version, Versions};
use crate::watch::Watches;

/// Settings of a new store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The history that the store's log indexes belong to. Not one that is reserved for forks
    /// ([`HistoryId::is_fork`]).
    pub history: HistoryId,
    /// How many recent entries are kept for feeds to resume from, and to decide whether a
    /// range changed between being read and being watched. At least one is kept; entries with a
    /// great many changes count for more. 1024 by default.
    pub window: usize,
    /// How much of the past is retained for [`Store::as_of`](crate::Store::as_of): nothing, by
    /// default.
    pub retain: Option<Retention>,
    /// How many threads a restore, or [`insert_all`](crate::TableWriter::insert_all), may build
    /// indexes on. One: only that of the caller. A fork has no more. One by default.
    pub threads: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            history: HistoryId::UNNAMED,
            window: 1024,
            retain: None,
            threads: 1,
        }
    }
}

/// What a published version is, beside its trees.
#[derive(Debug)]
pub(crate) struct Root {
    /// How many roots were published before. It never falls, whatever the position does.
    pub(crate) number: u64,
    /// The number of the last root that a restore published.
    pub(crate) restored: u64,
    /// The number of the last root that another history, or an earlier position of the same, was
    /// restored in. What was read under another number is of another line of events.
    pub(crate) line: u64,
    pub(crate) position: Position,
    /// Of a fork: where it began.
    pub(crate) origin: Option<Arc<Origin>>,
    /// When it was made.
    pub(crate) published: Instant,
    pub(crate) window: Window,
    /// The driver's own bytes.
    pub(crate) driver: Option<Arc<[u8]>>,
    /// The log's clock and the sessions of clients, if entries were applied.
    pub(crate) kept: Option<Arc<Kept>>,
}

/// What a restore has built.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) position: Position,
    pub(crate) driver: Option<Arc<[u8]>>,
    pub(crate) kept: Option<Arc<Kept>>,
}

/// The tables of a schema, in declared order, and where their trees are.
pub(crate) struct Tables {
    ops: Box<[Box<dyn TableOps>]>,
    /// The first tree of each table, and the number of all trees.
    bases: Box<[usize]>,
    rules: Box<[Rules]>,
    derivings: Box<[Deriving]>,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.ops.iter().map(|table| table.name()))
            .finish()
    }
}

impl Tables {
    pub(crate) fn new(ops: Vec<Box<dyn TableOps>>) -> Self {
        let mut bases = vec![0];
        let mut next = 0;
        for table in &ops {
            next += table.trees();
            bases.push(next);
        }
        Tables {
            rules: Rules::of(&ops),
            derivings: Deriving::of(&ops),
            ops: ops.into(),
            bases: bases.into(),
        }
    }

    /// How many trees there are.
    pub(crate) fn trees(&self) -> usize {
        self.bases[self.ops.len()]
    }

    /// The first tree of table number `table`: the primary one. Index `i` has tree `base + 1 + i`.
    pub(crate) fn base(&self, table: usize) -> usize {
        self.bases[table]
    }

    /// What the references and checks of the schema say of table number `table`.
    pub(super) fn rules(&self, table: usize) -> &Rules {
        &self.rules[table]
    }

    /// The same of each table.
    pub(super) fn all_rules(&self) -> &[Rules] {
        &self.rules
    }

    /// What is derived from what.
    pub(super) fn derivings(&self) -> &[Deriving] {
        &self.derivings
    }

    /// Table number `table`, for operations.
    pub(super) fn at(&self, table: usize) -> At {
        At {
            table,
            base: self.base(table),
        }
    }

    /// The table that tree `tree` belongs to, and which of its trees it is.
    pub(crate) fn of_tree(&self, tree: usize) -> (usize, usize) {
        let table = self.bases.partition_point(|base| *base <= tree) - 1;
        (table, tree - self.bases[table])
    }
}

/// The tables themselves.
impl Deref for Tables {
    type Target = [Box<dyn TableOps>];

    fn deref(&self) -> &Self::Target {
        &self.ops
    }
}

/// What all handles of one store share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) versions: Versions<Root>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) tables: Arc<Tables>,
    pub(super) past: Past,
    pub(super) contact: Contact,
    /// The last transaction's buffers, for the next.
    pub(super) scratch: Mutex<Option<Box<Scratch>>>,
    /// How many threads one operation may use.
    pub(crate) threads: usize,
    /// What alone may write it, if somebody claimed that.
    pub(super) driver: OnceLock<&'static str>,
    /// A fork: what happens in it is to have no effect outside of it.
    pub(super) forked: bool,
}

impl Core {
    pub(crate) fn new(tables: Vec<Box<dyn TableOps>>, options: &StoreOptions) -> Self {
        let StoreOptions {
            history,
            window,
            retain,
            threads,
        } = *options;
        assert_sound(&tables);
        let tables = Arc::new(Tables::new(tables));
        let mut trees = Vec::with_capacity(tables.trees());
        for table in tables.iter() {
            table.empty_trees(&mut trees);
        }
        let root = Root {
            number: 0,
            restored: 0,
            line: 0,
            position: Position {
                history,
                index: LogIndex::ZERO,
            },
            origin: None,
            published: Instant::now(),
            window: Window::new(LogIndex::ZERO, window),
            driver: None,
            kept: None,
        };
        Core {
            versions: Versions::new(trees, root),
            watches: Watches::new(tables.trees()),
            tables,
            past: Past::new(retain),
            contact: Contact::default(),
            scratch: Mutex::new(None),
            threads,
            driver: OnceLock::new(),
            forked: false,
        }
    }

    /// That of a fork of a version.
    pub(super) fn fork(tables: Vec<Box<dyn TableOps>>, version: &Version<Root>) -> Self {
        let base = version.payload();
        let tables = Arc::new(Tables::new(tables));
        let (position, origin) = Origin::begin(base.position, base.origin.clone());
        let root = Root {
            number: 0,
            restored: 0,
            line: 0,
            position,
            origin,
            published: Instant::now(),
            window: base.window.restarted(position.index),
            driver: base.driver.clone(),
            kept: base.kept.clone(),
        };
        Core {
            versions: Versions::fork(version, root),
            watches: Watches::new(tables.trees()),
            tables,
            past: Past::new(None),
            contact: Contact::authority(),
            scratch: Mutex::new(None),
            threads: 1,
            driver: OnceLock::new(),
            forked: true,
        }
    }

    pub(crate) fn current(&self) -> Version<Root> {
        self.versions.current()
    }

    /// Publishes, and retains what was the newest version if that is wanted.
    pub(super) fn publish(&self, edition: Edition<Root>, root: Root) -> Trash<Root> {
        if !self.past.retains() {
            return edition.publish(root);
        }
        let base = edition.base().payload();
        let past = Root {
            window: base.window.stripped(),
            driver: base.driver.clone(),
            kept: base.kept.clone(),
            origin: base.origin.clone(),
            ..*base
        };
        let (line, now) = (root.line, root.published);
        edition.publish_keeping(root, past, |version, bytes| {
            self.past.add(version, bytes, line, now);
        })
    }

    pub(crate) fn take_scratch(&self) -> Box<Scratch> {
        lock(&self.scratch).take().unwrap_or_default()
    }

    pub(crate) fn keep_scratch(&self, used: Box<Scratch>) {
        if !used.is_large() {
            *lock(&self.scratch) = Some(used);
        }
    }
}

impl Source for Core {
    fn newest(&self, look: &mut dyn FnMut(Newest<'_>)) {
        let version = self.current();
        let root = version.payload();
        let changed =
            |(tree, region): &Part| LogIndex(stamp(&version, &self.tables, *tree, region));
        look(Newest {
            number: root.number,
            position: root.position,
            restored: root.restored,
            window: &root.window,
            changed: &changed,
        });
    }

    fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }
}
