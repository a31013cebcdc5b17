//! [`Writer`]: collects a message.
//!
//! Records are never copied: the writer notes where foreign bytes go in between its own.

use super::{EncodeError, EncodeFault, Form, Wire};
use crate::limits::{SPLICE_COPIED_BYTES_MAX, WRITER_BYTES_START};
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// Collects a message: small values in one buffer, large ones spliced in by reference.
#[derive(Clone, Debug)]
pub struct Writer {
    pub(super) buffer: BytesMut,
    /// Where in the buffer foreign bytes go in between, in order.
    splices: Vec<(usize, Bytes)>,
    spliced: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: BytesMut::with_capacity(WRITER_BYTES_START),
            splices: Vec::new(),
            spliced: 0,
        }
    }

    /// Bytes written so far, spliced ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes in.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Puts bytes in by reference (few are copied, see the limit).
    pub fn splice(&mut self, bytes: Bytes) {
        if bytes.len() <= SPLICE_COPIED_BYTES_MAX {
            self.buffer.put_slice(&bytes);
        } else {
            self.spliced += bytes.len();
            self.splices.push((self.buffer.len(), bytes));
        }
    }

    /// Appends what another writer holds.
    pub fn append(&mut self, other: Self) {
        let base = self.buffer.len();
        self.buffer.put_slice(&other.buffer);
        self.spliced += other.spliced;
        let moved = other
            .splices
            .into_iter()
            .map(|(at, bytes)| (base + at, bytes));
        self.splices.extend(moved);
    }

    /// An unsigned varint.
    pub fn put_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    /// A length as arrays, bytes and (flexible) strings have it.
    ///
    /// # Errors
    /// [`EncodeFault::TooLong`] above what 31 bits can say.
    pub fn put_length(&mut self, size: usize, flexible: bool) -> Result<(), EncodeError> {
        let length = i32::try_from(size).map_err(|_| EncodeFault::TooLong { size })?;
        if flexible {
            self.put_uvarint(length.cast_unsigned() + 1);
        } else {
            self.buffer.put_i32(length);
        }
        Ok(())
    }

    /// The null of arrays, bytes and (flexible) strings.
    pub fn put_null(&mut self, flexible: bool) {
        if flexible {
            self.buffer.put_u8(0);
        } else {
            self.buffer.put_i32(-1);
        }
    }

    /// One tagged field.
    ///
    /// # Errors
    /// As the value's own.
    pub fn put_tagged<T: Wire>(
        &mut self,
        tag: u32,
        value: &T,
        form: Form,
    ) -> Result<(), EncodeError> {
        let mut inner = Self::new();
        value.write(&mut inner, form)?;
        let size = inner.len();
        self.put_uvarint(tag);
        self.put_uvarint(u32::try_from(size).map_err(|_| EncodeFault::TooLong { size })?);
        self.append(inner);
        Ok(())
    }

    /// Overwrites bytes of the buffer; they must have been put there before the first splice.
    pub(crate) fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        self.buffer[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The message as segments to be sent one after the other; none is empty.
    #[must_use]
    pub fn finish(self) -> Vec<Bytes> {
        let buffer = self.buffer.freeze();
        if self.splices.is_empty() {
            return alloc::vec![buffer];
        }
        let mut segments = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut from = 0;
        for (at, bytes) in self.splices {
            if at > from {
                segments.push(buffer.slice(from..at));
            }
            segments.push(bytes);
            from = at;
        }
        if from < buffer.len() {
            segments.push(buffer.slice(from..));
        }
        segments
    }
}
