//! `bench-bytes SYSTEM RECORDS`: loads the records into the system and prints, as JSON, how many
//! bytes it keeps for them.
//!
//! A program of its own because counting needs a global allocator that counts, which what is timed
//! should not run on. Counted are bytes asked for and not yet given back, without what the allocator
//! adds; a system that allocates elsewhere adds what it says of itself.

use std::process::ExitCode;
use std::sync::Arc;

use allocation_counter::measure;
use highwater_benches::data::{Data, LOAD, Random, Service};
use highwater_benches::systems::{System, Visitor, visit};

struct Count {
    records: usize,
}

impl Visitor for Count {
    fn visit<S: System + 'static>(&mut self) {
        let data = Data::new(self.records);
        let order = Random::new(2).permutation(self.records);
        let mut system = None;
        let counted = measure(|| {
            let system = system.insert(S::create());
            for batch in order.chunks(LOAD) {
                system.upsert(batch.iter().map(|&i| data.record(i, 0)));
            }
        });
        let foreign = system.as_ref().map_or(0, System::foreign_bytes);
        let kept = counted.bytes_current.max(0).unsigned_abs() + foreign;
        let own = if S::ENCODES {
            encoded(&data)
        } else {
            in_arcs(&data)
        };
        println!("{}", serde_json::json!({ "kept": kept, "records": own }));
        // Millions of nodes need not be freed one by one.
        std::mem::forget(system);
    }
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
fn in_arcs(data: &Data) -> u64 {
    let mut records = Vec::with_capacity(data.len());
    let counted = measure(|| records.extend((0..data.len()).map(|i| Arc::new(data.record(i, 0)))));
    std::mem::forget(records);
    counted.bytes_current.max(0).unsigned_abs()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [system, records] = arguments.as_slice()
        && let Ok(records) = records.parse()
        && visit(system, &mut Count { records })
    {
        return ExitCode::SUCCESS;
    }
    eprintln!("usage: bench-bytes SYSTEM RECORDS");
    ExitCode::FAILURE
}
