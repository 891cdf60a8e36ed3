//! The header frame: what an image says of itself, and how that meets the schema that reads it.

use super::error::ImageError;
use super::msgpack;
use crate::position::{HistoryId, LogIndex, Position};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;

/// One table of the schema, as the image room needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableShape {
    pub(super) name: &'static str,
    /// The version of its records.
    pub(super) version: u32,
    /// Of each version before that can be read, the newest first, the fields, if that is known.
    pub(super) earlier: Vec<Option<&'static [&'static str]>>,
    pub(super) fields: &'static [&'static str],
    /// Other names of fields, each with the one in `fields`.
    pub(super) aliases: &'static [(&'static str, &'static str)],
    pub(super) primary_key: &'static [&'static str],
    pub(super) indexes: Vec<IndexShape>,
    /// An image leaves it out.
    pub(super) local: bool,
}

impl TableShape {
    /// The name that a field of an image has by now.
    fn present_name<'a>(&self, field: &'a str) -> &'a str {
        let alias = self.aliases.iter().find(|(alias, _)| *alias == field);
        alias.map_or(field, |(_, name)| name)
    }

    /// How many versions of the records came after one, if records of that can be read.
    fn versions_since(&self, version: u32) -> Result<usize, Refusal> {
        let Some(before) = self.version.checked_sub(version) else {
            return Err(ImageError::NewerRecords {
                table: self.name,
                image: version,
                schema: self.version,
            }
            .into());
        };
        let known = self.earlier.len();
        usize::try_from(before)
            .ok()
            .filter(|before| *before <= known)
            .ok_or_else(|| {
                let known = u32::try_from(known).unwrap_or(u32::MAX);
                Refusal::Error(ImageError::OlderRecords {
                    table: self.name,
                    image: version,
                    oldest: self.version.saturating_sub(known),
                    schema: self.version,
                })
            })
    }

    /// Whether fields of an image, in order, are these.
    fn are(&self, image: &[String], fields: &[&str]) -> bool {
        image
            .iter()
            .map(|field| self.present_name(field))
            .eq(fields.iter().copied())
    }
}

/// One index of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexShape {
    pub(super) name: &'static str,
    pub(super) fields: &'static [&'static str],
    pub(super) unique: bool,
    pub(super) each: bool,
}

/// The header's content, a `MessagePack` map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    history: History,
    index: LogIndex,
    /// Whether a frame with the driver's own state follows.
    pub(super) driver: bool,
    /// Whether a frame with the clock and the sessions follows; not written if it does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) sessions: bool,
    pub(super) tables: Vec<TableHeader>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableHeader {
    name: String,
    /// The version of its records; not written if it is the first.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    version: u32,
    fields: Vec<String>,
    primary_key: Vec<String>,
    pub(super) indexes: Vec<IndexHeader>,
}

fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
fn is_first(version: &u32) -> bool {
    *version == first()
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexHeader {
    name: String,
    fields: Vec<String>,
    unique: bool,
    each: bool,
}

/// A history's id as 16 bytes, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct History(HistoryId);

impl Serialize for History {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0.0.to_be_bytes())
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = History;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("16 bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<History, E> {
                let bytes = bytes
                    .try_into()
                    .map_err(|_| E::invalid_length(bytes.len(), &self))?;
                Ok(History(HistoryId(u128::from_be_bytes(bytes))))
            }
        }
        from.deserialize_bytes(Visitor)
    }
}

impl Header {
    /// The header of an image of these tables.
    pub(super) fn new(
        position: Position,
        driver: bool,
        sessions: bool,
        tables: &[TableShape],
    ) -> Header {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let index = |index: &IndexShape| IndexHeader {
            name: index.name.into(),
            fields: owned(index.fields),
            unique: index.unique,
            each: index.each,
        };
        let table = |table: &TableShape| TableHeader {
            name: table.name.into(),
            version: table.version,
            fields: owned(table.fields),
            primary_key: owned(table.primary_key),
            indexes: table.indexes.iter().map(index).collect(),
        };
        Header {
            history: History(position.history),
            index: position.index,
            driver,
            sessions,
            tables: tables
                .iter()
                .filter(|table| !table.local)
                .map(table)
                .collect(),
        }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            history: self.history.0,
            index: self.index,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("a header of names, numbers and bytes serializes")
    }

