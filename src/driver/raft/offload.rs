//! Where that which waits for the disk runs.

use super::NodeError;
use crate::driver::answer::answer;
use crate::driver::disk::DiskError;
use crate::fsm::panic_message;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

/// Where that which waits for the disk runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocking {
    /// On threads of its own.
    #[default]
    Threads,
    /// On the task that asks for it: for simulations, which are one thread.
    Inline,
}

/// Runs something that takes long. A panic in it is an error.
pub(in super::super) async fn run<R: Send + 'static>(
    blocking: Blocking,
    path: &Path,
    work: impl FnOnce() -> Result<R, NodeError> + Send + 'static,
) -> Result<R, NodeError> {
    let guarded = {
        let path = path.to_owned();
        move || {
            catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
                let what = format!("a panic: {}", panic_message(panic.as_ref()));
                Err(DiskError::damaged(&path, None, what).into())
            })
        }
    };
    if blocking == Blocking::Inline {
        return guarded();
    }
    let (giver, asked) = answer();
    thread::Builder::new()
        .name("highwater-image".to_owned())
        .spawn(move || giver.give(guarded()))
        .map_err(|e| DiskError::io(path, "start a thread for", e))?;
    asked
        .await
        .unwrap_or_else(|| Err(DiskError::damaged(path, None, "its thread ended").into()))
}
