//! `#[derive(Schema)]`: a set of tables, the view of a store of them and of its changes.

use crate::krate::Krate;
use crate::names::type_text;
use crate::options::{refuse_attributes, refuse_generics};
use crate::problems::{Problems, at};
use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use std::collections::HashMap;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Fields, Ident, Type, Visibility};

/// Methods of what derefs to a view or to the changes: a table's method of that name would be hidden.
const TAKEN: [&str; 23] = [
    "after_commit",
    "attempt",
    "changes",
    "check",
    "check_rules",
    "clone",
    "commit",
    "driver_state",
    "fork",
    "guarded",
    "index",
    "into",
    "next_entry",
    "position",
    "release",
    "rollback_to",
    "savepoint",
    "set_driver_state",
    "to_owned",
    "try_into",
    "untyped",
    "validate",
    "write_image",
];

/// A field of the schema.
struct TableField<'a> {
    ident: &'a Ident,
    ty: &'a Type,
    docs: Vec<&'a Attribute>,
    ordinal: usize,
}

impl TableField<'_> {
    /// `<Service as Readable>`: what is asked of the field's type. If that is not a table, the error
    /// is the same wherever it comes from, so the compiler shows it once.
    fn readable(&self, krate: &Krate) -> TokenStream {
        let (ty, krate) = (self.ty, krate.at(self.ty.span()));
        quote_spanned!(ty.span()=> <#ty as #krate::__private::Readable>)
    }
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut problems = Problems::default();
    let krate = Krate::read_attribute(input, "schema", &mut problems);
    refuse_generics(input, "a schema", &mut problems);
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Some(fields),
            Fields::Unnamed(_) | Fields::Unit => {
                let message = "expected a struct with named fields, one for each table";
                problems.at(input.ident.span(), message);
                None
            }
        },
        Data::Enum(_) | Data::Union(_) => {
            problems.at(
                input.ident.span(),
                "expected a struct with named fields, one for each table",
            );
            None
        }
    };
    let mut tables = Vec::new();
    for field in fields.iter().flat_map(|fields| &fields.named) {
        refuse_attributes(
            &field.attrs,
            &["schema"],
            "it is for the struct",
            &mut problems,
        );
        if let Some(ident) = &field.ident {
            tables.push(TableField {
                ident,
                ty: &field.ty,
                docs: field
                    .attrs
                    .iter()
                    .filter(|a| a.path().is_ident("doc"))
                    .collect(),
                ordinal: tables.len(),
            });
        }
    }
    refuse_method_names(&mut tables, &mut problems);
    let generic = !input.generics.params.is_empty();
    let code = if generic {
        TokenStream::new()
    } else {
        expand(input, &krate, &tables)
    };
    let mut out = problems.into_tokens();
    out.extend(code);
    out
}

/// Each table needs the names `services` and `services_mut` for itself.
fn refuse_method_names(tables: &mut Vec<TableField<'_>>, problems: &mut Problems) {
    let mut methods: HashMap<String, &Ident> = HashMap::new();
    tables.retain(|table| {
        let plain = table.ident.unraw().to_string();
        if TAKEN.contains(&plain.as_str()) {
            problems.at(
                table.ident.span(),
                format!(
                    "snapshots, transactions or events have a method `{plain}` of their own: \
                     expected another name for the table"
                ),
            );
            return false;
        }
        let own = [format!("{plain}_mut"), plain];
        if let Some((method, other)) = own.iter().find_map(|m| Some((m, methods.get(m)?))) {
            problems.at(
                table.ident.span(),
                format!(
                    "the tables `{other}` and `{}` would both have a method `{method}`: expected \
                     another name",
                    table.ident
                ),
            );
            return false;
        }
        methods.extend(own.map(|method| (method, table.ident)));
        true
    });
    for (ordinal, table) in tables.iter_mut().enumerate() {
        table.ordinal = ordinal;
    }
}

