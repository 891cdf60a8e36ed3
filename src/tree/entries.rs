//! The keys of a tree with their values, in order.

use super::cursor::{Cursor, Forward};
use super::read::value;
use super::{Tree, Value};
use std::marker::PhantomData;

/// A walk that gives keys, too. It keeps the path to where it is, since each key is made of it; a
/// [`Range`](super::Range) that has gone far does not.
#[derive(Debug)]
pub(crate) struct Entries<'a, V> {
    /// At the entry that was given last, if one was.
    cursor: Option<Cursor>,
    begun: bool,
    key: Vec<u8>,
    values: PhantomData<&'a V>,
}

impl<'a, V: Value> Entries<'a, V> {
    /// The next entry.
    pub(crate) fn next(&mut self) -> Option<(&[u8], &'a V)> {
        let cursor = self.cursor.as_mut()?;
        if self.begun && !cursor.go::<Forward>() {
            self.cursor = None;
            return None;
        }
        self.begun = true;
        cursor.key(&mut self.key);
        // SAFETY: the leaf is one of the tree's, which has values `V` and is borrowed for 'a.
        Some((&self.key, unsafe { value(cursor.leaf) }))
    }
}

impl<'a, V: Value> Tree<'a, V> {
    /// Every key with its value.
    pub(crate) fn entries(self) -> Entries<'a, V> {
        let root = self.raw.root;
        Entries {
            cursor: (!root.is_null()).then(|| Cursor::of_first::<Forward>(root)),
            begun: false,
            key: Vec::new(),
            values: PhantomData,
        }
    }
}
