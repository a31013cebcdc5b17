//! I-SIM-2: no acked record is lost.

use crate::{
    oracle::log::PartLog,
    violation::{Checked, Promise},
};
use weir_types::Offset;

/// No record that was acked is lost.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-2",
    text: "an acked record does not disappear while its disk lives and retention lets it stay",
};

/// A log that was flushed up to `part.flushed` came back with its end at `end`.
///
/// # Errors
/// Where flushed records are gone.
pub fn recovered(part: &PartLog, end: Offset) -> Checked {
    PROMISE.holds(end >= part.flushed, || {
        format!(
            "{:?} was flushed up to {} and came back with the end {end}",
            part.key, part.flushed
        )
    })
}

/// The record acked at `offset`, in a log that in the end holds `start` to `end`.
///
/// # Errors
/// Where it should be there and is not.
pub fn still_there(offset: i64, start: i64, end: i64, what: impl Fn() -> String) -> Checked {
    PROMISE.holds(offset < start || offset < end, || {
        format!("{} acked at {offset}, but the log ends at {end}", what())
    })
}
