//! Lengths of time as people write them: `500ms`, `30s`, `5m`, `2h`, `7d`, or as ISO 8601 and Kafka's
//! tools do: `PT30S`, `P1DT2H`. Only the reading of the text.

use crate::failure::{Failure, Outcome};
use std::time::Duration;

/// A length of time from a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// In milliseconds, as timestamps count.
    pub(crate) fn millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }
}

impl std::str::FromStr for Span {
    type Err = Failure;

    fn from_str(text: &str) -> Outcome<Self> {
        let wrong = || {
            Failure::usage(format!("`{text}` is no length of time"))
                .advise("write it as 500ms, 30s, 5m, 2h or 7d (or PT30S, P1DT2H)")
        };
        if let Some(rest) = text.strip_prefix(['P', 'p']) {
            return iso_ms(rest)
                .map(Duration::from_millis)
                .map(Self)
                .ok_or_else(wrong);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let ms = number.checked_mul(unit_ms).ok_or_else(wrong)?;
        Ok(Self(Duration::from_millis(ms)))
    }
}

/// Milliseconds, of what stands behind the `P`: weeks, days, and behind a `T` hours, minutes and
/// seconds, of which the last may have a fraction. Months and years have no length of their own.
fn iso_ms(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None if text.is_empty() => return None,
        None => (text, ""),
    };
    let date = sum_ms(date, &[('W', 604_800_000), ('D', 86_400_000)])?;
    let time = sum_ms(time, &[('H', 3_600_000), ('M', 60_000), ('S', 1000)])?;
    date.checked_add(time)
}

/// The sum of numbers with units, which come in this order and once at most.
fn sum_ms(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum: u64 = 0;
    for (unit, unit_ms) in units {
        let Some((number, rest)) = text.split_once([*unit, unit.to_ascii_lowercase()]) else {
            continue;
        };
        let ms = match number.split_once('.') {
            Some((whole, fraction)) if *unit == 'S' => {
                let is_number =
                    !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
                let fraction = is_number.then(|| format!("{fraction:0<3}"))?;
                let thousandths: u64 = fraction.get(..3)?.parse().ok()?;
                digits(whole)?
                    .checked_mul(*unit_ms)?
                    .checked_add(thousandths)?
            }
            _ => digits(number)?.checked_mul(*unit_ms)?,
        };
        sum = sum.checked_add(ms)?;
        text = rest;
    }
    text.is_empty().then_some(sum)
}

/// A number without a sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("5min", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("PT1H", 3_600_000),
            ("P1DT2H30M", 95_400_000),
            ("P2W", 1_209_600_000),
            ("pt1.5s", 1500),
            ("PT0.0009S", 0),
            ("P1D", 86_400_000),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().millis(), ms, "{text}");
        }
    }

    #[test]
    fn other_text_is_refused_with_the_forms() {
        for text in [
            "",
            "5",
            "h",
            "-1h",
            "1.5h",
            "5 m",
            "5w",
            "99999999999999999d",
            "P",
            "PT",
            "P1",
            "P1H",
            "PT1D",
            "PT1M1H",
            "PT1H1H",
            "PT-1H",
            "P1M",
            "P1Y",
            "PT.S",
            "PT1.5H",
            "PT99999999999999999H",
        ] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains("; write it as"), "{text}: {error}");
        }
    }
}
