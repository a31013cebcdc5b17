//! `--format`: kcat's letters, compiled once and then written record by record. It only lays out
//! bytes; keys and values are never changed or checked.

use crate::failure::{Failure, Outcome};
use crate::row::Row;

/// A format, ready to be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Format {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeyBytes,
    Value,
    ValueBytes,
    Timestamp,
    Headers,
}

/// The letters, for messages and help.
pub(crate) const LETTERS: &str = "%t topic, %p partition, %o offset, %T timestamp, %k key, \
    %K its length, %v or %s value, %S its length (lengths of nulls are -1), %h headers, %% a per \
    cent sign; \\n \\r \\t \\0 \\\\ \\xHH";

impl Format {
    /// Value and newline.
    pub(crate) fn values() -> Self {
        Self {
            parts: vec![Part::Value, Part::Text(b"\n".to_vec())],
        }
    }

    /// Compiles a format. A newline follows each record unless the format ends in an escape;
    /// `\c` at the end writes nothing and so only leaves the newline out.
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text.chars();
        let mut ends_in_escape = false;
        while let Some(letter) = rest.next() {
            ends_in_escape = letter == '\\';
            match letter {
                '%' => match directive(rest.next())? {
                    Part::Text(text) => plain.extend(text),
                    part => {
                        if !plain.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut plain)));
                        }
                        parts.push(part);
                    }
                },
                '\\' => plain.extend(escape(&mut rest)?),
                other => plain.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        if !ends_in_escape {
            plain.push(b'\n');
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Appends one record to `out`.
    pub(crate) fn write(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Topic => out.extend_from_slice(row.topic.as_bytes()),
                Part::Partition => number(out, row.partition.into()),
                Part::Offset => number(out, row.offset),
                Part::Timestamp => number(out, row.timestamp),
                Part::Key => out.extend_from_slice(row.key.unwrap_or_default()),
                Part::Value => out.extend_from_slice(row.value.unwrap_or_default()),
                Part::KeyBytes => number(out, length(row.key)),
                Part::ValueBytes => number(out, length(row.value)),
                Part::Headers => headers(row, out),
            }
        }
    }
}

fn directive(letter: Option<char>) -> Outcome<Part> {
    Ok(match letter {
        Some('t') => Part::Topic,
        Some('p') => Part::Partition,
        Some('o') => Part::Offset,
        Some('k') => Part::Key,
        Some('K') => Part::KeyBytes,
        Some('v' | 's') => Part::Value,
        Some('S' | 'V') => Part::ValueBytes,
        Some('T') => Part::Timestamp,
        Some('h') => Part::Headers,
        Some('%') => Part::Text(b"%".to_vec()),
        Some(other) => {
            return Err(
                Failure::usage(format!("`%{other}` is no part of a --format"))
                    .advise(format!("there are {LETTERS}")),
            );
        }
        None => return Err(Failure::usage("a --format cannot end in `%`").advise("write `%%`")),
    })
}

/// The bytes of an escape, the backslash already taken.
pub(crate) fn escape(rest: &mut std::str::Chars<'_>) -> Outcome<Vec<u8>> {
    Ok(match rest.next() {
        Some('n') => b"\n".to_vec(),
        Some('r') => b"\r".to_vec(),
        Some('t') => b"\t".to_vec(),
        Some('0') => b"\0".to_vec(),
        Some('\\') => b"\\".to_vec(),
        Some('c') => Vec::new(),
        Some('x') => {
            let digits: String = rest.take(2).collect();
            let byte = u8::from_str_radix(&digits, 16)
                .ok()
                .filter(|_| digits.len() == 2);
            let byte = byte.ok_or_else(|| {
                Failure::usage(format!("`\\x{digits}` is no escape"))
                    .advise("give two hexadecimal digits, such as \\x1f")
            })?;
            vec![byte]
        }
        Some(other) => {
            return Err(Failure::usage(format!("`\\{other}` is no escape"))
                .advise("there are \\n \\r \\t \\0 \\\\ \\xHH"));
        }
        None => {
            return Err(
                Failure::usage("a lone `\\` at the end is no escape").advise("write `\\\\`")
            );
        }
    })
}

/// A text in which escapes stand for bytes: a separator.
pub(crate) fn unescape(text: &str) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => bytes.extend(escape(&mut rest)?),
            other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Ok(bytes)
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

/// kcat's form: `name=value,name=value`, a null value as `NULL`.
fn headers(row: &Row<'_>, out: &mut Vec<u8>) {
    for (index, header) in row.headers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(header.key);
        out.push(b'=');
        out.extend_from_slice(header.value.unwrap_or(b"NULL"));
    }
}

/// Appends a number in decimal without allocating.
pub(crate) fn number(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u8; 20];
    let mut rest = number.unsigned_abs();
    let mut count = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(20 - count..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_json::tests::row;

    fn written(format: &str) -> String {
        let mut out = Vec::new();
        Format::parse(format).unwrap().write(&row(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn letters_are_kcats() {
        assert_eq!(
            written(r"%t %p %o %T\t%k(%K) %v=%s(%S) [%h] 100%%"),
            "orders 2 42 1700000000000\tann(3) {}={}(2) [a=1,a=2,n=NULL] 100%\n"
        );
    }

    #[test]
    fn a_newline_follows_unless_an_escape_ends_the_format() {
        assert_eq!(written("%k"), "ann\n");
        assert_eq!(written(r"%k\n"), "ann\n");
        assert_eq!(written(r"%k\0"), "ann\0");
        assert_eq!(written(r"%k\x3b"), "ann;");
        assert_eq!(written(r"%k\c"), "ann");
        assert_eq!(written(r"a\nb"), "a\nb\n");
    }

    #[test]
    fn mistakes_say_what_there_is() {
        let text = |format| Format::parse(format).unwrap_err().to_string();
        assert!(text("%q").starts_with("`%q` is no part of a --format; there are %t topic"));
        assert_eq!(text("50%"), "a --format cannot end in `%`; write `%%`");
        assert!(text(r"\q").starts_with(r"`\q` is no escape"));
        assert!(text(r"\xg1").starts_with(r"`\xg1` is no escape"));
    }

    #[test]
    fn numbers_of_every_size() {
        for value in [0, 7, -1, 1_234_567_890, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
