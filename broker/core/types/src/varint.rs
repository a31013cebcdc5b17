//! Writes the records of a batch: zigzag varints as protocol buffers write them, byte strings
//! behind their length, whole records.
//!
//! Reading is in [`crate::batch`]; nothing here knows a batch's header.

use crate::batch::RecordHeader;
use alloc::vec::Vec;

/// Bytes of a zigzag varint.
#[must_use]
#[inline]
pub const fn varint_size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends a zigzag varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes of a byte string behind its length; null takes one.
#[must_use]
#[inline]
pub fn blob_size(blob: Option<&[u8]>) -> usize {
    blob.map_or(1, |bytes| varint_size(bytes.len() as i64) + bytes.len())
}

/// Appends a byte string behind its length, or null.
#[inline]
pub fn put_blob(out: &mut Vec<u8>, blob: Option<&[u8]>) {
    match blob {
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => out.push(1), // -1
    }
}

/// The parts of a record that do not depend on its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordParts<'a, H> {
    /// `None` is null.
    pub key: Option<&'a [u8]>,
    /// `None` is null.
    pub value: Option<&'a [u8]>,
    /// The headers in order.
    pub headers: H,
}

/// Appends a record.
#[inline]
pub fn put_record<'a, H>(
    out: &mut Vec<u8>,
    timestamp_delta: i64,
    offset_delta: i64,
    parts: RecordParts<'_, H>,
) where
    H: ExactSizeIterator<Item = RecordHeader<'a>> + Clone,
{
    let header_count = parts.headers.len() as i64;
    let headers_size: usize = parts
        .headers
        .clone()
        .map(|header| blob_size(Some(header.key)) + blob_size(header.value))
        .sum();
    let size = 1
        + varint_size(timestamp_delta)
        + varint_size(offset_delta)
        + blob_size(parts.key)
        + blob_size(parts.value)
        + varint_size(header_count)
        + headers_size;
    put_varint(out, size as i64);
    out.push(0); // attributes: unused by the protocol
    put_varint(out, timestamp_delta);
    put_varint(out, offset_delta);
    put_blob(out, parts.key);
    put_blob(out, parts.value);
    put_varint(out, header_count);
    for header in parts.headers {
        put_blob(out, Some(header.key));
        put_blob(out, header.value);
    }
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}
