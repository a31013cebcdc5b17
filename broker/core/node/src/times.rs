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

/// Looks into the batch for what is at or after `start`, the log's; nothing if its bytes make no
/// sense.
pub(crate) fn look(
    batch: StoredBatch,
    spec: OffsetSpec,
    start: Offset,
) -> Option<(FoundOffset, LeaderEpoch)> {
    let header = match &batch {
        StoredBatch::Cached(batch) => batch.header(),
        StoredBatch::Read(bytes) => BatchHeader::read(bytes).ok()?,
    };
    let opens = header.compression() == Some(Compression::None) || header.is_log_append_time();
    if !opens {
        let found = FoundOffset::Inside { batch, spec, start };
        return Some((found, header.leader_epoch));
    }
    let located = match &batch {
        StoredBatch::Cached(batch) => locate(&header, batch.body(), spec, start),
        StoredBatch::Read(bytes) => locate(&header, payload(bytes, &header), spec, start),
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
/// Records below `start` are gone, though a batch that straddles it still has them. Where one of
/// those was the last to reach the time, the first that is left is named: whoever reads from there
/// misses nothing.
///
/// # Errors
/// [`BatchError::Record`] where a record is malformed.
pub fn locate(
    header: &BatchHeader,
    payload: &[u8],
    spec: OffsetSpec,
    start: Offset,
) -> Result<Option<(Offset, TimestampMs)>, BatchError> {
    if header.is_log_append_time() {
        // All records of the batch have the broker's time.
        let offset = header.base_offset.max(start);
        return Ok(Some((offset, header.max_timestamp)));
    }
    let mut largest: Option<(Offset, TimestampMs)> = None;
    let mut first_left = None;
    for record in records(payload, header.record_count) {
        let record = record?;
        let offset = header.base_offset.plus(i64::from(record.offset_delta));
        if offset < start {
            continue;
        }
        let timestamp = header
            .base_timestamp
            .0
            .saturating_add(record.timestamp_delta);
        let timestamp = TimestampMs(timestamp);
        first_left.get_or_insert((offset, timestamp));
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
    if header.base_offset < start && largest.is_none() {
        // Without a record that is left there is still a place to go on from.
        return Ok(Some(first_left.unwrap_or((start, TimestampMs::NONE))));
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use weir_wire::build::{BatchBuilder, Stamp};

    /// A batch at offset 10 whose records have these timestamps.
    fn batch(times: &[i64]) -> (BatchHeader, Vec<u8>) {
        let mut builder = BatchBuilder::new(TimestampMs(times[0]));
        for time in times {
            builder.push(TimestampMs(*time), None, Some(b"value"), &[]);
        }
        let bytes = builder.finish(Stamp::default());
        let mut header = BatchHeader::read(&bytes).unwrap();
        header.base_offset = Offset(10);
        let records = payload(&bytes, &header).to_vec();
        (header, records)
    }

    fn at(times: &[i64], spec: OffsetSpec, start: i64) -> Option<(i64, i64)> {
        let (header, payload) = batch(times);
        let located = locate(&header, &payload, spec, Offset(start)).unwrap();
        located.map(|(offset, timestamp)| (offset.0, timestamp.0))
    }

    #[test]
    fn what_is_below_the_start_is_never_named() {
        let times = [3, 9, 5, 4, 7, 2];
        let time = |time, start| at(&times, OffsetSpec::Time(TimestampMs(time)), start);
        assert_eq!(time(4, 0), Some((11, 9)));
        assert_eq!(time(4, 12), Some((12, 5)));
        assert_eq!(time(6, 12), Some((14, 7)));
        // Only 11 reached it: the first that is left is where to go on.
        assert_eq!(time(8, 12), Some((12, 5)));
        assert_eq!(time(8, 16), Some((16, -1)));
        assert_eq!(time(10, 0), None);
        let largest = |start| at(&times, OffsetSpec::MaxTimestamp, start);
        assert_eq!((largest(0), largest(12)), (Some((11, 9)), Some((14, 7))));
        assert_eq!(largest(16), Some((16, -1)));
    }

    #[test]
    fn the_brokers_own_time_holds_for_what_is_left() {
        let (mut header, payload) = batch(&[1, 2]);
        header.attributes |= 0b1000;
        header.max_timestamp = TimestampMs(5);
        let spec = OffsetSpec::Time(TimestampMs(5));
        let located = locate(&header, &payload, spec, Offset(11));
        assert_eq!(located.unwrap(), Some((Offset(11), TimestampMs(5))));
    }
}
