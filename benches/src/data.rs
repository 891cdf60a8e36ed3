//! The data every system holds: records made from a number and a revision, equal in every run.

use crate::record::{Fields, Record};

/// Records on one node.
pub const PER_NODE: usize = 20;
/// Distinct service names.
pub const NAMES: u64 = 1000;
/// Distinct tags; each record has two.
pub const TAGS: u64 = 64;
/// Bytes of payload in each record.
pub const PAYLOAD: usize = 64;
/// Ordered access paths that lead to a record: its id, node, name, two tags, and (name, node).
pub const ENTRIES: usize = 6;
/// Ids that share a prefix of [`Data::prefix`].
pub const PER_PREFIX: usize = 100;

/// Records in one transaction of a load.
pub const LOAD: usize = 1000;

/// `SplitMix64` (Steele, Lea, Flood 2014): a small generator, and a mixer of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator of the sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, near enough to uniform for `n` far below 2^64.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    /// The numbers `0..n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let bound = u64::try_from(i + 1).expect("a usize fits in 64 bits");
            let j = usize::try_from(self.below(bound)).expect("below a usize");
            order.swap(i, j);
        }
        order
    }
}

/// All records of a run.
#[derive(Debug)]
pub struct Data {
    /// Where each record stands when records are dealt out to nodes: neighbours in id order are on
    /// different nodes.
    place: Vec<usize>,
}

impl Data {
    /// Records numbered `0..records`.
    pub fn new(records: usize) -> Self {
        Self {
            place: Random::new(1).permutation(records),
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.place.len()
    }

    /// Records in one transaction of a load that nobody times.
    pub fn large_load(records: usize) -> usize {
        LOAD.max(records / 100)
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.place.is_empty()
    }

    /// How many nodes they are on.
    pub fn nodes(&self) -> usize {
        self.len().div_ceil(PER_NODE)
    }

    /// How many prefixes of [`PER_PREFIX`] ids there are.
    pub fn prefixes(&self) -> usize {
        self.len().div_ceil(PER_PREFIX)
    }

    /// The id of record `i` where ids are text.
    pub fn id(i: usize) -> String {
        format!("svc-{i:08}")
    }

    /// The name of node `i`.
    pub fn node(i: usize) -> String {
        format!("node-{i:06}")
    }

    /// What the ids of the records `100 * i .. 100 * (i + 1)` begin with.
    pub fn prefix(i: usize) -> String {
        format!("svc-{i:06}")
    }

    /// Record `i` as of `revision`, on which only port and payload depend.
    pub fn record<R: Record>(&self, i: usize, revision: u64) -> R {
        let number = u64::try_from(i).expect("a usize fits in 64 bits");
        let mut fixed = Random::new(number);
        let name = fixed.below(NAMES);
        let first = fixed.below(TAGS);
        let second = (first + 1 + fixed.below(TAGS - 1)) % TAGS;
        let mut variable = Random::new(fixed.draw() ^ revision.wrapping_mul(0xa24b_aed4_963e_e407));
        let port = 1024 + u16::try_from(variable.below(60_000)).expect("below 60000");
        let payload = (0..PAYLOAD / 8)
            .flat_map(|_| variable.draw().to_le_bytes())
            .collect();
        let fields = Fields {
            node: Self::node(self.place[i] / PER_NODE),
            name: format!("service-{name:03}"),
            tags: vec![
                format!("tag-{:02}", first.min(second)),
                format!("tag-{:02}", first.max(second)),
            ],
            port,
            payload,
        };
        R::new(i, fields)
    }
}

/// Texts of one length, end to end in one allocation: going through them costs hardly a cache miss.
#[derive(Debug)]
pub struct Texts {
    text: String,
    width: usize,
}

impl Texts {
    /// Gathers `texts`, which must all be as long as the first.
    pub fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let mut text = String::new();
        let mut width = 0;
        for item in texts {
            width = item.len();
            text.push_str(&item);
            assert_eq!(text.len() % width, 0, "texts of one length");
        }
        Self { text, width }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.text.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// All from number `from % len` on, round and round.
    pub fn cycle_from(&self, from: usize) -> impl Iterator<Item = &str> {
        let len = self.len();
        let mut i = from % len;
        std::iter::repeat_with(move || {
            let text = &self.text[i * self.width..(i + 1) * self.width];
            i += 1;
            if i == len {
                i = 0;
            }
            text
        })
    }
}
