//! A record as one line of JSON, written by `consume --json` and read by `produce --json`: nulls,
//! bytes that are no text and repeated headers survive the way out and back in.
//!
//! `{"topic":"t","partition":0,"offset":5,"timestamp":1700000000000,"timestampType":"CreateTime",
//! "key":"k","value":null,"headers":[["name","value"]]}`; bytes that are not UTF-8 are
//! `{"base64":"…"}`.

use crate::base64;
use crate::format::number;
use crate::row::Row;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Appends a record and a newline to `out`.
pub(crate) fn write(row: &Row<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    text(row.topic, out);
    out.extend_from_slice(b",\"partition\":");
    number(out, row.partition.into());
    out.extend_from_slice(b",\"offset\":");
    number(out, row.offset);
    out.extend_from_slice(b",\"timestamp\":");
    number(out, row.timestamp);
    out.extend_from_slice(if row.is_log_append_time {
        b",\"timestampType\":\"LogAppendTime\",\"key\":".as_slice()
    } else {
        b",\"timestampType\":\"CreateTime\",\"key\":"
    });
    data(row.key, out);
    out.extend_from_slice(b",\"value\":");
    data(row.value, out);
    out.extend_from_slice(b",\"headers\":[");
    for (index, header) in row.headers.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
        data(Some(header.key), out);
        out.push(b',');
        data(header.value, out);
        out.push(b']');
    }
    out.extend_from_slice(b"]}\n");
}

fn data(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes.map(std::str::from_utf8) {
        None => out.extend_from_slice(b"null"),
        Some(Ok(utf8)) => text(utf8, out),
        Some(Err(_)) => {
            out.extend_from_slice(b"{\"base64\":\"");
            base64::encode(bytes.unwrap_or_default(), out);
            out.extend_from_slice(b"\"}");
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = special.split_first() else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// A record read from a line. What is left out is null, none, or left to the producer; what
/// describes where the record was before (`topic`, `offset`, `timestampType`) is passed over.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputRecord<'a> {
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: Option<i64>,
    #[serde(borrow)]
    pub(crate) key: Option<Data<'a>>,
    #[serde(borrow)]
    pub(crate) value: Option<Data<'a>>,
    #[serde(default, borrow)]
    pub(crate) headers: Vec<(Data<'a>, Option<Data<'a>>)>,
    #[serde(default, rename = "topic")]
    _topic: IgnoredAny,
    #[serde(default, rename = "offset")]
    _offset: IgnoredAny,
    #[serde(default, rename = "timestampType")]
    _timestamp_type: IgnoredAny,
}

impl<'a> InputRecord<'a> {
    /// Reads a line; the error says what was expected and at which column.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| {
            let text = error.to_string();
            let text = text.split(" at line 1").next().unwrap_or(&text);
            format!("{text} (column {})", error.column())
        })
    }
}

/// Bytes as JSON writes them: text, or `{"base64": "…"}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Data<'a>(pub(crate) Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor).map(Data)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, null or {\"base64\": \"…\"}")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text.as_bytes()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.as_bytes().to_vec()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let entry: Option<(Cow<'de, str>, Cow<'de, str>)> = map.next_entry()?;
        let only = map.next_entry::<IgnoredAny, IgnoredAny>()?.is_none();
        match entry {
            Some((name, text)) if only && name == "base64" => base64::decode(&text)
                .map(Cow::Owned)
                .ok_or_else(|| de::Error::custom("the text of `base64` is not base64")),
            _ => Err(de::Error::custom(
                "an object stands for bytes only as {\"base64\": \"…\"}; write other JSON as text",
            )),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use weir_client::RecordHeader;

    const HEADERS: &[RecordHeader<'static>] = &[
        RecordHeader {
            key: b"a",
            value: Some(b"1"),
        },
        RecordHeader {
            key: b"a",
            value: Some(b"2"),
        },
        RecordHeader {
            key: b"n",
            value: None,
        },
    ];

    pub(crate) const fn row() -> Row<'static> {
        Row {
            topic: "orders",
            partition: 2,
            offset: 42,
            timestamp: 1_700_000_000_000,
            is_log_append_time: false,
            key: Some(b"ann"),
            value: Some(b"{}"),
            headers: HEADERS,
        }
    }

    fn line(row: &Row<'_>) -> String {
        let mut out = Vec::new();
        write(row, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_one_line() {
        assert_eq!(
            line(&row()),
            "{\"topic\":\"orders\",\"partition\":2,\"offset\":42,\"timestamp\":1700000000000,\
             \"timestampType\":\"CreateTime\",\"key\":\"ann\",\"value\":\"{}\",\
             \"headers\":[[\"a\",\"1\"],[\"a\",\"2\"],[\"n\",null]]}\n"
        );
    }

    #[test]
    fn whatever_goes_out_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let text: String = (0..0x300_u32).filter_map(char::from_u32).collect();
        let values = [None, Some(Vec::new()), Some(all), Some(text.into_bytes())];
        for value in values {
            let mut headers = HEADERS.to_vec();
            headers[0].value = value.as_deref();
            let (key, bytes) = (value.as_deref(), value.as_deref());
            let line = line(&Row {
                key,
                value: bytes,
                headers: &headers,
                ..row()
            });
            assert_eq!(line.matches('\n').count(), 1);
            let read = InputRecord::parse(line.as_bytes()).unwrap();
            let bytes = |data: &Option<Data<'_>>| data.as_ref().map(|data| data.0.to_vec());
            assert_eq!(bytes(&read.key), value);
            assert_eq!(bytes(&read.value), value);
            assert_eq!(bytes(&read.headers[0].1), value);
            assert_eq!(read.headers.len(), 3);
            assert_eq!(bytes(&read.headers[2].1), None);
            assert_eq!(
                (read.partition, read.timestamp),
                (Some(2), Some(1_700_000_000_000))
            );
        }
    }

    #[test]
    fn everything_may_be_left_out() {
        let read = InputRecord::parse(b"{}").unwrap();
        assert!(read.key.is_none() && read.value.is_none() && read.headers.is_empty());
    }

    #[test]
    fn mistakes_say_what_was_expected() {
        let error = |line: &str| InputRecord::parse(line.as_bytes()).unwrap_err();
        assert!(error("{\"valeu\":1}").starts_with("unknown field `valeu`, expected one of"));
        assert!(error("{\"value\":1}").contains("expected text, null or {\"base64\": \"…\"}"));
        assert!(error("{\"value\":{\"a\":\"b\"}}").contains("write other JSON as text"));
        assert!(error("{\"value\":{\"base64\":\"?\"}}").contains("is not base64"));
        assert!(error("hello").contains("(column 1)"));
        assert!(error("").contains("EOF"));
    }
}
