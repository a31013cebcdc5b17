//! [`BatchBuilder`]: records in, one record batch out, as producers and tests need it.
//!
//! Nothing here compresses: the caller compresses [`BatchBuilder::payload`] and hands the result
//! to [`BatchBuilder::finish_compressed`].

use alloc::vec::Vec;
use bytes::Bytes;
use weir_types::{
    BatchHeader, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs,
    batch::{Compression, HEADER_BYTES, RecordHeader, write_header},
    varint::{RecordParts, put_record},
};

/// The transactional bit of a batch's attributes.
const TRANSACTIONAL: i16 = 0x10;
/// The control bit of a batch's attributes.
const CONTROL: i16 = 0x20;

/// What a batch says about its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The idempotent producer, or -1.
    pub producer_id: ProducerId,
    /// Its epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or -1.
    pub base_sequence: Sequence,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether the batch is a transaction marker.
    pub control: bool,
}

impl Default for Stamp {
    /// No idempotent producer.
    fn default() -> Self {
        Self {
            producer_id: ProducerId(-1),
            producer_epoch: ProducerEpoch(-1),
            base_sequence: Sequence(-1),
            transactional: false,
            control: false,
        }
    }
}

/// Collects records into one uncompressed payload.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// Room for the header, then the payload, so that an uncompressed batch is never copied.
    bytes: Vec<u8>,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
    count: i32,
}

impl BatchBuilder {
    /// An empty batch whose records' timestamps are kept as differences to `base_timestamp`.
    #[must_use]
    pub fn new(base_timestamp: TimestampMs) -> Self {
        Self {
            bytes: alloc::vec![0; HEADER_BYTES],
            base_timestamp,
            max_timestamp: TimestampMs::NONE,
            count: 0,
        }
    }

    /// Adds a record; null and empty keys and values stay apart.
    ///
    /// # Panics
    /// At the record after the 2 147 483 647th: the batch was never sent.
    pub fn push(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) {
        let timestamp_delta = timestamp.0.wrapping_sub(self.base_timestamp.0);
        let parts = RecordParts {
            key,
            value,
            headers: headers.iter().copied(),
        };
        let offset_delta = i64::from(self.count);
        put_record(&mut self.bytes, timestamp_delta, offset_delta, parts);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        assert!(self.count < i32::MAX, "a batch of {} records", self.count);
        self.count += 1;
    }

    /// How many records there are.
    #[must_use]
    pub const fn record_count(&self) -> i32 {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch as it stands, header included, before compression.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records' bytes, uncompressed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// The whole batch, uncompressed.
    #[must_use]
    pub fn finish(mut self, stamp: Stamp) -> Bytes {
        let header = self.header(Compression::None, stamp);
        write_header(&mut self.bytes, &header);
        self.bytes.into()
    }

    /// The whole batch with `payload` in place of its own, which the caller has compressed.
    #[must_use]
    pub fn finish_compressed(
        &self,
        compression: Compression,
        payload: &[u8],
        stamp: Stamp,
    ) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(payload);
        let header = self.header(compression, stamp);
        write_header(&mut bytes, &header);
        bytes.into()
    }

    fn header(&self, compression: Compression, stamp: Stamp) -> BatchHeader {
        let mut attributes = compression.bits();
        if stamp.transactional {
            attributes |= TRANSACTIONAL;
        }
        if stamp.control {
            attributes |= CONTROL;
        }
        BatchHeader {
            base_offset: Offset::ZERO,
            size_bytes: 0, // written from the bytes, as is the CRC
            leader_epoch: LeaderEpoch::NONE,
            crc: 0,
            attributes,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            record_count: self.count,
        }
    }
}
