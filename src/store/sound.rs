//! What is asked of the tables of a schema when a store of them is made: that names mean the same
//! everywhere, which no compiler can tell; and the rules of local and derived tables. Of tables that the
//! derives have made these have been tested when the program was compiled: here they are for those whose
//! `Table` was written by hand, which no derive has seen.

use super::erased::{Follow, TableOps};

/// What is wrong with a table, if something is.
fn flaw(table: &dyn TableOps, tables: &[Box<dyn TableOps>]) -> Option<String> {
    namesake(table, tables).or_else(|| misfit(table, tables))
}

/// A table of another record type than is meant.
fn namesake(table: &dyn TableOps, tables: &[Box<dyn TableOps>]) -> Option<String> {
    let mut others = table.others().into_iter();
    others.find_map(|(how, name, record)| {
        let found = find(tables, name)?;
        (found.record() != record).then(|| {
            format!(
                "{how} a table {name} of other records than the schema's: two record types have that name"
            )
        })
    })
}

/// Something by which replicas would come to differ.
fn misfit(table: &dyn TableOps, tables: &[Box<dyn TableOps>]) -> Option<String> {
    let own = is_own(table);
    for index in (0..).map_while(|i| table.index(i)) {
        if own && index.unique {
            return Some(format!(
                "is local, and its index {} is unique: a local table refuses no record, for replicas differ \
                 in which it has",
                index.name
            ));
        }
        let Some((name, follow)) = index.references else {
            continue;
        };
        if own && follow != Follow::Cascade {
            return Some(format!(
                "is local, and its index {} refers to table {name} without `cascade`: a local table is in the \
                 way of no deletion, for replicas differ in what it has",
                index.name
            ));
        }
        if is_derived(table) {
            return Some(format!(
                "is derived, and its index {} refers to table {name}: what it has is what its function makes of \
                 its sources",
                index.name
            ));
        }
        let Some(target) = find(tables, name) else {
            continue;
        };
        if is_derived(target) {
            return Some(format!(
                "refers to table {name}, which is derived: that is written by its function alone"
            ));
        }
        if !own && is_own(target) {
            return Some(format!(
                "refers to table {name}, which is local: replicas differ in what it has"
            ));
        }
    }
    if !is_derived(table) {
        return None;
    }
    if !table.is_local() {
        return Some("is derived, and not local: what is derived is in no image".to_owned());
    }
    if let Some(check) = table.checks().first() {
        return Some(format!(
            "is derived, and has a check {check}: expected that of its sources"
        ));
    }
    table.sources().into_iter().find_map(|name| {
        let source = find(tables, name)?;
        if is_derived(source) {
            Some(format!(
                "is derived from table {name}, which is derived: expected the sources of that"
            ))
        } else if is_own(source) {
            Some(format!(
                "is derived from table {name}, which is local: what its function makes of that would differ \
                 from replica to replica"
            ))
        } else {
            None
        }
    })
}

fn find<'t>(tables: &'t [Box<dyn TableOps>], name: &str) -> Option<&'t dyn TableOps> {
    let found = tables.iter().find(|table| table.name() == name)?;
    Some(&**found)
}

fn is_derived(table: &dyn TableOps) -> bool {
    !table.sources().is_empty()
}

/// Whether it is the process's own, so that replicas differ in it: of what is derived they do not.
fn is_own(table: &dyn TableOps) -> bool {
    table.is_local() && !is_derived(table)
}