/// The names that generated code is made of.
struct Names<'a> {
    krate: &'a Krate,
    schema: &'a Ident,
    visibility: &'a Visibility,
    view: Ident,
    changes: Ident,
}

fn expand(input: &DeriveInput, krate: &Krate, tables: &[TableField<'_>]) -> TokenStream {
    let schema = &input.ident;
    let plain = schema.unraw();
    let names = Names {
        krate,
        schema,
        visibility: &input.vis,
        view: format_ident!("{}View", plain, span = schema.span()),
        changes: format_ident!("{}Changes", plain, span = schema.span()),
    };
    let view = view(&names, tables);
    let changes = changes(&names, tables);
    let schema_impls = schema_impls(&names, tables);
    quote! {
        #view
        #changes
        #schema_impls
    }
}

/// `CatalogView`: the reads and writes of all tables.
fn view(names: &Names<'_>, tables: &[TableField<'_>]) -> TokenStream {
    let Names {
        krate,
        schema,
        visibility,
        view,
        ..
    } = names;
    let private = quote!(#krate::__private);
    let text = view.to_string();
    let doc = format!(
        "The tables of `{}`: what a snapshot reads, and what a write transaction reads and writes.",
        schema.unraw()
    );
    let bases = tables.iter().enumerate().map(|(i, table)| {
        let name = base_name(table.ordinal);
        let value = match i.checked_sub(1).map(|before| &tables[before]) {
            None => quote!(0),
            Some(before) => {
                let (base, readable) = (base_name(before.ordinal), before.readable(krate));
                quote!(#base + #readable::TREES)
            }
        };
        quote!(const #name: ::core::primitive::usize = #value;)
    });
    let methods = tables.iter().map(|table| view_methods(names, table));
    quote! {
        #[doc = #doc]
        #[allow(unreachable_pub)]
        #visibility struct #view(#private::RawView);

        const _: () = {
            #(#bases)*

            #[allow(dead_code, private_bounds, private_interfaces, unreachable_pub)]
            impl #view {
                #(#methods)*
            }

            #[automatically_derived]
            impl ::core::fmt::Debug for #view {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    let mut f = ::core::fmt::Formatter::debug_tuple(f, #text);
                    ::core::fmt::DebugTuple::finish(::core::fmt::DebugTuple::field(&mut f, &self.0))
                }
            }

            #[automatically_derived]
            impl #private::View for #view {
                fn from_raw(raw: #private::RawView) -> Self {
                    Self(raw)
                }
                fn raw(&self) -> &#private::RawView {
                    &self.0
                }
                fn raw_mut(&mut self) -> &mut #private::RawView {
                    &mut self.0
                }
                fn into_raw(self) -> #private::RawView {
                    self.0
                }
            }
        };
    }
}

/// `CatalogChanges`: the changes of all tables.
fn changes(names: &Names<'_>, tables: &[TableField<'_>]) -> TokenStream {
    let Names {
        krate,
        schema,
        visibility,
        changes,
        ..
    } = names;
    let private = quote!(#krate::__private);
    let text = changes.to_string();
    let doc = format!(
        "The changes of one commit to the tables of `{}`.",
        schema.unraw()
    );
    let methods = tables.iter().map(|table| changes_method(names, table));
    let counts = tables.iter().map(|table| {
        let (text, readable) = (table.ident.unraw().to_string(), table.readable(krate));
        let ordinal = Literal::usize_unsuffixed(table.ordinal);
        quote! {
            let count = #readable::changed(&self.0, #ordinal);
            if count != 0 {
                ::core::fmt::DebugStruct::field(&mut f, #text, &count);
            }
        }
    });
    quote! {
        #[doc = #doc]
        #[allow(unreachable_pub)]
        #visibility struct #changes(#private::RawChanges);

        const _: () = {
            #[allow(dead_code, private_bounds, private_interfaces, unreachable_pub)]
            impl #changes {
                #(#methods)*
            }

            #[automatically_derived]
            impl ::core::clone::Clone for #changes {
                fn clone(&self) -> Self {
                    Self(<#private::RawChanges as ::core::clone::Clone>::clone(&self.0))
                }
            }

            #[automatically_derived]
            impl ::core::fmt::Debug for #changes {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    // How many there are of each table: records need not be `Debug`.
                    let mut f = ::core::fmt::Formatter::debug_struct(f, #text);
                    #(#counts)*
                    ::core::fmt::DebugStruct::finish(&mut f)
                }
            }

            #[automatically_derived]
            impl ::core::convert::From<#private::RawChanges> for #changes {
                fn from(raw: #private::RawChanges) -> Self {
                    Self(raw)
                }
            }
        };
    }
}

