//! Record batches: `weir_types::batch` and the builder, held against the Java client's bytes and
//! the `kafka-protocol` crate, and against every damage a batch can have.
//!
//! The golden bytes were made once with `MemoryRecordsBuilder` and
//! `MemoryRecords.withEndTransactionMarker` of Apache Kafka's `kafka-clients` 4.1.0.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression as TheirCompression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;
use weir_types::{
    Batch, BatchHeader, BatchMeta, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence,
    TimestampMs,
    batch::{
        BatchError, Compression, HEADER_BYTES, RecordHeader, check_batch, check_crc, check_records,
        patch_offset, payload, records, set_crc, write_header,
    },
};
use weir_wire::build::{BatchBuilder, Stamp};

const PLAIN: &str = "00000000000000000000005effffffff02f639bf700000000000020000018bcfe568000000018bcfe569f4ffffffffffffffffffffffffffff000000030e000000010276000e00e807020000003800cf0f04066b65790108026b0231026b01026b000a6f746865720232";
const APPEND_TIME: &str = "00000000000000000000003affffffff02f05be5160008000000000000018bcfe568000000018bcfe5687bffffffffffffffffffffffffffff0000000110000000026b027600";
const MARKER: &str = "000000000000000000000042ffffffff023d3e38be0030000000000000018bcfe568000000018bcfe56800000000000000002a0003ffffffff000000012000000008000000010c00000000000900";

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

fn header<'a>(key: &'a str, value: Option<&'a str>) -> RecordHeader<'a> {
    RecordHeader {
        key: key.as_bytes(),
        value: value.map(str::as_bytes),
    }
}

/// Duplicate header keys, null and empty headers, keys and values, and time that goes back.
fn plain() -> Bytes {
    let mut builder = BatchBuilder::new(TimestampMs(1_700_000_000_000));
    builder.push(TimestampMs(1_700_000_000_000), None, Some(b"v"), &[]);
    builder.push(TimestampMs(1_700_000_000_500), Some(b""), Some(b""), &[]);
    let headers = [
        header("k", Some("1")),
        header("k", None),
        header("k", Some("")),
        header("other", Some("2")),
    ];
    builder.push(TimestampMs(1_699_999_999_000), Some(b"key"), None, &headers);
    assert_eq!(builder.record_count(), 3);
    let size = builder.size_bytes();
    let batch = builder.finish(Stamp::default());
    assert_eq!(batch.len(), size);
    batch
}

#[test]
fn the_builder_writes_what_the_java_client_writes() {
    assert_eq!(plain(), unhex(PLAIN));
}

#[test]
fn records_come_out_as_they_went_in() {
    let batch = plain();
    let head = check_batch(&batch).unwrap();
    assert_eq!(head.record_count, 3);
    assert_eq!(head.max_timestamp, TimestampMs(1_700_000_000_500));
    assert_eq!(head.compression(), Some(Compression::None));
    assert!(!head.is_transactional() && !head.is_control() && !head.is_log_append_time());
    assert_eq!(check_records(payload(&batch, &head), &head), Ok(500));
    let read: Vec<_> = records(payload(&batch, &head), 3)
        .map(Result::unwrap)
        .collect();
    assert_eq!((read[0].key, read[0].value), (None, Some(&b"v"[..])));
    assert_eq!(
        (read[1].key, read[1].value),
        (Some(&b""[..]), Some(&b""[..]))
    );
    assert_eq!((read[2].key, read[2].value), (Some(&b"key"[..]), None));
    assert_eq!(read[2].timestamp_delta, -1000);
    let headers: Vec<_> = read[2].headers().collect();
    assert_eq!(
        headers,
        [
            header("k", Some("1")),
            header("k", None),
            header("k", Some("")),
            header("other", Some("2")),
        ]
    );
    assert_eq!(read[2].header_count(), 4);
}

#[test]
fn transactional_and_idempotent_fields_are_javas() {
    let mut builder = BatchBuilder::new(TimestampMs(5));
    builder.push(TimestampMs(5), Some(b"a"), Some(&[0; 200]), &[]);
    builder.push(TimestampMs(5), Some(b"a"), Some(b"b"), &[]);
    let batch = builder.finish(Stamp {
        producer_id: ProducerId(1_234_567_890_123),
        producer_epoch: ProducerEpoch(7),
        base_sequence: Sequence(2_147_483_646),
        transactional: true,
        control: false,
    });
    // Header and framing as the Java client writes them; the value of 200 zero bytes is left out.
    let golden = unhex(
        "00000000000000000000010cffffffff024f2c06cb001000000001000000000000000500000000000000050000011f71fb04cb00077ffffffe00000002a003000000026190030000",
    );
    assert_eq!(batch[..golden.len()], golden);
    let last = unhex("100000020261026200");
    assert_eq!(batch[batch.len() - last.len()..], last);
    let head = check_batch(&batch).unwrap();
    assert!(head.is_transactional() && !head.is_control());
    let meta = BatchMeta::of(&head, TimestampMs(9));
    assert_eq!(
        meta.base_sequence.plus(meta.last_offset_delta()),
        Sequence(i32::MAX)
    );
}

