//! The journal through the public interface: what is answered is there again.
//!
//! | module | is about |
//! |---|---|
//! | `proposals` | what is proposed, and its answers |
//! | `images` | images, and the log that they cut |
//! | `ends` | closed and halted journals, and what is found by the next |
//! | `damage` | files that are damaged, old or gone |
#![cfg(feature = "journal")]

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod ends;
mod images;
mod proposals;

use common::{Bank, Request};
use highwater::journal::{Journal, JournalOptions, Recovery};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll, Wake};
use std::thread;
use std::time::{Duration, Instant};

type Bankbook = Journal<Bank, Request>;

fn open(dir: &Path) -> (Bankbook, Recovery) {
    Journal::open(dir, JournalOptions::default()).unwrap()
}

fn count(id: &str) -> Request {
    Request::Count { id: id.into() }
}

/// Waits for a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut task::Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn images(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("image-")
        })
        .collect();
    found.sort();
    found
}
