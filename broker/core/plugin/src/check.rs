//! The rules for what a plugin gives back. What passes can be written as a batch; what does not is
//! refused with a text that says which rule it breaks.

use crate::{
    columns::{BytesColumn, Columns, HeadersColumn},
    limits::{OUTPUT_BYTES_SPARE, OUTPUT_FACTOR_MAX},
    outcome::Output,
};
use alloc::{vec, vec::Vec};
use thiserror::Error;

/// Where a chain is attached, as far as it decides what may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A topic's ingest, or a view: one batch in, one batch out.
    Batch,
    /// A router job, with this many topics to write to.
    Router {
        /// How many topics.
        outputs: u32,
    },
}

/// A rule that an output breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    /// A row that is not there.
    #[error("{list} names row {row}, but the batch has {rows} rows, counted from 0")]
    RowOutOfRange {
        /// `rows` or `refusals`.
        list: &'static str,
        /// Which row.
        row: u32,
        /// How many there are.
        rows: usize,
    },
    /// Rows out of order, or one twice.
    #[error("rows must ascend, but row {row} follows row {before}")]
    RowsOutOfOrder {
        /// The earlier entry.
        before: u32,
        /// The later entry.
        row: u32,
    },
    /// A column of another length than there are rows that stay.
    #[error("{column} has {entries} entries, but {rows} rows stay")]
    Count {
        /// Which column.
        column: &'static str,
        /// How many entries it has.
        entries: usize,
        /// How many it should have.
        rows: usize,
    },
    /// Ends that go back.
    #[error("the ends of {column} must not go back, but entry {entry} does")]
    EndsGoBack {
        /// Which column.
        column: &'static str,
        /// Which entry.
        entry: usize,
    },
    /// The last end is not where the data ends.
    #[error("the last end of {column} is {end}, but it has {available}")]
    EndsMissData {
        /// Which column.
        column: &'static str,
        /// The last end, or 0.
        end: u32,
        /// Bytes of data, or headers.
        available: usize,
    },
    /// A bitmap for more rows than there are.
    #[error("the bitmap of nulls of {column} has {bytes} bytes, but {wanted} are enough")]
    Bitmap {
        /// Which column.
        column: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        wanted: usize,
    },
    /// Bytes in a row that is null.
    #[error("entry {entry} of {column} is null and has bytes all the same")]
    NullWithBytes {
        /// Which column.
        column: &'static str,
        /// Which entry.
        entry: usize,
    },
    /// A header without a name.
    #[error("the name of header {entry} is null")]
    NullName {
        /// Which header, counted over all rows.
        entry: usize,
    },
    /// A header whose name is no text.
    #[error("the name of header {entry} is not UTF-8")]
    NameNotUtf8 {
        /// Which header, counted over all rows.
        entry: usize,
    },
    /// A timestamp before the epoch.
    #[error("timestamp {timestamp} of entry {entry} is below -1, which means none")]
    Timestamp {
        /// Which entry.
        entry: usize,
        /// The timestamp.
        timestamp: i64,
    },
    /// Outputs where there is one only.
    #[error("outputs are for router jobs; here a record can only stay or go")]
    OutputsHere,
    /// An output that is not there.
    #[error("outputs names topic {output}, but the job writes to {outputs}, counted from 0")]
    OutputOutOfRange {
        /// Which one.
        output: u32,
        /// How many there are.
        outputs: u32,
    },
    /// Refusals, but all rows stay.
    #[error("there are refusals, so rows must say which rows stay")]
    RefusalsWithoutRows,
    /// A row that is refused and stays.
    #[error("row {row} is refused and stays all the same")]
    RefusedAndStays {
        /// Which row.
        row: u32,
    },
    /// A row that is refused twice.
    #[error("row {row} is refused twice")]
    RefusedTwice {
        /// Which row.
        row: u32,
    },
    /// Too many bytes.
    #[error("the output has {bytes} bytes, but may have {allowed}: four times the input and 1 MiB")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        allowed: usize,
    },
}

