//! Numbers for people: bytes, counts, rates, times. Only text; machines read `--json` instead.

use std::collections::BTreeSet;
use std::time::Duration;
use time::OffsetDateTime;
use time::macros::format_description;
use weir_client::TopicPartition;

/// `1,234,567`.
pub(crate) fn count(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `1,234 records`.
pub(crate) fn records(number: impl Into<i128>) -> String {
    let number = number.into();
    format!(
        "{} {}",
        count(number),
        if number == 1 { "record" } else { "records" }
    )
}

/// `1 partition`, `3 partitions`.
pub(crate) fn counted(number: impl TryInto<i128>, what: &str) -> String {
    let number = number.try_into().unwrap_or(i128::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(number))
}

/// `523.4 MB` (powers of a thousand, as disks are sold).
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut value = number as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `1,000,000 records, 523.4 MB in 1.9 s: 526,000 records/s, 275.5 MB/s`.
pub(crate) fn rates(records: u64, size: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-6);
    format!(
        "{}, {} in {}: {} records/s, {}/s",
        self::records(records),
        bytes(size),
        duration(took),
        count((records as f64 / seconds) as u64),
        bytes((size as f64 / seconds) as u64),
    )
}

/// `1.9 s`, `12 ms`, `3 min 5 s`.
pub(crate) fn duration(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 0.001 {
        format!("{} us", took.as_micros())
    } else if seconds < 1.0 {
        format!("{} ms", took.as_millis())
    } else if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {} s", took.as_secs() / 60, took.as_secs() % 60)
    }
}

/// `2026-01-31T08:00:00.120Z`, of milliseconds since 1970; all three digits, so that times stand
/// under one another.
pub(crate) fn time(ms: i64) -> String {
    let nanos = i128::from(ms) * 1_000_000;
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|at| at.format(form).ok())
        .unwrap_or_else(|| ms.to_string())
}

/// `orders 0-2,5; refunds 1`.
pub(crate) fn partitions(partitions: &BTreeSet<TopicPartition>) -> String {
    let mut text = String::new();
    let mut all = partitions.iter().peekable();
    let mut topic: Option<&str> = None;
    while let Some(first) = all.next() {
        let mut last = first;
        while let Some(next) = all.next_if(|next| {
            next.topic == first.topic && next.partition.0 == last.partition.0.saturating_add(1)
        }) {
            last = next;
        }
        if topic == Some(&*first.topic) {
            text.push(',');
        } else {
            if topic.is_some() {
                text.push_str("; ");
            }
            text.push_str(&first.topic);
            text.push(' ');
        }
        topic = Some(&first.topic);
        text.push_str(&first.partition.to_string());
        if last.partition != first.partition {
            text.push_str(&format!("-{}", last.partition));
        }
    }
    text
}

/// A name that others chose, such as a group's or a client's: what would move the cursor or break
/// the line is written as an escape.
pub(crate) fn name(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || is_invisible(letter) {
            plain.extend(letter.escape_unicode());
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// Marks that turn the direction of writing or take no room.
const fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A path as it is pasted into a shell: quoted where it has to be.
pub(crate) fn shell_quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@%,".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-1000), "-1,000");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(999_950), "1.0 MB");
        assert_eq!(bytes(523_400_000), "523.4 MB");
        assert_eq!(duration(Duration::from_millis(1940)), "1.9 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 5 s");
        assert_eq!(
            rates(1_000_000, 500_000_000, Duration::from_secs(2)),
            "1,000,000 records, 500.0 MB in 2.0 s: 500,000 records/s, 250.0 MB/s"
        );
    }

    #[test]
    fn partitions_are_told_in_runs() {
        let of = |all: &[(&str, i32)]| {
            let all = all.iter().map(|(topic, p)| TopicPartition::new(*topic, *p));
            partitions(&all.collect())
        };
        assert_eq!(of(&[]), "");
        assert_eq!(of(&[("orders", 3)]), "orders 3");
        let many = [("b", 7), ("a", 0), ("a", 1), ("a", 2), ("a", 5), ("b", 8)];
        assert_eq!(of(&many), "a 0-2,5; b 7-8");
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_700_000_000_120), "2023-11-14T22:13:20.120Z");
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(name("größe/ü"), "größe/ü");
        assert_eq!(name("a\n\u{1b}[2J"), "a\\u{a}\\u{1b}[2J");
        assert_eq!(name("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn paths_can_be_pasted() {
        assert_eq!(shell_quoted("/home/a/weir-data"), "/home/a/weir-data");
        assert_eq!(shell_quoted("/home/a b/it's"), r"'/home/a b/it'\''s'");
    }
}
