//! Points of an open edition that it can come back to, or that somebody looks at.
//!
//! A *savepoint* is the edition's own. A *snapshot* is a version of what has been written so far: it is
//! read, held and dropped as any is, on any thread, and may outlive the edition, whatever becomes of that.
//! What was made until a mark is not edited in place after it, and what is given up after a mark is listed
//! apart from what was given up before.
//!
//! **A line.** All versions, snapshots of editions among them, are one line in the order of their
//! generations, whatever was published. If the edition is published, each of its snapshots gets as its
//! dead list what was given up between it and the next, as if it had been published itself. If the
//! edition goes back, to a savepoint or its base, that is a step of the line, too: one that gives up
//! what was made since, and takes back what was given up since. So what was made goes on the list of the
//! last snapshot that sees it, or is freed; what was only given up is struck off, and is on no list until it
//! is given up for good, by a later edition: then it goes on the list of the newest version before that
//! one, which may be such a snapshot. A node may so be kept for a snapshot that does not see it, but is
//! never freed before one that does. What goes on the list of a snapshot that the line has left is listed
//! node by node: its neighbours belong to others, who may free them before that list is worked off.

use super::Edition;
use super::reclaim::{Block, free_unborn, give_up};
use super::record::Version;
use crate::tree::{Link, RawTree, birth, for_each_below, size};

/// From so many marks on, those that nobody has any more are looked for among all.
pub(super) const LOOK_AGAIN: usize = 8;

/// What an edition gave up between two marks.
#[derive(Default)]
pub(super) struct Given {
    /// Nodes, each alone.
    pub(super) retired: Vec<Link>,
    /// Nodes with all below them, and the bytes of all those.
    pub(super) deep: Vec<Link>,
    pub(super) deep_bytes: u64,
}

/// What a mark is for, and the trees as they were.
enum Kind<P: Send + Sync + 'static> {
    Savepoint(Box<[RawTree]>),
    Snapshot(Version<P>),
}

/// A point of an open edition.
pub(super) struct Mark<P: Send + Sync + 'static> {
    kind: Kind<P>,
    /// The youngest node that can be seen from it.
    generation: u64,
    /// What was given up between the mark before and this one.
    pub(super) before: Given,
}

impl<P: Send + Sync + 'static> Mark<P> {
    pub(super) fn is_savepoint(&self) -> bool {
        matches!(self.kind, Kind::Savepoint(_))
    }

    /// What the trees were.
    #[cfg(all(test, not(loom)))]
    pub(super) fn trees(&self) -> &[RawTree] {
        match &self.kind {
            Kind::Savepoint(trees) => trees,
            Kind::Snapshot(version) => &version.record().trees,
        }
    }

    /// A snapshot that nobody else has.
    fn is_unseen(&self) -> bool {
        matches!(&self.kind, Kind::Snapshot(version) if version.is_only_handle())
    }
}

