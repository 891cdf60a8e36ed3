//! Keys as people read them, from their bytes: for errors.

use std::fmt::{self, Write};

/// Takes the encoding of one key off the front of `encoded` and appends what it says. `None` if what
/// is there is no such key, or ends before it does: then what could be read may have been appended.
pub type Show = fn(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()>;

/// Encoded keys, one after the other, on their way to a text.
#[derive(Clone, Debug)]
pub struct Encoded<'a> {
    pub(super) rest: &'a [u8],
    /// They are how others begin: a text may end with them.
    pub(super) prefix: bool,
}

impl<'a> Encoded<'a> {
    pub(crate) fn new(bytes: &'a [u8], prefix: bool) -> Self {
        Encoded {
            rest: bytes,
            prefix,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    /// The ordinal of a variant.
    pub fn ordinal(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// Columns: in brackets, with commas. Where a beginning ends between two, so does what it says.
    pub fn columns(&mut self, columns: &[Show], out: &mut String) -> Option<()> {
        out.push('(');
        for (i, show) in columns.iter().enumerate() {
            if i > 0 {
                if self.prefix && self.is_done() {
                    out.push_str(", ..)");
                    return None;
                }
                out.push_str(", ");
            }
            show(self, out)?;
        }
        out.push_str(if columns.len() == 1 { ",)" } else { ")" });
        Some(())
    }
}

/// Appends a value as it is displayed.
pub(super) fn display(value: &impl fmt::Display, out: &mut String) -> Option<()> {
    write!(out, "{value}").ok()
}

/// Appends a value as it is debugged.
pub(super) fn debug(value: &impl fmt::Debug, out: &mut String) -> Option<()> {
    write!(out, "{value:?}").ok()
}