/// A marker has a producer without a sequence: brokers write such batches, producers may not.
#[test]
fn a_transaction_marker_is_read_and_refused_from_a_producer() {
    let marker = unhex(MARKER);
    let head = BatchHeader::read(&marker).unwrap();
    check_crc(&marker, &head).unwrap();
    assert!(head.is_control() && head.is_transactional());
    assert_eq!(head.producer_id, ProducerId(42));
    check_records(payload(&marker, &head), &head).unwrap();
    assert!(matches!(
        check_batch(&marker),
        Err(BatchError::Header { .. })
    ));
    let mut builder = BatchBuilder::new(TimestampMs(1_700_000_000_000));
    builder.push(
        TimestampMs(1_700_000_000_000),
        Some(&[0, 0, 0, 1]),
        Some(&[0, 0, 0, 0, 0, 9]),
        &[],
    );
    let built = builder.finish(Stamp {
        producer_id: ProducerId(42),
        producer_epoch: ProducerEpoch(3),
        transactional: true,
        control: true,
        ..Stamp::default()
    });
    assert_eq!(built, marker);
}

#[test]
fn log_append_time_gives_what_the_java_broker_gives() {
    let mut builder = BatchBuilder::new(TimestampMs(1_700_000_000_000));
    builder.push(TimestampMs(1_700_000_000_000), Some(b"k"), Some(b"v"), &[]);
    let bytes = builder.finish(Stamp::default());
    let mut batch = Batch::parse(&bytes).unwrap();
    batch.patch_log_append_time(TimestampMs(1_700_000_000_123));
    let mut patched = Vec::new();
    batch.write_to(&mut patched);
    assert_eq!(patched, unhex(APPEND_TIME));
    let head = check_batch(&patched).unwrap();
    assert!(head.is_log_append_time());
    let meta = BatchMeta::of(&head, TimestampMs(0));
    assert_eq!(meta.answered_timestamp(), TimestampMs(1_700_000_000_123));
    // The body is the producer's, in its place.
    assert_eq!(batch.body().as_ptr(), bytes[HEADER_BYTES..].as_ptr());
}

#[test]
fn offsets_are_patched_outside_the_checksum() {
    let bytes = plain();
    let mut batch = Batch::parse(&bytes).unwrap();
    batch.patch_offset(Offset(1000), LeaderEpoch(4));
    let head = batch.header();
    assert_eq!(
        (head.base_offset, head.leader_epoch),
        (Offset(1000), LeaderEpoch(4))
    );
    assert_eq!(
        (head.last_offset(), head.next_offset()),
        (Offset(1002), Offset(1003))
    );
    assert_eq!(batch.size_bytes(), bytes.len());
    let mut patched = Vec::new();
    batch.write_to(&mut patched);
    assert_eq!(check_batch(&patched).unwrap(), head);
    let mut whole = bytes.to_vec();
    patch_offset(&mut whole, Offset(1000), LeaderEpoch(4));
    assert_eq!(whole, patched);
}

#[test]
fn every_truncation_is_told_with_the_bytes_that_are_missing() {
    let batch = plain();
    for end in 0..batch.len() {
        let needed = if end < HEADER_BYTES {
            HEADER_BYTES
        } else {
            batch.len()
        };
        let expected = BatchError::Truncated {
            needed,
            available: end,
        };
        assert_eq!(check_batch(&batch[..end]), Err(expected.clone()));
        assert_eq!(Batch::parse(&batch.slice(..end)), Err(expected));
    }
    // What follows a batch is not part of it.
    let mut two = batch.to_vec();
    two.extend_from_slice(&batch);
    assert_eq!(BatchHeader::read(&two).unwrap().size_bytes, batch.len());
    assert_eq!(Batch::parse(&two.into()).unwrap().size_bytes(), batch.len());
}

