//! The code that `#[derive(Table)]` generates: `impl Table` here, its indexes in `index`, and the
//! look-ups in `reader`.

mod index;
mod reader;

use super::index::path_text;
use super::{Column, TableModel};
use crate::problems::at;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

use self::index::index_def;
use self::reader::{reader, reader_name};

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
        version,
        field_names,
        field_types,
        aliases,
        primary_key,
        indexes,
        checks,
        local,
        ..
    } = model;
    let reader = reader_name(model);
    let checks = checks.iter().map(|path| {
        let name = path_text(path);
        // In a variable of its type, so that another type is an error at the path.
        let check = Ident::new("check", Span::mixed_site());
        quote_spanned!(at(path)=> {
            let #check: fn(&#ident) -> ::core::primitive::bool = #path;
            #krate::schema::CheckDef::new(#name, #check)
        })
    });
    let earlier = (0..model.earlier.len()).map(|i| earlier(model, i));
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
    let writer = if model.derivations.is_empty() {
        quote!(TableWriter)
    } else {
        quote!(DerivedTable)
    };
    let derivations = derivations(model);
    let table_at = at(&ident);
    let table_trait = quote_spanned!(table_at=> #krate::Table);
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #table_trait for #ident {
                const NAME: &'static ::core::primitive::str = #name;
                const VERSION: ::core::primitive::u32 = #version;
                const EARLIER: &'static [#krate::__private::Earlier<#ident>] = &[#(#earlier),*];
                const FIELDS: &'static [&'static ::core::primitive::str] = &[#(#field_names),*];
                const TYPES: &'static [&'static ::core::primitive::str] = &[#(#field_types),*];
                const ALIASES: &'static [(
                    &'static ::core::primitive::str,
                    &'static ::core::primitive::str,
                )] = &[#(#aliases),*];
                const PRIMARY_KEY: &'static [&'static ::core::primitive::str] = &[#(#key_names),*];
                const INDEXES: &'static [#krate::schema::IndexDef<#ident>] =
                    <#ident as #krate::__private::Readable>::REFERRING;
                const LOCAL: ::core::primitive::bool = #local;
                const CHECKS: &'static [#krate::schema::CheckDef<#ident>] = &[#(#checks),*];
                #key

                fn encode_key(&self, #out: &mut #krate::key::KeyBuf) {
                    #(#encode)*
                }
            }

            #[automatically_derived]
            impl #krate::__private::Readable for #ident {
                type Reader<'a> = #reader<'a>;
                type Writer<'a> = #krate::#writer<'a, #ident>;
                #derivations
                const TABLE: &'static ::core::primitive::str = #name;
                const OWN: ::core::primitive::bool =
                    #local && !<Self as #krate::__private::Readable>::DERIVED;
                const REFERRING: &'static [#krate::schema::IndexDef<#ident>] = &[#(#indexes),*];

                fn ops() -> ::std::boxed::Box<dyn #krate::__private::TableOps> {
                    #krate::__private::table_ops::<Self>()
                }
            }
        };
    }
}

/// The form of the version that is `i + 1` before the present one: how it is read, and made the next
/// one, and that the next, until it is the present one.
fn earlier(model: &TableModel<'_>, i: usize) -> TokenStream {
    let krate = &model.krate;
    let form = &model.earlier[i];
    let [bytes, record] = ["bytes", "record"].map(|name| Ident::new(name, Span::mixed_site()));
    let mut value = record.to_token_stream();
    for i in (0..=i).rev() {
        let from = &model.earlier[i];
        let next = match i.checked_sub(1) {
            None => quote_spanned!(at(from)=> Self),
            Some(next) => model.earlier[next].to_token_stream(),
        };
        value = quote_spanned!(at(from)=> <#next as ::core::convert::From<#from>>::from(#value));
    }
    quote_spanned! {at(form)=>
        #krate::__private::Earlier::new(#krate::__private::fields_of::<#form>, |#bytes| {
            let #record = #krate::__private::record::<#form>(#bytes)?;
            ::core::result::Result::Ok(#value)
        })
    }
}

/// What the table is derived from, if it is.
fn derivations(model: &TableModel<'_>) -> Option<TokenStream> {
    let TableModel { krate, ident, .. } = model;
    if model.derivations.is_empty() {
        return None;
    }
    let [changes, table, derive, before, after] = ["changes", "table", "derive", "before", "after"]
        .map(|name| Ident::new(name, Span::mixed_site()));
    let each = model.derivations.iter().map(|(source, function)| {
        // In a variable of its type, so that another type is an error at the path.
        let derive_it = quote_spanned! {at(function)=>
            let #derive: fn(
                ::core::option::Option<&#source>,
                ::core::option::Option<&#source>,
                &mut #krate::TableWriter<'_, #ident>,
            ) -> ::core::result::Result<(), #krate::WriteError> = #function;
        };
        let krate = krate.at(source.span());
        quote_spanned! {at(source)=>
            #krate::__private::Derivation::new(
                <#source as #krate::Table>::NAME,
                ::core::any::TypeId::of::<#source>,
                |#changes, #table| {
                    #derive_it
                    #krate::__private::SourceChanges::each::<#source>(
                        #changes,
                        |#before, #after| #derive(#before, #after, #table),
                    )
                },
            )
        }
    });
    Some(quote! {
        const DERIVATIONS: &'static [#krate::__private::Derivation<#ident>] = &[#(#each),*];
    })
}

/// The field's type, or the tuple of the fields' types.
fn columns_type(columns: &[Column<'_>]) -> TokenStream {
    if let [column] = columns {
        return column.ty.to_token_stream();
    }
    let types = columns.iter().map(|column| column.ty);
    quote!((#(#types),*))
}

fn encode_column(
    model: &TableModel<'_>,
    column: &Column<'_>,
    row: &TokenStream,
    out: &Ident,
) -> TokenStream {
    let (krate, ident, ty) = (&model.krate, column.ident, column.ty);
    // Of several, this error is at the place of the one that is no key; of one, the table's own is, and
    // is enough.
    if model.primary_key.len() > 1 {
        return quote_spanned!(at(&ty)=> <#ty as #krate::Key>::encode(&#row.#ident, #out););
    }
    quote_spanned! {at(&ty)=> {
        use #krate::__private::{KeyColumn as _, NoKeyColumn as _};
        (&#krate::__private::Column(&#row.#ident)).encode_column(#out);
    }}
}
