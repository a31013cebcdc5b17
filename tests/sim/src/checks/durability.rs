//! I-SIM-5: nothing is acked or served before it is on the disk.

use crate::{
    oracle::log::PartLog,
    violation::{Checked, Promise},
};
use weir_node::request::{FetchResult, ProducePart, ProduceResult};
use weir_types::{ErrorCode, Offset};

/// Nothing is acked or served before it is on the disk.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-5",
    text: "nothing is acked or served before it is flushed; the high watermark is not above that",
};

/// The store says that everything below `end` is on the disk.
///
/// # Errors
/// Where it was never given so much, or said more before.
pub fn flushed(part: &PartLog, end: Offset) -> Checked {
    PROMISE.holds(part.flushed <= end && end <= part.end, || {
        format!(
            "{:?} is flushed up to {end}, it was up to {} and ends at {}",
            part.key, part.flushed, part.end
        )
    })
}

/// What came back after a crash ends at `end`.
///
/// # Errors
/// Where that is inside a batch or behind the last one.
pub fn nothing_invented(part: &PartLog, end: Offset) -> Checked {
    let mut ends = part.batches.iter().map(|(meta, _)| meta.next_offset());
    let known = end == Offset::ZERO || ends.any(|known| known == end);
    PROMISE.holds(known, || {
        format!(
            "{:?} came back with the end {end}: no batch ends there",
            part.key
        )
    })
}

/// A shard answers a produced batch.
///
/// # Errors
/// Where it is acked and not flushed.
pub fn acked(part: Option<&PartLog>, asked: &ProducePart, result: &ProduceResult) -> Checked {
    if result.error != ErrorCode::None {
        return Ok(());
    }
    let end = result
        .base_offset
        .plus(i64::from(asked.header.record_count));
    let flushed = part.map_or(Offset::ZERO, |part| part.flushed);
    PROMISE.holds(end <= flushed, || {
        format!(
            "{:?}: acked up to {end}, flushed up to {flushed}",
            asked.key
        )
    })
}

/// A shard answers a fetch.
///
/// # Errors
/// Where it serves, or promises, what is not flushed.
pub fn served(part: Option<&PartLog>, result: &FetchResult, served_end: Offset) -> Checked {
    let flushed = part.map_or(Offset::ZERO, |part| part.flushed);
    let most = result.high_watermark.max(served_end);
    PROMISE.holds(most <= flushed, || {
        format!(
            "{:?}: high watermark {}, records up to {served_end}, flushed up to {flushed}",
            part.map(|part| part.key),
            result.high_watermark
        )
    })
}

/// Retention asks for nothing above what is flushed.
///
/// # Errors
/// Where it does.
pub fn retained_below(part: &PartLog, below: Offset) -> Checked {
    PROMISE.holds(below <= part.flushed, || {
        format!(
            "{:?}: retention up to {below}, flushed up to {}",
            part.key, part.flushed
        )
    })
}
