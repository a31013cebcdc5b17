//! `--offset`: where to begin and where to end, as people write it. Only the reading of the text
//! and the arithmetic; the broker is asked elsewhere.

use crate::failure::{Failure, Outcome};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The oldest record that is kept.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// This offset.
    Offset(i64),
    /// So many records before the end.
    BeforeEnd(i64),
    /// The first record at or after this time, in milliseconds since 1970.
    Time(i64),
}

/// Where to begin, and where to end (exclusive) if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Place,
    pub(crate) to: Option<Place>,
}

/// The forms, for messages.
const FORMS: &str = "an offset (100), a number before the end (-100), earliest, latest, a time \
    (@2026-01-31T08:00:00Z or @ milliseconds since 1970), or a range of two of these (100..200, \
    the second left out)";

impl std::str::FromStr for Place {
    type Err = Failure;

    fn from_str(text: &str) -> Outcome<Self> {
        let wrong =
            || Failure::usage(format!("`{text}` is no offset")).advise(format!("give {FORMS}"));
        if let Some(time) = text.strip_prefix('@') {
            return time_ms(time).map(Self::Time);
        }
        if let Some(back) = text.strip_prefix('-') {
            return back
                .parse()
                .ok()
                .filter(|&n| n >= 0)
                .map(Self::BeforeEnd)
                .ok_or_else(wrong);
        }
        match text {
            "earliest" | "beginning" => Ok(Self::Earliest),
            "latest" | "end" => Ok(Self::Latest),
            _ => text
                .parse()
                .ok()
                .filter(|&n| n >= 0)
                .map(Self::Offset)
                .ok_or_else(wrong),
        }
    }
}

impl std::str::FromStr for Range {
    type Err = Failure;

    fn from_str(text: &str) -> Outcome<Self> {
        let Some((from, to)) = text.split_once("..") else {
            return Ok(Self {
                from: text.parse()?,
                to: None,
            });
        };
        let from = if from.is_empty() {
            Place::Earliest
        } else {
            from.parse()?
        };
        let to = if to.is_empty() {
            None
        } else {
            Some(to.parse()?)
        };
        if let (Place::Offset(from), Some(Place::Offset(to))) = (from, to)
            && to < from
        {
            return Err(Failure::usage(format!("`{text}` ends before it begins"))
                .advise("give the smaller offset first; the second is left out"));
        }
        Ok(Self { from, to })
    }
}

/// How a time is written, for messages.
const TIMES: &str = "write it as 2026-01-31T08:00:00Z (RFC 3339; UTC where no zone is given) or as \
    milliseconds since 1970";

/// Milliseconds since 1970, from RFC 3339, from Kafka's form of it (UTC where no zone is given, no
/// colon in a zone), or the number itself.
pub(crate) fn time_ms(text: &str) -> Outcome<i64> {
    let early = || Failure::usage(format!("the time `{text}` lies before 1970")).advise(TIMES);
    if let Ok(ms) = text.parse::<i64>() {
        return if ms < 0 { Err(early()) } else { Ok(ms) };
    }
    let at = OffsetDateTime::parse(&with_zone(text), &Rfc3339)
        .map_err(|_| Failure::usage(format!("`{text}` is no time")).advise(TIMES))?;
    let ms = i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000))
        .map_err(|_| Failure::usage(format!("`{text}` is too far away")))?;
    if ms < 0 { Err(early()) } else { Ok(ms) }
}

/// The time with its zone as RFC 3339 has it: `Z`, `+01:00`.
fn with_zone(text: &str) -> String {
    let Some((date, time)) = text.split_once(['T', 't']) else {
        return text.to_owned();
    };
    if time.ends_with(['Z', 'z']) {
        return text.to_owned();
    }
    let Some(at) = time.find(['+', '-']) else {
        return format!("{text}Z");
    };
    let (clock, zone) = time.split_at(at);
    let is_digits = zone.bytes().skip(1).all(|byte| byte.is_ascii_digit());
    match zone.len() {
        3 if is_digits => format!("{date}T{clock}{zone}:00"),
        5 if is_digits => format!("{date}T{clock}{}:{}", &zone[..3], &zone[3..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        assert_eq!(place("100"), Place::Offset(100));
        assert_eq!(place("-100"), Place::BeforeEnd(100));
        assert_eq!(place("earliest"), Place::Earliest);
        assert_eq!(place("latest"), Place::Latest);
        assert_eq!(place("@1700000000123"), Place::Time(1_700_000_000_123));
        assert_eq!(
            place("@2023-11-14T22:13:20.123Z"),
            Place::Time(1_700_000_000_123)
        );
        assert_eq!(
            place("@2023-11-14T23:13:20+01:00"),
            Place::Time(1_700_000_000_000)
        );
        for zoneless in ["2023-11-14T22:13:20", "2023-11-14T22:13:20.000"] {
            assert_eq!(time_ms(zoneless).unwrap(), 1_700_000_000_000, "{zoneless}");
        }
        for zoned in ["+0100", "+01", "+01:00"] {
            let zoned = format!("2023-11-14T23:13:20.123{zoned}");
            assert_eq!(time_ms(&zoned).unwrap(), 1_700_000_000_123, "{zoned}");
        }
        let range = |text: &str| text.parse::<Range>().unwrap();
        let of = |from, to| Range { from, to };
        assert_eq!(range("5"), of(Place::Offset(5), None));
        assert_eq!(range("5..7"), of(Place::Offset(5), Some(Place::Offset(7))));
        assert_eq!(range("5.."), of(Place::Offset(5), None));
        assert_eq!(range("..7"), of(Place::Earliest, Some(Place::Offset(7))));
        assert_eq!(
            range("-10..-5"),
            of(Place::BeforeEnd(10), Some(Place::BeforeEnd(5)))
        );
        assert_eq!(
            range("@2023-11-14T22:13:20.5Z..latest"),
            of(Place::Time(1_700_000_000_500), Some(Place::Latest))
        );
    }

    #[test]
    fn other_text_is_refused_with_the_forms() {
        for text in [
            "",
            "x",
            "1.5",
            "--1",
            "@",
            "@yesterday",
            "@-5",
            "@1969-12-31T23:59:59Z",
            "@2023-11-14",
            "@2023-11-14T22:13:20+1",
            "@2023-11-14T22:13:20+ü0",
            "7..x",
            "9..3",
        ] {
            let error = text.parse::<Range>().unwrap_err().to_string();
            assert!(error.contains(';'), "{text}: {error}");
        }
    }
}