#[test]
fn every_truncated_payload_is_refused() {
    let batch = plain();
    let head = check_batch(&batch).unwrap();
    let whole = payload(&batch, &head);
    for end in 0..whole.len() {
        let error = check_records(&whole[..end], &head).unwrap_err();
        assert!(matches!(error, BatchError::Record { .. }), "{end}: {error}");
    }
    let mut longer = whole.to_vec();
    longer.push(0);
    assert_eq!(
        check_records(&longer, &head),
        Err(BatchError::Record {
            index: 3,
            what: "bytes are left over behind the last record"
        })
    );
}

#[test]
fn every_flipped_bit_is_noticed() {
    let batch = plain();
    for at in 0..batch.len() {
        // Base offset and leader epoch are the broker's to write: no checksum covers them.
        if at < 8 || (12..16).contains(&at) {
            continue;
        }
        for bit in 0..8 {
            let mut damaged = batch.to_vec();
            damaged[at] ^= 1 << bit;
            assert!(check_batch(&damaged).is_err(), "byte {at}, bit {bit}");
        }
    }
}

/// Changes the header of a valid batch and makes the checksum fit again.
fn with_header(change: impl FnOnce(&mut BatchHeader)) -> Result<BatchHeader, BatchError> {
    let mut bytes = plain().to_vec();
    let mut head = BatchHeader::read(&bytes).unwrap();
    change(&mut head);
    write_header(&mut bytes, &head);
    check_batch(&bytes)
}

#[test]
fn contradictions_in_the_header_are_refused() {
    assert!(with_header(|_| ()).is_ok());
    let refused = [
        with_header(|head| head.record_count = 0),
        with_header(|head| head.record_count = -1),
        with_header(|head| head.record_count = i32::MAX),
        with_header(|head| head.record_count = 4),
        with_header(|head| head.last_offset_delta = 1),
        with_header(|head| head.last_offset_delta = -1),
        with_header(|head| head.last_offset_delta = i32::MIN),
        with_header(|head| head.producer_id = ProducerId(1)),
        with_header(|head| head.base_timestamp = TimestampMs(-2)),
        with_header(|head| head.max_timestamp = TimestampMs(i64::MIN)),
    ];
    for result in refused {
        assert!(
            matches!(result, Err(BatchError::Header { .. })),
            "{result:?}"
        );
    }
    for bits in 5..8 {
        let result = with_header(|head| head.attributes = bits);
        assert_eq!(result, Err(BatchError::Compression { bits }));
    }
}

#[test]
fn impossible_lengths_and_old_magics_are_refused() {
    for length in [i32::MIN, -1, 0, 48] {
        let mut bytes = plain().to_vec();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(check_batch(&bytes), Err(BatchError::Length { length }));
    }
    let mut bytes = plain().to_vec();
    bytes[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(matches!(
        check_batch(&bytes),
        Err(BatchError::Truncated { .. })
    ));
    for magic in [0u8, 1, 3, 0xff] {
        let mut bytes = plain().to_vec();
        bytes[16] = magic;
        let magic = magic.cast_signed();
        assert_eq!(check_batch(&bytes), Err(BatchError::Magic { magic }));
    }
}

/// Framing damage under a checksum that fits: what only `check_records` can see.
#[test]
fn damaged_records_are_refused() {
    // Length, attributes, timestamp delta, offset delta, key, value, headers.
    const RECORD: [u8; 8] = [0x0e, 0, 0, 0, 0x01, 0x02, b'v', 0];
    let head = |count| BatchHeader {
        record_count: count,
        ..BatchHeader::read(&plain()).unwrap()
    };
    assert_eq!(check_records(&RECORD, &head(1)), Ok(0));
    let refused: [(&[u8], &str); 9] = [
        (
            &[0x10, 0, 0, 0, 0x01, 0x02, b'v', 0],
            "longer than its batch",
        ),
        (
            &[0x0c, 0, 0, 0, 0x01, 0x02, b'v', 0],
            "no room for its headers",
        ),
        (
            &[0x10, 0, 0, 0, 0x01, 0x02, b'v', 0, 0],
            "a byte too many inside",
        ),
        (
            &[0x0e, 0, 0, 0x02, 0x01, 0x02, b'v', 0],
            "an offset delta out of place",
        ),
        (&[0x0e, 0, 0, 0, 0x03, 0x02, b'v', 0], "a length below null"),
        (
            &[0x0e, 0, 0, 0, 0x01, 0x02, b'v', 0x01],
            "a negative header count",
        ),
        (
            &[0x0e, 0, 0, 0, 0x01, 0x02, b'v', 0x02],
            "headers that are not there",
        ),
        (&[0x01], "a negative length"),
        (&[0xff; 12], "a varint that does not end"),
    ];
    for (bytes, what) in refused {
        let result = check_records(bytes, &head(1));
        assert!(
            matches!(result, Err(BatchError::Record { .. })),
            "{what}: {result:?}"
        );
    }
    // A header with a null key.
    let null_key = [0x12, 0, 0, 0, 0x01, 0x02, b'v', 0x02, 0x01, 0x01];
    assert!(check_records(&null_key, &head(1)).is_err());
    assert!(check_records(&RECORD, &head(2)).is_err());
    // A count without bytes asks for nothing.
    assert!(check_records(&[], &head(i32::MAX)).is_err());
    assert_eq!(check_records(&[], &head(0)), Ok(i64::MIN));
}

#[test]
fn a_compressed_payload_keeps_its_header() {
    let mut builder = BatchBuilder::new(TimestampMs(10));
    builder.push(TimestampMs(12), None, Some(b"v"), &[]);
    let plain_size = builder.payload().len();
    let batch = builder.finish_compressed(Compression::Zstd, b"not really", Stamp::default());
    let head = check_batch(&batch).unwrap();
    assert_eq!(head.compression(), Some(Compression::Zstd));
    assert_eq!(payload(&batch, &head), b"not really");
    assert_eq!(
        (head.record_count, head.max_timestamp),
        (1, TimestampMs(12))
    );
    assert_eq!(plain_size, 8);
}

fn theirs(offset: i64, timestamp: i64, key: Option<Bytes>, value: Option<Bytes>) -> TheirRecord {
    TheirRecord {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: 77,
        producer_epoch: 3,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).unwrap() + 40,
        timestamp,
        key,
        value,
        headers: Default::default(),
    }
}

