//! Random compositions of everything a store does, against a model of `BTreeMap`s.
//!
//! After each step what the transaction or the store shows is compared with the model, and so are the
//! answers that the transaction gives to some of the queries; after each commit so are the snapshots
//! held, the watches (exactly those fire whose content some entry changed), the index of every query
//! of a fixed pool (never earlier than the truth, never falling), and what a follower of the feed
//! has put together.

mod derived;
mod forks;
mod images;
mod item;
mod op;
mod own;
mod part;
mod query;
mod rules;
mod running;
mod site;
mod state;
mod walks;
mod world;

use self::op::{Op, op};
use self::query::pool;
use self::world::{Held, Seen, World};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_store_behaves_as_its_model(ops in vec(op(), 1..160)) {
        let pool = pool();
        let mut world = World::new(&pool);
        for query in pool {
            world.step(Op::Watch(query));
        }
        world.step(Op::Follow);
        world.step(Op::InsertSites(false, site::all()));
        world.step(Op::Commit { mend: true });
        for op in ops {
            world.step(op);
        }
        world.commit();
        // What was held outlives the store.
        let World { store, held, seen, .. } = world;
        drop(store);
        held.iter().for_each(Held::check);
        seen.iter().for_each(Seen::check);
    }
}
