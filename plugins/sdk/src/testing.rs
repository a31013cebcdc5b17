//! Tests of a plugin on the machine at hand: make a batch, run the plugin, look at the rows. No
//! Wasm and no broker are needed; what a test calls is what the component's exports call.
//!
//! ```
//! # use weir_plugin_sdk::{Batch, Changes, Description, Output, Parameters, Plugin, Transform};
//! # struct DropEmpty;
//! # impl Plugin for DropEmpty {
//! #     fn describe() -> Description { Description::new("drop-empty", "1.0.0", "Drops.") }
//! #     fn configure(_: &Parameters) -> Result<Self, String> { Ok(Self) }
//! # }
//! # impl Transform for DropEmpty {
//! #     fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
//! #         let mut changes = Changes::of(batch);
//! #         for row in batch.iter() {
//! #             if row.value().is_some_and(|value| !value.is_empty()) { changes.keep(row); }
//! #         }
//! #         changes.finish()
//! #     }
//! # }
//! use weir_plugin_sdk::testing::{Record, transform};
//!
//! let records = [Record::value("a"), Record::value(""), Record::tombstone("k")];
//! let done = transform::<DropEmpty>(&[], &records).unwrap();
//! assert_eq!(done.values(), ["a"]);
//! ```

use crate::bindings::transform::weir::plugin::records as wit;
use crate::column::{self, ColumnIter};
use crate::host::Level;
use crate::{Batch, Decoder, Part, Partitioner, Plugin, Row, Transform, call};
use std::cell::{Cell, RefCell};

thread_local! {
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static STREAM_TIME: Cell<i64> = const { Cell::new(0) };
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn logged(level: Level, message: &str) {
    LOG.with_borrow_mut(|log| log.push((level, message.to_owned())));
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn stream_time() -> i64 {
    STREAM_TIME.get()
}

/// The lines that the plugin logged on this thread since the last time this was asked.
#[must_use]
pub fn take_log() -> Vec<(Level, String)> {
    LOG.take()
}

/// Sets the time that [`crate::host::stream_time`] tells on this thread.
pub fn set_stream_time(milliseconds: i64) {
    STREAM_TIME.set(milliseconds);
}

/// One record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
}

impl Record {
    /// A record without a key.
    #[must_use]
    pub fn value(value: impl Into<Vec<u8>>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// A record with key and value.
    #[must_use]
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::value(value)
        }
    }

    /// A record with a key and no value.
    #[must_use]
    pub fn tombstone(key: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::default()
        }
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    /// The same at another time.
    #[must_use]
    pub const fn at(mut self, timestamp: i64) -> Self {
        self.timestamp = timestamp;
        self
    }

    fn of(row: Row<'_>) -> Self {
        let headers = row.headers().map(|header| {
            let name = String::from_utf8_lossy(header.name).into_owned();
            (name, header.value.map(<[u8]>::to_vec))
        });
        Self {
            key: row.key().map(<[u8]>::to_vec),
            value: row.value().map(<[u8]>::to_vec),
            headers: headers.collect(),
            timestamp: row.timestamp(),
        }
    }
}

/// A batch of partition 0 of the topic `test`, with offsets from 0.
#[must_use]
pub fn batch(records: &[Record]) -> Batch {
    let mut columns = wit::Batch {
        topic: "test".to_owned(),
        partition: 0,
        offsets: (0..).take(records.len()).collect(),
        timestamps: records.iter().map(|record| record.timestamp).collect(),
        keys: column::with_room(0, 0),
        values: column::with_room(0, 0),
        headers: wit::HeadersColumn {
            ends: Vec::new(),
            names: column::with_room(0, 0),
            values: column::with_room(0, 0),
        },
    };
    for record in records {
        column::push(&mut columns.keys, record.key.as_deref());
        column::push(&mut columns.values, record.value.as_deref());
        for (name, value) in &record.headers {
            column::push(&mut columns.headers.names, Some(name.as_bytes()));
            column::push(&mut columns.headers.values, value.as_deref());
        }
        let end = columns.headers.names.ends.len();
        columns
            .headers
            .ends
            .push(u32::try_from(end).unwrap_or(u32::MAX));
    }
    Batch::new(columns)
}

/// What came of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which rows stayed.
    pub rows: Vec<u32>,
    /// The records that stayed, as they are now.
    pub records: Vec<Record>,
    /// In router jobs: to which of the job's topics each goes.
    pub outputs: Vec<u32>,
    /// The rows that were refused, and why.
    pub refusals: Vec<(u32, String)>,
}

impl Done {
    /// The values that stayed, as text; null is empty.
    #[must_use]
    pub fn values(&self) -> Vec<String> {
        let text = |record: &Record| {
            String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
        };
        self.records.iter().map(text).collect()
    }
}

fn pairs(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    parameters.iter().map(owned).collect()
}

/// Configures a plugin, and no more.
///
/// # Errors
/// What is wrong with the parameters.
pub fn configure<P: Plugin>(parameters: &[(&str, &str)]) -> Result<(), String> {
    call::configure::<P>(pairs(parameters))
}

