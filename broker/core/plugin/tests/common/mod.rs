//! Records as a plain list, the slow and simple form that columns are held against.
#![allow(dead_code, reason = "not every test file needs all of it")]

use proptest::{collection::vec, option, prelude::*};
use weir_plugin::{BytesColumn, Columns, HeadersColumn, Output, Staying};
use weir_types::{
    BatchHeader, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs,
    batch::{HEADER_BYTES, RecordHeader, records, write_header},
    varint::{RecordParts, put_record},
};

pub(crate) type Blob = Option<Vec<u8>>;

/// A record, spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Blob,
    pub(crate) value: Blob,
    pub(crate) headers: Vec<(String, Blob)>,
}

pub(crate) fn blob() -> impl Strategy<Value = Blob> {
    option::weighted(0.8, vec(any::<u8>(), 0..200))
}

fn headers() -> impl Strategy<Value = Vec<(String, Blob)>> {
    vec(("[a-zé]{0,4}", blob()), 0..3)
}

/// A batch's records; offsets ascend, with holes.
pub(crate) fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    let row = (1..4i64, 0..1_000_000i64, blob(), blob(), headers());
    vec(row, 0..most).prop_map(|rows| {
        let mut next = 0;
        let row = |(gap, timestamp, key, value, headers)| {
            next += gap;
            Row {
                offset: next - 1,
                timestamp,
                key,
                value,
                headers,
            }
        };
        rows.into_iter().map(row).collect()
    })
}

/// A batch of these rows, whole, and its header. Offsets are deltas.
pub(crate) fn batch(rows: &[Row]) -> (Vec<u8>, BatchHeader) {
    let mut bytes = vec![0; HEADER_BYTES];
    for row in rows {
        let headers: Vec<RecordHeader<'_>> = row
            .headers
            .iter()
            .map(|(name, value)| RecordHeader {
                key: name.as_bytes(),
                value: value.as_deref(),
            })
            .collect();
        let parts = RecordParts {
            key: row.key.as_deref(),
            value: row.value.as_deref(),
            headers: headers.iter().copied(),
        };
        put_record(&mut bytes, row.timestamp - 500, row.offset, parts);
    }
    let last = rows.last().map_or(0, |row| row.offset);
    let header = BatchHeader {
        base_offset: Offset(0),
        size_bytes: 0,
        leader_epoch: LeaderEpoch(3),
        crc: 0,
        attributes: 0,
        last_offset_delta: i32::try_from(last).expect("small") + 2,
        base_timestamp: TimestampMs(500),
        max_timestamp: TimestampMs(rows.iter().map(|row| row.timestamp).max().unwrap_or(500)),
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(1),
        base_sequence: Sequence(i32::MAX - 3),
        record_count: i32::try_from(rows.len()).expect("small"),
    };
    write_header(&mut bytes, &header);
    let header = BatchHeader::read(&bytes).expect("a header");
    (bytes, header)
}

/// Columns of these rows, whose offsets begin at `first`.
pub(crate) fn columns(rows: &[Row], first: i64) -> Columns {
    let (bytes, header) = batch(rows);
    Columns::read(&bytes[HEADER_BYTES..], &header, Offset(first)).expect("well formed")
}

/// The rows of an uncompressed batch, whose first record has the offset `first`.
pub(crate) fn rows_of(bytes: &[u8], first: i64) -> (Vec<Row>, BatchHeader) {
    let header = BatchHeader::read(bytes).expect("a header");
    weir_types::batch::check_crc(bytes, &header).expect("its CRC");
    let rows = records(&bytes[HEADER_BYTES..], header.record_count)
        .map(|record| {
            let record = record.expect("well formed");
            Row {
                offset: first + i64::from(record.offset_delta),
                timestamp: header.base_timestamp.0 + record.timestamp_delta,
                key: record.key.map(Into::into),
                value: record.value.map(Into::into),
                headers: record
                    .headers()
                    .map(|header| {
                        let name = String::from_utf8(header.key.into()).expect("UTF-8");
                        (name, header.value.map(Into::into))
                    })
                    .collect(),
            }
        })
        .collect();
    (rows, header)
}

/// The rows that stay, read one by one.
pub(crate) fn staying(columns: &Columns, output: &Output) -> Vec<Row> {
    let staying = Staying::new(columns, output);
    (0..staying.len())
        .map(|place| Row {
            offset: columns.offsets[staying.row(place)],
            timestamp: staying.timestamp(place),
            key: staying.key(place).map(Into::into),
            value: staying.value(place).map(Into::into),
            headers: staying
                .headers(place)
                .map(|header| {
                    let name = String::from_utf8(header.key.into()).expect("UTF-8");
                    (name, header.value.map(Into::into))
                })
                .collect(),
        })
        .collect()
}

pub(crate) fn bytes_column(blobs: impl IntoIterator<Item = Blob>) -> BytesColumn {
    let mut column = BytesColumn::default();
    for blob in blobs {
        column.push(blob.as_deref());
    }
    column
}

/// What a plugin might do to a record, by a number.
pub(crate) fn changed(row: &Row, salt: u8) -> Option<Row> {
    let mut row = row.clone();
    let what = row.value.as_ref().map_or(0, Vec::len) + usize::from(salt);
    match what % 4 {
        0 => return None,
        1 => row.value = Some(vec![salt; 3]),
        2 => {
            row.key = None;
            row.timestamp += 1;
        }
        _ => row.headers.push(("h".into(), None)),
    }
    Some(row)
}

/// The same as an output; columns are left out where `spelled` has no bit for them.
pub(crate) fn output(rows: &[Row], salt: u8) -> Output {
    let new: Vec<(u32, Row)> = (0..)
        .zip(rows)
        .filter_map(|(at, row)| changed(row, salt).map(|row| (at, row)))
        .collect();
    let mut headers = HeadersColumn::default();
    for (_, row) in &new {
        for (name, value) in &row.headers {
            headers.push(name.as_bytes(), value.as_deref());
        }
        headers.end_row();
    }
    Output {
        rows: Some(new.iter().map(|(at, _)| *at).collect()),
        timestamps: Some(new.iter().map(|(_, row)| row.timestamp).collect()),
        keys: Some(bytes_column(new.iter().map(|(_, row)| row.key.clone()))),
        values: Some(bytes_column(new.iter().map(|(_, row)| row.value.clone()))),
        headers: Some(headers),
        outputs: None,
        refusals: Vec::new(),
    }
}
