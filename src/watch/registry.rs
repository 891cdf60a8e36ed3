//! The watches of one tree, filed by what they cover.
//!
//! Points and prefixes are found by hash, other ranges by an interval tree. What is filed alike
//! shares a group: the list of its members. A member has a number, which stays its own until it is
//! taken out, also after its group was fired.
use super::handle::Shared;
use super::interval::IntervalTree;
use super::key_table::{KeyTable, PrefixHashes};
use super::region::Region;
use super::slab::{NIL, Slab};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::hash::RandomState;
use std::sync::Arc;

pub(super) struct Registry {
    seed: RandomState,
    members: Slab<Member>,
    points: KeyTable<Group>,
    prefixes: KeyTable<Group>,
    /// How many prefixes there are of each length.
    lengths: BTreeMap<usize, usize>,
    ranges: IntervalTree<Group>,
    closed: bool,
}

struct Member {
    watch: Arc<Shared>,
    /// The version it has seen: it waits for changes of later ones.
    seen: u64,
    home: Home,
    previous: u32,
    next: u32,
}

/// Which group a member is in.
#[derive(Clone, Copy)]
enum Home {
    Point(u32),
    Prefix(u32),
    Range(u32),
    /// It was fired, and waits for being taken out.
    None,
}

/// A list of members.
struct Group {
    first: u32,
}

impl Default for Group {
    fn default() -> Self {
        Group { first: NIL }
    }
}

impl Registry {
    pub(super) fn new() -> Self {
        Registry {
            seed: RandomState::new(),
            members: Slab::new(),
            points: KeyTable::new(),
            prefixes: KeyTable::new(),
            lengths: BTreeMap::new(),
            ranges: IntervalTree::new(),
            closed: false,
        }
    }

    /// From now on nothing more will be fired here.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many members there are, fired and not yet taken out ones included.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Files a watch and returns the number of its new member.
    pub(super) fn insert(&mut self, region: Region, seen: u64, watch: &Arc<Shared>) -> u32 {
        let home = match region {
            Region::Point(key) => {
                let hash = PrefixHashes::new(&self.seed, &key).of(key.len());
                Home::Point(self.points.find_or_insert(hash, key).0)
            }
            Region::Prefix(key) => {
                let len = key.len();
                let hash = PrefixHashes::new(&self.seed, &key).of(len);
                let (group, added) = self.prefixes.find_or_insert(hash, key);
                if added {
                    *self.lengths.entry(len).or_default() += 1;
                }
                Home::Prefix(group)
            }
            Region::Range(lo, hi) => Home::Range(self.ranges.find_or_insert(lo, hi)),
        };
        let watch = Arc::clone(watch);
        let member = self.members.insert(Member {
            watch,
            seen,
            home,
            previous: NIL,
            next: NIL,
        });
        self.join(home, member);
        member
    }

    /// Takes a member out. The caller holds the watch itself: it is not dropped here.
    pub(super) fn remove(&mut self, member: u32) {
        let Member {
            home,
            previous,
            next,
            ..
        } = self.members.remove(member);
        if next != NIL {
            self.members[next].previous = previous;
        }
        if previous != NIL {
            self.members[previous].next = next;
        } else if let Some(group) = self.group_mut(home) {
            group.first = next;
            if next == NIL {
                self.disband(home);
            }
        }
    }

    /// Makes a member that of another watch, unless it was fired; says whether.
    pub(super) fn adopt(&mut self, member: u32, watch: &Arc<Shared>) -> bool {
        let member = &mut self.members[member];
        let armed = !matches!(member.home, Home::None);
        if armed {
            member.watch = Arc::clone(watch);
        }
        armed
    }

    /// What a member covers, and the version it has seen; nothing if it was fired.
    pub(super) fn region(&self, member: u32) -> Option<(Region, u64)> {
        let member = &self.members[member];
        let region = match member.home {
            Home::Point(group) => Region::Point(self.points.key(group).into()),
            Home::Prefix(group) => Region::Prefix(self.prefixes.key(group).into()),
            Home::Range(group) => {
                let (lo, hi) = self.ranges.range(group);
                Region::Range(lo.into(), hi.map(Into::into))
            }
            Home::None => return None,
        };
        Some((region, member.seen))
    }

    /// Adds to `hits` the watches that cover `key` and have not seen `version`; they will not be
    /// hit again.
    pub(super) fn hit(&mut self, key: &[u8], version: u64, hits: &mut Vec<Arc<Shared>>) {
        let mut homes = SmallVec::<[Home; 16]>::new();
        let mut hashes = PrefixHashes::new(&self.seed, key);
        for &len in self.lengths.range(..=key.len()).map(|(len, _)| len) {
            if let Some(group) = self.prefixes.find(hashes.of(len), &key[..len]) {
                homes.push(Home::Prefix(group));
            }
        }
        if !self.points.is_empty()
            && let Some(group) = self.points.find(hashes.of(key.len()), key)
        {
            homes.push(Home::Point(group));
        }
        if !self.ranges.is_empty() {
            self.ranges
                .containing(key, |group| homes.push(Home::Range(group)));
        }
        for home in homes {
            self.fire(home, version, hits);
        }
    }

    /// Adds every watch to `hits`; they will not be hit again.
    pub(super) fn hit_all(&mut self, hits: &mut Vec<Arc<Shared>>) {
        for member in self.members.values_mut() {
            if !matches!(member.home, Home::None) {
                hits.push(Arc::clone(&member.watch));
                (member.home, member.previous, member.next) = (Home::None, NIL, NIL);
            }
        }
        self.points = KeyTable::new();
        self.prefixes = KeyTable::new();
        self.lengths.clear();
        self.ranges = IntervalTree::new();
    }

    /// Moves the members of a group that have not seen `version` to `hits`.
    fn fire(&mut self, home: Home, version: u64, hits: &mut Vec<Arc<Shared>>) {
        let Some(group) = self.group_mut(home) else {
            return;
        };
        let mut at = std::mem::take(group).first;
        let mut stayed = false;
        while at != NIL {
            let member = &mut self.members[at];
            let next = member.next;
            (member.previous, member.next) = (NIL, NIL);
            if member.seen < version {
                hits.push(Arc::clone(&member.watch));
                member.home = Home::None;
            } else {
                self.join(home, at);
                stayed = true;
            }
            at = next;
        }
        if !stayed {
            self.disband(home);
        }
    }

    /// Puts a member that is in no list at the front of its group's.
    fn join(&mut self, home: Home, member: u32) {
        let Some(group) = self.group_mut(home) else {
            return;
        };
        let next = std::mem::replace(&mut group.first, member);
        self.members[member].next = next;
        if next != NIL {
            self.members[next].previous = member;
        }
    }

    fn group_mut(&mut self, home: Home) -> Option<&mut Group> {
        match home {
            Home::Point(group) => Some(self.points.value_mut(group)),
            Home::Prefix(group) => Some(self.prefixes.value_mut(group)),
            Home::Range(group) => Some(self.ranges.value_mut(group)),
            Home::None => None,
        }
    }

    /// Takes a group without members away.
    fn disband(&mut self, home: Home) {
        match home {
            Home::Point(group) => drop(self.points.remove(group)),
            Home::Prefix(group) => {
                let len = self.prefixes.remove(group).len();
                if let Some(count) = self.lengths.get_mut(&len) {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&len);
                    }
                }
            }
            Home::Range(group) => self.ranges.remove(group),
            Home::None => {}
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
            && self.points.is_empty()
            && self.prefixes.is_empty()
            && self.lengths.is_empty()
            && self.ranges.is_empty()
    }
}
