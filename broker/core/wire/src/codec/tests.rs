//! The basic types at their edges.

use super::*;
use crate::{records::Records, text::Text};
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::prelude::*;
use std::{format, string::ToString};
use weir_types::{Batch, TimestampMs, log::StoredBatch};

const PLAIN: Form = Form {
    version: 0,
    flexible: false,
};
const FLEXIBLE: Form = Form {
    version: 9,
    flexible: true,
};

fn fault<T: Wire + fmt::Debug>(bytes: &'static [u8], form: Form) -> DecodeFault {
    let mut reader = Reader::new(Bytes::from_static(bytes));
    T::read(&mut reader, form).unwrap_err().fault
}

#[test]
fn counts_are_held_against_the_bytes_that_are_left() {
    // 2^31 - 1 numbers of four bytes in four bytes.
    assert_eq!(
        fault::<Vec<i32>>(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1], PLAIN),
        DecodeFault::Count {
            count: 0x7fff_ffff,
            available: 4
        }
    );
    // Two numbers of four bytes in four bytes: refused before room is made for them.
    assert_eq!(
        fault::<Vec<i32>>(&[0, 0, 0, 2, 0, 0, 0, 1], PLAIN),
        DecodeFault::Count {
            count: 2,
            available: 4
        }
    );
    assert_eq!(
        fault::<Vec<Text>>(&[5, 1, 1, 1], FLEXIBLE),
        DecodeFault::Count {
            count: 4,
            available: 3
        }
    );
    let mut reader = Reader::new(Bytes::from_static(&[5, 1, 1, 1, 1]));
    assert_eq!(<Vec<Text>>::read(&mut reader, FLEXIBLE).unwrap().len(), 4);
}

#[test]
fn impossible_lengths_are_refused() {
    assert_eq!(
        fault::<Option<Text>>(&[0xff, 0xfe], PLAIN),
        DecodeFault::Length { length: -2 }
    );
    assert_eq!(
        fault::<Option<Bytes>>(&[0x80, 0, 0, 0], PLAIN),
        DecodeFault::Length {
            length: i64::from(i32::MIN)
        }
    );
    assert_eq!(
        fault::<Text>(&[0xff, 0xff], PLAIN),
        DecodeFault::Null { version: 0 }
    );
    assert_eq!(
        fault::<Text>(&[0], FLEXIBLE),
        DecodeFault::Null { version: 9 }
    );
    assert_eq!(fault::<Text>(&[0, 1, 0xff], PLAIN), DecodeFault::Utf8);
    assert_eq!(
        fault::<Bytes>(&[0x81, 0x80, 0x80, 0x80, 0x10], FLEXIBLE),
        DecodeFault::Varint
    );
    assert_eq!(
        fault::<Bytes>(&[0x80, 0x80, 0x80, 0x80, 0x80, 0], FLEXIBLE),
        DecodeFault::Varint
    );
    assert_eq!(
        fault::<Bytes>(&[0x80, 0x80], FLEXIBLE),
        DecodeFault::Truncated {
            needed: 3,
            available: 2
        }
    );
}

#[test]
fn null_and_empty_stay_apart() {
    for form in [PLAIN, FLEXIBLE] {
        for value in [None, Some(Text::EMPTY), Some(Text::from("a"))] {
            assert_eq!(back(&value, form), value);
        }
        for value in [None, Some(Bytes::new())] {
            assert_eq!(back(&value, form), value);
        }
        for value in [None, Some(Vec::<i8>::new())] {
            assert_eq!(back(&value, form), value);
        }
        for value in [None, Some(Records::EMPTY)] {
            assert_eq!(back(&value, form), value);
        }
    }
}

fn back<T: Wire>(value: &T, form: Form) -> T {
    let mut writer = Writer::new();
    value.write(&mut writer, form).unwrap();
    let mut reader = Reader::new(writer.finish().concat().into());
    let read = T::read(&mut reader, form).unwrap();
    reader.end().unwrap();
    read
}

