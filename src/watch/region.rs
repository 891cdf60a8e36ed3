//! What is watched, in the form the registries file it.
use super::Scope;
use crate::key::{ByteRange, KeyBuf, successor};

/// A watch of more regions than this is made coarser.
pub(crate) const MAX_REGIONS: usize = 4096;

/// A part of one tree. Ordered, so that what is asked for twice is filed once; a prefix that is
/// empty, the whole tree, is the least.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Region {
    Prefix(Box<[u8]>),
    Point(Box<[u8]>),
    /// From the first, up to but without the second.
    Range(Box<[u8]>, Option<Box<[u8]>>),
}

impl Region {
    pub(super) fn whole() -> Self {
        Region::Prefix(Box::default())
    }

    /// The same as it is.
    pub(crate) fn of(scope: &Scope) -> Self {
        let boxed = |key: &KeyBuf| Box::from(key.as_bytes());
        match scope {
            Scope::Point(key) => Region::Point(boxed(key)),
            Scope::Prefix(key) => Region::Prefix(boxed(key)),
            Scope::Range(range) => Region::Range(boxed(&range.lo), range.hi.as_ref().map(boxed)),
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        let key = |bytes: &[u8]| KeyBuf::from(bytes);
        match self {
            Region::Point(bytes) => Scope::Point(key(bytes)),
            Region::Prefix(bytes) => Scope::Prefix(key(bytes)),
            Region::Range(lo, hi) => Scope::Range(ByteRange {
                lo: key(lo),
                hi: hi.as_deref().map(key),
            }),
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match self {
            Region::Point(point) => *key == **point,
            Region::Prefix(prefix) => key.starts_with(prefix),
            Region::Range(lo, hi) => *key >= **lo && hi.as_deref().is_none_or(|hi| key < hi),
        }
    }

    /// `None` if no key is in it. A range that is a prefix is filed as one: they cost less.
    fn filed(self) -> Option<Self> {
        match self {
            Region::Range(lo, Some(hi)) if lo >= hi => None,
            Region::Range(lo, hi)
                if hi.as_deref() == successor(&lo).as_ref().map(KeyBuf::as_bytes) =>
            {
                Some(Region::Prefix(lo))
            }
            region => Some(region),
        }
    }

    /// Where it begins.
    fn lo(&self) -> &[u8] {
        match self {
            Region::Prefix(key) | Region::Point(key) | Region::Range(key, _) => key,
        }
    }

    /// The longest prefix that all its keys have.
    fn cover(&self) -> &[u8] {
        match self {
            Region::Prefix(key) | Region::Point(key) => key,
            Region::Range(lo, hi) => &lo[..common(lo, hi.as_deref().unwrap_or_default())],
        }
    }
}

/// How many bytes two keys have in common from the front.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// At most `most` regions (but one for each tree in any case) that cover all that these do: what lies
/// closest together is joined first, as the prefix it has in common. A function of the set of
/// regions alone. O(n log n).
pub(crate) fn coarsened(mut regions: Vec<(usize, Region)>, most: usize) -> Vec<(usize, Region)> {
    if regions.len() <= most {
        return regions;
    }
    regions.sort_unstable_by(|a, b| (a.0, a.1.lo(), &a.1).cmp(&(b.0, b.1.lo(), &b.1)));
    // How much each has in common with the one before it; nothing, if that is another tree's.
    let shared = |pair: &[(usize, Region)]| {
        let [a, b] = pair else { return None };
        (a.0 == b.0).then(|| common(a.1.cover(), b.1.cover()))
    };
    let joints: Vec<Option<usize>> = regions.windows(2).map(shared).collect();
    let mut order: Vec<usize> = (0..joints.len()).filter(|i| joints[*i].is_some()).collect();
    let joined = (regions.len() - most).min(order.len());
    order.sort_unstable_by_key(|i| (std::cmp::Reverse(joints[*i]), *i));
    let mut is_joined = vec![false; joints.len()];
    order[..joined].iter().for_each(|i| is_joined[*i] = true);

    let mut coarse: Vec<(usize, Region)> = Vec::with_capacity(most);
    let mut regions = regions.into_iter().enumerate().peekable();
    while let Some((mut last, (tree, first))) = regions.next() {
        let mut prefix = None;
        while is_joined.get(last) == Some(&true) {
            let len = joints[last].unwrap_or_default();
            prefix = Some(prefix.map_or(len, |shortest: usize| shortest.min(len)));
            last = regions.next().map_or(is_joined.len(), |(at, _)| at);
        }
        let region = match prefix {
            None => first,
            Some(len) => Region::Prefix(first.cover()[..len].into()),
        };
        // What begins within a prefix that was kept, and ends there, is in it.
        let within = coarse.last().is_some_and(|(of, kept)| {
            let Region::Prefix(kept) = kept else {
                return false;
            };
            *of == tree && region.cover().starts_with(kept)
        });
        if !within {
            coarse.push((tree, region));
        }
    }
    coarse
}

/// What of which tree to file, tree by tree, without repetition.
pub(super) fn filed(regions: impl IntoIterator<Item = (usize, Region)>) -> Vec<(usize, Region)> {
    let regions = regions.into_iter();
    let mut regions: Vec<(usize, Region)> = regions
        .filter_map(|(tree, region)| Some((tree, region.filed()?)))
        .collect();
    if regions.len() > 1 {
        regions.sort_unstable();
        regions.dedup();
        let mut kept = Vec::with_capacity(regions.len());
        for of_tree in regions.chunk_by(|a, b| a.0 == b.0) {
            if of_tree[0].1 == Region::whole() {
                kept.push((of_tree[0].0, Region::whole()));
            } else {
                kept.extend_from_slice(of_tree);
            }
        }
        regions = kept;
    }
    if regions.len() > MAX_REGIONS {
        regions = coarsened(regions, MAX_REGIONS / 2);
    }
    regions
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(bytes: &[u8]) -> KeyBuf {
        let mut key = KeyBuf::new();
        key.extend(bytes);
        key
    }

    fn of(scopes: Vec<(usize, Scope)>) -> Vec<(usize, Region)> {
        filed(
            scopes
                .into_iter()
                .map(|(tree, scope)| (tree, Region::of(&scope))),
        )
    }

    #[test]
    fn each_region_is_filed_once_and_a_whole_tree_covers_its_parts() {
        let (a, b) = (Scope::Point(key(b"a")), Scope::Point(key(b"b")));
        let filed = of(vec![
            (1, b.clone()),
            (0, a.clone()),
            (1, a.clone()),
            (1, b.clone()),
            (2, b),
            (2, Scope::Range(ByteRange::default())),
            (2, a),
        ]);
        let point = |bytes: &[u8]| Region::Point(bytes.into());
        assert_eq!(
            filed,
            [
                (0, point(b"a")),
                (1, point(b"a")),
                (1, point(b"b")),
                (2, Region::whole())
            ]
        );
    }

    #[test]
    fn ranges_that_are_prefixes_or_empty_are_told_apart() {
        let range = |lo: &[u8], hi: Option<&[u8]>| {
            Scope::Range(ByteRange {
                lo: key(lo),
                hi: hi.map(key),
            })
        };
        let filed = |scope| of(vec![(0, scope)]).pop().map(|(_, region)| region);
        assert_eq!(
            filed(range(b"ab", Some(b"ac"))),
            Some(Region::Prefix((*b"ab").into()))
        );
        assert_eq!(
            filed(range(&[1, 255], Some(&[2]))),
            Some(Region::Prefix([1, 255].into()))
        );
        assert_eq!(
            filed(range(&[255], None)),
            Some(Region::Prefix([255].into()))
        );
        assert_eq!(
            filed(range(b"ab", None)),
            Some(Region::Range((*b"ab").into(), None))
        );
        assert_eq!(filed(range(b"ac", Some(b"ab"))), None);
    }

    #[test]
    fn very_many_regions_become_what_they_have_in_common() {
        let points = |n: u32| {
            (0..n)
                .map(|n| (0, Scope::Point(key(&n.to_be_bytes()))))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(points(4096)).len(), MAX_REGIONS);
        let filed = of(points(100_000));
        // 391 prefixes of three bytes would do; two levels below the root are finer than that.
        assert!(filed.len() <= MAX_REGIONS / 2, "{}", filed.len());
        assert!(filed.iter().all(|(_, region)| region.cover().len() >= 2));
        // What lies far from all others stays as it is.
        let mut apart = points(5000);
        apart.push((0, Scope::Point(key(b"zebra"))));
        apart.push((
            1,
            Scope::Range(ByteRange {
                lo: key(b"a"),
                hi: None,
            }),
        ));
        let filed = of(apart);
        let point = Region::Point((*b"zebra").into());
        assert_eq!(filed[filed.len() - 2], (0, point));
        assert_eq!(
            filed[filed.len() - 1],
            (1, Region::Range((*b"a").into(), None))
        );
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0..4_u8, 0..5)
    }

    fn region() -> impl Strategy<Value = Region> {
        prop_oneof![
            bytes().prop_map(|key| Region::Point(key.into())),
            bytes().prop_map(|key| Region::Prefix(key.into())),
            (bytes(), prop::option::of(bytes()))
                .prop_map(|(lo, hi)| Region::Range(lo.into(), hi.map(Into::into))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_coarser_covers_all(
            regions in prop::collection::vec((0..3_usize, region()), 0..60),
            most in 1..40_usize,
            probes in prop::collection::vec((0..3_usize, bytes()), 1..40),
        ) {
            let regions = filed(regions);
            let coarse = coarsened(regions.clone(), most);
            prop_assert!(coarse.len() <= most.max(3));
            let mut turned = regions.clone();
            turned.reverse();
            let [mut turned, mut sorted] = [coarsened(turned, most), coarse.clone()];
            turned.sort_unstable();
            sorted.sort_unstable();
            prop_assert_eq!(turned, sorted);
            let covers = |regions: &[(usize, Region)], tree, key: &[u8]| {
                regions.iter().any(|(of, region)| *of == tree && region.contains(key))
            };
            for (tree, key) in &probes {
                if covers(&regions, *tree, key) {
                    prop_assert!(covers(&coarse, *tree, key));
                }
            }
        }
    }
}
