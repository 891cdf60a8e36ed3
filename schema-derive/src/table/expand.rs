//! The code that `#[derive(Table)]` generates.

use super::{Column, IndexModel, TableModel};
use crate::names::type_text;
use crate::problems::at;
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

pub(super) fn expand(model: &TableModel<'_>) -> TokenStream {
    let table = table(model);
    let reader = reader(model);
    quote! {
        #reader
        #table
    }
}

/// `impl Table`, and the tie to the reader.
fn table(model: &TableModel<'_>) -> TokenStream {
    let TableModel {
        krate,
        ident,
        name,
        field_names,
        aliases,
        primary_key,
        indexes,
        ..
    } = model;
    let reader = reader_name(model);
    let aliases = aliases.iter().map(|(alias, name)| quote!((#alias, #name)));
    let key_names = primary_key.iter().map(|column| &column.name);
    // Without a primary key there is an error already; this keeps the table's uses from failing too.
    let key = match primary_key.first() {
        None => quote!(
            type Key = ::core::primitive::u64;
        ),
        Some(first) => {
            let key = columns_type(primary_key);
            quote_spanned!(at(first.ty)=> type Key = #key;)
        }
    };
    let out = Ident::new("out", Span::mixed_site());
    let this = quote!(self);
    let encode = primary_key
        .iter()
        .map(|column| encode_column(model, column, &this, &out));
    let indexes = indexes.iter().map(|index| index_def(model, index));
    let table_at = at(&ident);
    let table_trait = quote_spanned!(table_at=> #krate::Table);
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #table_trait for #ident {
                const NAME: &'static ::core::primitive::str = #name;
                const FIELDS: &'static [&'static ::core::primitive::str] = &[#(#field_names),*];
                const ALIASES: &'static [(
                    &'static ::core::primitive::str,
                    &'static ::core::primitive::str,
                )] = &[#(#aliases),*];
                const PRIMARY_KEY: &'static [&'static ::core::primitive::str] = &[#(#key_names),*];
                const INDEXES: &'static [#krate::IndexDef<#ident>] = &[#(#indexes),*];
                #key

                fn encode_key(&self, #out: &mut #krate::KeyBuf) {
                    #(#encode)*
                }
            }

            #[automatically_derived]
            impl #krate::__private::Readable for #ident {
                type Reader<'a> = #reader<'a>;
            }
        };
    }
}

/// The field's type, or the tuple of the fields' types.
fn columns_type(columns: &[Column<'_>]) -> TokenStream {
    if let [column] = columns {
        return column.ty.to_token_stream();
    }
    let types = columns.iter().map(|column| column.ty);
    quote!((#(#types),*))
}

/// The type an index is looked up by.
fn index_type(model: &TableModel<'_>, index: &IndexModel<'_>) -> TokenStream {
    match index.columns.as_slice() {
        [column] if index.each => {
            let (krate, ty) = (model.krate.at(column.ty.span()), column.ty);
            quote_spanned!(ty.span()=> <#ty as #krate::Each>::Item)
        }
        columns => columns_type(columns),
    }
}

fn encode_column(
    model: &TableModel<'_>,
    column: &Column<'_>,
    row: &TokenStream,
    out: &Ident,
) -> TokenStream {
    let (krate, ident, ty) = (&model.krate, column.ident, column.ty);
    quote_spanned!(at(&ty)=> <#ty as #krate::Key>::encode(&#row.#ident, #out);)
}

fn index_def(model: &TableModel<'_>, index: &IndexModel<'_>) -> TokenStream {
    let (krate, table) = (&model.krate, model.ident);
    let [row, sink, out, key] =
        ["row", "sink", "out", "key"].map(|name| Ident::new(name, Span::mixed_site()));
    let name = index.name.unraw().to_string();
    let fields = index.columns.iter().map(|column| &column.name);
    let keys = match index.columns.as_slice() {
        [column] if index.each => {
            let (ident, ty) = (column.ident, column.ty);
            quote_spanned! {ty.span()=>
                <#ty as #krate::Each>::for_each_key(&#row.#ident, &mut |#key| {
                    #krate::KeySink::push(#sink, |#out| {
                        <<#ty as #krate::Each>::Item as #krate::Key>::encode(#key, #out)
                    });
                });
            }
        }
        columns => {
            let this = row.to_token_stream();
            let encode = columns
                .iter()
                .map(|column| encode_column(model, column, &this, &out));
            quote!(#krate::KeySink::push(#sink, |#out| { #(#encode)* });)
        }
    };
    let mut def = quote! {
        #krate::IndexDef::<#table>::new(#name, &[#(#fields),*], |#row, #sink| { #keys })
    };
    if index.unique {
        def = quote!(#def.unique());
    }
    if index.each {
        def = quote!(#def.each());
    }
    def
}

fn reader_name(model: &TableModel<'_>) -> Ident {
    format_ident!("{}Reader", model.ident.unraw(), span = model.ident.span())
}

/// The type of the table's look-ups.
fn reader(model: &TableModel<'_>) -> TokenStream {
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
    quote! {
        #[doc = #doc]
        #[allow(dead_code, unreachable_pub)]
        #visibility struct #reader<'a>(#krate::TableReader<'a, #ident>);

        const _: () = {
            #[allow(dead_code, private_bounds, private_interfaces, unreachable_pub)]
            impl<'a> #reader<'a> {
                #(#methods)*
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
    let (by_doc, index_doc) = docs(index);
    // Errors about the key's type are to be at the field's; where that repeats an error word for
    // word, the compiler shows it once.
    let span = index
        .columns
        .first()
        .map_or_else(Span::call_site, |column| column.ty.span());
    let krate = model.krate.at(span);
    let look_up = if index.unique {
        quote_spanned! {span=>
            #[must_use]
            #visibility fn #by(
                &self,
                key: impl #krate::AsKey<#key>,
            ) -> ::core::option::Option<&'a #krate::Row<#ident>> {
                #krate::TableReader::unique::<#key>(&self.0, #number, key)
            }
        }
    } else {
        quote_spanned! {span=>
            #visibility fn #by(&self, key: impl #krate::AsKey<#key>) -> #krate::Rows<'a, #ident> {
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

/// What the docs of an index's two methods say.
fn docs(index: &IndexModel<'_>) -> (String, String) {
    let name = index.name.to_string();
    let fields: Vec<_> = index
        .columns
        .iter()
        .map(|column| format!("`{}`", column.ident.unraw()))
        .collect();
    let fields = fields.join(", ");
    let ty = type_text(&columns_type(&index.columns));
    let (over, key) = match (&index.columns[..], index.each) {
        (_, true) => (
            format!("the items of {fields}"),
            format!("an item of `{ty}`"),
        ),
        (_, false) => (fields, format!("a `{ty}`")),
    };
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
        format!("{found}.\n\nThe index is over {over}; the key is {key}."),
        format!("The {kind}index `{name}` over {over}.\n\nThe key is {key}."),
    )
}
