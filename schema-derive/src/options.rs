//! The options of an attribute: `#[attribute(key, key = value, key(..))]`.

use crate::problems::Problems;
use proc_macro2::TokenTree;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, DeriveInput, Ident, LitStr, Meta, Token};

/// Reads each option of `attribute`: `read` is given the option's key and the tokens after it.
///
/// An option that `read` refuses is recorded and skipped; the ones after it are still read.
pub(crate) fn read_options(
    attribute: &Attribute,
    problems: &mut Problems,
    expected: &str,
    mut read: impl FnMut(&Ident, ParseStream<'_>) -> syn::Result<()>,
) {
    let list = match &attribute.meta {
        Meta::List(list) if !list.tokens.is_empty() => list,
        meta => {
            return problems.push(syn::Error::new_spanned(
                meta,
                format!("expected {expected}"),
            ));
        }
    };
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if let Err(problem) = input.call(Ident::parse_any).and_then(|key| {
                read(&key, input)?;
                if input.is_empty() || input.peek(Token![,]) {
                    Ok(())
                } else {
                    Err(input.error("expected `,`"))
                }
            }) {
                problems.push(problem);
                while !input.is_empty() && !input.peek(Token![,]) {
                    input.parse::<TokenTree>()?;
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    if let Err(problem) = parser.parse2(list.tokens.clone()) {
        problems.push(problem);
    }
}

/// The error for a key that is none of `expected`.
pub(crate) fn unknown_option(key: &Ident, attribute: &str, expected: &str) -> syn::Error {
    syn::Error::new(
        key.span(),
        format!("unknown option `{key}` of `#[{attribute}]`: expected {expected}"),
    )
}

/// The error for a key that was there before.
pub(crate) fn repeated_option(key: &Ident, attribute: &str) -> syn::Error {
    syn::Error::new(
        key.span(),
        format!("`{key}` is given twice in `#[{attribute}]`"),
    )
}

/// Nothing after `key`.
pub(crate) fn no_value(key: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(input.error(format!("`{key}` has no value: expected `,` or the end")))
}

/// The text after `key =`.
pub(crate) fn text_value(key: &Ident, input: ParseStream<'_>) -> syn::Result<LitStr> {
    let example = format!("expected text, as in `{key} = \"..\"`");
    if !input.peek(Token![=]) {
        return Err(syn::Error::new(key.span(), example));
    }
    input.parse::<Token![=]>()?;
    let span = input.span();
    input.parse().map_err(|_| syn::Error::new(span, example))
}

/// Refuses generic parameters, each at its own place. `what` is "a table", "a key" ..
pub(crate) fn refuse_generics(input: &DeriveInput, what: &str, problems: &mut Problems) {
    for parameter in &input.generics.params {
        let (kind, span) = match parameter {
            syn::GenericParam::Lifetime(p) => ("lifetime", p.lifetime.span()),
            syn::GenericParam::Type(p) => ("type", p.ident.span()),
            syn::GenericParam::Const(p) => ("const", p.ident.span()),
        };
        problems.at(
            span,
            format!("{what} cannot have {kind} parameters: write the type out"),
        );
    }
}

/// Refuses attributes named in `names` at a place where they mean nothing.
pub(crate) fn refuse_attributes(
    attributes: &[Attribute],
    names: &[&str],
    why: &str,
    problems: &mut Problems,
) {
    for attribute in attributes {
        if let Some(name) = names.iter().find(|name| attribute.path().is_ident(name)) {
            problems.push(syn::Error::new_spanned(
                attribute.path(),
                format!("`#[{name}]` does not belong here: {why}"),
            ));
        }
    }
}
