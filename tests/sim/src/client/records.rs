//! Records that say who they are: lane and number in front, filled up with bytes that follow from
//! both, so that whoever reads one can check every byte of it.

use crate::{
    checks::corruption,
    oracle::truth::{LaneId, RecordKey},
    violation::Checked,
};
use bytes::Bytes;
use weir_types::{
    BatchHeader, ProducerEpoch, ProducerId, Sequence, TimestampMs,
    batch::{payload, records},
};
use weir_wire::build::{BatchBuilder, Stamp};

/// Lane and number.
const HEAD_BYTES: usize = 12;

/// The value of a record of `bytes` bytes, or as many as its head needs.
#[must_use]
pub fn value(record: RecordKey, bytes: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes.max(HEAD_BYTES));
    value.extend_from_slice(&record.lane.0.to_be_bytes());
    value.extend_from_slice(&record.counter.to_be_bytes());
    let seed = record
        .counter
        .wrapping_mul(0x9e37_79b9)
        .wrapping_add(u64::from(record.lane.0));
    while value.len() < bytes {
        let at = value.len() as u64;
        value.push((seed.wrapping_add(at.wrapping_mul(seed | 1)) >> 5) as u8);
    }
    value
}

/// Reads a value back and checks every byte.
///
/// # Errors
/// Where it is not a value that [`value`] made.
pub fn record_of(found: &[u8]) -> Checked<RecordKey> {
    let Some((head, _)) = found.split_first_chunk::<HEAD_BYTES>() else {
        return corruption::PROMISE.broken("a record without a head was read");
    };
    let [a, b, c, d, rest @ ..] = *head;
    let record = RecordKey {
        lane: LaneId(u32::from_be_bytes([a, b, c, d])),
        counter: u64::from_be_bytes(rest),
    };
    corruption::value(&value(record, found.len()), found, || format!("{record:?}"))?;
    Ok(record)
}

/// Who a batch is from.
#[derive(Clone, Copy, Debug)]
pub struct From {
    /// The idempotent producer, if it is one.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// Sequence of the first record.
    pub sequence: i32,
}

/// A batch of the lane's records from `first` on, one for each size.
#[must_use]
pub fn batch(lane: LaneId, first: u64, sizes: &[usize], from: From, time: TimestampMs) -> Bytes {
    let mut builder = BatchBuilder::new(time);
    for (counter, size) in (first..).zip(sizes) {
        let value = value(RecordKey { lane, counter }, *size);
        let later = match time {
            TimestampMs::NONE => 0,
            _ => i64::try_from(counter % 3).unwrap_or(0),
        };
        builder.push(TimestampMs(time.0 + later), None, Some(&value), &[]);
    }
    builder.finish(match from.producer {
        None => Stamp::default(),
        Some((producer_id, producer_epoch)) => Stamp {
            producer_id,
            producer_epoch,
            base_sequence: Sequence(from.sequence),
            ..Stamp::default()
        },
    })
}

/// The records of a batch that a client received, checked whole.
///
/// # Errors
/// Where one is not what was sent.
pub fn open(bytes: &[u8], header: &BatchHeader) -> Checked<Vec<(i64, RecordKey)>> {
    let mut found = Vec::new();
    for record in records(payload(bytes, header), header.record_count) {
        match record {
            Ok(record) => {
                let offset = header.base_offset.0 + i64::from(record.offset_delta);
                found.push((offset, record_of(record.value.unwrap_or_default())?));
            }
            Err(error) => return corruption::PROMISE.broken(error),
        }
    }
    Ok(found)
}
