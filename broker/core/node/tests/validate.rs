//! What a produced batch must be, by examples and on bytes that were tampered with.

use bytes::Bytes;
use proptest::prelude::*;
use weir_meta::{TopicConfig, config::Validation};
use weir_node::validate::{Inflate, validate_batch};
use weir_types::{
    BatchHeader, ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs,
    batch::{Compression, HEADER_BYTES, payload, set_crc, write_header},
};
use weir_wire::build::{BatchBuilder, Stamp};

const WALL: TimestampMs = TimestampMs(10_000);

/// A codec that keeps bytes as they are, whatever it is called.
struct Plain;

impl Inflate for Plain {
    fn inflate(&mut self, _: Compression, _: &[u8], _: usize) -> Result<&[u8], String> {
        Err("it is cut short".to_string())
    }
}

fn batch(times: &[i64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(TimestampMs(times[0]));
    for time in times {
        builder.push(TimestampMs(*time), Some(b"key"), Some(b"value"), &[]);
    }
    builder.finish(Stamp::default()).to_vec()
}

/// The batch with another header, its checksum right.
fn with(bytes: &[u8], change: impl Fn(&mut BatchHeader)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut header = BatchHeader::read(&bytes).unwrap();
    change(&mut header);
    write_header(&mut bytes, &header);
    bytes
}

fn verdict(bytes: Vec<u8>, config: &TopicConfig) -> Result<BatchHeader, (ErrorCode, String)> {
    validate_batch(&Bytes::from(bytes), config, 9, WALL, &mut Plain)
        .map(|validated| validated.header)
        .map_err(|invalid| (invalid.error, invalid.message))
}

fn code(bytes: Vec<u8>) -> ErrorCode {
    verdict(bytes, &TopicConfig::default()).map_or_else(|(error, _)| error, |_| ErrorCode::None)
}

#[test]
fn a_good_batch_passes_unchanged() {
    let bytes = Bytes::from(batch(&[9_999, 10_000, 9_998]));
    let config = TopicConfig::default();
    let validated = validate_batch(&bytes, &config, 9, WALL, &mut Plain).unwrap();
    let mut written = Vec::new();
    validated.batch.write_to(&mut written);
    assert_eq!(written, bytes);
    assert_eq!(validated.header.max_timestamp, TimestampMs(10_000));
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    let good = batch(&[10_000, 10_000]);
    let invalid = ErrorCode::InvalidRecord;
    assert_eq!(code(with(&good, |h| h.record_count = 3)), invalid);
    assert_eq!(code(with(&good, |h| h.record_count = 1)), invalid);
    assert_eq!(code(with(&good, |h| h.last_offset_delta = 2)), invalid);
    assert_eq!(
        code(with(&good, |h| h.producer_id = ProducerId(5))),
        invalid
    );
    assert_eq!(code(with(&good, |h| h.attributes = 0x20)), invalid);
    assert_eq!(
        code(with(&good, |h| h.attributes = 0x10)),
        ErrorCode::InvalidRequest
    );
    assert_eq!(
        code(with(&good, |h| h.attributes = 0x08)),
        ErrorCode::InvalidTimestamp
    );
    let unknown = ErrorCode::UnsupportedCompressionType;
    assert_eq!(code(with(&good, |h| h.attributes = 7)), unknown);
    // Idempotent, with everything it needs.
    let idempotent = |h: &mut BatchHeader| {
        h.producer_id = ProducerId(5);
        h.producer_epoch = ProducerEpoch(0);
        h.base_sequence = Sequence(0);
    };
    assert_eq!(code(with(&good, idempotent)), ErrorCode::None);
    // What the broker overwrites does not matter.
    let patched = |h: &mut BatchHeader| {
        h.base_offset = Offset(77);
        h.leader_epoch = LeaderEpoch(-1);
    };
    assert_eq!(code(with(&good, patched)), ErrorCode::None);
}

#[test]
fn old_formats_and_old_requests_are_refused() {
    let mut bytes = batch(&[10_000]);
    bytes[16] = 1;
    assert_eq!(code(bytes), ErrorCode::InvalidRecord);
    let zstd = with(&batch(&[10_000]), |h| h.attributes = 4);
    let config = TopicConfig::default();
    let refused = validate_batch(&Bytes::from(zstd), &config, 6, WALL, &mut Plain).unwrap_err();
    assert_eq!(refused.error, ErrorCode::UnsupportedCompressionType);
}

#[test]
fn times_are_bounded_and_a_wrong_maximum_is_corrected() {
    let config = TopicConfig {
        timestamp_before_max_ms: 100,
        timestamp_after_max_ms: 50,
        ..TopicConfig::default()
    };
    let check = |bytes| verdict(bytes, &config).map_err(|(error, _)| error);
    assert!(check(batch(&[9_900, 10_050])).is_ok());
    assert_eq!(
        check(batch(&[9_900, 9_899])),
        Err(ErrorCode::InvalidTimestamp)
    );
    assert_eq!(
        check(batch(&[9_900, 10_051])),
        Err(ErrorCode::InvalidTimestamp)
    );
    let late = Bytes::from(batch(&[10_051]));
    let refused = validate_batch(&late, &config, 9, WALL, &mut Plain).unwrap_err();
    assert_eq!(
        refused.message,
        "timestamp 10051 is out of range: it must be from 9900 to 10050 (message.timestamp.before.max.ms, message.timestamp.after.max.ms)"
    );
    let wrong = with(&batch(&[9_900, 9_950]), |h| {
        h.max_timestamp = TimestampMs(1)
    });
    assert_eq!(check(wrong).unwrap().max_timestamp, TimestampMs(9_950));
    // The broker's time makes the producer's irrelevant.
    let append_time = TopicConfig {
        log_append_time: true,
        ..config.clone()
    };
    assert!(verdict(batch(&[1, 2]), &append_time).is_ok());
}

#[test]
fn compressed_batches_are_opened_unless_the_topic_says_otherwise() {
    let bytes = with(&batch(&[10_000]), |h| h.attributes = 2);
    let (error, message) = verdict(bytes.clone(), &TopicConfig::default()).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidRecord);
    assert_eq!(
        message,
        "the records cannot be decompressed: it is cut short"
    );
    let crc = TopicConfig {
        validation: Validation::Crc,
        ..TopicConfig::default()
    };
    assert!(verdict(bytes, &crc).is_ok());
}

proptest! {
    /// Any byte of the records changed, with the checksum made right again: either the batch is
    /// refused, or its framing is still whole.
    #[test]
    fn tampered_records_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = batch(&[10_000, 10_001, 10_002]);
        let records = bytes.len() - HEADER_BYTES;
        bytes[HEADER_BYTES + at.index(records)] = byte;
        set_crc(&mut bytes);
        if let Ok(header) = verdict(bytes.clone(), &TopicConfig::default()) {
            let walked = weir_types::batch::records(payload(&bytes, &header), header.record_count);
            prop_assert_eq!(walked.filter(Result::is_ok).count(), 3);
        }
    }

    #[test]
    fn no_bytes_make_validation_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verdict(bytes, &TopicConfig::default()).is_err());
    }
}
