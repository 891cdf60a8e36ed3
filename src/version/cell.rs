//! The cell a version is published through.
//!
//! An `arc-swap`, which `loom` cannot see inside; under `--cfg loom` a mutex stands in for it,
//! with the same promise: a load gives a counted handle of what was stored last.

use super::record::Version;

#[cfg(not(loom))]
#[derive(Debug)]
pub(super) struct Cell<P: Send + Sync + 'static>(arc_swap::ArcSwapAny<Option<Version<P>>>);

#[cfg(not(loom))]
impl<P: Send + Sync + 'static> Cell<P> {
    pub(super) fn new() -> Self {
        Cell(arc_swap::ArcSwapAny::new(None))
    }

    pub(super) fn load(&self) -> Option<Version<P>> {
        self.0.load_full()
    }

    pub(super) fn swap(&self, version: Option<Version<P>>) -> Option<Version<P>> {
        self.0.swap(version)
    }
}

#[cfg(loom)]
#[derive(Debug)]
pub(super) struct Cell<P: Send + Sync + 'static>(loom::sync::Mutex<Option<Version<P>>>);

#[cfg(loom)]
impl<P: Send + Sync + 'static> Cell<P> {
    pub(super) fn new() -> Self {
        Cell(loom::sync::Mutex::new(None))
    }

    pub(super) fn load(&self) -> Option<Version<P>> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn swap(&self, version: Option<Version<P>>) -> Option<Version<P>> {
        std::mem::replace(&mut *self.0.lock().unwrap(), version)
    }
}
