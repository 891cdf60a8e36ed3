//! `#[index(..)]`: the secondary indexes of a table, as declared on its fields and on itself.

use super::Column;
use crate::options::{no_value, read_options, repeated_option, text_value, unknown_option};
use crate::problems::Problems;
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, Ident, Path, Token, Type, token};

const STRUCT_INDEX: &str = "`by_NAME(part, ..)` and, beside it, `unique` if a key has at most one \
                            record, `when = path` for some records only, or `references = Table`";
const FIELD_INDEX: &str = "`unique`, `each`, `sparse`, `caseless`, `reverse`, `when = path`, \
                           `references = Table` or `name = \"..\"`";
const PART: &str = "a field's name, `each(part)`, `sparse(part)`, `caseless(part)`, \
                    `reverse(part)` or `with = path -> Type`";

/// A secondary index as declared.
pub(super) struct IndexModel<'a> {
    /// Part of the names of its methods, and where it is declared.
    pub(super) name: Ident,
    pub(super) parts: Vec<Part<'a>>,
    pub(super) unique: bool,
    /// The function that says which records are in it.
    pub(super) when: Option<Path>,
    pub(super) reference: Option<Reference>,
}

/// That the keys of an index are primary keys of another table.
#[derive(Clone)]
pub(super) struct Reference {
    /// The record type of the other table.
    pub(super) target: Path,
    pub(super) on_delete: OnDelete,
}

/// What becomes of records that refer to one that is deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnDelete {
    Restrict,
    Cascade,
    SetNull,
}

/// A reference while its options are read.
#[derive(Default)]
struct ReferenceOptions {
    target: Option<Path>,
    on_delete: Option<(OnDelete, Ident)>,
}

impl ReferenceOptions {
    /// Reads the option that `key` names; none if it is no option of a reference.
    fn read(&mut self, key: &Ident, value: ParseStream<'_>) -> Option<syn::Result<()>> {
        let on_delete = match key.to_string().as_str() {
            "references" => {
                let example = "expected the record type referred to, as in `references = Node`";
                return Some(path_value(key, value, example).and_then(|path| {
                    match self.target.replace(path) {
                        None => Ok(()),
                        Some(_) => Err(repeated_option(key, "index")),
                    }
                }));
            }
            "restrict" => OnDelete::Restrict,
            "cascade" => OnDelete::Cascade,
            "set_null" => OnDelete::SetNull,
            _ => return None,
        };
        Some(no_value(key, value).and_then(|()| {
            match self.on_delete.replace((on_delete, key.clone())) {
                None => Ok(()),
                Some((_, other)) => Err(syn::Error::new(
                    key.span(),
                    format!("expected one of `restrict`, `cascade` and `set_null`: there is `{other}` already"),
                )),
            }
        }))
    }

    /// The reference, if there is one; `optional`: a part of the index is `sparse`.
    fn finish(self, optional: bool, problems: &mut Problems) -> Option<Reference> {
        match (self.target, self.on_delete) {
            (None, None) => None,
            (None, Some((_, key))) => {
                problems.at(
                    key.span(),
                    format!("`{key}` is for a reference: expected `references = Table` before it"),
                );
                None
            }
            (Some(_), Some((OnDelete::SetNull, key))) if !optional => {
                let message = "`set_null` makes the field `None`: expected it beside `sparse`";
                problems.at(key.span(), message);
                None
            }
            (Some(target), on_delete) => Some(Reference {
                target,
                on_delete: on_delete.map_or(OnDelete::Restrict, |(on_delete, _)| on_delete),
            }),
        }
    }
}

/// One column of an index's key.
pub(super) struct Part<'a> {
    pub(super) source: Source<'a>,
    pub(super) forms: Forms,
}

/// What a part is made of.
pub(super) enum Source<'a> {
    Field(Column<'a>),
    Computed(Box<Computed>),
}

/// A key that a function makes of the record.
pub(super) struct Computed {
    pub(super) path: Path,
    pub(super) ty: Type,
}

/// What is done to a part before it is a column.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(super) struct Forms {
    /// It is a collection: a key for each of its items.
    pub(super) each: bool,
    /// It is an `Option`: no key if it is absent.
    pub(super) sparse: bool,
    /// It is text, without regard to case.
    pub(super) caseless: bool,
    /// It is in falling order.
    pub(super) reverse: bool,
    /// It is the time that the record is due at: no key if that is never.
    pub(super) expires: bool,
}

impl Part<'_> {
    /// The type of the field, or what the function returns.
    pub(super) fn ty(&self) -> &Type {
        match &self.source {
            Source::Field(column) => column.ty,
            Source::Computed(computed) => &computed.ty,
        }
    }

    /// Where it is named.
    pub(super) fn span(&self) -> Span {
        match &self.source {
            Source::Field(column) => column.named_at,
            Source::Computed(computed) => computed.path.span(),
        }
    }
}

