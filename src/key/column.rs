//! A field as a column of a primary key, for generated code.
//!
//! That its type is a [`Key`] is said by the table's own key, and where it is not, that is the error. So
//! encoding it must not be a second one: what is encoded is found by method look-up, which takes
//! [`KeyColumn`] where it can, and else [`NoKeyColumn`], one reference further on.

use super::{Key, KeyBuf};

/// A field of a primary key.
#[derive(Debug)]
pub struct Column<'a, T: ?Sized>(pub &'a T);

/// What can be encoded.
pub trait KeyColumn {
    /// Appends the key's encoding.
    fn encode_column(&self, out: &mut KeyBuf);
}

impl<K: Key + ?Sized> KeyColumn for Column<'_, K> {
    #[inline]
    fn encode_column(&self, out: &mut KeyBuf) {
        self.0.encode(out);
    }
}

/// What cannot: a program with it does not compile.
pub trait NoKeyColumn {
    /// Never called.
    fn encode_column(&self, out: &mut KeyBuf);
}

impl<T: ?Sized> NoKeyColumn for &Column<'_, T> {
    fn encode_column(&self, _: &mut KeyBuf) {
        unreachable!("the table's key is a `Key`");
    }
}