    /// Decodes a header; the error says what is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Header, String> {
        msgpack::check(bytes).map_err(|fault| fault.to_string())?;
        rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// What is done with one table section of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TablePlan {
    /// Its name in the image.
    pub(super) name: String,
    /// The version of its records there.
    pub(super) version: u32,
    /// Its ordinal in the schema. `None`: the schema has no such table, so it must have no records.
    pub(super) table: Option<usize>,
    /// How many versions of its records came after the image's.
    pub(super) before: usize,
    /// The fields that records of that version have not: no record may have one.
    pub(super) unknown: HashSet<String>,
    /// For each index of the section: its ordinal in the table, or `None` if the table has no
    /// index of this name and definition.
    pub(super) indexes: Vec<Option<usize>>,
}

/// Matches an image's tables, in its order, with the schema's. One that has become local is taken as
/// what it begins with. Nothing the image has may be lost: of an unknown table or field there must be
/// nothing in it, and an unknown version is an error. A table or field that the image has not is none, and
/// an index of another definition is another index. Of an earlier version, the fields are those of its own
/// form, and the primary key is whatever its records are converted to.
pub(super) fn plan(header: &Header, schema: &[TableShape]) -> Result<Vec<TablePlan>, Refusal> {
    let mut seen = HashSet::new();
    let mut plans = Vec::new();
    for table in &header.tables {
        if !seen.insert(&table.name) {
            return Err(Refusal::Malformed(format!(
                "it lists table `{}` twice",
                table.name
            )));
        }
        let plan = TablePlan {
            name: table.name.clone(),
            version: table.version,
            table: schema.iter().position(|shape| shape.name == table.name),
            before: 0,
            unknown: HashSet::new(),
            indexes: vec![None; table.indexes.len()],
        };
        if table.version == 0 {
            let what = format!("it has records of version 0 of table `{}`", table.name);
            return Err(Refusal::Malformed(what));
        }
        let Some(number) = plan.table else {
            plans.push(plan);
            continue;
        };
        let shape = &schema[number];
        let before = shape.versions_since(table.version)?;
        let known = |field: &&String| match before.checked_sub(1) {
            None => shape.fields.contains(&shape.present_name(field)),
            Some(i) => shape.earlier[i].is_none_or(|fields| fields.contains(&field.as_str())),
        };
        let unknown = table.fields.iter().filter(|field| !known(field));
        let unknown = unknown.cloned().collect();
        if before == 0 && !shape.are(&table.primary_key, shape.primary_key) {
            return Err(ImageError::PrimaryKey {
                table: shape.name,
                image: table.primary_key.clone(),
                schema: shape.primary_key,
            }
            .into());
        }
        let mut indexes = Vec::new();
        for index in &table.indexes {
            let same = shape.indexes.iter().position(|of| {
                index.name == of.name
                    && shape.are(&index.fields, of.fields)
                    && index.unique == of.unique
                    && index.each == of.each
            });
            if same.is_some() && indexes.contains(&same) {
                return Err(Refusal::Malformed(format!(
                    "it lists index `{}` of table `{}` twice",
                    index.name, table.name
                )));
            }
            indexes.push(same);
        }
        plans.push(TablePlan {
            before,
            unknown,
            indexes,
            ..plan
        });
    }
    Ok(plans)
}

/// Why a header is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    Error(ImageError),
    /// The caller knows the place.
    Malformed(String),
}

impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        Refusal::Error(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shapes() -> Vec<TableShape> {
        let index = |name, fields, unique, each| IndexShape {
            name,
            fields,
            unique,
            each,
        };
        vec![
            TableShape {
                name: "services",
                version: 1,
                earlier: vec![],
                fields: &["id", "node", "tags"],
                aliases: &[],
                primary_key: &["id"],
                indexes: vec![
                    index("by_node", &["node"], false, false),
                    index("by_tag", &["tags"], false, true),
                ],
                local: false,
            },
            TableShape {
                name: "nodes",
                version: 1,
                earlier: vec![],
                fields: &["name"],
                aliases: &[],
                primary_key: &["name"],
                indexes: vec![],
                local: false,
            },
        ]
    }

    fn header() -> Header {
        let position = Position {
            history: HistoryId(7 << 100 | 3),
            index: LogIndex(9),
        };
        Header::new(position, true, true, &shapes())
    }

    #[test]
    fn comes_back() {
        let header = header();
        let again = Header::decode(&header.encode()).unwrap();
        assert_eq!(again, header);
        assert_eq!(again.position().history, HistoryId(7 << 100 | 3));
        assert!(again.driver);
    }

    /// The plan for a table that the schema has.
    fn fits(name: &str, table: usize, indexes: &[Option<usize>]) -> TablePlan {
        TablePlan {
            name: name.into(),
            version: 1,
            table: Some(table),
            before: 0,
            unknown: HashSet::new(),
            indexes: indexes.to_vec(),
        }
    }

    #[test]
    fn the_same_schema_fits() {
        let plans = plan(&header(), &shapes()).unwrap();
        assert_eq!(plans[0], fits("services", 0, &[Some(0), Some(1)]));
        assert_eq!(plans[1], fits("nodes", 1, &[]));
    }

    #[test]
    fn a_reordered_and_grown_schema_fits() {
        let mut grown = shapes();
        grown.swap(0, 1);
        grown[1].fields = &["tags", "node", "id", "port"];
        grown[1].indexes.swap(0, 1);
        grown.push(TableShape {
            name: "kv",
            version: 1,
            earlier: vec![],
            fields: &["key"],
            aliases: &[],
            primary_key: &["key"],
            indexes: vec![],
            local: true,
        });
        let plans = plan(&header(), &grown).unwrap();
        assert_eq!(plans[0], fits("services", 1, &[Some(1), Some(0)]));
        assert_eq!(plans[1], fits("nodes", 0, &[]));
    }

    #[test]
    fn another_definition_is_another_index() {
        for change in 0..4 {
            let mut other = shapes();
            let index = &mut other[0].indexes[0];
            match change {
                0 => index.name = "by_host",
                1 => index.fields = &["id"],
                2 => index.unique = true,
                _ => index.each = true,
            }
            assert_eq!(plan(&header(), &other).unwrap()[0].indexes, [None, Some(1)]);
        }
    }

    #[test]
    fn what_is_not_known_is_to_have_nothing() {
        let mut fewer = shapes();
        fewer.remove(0);
        let plans = plan(&header(), &fewer).unwrap();
        assert_eq!((plans[0].table, plans[1].table), (None, Some(0)));
        assert_eq!(plans[0].indexes, [None, None]);
        let mut fewer = shapes();
        fewer[0].fields = &["id", "tags"];
        let plans = plan(&header(), &fewer).unwrap();
        assert_eq!(plans[0].unknown, HashSet::from(["node".to_owned()]));
    }

    #[test]
    fn another_primary_key_is_refused() {
        let mut other = shapes();
        other[0].primary_key = &["node", "id"];
        assert!(matches!(
            plan(&header(), &other),
            Err(Refusal::Error(ImageError::PrimaryKey {
                table: "services",
                ..
            }))
        ));
    }

    #[test]
    fn what_is_listed_twice_is_refused() {
        let mut twice = header();
        twice.tables.push(twice.tables[0].clone());
        assert!(matches!(
            plan(&twice, &shapes()),
            Err(Refusal::Malformed(_))
        ));
        let mut twice = header();
        let index = twice.tables[0].indexes[0].clone();
        twice.tables[0].indexes.push(index);
        assert!(matches!(
            plan(&twice, &shapes()),
            Err(Refusal::Malformed(_))
        ));
    }

    #[test]
    fn unknown_keys_and_short_histories_are_refused() {
        let mut bytes = header().encode();
        assert_eq!(bytes[0], 0x85);
        bytes[0] = 0x86;
        bytes.extend(b"\xa3newx");
        bytes.pop();
        bytes.push(1);
        assert!(Header::decode(&bytes).unwrap_err().contains("new"));
        let short = header().encode();
        let at = short.windows(2).position(|w| w == [0xc4, 16]).unwrap();
        let mut short = short;
        short[at + 1] = 15;
        short.remove(at + 2);
        assert!(Header::decode(&short).unwrap_err().contains("16 bytes"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Header::decode(&bytes).is_err());
        }

        #[test]
        fn changed_headers_are_survived(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = header().encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(header) = Header::decode(&bytes) {
                let _ = plan(&header, &shapes());
            }
        }
    }
}
