//! `#[derive(Table)]`: what the attributes say, checked; `expand` makes the code of it.

mod expand;
mod index;
mod versions;

use crate::krate::Krate;
use crate::names::{SerdeField, SerdeStruct, snake_case, type_text};
use crate::options::{
    no_value, read_options, refuse_attributes, refuse_generics, repeated_option, text_value,
    unknown_option,
};
use crate::problems::Problems;
use index::{
    FieldIndex, Forms, IndexModel, NamedPart, OnDelete, Part, Source, StructIndex, path_text,
    path_value,
};
use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use std::collections::HashMap;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Fields, GenericArgument, Ident, Path, PathArguments, Type,
    Visibility,
};
use versions::Versions;

/// Methods of what a reader derefs to: an index's method of that name would hide it.
const TAKEN: [&str; 1] = ["log_index"];

/// A table as declared.
pub(crate) struct TableModel<'a> {
    krate: Krate,
    ident: &'a Ident,
    visibility: &'a Visibility,
    name: String,
    /// The version of its records.
    version: u32,
    /// The forms of the versions before, the newest first.
    earlier: Vec<Path>,
    /// As serialized.
    field_names: Vec<String>,
    /// The type of each, as written.
    field_types: Vec<String>,
    /// Other names that serde reads fields by, and theirs.
    aliases: Vec<(String, String)>,
    primary_key: Vec<Column<'a>>,
    indexes: Vec<IndexModel<'a>>,
    /// Functions that are true of every record.
    checks: Vec<Path>,
    /// It is no part of images.
    local: bool,
    /// What it is derived from, and by which function.
    derivations: Vec<(Path, Path)>,
    /// A field is the time that a record is due at.
    expires: bool,
}

/// A field that a key is made of.
#[derive(Clone)]
struct Column<'a> {
    ident: &'a Ident,
    ty: &'a Type,
    /// As serialized.
    name: String,
    /// Where it is named as part of a key.
    named_at: Span,
}

/// A field with what its own attributes say.
struct FieldModel<'a> {
    column: Column<'a>,
    /// Where serde is told not to write or not to read it.
    skip: Option<Span>,
    primary_key: bool,
    indexes: Vec<FieldIndex>,
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut problems = Problems::default();
    refuse_generics(input, "a table", &mut problems);
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Some(fields),
            Fields::Unnamed(_) | Fields::Unit => {
                problems.at(input.ident.span(), "expected a struct with named fields");
                None
            }
        },
        Data::Enum(data) => {
            problems.at(data.enum_token.span, "expected a struct with named fields");
            None
        }
        Data::Union(data) => {
            problems.at(data.union_token.span, "expected a struct with named fields");
            None
        }
    };
    let mut model = read_struct(input, &mut problems);
    if let Some(fields) = fields {
        let serde = SerdeStruct::read(&input.attrs, &mut problems);
        let fields: Vec<_> = fields
            .named
            .iter()
            .filter_map(|field| {
                let ident = field.ident.as_ref()?;
                Some(read_field(field, ident, &serde, &mut model, &mut problems))
            })
            .collect();
        if let Some(tag) = serde.tag {
            model.field_names.insert(0, tag);
            model.field_types.insert(0, "String".to_owned());
        }
        model.read_keys(&input.attrs, &fields, &mut problems);
    }
    let generic = !input.generics.params.is_empty();
    let code = if generic {
        TokenStream::new()
    } else {
        expand::expand(&model)
    };
    let mut out = problems.into_tokens();
    out.extend(code);
    out
}

