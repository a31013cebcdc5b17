//! The record a time look-up is after, inside the batch the log found.
//!
//! Batches that are compressed are not opened here: whoever asked decompresses them and calls
//! [`locate`].

use crate::request::{FoundOffset, OffsetSpec};
use weir_types::{
    BatchHeader, LeaderEpoch, Offset, TimestampMs,
    batch::{BatchError, Compression, payload, records},
    log::StoredBatch,
};

/// Looks into the batch; nothing if its bytes make no sense.
pub(crate) fn look(batch: StoredBatch, spec: OffsetSpec) -> Option<(FoundOffset, LeaderEpoch)> {
    let header = match &batch {
        StoredBatch::Cached(batch) => batch.header(),
        StoredBatch::Read(bytes) => BatchHeader::read(bytes).ok()?,
    };
    let opens = header.compression() == Some(Compression::None) || header.is_log_append_time();
    if !opens {
        let found = FoundOffset::Inside { batch, spec };
        return Some((found, header.leader_epoch));
    }
    let located = match &batch {
        StoredBatch::Cached(batch) => locate(&header, batch.body(), spec),
        StoredBatch::Read(bytes) => locate(&header, payload(bytes, &header), spec),
    };
    let found = match located.ok()? {
        Some((offset, timestamp)) => FoundOffset::At(offset, timestamp),
        None => FoundOffset::Nothing,
    };
    Some((found, header.leader_epoch))
}

/// The record of a batch that `spec` is after, in its decompressed payload: the first that
/// reaches the time, or the first with the largest timestamp.
///
/// # Errors
/// [`BatchError::Record`] where a record is malformed.
pub fn locate(
    header: &BatchHeader,
    payload: &[u8],
    spec: OffsetSpec,
) -> Result<Option<(Offset, TimestampMs)>, BatchError> {
    if header.is_log_append_time() {
        // All records of the batch have the broker's time.
        return Ok(Some((header.base_offset, header.max_timestamp)));
    }
    let mut largest: Option<(Offset, TimestampMs)> = None;
    for record in records(payload, header.record_count) {
        let record = record?;
        let offset = header.base_offset.plus(i64::from(record.offset_delta));
        let timestamp = header
            .base_timestamp
            .0
            .saturating_add(record.timestamp_delta);
        let timestamp = TimestampMs(timestamp);
        match spec {
            OffsetSpec::Time(wanted) if timestamp >= wanted => {
                return Ok(Some((offset, timestamp)));
            }
            OffsetSpec::MaxTimestamp if largest.is_none_or(|(_, most)| timestamp > most) => {
                largest = Some((offset, timestamp));
            }
            _ => {}
        }
    }
    Ok(largest)
}
