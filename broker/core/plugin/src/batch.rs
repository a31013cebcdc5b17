//! The records of a batch as columns, and columns as the records of a batch.
//!
//! Nothing here compresses or decompresses. A record that goes leaves a hole: base offset, base
//! sequence and last offset delta stay, and so do the offsets of the records that stay.

use crate::{
    columns::{BytesColumn, Columns, HeadersColumn},
    outcome::Output,
    staying::Staying,
};
use alloc::vec::Vec;
use weir_types::{
    BatchHeader, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs,
    batch::{BatchError, Compression, HEADER_BYTES, Record, records, write_header},
    varint::{RecordParts, put_record},
};

/// The bits of a batch's attributes that name its codec.
const CODEC_BITS: i16 = 7;
/// The bit that says that the broker set the timestamps.
const LOG_APPEND_TIME: i16 = 0x08;
/// The bit that says that a batch is for the reader's client and not for the reader.
const CONTROL: i16 = 0x20;
/// The key and value of a transaction's end (version 0, commit; version 0, coordinator epoch 0):
/// the one kind of control record that every client knows and steps over.
const MARKER_KEY: [u8; 4] = [0, 0, 0, 1];
const MARKER_VALUE: [u8; 6] = [0; 6];
/// The most that a record takes besides its bytes, in nearly every batch.
const FRAMING_BYTES: usize = 16;

impl Columns {
    /// The records of a decompressed payload. `first` is the offset of the batch's first record:
    /// before the append 0, so that offsets are places in the batch.
    ///
    /// # Errors
    /// [`BatchError::Record`] for the first record that is malformed.
    pub fn read(payload: &[u8], header: &BatchHeader, first: Offset) -> Result<Self, BatchError> {
        let mut columns = Self::default();
        columns.fill(payload, header, first)?;
        Ok(columns)
    }

    /// As [`Columns::read`], in memory that is there from an earlier batch.
    ///
    /// # Errors
    /// As [`Columns::read`]; what is in the columns then means nothing.
    pub fn fill(
        &mut self,
        payload: &[u8],
        header: &BatchHeader,
        first: Offset,
    ) -> Result<(), BatchError> {
        self.clear();
        // A count can claim more than the bytes hold, whose smallest record has seven.
        let count = usize::try_from(header.record_count).unwrap_or(0);
        self.reserve(count.min(payload.len() / 7), payload.len());
        for record in records(payload, header.record_count) {
            self.push_record(&record?, header, first);
        }
        self.finish();
        Ok(())
    }

    fn push_record(&mut self, record: &Record<'_>, header: &BatchHeader, first: Offset) {
        let timestamp = if header.is_log_append_time() {
            header.max_timestamp.0
        } else {
            let delta = record.timestamp_delta;
            header.base_timestamp.0.wrapping_add(delta)
        };
        self.offsets
            .push(first.0.wrapping_add(i64::from(record.offset_delta)));
        self.timestamps.push(timestamp);
        self.keys.push(record.key);
        self.values.push(record.value);
        if record.header_count() > 0 {
            for header in record.headers() {
                self.headers.push(header.key, header.value);
            }
        }
        self.headers.end_row();
    }

    /// Adds a record.
    pub fn push<'a>(
        &mut self,
        offset: Offset,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) {
        self.offsets.push(offset.0);
        self.timestamps.push(timestamp.0);
        self.keys.push(key);
        self.values.push(value);
        for (name, value) in headers {
            self.headers.push(name, value);
        }
        self.headers.end_row();
    }

    /// Makes bitmaps of nulls as long as the columns, where there are any. [`Columns::read`] has
    /// done it; whoever pushed records does it once at the end.
    pub fn finish(&mut self) {
        self.keys.finish();
        self.values.finish();
        self.headers.names.finish();
        self.headers.values.finish();
    }

    fn clear(&mut self) {
        self.offsets.clear();
        self.timestamps.clear();
        self.keys.clear();
        self.values.clear();
        self.headers.ends.clear();
        self.headers.names.clear();
        self.headers.values.clear();
    }

    fn reserve(&mut self, rows: usize, bytes: usize) {
        self.offsets.reserve(rows);
        self.timestamps.reserve(rows);
        self.keys.ends.reserve(rows);
        self.values.ends.reserve(rows);
        self.values.data.reserve(bytes);
        self.headers.ends.reserve(rows);
    }

    /// Bytes of the records, without what frames them; what a budget for outputs counts.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        // Offset and timestamp.
        16 * self.offsets.len()
            + self.keys.size_bytes()
            + self.values.size_bytes()
            + self.headers.size_bytes()
    }
}

