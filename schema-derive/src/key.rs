//! `#[derive(Key)]`: structs as their fields, enums as the variant's ordinal and its fields.

use crate::krate::Krate;
use crate::options::{refuse_attributes, refuse_generics};
use crate::problems::{Problems, at};
use proc_macro2::{Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DataEnum, DeriveInput, Fields, Ident, Member};

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut problems = Problems::default();
    let krate = Krate::read_attribute(input, "key", &mut problems);
    refuse_generics(input, "a key", &mut problems);
    if !input.generics.params.is_empty() {
        return problems.into_tokens();
    }
    let out = Ident::new("out", Span::mixed_site());
    let (encode, order) = match &input.data {
        Data::Struct(data) => {
            if data.fields.is_empty() {
                problems.at(
                    input.ident.span(),
                    "expected at least one field: a key has a content",
                );
            }
            let arm = arm(&quote!(Self), &data.fields, &krate, &out, &mut problems);
            (quote!(match self { #arm }), TokenStream::new())
        }
        Data::Enum(data) => (
            encode_enum(input, data, &krate, &out, &mut problems),
            check_discriminants(input, data, &mut problems),
        ),
        Data::Union(data) => {
            problems.at(data.union_token.span, "expected a struct or an enum");
            (TokenStream::new(), TokenStream::new())
        }
    };
    let body = if problems.is_empty() {
        encode
    } else {
        // Not for running: it keeps the uses of the type from failing too.
        quote!(::core::unreachable!())
    };
    let columns = problems
        .is_empty()
        .then(|| encode_columns(input, &krate, &out));
    let show = problems.is_empty().then(|| show(input, &krate, &out));
    let problems = problems.into_tokens();
    let name = &input.ident;
    let newtype = newtype(input, &krate);
    quote! {
        #problems
        const _: () = {
            #[automatically_derived]
            impl #krate::Key for #name {
                fn encode(&self, #out: &mut #krate::key::KeyBuf) {
                    #body
                }
                #columns
                #show
            }
            #[automatically_derived]
            impl #krate::key::AsKey<#name> for #name {
                fn encode_as(&self, #out: &mut #krate::key::KeyBuf) {
                    <#name as #krate::Key>::encode(self, #out);
                }
            }
            #newtype
            #order
        };
    }
}

/// How texts are encoded as such a key: for a struct, those of its fields; for an enum without fields,
/// the variant's name. What serde is told to write otherwise has no text here.
fn encode_columns(input: &DeriveInput, krate: &Krate, out: &Ident) -> Option<TokenStream> {
    let columns = Ident::new("columns", Span::mixed_site());
    let is_serde = |attributes: &[Attribute]| {
        attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("serde"))
    };
    let body = match &input.data {
        Data::Struct(data) => {
            let types = data.fields.iter().map(|field| {
                let ty = &field.ty;
                quote_spanned!(at(ty)=> <#ty as #krate::Key>::encode_columns(#columns, #out)?;)
            });
            quote!(#(#types)* ::core::result::Result::Ok(()))
        }
        Data::Enum(data)
            if !is_serde(&input.attrs)
                && data
                    .variants
                    .iter()
                    .all(|variant| variant.fields.is_empty() && !is_serde(&variant.attrs)) =>
        {
            let names = data.variants.iter().map(|variant| &variant.ident);
            let texts = names.clone().map(|name| name.unraw().to_string());
            quote! {
                let key = match #krate::__private::TextColumns::whole(#columns)? {
                    #(#texts => Self::#names,)*
                    _ => return ::core::result::Result::Err(#krate::__private::Unread::Malformed),
                };
                <Self as #krate::Key>::encode(&key, #out);
                ::core::result::Result::Ok(())
            }
        }
        Data::Enum(_) | Data::Union(_) => return None,
    };
    Some(quote! {
        fn encode_columns(
            #columns: &mut #krate::__private::TextColumns<'_>,
            #out: &mut #krate::key::KeyBuf,
        ) -> ::core::result::Result<(), #krate::__private::Unread> {
            #body
        }
    })
}

