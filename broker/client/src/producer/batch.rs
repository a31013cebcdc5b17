//! A finished record batch and its producer's numbers, which may change while it waits for a
//! retry; how large a record is in a batch.
//!
//! Records are never looked at again here: renumbering rewrites the header only.

use crate::limits::BATCH_BYTES_MAX;
use bytes::Bytes;
use weir_codec::{CompressError, Compression, compress, decompress};
use weir_types::{
    BatchHeader, TimestampMs,
    batch::{BatchError, RecordHeader, payload, records, write_header},
};
use weir_wire::build::{BatchBuilder, Stamp};

/// The parts of a record that a batch holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [RecordHeader<'a>],
}

/// The most that a record takes besides its key, value and headers: its length, attributes, both
/// deltas, two lengths and the count of its headers.
const FRAMING_BYTES_MAX: usize = 5 + 1 + 10 + 5 + 5 + 5 + 5;
/// The most that a header takes besides its key and value: two lengths.
const HEADER_FRAMING_BYTES_MAX: usize = 10;

impl Body<'_> {
    /// No fewer bytes than the record takes in a batch.
    pub(crate) fn size_bytes_max(&self) -> usize {
        let blobs = self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len);
        let headers: usize = self
            .headers
            .iter()
            .map(|header| {
                header.key.len() + header.value.map_or(0, <[u8]>::len) + HEADER_FRAMING_BYTES_MAX
            })
            .sum();
        blobs + headers + FRAMING_BYTES_MAX
    }
}

/// The bytes of a batch as they go out.
#[derive(Clone, Debug)]
pub(crate) struct FinishedBatch {
    pub(crate) bytes: Bytes,
    stamp: Stamp,
}

impl FinishedBatch {
    /// Compresses the records, where that makes them smaller, and writes the header.
    pub(crate) fn build(
        builder: BatchBuilder,
        compression: Compression,
        level: Option<i32>,
        stamp: Stamp,
    ) -> Result<Self, CompressError> {
        if compression != Compression::None {
            let packed = compress(compression, builder.payload(), level)?;
            if packed.len() < builder.payload().len() {
                let bytes = builder.finish_compressed(compression, &packed, stamp);
                return Ok(Self { bytes, stamp });
            }
        }
        Ok(Self {
            bytes: builder.finish(stamp),
            stamp,
        })
    }

    /// The same records in two batches, with their numbers of records; nothing where there is only
    /// one record. The numbers of both are those of the first: they are set when they are sent.
    pub(crate) fn split(
        &self,
        compression: Compression,
        level: Option<i32>,
    ) -> Result<Option<[(Self, i32); 2]>, String> {
        let text = |error: BatchError| error.to_string();
        let header = BatchHeader::read(&self.bytes).map_err(text)?;
        let count = header.record_count;
        let first_count = count / 2;
        if first_count == 0 {
            return Ok(None);
        }
        let mut plain = Vec::new();
        let packed = payload(&self.bytes, &header);
        let codec = header.compression().unwrap_or(Compression::None);
        decompress(codec, packed, BATCH_BYTES_MAX, &mut plain).map_err(|e| e.to_string())?;
        let mut halves = [
            BatchBuilder::new(header.base_timestamp),
            BatchBuilder::new(header.base_timestamp),
        ];
        for (place, record) in (0..).zip(records(&plain, count)) {
            let record = record.map_err(text)?;
            let headers: Vec<_> = record.headers().collect();
            let time = TimestampMs(header.base_timestamp.0.wrapping_add(record.timestamp_delta));
            let half = usize::from(place >= first_count);
            if let Some(half) = halves.get_mut(half) {
                half.push(time, record.key, record.value, &headers);
            }
        }
        let build = |builder| {
            Self::build(builder, compression, level, self.stamp).map_err(|e| e.to_string())
        };
        let [first, second] = halves;
        Ok(Some([
            (build(first)?, first_count),
            (build(second)?, count - first_count),
        ]))
    }

    /// The same records under other numbers; copies the batch, which only a reset asks for.
    pub(crate) fn renumber(self, stamp: Stamp) -> Self {
        if self.stamp == stamp {
            return self;
        }
        let Ok(mut header) = BatchHeader::read(&self.bytes) else {
            // The header is our own; were it unreadable, the broker would say so.
            return self;
        };
        header.producer_id = stamp.producer_id;
        header.producer_epoch = stamp.producer_epoch;
        header.base_sequence = stamp.base_sequence;
        let mut bytes = self.bytes.to_vec();
        write_header(&mut bytes, &header);
        Self {
            bytes: Bytes::from(bytes),
            stamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::{
        ProducerEpoch, ProducerId, Sequence,
        batch::{HEADER_BYTES, check_batch, check_records},
    };

    const BODY: Body<'_> = Body {
        key: Some(b"k"),
        value: Some(b"some value that repeats itself, repeats itself, repeats itself"),
        headers: &[RecordHeader {
            key: b"h",
            value: None,
        }],
    };

    fn stamp(epoch: i16, sequence: i32) -> Stamp {
        Stamp {
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
            ..Stamp::default()
        }
    }

    fn build(records: i64, compression: Compression) -> FinishedBatch {
        let mut builder = BatchBuilder::new(TimestampMs(1000));
        for index in 0..records {
            let before = builder.size_bytes();
            let timestamp = TimestampMs(1000 + index * 1_000_000_000);
            builder.push(timestamp, BODY.key, BODY.value, BODY.headers);
            assert!(builder.size_bytes() - before <= BODY.size_bytes_max());
        }
        FinishedBatch::build(builder, compression, None, stamp(1, 40)).expect("builds")
    }

    #[test]
    fn other_numbers_change_nothing_but_the_header() {
        let batch = build(3, Compression::None);
        let before = batch.bytes.clone();
        let again = batch.renumber(stamp(2, 0));
        let header = check_batch(&again.bytes).expect("valid");
        assert_eq!(header.producer_epoch, ProducerEpoch(2));
        assert_eq!(header.base_sequence, Sequence(0));
        assert_eq!(again.bytes[HEADER_BYTES..], before[HEADER_BYTES..]);
        check_records(payload(&again.bytes, &header), &header).expect("framing");
    }

    #[test]
    fn compression_that_does_not_help_is_left_out() {
        let header = check_batch(&build(1, Compression::Gzip).bytes).expect("valid");
        assert_eq!(header.compression(), Some(Compression::Gzip));
        let mut builder = BatchBuilder::new(TimestampMs(5));
        builder.push(TimestampMs(5), None, Some(b"x"), &[]);
        let batch = FinishedBatch::build(builder, Compression::Gzip, None, stamp(0, 0));
        let header = check_batch(&batch.expect("builds").bytes).expect("valid");
        assert_eq!(header.compression(), Some(Compression::None));
    }
}
