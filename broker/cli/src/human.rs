//! Numbers for people: bytes, counts, rates, times. Only text; machines read `--json` instead.

use std::time::Duration;

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
    fn paths_can_be_pasted() {
        assert_eq!(shell_quoted("/home/a/weir-data"), "/home/a/weir-data");
        assert_eq!(shell_quoted("/home/a b/it's"), r"'/home/a b/it'\''s'");
    }
}