impl BytesColumn {
    /// Bytes of data, ends and bitmap.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        4 * self.ends.len() + self.data.len() + self.nulls.len()
    }

    /// Makes the bitmap of nulls as long as the column, where there is one; whoever pushed rows does
    /// it once at the end.
    pub fn finish(&mut self) {
        if !self.nulls.is_empty() {
            self.nulls.resize(self.ends.len().div_ceil(8), 0);
        }
    }

    fn clear(&mut self) {
        self.ends.clear();
        self.data.clear();
        self.nulls.clear();
    }
}

impl HeadersColumn {
    /// Adds a header to the row that is being built.
    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.names.push(Some(name));
        self.values.push(value);
    }

    /// Ends a row.
    ///
    /// # Panics
    /// If there are more headers than 4 GiB of records can hold.
    pub fn end_row(&mut self) {
        let end = u32::try_from(self.names.len()).expect("a batch is smaller than 4 GiB");
        self.ends.push(end);
    }

    /// The headers of a row, as places in `names` and `values`.
    #[must_use]
    pub fn row(&self, row: usize) -> core::ops::Range<usize> {
        let at = |row: usize| self.ends.get(row).map_or(0, |end| *end as usize);
        let start = row.checked_sub(1).map_or(0, at);
        start..at(row).max(start)
    }

    /// Bytes of ends, names and values.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        4 * self.ends.len() + self.names.size_bytes() + self.values.size_bytes()
    }
}

/// A batch that was written anew, not yet compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Room for the header, then the records: an uncompressed batch is not copied again.
    bytes: Vec<u8>,
    /// Its header. The codec's bits are the codec's that the records came in: compress them so, or
    /// call [`Rebuilt::finish`].
    pub header: BatchHeader,
}

impl Rebuilt {
    /// The records' bytes, uncompressed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// The codec that the records came in; none where no record is left.
    #[must_use]
    pub fn codec(&self) -> Compression {
        self.header.compression().unwrap_or(Compression::None)
    }

    /// The whole batch, uncompressed, and its header as written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let Self { mut bytes, header } = self;
        let attributes = header.attributes & !CODEC_BITS;
        write_header(
            &mut bytes,
            &BatchHeader {
                attributes,
                ..header
            },
        );
        bytes
    }

    /// The whole batch with `packed` for its records, which the caller has compressed with
    /// [`Rebuilt::codec`].
    #[must_use]
    pub fn finish_compressed(&self, packed: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + packed.len());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(packed);
        write_header(&mut bytes, &self.header);
        bytes
    }
}

/// The batch that is left of `columns`, which were read from a batch with this header and `first`,
/// after a plugin gave back `output`, which was checked.
///
/// Nothing that numbers records changes: base offset, base sequence, last offset delta and the
/// offsets of records that stay. A batch that loses all its records has its codec's bits cleared
/// and -1 for its maximum timestamp: whoever looks for a time finds a batch with records.
#[must_use]
pub fn rebuild(header: &BatchHeader, first: Offset, columns: &Columns, output: &Output) -> Rebuilt {
    let staying = Staying::new(columns, output);
    let mut rebuilt = start(*header, &staying);
    if output.timestamps.is_some() {
        rebuilt.header.attributes &= !LOG_APPEND_TIME;
    }
    let base = rebuilt.header.base_timestamp.0;
    let mut largest = i64::MIN;
    for place in 0..staying.len() {
        let timestamp = staying.timestamp(place);
        largest = largest.max(timestamp);
        let delta = columns.offsets[staying.row(place)].wrapping_sub(first.0);
        put_record(
            &mut rebuilt.bytes,
            timestamp.wrapping_sub(base),
            delta,
            staying.parts(place),
        );
    }
    rebuilt.end(staying.len(), largest);
    rebuilt
}