impl<P: Send + Sync + 'static> Edition<P> {
    /// The youngest generation that somebody else can see, or come back to.
    pub(super) fn floor(&self) -> u64 {
        self.floor_before(self.marks.len())
    }

    /// The same as it was before mark number `mark`.
    fn floor_before(&self, mark: usize) -> u64 {
        match mark.checked_sub(1) {
            Some(last) => self.marks[last].generation,
            None => self.base().record().generation,
        }
    }

    /// What was given up since the newest mark.
    fn take_given(&mut self) -> Given {
        Given {
            retired: std::mem::take(&mut self.writer().edits.retired),
            deep: std::mem::take(&mut self.deep),
            deep_bytes: std::mem::take(&mut self.deep_bytes),
        }
    }

    fn put_given(&mut self, given: Given) {
        self.writer().edits.retired = given.retired;
        self.deep = given.deep;
        self.deep_bytes = given.deep_bytes;
    }

    fn mark(&mut self, kind: Kind<P>) {
        let generation = self.edits().generation;
        let before = self.take_given();
        self.marks.push(Mark {
            kind,
            generation,
            before,
        });
        self.raise();
    }

    /// Begins a new generation; what was made until now is seen from the newest mark.
    fn raise(&mut self) {
        let floor = self.floor();
        let writer = self.writer();
        writer.generation += 1;
        writer.edits.generation = writer.generation;
        writer.edits.floor = floor;
    }

    /// Marks a point to come back to. They nest.
    pub(crate) fn savepoint(&mut self) {
        let trees = self.headers();
        self.mark(Kind::Savepoint(trees));
    }

    /// What has been written so far, as a version of its own. O(number of trees); what is edited after
    /// it is copied once more. With it, the payloads of earlier ones that nobody has any more.
    pub(crate) fn snapshot(&mut self, payload: P) -> (Version<P>, Vec<P>) {
        self.forget_unseen();
        let (trees, generation) = (self.headers(), self.edits().generation);
        let writer = self.writer.as_mut().expect("held until the edition ends");
        let version = self.versions.record(writer, generation, trees, payload);
        self.versions.core().live.add(&version);
        self.mark(Kind::Snapshot(version.clone()));
        (version, std::mem::take(&mut self.forgotten))
    }

    /// Takes the newest marks away that are snapshots which nobody has any more; and, each time that there
    /// are twice as many marks, all that are.
    fn forget_unseen(&mut self) {
        let unseen = self.marks.iter().rev().take_while(|mark| mark.is_unseen());
        let mut from = self.marks.len() - unseen.count();
        if self.marks.len() >= self.look_again_at {
            from = 0;
        }
        self.take_away(from, Mark::is_unseen);
        if from == 0 {
            self.look_again_at = LOOK_AGAIN.max(2 * self.marks.len());
        }
    }

    /// Takes those marks from number `from` on away that are `gone`: nobody looks at them or comes back to
    /// them. What was given up after one is as if it had been given up before it. Each list is looked at
    /// once.
    fn take_away(&mut self, from: usize, gone: impl Fn(&Mark<P>) -> bool) {
        let mut floor = self.floor_before(from);
        let mut earlier = None;
        let mut kept = from;
        for at in from..self.marks.len() {
            let mut before = std::mem::take(&mut self.marks[at].before);
            if let Some(earlier) = earlier.take() {
                before = self.join(floor, earlier, before);
            }
            if gone(&self.marks[at]) {
                earlier = Some(before);
            } else {
                floor = self.marks[at].generation;
                self.marks[at].before = before;
                self.marks.swap(kept, at);
                kept += 1;
            }
        }
        if let Some(earlier) = earlier {
            let since = self.take_given();
            let joined = self.join(floor, earlier, since);
            self.put_given(joined);
            self.writer().edits.floor = floor;
        }
        let writer = self.writer.as_mut().expect("held until the edition ends");
        for mark in self.marks.drain(kept..) {
            if let Kind::Snapshot(version) = mark.kind {
                let core = self.versions.core();
                self.forgotten
                    .push(core.forget(version, &mut writer.reclaimer));
            }
        }
    }

    /// What was given up before a mark and after it, without what was seen from there alone: that is
    /// younger than `floor`, and is freed.
    fn join(&mut self, floor: u64, mut before: Given, since: Given) -> Given {
        let kinds = self.versions.core().kinds.as_ref();
        let writer = self.writer.as_mut().expect("held until the edition ends");
        for node in since.retired {
            // SAFETY: a retired node is live and not in the working trees; if it is younger than
            // the floor, the mark was the last it could be seen from.
            unsafe {
                if birth(node) > floor {
                    writer.edits.destroy(node, kinds);
                } else {
                    before.retired.push(node);
                }
            }
        }
        // SAFETY: as above.
        let freed = unsafe {
            give_up(
                since.deep,
                floor,
                &mut writer.edits,
                kinds,
                &mut before.deep,
            )
        };
        before.deep_bytes += since.deep_bytes - freed;
        before
    }

    /// Undoes all since the newest savepoint, and takes that away.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn rollback(&mut self) {
        self.forget_unseen();
        let savepoint = self.newest_savepoint().expect("a savepoint to go back to");
        let generation = self.marks[savepoint].generation;
        self.go_back(savepoint + 1, generation);
        let Mark { kind, before, .. } = self.marks.remove(savepoint);
        let Kind::Savepoint(trees) = kind else {
            unreachable!("a savepoint was looked for");
        };
        self.trees = trees;
        match self.marks.get_mut(savepoint) {
            Some(left) => left.before = before,
            None => self.put_given(before),
        }
        self.raise();
    }

    /// Takes the newest savepoints away, so many, and keeps what was done since.
    pub(crate) fn release(&mut self, count: usize) {
        let savepoints = self.marks.iter().enumerate().rev();
        let mut savepoints = savepoints
            .filter(|(_, mark)| mark.is_savepoint())
            .take(count);
        if let Some((oldest, _)) = savepoints.by_ref().last() {
            self.take_away(oldest, |mark| mark.is_savepoint() || mark.is_unseen());
        }
    }

    /// The number of its mark.
    fn newest_savepoint(&self) -> Option<usize> {
        self.marks.iter().rposition(Mark::is_savepoint)
    }

    /// Gives up what was made after generation `until`, which the marks from number `first` on, all
    /// snapshots, come after: each of those gets what it is the last to see, and what nobody sees is freed.
    /// What was given up since, and is older, is struck off.
    fn go_back(&mut self, first: usize, until: u64) {
        let mut roots = self.roots();
        let mut given = self.take_given();
        let kinds = self.versions.core().kinds.as_ref();
        let edits = &mut self
            .writer
            .as_mut()
            .expect("held until the edition ends")
            .edits;
        // At once, since this edition may free older nodes of its own from now on.
        let Some(newest) = self.marks[first..].last() else {
            free_unborn(&mut roots, until, edits, kinds, &mut { usize::MAX });
            return;
        };
        // SAFETY: working nodes are live; those younger than the newest snapshot are seen by nobody else.
        unsafe { give_up(roots, newest.generation, edits, kinds, &mut given.deep) };
        for mark in self.marks[first..].iter_mut().rev() {
            let Kind::Snapshot(version) = &mark.kind else {
                unreachable!("no savepoint is left after it");
            };
            // SAFETY: what was given up is live until it is freed by its list.
            unsafe {
                let mut nodes = younger(given.deep, until);
                nodes.append(&mut given.retired);
                // Those that are not younger are left out.
                let block = Block::of(&nodes, &[], until, Vec::new());
                version.record().inherit(block);
            }
            given = std::mem::take(&mut mark.before);
        }
    }

    /// Ends the marks of an edition that is published: each snapshot gets what was given up after it.
    /// `bytes`: whether it is asked for how many bytes of those the base has.
    pub(super) fn hand_to_snapshots(&mut self, bytes: bool) -> Handed {
        self.take_away(0, |mark| mark.is_savepoint() || mark.is_unseen());
        let (base, floor) = (self.floor_before(0), self.writer().reclaimer.floor());
        let first = self.marks.first().map(|mark| mark.generation);
        let mut handed = Handed {
            before: first.unwrap_or(self.edits().generation) - 1,
            retired: 0,
            bytes: 0,
        };
        while let Some(Mark { kind, before, .. }) = self.marks.pop() {
            let Kind::Snapshot(version) = kind else {
                unreachable!("savepoints were taken away");
            };
            let since = self.take_given();
            handed.retired += since.retired.len();
            // SAFETY: what was given up is live until it is freed by its list.
            unsafe {
                if bytes {
                    handed.bytes += since.bytes_up_to(base);
                }
                let block = Block::of(&since.retired, &since.deep, floor, Vec::new());
                version.record().inherit(block);
            }
            self.put_given(before);
        }
        handed
    }

    /// Ends the marks of an edition that is dropped. Returns what is left to be given up: the roots of its
    /// trees, if nobody has a snapshot.
    pub(super) fn leave_snapshots(&mut self) -> Vec<Link> {
        while self.newest_savepoint().is_some() {
            self.rollback();
        }
        self.take_away(0, Mark::is_unseen);
        if self.marks.is_empty() {
            return self.roots();
        }
        self.go_back(0, self.floor_before(0));
        self.marks.clear();
        Vec::new()
    }
}

