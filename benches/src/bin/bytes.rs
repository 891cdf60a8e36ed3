//! `bench-bytes SYSTEM RECORDS KEYS`: loads the records into the system and prints, as JSON, how many
//! bytes it keeps for them. KEYS is the kind of the primary keys, or `tree` for a tree alone.
//!
//! A program of its own because counting needs a global allocator that counts, which what is timed
//! should not run on. Counted are bytes asked for and not yet given back, without what the allocator
//! adds; a system that allocates elsewhere adds what it says of itself.

use std::process::ExitCode;
use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use highwater_benches::data::{Data, LOAD, Random};
use highwater_benches::record::{Record, Service};
use highwater_benches::systems::{KeyedVisitor, System, Visitor, visit, visit_keyed};
use highwater_benches::trees::{Tree, TreeVisitor, item, visit_tree};

struct Count {
    records: usize,
}

impl Visitor for Count {
    fn visit<S: System + 'static>(&mut self) {
        count::<Service, S>(self.records);
    }
}

impl KeyedVisitor for Count {
    fn visit<R: Record, S: System<R> + 'static>(&mut self) {
        count::<R, S>(self.records);
    }
}

impl TreeVisitor for Count {
    fn visit<T: Tree + 'static>(&mut self) {
        let order = Random::new(2).permutation(self.records);
        let mut tree = None;
        let counted = measure(|| {
            let tree = tree.insert(T::create());
            for &i in &order {
                tree.insert(item(i));
            }
        });
        let mut items = Vec::with_capacity(self.records);
        let alone = measure(|| items.extend(order.iter().map(|&i| Arc::new(item(i)))));
        tell(current(counted), current(alone));
        std::mem::forget((tree, items));
    }
}

fn count<R: Record, S: System<R>>(records: usize) {
    let data = Data::new(records);
    let order = Random::new(2).permutation(records);
    let mut system = None;
    let counted = measure(|| {
        let system = system.insert(S::create());
        for batch in order.chunks(LOAD) {
            system.upsert(batch.iter().map(|&i| data.record(i, 0)));
        }
    });
    let foreign = system.as_ref().map_or(0, System::foreign_bytes);
    let own = if S::ENCODES {
        encoded(&data)
    } else {
        in_arcs::<R>(&data)
    };
    tell(current(counted) + foreign, own);
    // Millions of nodes need not be freed one by one.
    std::mem::forget(system);
}

fn current(counted: AllocationInfo) -> u64 {
    counted.bytes_current.max(0).unsigned_abs()
}

fn tell(kept: u64, records: u64) {
    println!(
        "{}",
        serde_json::json!({ "kept": kept, "records": records })
    );
}

/// Bytes of the records' fields alone.
fn encoded(data: &Data) -> u64 {
    let size = |record: Service| {
        let texts = [record.id, record.node, record.name].map(|text| text.len());
        let tags: usize = record.tags.iter().map(String::len).sum();
        texts.iter().sum::<usize>() + tags + size_of_val(&record.port) + record.payload.len()
    };
    (0..data.len())
        .map(|i| u64::try_from(size(data.record(i, 0))).expect("it is small"))
        .sum()
}

/// Bytes of the records as values, each in an `Arc`.
fn in_arcs<R: Record>(data: &Data) -> u64 {
    let mut records = Vec::with_capacity(data.len());
    let counted =
        measure(|| records.extend((0..data.len()).map(|i| Arc::new(data.record::<R>(i, 0)))));
    std::mem::forget(records);
    current(counted)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [system, records, keys] = arguments.as_slice()
        && let Ok(records) = records.parse()
    {
        let mut count = Count { records };
        let counted = match keys.as_str() {
            "tree" => visit_tree(system, &mut count),
            // Some systems are there for text alone.
            keys => {
                visit_keyed(system, keys, &mut count)
                    || keys == Service::KEYS && visit(system, &mut count)
            }
        };
        if counted {
            return ExitCode::SUCCESS;
        }
    }
    eprintln!("usage: bench-bytes SYSTEM RECORDS KEYS");
    ExitCode::FAILURE
}
