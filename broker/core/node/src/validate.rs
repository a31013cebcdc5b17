//! What a produced batch must be before a shard sees it (design decision D3): whole, alone,
//! consistent with itself down to the framing of its records, and within the topic's bounds.
//!
//! Compression is the caller's affair, through [`Inflate`]; nothing here keeps what it opened.

use alloc::{
    format,
    string::{String, ToString},
};
use bytes::Bytes;
use weir_meta::{TopicConfig, config::Validation};
use weir_types::{
    Batch, BatchHeader, ErrorCode, TimestampMs,
    batch::{BatchError, Compression, check_batch, check_record_times, payload},
    limits::BATCH_DECOMPRESSED_BYTES_MAX,
};

/// Decompresses a batch's records.
pub trait Inflate {
    /// The decompressed payload, of at most `limit_bytes`.
    ///
    /// # Errors
    /// What was wrong, in one sentence.
    fn inflate<'a>(
        &'a mut self,
        compression: Compression,
        payload: &'a [u8],
        limit_bytes: usize,
    ) -> Result<&'a [u8], String>;
}

/// A batch that may be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    /// The batch; its maximum timestamp is corrected if the producer counted wrong.
    pub batch: Batch,
    /// Its header.
    pub header: BatchHeader,
}

/// Why a batch is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The protocol's error.
    pub error: ErrorCode,
    /// What was wrong, in one sentence.
    pub message: String,
    /// The record to blame, by its place in the batch (KIP-467).
    pub record: Option<usize>,
}

impl Invalid {
    fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            error,
            message: message.into(),
            record: None,
        }
    }
}

impl From<BatchError> for Invalid {
    fn from(error: BatchError) -> Self {
        let code = match &error {
            BatchError::Truncated { .. } | BatchError::Length { .. } | BatchError::Crc { .. } => {
                ErrorCode::CorruptMessage
            }
            BatchError::Compression { .. } => ErrorCode::UnsupportedCompressionType,
            _ => ErrorCode::InvalidRecord,
        };
        let record = match &error {
            BatchError::Record { index, .. } => Some(*index),
            _ => None,
        };
        Self {
            error: code,
            message: error.to_string(),
            record,
        }
    }
}

/// Checks the bytes a Produce request brought for one partition: exactly one batch, as `config`
/// wants it. `version` is the request's: zstd needs 7 (KIP-110).
///
/// # Errors
/// [`Invalid`]: the code, a sentence, and the record to blame if there is one.
pub fn validate_batch(
    bytes: &Bytes,
    config: &TopicConfig,
    version: i16,
    wall: TimestampMs,
    inflate: &mut dyn Inflate,
) -> Result<Validated, Invalid> {
    let header = BatchHeader::read(bytes)?;
    if header.size_bytes > config.batch_bytes_max {
        return Err(Invalid::new(
            ErrorCode::MessageTooLarge,
            format!(
                "the batch has {} bytes; max.message.bytes allows {}",
                header.size_bytes, config.batch_bytes_max
            ),
        ));
    }
    if header.size_bytes < bytes.len() {
        return Err(Invalid::new(
            ErrorCode::InvalidRecord,
            "a partition takes exactly one record batch in a request",
        ));
    }
    let header = check_batch(bytes)?;
    check_kind(&header, config, version)?;
    let deltas = record_deltas(bytes, &header, config, inflate)?;
    let mut batch = Batch::parse(bytes)?;
    if !config.log_append_time {
        let largest = check_times(&header, deltas, config, wall)?;
        if largest != header.max_timestamp {
            batch.patch_max_timestamp(largest);
        }
    }
    let header = batch.header();
    Ok(Validated { batch, header })
}