/// `impl Schema`, and the tie to the view and the changes.
fn schema_impls(names: &Names<'_>, tables: &[TableField<'_>]) -> TokenStream {
    let Names {
        krate,
        schema,
        view,
        changes,
        ..
    } = names;
    let private = quote!(#krate::__private);
    let readables: Vec<_> = tables.iter().map(|table| table.readable(krate)).collect();
    let distinct = tables.iter().map(|table| distinct_name(names, table));
    let known = tables
        .iter()
        .map(|table| known_references(names, table, &readables));
    let fields = tables.iter().map(|table| table.ident);
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #krate::Schema for #schema {
                const TABLES: &'static [&'static ::core::primitive::str] =
                    &[#(#readables::TABLE),*];
                type View = #view;
                type Changes = #changes;

                fn tables() -> ::std::vec::Vec<::std::boxed::Box<dyn #private::TableOps>> {
                    ::std::vec![#(#readables::ops()),*]
                }
            }

            #(#distinct)*
            #(#known)*

            // The struct is a declaration: nobody builds it or reads its fields.
            #[allow(dead_code)]
            fn declared(schema: &#schema) {
                #(let _ = &schema.#fields;)*
            }
        };
    }
}

/// The constant that is the number of trees before a table's own.
fn base_name(ordinal: usize) -> Ident {
    format_ident!("BASE_{}", ordinal, span = Span::mixed_site())
}

fn view_methods(names: &Names<'_>, table: &TableField<'_>) -> TokenStream {
    let Names {
        krate, visibility, ..
    } = names;
    let TableField {
        ident,
        ty,
        docs,
        ordinal,
    } = table;
    let base = base_name(*ordinal);
    let ordinal = Literal::usize_unsuffixed(*ordinal);
    let mutable = format_ident!("{}_mut", ident.unraw(), span = ident.span());
    let text = type_text(&ty.to_token_stream());
    let plain = ident.unraw();
    let read_doc = format!("Reads the table `{plain}`, whose records are `{text}`s.");
    let write_doc = format!(
        "Writes the table `{plain}`, whose records are `{text}`s; only reachable in a write \
         transaction. If the table is derived, its functions keep it, and what this gives has no methods: \
         write what it is derived from."
    );
    let gap = (!docs.is_empty()).then(|| quote!(#[doc = ""]));
    let readable = table.readable(krate);
    quote_spanned! {ty.span()=>
        #(#docs)*
        #gap
        #[doc = #read_doc]
        #[must_use]
        #visibility fn #ident(&self) -> #readable::Reader<'_> {
            #readable::read(&self.0, #ordinal, #base)
        }

        #(#docs)*
        #gap
        #[doc = #write_doc]
        #[must_use]
        #visibility fn #mutable(&mut self) -> #readable::Writer<'_> {
            #readable::write(&mut self.0, #ordinal, #base)
        }
    }
}

fn changes_method(names: &Names<'_>, table: &TableField<'_>) -> TokenStream {
    let Names {
        krate, visibility, ..
    } = names;
    let TableField {
        ident, ty, ordinal, ..
    } = table;
    let ordinal = Literal::usize_unsuffixed(*ordinal);
    let text = type_text(&ty.to_token_stream());
    let doc = format!(
        "The changes of the table `{}`, whose records are `{text}`s.",
        ident.unraw()
    );
    let readable = table.readable(krate);
    let krate = krate.at(ty.span());
    quote_spanned! {ty.span()=>
        #[doc = #doc]
        #visibility fn #ident(&self) -> #krate::Changes<'_, #ty> {
            #readable::changes(&self.0, #ordinal)
        }
    }
}

