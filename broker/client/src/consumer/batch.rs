//! A fetched batch: checked, decompressed, and its records one by one without a copy.
//!
//! Everything here comes from a broker: nothing may panic on it, and no batch may grow beyond the
//! limit.

use crate::{
    error::ConsumeError,
    record::{ConsumerRecord, Header, TimestampType, TopicPartition},
};
use bytes::Bytes;
use weir_codec::{Compression, Decompressor};
use weir_types::{
    BatchHeader, Offset, TimestampMs,
    batch::{BatchError, Record, check_crc, payload, records},
};

/// A batch as it was fetched.
#[derive(Clone, Debug)]
pub(crate) struct RawBatch {
    pub(crate) header: BatchHeader,
    pub(crate) bytes: Bytes,
}

/// One record batch with its records decompressed. Records below the position from which was
/// fetched are in it but not handed out.
#[derive(Clone, Debug)]
pub struct FetchedBatch {
    partition: TopicPartition,
    header: BatchHeader,
    payload: Bytes,
    from: Offset,
    wire_bytes: usize,
}

impl FetchedBatch {
    /// Checks and decompresses a batch; `check` looks at its CRC too.
    pub(crate) fn open(
        partition: TopicPartition,
        raw: &RawBatch,
        from: Offset,
        check: bool,
        bytes_max: usize,
        decompressor: &mut Decompressor,
    ) -> Result<Self, ConsumeError> {
        let header = raw.header;
        let damaged = |reason: String| ConsumeError::Damaged {
            partition: partition.clone(),
            offset: header.base_offset,
            next_offset: header.next_offset().max(from),
            reason,
        };
        if check {
            check_crc(&raw.bytes, &header).map_err(|error| damaged(error.to_string()))?;
        }
        let packed = payload(&raw.bytes, &header);
        let payload = match header.compression() {
            Some(Compression::None) => raw.bytes.slice_ref(packed),
            Some(codec) => {
                let mut plain = Vec::new();
                decompressor
                    .decompress_into(codec, packed, bytes_max, &mut plain)
                    .map_err(|error| damaged(error.to_string()))?;
                Bytes::from(plain)
            }
            None => {
                let bits = header.attributes & 7;
                return Err(damaged(BatchError::Compression { bits }.to_string()));
            }
        };
        Ok(Self {
            partition,
            header,
            payload,
            from,
            wire_bytes: raw.bytes.len(),
        })
    }

    /// Leaves records below `offset` out.
    pub(crate) fn skip_to(&mut self, offset: Offset) {
        self.from = self.from.max(offset);
    }