/// The options of the struct itself; an index over several fields waits for the fields.
fn read_struct<'a>(input: &'a DeriveInput, problems: &mut Problems) -> TableModel<'a> {
    const EXPECTED: &str = "`name = \"..\"`, `version = 2`, `from = Type`, `check = path`, `local`, \
                            `derived_from = Table, by = path` or `crate = path`";
    const SOURCE: &str =
        "expected the record type of the source, as in `derived_from = Service, by = Self::count`";
    const BY: &str = "expected the path of a function of a change of the source, as in `derived_from = \
                      Service, by = Self::count`";
    const CHECK: &str = "expected the path of a function of the record that returns `bool`, as in \
                         `check = Self::is_valid`";
    let (mut name, mut krate, mut checks) = (None, Krate::default(), Vec::new());
    let (mut local, mut sources) = (None, Sources::default());
    let mut versions = Versions::default();
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("table"))
    {
        read_options(attribute, problems, EXPECTED, |key, value| {
            if key == "name" {
                let text = text_value(key, value)?;
                if text.value().is_empty() {
                    return Err(syn::Error::new(
                        text.span(),
                        "a table's name cannot be empty",
                    ));
                }
                if name.replace(text.value()).is_some() {
                    return Err(repeated_option(key, "table"));
                }
            } else if key == "local" {
                no_value(key, value)?;
                if local.replace(key.clone()).is_some() {
                    return Err(repeated_option(key, "table"));
                }
            } else if key == "version" || key == "from" {
                versions.read(key, value)?;
            } else if key == "check" {
                checks.push(path_value(key, value, CHECK)?);
            } else if key == "derived_from" {
                sources.add(path_value(key, value, SOURCE)?)?;
            } else if key == "by" {
                let source = sources.close(key)?;
                sources.complete(source, path_value(key, value, BY)?)?;
            } else if key == "crate" {
                if krate.read(key, value)? {
                    return Err(repeated_option(key, "table"));
                }
            } else {
                return Err(unknown_option(key, "table", EXPECTED));
            }
            Ok(())
        });
    }
    let derivations = sources.finish(problems);
    if let Some((source, _)) = derivations.first() {
        refuse_beside_source(source, local.as_ref(), &checks, problems);
    }
    // Nobody but this process has what is derived.
    let local = local.is_some() || !derivations.is_empty();
    let (version, earlier) = versions.finish(local, problems);
    refuse_attributes(
        &input.attrs,
        &["expires"],
        "put it on the field with the time that a record is due at",
        problems,
    );
    refuse_attributes(
        &input.attrs,
        &["primary_key"],
        "put it on the field, or on each field, of the primary key",
        problems,
    );
    TableModel {
        krate,
        ident: &input.ident,
        visibility: &input.vis,
        name: name.unwrap_or_else(|| snake_case(&input.ident.unraw().to_string())),
        version,
        earlier,
        field_names: Vec::new(),
        field_types: Vec::new(),
        aliases: Vec::new(),
        primary_key: Vec::new(),
        indexes: Vec::new(),
        checks,
        local,
        derivations,
        expires: false,
    }
}

/// Refuses what a table that is derived from `source` has anyway, or has not itself.
fn refuse_beside_source(
    source: &Path,
    local: Option<&Ident>,
    checks: &[Path],
    problems: &mut Problems,
) {
    let source = path_text(source);
    if let Some(local) = local {
        let message = format!(
            "a table that is derived from `{source}` is local anyway: expected one of the two"
        );
        problems.at(local.span(), message);
    }
    if let Some(check) = checks.first() {
        let message = format!(
            "a derived table is what its function makes of `{source}`: expected the check there"
        );
        problems.at(check.span(), message);
    }
}

/// The sources of a derived table, while they are read.
#[derive(Default)]
struct Sources {
    all: Vec<(Path, Path)>,
    /// One whose function is still to come.
    open: Option<Path>,
}

impl Sources {
    fn without_function(source: &Path) -> syn::Error {
        let text = path_text(source);
        let message =
            format!("expected `by = path` after it, the function of a change of `{text}`");
        syn::Error::new(source.span(), message)
    }

    fn add(&mut self, source: Path) -> syn::Result<()> {
        match self.open.replace(source) {
            None => Ok(()),
            Some(before) => Err(Self::without_function(&before)),
        }
    }

    /// The source that the function of `by` is for.
    fn close(&mut self, key: &Ident) -> syn::Result<Path> {
        let message = "`by` is for a source: expected `derived_from = Table` before it";
        let source = self.open.take();
        source.ok_or_else(|| syn::Error::new(key.span(), message))
    }

    fn complete(&mut self, source: Path, function: Path) -> syn::Result<()> {
        let text = path_text(&source);
        if self.all.iter().any(|(other, _)| path_text(other) == text) {
            let message =
                format!("the table is derived from `{text}` already: expected one function");
            return Err(syn::Error::new(source.span(), message));
        }
        self.all.push((source, function));
        Ok(())
    }

    fn finish(self, problems: &mut Problems) -> Vec<(Path, Path)> {
        if let Some(source) = self.open {
            problems.push(Self::without_function(&source));
        }
        self.all
    }
}

