//! Keys of any length: text and bytes, and the prefixes of such.
//!
//! Only these are escaped. `00` is written as `00 FF` and the end as `00 00`, so that the end sorts
//! below every continuation, and no byte of the content can be taken for it.

use super::shown::debug;
use super::{AsKey, AsPrefix, Encoded, Key, KeyBuf, MAX_KEY_LEN, NewtypeKey, TextColumns, Unread};
use std::borrow::Cow;
use std::sync::Arc;

const END: &[u8] = &[0, 0];
const ESCAPED_ZERO: &[u8] = &[0, 0xFF];

/// Appends the content of text or bytes, without its end.
#[inline]
fn extend_escaped(bytes: &[u8], out: &mut KeyBuf) {
    // A minimum instead of a search: few keys have a zero, and without an early exit it is vectorized.
    let least = bytes.iter().copied().fold(u8::MAX, u8::min);
    if least == 0 {
        extend_zeros(bytes, out);
    } else {
        out.extend(bytes);
    }
}

#[cold]
fn extend_zeros(bytes: &[u8], out: &mut KeyBuf) {
    let mut parts = bytes.split(|byte| *byte == 0);
    out.extend(parts.next().unwrap_or_default());
    for part in parts {
        out.extend(ESCAPED_ZERO);
        out.extend(part);
    }
}

/// Takes the content of text or bytes off the front, and its end.
fn take_escaped(encoded: &mut Encoded<'_>) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let Some(zero) = encoded.rest.iter().position(|byte| *byte == 0) else {
            content.extend(std::mem::take(&mut encoded.rest));
            return encoded.prefix.then_some(content);
        };
        content.extend(&encoded.rest[..zero]);
        let after = encoded.rest.get(zero + 1);
        encoded.rest = encoded.rest.get(zero + 2..).unwrap_or_default();
        match after {
            Some(0) => return Some(content),
            Some(0xFF) => content.push(0),
            _ => return None,
        }
    }
}

/// Appends text, or bytes, as it would be written in a program.
trait Shown {
    fn shown(content: Vec<u8>, out: &mut String) -> Option<()>;
}

impl Shown for str {
    fn shown(content: Vec<u8>, out: &mut String) -> Option<()> {
        debug(&String::from_utf8(content).ok()?, out)
    }
}

impl Shown for [u8] {
    fn shown(content: Vec<u8>, out: &mut String) -> Option<()> {
        out.push_str("b\"");
        out.push_str(&content.escape_ascii().to_string());
        out.push('"');
        Some(())
    }
}

/// A key type that text or bytes can be the beginning of.
///
/// Implemented for what is a [`TextKey`], for `[u8; N]`, for `Uuid` (feature `uuid`), and, through
/// `#[derive(Key)]`, newtypes of these. Bytes that are more than an array has are the beginning of none.
pub trait PrefixKey: Key {
    /// What its beginnings are given as: `str` or `[u8]`.
    type Borrowed: ?Sized + AsRef<[u8]>;

    /// Appends the content of a text, or of its beginning, without the end.
    #[doc(hidden)]
    #[inline]
    fn encode_content(text: &Self::Borrowed, out: &mut KeyBuf) {
        extend_escaped(text.as_ref(), out);
    }
}

/// A key type that is text or bytes: it has prefixes, and a longest-prefix match (the stored keys
/// that are prefixes of a given text).
///
/// Implemented for `String`, `Box<str>`, `Arc<str>`, `Cow<str>`, `Vec<u8>`, `Box<[u8]>`, `Arc<[u8]>`,
/// and, through `#[derive(Key)]`, newtypes of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a text key nor a bytes key",
    label = "text or bytes cannot stand for a `{Self}` here",
    note = "only `String`, `Box<str>`, `Arc<str>`, `Vec<u8>`, `Box<[u8]>`, `Arc<[u8]>` and newtypes of these with \
            `#[derive(Key)]` are looked up by `&str` or `&[u8]` and have prefixes",
    note = "for other keys pass the key itself, `&{Self}`, or a tuple with one element for each column"
)]
pub trait TextKey: PrefixKey {
    /// What ends an encoded key of this type, after its content escaped as a prefix is.
    const TERMINATOR: &'static [u8];