/// Configures a plugin, gives it a batch, and holds its output against the host's rules.
///
/// # Errors
/// What the plugin says of its parameters or of the batch, or which rule its output breaks.
pub fn transform<P: Transform>(
    parameters: &[(&str, &str)],
    records: &[Record],
) -> Result<Done, String> {
    configure::<P>(parameters)?;
    let batch = batch(records);
    let output = call::transform::<P>(batch.columns.clone())?;
    apply(&batch, output)
}

/// Configures a partitioner and asks it about keys.
///
/// # Errors
/// What the plugin says, or that a partition is out of range.
pub fn partition<P: Partitioner>(
    parameters: &[(&str, &str)],
    keys: &[Option<&[u8]>],
    partitions: u32,
) -> Result<Vec<u32>, String> {
    configure::<P>(parameters)?;
    let mut column = column::with_room(keys.len(), 0);
    for key in keys {
        column::push(&mut column, *key);
    }
    let chosen = call::partition::<P>(&column, partitions)?;
    match chosen.iter().find(|partition| **partition >= partitions) {
        Some(out) => Err(format!("partition {out} is not below {partitions}")),
        None => Ok(chosen),
    }
}

/// Configures a decoder and gives it one value.
///
/// # Errors
/// What the plugin says of its parameters or of the bytes.
pub fn decode<P: Decoder>(
    parameters: &[(&str, &str)],
    part: Part,
    bytes: &[u8],
) -> Result<String, String> {
    configure::<P>(parameters)?;
    let mut column = column::with_room(1, bytes.len());
    column::push(&mut column, Some(bytes));
    call::decode::<P>(part, &column).remove(0)
}

/// Configures a decoder and lets it write one JSON text.
///
/// # Errors
/// What the plugin says of its parameters or of the text.
pub fn encode<P: Decoder>(
    parameters: &[(&str, &str)],
    part: Part,
    json: &str,
) -> Result<Vec<u8>, String> {
    configure::<P>(parameters)?;
    call::encode::<P>(part, &[json.to_owned()]).remove(0)
}

/// The records that an output leaves of a batch, after the rules that the host holds it to.
fn apply(batch: &Batch, output: wit::Output) -> Result<Done, String> {
    let count = u32::try_from(batch.len()).map_err(|error| error.to_string())?;
    let rows = output.rows.clone().unwrap_or_else(|| (0..count).collect());
    if !rows.is_sorted_by(|a, b| a < b) || rows.last().is_some_and(|last| *last >= count) {
        return Err(format!(
            "rows are not ascending, or not below {count}: {rows:?}"
        ));
    }
    let lengths = [
        ("timestamps", output.timestamps.as_ref().map(Vec::len)),
        ("keys", output.keys.as_ref().map(|keys| keys.ends.len())),
        (
            "values",
            output.values.as_ref().map(|values| values.ends.len()),
        ),
        (
            "headers",
            output.headers.as_ref().map(|headers| headers.ends.len()),
        ),
        ("outputs", output.outputs.as_ref().map(Vec::len)),
    ];
    for (name, length) in lengths {
        if let Some(length) = length
            && length != rows.len()
        {
            return Err(format!(
                "{} rows stay, but there are {length} {name}",
                rows.len()
            ));
        }
    }
    for refusal in &output.refusals {
        if refusal.row >= count || rows.contains(&refusal.row) {
            return Err(format!(
                "row {} is refused, but stays or is not there",
                refusal.row
            ));
        }
    }
    let mut records: Vec<Record> = rows
        .iter()
        .filter_map(|row| batch.row(*row as usize))
        .map(Record::of)
        .collect();
    replace(&mut records, &output);
    Ok(Done {
        outputs: output.outputs.unwrap_or_else(|| vec![0; rows.len()]),
        rows,
        records,
        refusals: output
            .refusals
            .into_iter()
            .map(|refusal| (refusal.row, refusal.reason))
            .collect(),
    })
}

fn replace(records: &mut [Record], output: &wit::Output) {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    if let Some(timestamps) = &output.timestamps {
        for (record, timestamp) in records.iter_mut().zip(timestamps) {
            record.timestamp = *timestamp;
        }
    }
    if let Some(keys) = &output.keys {
        for (record, key) in records.iter_mut().zip(ColumnIter::new(keys)) {
            record.key = owned(key);
        }
    }
    if let Some(values) = &output.values {
        for (record, value) in records.iter_mut().zip(ColumnIter::new(values)) {
            record.value = owned(value);
        }
    }
    if let Some(headers) = &output.headers {
        let mut names = ColumnIter::new(&headers.names).zip(ColumnIter::new(&headers.values));
        let mut from = 0;
        for (record, end) in records.iter_mut().zip(&headers.ends) {
            let count = (*end as usize).saturating_sub(from);
            from = *end as usize;
            record.headers = names
                .by_ref()
                .take(count)
                .map(|(name, value)| {
                    let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
                    (name, owned(value))
                })
                .collect();
        }
    }
}
