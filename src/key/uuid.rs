//! `Uuid` as a key, and [`UuidPrefix`]: the beginning of one as text.

use super::columns::by_from_str;
use super::number::by_value;
use super::shown::display;
use super::text::extend_beginning;
use super::{AsKey, Encoded, Key, KeyBounds, KeyBuf, NewtypeKey, PrefixKey};
use ::uuid::Uuid;
use std::error::Error;
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

impl Key for Uuid {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        out.extend(self.as_bytes());
    }

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        display(&Uuid::from_bytes(encoded.take()?), out)
    }
}

/// Begins with up to 16 bytes: `&id.as_bytes()[..4]`. By digits: [`UuidPrefix`].
impl PrefixKey for Uuid {
    type Borrowed = [u8];

    fn encode_content(bytes: &[u8], out: &mut KeyBuf) {
        extend_beginning(bytes, size_of::<Uuid>(), out);
    }
}

by_value!(Uuid);

/// How many digits a `Uuid` has.
const DIGITS: usize = 32;
/// Where its text has hyphens, if it has any.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Before which of a `Uuid`'s digits its text has hyphens: there are `i` before hyphen `i`.
fn hyphened() -> impl Iterator<Item = usize> {
    HYPHENS.into_iter().enumerate().map(|(i, at)| at - i)
}

/// The first digits of a `Uuid`, any number of them: bounds, as of `range`, of keys that are such ids, that are
/// newtypes of them, or that begin with one.
///
/// It is parsed from text: hexadecimal digits, upper or lower case, with the hyphens that the whole id has
/// at these places, or without any. No digits at all are the beginning of every id.
///
/// ```
/// # use highwater::{Schema, Store, Table, key::UuidPrefix};
/// # use serde::{Deserialize, Serialize};
/// # use uuid::Uuid;
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// # pub struct Job { #[primary_key] pub id: Uuid }
/// # #[derive(Schema)]
/// # pub struct Jobs { jobs: Job }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::<Jobs>::new();
/// let mut txn = store.write()?;
/// for id in ["4f1a2b3c-0000-4000-8000-000000000001", "4f1b0000-0000-4000-8000-000000000002"] {
///     txn.jobs_mut().insert(Job { id: id.parse()? })?;
/// }
/// let short: UuidPrefix = "4f1".parse()?;
/// assert_eq!(txn.jobs().range(short).count(), 2);
/// let longer: UuidPrefix = "4F1A2B3C-0".parse()?;
/// assert_eq!(txn.jobs().range(longer).count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UuidPrefix {
    /// The least id that begins so.
    least: u128,
    digits: usize,
}

impl UuidPrefix {
    /// The greatest id that begins so.
    fn greatest(self) -> u128 {
        let rest = u32::try_from(4 * self.digits).ok();
        let rest = rest.and_then(|known| u128::MAX.checked_shr(known));
        self.least | rest.unwrap_or(0)
    }
}

impl FromStr for UuidPrefix {
    type Err = UuidPrefixError;

    fn from_str(text: &str) -> Result<Self, UuidPrefixError> {
        let hyphens = text.contains('-');
        let (mut least, mut digits) = (0, 0);
        for (at, found) in text.char_indices() {
            if found == '-' || (hyphens && HYPHENS.contains(&at)) {
                if found != '-' || !HYPHENS.contains(&at) {
                    return Err(UuidPrefixError::Hyphen { at });
                }
                continue;
            }
            let Some(digit) = found.to_digit(16) else {
                return Err(UuidPrefixError::NoDigit { at, found });
            };
            if digits == DIGITS {
                return Err(UuidPrefixError::TooLong);
            }
            digits += 1;
            least |= u128::from(digit) << (4 * (DIGITS - digits));
        }
        Ok(UuidPrefix { least, digits })
    }
}

/// The digits, with hyphens.
impl fmt::Display for UuidPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = Uuid::from_u128(self.least).hyphenated().to_string();
        let len = self.digits + hyphened().filter(|&digit| digit < self.digits).count();
        f.write_str(&whole[..len])
    }
}

impl KeyBounds<Uuid> for UuidPrefix {
    fn encode_start(&self, out: &mut KeyBuf) -> Bound<()> {
        out.extend(&self.least.to_be_bytes());
        Bound::Included(())
    }

    fn encode_end(&self, out: &mut KeyBuf) -> Bound<()> {
        out.extend(&self.greatest().to_be_bytes());
        Bound::Included(())
    }
}

#[diagnostic::do_not_recommend]
impl<K: NewtypeKey<Inner = Uuid>> KeyBounds<K> for UuidPrefix {
    fn encode_start(&self, out: &mut KeyBuf) -> Bound<()> {
        KeyBounds::<Uuid>::encode_start(self, out)
    }