/// How many bytes may come back for `given` bytes.
#[must_use]
pub const fn output_bytes_max(given: usize) -> usize {
    given
        .saturating_mul(OUTPUT_FACTOR_MAX)
        .saturating_add(OUTPUT_BYTES_SPARE)
}

/// Checks what a plugin gave back for `columns`.
///
/// # Errors
/// [`Invalid`]: the first rule it breaks.
pub fn check(output: &Output, columns: &Columns, place: Place) -> Result<(), Invalid> {
    let rows = columns.rows();
    check_rows(output, rows)?;
    check_refusals(output, rows)?;
    let staying = output.rows.as_ref().map_or(rows, Vec::len);
    if let Some(timestamps) = &output.timestamps {
        count("timestamps", timestamps.len(), staying)?;
        let early = timestamps.iter().position(|timestamp| *timestamp < -1);
        if let Some(entry) = early {
            let timestamp = timestamps[entry];
            return Err(Invalid::Timestamp { entry, timestamp });
        }
    }
    for (name, column) in [("keys", &output.keys), ("values", &output.values)] {
        if let Some(column) = column {
            check_column(name, column, staying)?;
        }
    }
    if let Some(headers) = &output.headers {
        check_headers(headers, staying)?;
    }
    check_outputs(output, staying, place)?;
    let (bytes, allowed) = (output.size_bytes(), output_bytes_max(columns.size_bytes()));
    if bytes > allowed {
        return Err(Invalid::TooLarge { bytes, allowed });
    }
    Ok(())
}

impl Output {
    /// Bytes of all columns that came back.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let words = self.rows.as_ref().map_or(0, Vec::len)
            + self.outputs.as_ref().map_or(0, Vec::len)
            + 2 * self.timestamps.as_ref().map_or(0, Vec::len);
        let reasons: usize = self.refusals.iter().map(|one| 4 + one.reason.len()).sum();
        4 * words
            + reasons
            + self.keys.as_ref().map_or(0, BytesColumn::size_bytes)
            + self.values.as_ref().map_or(0, BytesColumn::size_bytes)
            + self.headers.as_ref().map_or(0, HeadersColumn::size_bytes)
    }
}

fn check_rows(output: &Output, rows: usize) -> Result<(), Invalid> {
    let Some(staying) = &output.rows else {
        return Ok(());
    };
    let mut before = None;
    for row in staying {
        if let Some(before) = before.filter(|before| before >= row) {
            return Err(Invalid::RowsOutOfOrder { before, row: *row });
        }
        before = Some(*row);
    }
    // They ascend, so that the last one is the largest.
    match before {
        Some(row) if row as usize >= rows => Err(Invalid::RowOutOfRange {
            list: "rows",
            row,
            rows,
        }),
        _ => Ok(()),
    }
}

fn check_refusals(output: &Output, rows: usize) -> Result<(), Invalid> {
    if output.refusals.is_empty() {
        return Ok(());
    }
    let Some(staying) = &output.rows else {
        return Err(Invalid::RefusalsWithoutRows);
    };
    let mut refused = vec![false; rows];
    for refusal in &output.refusals {
        let row = refusal.row;
        let Some(known) = refused.get_mut(row as usize) else {
            return Err(Invalid::RowOutOfRange {
                list: "refusals",
                row,
                rows,
            });
        };
        if core::mem::replace(known, true) {
            return Err(Invalid::RefusedTwice { row });
        }
    }
    match staying.iter().find(|row| refused[**row as usize]) {
        Some(row) => Err(Invalid::RefusedAndStays { row: *row }),
        None => Ok(()),
    }
}

fn check_outputs(output: &Output, staying: usize, place: Place) -> Result<(), Invalid> {
    let Some(list) = &output.outputs else {
        return Ok(());
    };
    let Place::Router { outputs } = place else {
        return Err(Invalid::OutputsHere);
    };
    count("outputs", list.len(), staying)?;
    match list.iter().find(|output| **output >= outputs) {
        Some(output) => Err(Invalid::OutputOutOfRange {
            output: *output,
            outputs,
        }),
        None => Ok(()),
    }
}

