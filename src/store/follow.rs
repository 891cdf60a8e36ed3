//! Following a store's commits, with the changes as the schema's types.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::keys::{entry_key, index_keys};
use super::rows::Rows;
use super::snapshot::Snapshot;
use super::store::Store;
use super::view::Schema;
use crate::feed::{
    Feed, FeedError, Part, Pick, RawChanges, Source, Start, Stream, TableEvent, changes_within,
};
use crate::key::{KeyBuf, KeySink};
use crate::position::{LogIndex, Position};
use crate::schema::Table;

/// One entry's changes: derefs to the generated changes (`event.services()`).
pub struct Event<S: Schema> {
    position: Position,
    changes: S::Changes,
}

impl<S: Schema> Clone for Event<S> {
    fn clone(&self) -> Self {
        Event {
            position: self.position,
            changes: self.changes.clone(),
        }
    }
}

impl<S: Schema> fmt::Debug for Event<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("position", &self.position)
            .field("changes", &self.changes)
            .finish()
    }
}

impl<S: Schema> Event<S> {
    /// Where it is in the log: where to resume after it.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The entry's log index.
    pub fn index(&self) -> LogIndex {
        self.position.index
    }
}

impl<S: Schema> Deref for Event<S> {
    type Target = S::Changes;

    fn deref(&self) -> &S::Changes {
        &self.changes
    }
}

