//! Images of a world's store, and what is true once one is restored.

use crate::item::Item;
use crate::op::Way;
use crate::own;
use crate::part::Part;
use crate::query::{Covers, Query};
use crate::site::Site;
use crate::state::{Entry, Records, Shop, State};
use crate::world::{Held, World};
use highwater::{Guard, ImageError, LogIndex, Position, Store, Table};
use uuid::Uuid;

/// An image, what it is of, and the indexes of the queries of the pool and the guards then.
#[derive(Clone)]
pub(crate) struct Image {
    bytes: Vec<u8>,
    of: Held,
    pool: Vec<(Query, u64, u64)>,
    guards: Vec<(Query, Covers, Guard)>,
}

fn written(held: &Held) -> Vec<u8> {
    let mut bytes = Vec::new();
    held.snap.write_image(&mut bytes).unwrap();
    bytes
}

/// Records that an entry has put there.
fn restamp<T: Table>(rows: &mut Records<T>, index: u64) {
    for (_, _, at) in rows.values_mut() {
        *at = index;
    }
}

/// Whether it is of a table that is in no image.
fn is_own(entry: &Entry) -> bool {
    matches!(entry, Entry::Own(_))
}

/// Whether it is of one that is made anew.
fn is_derived(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Own(own::Entry::Tally(_) | own::Entry::Parts(..))
    )
}

impl World {
    /// Takes an image, and restores it in a new store.
    pub(crate) fn take_image(&mut self) {
        let of = self.newest();
        let bytes = written(&of);
        let copy = Store::<Shop>::from_image(&bytes[..]).unwrap();
        let snap = copy.snapshot();
        snap.check().unwrap();
        let mut expected = State {
            notes: Records::default(),
            tallies: Records::default(),
            ..self.state.clone()
        };
        let found = State::read(&snap);
        expected.derived(found.tallies.clone(), self.index);
        assert_eq!((found, snap.position()), (expected, self.store.position()));
        let mut again = Vec::new();
        snap.write_image(&mut again).unwrap();
        assert!(again == bytes, "an image of what was restored is another");
        self.images.push(Image {
            bytes,
            of,
            pool: self.pool.clone(),
            guards: self.guards.clone(),
        });
    }

    /// Restores an image. What ran is gone.
    pub(crate) fn restore(&mut self, image: usize, way: Way) {
        self.running = None;
        let Image { bytes, of, .. } = &self.images[image];
        let now = self.store.position();
        let at = match way {
            Way::At { gap } => now.index.0.max(of.index) + gap,
            Way::Own | Way::Rewind => of.index,
        };
        let at = Position {
            index: LogIndex(at),
            ..now
        };
        let goes_on = at.index >= now.index;
        let restored = match way {
            Way::Own => self.store.restore(&bytes[..]),
            Way::Rewind => self.store.rewind(&bytes[..]),
            Way::At { .. } => self.store.restore_at(&bytes[..], at, None),
        };
        if matches!(way, Way::Own) && !goes_on {
            assert!(matches!(restored, Err(ImageError::Older { .. })));
            return;
        }
        assert_eq!(restored.unwrap(), at);
        let Image {
            of, pool, guards, ..
        } = self.images[image].clone();
        self.index = at.index.0;
        let old = self.restored_state(&of, &way, goes_on);
        self.restored_indexes(&of, &way, goes_on, &old);

        // Who has waited is told, and who has followed.
        for watched in &mut self.watched {
            watched.fired = true;
        }
        for follower in &mut self.followers {
            follower.restored(at, &self.state);
        }
        if let Way::At { .. } = way {
            self.published(&[]);
            self.validate();
        } else {
            self.line += 1;
            self.guards = guards;
            let own = |(query, ..): &(Query, u64, u64)| matches!(query, Query::Own(_));
            for (known, image) in self.pool.iter_mut().zip(&pool) {
                if !own(known) {
                    known.clone_from(image);
                } else if !goes_on {
                    (known.1, known.2) = (1, 1);
                }
            }
            self.published(&[]);
            for ((query, whole, tracked), image) in self.pool.iter().zip(&pool) {
                let same = (*whole, *tracked) == (image.1, image.2);
                assert!(same || matches!(query, Query::Own(_)), "{query:?}");
            }
        }
    }

    /// Puts an image's records in the place of the state's, which it returns.
    fn restored_state(&mut self, of: &Held, way: &Way, goes_on: bool) -> State {
        let mut state = State {
            notes: Records::default(),
            tallies: Records::default(),
            ..of.state.clone()
        };
        if let Way::At { .. } = way {
            restamp::<Item>(&mut state.items, self.index);
            restamp::<Site>(&mut state.sites, self.index);
            restamp::<Part>(&mut state.parts, self.index);
        }
        if goes_on {
            state.notes = self.state.notes.clone();
            let there = |site: &Uuid| state.sites.contains_key(site);
            state
                .notes
                .retain(|_, (note, ..)| note.at.as_ref().is_none_or(there));
        }
        state.derived(State::read(&self.store.snapshot()).tallies, self.index);
        std::mem::replace(&mut self.state, state)
    }

    /// When each entry has changed last, now that a state is another than the old one.
    fn restored_indexes(&mut self, of: &Held, way: &Way, goes_on: bool, old: &State) {
        let (index, mut last) = (self.index, std::mem::take(&mut self.last));
        let all = old.entries().into_keys();
        let all = all.chain(self.state.entries().into_keys());
        let mut changed = old.changed(&self.state);
        changed.retain(is_own);
        changed.extend(all.filter(is_derived));
        if let Way::At { .. } = way {
            last.extend(of.last.clone());
            let all = last.keys().filter(|entry| !is_own(entry)).cloned();
            last.extend(all.map(|entry| (entry, index)).collect::<Vec<_>>());
            self.touched = index;
        } else {
            last.retain(|entry, _| is_own(entry) && goes_on);
            let image = of.last.iter().filter(|(entry, _)| !is_own(entry));
            last.extend(image.map(|(entry, index)| (entry.clone(), *index)));
            self.touched = of.touched;
        }
        last.extend(changed.into_iter().map(|entry| (entry, index)));
        self.last = last;
    }
}
