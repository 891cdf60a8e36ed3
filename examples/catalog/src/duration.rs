//! Durations as Consul's clients write them: `10s`, `1m30s`, `500ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration, written as Go writes durations: decimal numbers, each with a unit of `ns`, `us`,
/// `ms`, `s`, `m`, `h`. In JSON also a number of nanoseconds; nothing is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

impl GoDuration {
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

const NOT_ONE: &str = "not a duration: expected numbers with units, such as 10s, 1m30s or 500ms";

impl FromStr for GoDuration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" {
            return Ok(GoDuration::default());
        }
        // Go counts nanoseconds in 63 bits: about 292 years.
        let known = parse(text).filter(|time| time.as_nanos() <= i64::MAX as u128);
        known.map(GoDuration).ok_or(NOT_ONE)
    }
}

fn parse(text: &str) -> Option<Duration> {
    let is_of_number = |c: char| c == '.' || c.is_ascii_digit();
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c| !is_of_number(c))?);
        let (unit, tail) = tail.split_at(tail.find(is_of_number).unwrap_or(tail.len()));
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = number.parse::<f64>().ok()? * seconds;
        total = total.checked_add(Duration::try_from_secs_f64(part).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, seconds) = (self.0.as_secs() / 60, self.0.as_secs() % 60);
        if self.is_zero() {
            return f.write_str("0s");
        } else if minutes == 0 {
            return fmt_short(self.0.as_nanos(), f);
        } else if minutes >= 60 {
            write!(f, "{}h", minutes / 60)?;
        }
        let part = decimals(self.0.subsec_nanos().into(), 9);
        write!(f, "{}m{seconds}{part}s", minutes % 60)
    }
}

/// Less than a minute, in the largest unit of which there is one.
fn fmt_short(nanos: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (unit, digits) = match nanos {
        0..1_000 => ("ns", 0),
        1_000..1_000_000 => ("µs", 3),
        1_000_000..1_000_000_000 => ("ms", 6),
        _ => ("s", 9),
    };
    let one = 10_u128.pow(digits);
    write!(f, "{}{}{unit}", nanos / one, decimals(nanos % one, digits))
}

/// What follows the whole units: so many digits after a point, without the zeros they end in.
fn decimals(part: u128, digits: u32) -> String {
    let text = format!(".{part:0width$}", width = digits as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_zero() {
            return serializer.serialize_str("");
        }
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Nanos(u64),
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) if text.is_empty() => Ok(GoDuration::default()),
            Form::Text(text) => text.parse().map_err(de::Error::custom),
            Form::Nanos(nanos) => Ok(GoDuration(Duration::from_nanos(nanos))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Duration, &str> {
        text.parse().map(|GoDuration(duration)| duration)
    }

    #[test]
    fn reads_what_clients_write() {
        for (text, millis) in [
            ("10s", 10_000),
            ("5m", 300_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("2000us", 2),
            ("0.3s", 300),
            ("8760h", 31_536_000_000),
            ("3000µs", 3),
            ("1000000ns", 1),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(read(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "10",
            "s",
            ".",
            ".s",
            "1.2.3s",
            "10x",
            "10 s",
            "-1s",
            "1s ",
            "s10",
            "1e3s",
            "99999999999999999999s",
            "9999999h",
            "é",
            "10é",
        ] {
            assert_eq!(read(text), Err(NOT_ONE), "{text:?}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in [
            "10s",
            "1m0s",
            "1m30s",
            "500ms",
            "1.5s",
            "59.999999999s",
            "2h0m0s",
            "1h0m1s",
            "1m0.05s",
            "1.5ms",
            "999.999999ms",
            "1µs",
            "250.05µs",
            "7ns",
            "999ns",
            "0s",
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn in_json_also_a_number() {
        assert_eq!(
            serde_json::from_str::<GoDuration>("1500000000").unwrap().0,
            Duration::from_millis(1500)
        );
        assert_eq!(
            serde_json::from_str::<GoDuration>("\"\"").unwrap().0,
            Duration::ZERO
        );
        assert!(serde_json::from_str::<GoDuration>("\"soon\"").is_err());
    }
}
