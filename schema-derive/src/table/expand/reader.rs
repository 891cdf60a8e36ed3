//! The type of the table's look-ups, with two methods an index and what their documentation says.

use super::index::{index_type, part_value};
use crate::names::type_text;
use crate::table::TableModel;
use crate::table::index::{IndexModel, OnDelete, Part, Source, path_text};
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

pub(super) fn reader_name(model: &TableModel<'_>) -> Ident {
    format_ident!("{}Reader", model.ident.unraw(), span = model.ident.span())
}

/// The type of the table's look-ups.
pub(super) fn reader(model: &TableModel<'_>) -> TokenStream {
    let TableModel {
        krate,
        ident,
        visibility,
        name,
        ..
    } = model;
    let reader = reader_name(model);
    let reader_text = reader.to_string();
    let doc = format!(
        "Reads of the table `{name}`: those of every table, and a look-up for each index of \
         `{}`.",
        ident.unraw()
    );
    let methods = model
        .indexes
        .iter()
        .enumerate()
        .map(|(i, index)| methods(model, i, index));
    let due = model
        .indexes
        .iter()
        .enumerate()
        .find_map(|(i, index)| due(model, i, index));
    quote! {
        #[doc = #doc]
        #[allow(dead_code, unreachable_pub)]
        #visibility struct #reader<'a>(#krate::TableReader<'a, #ident>);

        const _: () = {
            #[allow(
                clippy::type_complexity,
                dead_code,
                private_bounds,
                private_interfaces,
                unreachable_pub
            )]
            impl<'a> #reader<'a> {
                #(#methods)*
                #due
            }

            #[automatically_derived]
            impl ::core::clone::Clone for #reader<'_> {
                fn clone(&self) -> Self {
                    *self
                }
            }

            #[automatically_derived]
            impl ::core::marker::Copy for #reader<'_> {}

            #[automatically_derived]
            impl ::core::fmt::Debug for #reader<'_> {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    let mut f = ::core::fmt::Formatter::debug_struct(f, #reader_text);
                    ::core::fmt::DebugStruct::finish_non_exhaustive(&mut f)
                }
            }

            #[automatically_derived]
            impl<'a> ::core::ops::Deref for #reader<'a> {
                type Target = #krate::TableReader<'a, #ident>;

                fn deref(&self) -> &Self::Target {
                    &self.0
                }
            }

            #[automatically_derived]
            impl<'a> ::core::convert::From<#krate::TableReader<'a, #ident>> for #reader<'a> {
                fn from(reader: #krate::TableReader<'a, #ident>) -> Self {
                    Self(reader)
                }
            }
        };
    }
}

/// `by_node` and `node_index`.
fn methods(model: &TableModel<'_>, i: usize, index: &IndexModel<'_>) -> TokenStream {
    let TableModel {
        ident, visibility, ..
    } = model;
    let name = &index.name;
    let by = format_ident!("by_{}", name);
    let reader = format_ident!("{}_index", name);
    let key = index_type(model, index);
    let number = Literal::usize_unsuffixed(i);
    let (by_doc, index_doc) = docs(ident, index);
    // Errors about the key's type are to be at the field's; where that repeats an error word for
    // word, the compiler shows it once.
    let span = index
        .parts
        .first()
        .map_or_else(Span::call_site, |part| part.ty().span());
    let krate = model.krate.at(span);
    let look_up = if index.unique {
        quote_spanned! {span=>
            #[must_use]
            #visibility fn #by(
                &self,
                key: impl #krate::key::AsKey<#key>,
            ) -> ::core::option::Option<&'a #krate::Row<#ident>> {
                #krate::TableReader::unique::<#key>(&self.0, #number, key)
            }
        }
    } else {
        quote_spanned! {span=>
            #visibility fn #by(&self, key: impl #krate::key::AsKey<#key>) -> #krate::Rows<'a, #ident> {
                #krate::IndexReader::get(
                    &#krate::TableReader::secondary::<#key>(&self.0, #number),
                    key,
                )
            }
        }
    };
    quote_spanned! {span=>
        #[doc = #by_doc]
        #look_up

        #[doc = #index_doc]
        #[must_use]
        #visibility fn #reader(&self) -> #krate::IndexReader<'a, #ident, #key> {
            #krate::TableReader::secondary::<#key>(&self.0, #number)
        }
    }
}