    /// Appends a whole text, encoded as the key that it stands for.
    #[doc(hidden)]
    #[inline]
    fn encode_text(text: &Self::Borrowed, out: &mut KeyBuf) {
        Self::encode_content(text, out);
        out.extend(Self::TERMINATOR);
    }
}

#[diagnostic::do_not_recommend]
impl<K: NewtypeKey> PrefixKey for K
where
    K::Inner: PrefixKey,
{
    type Borrowed = <K::Inner as PrefixKey>::Borrowed;

    #[inline]
    fn encode_content(text: &Self::Borrowed, out: &mut KeyBuf) {
        K::Inner::encode_content(text, out);
    }
}

#[diagnostic::do_not_recommend]
impl<K: NewtypeKey> TextKey for K
where
    K::Inner: TextKey,
{
    const TERMINATOR: &'static [u8] = K::Inner::TERMINATOR;
}

impl<const N: usize> PrefixKey for [u8; N] {
    type Borrowed = [u8];

    #[inline]
    fn encode_content(bytes: &[u8], out: &mut KeyBuf) {
        extend_beginning(bytes, N, out);
    }
}

/// Appends bytes that keys of `len` bytes can begin with. After more than those nothing may follow: what
/// is appended then is longer than any key.
pub(super) fn extend_beginning(bytes: &[u8], len: usize, out: &mut KeyBuf) {
    out.extend(bytes);
    if bytes.len() > len {
        out.extend(&[0; MAX_KEY_LEN]);
    }
}

impl Key for str {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.as_bytes().encode(out);
    }
}

impl Key for [u8] {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        extend_escaped(self, out);
        out.extend(END);
    }
}

macro_rules! owned {
    ($($key:ty as $borrowed:ty),* $(,)?) => {$(
        impl Key for $key {
            #[inline]
            fn encode(&self, out: &mut KeyBuf) {
                <$borrowed>::encode(self, out);
            }

            /// Bytes are those of the text.
            fn encode_columns(
                columns: &mut TextColumns<'_>,
                out: &mut KeyBuf,
            ) -> Result<(), Unread> {
                let (text, is_prefix) = columns.take()?;
                extend_escaped(text.as_bytes(), out);
                if !is_prefix {
                    out.extend(END);
                }
                Ok(())
            }

            fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
                <$borrowed>::shown(take_escaped(encoded)?, out)
            }
        }

        impl PrefixKey for $key {
            type Borrowed = $borrowed;
        }

        impl TextKey for $key {
            const TERMINATOR: &'static [u8] = END;
        }
    )*};
}
owned!(
    String as str,
    Box<str> as str,
    Arc<str> as str,
    Cow<'_, str> as str,
    Vec<u8> as [u8],
    Box<[u8]> as [u8],
    Arc<[u8]> as [u8],
);

// ------------------------------------------------------------------------------ look-up forms

#[diagnostic::do_not_recommend]
impl<K: TextKey<Borrowed = str>> AsKey<K> for &str {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        K::encode_text(self, out);
    }
}

#[diagnostic::do_not_recommend]
impl<K: TextKey<Borrowed = [u8]>> AsKey<K> for &[u8] {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        self.encode(out);
    }
}

#[diagnostic::do_not_recommend]
impl<K: TextKey<Borrowed = [u8]>, const N: usize> AsKey<K> for &[u8; N] {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        self.as_slice().encode(out);
    }
}

