//! `version = 3, from = ServiceV2, from = ServiceV1`: which forms a record had before.

use super::index::path_value;
use crate::options::repeated_option;
use crate::problems::Problems;
use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Ident, LitInt, Path, Token};

const VERSION: &str = "expected a number from 1 on, as in `version = 2`";
const FROM: &str =
    "expected the type that the records had in the version before, as in `from = ServiceV1`";

/// What a struct says of its versions.
#[derive(Default)]
pub(super) struct Versions {
    version: Option<(u32, Span)>,
    /// The newest first.
    from: Vec<Path>,
}

impl Versions {
    /// Reads what is after `version` or `from`.
    pub(super) fn read(&mut self, key: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
        if key == "from" {
            self.from.push(path_value(key, input, FROM)?);
            return Ok(());
        }
        if !input.peek(Token![=]) {
            return Err(syn::Error::new(key.span(), VERSION));
        }
        input.parse::<Token![=]>()?;
        let span = input.span();
        let number = input
            .parse::<LitInt>()
            .and_then(|number| number.base10_parse())
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| syn::Error::new(span, VERSION))?;
        if self.version.replace((number, span)).is_some() {
            return Err(repeated_option(key, "table"));
        }
        Ok(())
    }

    /// The version, and the forms of those before, the newest first, if the two fit.
    pub(super) fn finish(self, local: bool, problems: &mut Problems) -> (u32, Vec<Path>) {
        let Versions { version, from } = self;
        let first = from.first().map(Spanned::span);
        let Some((version, span)) = version else {
            if let Some(first) = first {
                problems.at(
                    first,
                    "a record that has another form now is of another version: expected \
                     `version = 2` or higher beside `from`",
                );
            }
            return (1, Vec::new());
        };
        if local {
            problems.at(
                span,
                "a local or derived table is in no image: its records need no version",
            );
        } else if version > 1 && from.is_empty() {
            problems.at(
                span,
                format!(
                    "images of version {} could not be read: expected `from = Type` beside it, the \
                     type that the records had then",
                    version - 1
                ),
            );
        } else if let Some(extra) = from.get(version as usize - 1) {
            problems.at(
                extra.span(),
                "there is no version 0: expected a higher `version`, or this `from` to go",
            );
        } else {
            return (version, from);
        }
        (1, Vec::new())
    }
}
