//! RecordBatch v2 (magic 2), the one form of records on the wire and on disk: a borrowed view of
//! its header, its CRC-32C, the checks of design decision D3, and the few patches a broker makes.
//!
//! Nothing here decompresses: a caller that must look inside a compressed batch decompresses the
//! payload itself (`weir-codec`) and hands it to [`check_records`].

use crate::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs,
    limits::BATCH_RECORDS_MAX,
};
use alloc::vec::Vec;
use bytes::Bytes;
use thiserror::Error;

/// Bytes of the header, from the base offset to the record count.
pub const HEADER_BYTES: usize = 61;
/// Bytes before the part that `batch length` counts.
pub const LENGTH_PREFIX_BYTES: usize = 12;
/// The smallest value `batch length` can have.
const LENGTH_MIN: usize = HEADER_BYTES - LENGTH_PREFIX_BYTES;
/// Where the CRC-32C's input starts.
const CRC_START: usize = 21;

mod at {
    //! Byte positions of the header's fields.
    pub(super) const BASE_OFFSET: usize = 0;
    pub(super) const LENGTH: usize = 8;
    pub(super) const LEADER_EPOCH: usize = 12;
    pub(super) const MAGIC: usize = 16;
    pub(super) const CRC: usize = 17;
    pub(super) const ATTRIBUTES: usize = 21;
    pub(super) const LAST_DELTA: usize = 23;
    pub(super) const BASE_TIMESTAMP: usize = 27;
    pub(super) const MAX_TIMESTAMP: usize = 35;
    pub(super) const PRODUCER_ID: usize = 43;
    pub(super) const PRODUCER_EPOCH: usize = 51;
    pub(super) const BASE_SEQUENCE: usize = 53;
    pub(super) const COUNT: usize = 57;
}

/// How a batch's records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy, in the framing of the Java library (`xerial`) or raw.
    Snappy,
    /// LZ4 frames (KIP-57).
    Lz4,
    /// Zstandard, RFC 8878 (KIP-110).
    Zstd,
}

impl Compression {
    /// The codec of the attribute's low three bits.
    #[must_use]
    pub const fn from_bits(attributes: i16) -> Option<Self> {
        match attributes & 7 {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The attribute's low three bits.
    #[must_use]
    pub const fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}

/// What is wrong with a record batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end inside the batch.
    #[error("record batch is cut short: {needed} bytes needed, {available} there")]
    Truncated {
        /// Bytes the batch says it has.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// The batch length field is smaller than a header or negative.
    #[error("record batch length {length} is impossible")]
    Length {
        /// The field's value.
        length: i32,
    },
    /// Not magic 2: an old message format, or not a batch at all.
    #[error("record batch has magic {magic}; only magic 2 is supported")]
    Magic {
        /// The byte found.
        magic: i8,
    },
    /// The checksum does not match.
    #[error(
        "record batch fails its CRC-32C: header says {expected:#010x}, bytes give {actual:#010x}"
    )]
    Crc {
        /// The header's value.
        expected: u32,
        /// The bytes' value.
        actual: u32,
    },
    /// The header contradicts itself.
    #[error("record batch header contradicts itself: {what}")]
    Header {
        /// Which fields, in words.
        what: &'static str,
    },
    /// The compression bits name no codec.
    #[error("record batch names unknown compression {bits}")]
    Compression {
        /// The attribute's low three bits.
        bits: i16,
    },
    /// A record's framing is wrong.
    #[error("record {index} of the batch is malformed: {what}")]
    Record {
        /// Its place in the batch, from 0.
        index: usize,
        /// What is wrong, in words.
        what: &'static str,
    },
}

