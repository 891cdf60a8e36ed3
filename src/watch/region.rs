//! What is watched, in the form the registries file it.
use super::{Interest, Scope};
use crate::key::{KeyBuf, successor};

/// A watch with more regions of one tree than this watches that whole tree.
pub(super) const MAX_REGIONS: usize = 4096;

/// A part of one tree. Ordered, so that what is asked for twice is filed once; a prefix that is
/// empty, the whole tree, is the least.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Region {
    Prefix(Box<[u8]>),
    Point(Box<[u8]>),
    /// From the first, up to but without the second.
    Range(Box<[u8]>, Option<Box<[u8]>>),
}

impl Region {
    pub(super) fn whole() -> Self {
        Region::Prefix(Box::default())
    }

    /// `None` if no key is in it. A range that is a prefix is filed as one: they cost less.
    fn of(scope: Scope) -> Option<Self> {
        let boxed = |key: &KeyBuf| Box::from(key.as_bytes());
        match scope {
            Scope::Point(key) => Some(Region::Point(boxed(&key))),
            Scope::Prefix(key) => Some(Region::Prefix(boxed(&key))),
            Scope::Range(range) if range.is_empty() => None,
            Scope::Range(range) if range.hi == successor(range.lo.as_bytes()) => {
                Some(Region::Prefix(boxed(&range.lo)))
            }
            Scope::Range(range) => Some(Region::Range(
                boxed(&range.lo),
                range.hi.as_ref().map(boxed),
            )),
        }
    }
}

/// What of which tree to file, tree by tree, without repetition.
pub(super) fn regions(interests: Vec<Interest>) -> Vec<(usize, Region)> {
    let mut regions: Vec<(usize, Region)> = interests
        .into_iter()
        .filter_map(|Interest { tree, scope }| Some((tree, Region::of(scope)?)))
        .collect();
    if regions.len() > 1 {
        regions.sort_unstable();
        regions.dedup();
        let mut kept = Vec::with_capacity(regions.len());
        for of_tree in regions.chunk_by(|a, b| a.0 == b.0) {
            if of_tree.len() > MAX_REGIONS || of_tree[0].1 == Region::whole() {
                kept.push((of_tree[0].0, Region::whole()));
            } else {
                kept.extend_from_slice(of_tree);
            }
        }
        regions = kept;
    }
    regions
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::key::ByteRange;

    fn key(bytes: &[u8]) -> KeyBuf {
        let mut key = KeyBuf::new();
        key.extend(bytes);
        key
    }

    fn of(scopes: Vec<(usize, Scope)>) -> Vec<(usize, Region)> {
        regions(
            scopes
                .into_iter()
                .map(|(tree, scope)| Interest { tree, scope })
                .collect(),
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
    fn very_many_regions_become_the_whole_tree() {
        let points = |n: usize| {
            (0..n)
                .map(|n| (0, Scope::Point(key(&n.to_be_bytes()))))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(points(MAX_REGIONS)).len(), MAX_REGIONS);
        assert_eq!(of(points(MAX_REGIONS + 1)), [(0, Region::whole())]);
    }
}
