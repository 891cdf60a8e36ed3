//! A feed beside, of which a copy of the table is made.

use super::state::{Blobs, Bytes, Stored, stored};
use highwater::{Event, Feed, FeedItem, Position, Start, Store};
use std::collections::BTreeMap;

/// What a feed has told, put together.
pub(super) struct Follower {
    feed: Feed<Event<Blobs>>,
    pub(super) rows: BTreeMap<Bytes, Stored>,
}

impl Follower {
    pub(super) fn new(store: &Store<Blobs>) -> Self {
        Follower {
            feed: store.feed(Start::Now).expect("an open store"),
            rows: BTreeMap::new(),
        }
    }

    /// Takes what there is; returns where the store was restored last, if it was.
    pub(super) fn catch_up(&mut self) -> Option<Position> {
        let mut restored = None;
        while let Some(item) = self.feed.try_next().expect("an open store") {
            let event = match item {
                FeedItem::Event(event) => event,
                FeedItem::Bookmark(_) => continue,
                FeedItem::Restored(position) => {
                    restored = Some(position);
                    continue;
                }
            };
            for change in event.blobs() {
                let row = change.after.or(change.before).expect("one of the two");
                let before = match change.after {
                    Some(row) => {
                        assert_eq!(row.modify_index(), event.index());
                        self.rows.insert(row.key.clone(), stored(row))
                    }
                    None => self.rows.remove(&row.key),
                };
                assert_eq!(change.before.map(stored), before);
            }
        }
        restored
    }
}