/// The header of a record batch, decoded; `Copy`, without the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record (as the bytes say; the broker patches it).
    pub base_offset: Offset,
    /// Bytes of the whole batch, prefix included.
    pub size_bytes: usize,
    /// Epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C as the header says.
    pub crc: u32,
    /// Compression, timestamp type, transactional and control bits.
    pub attributes: i16,
    /// Last record's offset minus the base offset.
    pub last_offset_delta: i32,
    /// Timestamp the records' deltas count from.
    pub base_timestamp: TimestampMs,
    /// The largest timestamp in the batch.
    pub max_timestamp: TimestampMs,
    /// The idempotent producer, or -1.
    pub producer_id: ProducerId,
    /// Its epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or -1.
    pub base_sequence: Sequence,
    /// How many records the batch holds.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes` and checks that the whole batch is there.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::Length`] or [`BatchError::Magic`].
    pub fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Truncated {
                needed: HEADER_BYTES,
                available: bytes.len(),
            });
        }
        let length = i32_at(bytes, at::LENGTH);
        let magic = i8::from_be_bytes([bytes[at::MAGIC]]);
        if magic != 2 {
            return Err(BatchError::Magic { magic });
        }
        let Some(body) = usize::try_from(length).ok().filter(|n| *n >= LENGTH_MIN) else {
            return Err(BatchError::Length { length });
        };
        let size_bytes = LENGTH_PREFIX_BYTES + body;
        if bytes.len() < size_bytes {
            return Err(BatchError::Truncated {
                needed: size_bytes,
                available: bytes.len(),
            });
        }
        Ok(Self::fields(bytes, size_bytes))
    }

    /// The fields of a header that was checked before.
    fn fields(bytes: &[u8], size_bytes: usize) -> Self {
        Self {
            base_offset: Offset(i64_at(bytes, at::BASE_OFFSET)),
            size_bytes,
            leader_epoch: LeaderEpoch(i32_at(bytes, at::LEADER_EPOCH)),
            crc: u32_at(bytes, at::CRC),
            attributes: i16_at(bytes, at::ATTRIBUTES),
            last_offset_delta: i32_at(bytes, at::LAST_DELTA),
            base_timestamp: TimestampMs(i64_at(bytes, at::BASE_TIMESTAMP)),
            max_timestamp: TimestampMs(i64_at(bytes, at::MAX_TIMESTAMP)),
            producer_id: ProducerId(i64_at(bytes, at::PRODUCER_ID)),
            producer_epoch: ProducerEpoch(i16_at(bytes, at::PRODUCER_EPOCH)),
            base_sequence: Sequence(i32_at(bytes, at::BASE_SEQUENCE)),
            record_count: i32_at(bytes, at::COUNT),
        }
    }

    /// Offset of the last record.
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        self.base_offset.plus(self.last_offset_delta as i64)
    }

    /// The offset behind the last record.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    /// The codec, or nothing where the bits name none.
    #[must_use]
    pub const fn compression(&self) -> Option<Compression> {
        Compression::from_bits(self.attributes)
    }

    /// Whether timestamps are the broker's (`LogAppendTime`).
    #[must_use]
    pub const fn is_log_append_time(&self) -> bool {
        self.attributes & 0x08 != 0
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    /// Whether the batch is a control batch (a transaction marker).
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }
}

/// Checks a batch as a producer sent it: CRC-32C, and the header against itself.
/// The records' framing is checked apart, by [`check_records`].
///
/// # Errors
/// Any [`BatchError`] but `Record`.
pub fn check_batch(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::read(bytes)?;
    check_crc(bytes, &header)?;
    if header.compression().is_none() {
        return Err(BatchError::Compression {
            bits: header.attributes & 7,
        });
    }
    let contradiction = |what| Err(BatchError::Header { what });
    if header.record_count < 1 || header.record_count as usize > BATCH_RECORDS_MAX {
        return contradiction("the record count is out of range");
    }
    if header.last_offset_delta != header.record_count - 1 {
        return contradiction("the last offset delta is not the record count minus one");
    }
    let idempotent = header.producer_id.is_some();
    if idempotent && (header.producer_epoch.0 < 0 || header.base_sequence.0 < 0) {
        return contradiction("a producer id without an epoch and a sequence");
    }
    if header.base_timestamp.0 < -1 || header.max_timestamp.0 < -1 {
        return contradiction("a timestamp is below -1");
    }
    Ok(header)
}

