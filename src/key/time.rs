//! Keys that are times: `Duration`, `SystemTime`; [`Expires`], a time that something is due at.

use super::number::by_value;
use super::shown::debug;
use super::{AsKey, Encoded, Key, KeyBuf};
use std::time::{Duration, SystemTime};

const NANOS_PER_SEC: u32 = 1_000_000_000;
const NANOS_PER_MILLI: u32 = 1_000_000;

impl Key for Duration {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.as_secs().encode(out);
        self.subsec_nanos().encode(out);
    }

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        let secs = u64::from_be_bytes(encoded.take()?);
        debug(&Duration::new(secs, nanos(encoded)?), out)
    }
}

fn nanos(encoded: &mut Encoded<'_>) -> Option<u32> {
    let nanos = u32::from_be_bytes(encoded.take()?);
    (nanos < NANOS_PER_SEC).then_some(nanos)
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

    /// The time since 1970, or before.
    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        let secs = i64::from_be_bytes(encoded.take()?) ^ i64::MIN;
        let nanos = Duration::new(0, nanos(encoded)?);
        let whole = Duration::from_secs(secs.unsigned_abs());
        if secs < 0 {
            out.push_str("1970 - ");
            debug(&whole.checked_sub(nanos)?, out)
        } else {
            out.push_str("1970 + ");
            debug(&(whole + nanos), out)
        }
    }
}

by_value!(Duration, SystemTime);

/// A time that a record is due at, if it ever is, for `#[expires]`.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` is no time that a record is due at",
    label = "neither a `SystemTime` nor an `Option` of one",
    note = "`#[expires]` takes a `SystemTime`, as the log's clock is, or an `Option` of one for records that \
            are not always due"
)]
pub trait Expires {
    /// The time, if there is one.
    fn deadline(&self) -> Option<&SystemTime>;
}

impl Expires for SystemTime {
    #[inline]
    fn deadline(&self) -> Option<&SystemTime> {
        Some(self)
    }
}

impl Expires for Option<SystemTime> {
    #[inline]
    fn deadline(&self) -> Option<&SystemTime> {
        self.as_ref()
    }
}

/// The first whole millisecond since the Unix epoch, which the log's clock counts in, that is not before
/// `time`.
pub(crate) fn first_millisecond(time: SystemTime) -> SystemTime {
    let Ok(since) = time.duration_since(SystemTime::UNIX_EPOCH) else {
        return SystemTime::UNIX_EPOCH;
    };
    let over = since.subsec_nanos() % NANOS_PER_MILLI;
    let missing = (NANOS_PER_MILLI - over) % NANOS_PER_MILLI;
    time.checked_add(Duration::from_nanos(missing.into()))
        .unwrap_or(time)
}
