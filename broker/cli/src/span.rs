//! Lengths of time as people write them: `500ms`, `30s`, `5m`, `2h`, `7d`. Only the reading of
//! the text.

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
                .advise("write it as 500ms, 30s, 5m, 2h or 7d")
        };
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
        ] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains("; write it as"), "{text}: {error}");
        }
    }
}