/// Checks the CRC-32C of the batch at the start of `bytes`, whose header is `header`.
///
/// # Errors
/// [`BatchError::Crc`].
pub fn check_crc(bytes: &[u8], header: &BatchHeader) -> Result<(), BatchError> {
    let actual = crc32c::crc32c(&bytes[CRC_START..header.size_bytes]);
    if actual == header.crc {
        Ok(())
    } else {
        Err(BatchError::Crc {
            expected: header.crc,
            actual,
        })
    }
}

/// The records of a batch, as its bytes hold them (compressed or not).
#[must_use]
pub fn payload<'a>(bytes: &'a [u8], header: &BatchHeader) -> &'a [u8] {
    &bytes[HEADER_BYTES..header.size_bytes]
}

/// Sets base offset and leader epoch, which the CRC does not cover.
pub fn patch_offset(bytes: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    bytes[at::BASE_OFFSET..at::BASE_OFFSET + 8].copy_from_slice(&base_offset.0.to_be_bytes());
    bytes[at::LEADER_EPOCH..at::LEADER_EPOCH + 4].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// Computes the CRC-32C of a whole batch and writes it into the header.
pub fn set_crc(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[CRC_START..]);
    bytes[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
}

/// Writes a header in front of a payload that is already behind the first [`HEADER_BYTES`] bytes
/// of `bytes`; sizes and CRC come from the bytes, the rest from `header`.
pub fn write_header(bytes: &mut [u8], header: &BatchHeader) {
    let length = i32::try_from(bytes.len() - LENGTH_PREFIX_BYTES).unwrap_or(i32::MAX);
    patch_offset(bytes, header.base_offset, header.leader_epoch);
    let mut put = |position: usize, field: &[u8]| {
        bytes[position..position + field.len()].copy_from_slice(field);
    };
    put(at::LENGTH, &length.to_be_bytes());
    put(at::MAGIC, &[2]);
    put(at::ATTRIBUTES, &header.attributes.to_be_bytes());
    put(at::LAST_DELTA, &header.last_offset_delta.to_be_bytes());
    put(at::BASE_TIMESTAMP, &header.base_timestamp.0.to_be_bytes());
    put(at::MAX_TIMESTAMP, &header.max_timestamp.0.to_be_bytes());
    put(at::PRODUCER_ID, &header.producer_id.0.to_be_bytes());
    put(at::PRODUCER_EPOCH, &header.producer_epoch.0.to_be_bytes());
    put(at::BASE_SEQUENCE, &header.base_sequence.0.to_be_bytes());
    put(at::COUNT, &header.record_count.to_be_bytes());
    set_crc(bytes);
}

/// One header of a record; keys may repeat and their order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// UTF-8 by Kafka's rule; kept as bytes.
    pub key: &'a [u8],
    /// `None` is null, which is not the empty value.
    pub value: Option<&'a [u8]>,
}

/// One record, borrowed from the decompressed payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Added to the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Added to the batch's base offset.
    pub offset_delta: i32,
    /// `None` is null.
    pub key: Option<&'a [u8]>,
    /// `None` is null (a tombstone).
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
    header_count: usize,
}

impl<'a> Record<'a> {
    /// How many headers there are.
    #[must_use]
    pub const fn header_count(&self) -> usize {
        self.header_count
    }

    /// The headers in order, duplicates kept.
    pub fn headers(&self) -> impl Iterator<Item = RecordHeader<'a>> + use<'a> {
        let mut cursor = Cursor {
            bytes: self.headers,
        };
        (0..self.header_count).map_while(move |_| {
            let key = cursor.blob().ok()??;
            let value = cursor.blob().ok()?;
            Some(RecordHeader { key, value })
        })
    }
}

