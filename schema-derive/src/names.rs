//! Names: of fields as serde writes them, of tables, and of types in generated docs.

use crate::options::read_options;
use crate::problems::Problems;
use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, Field, Ident, LitStr, Token, Type, token};

/// `ServiceCheck` to `service_check`, `HTTPRoute` to `http_route`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (i, &c) in chars.iter().enumerate() {
        if c.is_uppercase() {
            let after_small = i > 0 && !chars[i - 1].is_uppercase() && chars[i - 1] != '_';
            let before_small = i > 0
                && chars[i - 1].is_uppercase()
                && chars.get(i + 1).is_some_and(|next| next.is_lowercase());
            if after_small || before_small {
                out.push('_');
            }
            out.extend(c.to_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// Source text of a type, spaced as one would write it.
pub(crate) fn type_text(tokens: &TokenStream) -> String {
    let mut text = tokens.to_string();
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" ;", ";"),
        ("& ", "&"),
    ] {
        text = text.replace(from, to);
    }
    text
}

/// How serde spells the names of all fields of a struct, its `rename_all`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Rule {
    /// An unknown rule is no rule: serde's own derive refuses it.
    fn parse(text: &str) -> Option<Rule> {
        Some(match text {
            "lowercase" => Rule::Lower,
            "UPPERCASE" => Rule::Upper,
            "PascalCase" => Rule::Pascal,
            "camelCase" => Rule::Camel,
            "snake_case" => Rule::Snake,
            "SCREAMING_SNAKE_CASE" => Rule::ScreamingSnake,
            "kebab-case" => Rule::Kebab,
            "SCREAMING-KEBAB-CASE" => Rule::ScreamingKebab,
            _ => return None,
        })
    }

    /// The name of a field that is `field` in the source; fields are taken to be in snake case.
    pub(crate) fn apply(self, field: &str) -> String {
        match self {
            Rule::Lower | Rule::Snake => field.to_owned(),
            Rule::Upper | Rule::ScreamingSnake => field.to_ascii_uppercase(),
            Rule::Kebab => field.replace('_', "-"),
            Rule::ScreamingKebab => field.to_ascii_uppercase().replace('_', "-"),
            Rule::Pascal | Rule::Camel => {
                let mut out = String::new();
                let mut capital = true;
                for c in field.chars() {
                    if c == '_' {
                        capital = true;
                    } else if std::mem::take(&mut capital) {
                        let small = self == Rule::Camel && out.is_empty();
                        out.push(if small {
                            c.to_ascii_lowercase()
                        } else {
                            c.to_ascii_uppercase()
                        });
                    } else {
                        out.push(c);
                    }
                }
                out
            }
        }
    }
}

/// What serde's attributes on a struct say about its fields' names.
#[derive(Default)]
pub(crate) struct SerdeStruct {
    pub(crate) rename_all: Option<Rule>,
    /// Missing fields are filled in.
    pub(crate) default: bool,
    /// The name of the field that serde adds to hold the struct's name.
    pub(crate) tag: Option<String>,
}

/// What serde's attributes on a field say about its name.
#[derive(Default)]
pub(crate) struct SerdeField {
    pub(crate) rename: Option<String>,
    /// Other names that it is read by.
    pub(crate) aliases: Vec<String>,
    /// Where it says that the field is not written.
    pub(crate) not_written: Option<Span>,
    /// Where it says that the field is not read.
    pub(crate) not_read: Option<Span>,
}

/// One serde option: its key, its text if it has one text, and the rest unread.
///
/// Options that do not matter here are serde's to check, so their errors are not ours.
fn read_serde(
    attributes: &[Attribute],
    mut read: impl FnMut(&Ident, SerdeValue) -> syn::Result<()>,
    problems: &mut Problems,
) {
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("serde"))
    {
        let mut of_serde = Problems::default();
        read_options(attribute, &mut of_serde, "", |key, input| {
            if let Err(problem) = read(key, SerdeValue::parse(input)?) {
                problems.push(problem);
            }
            Ok(())
        });
    }
}

