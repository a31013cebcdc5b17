//! A line of input cut into the parts of a record. Borrowed wherever the line has the bytes as they
//! are; it never changes them.

use crate::failure::{Failure, Outcome};
use crate::record_json::{Header, InputRecord};
use std::borrow::Cow;
use weir_client::RecordHeader;

/// How lines are read.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    /// Each line is a record in JSON.
    pub(crate) json: bool,
    /// What stands between key and value.
    pub(crate) separator: Option<Vec<u8>>,
    /// An empty value is null.
    pub(crate) null_value: bool,
}

/// A record's parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Cow<'a, [u8]>>,
    pub(crate) value: Option<Cow<'a, [u8]>>,
    headers: Vec<Header<'a>>,
}

impl Cut {
    /// The parts of one line, or what is wrong with it.
    pub(crate) fn cut<'a>(&self, line: &'a [u8]) -> Result<Parts<'a>, String> {
        if self.json {
            let read = InputRecord::parse(line)?;
            return Ok(Parts {
                partition: read.partition(),
                timestamp: read.timestamp(),
                key: read.key.map(|data| data.0),
                value: read.value.map(|data| data.0),
                headers: read.headers,
            });
        }
        let separator = self.separator.as_deref();
        let at = separator.and_then(|separator| find(line, separator));
        let (key, value) = match (at, separator) {
            (Some(at), Some(separator)) => (line.get(..at), line.get(at + separator.len()..)),
            _ => (None, Some(line)),
        };
        let value = value.filter(|value| !(self.null_value && value.is_empty()));
        Ok(Parts {
            key: key.map(Cow::Borrowed),
            value: value.map(Cow::Borrowed),
            ..Parts::default()
        })
    }
}

impl Parts<'_> {
    /// The record's own headers with `more` behind them; nothing where it has none of its own.
    pub(crate) fn headers<'b>(
        &'b self,
        more: &[RecordHeader<'b>],
    ) -> Option<Vec<RecordHeader<'b>>> {
        if self.headers.is_empty() {
            return None;
        }
        let own = self.headers.iter().map(|Header(key, value)| RecordHeader {
            key: &key.0,
            value: value.as_ref().map(|value| &*value.0),
        });
        Some(own.chain(more.iter().copied()).collect())
    }
}

/// The first place of `needle`; an empty one is nowhere.
fn find(line: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, rest) = needle.split_first()?;
    let mut from = 0;
    loop {
        let at = from + line.get(from..)?.iter().position(|&byte| byte == first)?;
        if line.get(at + 1..)?.starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Headers as `--headers` writes them: `name=value,name=value`.
pub(crate) fn headers(texts: &[String]) -> Outcome<Vec<(&str, &str)>> {
    let pairs = texts
        .iter()
        .flat_map(|text| text.split(','))
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            pair.split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| {
                    Failure::usage(format!("`{pair}` is no header"))
                        .advise("write NAME=VALUE; several are separated by commas")
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(separator: &str) -> Cut {
        Cut {
            separator: Some(separator.as_bytes().to_vec()),
            ..Cut::default()
        }
    }

    fn cut(cut: &Cut, line: &str) -> (Option<String>, Option<String>) {
        let parts = cut.cut(line.as_bytes()).unwrap();
        let text = |bytes: Option<Cow<'_, [u8]>>| {
            bytes.map(|bytes| String::from_utf8(bytes.into_owned()).unwrap())
        };
        (text(parts.key), text(parts.value))
    }

    #[test]
    fn the_first_separator_counts() {
        let pair = |key: &str, value: &str| (Some(key.to_owned()), Some(value.to_owned()));
        assert_eq!(cut(&lines(":"), "a:b:c"), pair("a", "b:c"));
        assert_eq!(cut(&lines(":"), ":b"), pair("", "b"));
        assert_eq!(cut(&lines("::"), "a:b::c"), pair("a:b", "c"));
        assert_eq!(cut(&lines("::"), "a:"), (None, Some("a:".to_owned())));
        assert_eq!(cut(&lines(":"), "plain"), (None, Some("plain".to_owned())));
        assert_eq!(cut(&Cut::default(), "a:b"), (None, Some("a:b".to_owned())));
    }

    #[test]
    fn an_empty_value_is_empty_unless_it_stands_for_null() {
        let mut rule = lines(":");
        assert_eq!(
            cut(&rule, "a:"),
            (Some("a".to_owned()), Some(String::new()))
        );
        rule.null_value = true;
        assert_eq!(cut(&rule, "a:"), (Some("a".to_owned()), None));
    }

    #[test]
    fn headers_are_pairs() {
        let texts = ["a=1,b=".to_owned(), "c=x=y".to_owned()];
        assert_eq!(
            headers(&texts).unwrap(),
            [("a", "1"), ("b", ""), ("c", "x=y")]
        );
        let error = headers(&["a".to_owned()]).unwrap_err().to_string();
        assert!(
            error.starts_with("`a` is no header; write NAME=VALUE"),
            "{error}"
        );
    }

    #[test]
    fn a_records_own_headers_come_first() {
        let rule = Cut {
            json: true,
            ..Cut::default()
        };
        let parts = rule.cut(br#"{"headers":[["a",null]]}"#).unwrap();
        let more = [RecordHeader {
            key: b"b",
            value: Some(b"2"),
        }];
        let all = parts.headers(&more).unwrap();
        assert_eq!(
            all,
            [
                RecordHeader {
                    key: b"a",
                    value: None
                },
                more[0]
            ]
        );
        assert_eq!(rule.cut(b"{}").unwrap().headers(&more), None);
    }
}
