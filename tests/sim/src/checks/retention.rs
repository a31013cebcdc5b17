//! I-SIM-8: retention drops the oldest whole batches and nothing that must stay.

use crate::{
    oracle::log::PartLog,
    violation::{Checked, Promise},
};
use weir_meta::TopicConfig;
use weir_types::{Offset, TimestampMs};

/// Retention drops the oldest whole batches that are too old or too many, and nothing else.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-8",
    text: "retention drops the oldest whole batches that the topic's settings let go, no others",
};

/// The furthest start to which retention with these limits may move.
#[must_use]
pub fn bound(
    part: &PartLog,
    older_than: Option<TimestampMs>,
    bytes_max: Option<u64>,
    below: Offset,
) -> Offset {
    let mut start = part.start_max;
    let live = part.batches.iter().map(|(meta, _)| meta);
    let live = live.filter(|meta| meta.last_offset >= part.start);
    let mut left: u64 = live.clone().map(|meta| u64::from(meta.size_bytes)).sum();
    for meta in live {
        // A batch whose records have no timestamps is as old as its stay in the log.
        let time = match meta.max_timestamp {
            TimestampMs::NONE => meta.appended_at,
            time => time,
        };
        let old = older_than.is_some_and(|oldest| time < oldest);
        let many = bytes_max.is_some_and(|most| left > most);
        if meta.next_offset() > below || !(old || many || meta.last_offset < start) {
            break;
        }
        left -= u64::from(meta.size_bytes);
        start = start.max(meta.next_offset());
    }
    start
}

/// The node has retention applied at the wall-clock time `wall`.
///
/// # Errors
/// Where it does not ask for what the topic's settings say.
pub fn asked(
    config: &TopicConfig,
    wall: TimestampMs,
    older_than: Option<TimestampMs>,
    bytes_max: Option<u64>,
) -> Checked {
    let age = config
        .retention_ms
        .map(|ms| TimestampMs(wall.0.saturating_sub(ms)));
    PROMISE.holds(
        older_than.is_none_or(|time| age.is_some_and(|age| time <= age)),
        || format!("older than {older_than:?} is dropped, the settings say {age:?}"),
    )?;
    let bytes = config.retention_bytes;
    PROMISE.holds(
        bytes_max.is_none_or(|most| bytes.is_some_and(|bytes| most >= bytes)),
        || format!("beyond {bytes_max:?} bytes is dropped, the settings say {bytes:?}"),
    )
}