/// One batch in the place of a run of emptied ones, from `first` to `last`, that carries a reader
/// past them.
///
/// A reader takes an answer in which there is not one record for one that was cut off: librdkafka
/// asks for twice as much, and after ten of them tells of a message that is too large. A marker
/// that ends the transaction of nobody is a record to every client, and none to its user.
#[must_use]
pub fn stepping_stone(first: &BatchHeader, last: &BatchHeader) -> Vec<u8> {
    let delta = last.last_offset().0.wrapping_sub(first.base_offset.0);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + FRAMING_BYTES + 2 * MARKER_VALUE.len());
    bytes.resize(HEADER_BYTES, 0);
    let parts = RecordParts {
        key: Some(&MARKER_KEY),
        value: Some(&MARKER_VALUE),
        headers: core::iter::empty(),
    };
    put_record(&mut bytes, 0, delta, parts);
    let header = BatchHeader {
        attributes: CONTROL,
        // An answer holds far less than 2^31 offsets.
        last_offset_delta: i32::try_from(delta).unwrap_or(i32::MAX),
        base_timestamp: last.max_timestamp,
        max_timestamp: last.max_timestamp,
        producer_id: Author::NOBODY.producer_id,
        producer_epoch: Author::NOBODY.producer_epoch,
        base_sequence: Author::NOBODY.base_sequence,
        record_count: 1,
        size_bytes: bytes.len(),
        leader_epoch: last.leader_epoch,
        ..*first
    };
    write_header(&mut bytes, &header);
    bytes
}

/// Whose a batch is that the broker makes of records it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    /// The idempotent producer, or -1.
    pub producer_id: ProducerId,
    /// Its epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or -1.
    pub base_sequence: Sequence,
    /// Attributes; of them only the codec and the transactional bit count.
    pub attributes: i16,
}

impl Author {
    /// Nobody: no sequences, no codec.
    pub const NOBODY: Self = Self {
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch(-1),
        base_sequence: Sequence(-1),
        attributes: 0,
    };
}

/// A new batch of some of the records that stay, by their places among those; its offsets run
/// 0, 1, 2 ... without a hole.
///
/// # Panics
/// If there is no place, or one beyond the records that stay.
#[must_use]
pub fn compose(staying: &Staying<'_>, places: &[u32], author: Author) -> Rebuilt {
    assert!(!places.is_empty(), "a batch without records");
    let base = staying.timestamp(places[0] as usize);
    let header = BatchHeader {
        base_offset: Offset::ZERO,
        size_bytes: 0, // written from the bytes, as is the CRC
        leader_epoch: LeaderEpoch::NONE,
        crc: 0,
        attributes: author.attributes & (CODEC_BITS | 0x10),
        last_offset_delta: places.len() as i32 - 1,
        base_timestamp: TimestampMs(base),
        max_timestamp: TimestampMs(base),
        producer_id: author.producer_id,
        producer_epoch: author.producer_epoch,
        base_sequence: author.base_sequence,
        record_count: 0,
    };
    let mut rebuilt = start(header, staying);
    let mut largest = i64::MIN;
    for (delta, place) in (0..).zip(places) {
        let place = *place as usize;
        let timestamp = staying.timestamp(place);
        largest = largest.max(timestamp);
        let parts = staying.parts(place);
        put_record(
            &mut rebuilt.bytes,
            timestamp.wrapping_sub(base),
            delta,
            parts,
        );
    }
    rebuilt.end(places.len(), largest);
    rebuilt
}

fn start(header: BatchHeader, staying: &Staying<'_>) -> Rebuilt {
    let mut bytes =
        Vec::with_capacity(HEADER_BYTES + staying.data_bytes() + FRAMING_BYTES * staying.len());
    bytes.resize(HEADER_BYTES, 0);
    Rebuilt { bytes, header }
}

impl Rebuilt {
    fn end(&mut self, count: usize, largest: i64) {
        let emptied = self.header.record_count > 0;
        self.header.size_bytes = self.bytes.len();
        self.header.record_count = count as i32;
        if count == 0 {
            self.header.attributes &= !CODEC_BITS;
            if emptied {
                self.header.max_timestamp = TimestampMs::NONE;
            }
        } else if !self.header.is_log_append_time() {
            self.header.max_timestamp = TimestampMs(largest.max(-1));
        }
    }
}