/// # Panics
///
/// If a table refers to, or is derived from, one of another record type than the schema's table of
/// that name; or breaks a rule of local or of derived tables.
pub(super) fn assert_sound(tables: &[Box<dyn TableOps>]) {
    for table in tables {
        if let Some(flaw) = flaw(&**table, tables) {
            panic!("table {} {flaw}", table.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::derive::Derivation;
    use super::super::erased::table_ops;
    use super::super::reader::TableReader;
    use super::super::view::Readable;
    use super::super::write::TableWriter;
    use super::*;
    use crate::key::{Key, KeyBuf};
    use crate::schema::{CheckDef, IndexDef, OnDelete, Reference, Table};
    use serde::{Deserialize, Serialize};
    use std::any::TypeId;

    /// A table that no derive has looked at.
    macro_rules! table {
        ($name:ident, $local:expr, $indexes:expr, $checks:expr, $sources:expr) => {
            #[derive(PartialEq, Serialize, Deserialize)]
            struct $name(u8);

            impl Table for $name {
                const NAME: &'static str = stringify!($name);
                const FIELDS: &'static [&'static str] = &["id"];
                const PRIMARY_KEY: &'static [&'static str] = &["id"];
                const INDEXES: &'static [IndexDef<Self>] = &$indexes;
                const CHECKS: &'static [CheckDef<Self>] = &$checks;
                const LOCAL: bool = $local;
                type Key = u8;

                fn encode_key(&self, out: &mut KeyBuf) {
                    self.0.encode(out);
                }
            }

            impl Readable for $name {
                type Reader<'a> = TableReader<'a, Self>;
                type Writer<'a> = TableWriter<'a, Self>;
                const DERIVATIONS: &'static [Derivation<Self>] = &$sources;
                const TABLE: &'static str = <Self as Table>::NAME;
                const OWN: bool = <Self as Table>::LOCAL && !Self::DERIVED;
                const REFERRING: &'static [IndexDef<Self>] = <Self as Table>::INDEXES;

                fn ops() -> Box<dyn TableOps> {
                    table_ops::<Self>()
                }
            }
        };
    }

    macro_rules! index {
        () => {
            IndexDef::new("by", &["id"], |row: &Self, sink| {
                sink.push(|out| row.0.encode(out))
            })
        };
        ($target:ident, $on_delete:ident) => {
            index!().references(Reference::new(
                $target::NAME,
                TypeId::of::<$target>,
                OnDelete::$on_delete,
            ))
        };
    }

    macro_rules! from {
        ($source:ident) => {
            Derivation::new($source::NAME, TypeId::of::<$source>, |_, _| Ok(()))
        };
    }

    table!(Plain, false, [index!().unique()], [], []);
    table!(Refers, false, [index!(Plain, Restrict)], [], []);
    table!(Own, true, [index!(), index!(Plain, Cascade)], [], []);
    table!(OwnOfOwn, true, [index!(Own, Cascade)], [], []);
    table!(Derived, true, [index!().unique()], [], [from!(Plain)]);

    table!(Unique, true, [index!(), index!().unique()], [], []);
    table!(Restricts, true, [index!(Plain, Restrict)], [], []);
    table!(ToOwn, false, [index!(Own, Cascade)], [], []);
    table!(ToDerived, false, [index!(Derived, Cascade)], [], []);
    table!(OwnToDerived, true, [index!(Derived, Cascade)], [], []);
    table!(OfOwn, true, [], [], [from!(Plain), from!(Own)]);
    table!(OfDerived, true, [], [], [from!(Derived)]);
    table!(InImages, false, [], [], [from!(Plain)]);
    table!(
        Referring,
        true,
        [index!(Plain, Cascade)],
        [],
        [from!(Plain)]
    );
    table!(
        Checked,
        true,
        [],
        [CheckDef::new("is_so", |_| true)],
        [from!(Plain)]
    );

    fn flaw_of<T: Table + Readable>() -> Option<String> {
        let tables = [
            table_ops::<Plain>(),
            table_ops::<Own>(),
            table_ops::<Derived>(),
            table_ops::<T>(),
        ];
        flaw(&*tables[3], &tables)
    }

    #[test]
    fn tables_that_keep_the_rules() {
        assert_eq!(flaw_of::<Plain>(), None);
        assert_eq!(flaw_of::<Refers>(), None);
        assert_eq!(flaw_of::<Own>(), None);
        assert_eq!(flaw_of::<OwnOfOwn>(), None);
        assert_eq!(flaw_of::<Derived>(), None);
    }

    #[test]
    fn tables_that_break_one() {
        let flaws = [
            flaw_of::<Unique>(),
            flaw_of::<Restricts>(),
            flaw_of::<ToOwn>(),
            flaw_of::<ToDerived>(),
            flaw_of::<OwnToDerived>(),
            flaw_of::<OfOwn>(),
            flaw_of::<OfDerived>(),
            flaw_of::<InImages>(),
            flaw_of::<Referring>(),
            flaw_of::<Checked>(),
        ];
        let begin = [
            "is local, and its index by is unique",
            "is local, and its index by refers to table Plain without `cascade`",
            "refers to table Own, which is local",
            "refers to table Derived, which is derived",
            "refers to table Derived, which is derived",
            "is derived from table Own, which is local",
            "is derived from table Derived, which is derived",
            "is derived, and not local",
            "is derived, and its index by refers to table Plain",
            "is derived, and has a check is_so",
        ];
        for (flaw, begin) in flaws.into_iter().zip(begin) {
            let flaw = flaw.unwrap_or_default();
            assert!(flaw.starts_with(begin), "{flaw:?} is not {begin:?}");
        }
    }
}
