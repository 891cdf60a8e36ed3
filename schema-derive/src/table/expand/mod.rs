//! The code that `#[derive(Table)]` generates.

use super::index::{IndexModel, OnDelete, Part, Reference, Source, path_text};
use super::{Column, TableModel};
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
            #krate::schema::CheckDef { name: #name, holds: #check }
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
                const INDEXES: &'static [#krate::schema::IndexDef<#ident>] = &[#(#indexes),*];
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

/// The type an index is looked up by.
fn index_type(model: &TableModel<'_>, index: &IndexModel<'_>) -> TokenStream {
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

fn index_def(model: &TableModel<'_>, index: &IndexModel<'_>) -> TokenStream {
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
fn part_value(i: usize, part: &Part<'_>, row: &Ident) -> TokenStream {
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
    let (by_doc, index_doc) = docs(index);
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

/// What the docs of an index's two methods say.
fn docs(index: &IndexModel<'_>) -> (String, String) {
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
            OnDelete::Cascade => "and the record is deleted with the one it refers to",
            OnDelete::SetNull => "and is taken away when that is deleted",
        };
        format!(
            " It refers to a `{}`, {then}.",
            path_text(&reference.target)
        )
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
