//! What keys are made of: order-preserving, self-delimiting bytes.
//!
//! Whoever uses a store needs [`Key`] and its derive, and meets the rest in the bounds of look-ups.
//! Whoever implements [`Key`] by hand, or keeps records under something that is looked up in another
//! form, finds here what that takes.
//!
//! **Promises.** For every [`Key`] type `K` and all values `a`, `b` of it:
//!
//! 1. *Order*: `a.cmp(&b)` equals the byte order of their encodings.
//! 2. *Self-delimiting*: if `a != b`, neither encoding is a prefix of the other. So encodings can be
//!    written one after the other (columns of a composite key; the secondary key and then the
//!    primary key of a non-unique index) without separators, and each column still compares first.
//! 3. *Any content*: every value has an encoding; text and bytes may contain zeros.
//! 4. *Look-up forms* ([`AsKey`]) encode to the same bytes as the key they stand for, and allocate
//!    nothing as long as the key has at most [`KeyBuf::INLINE`] bytes.
//! 5. *Prefixes* ([`AsPrefix`]): text (or bytes) `t` begins with `p` if and only if the encoding of
//!    `t` begins with the encoding of `p` as a prefix. The same of arrays of bytes and `Uuid`.
//!
//! [`Key`] is a safe trait: an implementation that breaks a promise gives wrong orders or answers, never
//! undefined behaviour.
//!
//! | type | encoding |
//! |---|---|
//! | unsigned integers | big-endian, `usize` as 64 bits |
//! | signed integers | the same with the sign bit flipped, `isize` as 64 bits |
//! | `bool` | `00`, `01` |
//! | `char` | its scalar value, 3 bytes |
//! | text, bytes | `00` becomes `00 FF`; ended by `00 00` |
//! | `Option` | `00`, or `01` and the value |
//! | tuples, arrays, structs | the elements in order, nothing between or around them |
//! | enums | the variant's place in declared order (`u16`), then its fields |
//! | `Reverse` | the bitwise complement |
//! | `Duration` | seconds (`u64`), nanoseconds (`u32`) |
//! | `SystemTime` | seconds since 1970 rounded down (`i64`), nanoseconds (`u32`) |
//! | IP addresses | the octets; `IpAddr` has `04` or `06` before them |
//! | `Uuid` | its 16 bytes |
//! | `IpNet`, `Ipv4Net`, `Ipv6Net` | the address, the length of the prefix (1 byte) |
//! | `Caseless` | the text, folded |

// For who works on this room.
//
// May not know: trees, tables, records.
//
// The one data structure is `KeyBuf`, the buffer all encodings are appended to; its invariant is that an
// encoder only ever appends.

mod address;
mod buf;
pub(crate) mod caseless;
pub(crate) mod column;
pub(crate) mod columns;
pub(crate) mod compound;
pub(crate) mod each;
mod lookup;
mod number;
mod range;
pub(crate) mod shown;
mod sink;
mod text;
pub(crate) mod time;
#[cfg(feature = "uuid")]
mod uuid;

#[cfg(test)]
mod tests;

#[cfg(feature = "ipnet")]
pub use address::Within;
pub use buf::KeyBuf;
pub use caseless::Caseless;
pub(crate) use columns::{TextColumns, Unread};
pub use each::Each;
pub use lookup::{AsKey, AsPrefix, Columns, HasPrefixes, KeyBounds, Leading};
pub(crate) use range::{ByteRange, successor};
pub(crate) use shown::{Encoded, Show};
pub use sink::KeySink;
pub use text::{PrefixKey, TextKey};
pub(crate) use time::first_millisecond;
#[cfg(feature = "uuid")]
pub use uuid::{UuidPrefix, UuidPrefixError};

/// The longest encoded key, in bytes, an entry of a tree may have.
pub const MAX_KEY_LEN: usize = 4096;

/// A value that can be part of a primary key or an index: its encoding's byte order equals `Ord`.
///
/// Implemented for all integers, `bool`, `char`, text (`String`, `Box<str>`, `Arc<str>`, `Cow<str>`),
/// bytes (`Vec<u8>`, `Box<[u8]>`, `Arc<[u8]>`), `Option`, tuples up to eight, arrays, `Reverse`,
/// `Wrapping`, `NonZero`, `Duration`, `SystemTime`, IP and socket addresses, [`LogIndex`] and, with the
/// features `uuid` and `ipnet`, `Uuid` and `IpNet`. `#[derive(Key)]` implements it for structs and enums of such.
/// Floating-point numbers are no keys: they have no total order.
///
/// A hand-written implementation appends to `out` and must keep two laws, on which the order and
/// separation of index entries rest: byte order equals `Ord`, and no encoding is a prefix of another
/// of the same type. An encoding made of other keys' encodings, one after the other, keeps both.
/// The encoding is a function of the value alone: every replica must get the same bytes.
///
/// ```
/// use highwater::{Key, key::KeyBuf};
///
/// #[derive(PartialEq, Eq, PartialOrd, Ord)]
/// struct Version { major: u32, minor: u32 }
///
/// impl Key for Version {
///     fn encode(&self, out: &mut KeyBuf) {
///         self.major.encode(out);
///         self.minor.encode(out);
///     }
/// }
///
/// let (mut old, mut new) = (KeyBuf::new(), KeyBuf::new());
/// Version { major: 1, minor: 300 }.encode(&mut old);
/// Version { major: 2, minor: 0 }.encode(&mut new);
/// assert!(old < new);
/// ```
///
/// [`LogIndex`]: crate::LogIndex
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not a key type",
    note = "keys are integers, `bool`, `char`, text, bytes, `Option`, tuples (up to 8), arrays, IP addresses, \
            `SystemTime`, `Duration`, and, with the features `uuid` and `ipnet`, `Uuid` and `IpNet`",
    note = "add `#[derive(Key)]` to a struct or enum of your own; floats and collections are no keys \
            (`#[index(each)]` indexes the items of a collection)"
)]
pub trait Key {
    /// Appends the encoding of `self` to `out`.
    fn encode(&self, out: &mut KeyBuf);

    /// Appends the encodings of `items`, one after the other: what an array of them is encoded as.
    #[doc(hidden)]
    #[inline]
    fn encode_all(items: &[Self], out: &mut KeyBuf)
    where
        Self: Sized,
    {
        for item in items {
            item.encode(out);
        }
    }

    /// Appends the encoding of the key whose columns have these texts, as JSON shows them but without the
    /// quotes of a string.
    #[doc(hidden)]
    fn encode_columns(columns: &mut TextColumns<'_>, out: &mut KeyBuf) -> Result<(), Unread>
    where
        Self: Sized,
    {
        let _ = (columns, out);
        Err(Unread::Unsupported)
    }

    /// Takes an encoded key off the front and appends what it says, as far as there is one.
    #[doc(hidden)]
    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()>
    where
        Self: Sized,
    {
        let _ = (encoded, out);
        None
    }
}

/// A key type that is encoded exactly as the one value it wraps. Implemented by `#[derive(Key)]` on
/// structs with one field.
///
/// A newtype around text or bytes can be looked up by `&str` or `&[u8]`, and by prefix, like what it
/// wraps; one around an array of bytes or a `Uuid` by prefix.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a newtype key",
    note = "`#[derive(Key)]` on a struct with one field makes it one"
)]
pub trait NewtypeKey: Key {
    /// The type of the one field.
    type Inner: Key;
}

impl<K: Key + ?Sized> Key for &K {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        K::encode(self, out);
    }
}
