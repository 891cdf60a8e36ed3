//! That a system does the work it is measured for: every index, after every kind of write.

use crate::data::{Data, PER_NODE, PER_PREFIX};
use crate::record::{Record, Service};
use crate::systems::{Prefixes, System};

/// Records looked at closely.
const SAMPLE: usize = 8;

/// Checks a system that holds all of `data`, each record at any revision, and leaves it so.
///
/// `revision` must be one that no record has been written with.
/// Panics if the system's answers are not those that the data demand.
pub fn check<S: Prefixes>(system: &S, data: &Data, revision: u64) {
    let mut i = 0;
    S::scan(&system.view(), |found| {
        assert_eq!(
            found.id,
            Data::id(i),
            "{}: a scan sees every id in order",
            S::NAME
        );
        i += 1;
    });
    assert_eq!(i, data.len(), "{}: a scan sees all", S::NAME);

    let sample = || (0..SAMPLE).map(|i| i * (data.len() - 1) / (SAMPLE - 1));
    system.upsert(sample().map(|i| data.record(i, revision)));
    for i in sample() {
        let record: Service = data.record(i, revision);
        let others = found_everywhere(system, &record);
        let per_node = PER_NODE.min(data.len());
        assert_eq!(others.node, per_node, "{}: records on a node", S::NAME);
        check_prefix(system, data, i);

        let moved = Service {
            node: "node-elsewhere".to_owned(),
            name: "service-other".to_owned(),
            tags: vec!["tag-other".to_owned()],
            ..record.clone()
        };
        system.upsert([moved.clone()]);
        nowhere(system, &record);
        assert_eq!(
            found_everywhere(system, &moved),
            Others::alone(),
            "{}",
            S::NAME
        );

        assert!(
            system.delete(&record.id),
            "{}: the record was there",
            S::NAME
        );
        assert!(
            !system.delete(&record.id),
            "{}: the record was gone",
            S::NAME
        );
        nowhere(system, &moved);

        system.upsert([record.clone()]);
        assert_eq!(
            found_everywhere(system, &record),
            others,
            "{}: all back",
            S::NAME
        );
    }
}

/// A number that the answers of all systems to the same questions come to, after the same load: of a
/// scan, and of look-ups by every index.
pub fn sum<R: Record, S: System<R>>(system: &S, data: &Data) -> u64 {
    let view = &system.view();
    let mut sum = Sum::default();
    let mut see = |record: &R| {
        let (first, _) = record
            .payload()
            .split_first_chunk()
            .expect("payloads are longer");
        sum.add(u64::from_le_bytes(*first) ^ u64::from(record.port()));
    };
    S::scan(view, &mut see);
    for i in 0..SAMPLE {
        let record: R = data.record(i * (data.len() - 1) / (SAMPLE - 1), 0);
        S::get(view, record.key(), &mut see);
        S::by_node(view, record.node(), &mut see);
        S::by_name(view, record.name(), &mut see);
        for tag in record.tags() {
            S::by_tag(view, tag, &mut see);
        }
        S::by_name_node(view, record.name(), record.node(), &mut see);
    }
    sum.get()
}

/// A number that depends on numbers and their order (FNV-1a, by words).
#[derive(Clone, Copy, Debug)]
pub struct Sum(u64);

