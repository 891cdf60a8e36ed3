//! Keys that are times: `Duration`, `SystemTime`.

use super::number::by_value;
use super::{AsKey, Key, KeyBuf};
use std::time::{Duration, SystemTime};

const NANOS_PER_SEC: u32 = 1_000_000_000;

impl Key for Duration {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.as_secs().encode(out);
        self.subsec_nanos().encode(out);
    }
}

/// Times before 1970 included: the seconds are rounded down, so the nanoseconds always count up.
impl Key for SystemTime {
    fn encode(&self, out: &mut KeyBuf) {
        let (secs, nanos) = match self.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => (
                0i64.saturating_add_unsigned(after.as_secs()),
                after.subsec_nanos(),
            ),
            Err(earlier) => {
                let before = earlier.duration();
                let secs = 0i64.saturating_sub_unsigned(before.as_secs());
                match before.subsec_nanos() {
                    0 => (secs, 0),
                    nanos => (secs.saturating_sub(1), NANOS_PER_SEC - nanos),
                }
            }
        };
        secs.encode(out);
        nanos.encode(out);
    }
}

by_value!(Duration, SystemTime);
