//! `Krate`: where generated code finds the crate `highwater`.

use crate::options::{read_options, repeated_option, unknown_option};
use crate::problems::Problems;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::parse::ParseStream;
use syn::{DeriveInput, Ident, Path, Token};

/// The path given by `crate = path`, or else `::highwater`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Krate(Option<Path>);

impl Krate {
    /// The path, where it is not the user's own, with the place that errors are to be shown at.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        if let Some(path) = &self.0 {
            path.to_token_stream()
        } else {
            quote_spanned!(span=> ::highwater)
        }
    }

    /// Reads the path after `crate =`; says whether there had been one before.
    pub(crate) fn read(&mut self, key: &Ident, input: ParseStream<'_>) -> syn::Result<bool> {
        let example = "expected the path of the crate `highwater`, as in `crate = other::path`";
        if !input.peek(Token![=]) {
            return Err(syn::Error::new(key.span(), example));
        }
        input.parse::<Token![=]>()?;
        let span = input.span();
        let path = input
            .call(Path::parse_mod_style)
            .map_err(|_| syn::Error::new(span, example))?;
        Ok(self.0.replace(path).is_some())
    }

    /// Reads an attribute of a struct or enum whose one option this is.
    pub(crate) fn read_attribute(
        input: &DeriveInput,
        attribute: &str,
        problems: &mut Problems,
    ) -> Self {
        let expected = "`crate = path`";
        let mut krate = Krate::default();
        for attr in input
            .attrs
            .iter()
            .filter(|attr| attr.path().is_ident(attribute))
        {
            read_options(attr, problems, expected, |key, value| {
                if key != "crate" {
                    return Err(unknown_option(key, attribute, expected));
                }
                if krate.read(key, value)? {
                    return Err(repeated_option(key, attribute));
                }
                Ok(())
            });
        }
        krate
    }
}

impl ToTokens for Krate {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.at(Span::mixed_site()));
    }
}