/// Walks a decompressed payload; each item is one record or why it is malformed.
/// After an error, or after `count` records with bytes left over, it ends.
#[must_use]
pub fn records(payload: &[u8], count: i32) -> Records<'_> {
    Records {
        cursor: Cursor { bytes: payload },
        index: 0,
        count: usize::try_from(count).unwrap_or(0),
    }
}

/// The iterator of [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    index: usize,
    count: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.count {
            if self.cursor.bytes.is_empty() {
                return None;
            }
            self.cursor.bytes = &[];
            return Some(Err(BatchError::Record {
                index: self.index,
                what: "bytes are left over behind the last record",
            }));
        }
        let index = self.index;
        match self.cursor.record() {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(what) => {
                self.index = self.count;
                self.cursor.bytes = &[];
                Some(Err(BatchError::Record { index, what }))
            }
        }
    }
}

/// Checks the framing of every record of a decompressed payload without allocating or copying:
/// lengths fit, offset deltas run 0, 1, 2 …, nothing is left over. Returns the largest timestamp
/// delta.
///
/// # Errors
/// [`BatchError::Record`] for the first record that is wrong.
pub fn check_records(payload: &[u8], header: &BatchHeader) -> Result<i64, BatchError> {
    check_record_times(payload, header).map(|(_, largest)| largest)
}

/// As [`check_records`]; returns the smallest and the largest timestamp delta.
///
/// # Errors
/// [`BatchError::Record`] for the first record that is wrong.
pub fn check_record_times(payload: &[u8], header: &BatchHeader) -> Result<(i64, i64), BatchError> {
    let (mut smallest, mut largest) = (i64::MAX, i64::MIN);
    for (index, record) in records(payload, header.record_count).enumerate() {
        let record = record?;
        if i32::try_from(index) != Ok(record.offset_delta) {
            return Err(BatchError::Record {
                index,
                what: "its offset delta is not its place",
            });
        }
        smallest = smallest.min(record.timestamp_delta);
        largest = largest.max(record.timestamp_delta);
    }
    Ok((smallest, largest))
}

#[derive(Clone, Debug)]
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn record(&mut self) -> Result<Record<'a>, &'static str> {
        let length = self.varint()?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let mut body = Cursor {
            bytes: self.take(length)?,
        };
        body.take(1)?; // attributes: unused by the protocol
        let timestamp_delta = body.varint()?;
        let offset_delta =
            i32::try_from(body.varint()?).map_err(|_| "its offset delta is out of range")?;
        let key = body.blob()?;
        let value = body.blob()?;
        let header_count =
            usize::try_from(body.varint()?).map_err(|_| "its header count is negative")?;
        let headers = body.bytes;
        for _ in 0..header_count {
            if body.blob()?.is_none() {
                return Err("a header key is null");
            }
            body.blob()?;
        }
        if !body.bytes.is_empty() {
            return Err("bytes are left over inside the record");
        }
        Ok(Record {
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
            header_count,
        })
    }

    fn blob(&mut self) -> Result<Option<&'a [u8]>, &'static str> {
        match self.varint()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| "a length is below -1")?;
                self.take(length).map(Some)
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        if length > self.bytes.len() {
            return Err("it is longer than the bytes that are left");
        }
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(taken)
    }

    /// A zigzag varint of up to 64 bits, as protocol buffers write it.
    #[inline]
    fn varint(&mut self) -> Result<i64, &'static str> {
        // Nearly every varint of a record is one byte.
        if let Some((first, rest)) = self.bytes.split_first()
            && *first < 0x80
        {
            self.bytes = rest;
            return Ok(i64::from(*first >> 1) ^ -i64::from(*first & 1));
        }
        let mut raw = 0u64;
        for (index, byte) in self.bytes.iter().take(10).enumerate() {
            raw |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[index + 1..];
                return Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed());
            }
        }
        Err("a number in it does not end")
    }
}

