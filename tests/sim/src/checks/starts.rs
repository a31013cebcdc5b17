//! I-SIM-7: a log's start never goes back, and nothing below it is read.

use crate::{
    oracle::log::PartLog,
    violation::{Checked, Promise},
};
use bytes::Bytes;
use weir_types::{BatchHeader, Offset};

/// A log's start never goes back, and who reads below it is told so.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-7",
    text: "a log's start never goes back, and a reader below it gets OFFSET_OUT_OF_RANGE",
};

/// The node asks for a new start.
///
/// # Errors
/// Where it passes what is flushed.
pub fn asked(part: &PartLog, to: Offset) -> Checked {
    PROMISE.holds(to <= part.flushed, || {
        format!(
            "{:?}: a start of {to} is asked for, the log is flushed up to {}",
            part.key, part.flushed
        )
    })
}

/// The store says that the start moved.
///
/// # Errors
/// Where it goes back, or further than anybody asked.
pub fn moved(part: &PartLog, start: Offset) -> Checked {
    PROMISE.holds(part.start <= start && start <= part.start_max, || {
        format!(
            "{:?}: the start moves from {} to {start}, at most {} was asked for",
            part.key, part.start, part.start_max
        )
    })
}

/// The log came back with its start at `start`.
///
/// # Errors
/// Where a moved start was forgotten or invented.
pub fn recovered(part: &PartLog, start: Offset) -> Checked {
    PROMISE.holds(part.start <= start && start <= part.start_max, || {
        format!(
            "{:?} came back with the start {start}, it was {} and at most {} was asked for",
            part.key, part.start, part.start_max
        )
    })
}

/// A read answered with batches.
///
/// # Errors
/// Where one lies below the start as it was when the read was asked for.
pub fn read_not_below(start: Offset, batches: &[(BatchHeader, Bytes)]) -> Checked {
    match batches
        .iter()
        .find(|(header, _)| header.last_offset() < start)
    {
        None => Ok(()),
        Some((header, _)) => PROMISE.broken(format!(
            "a batch at {} to {} is read, below the start {start}",
            header.base_offset,
            header.last_offset()
        )),
    }
}

/// A read was told that its offset is out of range.
///
/// # Errors
/// Where it is not.
pub fn out_of_range(part: &PartLog, from: Offset) -> Checked {
    PROMISE.holds(from < part.start_max || from > part.flushed, || {
        format!(
            "{:?}: {from} is called out of range, which is {} to {}",
            part.key, part.start_max, part.flushed
        )
    })
}

/// A client is told a start; an answer it had before it asked told `floor`.
///
/// # Errors
/// Where the start went back.
pub fn told(floor: i64, start: i64) -> Checked {
    PROMISE.holds(start < 0 || start >= floor, || {
        format!("a client is told the start {start} and was told {floor} before")
    })
}