impl<S: Schema> Store<S> {
    /// The commits from there on, each once and in order, with bookmarks, and restores told as such. What
    /// to make of them, and how to resume, says [`Feed`].
    ///
    /// # Errors
    ///
    /// The position to begin after is of another history, or further back than the window reaches
    /// ([`FeedError`] says where that is); the store is closed or halted.
    ///
    /// ```
    /// use highwater::{FeedItem, Schema, Start, Store, Table};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// struct Node {
    ///     #[primary_key]
    ///     name: String,
    /// }
    ///
    /// #[derive(Schema)]
    /// struct Cluster {
    ///     nodes: Node,
    /// }
    ///
    /// let store = Store::<Cluster>::new();
    /// let feed = store.feed(Start::Now)?;
    /// let mut txn = store.write()?;
    /// txn.nodes_mut().insert(Node { name: "n1".into() })?;
    /// txn.commit()?;
    /// store.close();
    ///
    /// let mut told = Vec::new();
    /// for item in feed {
    ///     match item {
    ///         Ok(FeedItem::Event(event)) => told.push(format!("{} nodes", event.nodes().len())),
    ///         Ok(FeedItem::Bookmark(position)) => told.push(format!("up to {}", position.index)),
    ///         Ok(FeedItem::Restored(_)) => told.push("all is new".to_owned()),
    ///         Err(end) => told.push(end.to_string()),
    ///     }
    /// }
    /// assert_eq!(told, ["up to 0", "1 nodes", "up to 1", "the store is closed"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn feed(&self, from: Start) -> Result<Feed<Event<S>>, FeedError> {
        let stream = Stream::start(&self.source(), from, None)?;
        Ok(Feed::new(stream, Box::new(whole)))
    }

    /// The same of what a query covers, of one table: all of it (`db.services().iter()`), a key of an
    /// index (`db.services().by_node("n1")`), a prefix or a range. A change counts if the record is, or
    /// was, in it; [`Feed::filter`] narrows it further.
    ///
    /// The query is made once, to see what it covers; it finds nothing. Who waits sleeps while other things
    /// are changed, but for once each time an eighth of what the window keeps has gone by; with
    /// [`Feed::bookmark_when_idle`] each entry wakes.
    ///
    /// ```
    /// # use highwater::{FeedItem, Schema, Start, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # struct Service { #[primary_key] id: String, #[index] node: String }
    /// # #[derive(Schema)]
    /// # struct Catalog { services: Service }
    /// # let store = Store::<Catalog>::new();
    /// let mut on_n1 = store.feed_of(Start::Now, |db| db.services().by_node("n1"))?;
    /// assert!(matches!(on_n1.try_next()?, Some(FeedItem::Bookmark(_))));
    /// let mut txn = store.write()?;
    /// txn.services_mut().insert(Service { id: "web".into(), node: "n1".into() })?;
    /// txn.services_mut().insert(Service { id: "db".into(), node: "n2".into() })?;
    /// txn.commit()?;
    /// assert!(matches!(on_n1.try_next()?, Some(FeedItem::Event(event)) if event.changes().len() == 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Of a set of matches, follow one look-up and filter that by the rest: of those in common, the one
    /// with the fewest records; of a difference, the first. Those that one or another has: follow the table
    /// and filter that, or each by a feed of its own, of which each tells what they have in common.
    ///
    /// ```
    /// # use highwater::{Row, Schema, Start, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # struct Service { #[primary_key] id: String, #[index] node: String, #[index(each)] tags: Vec<String> }
    /// # #[derive(Schema)]
    /// # struct Catalog { services: Service }
    /// # let store = Store::<Catalog>::new();
    /// // As `services.node_index().matching("n1").and(services.tags_index().matching("web"))`, where
    /// // nodes have fewer services than tags.
    /// let is_web = |service: &Row<Service>| service.tags.contains(&"web".to_owned());
    /// let on_n1 = store.feed_of(Start::Now, |db| db.services().by_node("n1"))?;
    /// let mut web_on_n1 =
    ///     on_n1.filter(move |change| change.before.is_some_and(is_web) || change.after.is_some_and(is_web));
    /// # assert!(web_on_n1.try_next()?.is_some());
    /// # let put = |id: &str, tag: &str| {
    /// #     let service = Service { id: id.into(), node: "n1".into(), tags: vec![tag.into()] };
    /// #     let mut txn = store.write().unwrap();
    /// #     txn.services_mut().upsert(service).unwrap();
    /// #     txn.commit().unwrap();
    /// # };
    /// # put("a", "db");
    /// # assert!(web_on_n1.try_next()?.is_none());
    /// # put("a", "web");
    /// # assert!(web_on_n1.try_next()?.is_some());
    /// # put("a", "db");
    /// # assert!(web_on_n1.try_next()?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn feed_of<T: Table>(
        &self,
        from: Start,
        query: impl for<'a> FnOnce(&'a S::View) -> Rows<'a, T>,
    ) -> Result<Feed<TableEvent<T>>, FeedError> {
        let (part, pick) = followed(self, query);
        let stream = Stream::start(&self.source(), from, Some(&part))?;
        Ok(Feed::new(stream, pick))
    }

    /// A snapshot, and a [`feed`](Self::feed) of the commits after it: all that is and comes, with nothing
    /// twice and nothing left out. For who begins, and for who has to begin again ([`Feed`] has an
    /// example).
    ///
    /// The snapshot pins its version while it is held: read it, drop it, then follow.
    ///
    /// # Errors
    ///
    /// The store is closed or halted.
    pub fn follow(&self) -> Result<(Snapshot<S>, Feed<Event<S>>), FeedError> {
        let (snapshot, stream) = self.splice(None)?;
        Ok((snapshot, Feed::new(stream, Box::new(whole))))
    }

    /// The same of what a query covers: a snapshot, and a [`feed_of`](Self::feed_of) it.
    pub fn follow_of<T: Table>(
        &self,
        query: impl for<'a> FnOnce(&'a S::View) -> Rows<'a, T>,
    ) -> Result<(Snapshot<S>, Feed<TableEvent<T>>), FeedError> {
        let (part, pick) = followed(self, query);
        let (snapshot, stream) = self.splice(Some(&part))?;
        Ok((snapshot, Feed::new(stream, pick)))
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::<super::core::Core>::clone(self.core())
    }

    /// A snapshot, and the stream that goes on from it: of the same content.
    fn splice(&self, part: Option<&Part>) -> Result<(Snapshot<S>, Stream), FeedError> {
        let source = self.source();
        loop {
            let snapshot = self.snapshot();
            let from = Start::After(snapshot.position());
            match Stream::start(&source, from, part) {
                // So many commits, or a restore, came between the two.
                Err(FeedError::Compacted { .. } | FeedError::HistoryChanged { .. }) => {}
                stream => {
                    let stream = stream?;
                    if stream.restored() == snapshot.version().payload().restored {
                        return Ok((snapshot, stream));
                    }
                }
            }
        }
    }
}

/// All of an entry.
#[expect(clippy::unnecessary_wraps, reason = "others pick a part, or nothing")]
fn whole<S: Schema>(position: Position, changes: RawChanges) -> Option<Event<S>> {
    Some(Event {
        position,
        changes: changes.into(),
    })
}

/// What a query covers, and how the changes of it are picked from an entry.
fn followed<S: Schema, T: Table>(
    store: &Store<S>,
    query: impl for<'a> FnOnce(&'a S::View) -> Rows<'a, T>,
) -> (Part, Pick<TableEvent<T>>) {
    let (tree, which, region) = query(&store.snapshot()).part();
    let (table, _) = store.core().tables.of_tree(tree);
    let part = (tree, region.clone());
    let mut primary = KeyBuf::new();
    let mut entry = KeyBuf::new();
    let mut keys = KeySink::new();
    let within = move |record: &T| {
        primary.clear();
        record.encode_key(&mut primary);
        let Some(i) = which.checked_sub(1) else {
            return region.contains(primary.as_bytes());
        };
        index_keys(i, record, &mut keys);
        keys.iter().any(|key| {
            entry_key(T::INDEXES[i].unique, key, primary.as_bytes(), &mut entry);
            region.contains(entry.as_bytes())
        })
    };
    (part, changes_within(table, within))
}
