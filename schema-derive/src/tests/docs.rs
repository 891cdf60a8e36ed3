//! What `cargo doc` of a program says of what the macros generate for it.

use super::expand_all;
use quote::quote;
use std::collections::BTreeMap;
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, Stmt};

/// The text of an item's docs.
fn text(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(text) = &literal.lit
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join("\n")
}

/// The docs of types, by name, and of their own methods, by type and name.
fn gather(items: &[Item], docs: &mut BTreeMap<String, String>) {
    for item in items {
        match item {
            Item::Struct(item) => {
                docs.insert(item.ident.to_string(), text(&item.attrs));
            }
            Item::Const(item) => {
                let Expr::Block(block) = &*item.expr else {
                    continue;
                };
                let items = block.block.stmts.iter().filter_map(|stmt| match stmt {
                    Stmt::Item(item) => Some(item.clone()),
                    _ => None,
                });
                gather(&items.collect::<Vec<_>>(), docs);
            }
            Item::Impl(item) if item.trait_.is_none() => {
                let syn::Type::Path(ty) = &*item.self_ty else {
                    continue;
                };
                let ty = &ty.path.segments.last().expect("a name").ident;
                for method in &item.items {
                    if let ImplItem::Fn(method) = method {
                        let name = format!("{ty}::{}", method.sig.ident);
                        docs.insert(name, text(&method.attrs));
                    }
                }
            }
            _ => {}
        }
    }
}

fn docs(which: usize, input: proc_macro2::TokenStream) -> BTreeMap<String, String> {
    let expanded = expand_all(input).into_iter().nth(which).expect("a macro");
    let file = syn::parse2::<syn::File>(expanded).expect("items");
    let mut docs = BTreeMap::new();
    gather(&file.items, &mut docs);
    docs
}

fn assert_docs(docs: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    let names: Vec<_> = docs.keys().map(String::as_str).collect();
    let mut all: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    all.sort_unstable();
    assert_eq!(names, all);
    for (name, text) in expected {
        assert_eq!(docs[*name], *text, "{name}");
    }
}

#[test]
fn of_look_ups() {
    let docs = docs(
        0,
        quote! {
            #[table(name = "services")]
            #[index(unique, by_name_port(reverse(caseless(name)), port))]
            #[index(when = Self::is_low, by_tag(each(tags), with = domain -> String))]
            pub struct Service {
                #[primary_key]
                id: String,
                name: String,
                #[index(unique)]
                port: u16,
                tags: Vec<String>,
            }
        },
    );
    assert_docs(
        &docs,
        &[
            (
                "ServiceReader",
                "Reads of the table `services`: those of every table, and a look-up for each index of `Service`.",
            ),
            (
                "ServiceReader::by_name_port",
                "The one record with this key in the unique index `name_port`.\n\nThe index is over `name` in \
                 falling order, `port`; the key is a tuple of text, in upper or lower case within `Reverse`, a \
                 `u16`.",
            ),
            (
                "ServiceReader::name_port_index",
                "The unique index `name_port` over `name` in falling order, `port`.\n\nThe key is a tuple of text, \
                 in upper or lower case within `Reverse`, a `u16`.",
            ),
            (
                "ServiceReader::by_tag",
                "The records with this key in the index `tag`, by primary key.\n\nThe index is over the items of \
                 `tags`, what `domain` returns; the key is a tuple of an item of `Vec<String>`, a `String`. Only \
                 records for which `Self::is_low` is true are in it.",
            ),
            (
                "ServiceReader::tag_index",
                "The index `tag` over the items of `tags`, what `domain` returns.\n\nThe key is a tuple of an item \
                 of `Vec<String>`, a `String`. Only records for which `Self::is_low` is true are in it.",
            ),
            (
                "ServiceReader::by_port",
                "The one record with this key in the unique index `port`.\n\nThe index is over `port`; the key is \
                 a `u16`.",
            ),
            (
                "ServiceReader::port_index",
                "The unique index `port` over `port`.\n\nThe key is a `u16`.",
            ),
        ],
    );
}

