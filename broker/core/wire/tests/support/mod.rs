//! What the tests of golden bytes share.

use bytes::Bytes;
use std::fmt::Debug;
use weir_types::TopicId;
use weir_wire::{Message, Reader, Writer};

/// A topic id with every byte different.
pub(crate) const TOPIC: TopicId = TopicId([
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe,
]);

/// Bytes written as hex.
pub(crate) fn bytes(hex: &str) -> Bytes {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

/// A message in one version is these bytes, both ways.
pub(crate) fn assert_golden<M: Message + PartialEq + Debug>(message: &M, version: i16, hex: &str) {
    let golden = bytes(hex);
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    assert_eq!(Bytes::from(writer.finish().concat()), golden, "v{version}");
    let mut reader = Reader::new(golden);
    assert_eq!(&M::decode(&mut reader, version).unwrap(), message);
    reader.end().unwrap();
}