/// The value of a serde option, as `(serialize, deserialize)` where it has the two.
enum SerdeValue {
    None,
    Text(LitStr),
    Both {
        serialize: Option<LitStr>,
        deserialize: Option<LitStr>,
    },
}

impl SerdeValue {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            return Ok(SerdeValue::Text(input.parse()?));
        }
        if !input.peek(token::Paren) {
            return Ok(SerdeValue::None);
        }
        let inner;
        syn::parenthesized!(inner in input);
        let (mut serialize, mut deserialize) = (None, None);
        while !inner.is_empty() {
            let key = inner.call(Ident::parse_any)?;
            inner.parse::<Token![=]>()?;
            let text: LitStr = inner.parse()?;
            if key == "serialize" {
                serialize = Some(text);
            } else if key == "deserialize" {
                deserialize = Some(text);
            }
            if !inner.is_empty() {
                inner.parse::<Token![,]>()?;
            }
        }
        Ok(SerdeValue::Both {
            serialize,
            deserialize,
        })
    }

    /// The one name that is both written and read.
    fn one_name(&self, key: &Ident) -> syn::Result<Option<String>> {
        match self {
            SerdeValue::None => Ok(None),
            SerdeValue::Text(text) => Ok(Some(text.value())),
            SerdeValue::Both {
                serialize: Some(a),
                deserialize: Some(b),
            } if a.value() == b.value() => Ok(Some(a.value())),
            SerdeValue::Both { .. } => Err(syn::Error::new(
                key.span(),
                format!(
                    "a table reads the fields that it wrote: expected one name for both, as in \
                     `{key} = \"..\"`"
                ),
            )),
        }
    }
}

impl SerdeStruct {
    pub(crate) fn read(attributes: &[Attribute], problems: &mut Problems) -> Self {
        let mut found = SerdeStruct::default();
        let refuse = |key: &Ident| {
            Err(syn::Error::new(
                key.span(),
                format!(
                    "`serde({key})` is not possible on a table: a record is written as a map of \
                     its own fields, by name"
                ),
            ))
        };
        read_serde(
            attributes,
            |key, value| {
                match key.to_string().as_str() {
                    "rename_all" => {
                        found.rename_all = value.one_name(key)?.as_deref().and_then(Rule::parse);
                    }
                    "tag" => found.tag = value.one_name(key)?,
                    "default" => found.default = true,
                    "transparent" | "from" | "try_from" | "into" | "remote" => return refuse(key),
                    _ => {}
                }
                Ok(())
            },
            problems,
        );
        found
    }
}

impl SerdeField {
    /// `filled`: what is missing of a record is filled in, whichever field it is.
    pub(crate) fn read(field: &Field, filled: bool, problems: &mut Problems) -> Self {
        let mut found = SerdeField::default();
        let mut left_out = None;
        let mut filled = filled || is_option(&field.ty);
        read_serde(
            &field.attrs,
            |key, value| {
                match key.to_string().as_str() {
                    "rename" => found.rename = value.one_name(key)?,
                    "alias" => found.aliases.extend(value.one_name(key)?),
                    "skip" => {
                        found.not_written = Some(key.span());
                        found.not_read = Some(key.span());
                    }
                    "skip_serializing" => {
                        found.not_written = Some(key.span());
                        left_out = Some(key.clone());
                    }
                    "skip_serializing_if" => left_out = Some(key.clone()),
                    "default" => filled = true,
                    "skip_deserializing" => found.not_read = Some(key.span()),
                    "flatten" => {
                        return Err(syn::Error::new(
                            key.span(),
                            "`serde(flatten)` is not possible on a table: the names of all its \
                             fields must be known, to tell those of a newer program apart",
                        ));
                    }
                    _ => {}
                }
                Ok(())
            },
            problems,
        );
        if let Some(key) = left_out
            && !filled
            && found.not_read.is_none()
        {
            let message = format!(
                "a record that was written without this field cannot be read: expected \
                 `serde(default)` beside `{key}`"
            );
            problems.at(key.span(), message);
        }
        found
    }
}

/// Whether serde takes a missing field of this type for `None`.
fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let last = path.path.segments.last();
    last.is_some_and(|segment| segment.ident == "Option")
}