// `&K` for `K` itself is the blanket implementation, so each list leaves out its own reference.
macro_rules! forms {
    ($($key:ty: $borrowed:ty: $($form:ty),*;)*) => {$($(
        impl AsKey<$key> for $form {
            #[inline]
            fn encode_as(&self, out: &mut KeyBuf) {
                <$borrowed>::encode(self, out);
            }
        }
    )*)*};
}
forms!(
    String: str: &&str, String, Box<str>, &Box<str>, Arc<str>, &Arc<str>, Cow<'_, str>, &Cow<'_, str>;
    Box<str>: str: &&str, String, &String, Box<str>, Arc<str>, &Arc<str>, Cow<'_, str>, &Cow<'_, str>;
    Arc<str>: str: &&str, String, &String, Box<str>, &Box<str>, Arc<str>, Cow<'_, str>, &Cow<'_, str>;
    Cow<'_, str>: str: &&str, String, &String, Box<str>, &Box<str>, Arc<str>, &Arc<str>, Cow<'_, str>;
    Vec<u8>: [u8]: &&[u8], Vec<u8>, Box<[u8]>, &Box<[u8]>, Arc<[u8]>, &Arc<[u8]>;
    Box<[u8]>: [u8]: &&[u8], Vec<u8>, &Vec<u8>, Box<[u8]>, Arc<[u8]>, &Arc<[u8]>;
    Arc<[u8]>: [u8]: &&[u8], Vec<u8>, &Vec<u8>, Box<[u8]>, &Box<[u8]>, Arc<[u8]>;
);

#[diagnostic::do_not_recommend]
impl<K: NewtypeKey<Inner: TextKey<Borrowed = str>>> AsKey<K> for &String {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        K::encode_text(self, out);
    }
}

#[diagnostic::do_not_recommend]
impl<K: NewtypeKey<Inner: TextKey<Borrowed = [u8]>>> AsKey<K> for &Vec<u8> {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        self.as_slice().encode(out);
    }
}

// ----------------------------------------------------------------------------------- prefixes

macro_rules! tuple_prefixes {
    ($form:ty as $borrowed:ty: $($rest:ident)*) => {
        #[diagnostic::do_not_recommend]
        impl<K: PrefixKey<Borrowed = $borrowed>, $($rest),*> AsPrefix<(K, $($rest),*)> for $form {
            #[inline]
            fn encode_prefix(&self, out: &mut KeyBuf) {
                AsPrefix::<K>::encode_prefix(self, out);
            }
        }
    };
}

/// Beginnings of a key, and of the first column of a composite key.
macro_rules! prefixes {
    ($($form:ty as $borrowed:ty),* $(,)?) => {$(
        #[diagnostic::do_not_recommend]
        impl<K: PrefixKey<Borrowed = $borrowed>> AsPrefix<K> for $form {
            #[inline]
            fn encode_prefix(&self, out: &mut KeyBuf) {
                K::encode_content(self, out);
            }
        }
        tuple_prefixes!($form as $borrowed: B);
        tuple_prefixes!($form as $borrowed: B C);
        tuple_prefixes!($form as $borrowed: B C D);
        tuple_prefixes!($form as $borrowed: B C D E);
        tuple_prefixes!($form as $borrowed: B C D E F);
        tuple_prefixes!($form as $borrowed: B C D E F G);
        tuple_prefixes!($form as $borrowed: B C D E F G H);
    )*};
}
prefixes!(
    &str as str,
    &&str as str,
    String as str,
    &String as str,
    Cow<'_, str> as str,
    &[u8] as [u8],
    Vec<u8> as [u8],
    &Vec<u8> as [u8],
);

#[diagnostic::do_not_recommend]
impl<K, const N: usize> AsPrefix<K> for &[u8; N]
where
    for<'a> &'a [u8]: AsPrefix<K>,
{
    #[inline]
    fn encode_prefix(&self, out: &mut KeyBuf) {
        AsPrefix::<K>::encode_prefix(&self.as_slice(), out);
    }
}