/// `due` and `next_due`, if the index is that of `#[expires]`.
fn due(model: &TableModel<'_>, i: usize, index: &IndexModel<'_>) -> Option<TokenStream> {
    let [part] = index.parts.as_slice() else {
        return None;
    };
    if !part.forms.expires {
        return None;
    }
    let TableModel {
        ident, visibility, ..
    } = model;
    let (field, ty) = (&index.name, part.ty());
    let number = Literal::usize_unsuffixed(i);
    let krate = model.krate.at(ty.span());
    let row = Ident::new("row", Span::mixed_site());
    let value = part_value(0, part, &row);
    let due_doc = format!(
        "The records whose `{field}` is at or before `now`, the earliest first, then by primary \
         key.\n\nIn a command `now` is the log's clock, `highwater::fsm::Context::time`: what is due \
         is then the same on every replica. Where there may be many, `take` as many as one entry should do."
    );
    let next_doc = format!(
        "The first moment of the log's clock at which a record is due: the earliest `{field}`, \
         rounded up to the whole milliseconds that the clock counts. None if there is none.\n\nA \
         watch of it fires when another is the earliest, not when the time comes."
    );
    Some(quote_spanned! {ty.span()=>
        #[doc = #due_doc]
        #visibility fn due(&self, now: ::std::time::SystemTime) -> #krate::Rows<'a, #ident> {
            #krate::TableReader::due(&self.0, #number, now)
        }

        #[doc = #next_doc]
        #[must_use]
        #visibility fn next_due(&self) -> ::core::option::Option<::std::time::SystemTime> {
            #krate::TableReader::next_due(&self.0, #number, |#row| {
                <#ty as #krate::__private::Expires>::deadline(&#value)
            })
        }
    })
}

/// What the docs of the two methods of an index of `table` say.
fn docs(table: &Ident, index: &IndexModel<'_>) -> (String, String) {
    let name = index.name.to_string();
    let over: Vec<_> = index.parts.iter().map(part_doc).collect();
    let over = over.join(", ");
    let keys: Vec<_> = index.parts.iter().map(key_doc).collect();
    let key = match &keys[..] {
        [key] => key.clone(),
        keys => format!("a tuple of {}", keys.join(", ")),
    };
    let when = index.when.as_ref().map_or(String::new(), |path| {
        format!(
            " Only records for which `{}` is true are in it.",
            path_text(path)
        )
    });
    let refers = index.reference.as_ref().map_or(String::new(), |reference| {
        let then = match reference.on_delete {
            OnDelete::Restrict => "which cannot be deleted while it is referred to",
            OnDelete::Cascade => "and the record is deleted with that",
            OnDelete::SetNull => "and becomes `None` when that is deleted",
        };
        let target = if reference.target.is_ident("Self") {
            table.unraw().to_string()
        } else {
            path_text(&reference.target)
        };
        format!(" It refers to a `{target}`, {then}.")
    });
    let (found, kind) = if index.unique {
        (
            format!("The one record with this key in the unique index `{name}`"),
            "unique ",
        )
    } else {
        (
            format!("The records with this key in the index `{name}`, by primary key"),
            "",
        )
    };
    (
        format!("{found}.\n\nThe index is over {over}; the key is {key}.{when}{refers}"),
        format!("The {kind}index `{name}` over {over}.\n\nThe key is {key}.{when}{refers}"),
    )
}

/// What a part of a key is, in words.
fn part_doc(part: &Part<'_>) -> String {
    let mut text = match &part.source {
        Source::Field(column) => format!("`{}`", column.ident.unraw()),
        Source::Computed(computed) => format!("what `{}` returns", path_text(&computed.path)),
    };
    if part.forms.each {
        text = format!("the items of {text}");
    }
    if part.forms.expires {
        text = format!("{text}, the time that a record is due at");
    }
    if part.forms.sparse {
        text.push_str(" where it is present");
    }
    if part.forms.reverse {
        text.push_str(" in falling order");
    }
    text
}

/// What a part is looked up by, in words.
fn key_doc(part: &Part<'_>) -> String {
    let ty = type_text(&part.ty().to_token_stream());
    let mut text = if part.forms.caseless {
        "text, in upper or lower case".to_owned()
    } else if part.forms.each {
        format!("an item of `{ty}`")
    } else if part.forms.sparse {
        format!("what an `{ty}` holds")
    } else if part.forms.expires {
        "a `SystemTime`".to_owned()
    } else {
        format!("a `{ty}`")
    };
    if part.forms.reverse {
        text.push_str(" within `Reverse`");
    }
    text
}
