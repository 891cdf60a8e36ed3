//! Ranges of keys against `RangeBounds`.

use super::*;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

fn bound<T: Clone + Debug>(
    key: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Bound<T>> {
    prop_oneof![
        key.clone().prop_map(Bound::Included),
        key.prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

/// Whatever range of `K` it is, it holds the entries of a non-unique index whose key is in it.
fn check_range<K: Key + PartialOrd + Debug, R: KeyBounds<K> + RangeBounds<K>>(
    range: &R,
    key: &K,
    primary: &str,
) -> Result<(), TestCaseError> {
    let bytes = ByteRange::from_bounds::<K, R>(range);
    let within = RangeBounds::contains(range, key);
    prop_assert_eq!(bytes.contains(&encode(key)), within, "{:?}", key);
    prop_assert_eq!(
        bytes.contains(&[encode(key), encode(primary)].concat()),
        within,
        "{:?}",
        key
    );
    prop_assert!(!(bytes.is_empty() && within));
    Ok(())
}

proptest! {
    #[test]
    fn range_of_bounds(
        range in (bound(near()), bound(near())),
        key in near(),
        primary in text(),
    ) {
        check_range(&range, &key, &primary)?;
        let by_str = (range.0.as_ref().map(String::as_str), range.1.as_ref().map(String::as_str));
        prop_assert_eq!(Index::<String>::range(by_str), Index::<String>::range(range));
    }

    /// Here the largest key is all `FF`, which nothing comes after.
    #[test]
    fn range_of_bounds_at_the_end(
        range in (bound(250..=255u8), bound(250..=255u8)),
        key in 250..=255u8,
        primary in text(),
    ) {
        check_range(&range, &key, &primary)?;
    }

    #[test]
    fn range_of_operators(a in near(), b in near(), key in near(), primary in text()) {
        check_range(&(a.clone()..b.clone()), &key, &primary)?;
        check_range(&(a.clone()..=b.clone()), &key, &primary)?;
        check_range(&(a.clone()..), &key, &primary)?;
        check_range(&(..b.clone()), &key, &primary)?;
        check_range(&(..=b.clone()), &key, &primary)?;
        check_range(&.., &key, &primary)?;
        prop_assert_eq!(Index::<String>::range(a.as_str()..&b), Index::<String>::range(a..b));
    }

    /// Strings over an alphabet of `FF` and its neighbours.
    #[test]
    fn successor_of_prefix(
        prefix in vec(prop_oneof![Just(0u8), Just(0xFE), Just(0xFF)], 0..4),
        key in vec(prop_oneof![Just(0u8), Just(1), Just(0xFE), Just(0xFF)], 0..6),
    ) {
        let range = ByteRange::prefix(&prefix);
        prop_assert_eq!(range.contains(&key), key.starts_with(&prefix));
        prop_assert!(!range.is_empty());
        let begins_or_before = key < prefix || key.starts_with(&prefix);
        match successor(&prefix) {
            Some(after) => prop_assert_eq!(key.as_slice() < after.as_bytes(), begins_or_before),
            None => prop_assert!(begins_or_before),
        }
    }
}

#[test]
fn ranges_of_everything_and_nothing() {
    assert!(ByteRange::default().contains(&[]) && ByteRange::default().contains(&[0xFF]));
    assert!(!ByteRange::default().is_empty());
    assert!(ByteRange::none().is_empty() && !ByteRange::none().contains(&[]));
    assert_eq!(Index::<String>::range(..), ByteRange::default());
    assert_eq!(ByteRange::prefix(&[]), ByteRange::default());
    assert!(Index::<String>::range("b".."a").is_empty());
    assert!(Index::<String>::range("a".."a").is_empty());
    assert!(!Index::<String>::range("a"..="a").is_empty());
    assert!(Index::<u8>::range((Bound::Excluded(255), Bound::Unbounded)).is_empty());
}