impl Forms {
    /// Adds the form that `key` names; none if it names none.
    fn add(&mut self, key: &Ident) -> Option<syn::Result<()>> {
        let (form, refused) = match key.to_string().as_str() {
            "each" => (&mut self.each, self.sparse),
            "sparse" => (&mut self.sparse, self.each),
            "caseless" => (&mut self.caseless, false),
            "reverse" => (&mut self.reverse, false),
            _ => return None,
        };
        Some(if refused {
            Err(syn::Error::new(
                key.span(),
                "expected `each` for a collection or `sparse` for an `Option`: `each` leaves out a \
                 `None` too",
            ))
        } else if std::mem::replace(form, true) {
            Err(repeated_option(key, "index"))
        } else {
            Ok(())
        })
    }
}

/// An index declared on a field.
pub(super) struct FieldIndex {
    pub(super) name: Ident,
    pub(super) unique: bool,
    pub(super) forms: Forms,
    pub(super) when: Option<Path>,
    pub(super) reference: Option<Reference>,
}

impl FieldIndex {
    /// That of `#[expires]`.
    pub(super) fn expiry(attribute: &Attribute, field: &Ident, problems: &mut Problems) -> Self {
        if let Err(problem) = attribute.meta.require_path_only() {
            let message = "`#[expires]` has no options: it is the time that the record is due at";
            problems.at(problem.span(), message);
        }
        FieldIndex {
            name: field.unraw(),
            unique: false,
            forms: Forms {
                expires: true,
                ..Forms::default()
            },
            when: None,
            reference: None,
        }
    }

    pub(super) fn read(attribute: &Attribute, field: &Ident, problems: &mut Problems) -> Self {
        let mut index = FieldIndex {
            name: field.unraw(),
            unique: false,
            forms: Forms::default(),
            when: None,
            reference: None,
        };
        let mut reference = ReferenceOptions::default();
        if attribute.meta.require_path_only().is_ok() {
            return index;
        }
        let mut named = false;
        read_options(attribute, problems, FIELD_INDEX, |key, value| {
            if key != "name" && key != "when" && value.peek(token::Paren) {
                value.parse::<TokenTree>()?;
                return Err(syn::Error::new(
                    key.span(),
                    format!(
                        "an index over several fields is declared on the struct; expected \
                         {FIELD_INDEX}"
                    ),
                ));
            }
            if let Some(added) = index.forms.add(key) {
                added?;
                return no_value(key, value);
            }
            if let Some(read) = reference.read(key, value) {
                return read;
            }
            let repeated = if key == "unique" {
                no_value(key, value)?;
                std::mem::replace(&mut index.unique, true)
            } else if key == "when" {
                index.when.replace(path_value(key, value, WHEN)?).is_some()
            } else if key == "name" {
                let text = text_value(key, value)?;
                index.name = index_name(&text.value(), text.span())?;
                std::mem::replace(&mut named, true)
            } else if key == "with" {
                return Err(syn::Error::new(
                    key.span(),
                    "a computed key is declared on the struct, as in `#[index(by_domain(with = \
                     Self::domain -> String))]`",
                ));
            } else {
                return Err(unknown_option(key, "index", FIELD_INDEX));
            };
            if repeated {
                Err(repeated_option(key, "index"))
            } else {
                Ok(())
            }
        });
        index.reference = reference.finish(index.forms.sparse, problems);
        index
    }
}

/// An index's name is part of the names of methods: `by_owner`, `owner_index`.
fn index_name(text: &str, span: Span) -> syn::Result<Ident> {
    // There a keyword is as good as any word.
    match Ident::parse_any.parse_str(text) {
        Ok(name) => Ok(Ident::new(&name.unraw().to_string(), span)),
        Err(_) => Err(syn::Error::new(
            span,
            format!(
                "`{text}` cannot be an index's name, which is part of the names of methods: \
                 expected letters, digits and `_`, not beginning with a digit"
            ),
        )),
    }
}

const WHEN: &str = "expected the path of a function of the record that returns `bool`, as in `when = \
                    Self::is_open`";

/// The path after `key =`.
pub(super) fn path_value(key: &Ident, input: ParseStream<'_>, example: &str) -> syn::Result<Path> {
    if !input.peek(Token![=]) {
        return Err(syn::Error::new(key.span(), example));
    }
    input.parse::<Token![=]>()?;
    let span = input.span();
    input
        .call(Path::parse_mod_style)
        .map_err(|_| syn::Error::new(span, example))
}

/// An index declared on the struct, its fields not looked up yet.
pub(super) struct StructIndex {
    pub(super) name: Ident,
    pub(super) parts: Vec<NamedPart>,
    pub(super) unique: bool,
    pub(super) when: Option<Path>,
    pub(super) reference: Option<Reference>,
}

/// A part whose field is not looked up yet.
pub(super) enum NamedPart {
    Field(Ident, Forms),
    Computed(Box<Computed>, Forms),
}

impl NamedPart {
    /// Whether it is a field that can be made `None`.
    fn is_optional_field(&self) -> bool {
        matches!(self, NamedPart::Field(_, forms) if forms.sparse)
    }
}

