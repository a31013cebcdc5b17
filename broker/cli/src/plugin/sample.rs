//! Records as commands that run plugins here hold them: from a file, from a topic, or out of a
//! plugin's columns; written as `weir consume --json` writes them.

use crate::failure::{Failure, Outcome};
use crate::record_json::{self, InputRecord};
use crate::row::Row;
use std::fmt::Write as _;
use weir_client::{FetchedBatch, RecordHeader};
use weir_plugin::{Columns, Staying};
use weir_types::{Offset, TimestampMs};

/// A record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Sample {
    /// A line of a file: a value.
    pub(crate) fn of_line(offset: i64, line: &[u8]) -> Self {
        Self {
            offset,
            value: Some(line.to_vec()),
            ..Self::default()
        }
    }

    /// A line of JSON, as `weir consume --json` writes it.
    pub(crate) fn of_json(offset: i64, line: &[u8]) -> Result<Self, String> {
        let record = InputRecord::parse(line)?;
        let headers = record.headers.iter().map(|header| {
            let value = header.1.as_ref().map(|value| value.0.to_vec());
            (header.0.0.to_vec(), value)
        });
        Ok(Self {
            partition: record.partition().unwrap_or(0),
            offset,
            timestamp: record.timestamp().unwrap_or(0),
            key: record.key.as_ref().map(|key| key.0.to_vec()),
            value: record.value.as_ref().map(|value| value.0.to_vec()),
            headers: headers.collect(),
        })
    }

    /// The records of a batch that a broker gave.
    pub(crate) fn of_batch(batch: &FetchedBatch) -> Outcome<Vec<Self>> {
        let mut samples = Vec::new();
        for record in batch.raw_records() {
            let (offset, timestamp, record) = record?;
            let headers = record.headers().map(|header| {
                let value = header.value.map(<[u8]>::to_vec);
                (header.key.to_vec(), value)
            });
            samples.push(Self {
                partition: batch.partition().partition.0,
                offset: offset.0,
                timestamp: timestamp.0,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            });
        }
        Ok(samples)
    }

    /// The record at a place among those that stay.
    pub(crate) fn of_staying(staying: &Staying<'_>, place: usize, before: &Self) -> Self {
        let headers = staying.headers(place).map(|header| {
            let value = header.value.map(<[u8]>::to_vec);
            (header.key.to_vec(), value)
        });
        Self {
            partition: before.partition,
            offset: before.offset,
            timestamp: staying.timestamp(place),
            key: staying.key(place).map(<[u8]>::to_vec),
            value: staying.value(place).map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }

    /// One line of JSON, without a newline.
    pub(crate) fn json(&self, topic: &str) -> String {
        let headers: Vec<RecordHeader<'_>> = self
            .headers
            .iter()
            .map(|(key, value)| RecordHeader {
                key,
                value: value.as_deref(),
            })
            .collect();
        let row = Row {
            topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            is_log_append_time: false,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        };
        let mut bytes = Vec::new();
        record_json::write(&row, &mut bytes);
        // What it writes is UTF-8: other bytes are written in base64.
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// The parts in which another record differs, each with what it was and what it is.
    pub(crate) fn differences(&self, after: &Self) -> Vec<(&'static str, String, String)> {
        let mut all = Vec::new();
        let mut add = |name, before: String, after: String| {
            if before != after {
                all.push((name, before, after));
            }
        };
        add(
            "key",
            bytes(self.key.as_deref()),
            bytes(after.key.as_deref()),
        );
        add(
            "value",
            bytes(self.value.as_deref()),
            bytes(after.value.as_deref()),
        );
        add("headers", headers(&self.headers), headers(&after.headers));
        add(
            "timestamp",
            self.timestamp.to_string(),
            after.timestamp.to_string(),
        );
        all
    }
}

/// Bytes for people: text as it is, with what would move the cursor escaped; other bytes in
/// hexadecimal.
pub(crate) fn bytes(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "null".to_owned();
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => crate::human::name(text),
        Err(_) => {
            let mut text = String::from("0x");
            for byte in bytes {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
    }
}

fn headers(headers: &[(Vec<u8>, Option<Vec<u8>>)]) -> String {
    let one = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| {
        format!("{}={}", bytes(Some(name)), bytes(value.as_deref()))
    };
    format!(
        "[{}]",
        headers.iter().map(one).collect::<Vec<_>>().join(", ")
    )
}

/// Records as a plugin is given them.
pub(crate) fn columns(samples: &[Sample]) -> Columns {
    let mut columns = Columns::default();
    for sample in samples {
        let headers = sample.headers.iter();
        columns.push(
            Offset(sample.offset),
            TimestampMs(sample.timestamp),
            sample.key.as_deref(),
            sample.value.as_deref(),
            headers.map(|(name, value)| (name.as_slice(), value.as_deref())),
        );
    }
    columns.finish();
    columns
}

/// The records of columns.
pub(crate) fn samples(columns: &Columns, partition: i32) -> Vec<Sample> {
    let unchanged = weir_plugin::Output::default();
    let staying = Staying::new(columns, &unchanged);
    let row = |place: usize| {
        let before = Sample {
            partition,
            offset: columns.offsets.get(place).copied().unwrap_or(0),
            ..Sample::default()
        };
        Sample::of_staying(&staying, place, &before)
    };
    (0..columns.rows()).map(row).collect()
}

/// Records of a file's lines: values, or records in JSON.
pub(crate) fn of_lines(text: &[u8], is_json: bool) -> Outcome<Vec<Sample>> {
    let mut samples = Vec::new();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let offset = i64::try_from(number).unwrap_or(i64::MAX);
        samples.push(if is_json {
            let line_number = number as u64 + 1;
            Sample::of_json(offset, line)
                .map_err(|error| Failure::usage(error).on_line(line_number))?
        } else {
            Sample::of_line(offset, line)
        });
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_columns() {
        let text = br#"{"key":"k","value":null,"headers":[["a","1"],["a",null]],"timestamp":5}
{"value":{"base64":"/w=="}}
"#;
        let records = of_lines(text, true).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(samples(&columns(&records), 0), records);
        assert_eq!(bytes(records[1].value.as_deref()), "0xff");
        let differences = records[0].differences(&records[1]);
        let names: Vec<_> = differences.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, ["key", "value", "headers", "timestamp"]);
        assert!(
            records[0]
                .json("t")
                .contains(r#""headers":[["a","1"],["a",null]]"#)
        );
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let error = of_lines(b"{}\n[1]\n", true).unwrap_err().to_string();
        assert!(error.starts_with("line 2: it is no JSON object"), "{error}");
        assert_eq!(of_lines(b"a\n\nb", false).unwrap().len(), 3);
    }
}