fn read_field<'a>(
    field: &'a syn::Field,
    ident: &'a Ident,
    serde: &SerdeStruct,
    model: &mut TableModel<'a>,
    problems: &mut Problems,
) -> FieldModel<'a> {
    let own = SerdeField::read(field, serde.default, problems);
    let plain = ident.unraw().to_string();
    let name = own.rename.unwrap_or_else(|| match serde.rename_all {
        Some(rule) => rule.apply(&plain),
        None => plain,
    });
    if own.not_written.is_none() || own.not_read.is_none() {
        model.field_names.push(name.clone());
        let ty = type_text(&field.ty.to_token_stream());
        model.field_types.push(ty);
    }
    if !model.local && own.not_written.is_none() {
        refuse_unordered(&field.ty, problems);
    }
    let aliases = own.aliases.into_iter().map(|alias| (alias, name.clone()));
    model.aliases.extend(aliases);
    refuse_attributes(&field.attrs, &["table"], "it is for the struct", problems);
    let mut primary_key = false;
    for attribute in field
        .attrs
        .iter()
        .filter(|a| a.path().is_ident("primary_key"))
    {
        if let Err(problem) = attribute.meta.require_path_only() {
            let message = "`#[primary_key]` has no options: on several fields it makes their tuple \
                           the key, in declared order";
            problems.at(problem.span(), message);
        }
        if std::mem::replace(&mut primary_key, true) {
            problems.push(syn::Error::new_spanned(
                attribute,
                format!("`{ident}` is marked `#[primary_key]` twice: expected it once"),
            ));
        }
    }
    let mut indexes = Vec::new();
    for attribute in &field.attrs {
        if attribute.path().is_ident("index") {
            indexes.push(FieldIndex::read(attribute, ident, problems));
        } else if attribute.path().is_ident("expires") {
            if std::mem::replace(&mut model.expires, true) {
                problems.push(syn::Error::new_spanned(
                    attribute,
                    "a record is due at one time: expected `#[expires]` on one field, once",
                ));
                continue;
            }
            indexes.push(FieldIndex::expiry(attribute, ident, problems));
        }
    }
    FieldModel {
        column: Column {
            ident,
            ty: &field.ty,
            name,
            named_at: ident.span(),
        },
        skip: own.not_written.or(own.not_read),
        primary_key,
        indexes,
    }
}

/// Refuses collections without an order, wherever in a field's type they are named: serde would write
/// them in another order on every replica.
fn refuse_unordered(ty: &Type, problems: &mut Problems) {
    let mut rest = vec![ty];
    while let Some(ty) = rest.pop() {
        match ty {
            Type::Array(array) => rest.push(&array.elem),
            Type::Group(group) => rest.push(&group.elem),
            Type::Paren(paren) => rest.push(&paren.elem),
            Type::Slice(slice) => rest.push(&slice.elem),
            Type::Tuple(tuple) => rest.extend(tuple.elems.iter().rev()),
            Type::Path(path) => {
                let Some(last) = path.path.segments.last() else {
                    continue;
                };
                let ordered = match last.ident.to_string().as_str() {
                    "HashMap" => Some("BTreeMap"),
                    "HashSet" => Some("BTreeSet"),
                    _ => None,
                };
                if let Some(ordered) = ordered {
                    let message = format!(
                        "a `{}` has no order, so replicas would write different images of equal \
                         records: expected a `{ordered}`",
                        last.ident
                    );
                    problems.at(last.ident.span(), message);
                }
                if let PathArguments::AngleBracketed(arguments) = &last.arguments {
                    rest.extend(arguments.args.iter().rev().filter_map(
                        |argument| match argument {
                            GenericArgument::Type(ty) => Some(ty),
                            _ => None,
                        },
                    ));
                }
            }
            _ => {}
        }
    }
}

/// Refuses what would let a local table, in which replicas differ, decide what is done to others.
fn refuse_a_say(index: &IndexModel<'_>, problems: &mut Problems) {
    if index.unique {
        problems.at(
            index.name.span(),
            "a local table refuses no record, for replicas differ in which it has: expected no `unique`",
        );
    }
    if let Some(reference) = &index.reference
        && reference.on_delete != OnDelete::Cascade
    {
        problems.at(
            reference.target.span(),
            "a local table is in the way of no deletion, for replicas differ in what it has: expected \
             `cascade` beside the reference",
        );
    }
}

impl<'a> TableModel<'a> {
    /// Gathers the keys from the fields and from the struct's attributes.
    fn read_keys(
        &mut self,
        attributes: &[Attribute],
        fields: &[FieldModel<'a>],
        problems: &mut Problems,
    ) {
        for field in fields {
            if let (Some(skip), true) = (field.skip, field.primary_key || !field.indexes.is_empty())
            {
                let ident = field.column.ident;
                problems.at(
                    skip,
                    format!("a record is found by `{ident}`: expected a field that serde writes and reads"),
                );
            }
            if field.primary_key {
                self.primary_key.push(field.column.clone());
            }
        }
        if self.primary_key.is_empty() {
            problems.at(
                self.ident.span(),
                "expected a primary key: put `#[primary_key]` on a field, or on several",
            );
        }
        for attribute in attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("index"))
        {
            if let Some(index) = StructIndex::read(attribute, problems) {
                self.add_struct_index(index, fields, problems);
            }
        }
        for field in fields {
            for index in &field.indexes {
                self.indexes.push(IndexModel {
                    name: index.name.clone(),
                    parts: vec![Part {
                        source: Source::Field(field.column.clone()),
                        forms: index.forms,
                    }],
                    unique: index.unique,
                    when: index.when.clone(),
                    reference: index.reference.clone(),
                });
            }
        }
        if !self.derivations.is_empty() {
            for reference in self
                .indexes
                .iter()
                .filter_map(|index| index.reference.as_ref())
            {
                let message = "a derived table cannot refer to another: what it has is what its function \
                               makes of its sources";
                problems.at(reference.target.span(), message);
            }
        }
        for index in &self.indexes {
            if self.local && self.derivations.is_empty() {
                refuse_a_say(index, problems);
            }
            self.refuse_loss_of_key(index, problems);
        }
        self.refuse_same_names(problems);
    }