/// Refuses kinds of batches that a client may not send, or not yet.
fn check_kind(header: &BatchHeader, config: &TopicConfig, version: i16) -> Result<(), Invalid> {
    if header.is_control() {
        return Err(Invalid::new(
            ErrorCode::InvalidRecord,
            "clients may not write control batches",
        ));
    }
    if header.is_transactional() {
        return Err(Invalid::new(
            ErrorCode::InvalidRequest,
            "transactions are not there yet",
        ));
    }
    if header.is_log_append_time() && !config.log_append_time {
        return Err(Invalid::new(
            ErrorCode::InvalidTimestamp,
            "a producer may not set the timestamp type to LogAppendTime",
        ));
    }
    if header.compression() == Some(Compression::Zstd) && version < 7 {
        return Err(Invalid::new(
            ErrorCode::UnsupportedCompressionType,
            "zstd needs version 7 of Produce or later",
        ));
    }
    Ok(())
}

/// Checks the records' framing where that is wanted; returns the smallest and the largest
/// timestamp delta, if they were looked at.
fn record_deltas(
    bytes: &Bytes,
    header: &BatchHeader,
    config: &TopicConfig,
    inflate: &mut dyn Inflate,
) -> Result<Option<(i64, i64)>, Invalid> {
    let records = payload(bytes, header);
    let compression = header.compression().unwrap_or(Compression::None);
    if compression == Compression::None {
        return Ok(Some(check_record_times(records, header)?));
    }
    if config.validation == Validation::Crc {
        return Ok(None);
    }
    let opened = inflate
        .inflate(compression, records, BATCH_DECOMPRESSED_BYTES_MAX)
        .map_err(|text| {
            Invalid::new(
                ErrorCode::InvalidRecord,
                format!("the records cannot be decompressed: {text}"),
            )
        })?;
    Ok(Some(check_record_times(opened, header)?))
}

/// Checks the records' timestamps against the broker's clock; returns the largest.
fn check_times(
    header: &BatchHeader,
    deltas: Option<(i64, i64)>,
    config: &TopicConfig,
    wall: TimestampMs,
) -> Result<TimestampMs, Invalid> {
    let (smallest, largest) = match deltas {
        None => (header.base_timestamp, header.max_timestamp),
        // A batch without timestamps: -1 in its header, all deltas zero.
        Some(_) if header.base_timestamp == TimestampMs::NONE => {
            (TimestampMs::NONE, header.max_timestamp)
        }
        Some((smallest, largest)) => {
            let at = |delta| TimestampMs(header.base_timestamp.0.saturating_add(delta));
            (at(smallest), at(largest))
        }
    };
    if smallest < TimestampMs::NONE {
        return Err(Invalid::new(
            ErrorCode::InvalidTimestamp,
            "a record's timestamp is below -1",
        ));
    }
    let bounds = TimestampBounds::around(wall, config);
    bounds.check(smallest)?;
    bounds.check(largest)?;
    Ok(largest)
}

/// How far from the broker's clock a producer's timestamps may be (KIP-937).
#[derive(Clone, Copy, Debug)]
struct TimestampBounds {
    earliest: TimestampMs,
    latest: TimestampMs,
}

impl TimestampBounds {
    fn around(wall: TimestampMs, config: &TopicConfig) -> Self {
        Self {
            earliest: TimestampMs(wall.0.saturating_sub(config.timestamp_before_max_ms)),
            latest: TimestampMs(wall.0.saturating_add(config.timestamp_after_max_ms)),
        }
    }

    /// Checks one timestamp; -1 is none and always allowed.
    fn check(self, timestamp: TimestampMs) -> Result<(), Invalid> {
        let Self { earliest, latest } = self;
        if timestamp == TimestampMs::NONE || (earliest..=latest).contains(&timestamp) {
            return Ok(());
        }
        Err(Invalid::new(
            ErrorCode::InvalidTimestamp,
            format!(
                "timestamp {timestamp} is out of range: it must be from {} to {} (message.timestamp.before.max.ms, message.timestamp.after.max.ms)",
                earliest.0,
                latest.0,
                timestamp = timestamp.0
            ),
        ))
    }
}