#[test]
fn of_references() {
    let docs = docs(
        0,
        quote! {
            #[table(name = "services")]
            pub struct Service {
                #[primary_key]
                id: String,
                #[index(references = Node)]
                node: String,
                #[index(sparse, references = infra::Node, set_null)]
                backup: Option<String>,
                #[index(each, references = Self, cascade)]
                tags: Vec<String>,
            }
        },
    );
    assert_docs(
        &docs,
        &[
            (
                "ServiceReader",
                "Reads of the table `services`: those of every table, and a look-up for each index of `Service`.",
            ),
            (
                "ServiceReader::by_node",
                "The records with this key in the index `node`, by primary key.\n\nThe index is over `node`; the \
                 key is a `String`. It refers to a `Node`, which cannot be deleted while it is referred to.",
            ),
            (
                "ServiceReader::node_index",
                "The index `node` over `node`.\n\nThe key is a `String`. It refers to a `Node`, which cannot be \
                 deleted while it is referred to.",
            ),
            (
                "ServiceReader::by_backup",
                "The records with this key in the index `backup`, by primary key.\n\nThe index is over `backup` \
                 where it is present; the key is what an `Option<String>` holds. It refers to a `infra::Node`, and \
                 becomes `None` when that is deleted.",
            ),
            (
                "ServiceReader::backup_index",
                "The index `backup` over `backup` where it is present.\n\nThe key is what an `Option<String>` \
                 holds. It refers to a `infra::Node`, and becomes `None` when that is deleted.",
            ),
            (
                "ServiceReader::by_tags",
                "The records with this key in the index `tags`, by primary key.\n\nThe index is over the items of \
                 `tags`; the key is an item of `Vec<String>`. It refers to a `Service`, and the record is \
                 deleted with that.",
            ),
            (
                "ServiceReader::tags_index",
                "The index `tags` over the items of `tags`.\n\nThe key is an item of `Vec<String>`. It refers to a \
                 `Service`, and the record is deleted with that.",
            ),
        ],
    );
}

#[test]
fn of_expiry() {
    let docs = docs(
        0,
        quote! {
            #[table(name = "services")]
            pub struct Service {
                #[primary_key]
                id: String,
                #[expires]
                until: Option<SystemTime>,
            }
        },
    );
    assert_docs(
        &docs,
        &[
            (
                "ServiceReader",
                "Reads of the table `services`: those of every table, and a look-up for each index of `Service`.",
            ),
            (
                "ServiceReader::by_until",
                "The records with this key in the index `until`, by primary key.\n\nThe index is over `until`, the \
                 time that a record is due at; the key is a `SystemTime`.",
            ),
            (
                "ServiceReader::until_index",
                "The index `until` over `until`, the time that a record is due at.\n\nThe key is a `SystemTime`.",
            ),
            (
                "ServiceReader::due",
                "The records whose `until` is at or before `now`, the earliest first, then by primary key.\n\nIn a \
                 command `now` is the log's clock, `highwater::fsm::Context::time`: what is due is then the same \
                 on every replica. Where there may be many, `take` as many as one entry should do.",
            ),
            (
                "ServiceReader::next_due",
                "The first moment of the log's clock at which a record is due: the earliest `until`, rounded up to \
                 the whole milliseconds that the clock counts. None if there is none.\n\nA watch of it fires when \
                 another is the earliest, not when the time comes.",
            ),
        ],
    );
}

#[test]
fn of_the_tables_of_a_schema() {
    let docs = docs(
        1,
        quote! {
            pub struct Catalog {
                /// What runs.
                services: Service,
                r#type: kinds::Kind,
            }
        },
    );
    assert_docs(
        &docs,
        &[
            (
                "CatalogView",
                "The tables of `Catalog`: what a snapshot reads, and what a write transaction reads and writes.",
            ),
            (
                "CatalogView::services",
                "What runs.\n\nReads the table `services`, whose records are `Service`s.",
            ),
            (
                "CatalogView::services_mut",
                "What runs.\n\nWrites the table `services`, whose records are `Service`s; only reachable in a write \
                 transaction. If the table is derived, its functions keep it, and what this gives has \
                 no methods: write what it is derived from.",
            ),
            (
                "CatalogView::r#type",
                "Reads the table `type`, whose records are `kinds::Kind`s.",
            ),
            (
                "CatalogView::type_mut",
                "Writes the table `type`, whose records are `kinds::Kind`s; only reachable in a write transaction. If the table is derived, its functions keep it, and what this gives has \
                 no methods: write what it is derived from.",
            ),
            (
                "CatalogChanges",
                "The changes of one commit to the tables of `Catalog`.",
            ),
            (
                "CatalogChanges::services",
                "The changes of the table `services`, whose records are `Service`s.",
            ),
            (
                "CatalogChanges::r#type",
                "The changes of the table `type`, whose records are `kinds::Kind`s.",
            ),
        ],
    );
}
