//! The keys of a table's trees: those that a record has in an index, those of the entries there, and what
//! is refused of them.

use super::error::{KeyText, WriteError};
use crate::key::{Key, KeyBuf, KeySink, MAX_KEY_LEN};
use crate::schema::{Row, Table};

/// The keys that `row` has in index number `i`, sorted, each once.
pub(super) fn index_keys<T: Table>(i: usize, row: &T, sink: &mut KeySink) {
    sink.clear();
    (T::INDEXES[i].keys)(row, sink);
    sink.sort_dedup();
}

/// The keys of `these` that are not among `others`; both are sorted.
pub(super) fn for_each_only_in(these: &KeySink, others: &KeySink, mut f: impl FnMut(&[u8])) {
    let mut others = others.iter().peekable();
    for key in these.iter() {
        while others.next_if(|other| *other < key).is_some() {}
        if others.peek() != Some(&key) {
            f(key);
        }
    }
}

/// The key of an index's entry: that of the index, and the primary key after it unless the index
/// is unique.
pub(super) fn entry_key(unique: bool, key: &[u8], primary: &[u8], out: &mut KeyBuf) {
    out.clear();
    append_entry_key(unique, key, primary, out);
}

/// The same behind what is in `out`.
pub(super) fn append_entry_key(unique: bool, key: &[u8], primary: &[u8], out: &mut KeyBuf) {
    out.extend(key);
    if !unique {
        out.extend(primary);
    }
}

/// Whether a primary key, or an entry of an index, is within the limit.
pub(super) fn check_len(
    table: &'static str,
    index: Option<&'static str>,
    len: usize,
) -> Result<(), WriteError> {
    if len > MAX_KEY_LEN {
        Err(WriteError::KeyTooLong {
            table: table.into(),
            index: index.map(Into::into),
            len,
        })
    } else {
        Ok(())
    }
}

/// The error of a key of unique index number `i` that belongs to `holder`.
pub(super) fn not_unique<T: Table>(i: usize, key: &[u8], holder: &Row<T>) -> WriteError {
    let mut primary = KeyBuf::new();
    holder.encode_key(&mut primary);
    WriteError::NotUnique {
        table: T::NAME.into(),
        index: T::INDEXES[i].name.into(),
        key: KeyText::new(key, T::INDEXES[i].show),
        holder: KeyText::new(primary.as_bytes(), T::Key::show),
    }
}
