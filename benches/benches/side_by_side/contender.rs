//! One system in the contest, with everything but its type.

use std::sync::Arc;
use std::time::Duration;

use highwater_benches::check::check;
use highwater_benches::entrant::{Entrant, Orders};
use highwater_benches::pace::Done;
use highwater_benches::record::Service;
use highwater_benches::systems::{Prefixes, Visitor, visit};

use crate::work::Work;

/// A system with everything but its type.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;
    fn title(&self) -> &'static str;
    fn how(&self) -> &'static str;
    /// Writes a part of the first load.
    fn load(&self, part: &[usize]) -> Duration;
    /// Does some work `times` times (or for `slice`, where a second thread is at work).
    fn work(&mut self, work: Work, times: usize, slice: Duration) -> Done;
    /// What its answers come to, after the load.
    fn sum(&self) -> u64;
    /// Panics if the system does not do the work it is measured for.
    fn check(&mut self);
}

/// Makes the contender called `name`, which must be the name of a system.
pub(crate) fn contender(name: &str, orders: &Arc<Orders<Service>>) -> Box<dyn Contender> {
    struct Enter {
        orders: Arc<Orders<Service>>,
        made: Option<Box<dyn Contender>>,
    }
    impl Visitor for Enter {
        fn visit<S: Prefixes + 'static>(&mut self) {
            let orders = Arc::clone(&self.orders);
            self.made = Some(Box::new(Entrant::<Service, S>::new(orders)));
        }
    }
    let mut enter = Enter {
        orders: Arc::clone(orders),
        made: None,
    };
    visit(name, &mut enter);
    enter.made.expect("options name systems that there are")
}

impl<S: Prefixes> Contender for Entrant<Service, S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn title(&self) -> &'static str {
        S::TITLE
    }

    fn how(&self) -> &'static str {
        S::HOW
    }

    fn load(&self, part: &[usize]) -> Duration {
        Self::load(self, part)
    }

    fn sum(&self) -> u64 {
        Self::sum(self)
    }

    fn check(&mut self) {
        let revision = self.revise();
        check(&self.system, &self.orders.data, revision);
    }

    fn work(&mut self, work: Work, times: usize, slice: Duration) -> Done {
        let at = self.advance(times);
        match work {
            Work::Get => self.get(at, times),
            Work::View => self.view(times),
            Work::ViewAndGet => self.view_and_get(at, times),
            Work::ListByNode => self.list(&self.orders.nodes, at, times, |view, node, eye| {
                S::by_node(view, node, |service| eye.see(service));
            }),
            Work::Scan => self.scan(times),
            Work::ScanPrefix => self.list(&self.orders.prefixes, at, times, |view, prefix, eye| {
                S::by_prefix(view, prefix, |service| eye.see(service));
            }),
            Work::UpsertOne => self.upsert(at, times, 1),
            Work::UpsertHundred => self.upsert(at, times, 100),
            Work::DeleteOne => self.delete(at, times),
            Work::GetBesideWriter => self.get_beside_writer(at, slice),
        }
    }
}
