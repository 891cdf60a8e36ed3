//! [`Caseless`]: text without regard to case.
//!
//! A text is folded character by character, so that the folded beginning of a text is the beginning
//! of the folded text, and a prefix query needs nothing special.

use super::{AsKey, Encoded, Key, KeyBuf, PrefixKey, TextColumns, TextKey, Unread};
use std::borrow::Cow;

/// The key type of an index over text without regard to case: `#[index(caseless)]`.
///
/// It is looked up by any text. Two texts are the same key if they are equal after each of their
/// characters is mapped to lower case, then to upper case, then to lower case, by the Unicode
/// mappings of `char::to_lowercase` and `char::to_uppercase`, which do not depend on a locale. So
/// `"Straße"`, `"STRASSE"` and `"straẞe"` are one key, and so are `Σ`, `σ` and `ς`. Combining
/// characters are not composed or taken apart.
///
/// Keys are in the order of the folded text. The mappings are those of the compiler's standard
/// library: replicas that are built with different releases can fold characters differently that
/// Unicode has added between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caseless {}

/// Appends `text`, folded and escaped, without its end.
fn fold(text: &str, out: &mut KeyBuf) {
    let mut buf = [0; 4];
    for c in text.chars() {
        if c.is_ascii() {
            push(c.to_ascii_lowercase(), &mut buf, out);
        } else {
            let folded = c
                .to_lowercase()
                .flat_map(char::to_uppercase)
                .flat_map(char::to_lowercase);
            folded.for_each(|c| push(c, &mut buf, out));
        }
    }
}

fn push(c: char, buf: &mut [u8; 4], out: &mut KeyBuf) {
    String::encode_content(c.encode_utf8(buf), out);
}

impl Key for Caseless {
    fn encode(&self, _out: &mut KeyBuf) {
        match *self {}
    }

    fn encode_columns(columns: &mut TextColumns<'_>, out: &mut KeyBuf) -> Result<(), Unread> {
        let (text, is_prefix) = columns.take()?;
        if is_prefix {
            Caseless::encode_content(text, out);
        } else {
            Caseless::encode_text(text, out);
        }
        Ok(())
    }

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        String::show(encoded, out)
    }
}

impl PrefixKey for Caseless {
    type Borrowed = str;

    fn encode_content(text: &str, out: &mut KeyBuf) {
        fold(text, out);
    }
}

impl TextKey for Caseless {
    const TERMINATOR: &'static [u8] = String::TERMINATOR;
}

macro_rules! forms {
    ($($form:ty),*) => {$(
        impl AsKey<Caseless> for $form {
            fn encode_as(&self, out: &mut KeyBuf) {
                Caseless::encode_text(self, out);
            }
        }
    )*};
}
forms!(&&str, String, &String, Cow<'_, str>, &Cow<'_, str>);

/// A field that can be indexed without regard to case: any text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not text",
    label = "not text: it has no upper and lower case",
    note = "`caseless` takes text, or a type of your own that implements `AsRef<str>`"
)]
pub trait Text {
    /// Appends what a look-up in [`Caseless`] encodes of this text.
    fn encode_caseless(&self, out: &mut KeyBuf);
}

#[diagnostic::do_not_recommend]
impl<T: AsRef<str> + ?Sized> Text for T {
    fn encode_caseless(&self, out: &mut KeyBuf) {
        Caseless::encode_text(self.as_ref(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::AsPrefix;

    fn folded(text: &str) -> Vec<u8> {
        let mut out = KeyBuf::new();
        AsKey::<Caseless>::encode_as(&text, &mut out);
        out.as_bytes().to_vec()
    }

    #[test]
    fn every_character_is_its_upper_and_its_lower_case() {
        for c in '\0'..=char::MAX {
            let text = folded(&c.to_string());
            assert_eq!(folded(&c.to_uppercase().to_string()), text, "{c:?}");
            assert_eq!(folded(&c.to_lowercase().to_string()), text, "{c:?}");
        }
    }

    #[test]
    fn texts_that_differ_in_case_alone_are_one_key() {
        for same in [
            &["Straße", "STRASSE", "strasse", "straẞe", "StraSSe"][..],
            &["ὈΔΥΣΣΕΎΣ", "ὀδυσσεύς", "Ὀδυσσεύς"],
            &["İ", "i\u{307}", "I\u{307}"],
            &["a\0B", "A\0b"],
        ] {
            for text in same {
                assert_eq!(folded(text), folded(same[0]), "{text}");
            }
        }
        assert_ne!(folded("e"), folded("é"));
        assert_ne!(folded("a"), folded("a\0"));
    }

    #[test]
    fn a_prefix_of_a_text_is_one_of_its_key() {
        let text = "Der ΣΊΣΥΦΟΣ \0 Straße";
        for (at, _) in text.char_indices() {
            let mut prefix = KeyBuf::new();
            AsPrefix::<Caseless>::encode_prefix(&&text[..at], &mut prefix);
            assert!(folded(&text.to_uppercase()).starts_with(prefix.as_bytes()));
        }
    }
}