    /// Where it is from.
    #[must_use]
    pub const fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Its header: offsets, timestamps, producer, attributes.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The offset behind it: the position once all its records are taken.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.header.next_offset()
    }

    /// Bytes it took on the wire.
    #[must_use]
    pub const fn wire_bytes(&self) -> usize {
        self.wire_bytes
    }

    /// Whether it holds a transaction marker instead of records; it then gives none.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.header.is_control()
    }

    /// The records as they lie in the batch: nothing is copied or counted. The fast way.
    pub fn raw_records(
        &self,
    ) -> impl Iterator<Item = Result<(Offset, TimestampMs, Record<'_>), ConsumeError>> {
        let count = if self.is_control() {
            0
        } else {
            self.header.record_count
        };
        let payload: &[u8] = if self.is_control() {
            &[]
        } else {
            &self.payload
        };
        records(payload, count).filter_map(|record| match record {
            Ok(record) => {
                let offset = self.offset_of(&record);
                (offset >= self.from).then(|| Ok((offset, self.timestamp_of(&record), record)))
            }
            Err(error) => Some(Err(self.damaged(&error))),
        })
    }

    /// The records, each of which shares the batch's memory.
    pub fn records(&self) -> impl Iterator<Item = Result<ConsumerRecord, ConsumeError>> {
        self.raw_records()
            .map(|raw| raw.map(|(_, _, record)| self.own(&record)))
    }

    /// Takes records from byte `at` of the payload on, of which `left` are still there, until
    /// `out` has `most`. Returns the bytes and records passed.
    pub(crate) fn take(
        &self,
        at: usize,
        left: i32,
        most: usize,
        out: &mut std::collections::VecDeque<ConsumerRecord>,
    ) -> Result<(usize, i32), ConsumeError> {
        let mut passed = (0, 0);
        let mut rest = self.payload.get(at..).unwrap_or_default();
        while out.len() < most && passed.1 < left {
            let remaining = left - passed.1;
            let Some(next) = records(rest, remaining).next() else {
                break;
            };
            let record = next.map_err(|error| self.damaged(&error))?;
            if self.offset_of(&record) >= self.from {
                out.push_back(self.own(&record));
            }
            let span = record_bytes(rest);
            passed = (passed.0 + span, passed.1 + 1);
            rest = rest.get(span..).unwrap_or_default();
        }
        if passed.1 == left && !rest.is_empty() {
            return Err(self.damaged(&BatchError::Record {
                index: usize::try_from(left).unwrap_or(0),
                what: "bytes are left over behind the last record",
            }));
        }
        Ok(passed)
    }

    fn offset_of(&self, record: &Record<'_>) -> Offset {
        self.header.base_offset.plus(i64::from(record.offset_delta))
    }

    fn timestamp_of(&self, record: &Record<'_>) -> TimestampMs {
        if self.header.is_log_append_time() {
            self.header.max_timestamp
        } else {
            let base = self.header.base_timestamp.0;
            TimestampMs(base.wrapping_add(record.timestamp_delta))
        }
    }

    fn own(&self, record: &Record<'_>) -> ConsumerRecord {
        let share = |bytes: &[u8]| self.payload.slice_ref(bytes);
        let mut headers = Vec::with_capacity(record.header_count().min(self.payload.len()));
        headers.extend(record.headers().map(|header| Header {
            key: share(header.key),
            value: header.value.map(share),
        }));
        ConsumerRecord {
            topic: std::sync::Arc::clone(&self.partition.topic),
            partition: self.partition.partition,
            offset: self.offset_of(record),
            leader_epoch: self.header.leader_epoch,
            timestamp: self.timestamp_of(record),
            timestamp_type: if self.header.is_log_append_time() {
                TimestampType::LogAppendTime
            } else {
                TimestampType::CreateTime
            },
            key: record.key.map(share),
            value: record.value.map(share),
            headers,
        }
    }

    fn damaged(&self, error: &BatchError) -> ConsumeError {
        ConsumeError::Damaged {
            partition: self.partition.clone(),
            offset: self.header.base_offset,
            next_offset: self.next_offset().max(self.from),
            reason: error.to_string(),
        }
    }
}

/// Bytes of the well-formed record at the start of `bytes`, its length included.
fn record_bytes(bytes: &[u8]) -> usize {
    let mut raw = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let body = usize::try_from(raw >> 1).unwrap_or(usize::MAX);
            return (index + 1).saturating_add(body).min(bytes.len());
        }
    }
    bytes.len()
}

/// Cuts what a fetch answer holds of one partition into batches; an incomplete one at the end is
/// left out (KIP-74 answers whole batches, old brokers do not).
pub(crate) fn split(records: &Bytes) -> Result<Vec<RawBatch>, BatchError> {
    let mut rest = records.clone();
    let mut batches = Vec::new();
    while !rest.is_empty() {
        match BatchHeader::read(&rest) {
            Ok(header) if header.last_offset_delta < 0 => {
                return Err(BatchError::Header {
                    what: "the last offset delta is negative",
                });
            }
            Ok(header) => {
                let bytes = rest.split_to(header.size_bytes);
                batches.push(RawBatch { header, bytes });
            }
            Err(BatchError::Truncated { .. }) if !batches.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
}
