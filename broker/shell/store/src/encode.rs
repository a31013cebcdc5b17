//! Numbers and small structures as bytes: little-endian varints, and a seal of magic and CRC-32C
//! around everything the store writes about its batches.
//!
//! Reading takes any bytes and answers `None` where they are not what was written; it must never
//! panic or reserve memory by a count it has not checked against the bytes that are there.

/// Appends numbers to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.u64(u64::from(value));
    }

    pub(crate) fn len(&mut self, value: usize) {
        self.u64(value as u64);
    }

    /// Zigzag: small magnitudes of either sign are short.
    pub(crate) fn i64(&mut self, value: i64) {
        self.u64((value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.i64(i64::from(value));
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Seals what was written under `magic`.
    pub(crate) fn sealed(self, magic: [u8; 4]) -> Vec<u8> {
        seal(magic, &self.bytes)
    }
}

/// Bytes of a seal in front of what it covers.
pub(crate) const SEAL_BYTES: usize = 8;

/// Puts magic and CRC-32C in front of `payload`.
pub(crate) fn seal(magic: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(SEAL_BYTES + payload.len());
    out.extend_from_slice(&magic);
    out.extend_from_slice(&checksum(magic, payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// What a seal covers, if it is whole and of this kind.
pub(crate) fn unseal(magic: [u8; 4], bytes: &[u8]) -> Option<&[u8]> {
    let (head, payload) = bytes.split_at_checked(SEAL_BYTES)?;
    let (found, crc) = head.split_at(4);
    let crc = u32::from_le_bytes(crc.try_into().ok()?);
    (found == magic && crc == checksum(magic, payload)).then_some(payload)
}

fn checksum(magic: [u8; 4], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&magic), payload)
}

/// Takes numbers from a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (index, byte) in self.bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.bytes = self.bytes.get(index + 1..)?;
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.u64()?).ok()
    }

    /// A count of things that each take at least one byte of what is left.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.u64()?).ok()?;
        (count <= self.bytes.len()).then_some(count)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        let raw = self.u64()?;
        Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        i32::try_from(self.i64()?).ok()
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        i16::try_from(self.i64()?).ok()
    }

    pub(crate) fn raw(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.raw(N)?.try_into().ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(a: u64, b: i64, c: u32, d: i32) {
            let mut writer = Writer::new();
            writer.u64(a);
            writer.i64(b);
            writer.u32(c);
            writer.i32(d);
            let sealed = writer.sealed(*b"test");
            let payload = unseal(*b"test", &sealed).unwrap();
            let mut reader = Reader::new(payload);
            prop_assert_eq!(reader.u64(), Some(a));
            prop_assert_eq!(reader.i64(), Some(b));
            prop_assert_eq!(reader.u32(), Some(c));
            prop_assert_eq!(reader.i32(), Some(d));
            prop_assert!(reader.is_empty());
            prop_assert_eq!(unseal(*b"tesu", &sealed), None);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.u64().is_some() {}
            let _ = reader.count();
        }
    }
}