impl StructIndex {
    pub(super) fn read(attribute: &Attribute, problems: &mut Problems) -> Option<Self> {
        let mut unique = false;
        let mut when = None;
        let mut reference = ReferenceOptions::default();
        let mut found: Option<(Ident, Vec<NamedPart>)> = None;
        let mut refused = false;
        read_options(attribute, problems, STRUCT_INDEX, |key, value| {
            let result = (|| {
                if key == "unique" {
                    no_value(key, value)?;
                    if std::mem::replace(&mut unique, true) {
                        return Err(repeated_option(key, "index"));
                    }
                    return Ok(());
                }
                if key == "when" {
                    if when.replace(path_value(key, value, WHEN)?).is_some() {
                        return Err(repeated_option(key, "index"));
                    }
                    return Ok(());
                }
                if let Some(read) = reference.read(key, value) {
                    return read;
                }
                if Forms::default().add(key).is_some() {
                    return Err(syn::Error::new(
                        key.span(),
                        format!("`{key}` is for one part of the key: `by_NAME({key}(field), ..)`"),
                    ));
                }
                if found.is_some() {
                    return Err(syn::Error::new(
                        key.span(),
                        "expected one index: give each an `#[index(..)]` of its own",
                    ));
                }
                found = Some(composite(key, value)?);
                Ok(())
            })();
            refused |= result.is_err();
            result
        });
        if found.is_none()
            && !refused
            && matches!(&attribute.meta, syn::Meta::List(l) if !l.tokens.is_empty())
        {
            problems.push(syn::Error::new_spanned(
                attribute,
                format!("expected {STRUCT_INDEX}"),
            ));
        }
        let (name, parts) = found?;
        let optional = parts.iter().any(NamedPart::is_optional_field);
        Some(StructIndex {
            reference: reference.finish(optional, problems),
            name,
            parts,
            unique,
            when,
        })
    }
}

/// `by_name_node(name, node)`: the index's name and parts.
fn composite(key: &Ident, value: ParseStream<'_>) -> syn::Result<(Ident, Vec<NamedPart>)> {
    let text = key.to_string();
    let name = text.strip_prefix("by_").filter(|name| !name.is_empty());
    let (Some(name), true) = (name, value.peek(token::Paren)) else {
        if value.peek(token::Paren) {
            value.parse::<TokenTree>()?;
        }
        return Err(unknown_option(key, "index", STRUCT_INDEX));
    };
    let name = index_name(name, key.span());
    let inner;
    syn::parenthesized!(inner in value);
    let mut parts = Vec::new();
    while !inner.is_empty() {
        let part = part(&inner, Forms::default());
        let part = part.and_then(|part| {
            if inner.is_empty() || inner.peek(Token![,]) {
                Ok(part)
            } else {
                Err(inner.error("expected `,`"))
            }
        });
        match part {
            Ok(part) => parts.push(part),
            Err(problem) => {
                // What is not taken from the parentheses would be one more error.
                drop(inner.parse::<TokenStream>());
                return Err(problem);
            }
        }
        if !inner.is_empty() {
            inner.parse::<Token![,]>()?;
        }
    }
    let single_field = matches!(parts.as_slice(), [] | [NamedPart::Field(..)]);
    if single_field {
        return Err(syn::Error::new(
            key.span(),
            "expected two fields or more: for one, put `#[index]` on the field",
        ));
    }
    Ok((name?, parts))
}

/// One part of a composite key, within the forms around it.
fn part(input: ParseStream<'_>, mut forms: Forms) -> syn::Result<NamedPart> {
    let span = input.span();
    let Ok(name) = input.call(Ident::parse_any) else {
        return Err(syn::Error::new(span, format!("expected {PART}")));
    };
    if input.peek(token::Paren) {
        let inner;
        syn::parenthesized!(inner in input);
        let result = match forms.add(&name) {
            Some(added) => added.and_then(|()| part(&inner, forms)),
            None => Err(syn::Error::new(
                name.span(),
                format!("unknown form `{name}` of a part: expected {PART}"),
            )),
        };
        if result.is_err() {
            // As above.
            drop(inner.parse::<TokenStream>());
        } else if !inner.is_empty() {
            let problem = inner.error("expected one part");
            drop(inner.parse::<TokenStream>());
            return Err(problem);
        }
        return result;
    }
    if name == "with" && input.peek(Token![=]) {
        return computed(&name, input)
            .map(|computed| NamedPart::Computed(Box::new(computed), forms));
    }
    Ok(NamedPart::Field(name, forms))
}

/// `with = path -> Type`.
fn computed(key: &Ident, input: ParseStream<'_>) -> syn::Result<Computed> {
    let example = format!(
        "expected a function of the record and what it returns, as in `{key} = Self::domain -> \
         String`"
    );
    input.parse::<Token![=]>()?;
    let span = input.span();
    let path = input
        .call(Path::parse_mod_style)
        .map_err(|_| syn::Error::new(span, &example))?;
    if !input.peek(Token![->]) {
        return Err(syn::Error::new(path.span(), example));
    }
    input.parse::<Token![->]>()?;
    let span = input.span();
    let ty = input
        .parse::<Type>()
        .map_err(|_| syn::Error::new(span, example))?;
    Ok(Computed { path, ty })
}

/// Source text of a path.
pub(super) fn path_text(path: &Path) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}