fn check_headers(headers: &HeadersColumn, staying: usize) -> Result<(), Invalid> {
    count("headers", headers.ends.len(), staying)?;
    check_ends("headers", &headers.ends, headers.names.len())?;
    check_column("header names", &headers.names, headers.names.len())?;
    check_column("header values", &headers.values, headers.names.len())?;
    let names = &headers.names;
    if let Some(entry) = (0..names.len()).find(|entry| names.is_null(*entry)) {
        return Err(Invalid::NullName { entry });
    }
    // One look at all of them is fast; a name cut inside a character shows only one by one.
    let all = core::str::from_utf8(&names.data).is_ok_and(|all| {
        names
            .ends
            .iter()
            .all(|end| all.is_char_boundary(*end as usize))
    });
    let is_text = |entry: &usize| core::str::from_utf8(names.get(*entry).unwrap_or(b"")).is_ok();
    match (0..names.len()).find(|entry| !all && !is_text(entry)) {
        Some(entry) => Err(Invalid::NameNotUtf8 { entry }),
        None => Ok(()),
    }
}

fn check_column(name: &'static str, column: &BytesColumn, rows: usize) -> Result<(), Invalid> {
    count(name, column.len(), rows)?;
    check_ends(name, &column.ends, column.data.len())?;
    let wanted = rows.div_ceil(8);
    if column.nulls.len() > wanted {
        return Err(Invalid::Bitmap {
            column: name,
            bytes: column.nulls.len(),
            wanted,
        });
    }
    if column.nulls.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let mut start = 0;
    for (entry, end) in column.ends.iter().enumerate() {
        if column.is_null(entry) && *end != start {
            return Err(Invalid::NullWithBytes {
                column: name,
                entry,
            });
        }
        start = *end;
    }
    Ok(())
}

fn check_ends(column: &'static str, ends: &[u32], available: usize) -> Result<(), Invalid> {
    if !ends.is_sorted() {
        let back = ends.windows(2).position(|pair| pair[0] > pair[1]);
        let entry = back.map_or(0, |at| at + 1);
        return Err(Invalid::EndsGoBack { column, entry });
    }
    let end = ends.last().copied().unwrap_or(0);
    if end as usize != available {
        return Err(Invalid::EndsMissData {
            column,
            end,
            available,
        });
    }
    Ok(())
}

const fn count(column: &'static str, entries: usize, rows: usize) -> Result<(), Invalid> {
    if entries == rows {
        Ok(())
    } else {
        Err(Invalid::Count {
            column,
            entries,
            rows,
        })
    }
}

/// Checks what a partitioner gave back for `rows` keys.
///
/// # Errors
/// [`InvalidPartitions`]: the first rule it breaks.
pub fn check_partitions(
    chosen: &[u32],
    rows: usize,
    partitions: u32,
) -> Result<(), InvalidPartitions> {
    let entries = chosen.len();
    if entries != rows {
        return Err(InvalidPartitions::Count { entries, rows });
    }
    match chosen.iter().position(|partition| *partition >= partitions) {
        Some(row) => Err(InvalidPartitions::OutOfRange {
            row,
            partition: chosen[row],
            partitions,
        }),
        None => Ok(()),
    }
}

/// A rule that a partitioner's answer breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidPartitions {
    /// Not one partition for each key.
    #[error("the partitioner chose {entries} partitions for {rows} keys")]
    Count {
        /// How many partitions came back.
        entries: usize,
        /// How many keys there are.
        rows: usize,
    },
    /// A partition that is not there.
    #[error(
        "the partitioner chose partition {partition} for row {row}, but the topic has {partitions}, counted from 0"
    )]
    OutOfRange {
        /// Which row.
        row: usize,
        /// What was chosen.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
}