impl Default for Sum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Sum {
    /// Takes the next number in.
    pub fn add(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// What all numbers came to.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// How many records share an index key with the one that was looked for.
#[derive(Debug, PartialEq, Eq)]
struct Others {
    node: usize,
    name: usize,
    tags: Vec<usize>,
    pair: usize,
}

impl Others {
    fn alone() -> Self {
        Self {
            node: 1,
            name: 1,
            tags: vec![1],
            pair: 1,
        }
    }
}

/// Runs a read that must find records in the order of their ids, and `record` once among them.
fn found(what: &str, record: &Service, read: impl FnOnce(&mut dyn FnMut(&Service))) -> usize {
    let mut seen = Vec::new();
    read(&mut |service| seen.push(service.clone()));
    assert!(
        seen.is_sorted_by(|a, b| a.id < b.id),
        "{what}: in the order of ids"
    );
    assert_eq!(
        seen.iter()
            .filter(|service| service.id == record.id)
            .collect::<Vec<_>>(),
        [record],
        "{what}: finds the record as it is now"
    );
    seen.len()
}

fn found_everywhere<S: System>(system: &S, record: &Service) -> Others {
    let view = &system.view();
    let id = found(S::NAME, record, |see| S::get(view, &record.id, see));
    assert_eq!(id, 1, "{}: one record has the id", S::NAME);
    Others {
        node: found(S::NAME, record, |see| S::by_node(view, &record.node, see)),
        name: found(S::NAME, record, |see| S::by_name(view, &record.name, see)),
        tags: (record.tags.iter())
            .map(|tag| found(S::NAME, record, |see| S::by_tag(view, tag, see)))
            .collect(),
        pair: found(S::NAME, record, |see| {
            S::by_name_node(view, &record.name, &record.node, see);
        }),
    }
}

/// No index leads to the record by these keys.
fn nowhere<S: System>(system: &S, record: &Service) {
    let view = &system.view();
    let absent = |found: &Service| {
        assert_ne!(
            found.id,
            record.id,
            "{}: an index has a key the record lost",
            S::NAME
        );
    };
    S::by_node(view, &record.node, absent);
    S::by_name(view, &record.name, absent);
    for tag in &record.tags {
        S::by_tag(view, tag, absent);
    }
    S::by_name_node(view, &record.name, &record.node, absent);
}

fn check_prefix<S: Prefixes>(system: &S, data: &Data, i: usize) {
    let first = i / PER_PREFIX * PER_PREFIX;
    let last = data.len().min(first + PER_PREFIX);
    let mut ids = Vec::new();
    S::by_prefix(&system.view(), &Data::prefix(i / PER_PREFIX), |found| {
        ids.push(found.id.clone());
    });
    assert!(
        ids.into_iter().eq((first..last).map(Data::id)),
        "{}: ids of a prefix",
        S::NAME
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::{KEYED, KEYS, KeyedVisitor, NAMES, Visitor, visit, visit_keyed};

    struct Check;

    impl Visitor for Check {
        fn visit<S: Prefixes + 'static>(&mut self) {
            let data = Data::new(2_000);
            let system = S::create();
            for start in (0..data.len()).step_by(500) {
                system.upsert((start..start + 500).map(|i| data.record(i, 0)));
            }
            check(&system, &data, 1);
            check(&system, &data, 2);
        }
    }

    #[test]
    fn every_system_does_the_work() {
        for name in NAMES {
            assert!(visit(name, &mut Check), "{name} is a system");
        }
    }

    #[derive(Default)]
    struct Sums(Vec<u64>);

    impl KeyedVisitor for Sums {
        fn visit<R: Record, S: System<R> + 'static>(&mut self) {
            let data = Data::new(2_000);
            let system = S::create();
            for &i in &crate::data::Random::new(2).permutation(data.len()) {
                system.upsert([data.record(i, 1)]);
            }
            system.upsert((0..data.len()).map(|i| data.record(i, 0)));
            self.0.push(sum(&system, &data));
            assert!(system.delete(data.record::<R>(7, 0).key()));
            assert_ne!(sum(&system, &data), self.0[0], "one record is missing");
        }
    }

    #[test]
    fn all_systems_answer_alike_with_every_kind_of_key() {
        for keys in KEYS {
            let mut sums = Sums::default();
            for name in KEYED {
                assert!(visit_keyed(name, keys, &mut sums), "{name} has {keys}");
            }
            assert!(
                sums.0.iter().all(|&sum| sum == sums.0[0]),
                "{keys}: {sums:x?}",
                sums = sums.0
            );
        }
    }
}