    fn encode_end(&self, out: &mut KeyBuf) -> Bound<()> {
        KeyBounds::<Uuid>::encode_end(self, out)
    }
}

/// The same of the first column of a composite key: whatever follows it begins with the whole id.
macro_rules! first_column {
    ($($rest:ident)*) => {
        #[diagnostic::do_not_recommend]
        impl<K, $($rest),*> KeyBounds<(K, $($rest),*)> for UuidPrefix
        where
            UuidPrefix: KeyBounds<K>,
        {
            fn encode_start(&self, out: &mut KeyBuf) -> Bound<()> {
                KeyBounds::<K>::encode_start(self, out)
            }

            fn encode_end(&self, out: &mut KeyBuf) -> Bound<()> {
                KeyBounds::<K>::encode_end(self, out)
            }
        }
    };
}
first_column!(B);
first_column!(B C);
first_column!(B C D);
first_column!(B C D E);
first_column!(B C D E F);
first_column!(B C D E F G);
first_column!(B C D E F G H);

/// Why a text is not the beginning of a `Uuid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UuidPrefixError {
    /// A character is no hexadecimal digit.
    NoDigit {
        /// Which it is, in bytes from the start of the text.
        at: usize,
        /// The character.
        found: char,
    },
    /// There is a hyphen where an id has none, or there is none where it has one although there are others.
    Hyphen {
        /// Where, in bytes from the start of the text.
        at: usize,
    },
    /// There are more digits than an id has, which are 32.
    TooLong,
}

impl fmt::Display for UuidPrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the beginning of a Uuid: ")?;
        match self {
            UuidPrefixError::NoDigit { at, found } => {
                write!(f, "{found:?} at byte {at} is no hexadecimal digit")
            }
            UuidPrefixError::Hyphen { at } => write!(
                f,
                "hyphens are after 8, 12, 16 and 20 digits or nowhere, which is not so at byte {at}"
            ),
            UuidPrefixError::TooLong => write!(f, "it has more than {DIGITS} digits"),
        }
    }
}

impl Error for UuidPrefixError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<String, UuidPrefixError> {
        text.parse::<UuidPrefix>().map(|prefix| prefix.to_string())
    }

    #[test]
    fn what_is_parsed() {
        for text in [
            "",
            "4",
            "4f1A",
            "4f1a2b3c-",
            "4f1a2b3c-0",
            "4f1a2b3c0000400080000000000000ff",
        ] {
            let digits = text.replace('-', "").to_lowercase();
            assert_eq!(parsed(text).unwrap().replace('-', ""), digits);
        }
        assert_eq!(parsed("4f1a2b3c").unwrap(), "4f1a2b3c");
        assert_eq!(parsed("4f1a2b3c0").unwrap(), "4f1a2b3c-0");
        let whole = "4f1a2b3c-0000-4000-8000-0000000000ff";
        assert_eq!(parsed(whole).unwrap(), whole);
        let error = |text: &str| parsed(text).unwrap_err();
        assert_eq!(error("4f-1a"), UuidPrefixError::Hyphen { at: 2 });
        assert_eq!(error("-"), UuidPrefixError::Hyphen { at: 0 });
        assert_eq!(error("4f1a2b3c-00004"), UuidPrefixError::Hyphen { at: 13 });
        assert_eq!(error("4f1a2b3c0-"), UuidPrefixError::Hyphen { at: 8 });
        assert_eq!(error("é"), UuidPrefixError::NoDigit { at: 0, found: 'é' });
        assert_eq!(error("4fg"), UuidPrefixError::NoDigit { at: 2, found: 'g' });
        assert_eq!(error(&"0".repeat(33)), UuidPrefixError::TooLong);
        assert_eq!(error(&format!("{whole}0")), UuidPrefixError::TooLong);
        assert_eq!(
            error("4fg").to_string(),
            "not the beginning of a Uuid: 'g' at byte 2 is no hexadecimal digit"
        );
    }

    proptest! {
        #[test]
        fn it_bounds_what_begins_so(id: u128, other: u128, digits in 0..=DIGITS, hyphens: bool) {
            let text = |id: u128| {
                let id = Uuid::from_u128(id);
                if hyphens { id.hyphenated().to_string() } else { id.simple().to_string() }
            };
            let mut beginning = text(id);
            beginning.truncate(digits);
            let prefix: UuidPrefix = beginning.parse().unwrap();
            // One that is near, too.
            for other in [other, id, id ^ (other >> (4 * (digits % DIGITS)))] {
                let within = prefix.least <= other && other <= prefix.greatest();
                prop_assert_eq!(within, text(other).starts_with(&beginning));
            }
        }
    }
}