/// A whole record batch on its way through the broker: the header apart, so that it can be patched
/// without touching the records, which stay where the frame put them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    head: [u8; HEADER_BYTES],
    body: Bytes,
}

impl Batch {
    /// Takes the batch at the start of `bytes` apart; bytes behind it are left out.
    ///
    /// # Errors
    /// As [`BatchHeader::read`].
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::read(bytes)?;
        let mut head = [0; HEADER_BYTES];
        head.copy_from_slice(&bytes[..HEADER_BYTES]);
        Ok(Self {
            head,
            body: bytes.slice(HEADER_BYTES..header.size_bytes),
        })
    }

    /// The header's fields.
    #[must_use]
    pub fn header(&self) -> BatchHeader {
        BatchHeader::fields(&self.head, self.size_bytes())
    }

    /// The header's bytes.
    #[must_use]
    pub const fn head(&self) -> &[u8; HEADER_BYTES] {
        &self.head
    }

    /// The records' bytes, compressed or not.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Sets base offset and leader epoch, which the CRC does not cover.
    pub fn patch_offset(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        patch_offset(&mut self.head, base_offset, leader_epoch);
    }

    /// Makes the batch one of log-append time `now`: sets the type bit and the maximum timestamp
    /// and computes the CRC anew.
    pub fn patch_log_append_time(&mut self, now: TimestampMs) {
        let attributes = i16_at(&self.head, at::ATTRIBUTES) | 0x08;
        self.head[at::ATTRIBUTES..at::ATTRIBUTES + 2].copy_from_slice(&attributes.to_be_bytes());
        self.head[at::MAX_TIMESTAMP..at::MAX_TIMESTAMP + 8].copy_from_slice(&now.0.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.head[CRC_START..]), &self.body);
        self.head[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
    }

    /// Sets the maximum timestamp to what the records say and computes the CRC anew: a producer
    /// that counted wrong must not mislead retention and look-ups by time.
    pub fn patch_max_timestamp(&mut self, largest: TimestampMs) {
        self.head[at::MAX_TIMESTAMP..at::MAX_TIMESTAMP + 8]
            .copy_from_slice(&largest.0.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.head[CRC_START..]), &self.body);
        self.head[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
    }

    /// Appends the whole batch to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&self.body);
    }
}

/// What log, store and producers keep of an appended batch: everything but its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMeta {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// Epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// Bytes of the whole batch.
    pub size_bytes: u32,
    /// Largest timestamp of its records.
    pub max_timestamp: TimestampMs,
    /// When the broker appended it, by its wall clock.
    pub appended_at: TimestampMs,
    /// The idempotent producer, or -1.
    pub producer_id: ProducerId,
    /// Its epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or -1.
    pub base_sequence: Sequence,
    /// Attribute bits of the header.
    pub attributes: i16,
}

impl BatchMeta {
    /// The meta of a batch whose bytes already carry their final offset and epoch.
    #[must_use]
    pub fn of(header: &BatchHeader, appended_at: TimestampMs) -> Self {
        Self {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            leader_epoch: header.leader_epoch,
            size_bytes: u32::try_from(header.size_bytes).unwrap_or(u32::MAX),
            max_timestamp: header.max_timestamp,
            appended_at,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            attributes: header.attributes,
        }
    }

    /// Last offset minus base offset.
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        i32::try_from(self.last_offset.0 - self.base_offset.0).unwrap_or(i32::MAX)
    }

    /// The offset behind the last record.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.last_offset.next()
    }

    /// What Produce answers as the log-append time: the time, or -1 where the producer's counts.
    #[must_use]
    pub const fn answered_timestamp(&self) -> TimestampMs {
        if self.attributes & 0x08 != 0 {
            self.max_timestamp
        } else {
            TimestampMs::NONE
        }
    }
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    u32_at(bytes, at).cast_signed()
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    (i64::from(i32_at(bytes, at)) << 32) | i64::from(u32_at(bytes, at + 4))
}
