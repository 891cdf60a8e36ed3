//! Keys as text, a text for each column: for tools that look up what they have no types of.

use super::KeyBuf;
use std::str::FromStr;

/// The texts of a key's columns, taken one by one.
#[derive(Debug)]
pub struct TextColumns<'a> {
    rest: std::slice::Iter<'a, &'a str>,
    /// The last one is only how its column begins.
    prefix: bool,
}

/// Why texts are not encoded as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// There are fewer than the key has columns. Those that there are have been encoded.
    Ended,
    /// One is not the text of a value of its column's type.
    Malformed,
    /// The type of a column has no text, or no beginnings.
    Unsupported,
}

impl<'a> TextColumns<'a> {
    /// Whole columns, or, with `prefix`, the last one as a beginning.
    pub fn new(columns: &'a [&'a str], prefix: bool) -> Self {
        TextColumns {
            rest: columns.iter(),
            prefix,
        }
    }

    /// The next column, and whether it is a beginning.
    pub fn take(&mut self) -> Result<(&'a str, bool), Unread> {
        let text = self.rest.next().ok_or(Unread::Ended)?;
        Ok((text, self.prefix && self.is_done()))
    }

    /// The next column, which must be whole.
    pub fn whole(&mut self) -> Result<&'a str, Unread> {
        match self.take()? {
            (text, false) => Ok(text),
            (_, true) => Err(Unread::Unsupported),
        }
    }

    /// Takes the next column if it is whole and says that there is no value.
    pub(super) fn is_null(&mut self) -> bool {
        let mut after = self.rest.clone();
        let null = after.next() == Some(&"null") && !(self.prefix && after.as_slice().is_empty());
        if null {
            self.rest = after;
        }
        null
    }

    /// Whether every column was taken.
    pub fn is_done(&self) -> bool {
        self.rest.as_slice().is_empty()
    }

    /// Takes a value, as `FromStr` reads it.
    pub(super) fn parse<T: FromStr>(
        &mut self,
        out: &mut KeyBuf,
        encode: impl FnOnce(&T, &mut KeyBuf),
    ) -> Result<(), Unread> {
        let value = self.whole()?.parse().map_err(|_| Unread::Malformed)?;
        encode(&value, out);
        Ok(())
    }
}

/// The types of these keys are read by `FromStr`.
macro_rules! by_from_str {
    () => {
        fn encode_columns(
            columns: &mut $crate::key::TextColumns<'_>,
            out: &mut $crate::key::KeyBuf,
        ) -> Result<(), $crate::key::Unread> {
            columns.parse::<Self>(out, Self::encode)
        }
    };
}
pub(super) use by_from_str;
