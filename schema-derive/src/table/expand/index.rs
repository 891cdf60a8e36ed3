//! The definition of an index: its name and parts, and the functions that make its keys.

use crate::names::type_text;
use crate::problems::at;
use crate::table::TableModel;
use crate::table::index::{IndexModel, OnDelete, Part, Reference, Source, path_text};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

pub(super) fn index_def(model: &TableModel<'_>, index: &IndexModel<'_>) -> TokenStream {
    let (krate, table) = (&model.krate, model.ident);
    let [row, sink, out] = ["row", "sink", "out"].map(|name| Ident::new(name, Span::mixed_site()));
    let name = index.name.unraw().to_string();
    let fields = index.parts.iter().map(|part| match &part.source {
        Source::Field(column) => column.name.clone(),
        Source::Computed(computed) => path_text(&computed.path),
    });
    let encode = index
        .parts
        .iter()
        .enumerate()
        .map(|(i, part)| encode_part(model, i, part, &row, &out));
    let mut keys = quote!(#krate::key::KeySink::push(#sink, |#out| { #(#encode)* }););
    // Around it, from the last part to the first, what gives several keys or none.
    for (i, part) in index.parts.iter().enumerate().rev() {
        let ty = part.ty();
        let krate = model.krate.at(ty.span());
        let value = part_value(i, part, &row);
        let item = item_name(i);
        if part.forms.each {
            keys = quote_spanned! {ty.span()=>
                <#ty as #krate::key::Each>::for_each_key(&#value, &mut |#item| { #keys });
            };
        } else if part.forms.sparse {
            keys = quote_spanned! {ty.span()=>
                if let ::core::option::Option::Some(#item) =
                    <#ty as #krate::__private::Sparse>::present(&#value)
                {
                    #keys
                }
            };
        } else if part.forms.expires {
            keys = quote_spanned! {ty.span()=>
                if let ::core::option::Option::Some(#item) =
                    <#ty as #krate::__private::Expires>::deadline(&#value)
                {
                    #keys
                }
            };
        }
    }
    // Around that, what functions of the user say. Each in a variable of its type, so that another
    // type is an error at the path.
    for (i, part) in index.parts.iter().enumerate() {
        if let Source::Computed(computed) = &part.source {
            let (path, ty) = (&computed.path, &computed.ty);
            let value = value_name(i);
            let function = Ident::new("function", Span::mixed_site());
            keys = quote_spanned! {at(path)=>
                let #function: fn(&#table) -> #ty = #path;
                let #value = #function(#row);
                #keys
            };
        }
    }
    if let Some(path) = &index.when {
        let when = Ident::new("when", Span::mixed_site());
        keys = quote_spanned! {at(path)=>
            let #when: fn(&#table) -> ::core::primitive::bool = #path;
            if #when(#row) {
                #keys
            }
        };
    }
    let mut def = quote! {
        #krate::schema::IndexDef::<#table>::new(#name, &[#(#fields),*], |#row, #sink| { #keys })
    };
    let parts = index.parts.iter().map(part_text);
    let columns = Ident::new("columns", Span::mixed_site());
    let texts = index.parts.iter().map(|part| {
        let key = part_type(model, part);
        let span = at(&part.ty());
        quote_spanned!(span=> <#key as #krate::Key>::encode_columns(#columns, #out)?;)
    });
    let shows = index.parts.iter().map(|part| {
        let key = part_type(model, part);
        quote_spanned!(at(&part.ty())=> <#key as #krate::Key>::show)
    });
    let show = match &shows.collect::<Vec<_>>()[..] {
        [show] => show.clone(),
        shows => quote!(|#columns, #out| #columns.columns(&[#(#shows),*], #out)),
    };
    def = quote! {
        #def.parts(&[#(#parts),*]).text(|#columns, #out| {
            #(#texts)*
            ::core::result::Result::Ok(())
        }).show(#show)
    };
    if let Some(path) = &index.when {
        let path = path_text(path);
        def = quote!(#def.when(#path));
    }
    if index.unique {
        def = quote!(#def.unique());
    }
    if index.parts.iter().any(|part| part.forms.each) {
        def = quote!(#def.each());
    }
    if let Some(reference) = &index.reference {
        let reference = self::reference(model, index, reference);
        def = quote!(#def.references(#reference));
    }
    def
}

/// The type an index is looked up by.
pub(super) fn index_type(model: &TableModel<'_>, index: &IndexModel<'_>) -> TokenStream {
    if let [part] = index.parts.as_slice() {
        return part_type(model, part);
    }
    let types = index.parts.iter().map(|part| part_type(model, part));
    quote!((#(#types),*))
}

/// The type of one column of an index's key.
fn part_type(model: &TableModel<'_>, part: &Part<'_>) -> TokenStream {
    let ty = part.ty();
    let krate = model.krate.at(ty.span());
    let forms = part.forms;
    let mut key = if forms.caseless {
        quote_spanned!(ty.span()=> #krate::key::Caseless)
    } else if forms.each {
        quote_spanned!(ty.span()=> <#ty as #krate::key::Each>::Item)
    } else if forms.sparse {
        quote_spanned!(ty.span()=> <#ty as #krate::__private::Sparse>::Item)
    } else if forms.expires {
        quote_spanned!(ty.span()=> ::std::time::SystemTime)
    } else {
        ty.to_token_stream()
    };
    if forms.reverse {
        key = quote_spanned!(ty.span()=> ::core::cmp::Reverse<#key>);
    }
    key
}

/// A part as it is declared.
fn part_text(part: &Part<'_>) -> String {
    let forms = part.forms;
    let mut text = match &part.source {
        Source::Field(column) => column.name.clone(),
        Source::Computed(computed) => format!(
            "with = {} -> {}",
            path_text(&computed.path),
            type_text(&computed.ty.to_token_stream())
        ),
    };
    let within = [
        (forms.caseless, "caseless"),
        (forms.each, "each"),
        (forms.sparse, "sparse"),
        (forms.expires, "expires"),
        (forms.reverse, "reverse"),
    ];
    for (is_so, form) in within {
        if is_so {
            text = format!("{form}({text})");
        }
    }
    text
}

/// What an index refers to.
fn reference(model: &TableModel<'_>, index: &IndexModel<'_>, reference: &Reference) -> TokenStream {
    let (table, target) = (model.ident, &reference.target);
    let key = index_type(model, index);
    let krate = model.krate.at(target.span());
    let on_delete = match reference.on_delete {
        OnDelete::Restrict => quote!(Restrict),
        OnDelete::Cascade => quote!(Cascade),
        OnDelete::SetNull => {
            let [row, without] =
                ["row", "without"].map(|name| Ident::new(name, Span::mixed_site()));
            let fields = index.parts.iter().filter_map(|part| match &part.source {
                Source::Field(column) if part.forms.sparse => Some(column.ident),
                _ => None,
            });
            quote!(SetNull(|#row| {
                let mut #without = <#table as ::core::clone::Clone>::clone(#row);
                #(#without.#fields = ::core::option::Option::None;)*
                #without
            }))
        }
    };
    // The keys of the two are one type, or this is an error at the path.
    quote_spanned! {at(target)=> {
        #krate::__private::refers::<#key, <#target as #krate::Table>::Key>();
        #krate::schema::Reference::new(
            <#target as #krate::Table>::NAME,
            ::core::any::TypeId::of::<#target>,
            #krate::schema::OnDelete::#on_delete,
        )
    }}
}

/// The variable with what a computed part's function returned.
fn value_name(i: usize) -> Ident {
    format_ident!("value_{}", i, span = Span::mixed_site())
}

/// The variable with an item of a collection, or with what is there.
fn item_name(i: usize) -> Ident {
    format_ident!("item_{}", i, span = Span::mixed_site())
}

/// The place that a part is read from.
pub(super) fn part_value(i: usize, part: &Part<'_>, row: &Ident) -> TokenStream {
    match &part.source {
        Source::Field(column) => {
            let ident = column.ident;
            quote!(#row.#ident)
        }
        Source::Computed(_) => value_name(i).to_token_stream(),
    }
}

/// Encodes one column of an index's key.
fn encode_part(
    model: &TableModel<'_>,
    i: usize,
    part: &Part<'_>,
    row: &Ident,
    out: &Ident,
) -> TokenStream {
    let ty = part.ty();
    let krate = model.krate.at(ty.span());
    let forms = part.forms;
    let value = if forms.each {
        let item = item_name(i);
        quote!(&#item)
    } else if forms.sparse || forms.expires {
        item_name(i).to_token_stream()
    } else {
        let value = part_value(i, part, row);
        quote!(&#value)
    };
    let encode = if forms.caseless {
        // The type is named, so that another than text is an error at the field's.
        let text = if forms.each {
            quote_spanned!(ty.span()=> <#ty as #krate::key::Each>::Form<'_>)
        } else if forms.sparse {
            quote_spanned!(ty.span()=> <#ty as #krate::__private::Sparse>::Item)
        } else {
            ty.to_token_stream()
        };
        quote_spanned!(ty.span()=>
            <#text as #krate::__private::Text>::encode_caseless(#value, #out)
        )
    } else if forms.each {
        let item = quote_spanned!(ty.span()=> <#ty as #krate::key::Each>::Item);
        quote_spanned!(ty.span()=> #krate::key::AsKey::<#item>::encode_as(#value, #out))
    } else if forms.sparse {
        let item = quote_spanned!(ty.span()=> <#ty as #krate::__private::Sparse>::Item);
        quote_spanned!(ty.span()=> <#item as #krate::Key>::encode(#value, #out))
    } else if forms.expires {
        quote_spanned!(ty.span()=>
            <::std::time::SystemTime as #krate::Key>::encode(#value, #out)
        )
    } else {
        quote_spanned!(at(&ty)=> <#ty as #krate::Key>::encode(#value, #out))
    };
    if forms.reverse {
        quote!(#krate::__private::reversed(#out, |#out| #encode);)
    } else {
        quote!(#encode;)
    }
}