type Pair = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    i64,
    Vec<(String, Option<Vec<u8>>)>,
);

fn pair() -> impl Strategy<Value = Pair> {
    let blob = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
    let headers = proptest::collection::vec(("[a-z]{1,3}", blob()), 0..4);
    (blob(), blob(), 0..1i64 << 50, headers)
}

fn built(pairs: &[Pair]) -> Bytes {
    let base = pairs.iter().map(|pair| pair.2).min().unwrap();
    let mut builder = BatchBuilder::new(TimestampMs(base));
    for (key, value, timestamp, headers) in pairs {
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| RecordHeader {
                key: key.as_bytes(),
                value: value.as_deref(),
            })
            .collect();
        builder.push(
            TimestampMs(*timestamp),
            key.as_deref(),
            value.as_deref(),
            &headers,
        );
    }
    builder.finish(Stamp {
        producer_id: ProducerId(77),
        producer_epoch: ProducerEpoch(3),
        base_sequence: Sequence(40),
        ..Stamp::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Their encoder's bytes and ours are the same (their headers lose duplicates, so those are
    /// made distinct here), and their decoder reads ours.
    #[test]
    fn batches_are_kafka_protocols(pairs in proptest::collection::vec(pair(), 1..20)) {
        let mut pairs = pairs;
        for pair in &mut pairs {
            for (place, header) in pair.3.iter_mut().enumerate() {
                header.0.push_str(&place.to_string());
            }
        }
        let ours = built(&pairs);
        let others: Vec<_> = pairs
            .iter()
            .zip(0..)
            .map(|((key, value, timestamp, headers), offset)| {
                let mut record = theirs(
                    offset,
                    *timestamp,
                    key.clone().map(Bytes::from),
                    value.clone().map(Bytes::from),
                );
                for (key, value) in headers {
                    record.headers.insert(key.clone().into(), value.clone().map(Bytes::from));
                }
                record
            })
            .collect();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: TheirCompression::None };
        RecordBatchEncoder::encode(&mut bytes, &others, &options).unwrap();
        prop_assert_eq!(&bytes, &ours);
        let decoded = RecordBatchDecoder::decode(&mut ours.clone()).unwrap();
        prop_assert_eq!(decoded.records, others);
        let head = check_batch(&ours).unwrap();
        check_records(payload(&ours, &head), &head).unwrap();
    }

    #[test]
    fn arbitrary_payloads_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in any::<i32>()) {
        let _ = check_batch(&bytes);
        for record in records(&bytes, count).flatten() {
            prop_assert!(record.headers().count() <= bytes.len());
        }
    }

    /// Damage under a checksum that fits reaches the records' framing.
    #[test]
    fn damaged_batches_never_panic(
        pairs in proptest::collection::vec(pair(), 1..5),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = built(&pairs).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        set_crc(&mut bytes);
        if let Ok(head) = check_batch(&bytes) {
            let _ = check_records(payload(&bytes, &head), &head);
            for record in records(payload(&bytes, &head), head.record_count).flatten() {
                let _ = record.headers().count();
            }
        }
    }
}
