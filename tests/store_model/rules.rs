//! Which rules of the schema are broken: all are looked at, of all records.

use crate::item::Item;
use crate::part::Part;
use crate::site::Site;
use crate::state::{Model, State};
use highwater::key::KeyBuf;
use highwater::{Key, Table, WriteError};

/// A rule that does not hold, of a record that is named by its table and encoded key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Check {
        table: &'static str,
        check: &'static str,
        key: Vec<u8>,
    },
    /// What it refers to by this index is not there.
    Reference {
        table: &'static str,
        index: &'static str,
        key: Vec<u8>,
        target: &'static str,
        absent: Vec<u8>,
    },
}

impl Broken {
    /// Whether the error is of this rule. By its kind it tells which of two records has come or gone.
    pub(crate) fn is_told_by(&self, error: &WriteError) -> bool {
        match self {
            Broken::Check { table, check, key } => {
                matches!(error, WriteError::CheckFailed { table: t, check: c, key: k }
                    if t == table && c == check && k.as_bytes() == key)
            }
            Broken::Reference {
                table,
                index,
                key,
                target,
                absent,
            } => {
                let (by, of, names) = match error {
                    WriteError::NoTarget {
                        table,
                        index,
                        record,
                        target,
                        key,
                    } => (record, key, [table, index, target]),
                    WriteError::Referenced {
                        table,
                        key,
                        by,
                        index,
                        holder,
                    } => (holder, key, [by, index, table]),
                    _ => return false,
                };
                names.map(|name| &**name) == [*table, *index, *target]
                    && (by.as_bytes(), of.as_bytes()) == (key, absent)
            }
        }
    }
}

fn bytes<K: Key>(key: &K) -> Vec<u8> {
    let mut buf = KeyBuf::new();
    key.encode(&mut buf);
    buf.as_bytes().to_vec()
}

/// A reference of a table: its index, and the primary key that a record has in it.
struct Reference<T: Model, Target: Model> {
    index: &'static str,
    key: fn(&T) -> Option<Target::Key>,
}

impl<T: Model, Target: Model> Reference<T, Target> {
    /// Those who refer to what is not there.
    fn dangling(self, state: &State) -> impl Iterator<Item = (&T, Broken)> {
        let Reference { index, key } = self;
        let records = T::rows(state).values().map(|(record, ..)| record);
        records.filter_map(move |record| {
            let to = key(record)?;
            let broken = || Broken::Reference {
                table: T::NAME,
                index,
                key: bytes(&record.id()),
                target: Target::NAME,
                absent: bytes(&to),
            };
            let there = Target::rows(state).contains_key(&to);
            (!there).then(|| (record, broken()))
        })
    }
}

const ITEM_SITE: Reference<Item, Site> = Reference {
    index: "site",
    key: |item| item.site,
};
const SITE_WITHIN: Reference<Site, Site> = Reference {
    index: "within",
    key: |site| site.within,
};
const PART_ON: Reference<Part, Part> = Reference {
    index: "on",
    key: Part::on,
};
const PART_SITE: Reference<Part, Site> = Reference {
    index: "site",
    key: |part| part.site,
};
const PART_ITEM: Reference<Part, Item> = Reference {
    index: "item",
    key: |part| part.item.clone(),
};

/// The records of a table that break a rule.
type Offenders<T> = Vec<(<T as Table>::Key, Broken)>;

pub(crate) fn items(state: &State) -> Offenders<Item> {
    let found = ITEM_SITE.dangling(state);
    found.map(|(item, broken)| (item.id(), broken)).collect()
}

pub(crate) fn sites(state: &State) -> Offenders<Site> {
    let unsound = state.sites.values().map(|(site, ..)| site);
    let unsound = unsound.filter(|site| !site.is_sound()).map(|site| {
        let broken = Broken::Check {
            table: Site::NAME,
            check: "Site::is_sound",
            key: bytes(&site.id),
        };
        (site, broken)
    });
    let found = SITE_WITHIN.dangling(state).chain(unsound);
    found.map(|(site, broken)| (site.id(), broken)).collect()
}

pub(crate) fn parts(state: &State) -> Offenders<Part> {
    let found = PART_ON.dangling(state).chain(PART_SITE.dangling(state));
    let found = found.chain(PART_ITEM.dangling(state));
    found.map(|(part, broken)| (part.id(), broken)).collect()
}

/// All rules that do not hold.
pub(crate) fn broken(state: &State) -> Vec<Broken> {
    fn rules<T: Model>(offenders: Offenders<T>) -> impl Iterator<Item = Broken> {
        offenders.into_iter().map(|(_, broken)| broken)
    }
    let all = rules::<Item>(items(state)).chain(rules::<Site>(sites(state)));
    all.chain(rules::<Part>(parts(state))).collect()
}
