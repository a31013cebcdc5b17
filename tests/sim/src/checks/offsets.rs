//! I-SIM-4: offsets start at 0, leave no gap and never mean two records.

use crate::{
    oracle::{log::PartLog, truth::RecordKey},
    violation::{Checked, Promise},
};
use weir_types::{Batch, BatchHeader, BatchMeta, Offset, TimestampMs};

/// Offsets start at 0, leave no gap and never mean two records.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-4",
    text: "offsets start at 0, leave no gap and never mean two records",
};

/// The node appends a batch.
///
/// # Errors
/// Where it does not follow the last one, or its bytes say something else than its meta.
pub fn appended(part: &PartLog, batch: &Batch, meta: &BatchMeta) -> Checked {
    PROMISE.holds(!part.deleted, || {
        format!("{:?} is deleted and appended to", part.key)
    })?;
    PROMISE.holds(meta.base_offset == part.end, || {
        format!(
            "{:?} ends at {} and a batch is appended at {}",
            part.key, part.end, meta.base_offset
        )
    })?;
    let said = BatchMeta::of(&batch.header(), meta.appended_at);
    PROMISE.holds(said == *meta, || {
        format!("the batch's bytes say {said:?}, its meta {meta:?}")
    })
}

/// The record at an offset that was known to hold `known`.
///
/// # Errors
/// Where it is another one.
pub fn one_value(known: Option<RecordKey>, seen: RecordKey, offset: i64) -> Checked {
    match known {
        Some(known) if known != seen => {
            PROMISE.broken(format!("offset {offset} was {known:?} and is now {seen:?}"))
        }
        _ => Ok(()),
    }
}

/// The batch found for a time: the first whose largest timestamp reaches it.
///
/// # Errors
/// Where it is not the first, or none was found though there is one.
pub fn first_at_time(
    part: &PartLog,
    timestamp: TimestampMs,
    below: Offset,
    found: Option<&BatchHeader>,
) -> Checked {
    let mut fits = part.batches.iter().map(|(meta, _)| meta).filter(|meta| {
        meta.last_offset >= part.start_max
            && meta.base_offset < below
            && meta.max_timestamp >= timestamp
    });
    let first = fits.next().map(|meta| meta.base_offset);
    let found = match found {
        Some(header) if header.max_timestamp < timestamp => {
            return PROMISE.broken(format!(
                "asked for time {timestamp:?}, found a batch up to {:?}",
                header.max_timestamp
            ));
        }
        found => found.map(|header| header.base_offset),
    };
    // A start that moved meanwhile may have hidden an earlier batch from us, not from the log.
    let right = match (first, found) {
        (Some(first), Some(found)) => found == first || found < part.start_max,
        (None, Some(found)) => found < part.start_max,
        (Some(_), None) => false,
        (None, None) => true,
    };
    PROMISE.holds(right, || {
        format!(
            "{:?}, time {timestamp:?} below {below}: the first batch is at {first:?}, found {found:?}",
            part.key
        )
    })
}