#[test]
fn strings_end_where_kafkas_do() {
    let longest = Text::from("x".repeat(0x7fff));
    assert_eq!(back(&longest, FLEXIBLE), longest);
    let longer = Text::from("x".repeat(0x8000));
    for form in [PLAIN, FLEXIBLE] {
        let error = longer.write(&mut Writer::new(), form).unwrap_err();
        assert_eq!(error.fault, EncodeFault::TooLong { size: 0x8000 });
    }
}

#[test]
fn records_are_spliced_and_never_copied() {
    let mut builder = crate::build::BatchBuilder::new(TimestampMs(0));
    builder.push(TimestampMs(0), None, Some(&[7; 1000]), &[]);
    let whole = builder.finish(crate::build::Stamp::default());
    let batch = Batch::parse(&whole).unwrap();
    let body = batch.body().clone();
    let records = Some(Records::Chunks(alloc::vec![
        StoredBatch::Cached(batch),
        StoredBatch::Read(whole.clone()),
    ]));
    let mut writer = Writer::new();
    records.write(&mut writer, FLEXIBLE).unwrap();
    let total = writer.len();
    let segments = writer.finish();
    assert_eq!(segments.len(), 3);
    assert_eq!(segments[1].as_ptr(), body.as_ptr());
    assert_eq!(segments[2].as_ptr(), whole.as_ptr());
    assert_eq!(segments.iter().map(Bytes::len).sum::<usize>(), total);

    let frame: Bytes = segments.concat().into();
    let mut reader = Reader::new(frame.clone());
    let read = <Option<Records>>::read(&mut reader, FLEXIBLE)
        .unwrap()
        .unwrap();
    assert_eq!(read.to_bytes().as_ptr(), frame[2..].as_ptr());
    assert_eq!(Some(read), records);
}

#[test]
fn splices_inside_tagged_fields_keep_their_place() {
    let large = Bytes::from(alloc::vec![9; 5000]);
    let mut writer = Writer::new();
    writer.put_uvarint(1);
    writer.put_tagged(3, &large, FLEXIBLE).unwrap();
    writer.put_slice(b"end");
    let total = writer.len();
    let bytes: Bytes = writer.finish().concat().into();
    assert_eq!(bytes.len(), total);
    let mut reader = Reader::new(bytes);
    let mut found = None;
    reader
        .tagged(|tag, field| {
            found = Some((tag, Bytes::read(field, FLEXIBLE)?));
            Ok(true)
        })
        .unwrap();
    assert_eq!(found, Some((3, large)));
    assert_eq!(reader.take(3).unwrap(), "end");
}

#[test]
fn a_known_tagged_field_must_fill_its_size() {
    let mut reader = Reader::new(Bytes::from_static(&[1, 0, 2, 5, 6]));
    let error = reader.tagged(|_, field| i8::read(field, FLEXIBLE).map(|_| true));
    assert_eq!(error.unwrap_err().fault, DecodeFault::LeftOver { count: 1 });
}

#[test]
fn errors_name_their_place() {
    let error = DecodeError::from(DecodeFault::Utf8)
        .at("FetchTopic", "topic")
        .at("FetchRequest", "topics");
    assert_eq!(error.to_string(), "FetchTopic.topic: not UTF-8");
    let versions = Versions { min: 1, max: 4 };
    assert_eq!(format!("{versions}"), "1-4");
    assert_eq!(versions.newest_common(Versions { min: 3, max: 9 }), Some(4));
    assert_eq!(versions.newest_common(Versions { min: 5, max: 9 }), None);
}

proptest! {
    #[test]
    fn unsigned_varints_come_back(value in any::<u32>()) {
        let mut writer = Writer::new();
        writer.put_uvarint(value);
        let mut reader = Reader::new(writer.finish().concat().into());
        prop_assert_eq!(reader.uvarint().unwrap(), value);
        reader.end().unwrap();
    }
}
