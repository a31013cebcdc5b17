//! A record as one line of JSON, written by `consume --json` and read by `produce --json`: nulls,
//! bytes that are no text and repeated headers survive the way out and back in.
//!
//! `{"topic":"t","partition":0,"offset":5,"timestamp":1700000000000,"timestampType":"CreateTime",
//! "key":"k","value":null,"headers":[["name","value"]]}`; bytes that are not UTF-8 are
//! `{"base64":"…"}`.

use crate::base64;
use crate::format::number;
use crate::range::time_ms;
use crate::row::Row;
use serde::de::{
    self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
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
    partition: Option<Partition>,
    #[serde(default)]
    timestamp: Timestamp,
    #[serde(borrow)]
    pub(crate) key: Option<Data<'a>>,
    #[serde(borrow)]
    pub(crate) value: Option<Data<'a>>,
    #[serde(default, borrow)]
    pub(crate) headers: Vec<Header<'a>>,
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
        // An array would be taken as well, each place for a field.
        match line.iter().position(|byte| !byte.is_ascii_whitespace()) {
            None => return Err(format!("it is empty, expected {EXAMPLE}")),
            Some(at) if line.get(at) != Some(&b'{') => {
                return Err(format!(
                    "it is no JSON object, expected {EXAMPLE} (column {})",
                    at + 1
                ));
            }
            Some(_) => {}
        }
        serde_json::from_slice(line).map_err(|error| {
            let text = error.to_string();
            let text = text.split(" at line 1").next().unwrap_or(&text);
            format!("{} (column {})", in_json_words(text), error.column())
        })
    }

    pub(crate) fn partition(&self) -> Option<i32> {
        self.partition.as_ref().map(|partition| partition.0)
    }

    /// Milliseconds since 1970.
    pub(crate) const fn timestamp(&self) -> Option<i64> {
        self.timestamp.0
    }
}

const EXAMPLE: &str = "an object such as {\"key\":\"k\",\"value\":\"v\"}";

/// The parser's message in the words of JSON.
fn in_json_words(text: &str) -> String {
    if text.starts_with("EOF while parsing") {
        return "the line ends before the object does".to_owned();
    }
    if text == "trailing characters" {
        return "there is more behind the object; write one a line".to_owned();
    }
    text.replace("type: map", "type: object")
        .replace("type: sequence", "type: array")
        .replace("expected a sequence", "expected an array")
}

#[derive(Debug)]
struct Partition(i32);

impl<'de> Deserialize<'de> for Partition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartitionVisitor)
    }
}

struct PartitionVisitor;

impl Visitor<'_> for PartitionVisitor {
    type Value = Partition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a partition's number, 0 or more")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        // A number of JSON that is not negative comes as the other kind.
        Err(E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let wrong = || E::invalid_value(Unexpected::Unsigned(number), &self);
        i32::try_from(number).map(Partition).map_err(|_| wrong())
    }
}

/// Milliseconds since 1970, or nothing.
#[derive(Debug, Default)]
struct Timestamp(Option<i64>);

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimestampVisitor)
    }
}

struct TimestampVisitor;

impl Visitor<'_> for TimestampVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a timestamp in milliseconds since 1970 or in RFC 3339")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Timestamp(None))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        // Kafka's word for a record without one, which `consume --json` passes on.
        if number == -1 {
            return Ok(Timestamp(None));
        }
        Err(E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let wrong = || E::invalid_value(Unexpected::Unsigned(number), &self);
        let number = i64::try_from(number).map_err(|_| wrong())?;
        Ok(Timestamp(Some(number)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let read = time_ms(text).map(|ms| Timestamp(Some(ms)));
        read.map_err(E::custom)
    }
}

/// A header's name and value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header<'a>(pub(crate) Data<'a>, pub(crate) Option<Data<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Header<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header as [\"name\", \"value\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let name = seq.next_element()?;
        let value = seq.next_element()?;
        match (name, value, seq.next_element::<IgnoredAny>()?) {
            (Some(name), Some(value), None) => Ok(Header(name, value)),
            _ => Err(de::Error::custom(
                "a header is an array of two, [\"name\", \"value\"]",
            )),
        }
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
                (read.partition(), read.timestamp()),
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
        assert!(error(" hello").contains("(column 2)"));
        assert!(error("").starts_with("it is empty, expected an object"));
        assert!(error("[0,1,\"k\"]").starts_with("it is no JSON object"));
        assert!(error("{\"value\":\"a\"").starts_with("the line ends before"));
        assert!(error("{}{}").starts_with("there is more behind the object"));
        let header = error("{\"headers\":[[\"a\"]]}");
        assert!(header.contains("an array of two"), "{header}");
        let headers = error("{\"headers\":{\"a\":\"b\"}}");
        assert!(
            headers.starts_with("invalid type: object, expected an array"),
            "{headers}"
        );
        for wrong in ["-5", "1.5", "\"yesterday\"", "true", "99999999999999999999"] {
            let error = error(&format!("{{\"timestamp\":{wrong}}}"));
            assert!(error.contains("RFC 3339"), "{error}");
        }
        for wrong in ["-1", "\"0\"", "3000000000"] {
            let error = error(&format!("{{\"partition\":{wrong}}}"));
            assert!(error.contains("expected a partition's number"), "{error}");
        }
    }

    #[test]
    fn timestamps_are_numbers_or_rfc_3339() {
        let read = |text: &str| {
            let line = format!("{{\"timestamp\":{text}}}");
            InputRecord::parse(line.as_bytes()).unwrap().timestamp()
        };
        assert_eq!(read("5"), Some(5));
        assert_eq!(read("\"2023-11-14T22:13:20Z\""), Some(1_700_000_000_000));
        assert_eq!(read("-1"), None);
        assert_eq!(read("null"), None);
    }
}