/// How such a key is shown: a newtype as what it wraps, other structs as a tuple of their fields, an enum
/// by its variants' names.
fn show(input: &DeriveInput, krate: &Krate, out: &Ident) -> TokenStream {
    let encoded = Ident::new("encoded", Span::mixed_site());
    let columns = |fields: &Fields| {
        let shows = fields.iter().map(|field| {
            let ty = &field.ty;
            quote_spanned!(at(ty)=> <#ty as #krate::Key>::show)
        });
        quote!(#krate::__private::Encoded::columns(#encoded, &[#(#shows),*], #out))
    };
    let body = match &input.data {
        Data::Struct(data) => match data.fields.iter().collect::<Vec<_>>()[..] {
            [field] => {
                let ty = &field.ty;
                quote_spanned!(at(ty)=> <#ty as #krate::Key>::show(#encoded, #out))
            }
            _ => columns(&data.fields),
        },
        Data::Enum(data) => {
            let arms = data.variants.iter().enumerate().map(|(i, variant)| {
                let ordinal = Literal::usize_unsuffixed(i);
                let name = variant.ident.unraw().to_string();
                let fields = if variant.fields.is_empty() {
                    quote!(::core::option::Option::Some(()))
                } else {
                    columns(&variant.fields)
                };
                quote! {
                    #ordinal => {
                        ::std::string::String::push_str(#out, #name);
                        #fields
                    }
                }
            });
            quote! {
                match #krate::__private::Encoded::ordinal(#encoded)? {
                    #(#arms)*
                    _ => ::core::option::Option::None,
                }
            }
        }
        Data::Union(_) => quote!(::core::option::Option::None),
    };
    quote! {
        fn show(
            #encoded: &mut #krate::__private::Encoded<'_>,
            #out: &mut ::std::string::String,
        ) -> ::core::option::Option<()> {
            #body
        }
    }
}

/// A struct with one field is encoded as that field, and so can be looked up as it.
fn newtype(input: &DeriveInput, krate: &Krate) -> Option<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return None;
    };
    let mut fields = data.fields.iter();
    let (Some(inner), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let (name, ty) = (&input.ident, &inner.ty);
    Some(quote! {
        #[automatically_derived]
        impl #krate::key::NewtypeKey for #name {
            type Inner = #ty;
        }
    })
}

/// `Name { 0: a, 1: b } => { encode a; encode b }`, the same for every kind of fields.
fn arm(
    name: &TokenStream,
    fields: &Fields,
    krate: &Krate,
    out: &Ident,
    problems: &mut Problems,
) -> TokenStream {
    let mut members = Vec::new();
    let mut bindings = Vec::new();
    let mut calls = Vec::new();
    for (i, (field, member)) in fields.iter().zip(fields.members()).enumerate() {
        refuse_attributes(
            &field.attrs,
            &["key"],
            "it is for the struct or enum",
            problems,
        );
        let binding = format_ident!("field_{}", i, span = Span::mixed_site());
        let ty = &field.ty;
        calls.push(quote_spanned!(at(ty)=> <#ty as #krate::Key>::encode(#binding, #out);));
        members.push(match member {
            Member::Named(name) => quote!(#name),
            Member::Unnamed(index) => quote!(#index),
        });
        bindings.push(binding);
    }
    quote!(#name { #(#members: #bindings),* } => { #(#calls)* })
}

fn encode_enum(
    input: &DeriveInput,
    data: &DataEnum,
    krate: &Krate,
    out: &Ident,
    problems: &mut Problems,
) -> TokenStream {
    let count = data.variants.len();
    if count == 0 {
        problems.at(
            input.ident.span(),
            "expected at least one variant: a key has a value",
        );
    }
    if count > 1 << 16 {
        problems.at(input.ident.span(), "expected at most 65536 variants");
    }
    let names = data.variants.iter().map(|variant| &variant.ident);
    let ordinals = (0..count).map(Literal::usize_unsuffixed);
    let ordinal = quote! {
        let ordinal: ::core::primitive::u16 = match self {
            #(Self::#names { .. } => #ordinals,)*
        };
        <::core::primitive::u16 as #krate::Key>::encode(&ordinal, #out);
    };
    let mut arms = TokenStream::new();
    for variant in &data.variants {
        refuse_attributes(
            &variant.attrs,
            &["key"],
            "it is for the struct or enum",
            problems,
        );
        let name = &variant.ident;
        arms.extend(arm(
            &quote!(Self::#name),
            &variant.fields,
            krate,
            out,
            problems,
        ));
    }
    if data
        .variants
        .iter()
        .all(|variant| variant.fields.is_empty())
    {
        return ordinal;
    }
    quote!(#ordinal match self { #arms })
}

/// The derived `Ord` goes by discriminant: where some are explicit, they must rise as declared.
fn check_discriminants(
    input: &DeriveInput,
    data: &DataEnum,
    problems: &mut Problems,
) -> TokenStream {
    let Some(explicit) = data
        .variants
        .iter()
        .find_map(|variant| variant.discriminant.as_ref())
    else {
        return TokenStream::new();
    };
    if data
        .variants
        .iter()
        .any(|variant| !variant.fields.is_empty())
    {
        problems.push(syn::Error::new_spanned(
            &explicit.1,
            "expected no discriminant: the variants of a key with fields are in declared order",
        ));
        return TokenStream::new();
    }
    let name = &input.ident;
    let checks = data.variants.iter().zip(data.variants.iter().skip(1)).map(|(before, after)| {
        let span = at(after);
        let (before, after) = (&before.ident, &after.ident);
        let message = format!(
            "variants of a key are ordered as declared: `{after}` must come before `{before}`, as \
             its discriminant does"
        );
        quote_spanned! {span=>
            const _: () = ::core::assert!(
                (#name::#before as ::core::primitive::i128) < (#name::#after as ::core::primitive::i128),
                #message,
            );
        }
    });
    quote!(#(#checks)*)
}
