//! Durations as Consul's clients write them: `10s`, `1m30s`, `500ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration, written as Go writes durations: decimal numbers, each with a unit of `ns`, `us`,
/// `ms`, `s`, `m`, `h`. In JSON also a number of nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

impl GoDuration {
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

/// The text was not a duration.
#[derive(Debug, PartialEq, Eq)]
pub struct NotADuration;

impl fmt::Display for NotADuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a duration: expected numbers with units, such as 10s, 1m30s or 500ms")
    }
}

impl FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        if text == "0" {
            return Ok(GoDuration::default());
        }
        if text.is_empty() {
            return Err(NotADuration);
        }
        let mut total = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let unit_at = rest
                .find(|c: char| c != '.' && !c.is_ascii_digit())
                .ok_or(NotADuration)?;
            let (number, tail) = rest.split_at(unit_at);
            let next = tail
                .find(|c: char| c == '.' || c.is_ascii_digit())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(next);
            total = total.checked_add(part(number, unit)?).ok_or(NotADuration)?;
            rest = tail;
        }
        // Go counts nanoseconds in 63 bits: about 292 years.
        if total.as_nanos() > i64::MAX as u128 {
            Err(NotADuration)
        } else {
            Ok(GoDuration(total))
        }
    }
}

fn part(number: &str, unit: &str) -> Result<Duration, NotADuration> {
    let nanos: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(NotADuration),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(NotADuration);
    }
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().map_err(|_| NotADuration)?
    };
    let mut sum = whole.checked_mul(nanos).ok_or(NotADuration)?;
    let mut scale = nanos;
    for digit in fraction.bytes() {
        scale /= 10;
        sum = sum
            .checked_add(u64::from(digit - b'0') * scale)
            .ok_or(NotADuration)?;
    }
    Ok(Duration::from_nanos(sum))
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        if seconds == 0 && nanos > 0 {
            return if nanos % 1_000_000 == 0 {
                write!(f, "{}ms", nanos / 1_000_000)
            } else {
                write!(f, "{nanos}ns")
            };
        }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if seconds >= 60 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}", seconds % 60)?;
        if nanos > 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("s")
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
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

    fn parse(text: &str) -> Result<Duration, NotADuration> {
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
            ("3000µs", 3),
            ("1000000ns", 1),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
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
            assert_eq!(parse(text), Err(NotADuration), "{text:?}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in [
            "10s", "1m0s", "1m30s", "500ms", "1.5s", "2h0m0s", "1h0m1s", "7ns", "0s",
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
