//! Work in slices: stretches of time, filled with as many operations as fit.

use std::time::Duration;

/// Most operations in one slice: bounds what is prepared for it.
pub const MOST: usize = 1_000_000;
/// Most records written in one slice.
pub const MOST_WRITES: usize = 50_000;

/// What was done in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Operations, or records where the row counts records.
    pub units: usize,
    /// How long they took.
    pub elapsed: Duration,
    /// Commits of the writer beside, if there was one.
    pub commits: u64,
}

impl Done {
    /// What no other thread was beside.
    pub fn alone(units: usize, elapsed: Duration) -> Self {
        Self {
            units,
            elapsed,
            commits: 0,
        }
    }

    /// Nanoseconds for each unit.
    pub fn per_unit(&self) -> f64 {
        per(self.elapsed, self.units)
    }
}

/// How often `work` can be done in a slice; finding out warms up.
pub fn pace(slice: Duration, most: usize, mut work: impl FnMut(usize) -> Done) -> usize {
    let mut times = 1;
    loop {
        let elapsed = work(times).elapsed;
        if elapsed >= slice / 8 || times >= most {
            let fit = slice.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            // Each factor is far below 2^53, and the product is cut to a range of `usize`.
            return whole((fit * float(times)).clamp(1.0, float(most)));
        }
        times = (times * 4).min(most);
    }
}

/// Nanoseconds for each of `units`.
pub fn per(elapsed: Duration, units: usize) -> f64 {
    elapsed.as_secs_f64() * 1e9 / float(units.max(1))
}

/// The middle one, or what is half way between the two in the middle.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub fn float(n: usize) -> f64 {
    n as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller keeps it between 1 and a small bound"
)]
fn whole(x: f64) -> usize {
    x as usize
}
