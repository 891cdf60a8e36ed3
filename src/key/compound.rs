//! Keys made of keys: `Option`, tuples, arrays, `Reverse`; their look-up forms, prefixes and leading
//! columns.

use super::{AsKey, AsPrefix, Columns, Encoded, Key, KeyBuf, Leading, Show, TextColumns, Unread};
use std::cmp::Reverse;

const NONE: u8 = 0;
const SOME: u8 = 1;

impl<K: Key> Key for Option<K> {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        match self {
            None => out.push(NONE),
            Some(key) => {
                out.push(SOME);
                key.encode(out);
            }
        }
    }

    /// The text `null` is `None`: `Some("null")` of an optional text cannot be looked up by its whole
    /// text, only as a beginning.
    fn encode_columns(columns: &mut TextColumns<'_>, out: &mut KeyBuf) -> Result<(), Unread> {
        if columns.is_done() {
            return Err(Unread::Ended);
        }
        if columns.is_null() {
            out.push(NONE);
            return Ok(());
        }
        out.push(SOME);
        K::encode_columns(columns, out)
    }

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        match encoded.take()? {
            [NONE] => out.push_str("None"),
            [SOME] => {
                out.push_str("Some(");
                K::show(encoded, out)?;
                out.push(')');
            }
            _ => return None,
        }
        Some(())
    }
}

impl<K, Q: AsKey<K>> AsKey<Option<K>> for Option<Q> {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        match self {
            None => out.push(NONE),
            Some(key) => {
                out.push(SOME);
                key.encode_as(out);
            }
        }
    }
}

/// `Some(p)`: what is present and begins with `p`. `None`: what is absent.
impl<K, P: AsPrefix<K>> AsPrefix<Option<K>> for Option<P> {
    #[inline]
    fn encode_prefix(&self, out: &mut KeyBuf) {
        match self {
            None => out.push(NONE),
            Some(prefix) => {
                out.push(SOME);
                prefix.encode_prefix(out);
            }
        }
    }
}

/// The same of the first column of a composite key.
macro_rules! first_column {
    ($($rest:ident)*) => {
        impl<K, P: AsPrefix<K>, $($rest),*> AsPrefix<(Option<K>, $($rest),*)> for Option<P> {
            #[inline]
            fn encode_prefix(&self, out: &mut KeyBuf) {
                AsPrefix::<Option<K>>::encode_prefix(self, out);
            }
        }

        impl<K, P: AsPrefix<K>, $($rest),*> AsPrefix<(Reverse<K>, $($rest),*)> for Reverse<P> {
            #[inline]
            fn encode_prefix(&self, out: &mut KeyBuf) {
                AsPrefix::<Reverse<K>>::encode_prefix(self, out);
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

impl<K: Key, const N: usize> Key for [K; N] {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        K::encode_all(self, out);
    }

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        out.push('[');
        for i in 0..N {
            if i > 0 {
                out.push_str(", ");
            }
            K::show(encoded, out)?;
        }
        out.push(']');
        Some(())
    }
}

impl<K, Q: AsKey<K>, const N: usize> AsKey<[K; N]> for [Q; N] {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        for key in self {
            key.encode_as(out);
        }
    }
}

/// Appends what `write` appends, turned round.
#[inline]
pub fn reversed(out: &mut KeyBuf, write: impl FnOnce(&mut KeyBuf)) {
    let start = out.len();
    write(out);
    out.complement_from(start);
}

/// The order of `K` turned round. Complementing every byte turns the byte order round because no
/// encoding is a prefix of another.
impl<K: Key> Key for Reverse<K> {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        reversed(out, |out| self.0.encode(out));
    }

    fn encode_columns(columns: &mut TextColumns<'_>, out: &mut KeyBuf) -> Result<(), Unread> {
        let mut result = Ok(());
        reversed(out, |out| result = K::encode_columns(columns, out));
        result
    }

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        let turned: Vec<u8> = encoded.rest.iter().map(|byte| !byte).collect();
        let mut inner = Encoded::new(&turned, encoded.prefix);
        out.push_str("Reverse(");
        K::show(&mut inner, out)?;
        out.push(')');
        encoded.rest = &encoded.rest[turned.len() - inner.rest.len()..];
        Some(())
    }
}

impl<K, Q: AsKey<K>> AsKey<Reverse<K>> for Reverse<Q> {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        reversed(out, |out| self.0.encode_as(out));
    }
}

/// What begins with `p`, in reversed order.
impl<K, P: AsPrefix<K>> AsPrefix<Reverse<K>> for Reverse<P> {
    #[inline]
    fn encode_prefix(&self, out: &mut KeyBuf) {
        reversed(out, |out| self.0.encode_prefix(out));
    }
}

/// One value, an empty encoding: the key of a table with at most one record.
impl Key for () {
    #[inline]
    fn encode(&self, _out: &mut KeyBuf) {}

    fn encode_columns(_: &mut TextColumns<'_>, _: &mut KeyBuf) -> Result<(), Unread> {
        Ok(())
    }

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        encoded.columns(&[], out)
    }
}

impl AsKey<()> for () {
    #[inline]
    fn encode_as(&self, _out: &mut KeyBuf) {}
}

