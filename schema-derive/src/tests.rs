//! What can be tested of the macros without a compiler: that they never panic, what they name, and what the
//! docs of what they generate say.

mod docs;

use crate::names::{Rule, snake_case, type_text};
use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::DeriveInput;

fn expand_all(input: TokenStream) -> [TokenStream; 3] {
    let input: DeriveInput = syn::parse2(input).expect("an item");
    [
        crate::table::derive(&input),
        crate::schema::derive(&input),
        crate::key::derive(&input),
    ]
}

fn has_ident(tokens: TokenStream, wanted: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == wanted,
        TokenTree::Group(group) => has_ident(group.stream(), wanted),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[test]
fn another_path_of_the_crate_is_the_only_one() {
    let plain = quote! {
        #[index(by_name_port(reverse(name), sparse(port), caseless(name)))]
        #[index(when = odd, by_x(each(with = tags -> Vec<u8>)))]
        struct Node {
            #[primary_key] name: String,
            #[index(unique)] port: u16,
            #[index(each)] tags: Vec<String>,
        }
    };
    for expanded in expand_all(plain.clone()) {
        assert!(has_ident(expanded, "highwater"));
    }
    let renamed = quote! {
        #[table(crate = vendored::db)]
        #[schema(crate = vendored::db)]
        #[key(crate = vendored::db)]
        #plain
    };
    for expanded in expand_all(renamed) {
        assert!(!has_ident(expanded.clone(), "highwater"), "{expanded}");
        assert!(has_ident(expanded, "vendored"));
    }
}

#[test]
fn any_attribute_is_an_error_at_most() {
    let values = [
        quote!(),
        quote!(()),
        quote!((,)),
        quote!((= 1)),
        quote!((unique)),
        quote!((unique, each, name = "type")),
        quote!((unique(x), each(y), name(z))),
        quote!((name)),
        quote!((name =)),
        quote!((name = "")),
        quote!((name = "_")),
        quote!((name = "r#type")),
        quote!((name = "crate")),
        quote!((name = "a b")),
        quote!((name = 1)),
        quote!((by_)),
        quote!((by_())),
        quote!((by_x())),
        quote!((by_x(a))),
        quote!((by_x(a, a))),
        quote!((by_x(a, b,))),
        quote!((by_x(a, self))),
        quote!((by_x(a, "b"), by_y)),
        quote!((by_2(a, b))),
        quote!((by_self(a, b))),
        quote!((by_x(each(a), reverse(sparse(b))))),
        quote!((by_x(each(reverse(caseless(a)))))),
        quote!((by_x(each()))),
        quote!((by_x(each(each(a)), b))),
        quote!((by_x(each(a, b)))),
        quote!((by_x(each(sparse(a)), b))),
        quote!((by_x(other(a), b))),
        quote!((by_x(with = a::b -> Vec<u8>))),
        quote!((by_x(with = a -> ))),
        quote!((by_x(with = a))),
        quote!((by_x(with = ))),
        quote!((by_x(with, a))),
        quote!((when = a::b, unique)),
        quote!((when = Self::a, by_x(a, b))),
        quote!((when, by_x(a, b))),
        quote!((when = 3, sparse, each)),
        quote!((caseless, reverse, sparse)),
        quote!((with = a -> b)),
        quote!((crate)),
        quote!((crate =)),
        quote!((crate = )),
        quote!((crate = a::<b>)),
        quote!((crate = "a")),
        quote!((rename = "a")),
        quote!((rename(serialize = "a", deserialize = "b"))),
        quote!((rename_all = "no such rule")),
        quote!((rename_all(serialize = "UPPERCASE"))),
        quote!((skip, flatten, transparent, tag = "t")),
        quote!((skip_serializing, skip_deserializing)),
        quote!(= "text"),
    ];
    for name in ["table", "schema", "key", "primary_key", "index", "serde"] {
        let name = syn::Ident::new(name, proc_macro2::Span::call_site());
        for value in &values {
            for item in [
                quote!(#[#name #value] struct S { #[primary_key] a: u8, b: u8 }),
                quote!(struct S { #[primary_key] #[#name #value] a: u8, #[#name #value] r#type: u8 }),
                quote!(#[#name #value] struct S(#[#name #value] u8, u8);),
                quote!(#[#name #value] enum E { #[#name #value] A(#[#name #value] u8), B = 3 }),
                quote!(#[#name #value] struct S<'a, T, const N: usize> { #[#name #value] a: &'a [T; N] }),
                quote!(#[#name #value] union U { #[#name #value] a: u8 }),
                quote!(#[#name #value] struct S {}),
            ] {
                for expanded in expand_all(item) {
                    syn::parse2::<syn::File>(expanded).expect("items");
                }
            }
        }
    }
}

#[test]
fn an_ordinal_has_16_bits() {
    let variants = (0..=1 << 16).map(|i| quote::format_ident!("V{i}"));
    let input = syn::parse2(quote!(enum Number { #(#variants),* })).expect("an enum");
    let expanded = crate::key::derive(&input).to_string();
    assert!(expanded.contains("expected at most 65536 variants"));
}

#[test]
fn snake_case_of_struct_names() {
    let cases = [
        ("Service", "service"),
        ("ServiceCheck", "service_check"),
        ("HTTPRoute", "http_route"),
        ("RouteHTTP", "route_http"),
        ("V2", "v2"),
        ("ACL", "acl"),
        ("Node_Name", "node_name"),
        ("already_snake", "already_snake"),
        ("ÄrgerÜber", "ärger_über"),
        ("", ""),
    ];
    for (name, expected) in cases {
        assert_eq!(snake_case(name), expected);
    }
}

#[test]
fn field_names_need_not_be_regular() {
    for field in ["", "_", "__", "_a", "a__b_", "ä_b", "A_b"] {
        for rule in [
            Rule::Pascal,
            Rule::Camel,
            Rule::Kebab,
            Rule::ScreamingKebab,
            Rule::Upper,
        ] {
            let _ = rule.apply(field);
        }
    }
    assert_eq!(Rule::Camel.apply("_a__bc_d"), "aBcD");
    assert_eq!(Rule::Pascal.apply("_a__bc_d"), "ABcD");
}

#[test]
fn types_are_spaced_as_written() {
    let text = type_text(&quote!((
        Option<std::net::IpAddr>,
        BTreeSet<String>,
        [u8; 4]
    )));
    assert_eq!(
        text,
        "(Option<std::net::IpAddr>, BTreeSet<String>, [u8; 4])"
    );
}
