//! `Problems`: what is wrong with the input of a derive, gathered so that all of it is told at once.

use proc_macro2::{Span, TokenStream};
use std::fmt::Display;
use syn::spanned::Spanned;

/// Where the compiler is to show its own errors about `what`: its place, with the hygiene of
/// generated code.
pub(crate) fn at(what: &impl Spanned) -> Span {
    Span::mixed_site().located_at(what.span())
}

/// The errors found so far.
#[derive(Default)]
pub(crate) struct Problems(Option<syn::Error>);

impl Problems {
    /// Adds an error that was made by `syn` or by a parser of this crate.
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Adds an error at `span`.
    pub(crate) fn at(&mut self, span: Span, message: impl Display) {
        self.push(syn::Error::new(span, message));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// One `compile_error!` for each problem.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0
            .map(syn::Error::into_compile_error)
            .unwrap_or_default()
    }
}