macro_rules! tuple {
    ($($key:ident $form:ident $i:tt),*) => {
        impl<$($key: Key),*> Key for ($($key,)*) {
            #[inline]
            fn encode(&self, out: &mut KeyBuf) {
                $(self.$i.encode(out);)*
            }

            fn encode_columns(
                columns: &mut TextColumns<'_>,
                out: &mut KeyBuf,
            ) -> Result<(), Unread> {
                $($key::encode_columns(columns, out)?;)*
                Ok(())
            }

            fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
                let columns: &[Show] = &[$($key::show),*];
                encoded.columns(columns, out)
            }
        }

        impl<$($key, $form: AsKey<$key>),*> AsKey<($($key,)*)> for ($($form,)*) {
            #[inline]
            fn encode_as(&self, out: &mut KeyBuf) {
                $(self.$i.encode_as(out);)*
            }
        }
    };
}
tuple!(A QA 0);
tuple!(A QA 0, B QB 1);
tuple!(A QA 0, B QB 1, C QC 2);
tuple!(A QA 0, B QB 1, C QC 2, D QD 3);
tuple!(A QA 0, B QB 1, C QC 2, D QD 3, E QE 4);
tuple!(A QA 0, B QB 1, C QC 2, D QD 3, E QE 4, F QF 5);
tuple!(A QA 0, B QB 1, C QC 2, D QD 3, E QE 4, F QF 5, G QG 6);
tuple!(A QA 0, B QB 1, C QC 2, D QD 3, E QE 4, F QF 5, G QG 6, H QH 7);

/// `exact` columns, then one of which a prefix is given, then any number of others. As a prefix: the
/// exact columns and the beginning of the next. As leading columns: all of those given, exactly.
macro_rules! partial {
    ($n:literal; $($key:ident $form:ident $i:tt),*; $last:ident $last_form:ident $j:tt; $($rest:ident)*) => {
        impl<$($key, $form: AsKey<$key>,)* $last, $last_form: AsPrefix<$last>, $($rest),*>
            AsPrefix<($($key,)* $last, $($rest),*)> for ($($form,)* $last_form,)
        {
            #[inline]
            fn encode_prefix(&self, out: &mut KeyBuf) {
                $(self.$i.encode_as(out);)*
                self.$j.encode_prefix(out);
            }
        }

        partial!(@leading $n; $($key $form $i,)* $last $last_form $j; $($rest)*);
    };
    (@first $first:ident $($rest:ident)*) => { $first };
    (@leading $n:literal; $($key:ident $form:ident $i:tt),*; ) => {};
    (@leading $n:literal; $($key:ident $form:ident $i:tt),*; $($rest:ident)+) => {
        impl<$($key, $form: AsKey<$key>,)* $($rest),*>
            Leading<($($key,)* $($rest),*), Columns<$n>> for ($($form,)*)
        {
            type Next = partial!(@first $($rest)+);

            #[inline]
            fn encode_leading(&self, out: &mut KeyBuf) {
                $(self.$i.encode_as(out);)*
            }
        }
    };
}

macro_rules! first {
    ($next:ident $($rest:ident)*) => {
        #[diagnostic::do_not_recommend]
        impl<A, Q: AsKey<A>, $next, $($rest),*> Leading<(A, $next, $($rest),*), Columns<1>> for Q {
            type Next = $next;

            #[inline]
            fn encode_leading(&self, out: &mut KeyBuf) {
                self.encode_as(out);
            }
        }
    };
}

macro_rules! with_rest {
    ($($rest:ident)*) => {
        first!(B $($rest)*);
        partial!(2; A QA 0; B QB 1; $($rest)*);
    };
}
with_rest!();
with_rest!(C);
with_rest!(C D);
with_rest!(C D E);
with_rest!(C D E F);
with_rest!(C D E F G);
with_rest!(C D E F G H);
partial!(3; A QA 0, B QB 1; C QC 2; );
partial!(3; A QA 0, B QB 1; C QC 2; D);
partial!(3; A QA 0, B QB 1; C QC 2; D E);
partial!(3; A QA 0, B QB 1; C QC 2; D E F);
partial!(3; A QA 0, B QB 1; C QC 2; D E F G);
partial!(3; A QA 0, B QB 1; C QC 2; D E F G H);
partial!(4; A QA 0, B QB 1, C QC 2; D QD 3; );
partial!(4; A QA 0, B QB 1, C QC 2; D QD 3; E);
partial!(4; A QA 0, B QB 1, C QC 2; D QD 3; E F);
partial!(4; A QA 0, B QB 1, C QC 2; D QD 3; E F G);
partial!(4; A QA 0, B QB 1, C QC 2; D QD 3; E F G H);
partial!(5; A QA 0, B QB 1, C QC 2, D QD 3; E QE 4; );
partial!(5; A QA 0, B QB 1, C QC 2, D QD 3; E QE 4; F);
partial!(5; A QA 0, B QB 1, C QC 2, D QD 3; E QE 4; F G);
partial!(5; A QA 0, B QB 1, C QC 2, D QD 3; E QE 4; F G H);
partial!(6; A QA 0, B QB 1, C QC 2, D QD 3, E QE 4; F QF 5; );
partial!(6; A QA 0, B QB 1, C QC 2, D QD 3, E QE 4; F QF 5; G);
partial!(6; A QA 0, B QB 1, C QC 2, D QD 3, E QE 4; F QF 5; G H);
partial!(7; A QA 0, B QB 1, C QC 2, D QD 3, E QE 4, F QF 5; G QG 6; );
partial!(7; A QA 0, B QB 1, C QC 2, D QD 3, E QE 4, F QF 5; G QG 6; H);
partial!(8; A QA 0, B QB 1, C QC 2, D QD 3, E QE 4, F QF 5, G QG 6; H QH 7; );