/// Fails to compile, at the field's type, if a table before it has the same name.
fn distinct_name(names: &Names<'_>, table: &TableField<'_>) -> TokenStream {
    let Names { krate, schema, .. } = names;
    let ordinal = Literal::usize_unsuffixed(table.ordinal);
    let message = format!(
        "the table of `{}` has the name of one before it in `{schema}`: give one of them \
         `#[table(name = \"..\")]`",
        table.ident
    );
    quote_spanned! {at(&table.ty)=>
        const _: () = ::core::assert!(
            #krate::__private::is_first(<#schema as #krate::Schema>::TABLES, #ordinal),
            #message
        );
    }
}

/// Fails to compile, at the field's type, if the table refers to one that the schema has not, or, not
/// being local itself, to a local one.
fn known_references(
    names: &Names<'_>,
    table: &TableField<'_>,
    readables: &[TokenStream],
) -> TokenStream {
    let Names { krate, schema, .. } = names;
    let refers = format!("the table of `{}` has an index `", table.ident);
    let unknown = format!("`, which `{schema}` has not: add it");
    let own = format!(
        "the table of `{}` is derived from a local one: what its function makes of that, or refuses, \
         would differ from replica to replica",
        table.ident
    );
    let source = format!(
        "the table of `{}` is derived from one which `{schema}` has not: add each that its \
         `derived_from` names",
        table.ident
    );
    let chain = format!(
        "the table of `{}` is derived from a derived one: expected the sources of that",
        table.ident
    );
    let readable = table.readable(krate);
    quote_spanned! {at(&table.ty)=>
        const _: () = ::core::assert!(
            #krate::__private::knows_sources(
                #readable::DERIVATIONS,
                <#schema as #krate::Schema>::TABLES
            ),
            #source
        );
        const _: () = ::core::assert!(
            #krate::__private::derives_from_no(
                &[#(#readables::DERIVED),*],
                #readable::DERIVATIONS,
                <#schema as #krate::Schema>::TABLES
            ),
            #chain
        );
        const _: () = ::core::assert!(
            #krate::__private::derives_from_no(
                &[#(#readables::OWN),*],
                #readable::DERIVATIONS,
                <#schema as #krate::Schema>::TABLES
            ),
            #own
        );
        const _: () = {
            const PROBLEM: #krate::__private::Problem = #krate::__private::reference_to(
                &[#(#readables::DERIVED),*],
                #readable::REFERRING,
                <#schema as #krate::Schema>::TABLES,
                [
                    #refers,
                    "` that refers to the table `",
                    "`, which is derived: that is written by its function alone",
                ],
            );
            ::core::assert!(PROBLEM.is_none(), "{}", PROBLEM.text());
        };
        const _: () = {
            const PROBLEM: #krate::__private::Problem = #krate::__private::unknown_reference(
                #readable::REFERRING,
                <#schema as #krate::Schema>::TABLES,
                [#refers, "` that refers to a table `", #unknown],
            );
            ::core::assert!(PROBLEM.is_none(), "{}", PROBLEM.text());
        };
        const _: () = {
            const PROBLEM: #krate::__private::Problem = #krate::__private::reference_to(
                &[#(#readables::OWN),*],
                #readable::REFERRING,
                <#schema as #krate::Schema>::TABLES,
                [
                    #refers,
                    "` that refers to the table `",
                    "`, which is local, so that replicas differ in it: expected one that is not, or \
                     `#[table(local)]` here too",
                ],
            );
            ::core::assert!(#readable::OWN || PROBLEM.is_none(), "{}", PROBLEM.text());
        };
    }
}