/// What the snapshots of an edition that is published got.
pub(super) struct Handed {
    /// What was given up before the first of them is needed by versions up to this generation.
    pub(super) before: u64,
    /// How many nodes they got, each alone.
    pub(super) retired: usize,
    /// The bytes of what they got that the edition's base has.
    pub(super) bytes: u64,
}

impl Given {
    /// The bytes of it that are of generation `until` or older.
    ///
    /// # Safety
    /// All of it is live.
    unsafe fn bytes_up_to(&self, until: u64) -> u64 {
        // SAFETY: the caller's.
        unsafe {
            let retired = self.retired.iter().filter(|&&node| birth(node) <= until);
            let retired: usize = retired.map(|&node| size(node)).sum();
            let younger = younger(self.deep.clone(), until);
            let younger: usize = younger.iter().map(|&node| size(node)).sum();
            retired as u64 + self.deep_bytes - younger as u64
        }
    }
}

/// The nodes at and below these that are younger than `until`: what is below an older one is older.
///
/// # Safety
/// All of them are live.
unsafe fn younger(mut open: Vec<Link>, until: u64) -> Vec<Link> {
    let mut found = Vec::new();
    while let Some(node) = open.pop() {
        // SAFETY: the caller's.
        unsafe {
            if birth(node) > until {
                found.push(node);
                for_each_below(node, |below| open.push(below));
            }
        }
    }
    found
}