    /// The record that a reference is taken away from stays the same record.
    fn refuse_loss_of_key(&self, index: &IndexModel<'_>, problems: &mut Problems) {
        let reference = index.reference.as_ref();
        if reference.is_none_or(|reference| reference.on_delete != OnDelete::SetNull) {
            return;
        }
        for part in &index.parts {
            if let Source::Field(column) = &part.source
                && part.forms.sparse
                && self.primary_key.iter().any(|key| key.ident == column.ident)
            {
                let message = format!(
                    "`set_null` would make `{}` `None`, which is part of the primary key: expected \
                     `cascade` or `restrict`",
                    column.ident
                );
                problems.at(part.span(), message);
            }
        }
    }

    fn add_struct_index(
        &mut self,
        index: StructIndex,
        fields: &[FieldModel<'a>],
        problems: &mut Problems,
    ) {
        let count = index.parts.len();
        let parts: Vec<Part<'a>> = index
            .parts
            .into_iter()
            .filter_map(|part| self.find_part(part, fields, problems))
            .collect();
        let mut seen: Vec<(&Ident, Forms)> = Vec::new();
        for part in &parts {
            if let Source::Field(column) = &part.source {
                if seen.contains(&(column.ident, part.forms)) {
                    let message = format!("`{}` is in this index already", column.ident);
                    problems.at(part.span(), message);
                    return;
                }
                seen.push((column.ident, part.forms));
            }
        }
        if parts.len() == count {
            self.indexes.push(IndexModel {
                name: index.name,
                parts,
                unique: index.unique,
                when: index.when,
                reference: index.reference,
            });
        }
    }

    /// The part of an index with its field looked up.
    fn find_part(
        &self,
        part: NamedPart,
        fields: &[FieldModel<'a>],
        problems: &mut Problems,
    ) -> Option<Part<'a>> {
        let named = match part {
            NamedPart::Computed(computed, forms) => {
                return Some(Part {
                    source: Source::Computed(computed),
                    forms,
                });
            }
            NamedPart::Field(named, forms) => (named, forms),
        };
        let (named, forms) = named;
        let Some(field) = fields.iter().find(|field| *field.column.ident == named) else {
            let all: Vec<_> = fields
                .iter()
                .map(|field| format!("`{}`", field.column.ident))
                .collect();
            problems.at(
                named.span(),
                format!(
                    "`{}` has no field `{named}`: expected one of {}",
                    self.ident,
                    all.join(", ")
                ),
            );
            return None;
        };
        if field.skip.is_some() {
            problems.at(
                named.span(),
                format!("serde skips `{named}`: expected a field that it writes and reads"),
            );
            return None;
        }
        Some(Part {
            source: Source::Field(Column {
                named_at: named.span(),
                ..field.column.clone()
            }),
            forms,
        })
    }

    /// No two indexes, nor any two of their methods, can have one name; nor one that is taken.
    fn refuse_same_names(&mut self, problems: &mut Problems) {
        let mut methods: HashMap<String, Ident> = HashMap::new();
        self.indexes.retain(|index| {
            let own = [
                format!("by_{}", index.name),
                format!("{}_index", index.name),
            ];
            if let Some(taken) = own.iter().find(|method| TAKEN.contains(&method.as_str())) {
                problems.at(
                    index.name.span(),
                    format!(
                        "a table's reader has a method `{taken}` of its own: expected another name \
                         for the index, as in `#[index(name = \"..\")]`"
                    ),
                );
                return false;
            }
            let clash = own
                .iter()
                .find_map(|method| Some((method, methods.get(method)?)));
            match clash {
                Some((_, other)) if *other == index.name => problems.at(
                    index.name.span(),
                    format!(
                        "there is an index `{other}` already: expected another name, as in \
                         `#[index(name = \"..\")]`"
                    ),
                ),
                Some((method, other)) => problems.at(
                    index.name.span(),
                    format!(
                        "the indexes `{}` and `{other}` would both have a method `{method}`: \
                         expected another name",
                        index.name
                    ),
                ),
                None => {
                    methods.extend(own.map(|method| (method, index.name.clone())));
                    return true;
                }
            }
            false
        });
    }
}
