//! [`Reader`]: takes values off the front of a frame.
//!
//! It never trusts a length: everything is held against the bytes that are left.

use super::{DecodeError, DecodeFault};
use crate::limits::VARINT_BYTES_MAX;
use bytes::{Buf, Bytes};

/// Takes values off the front of a frame; strings and bytes share the frame's memory.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) bytes: Bytes,
}

impl Reader {
    /// Reads `bytes` from their start.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// Bytes that are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The next `size` bytes, shared.
    ///
    /// # Errors
    /// [`DecodeFault::Truncated`].
    pub fn take(&mut self, size: usize) -> Result<Bytes, DecodeError> {
        self.need(size)?;
        Ok(self.bytes.split_to(size))
    }

    /// An unsigned varint of at most 32 bits.
    ///
    /// # Errors
    /// [`DecodeFault::Truncated`] or [`DecodeFault::Varint`].
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u64;
        for (index, byte) in self.bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let value = u32::try_from(value).map_err(|_| DecodeFault::Varint)?;
                self.bytes.advance(index + 1);
                return Ok(value);
            }
        }
        if self.remaining() < VARINT_BYTES_MAX {
            let available = self.remaining();
            return Err(DecodeFault::Truncated {
                needed: available + 1,
                available,
            }
            .into());
        }
        Err(DecodeFault::Varint.into())
    }

    /// A length as arrays, bytes and (flexible) strings have it; nothing is null.
    ///
    /// # Errors
    /// [`DecodeFault::Truncated`], [`DecodeFault::Varint`] or [`DecodeFault::Length`].
    pub fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            let raised = self.uvarint()?;
            Ok((raised as usize).checked_sub(1))
        } else {
            self.need(4)?;
            Self::plain_length(i64::from(self.bytes.get_i32()))
        }
    }

    /// A length of an inflexible string; nothing is null.
    pub(super) fn short_length(&mut self) -> Result<Option<usize>, DecodeError> {
        self.need(2)?;
        Self::plain_length(i64::from(self.bytes.get_i16()))
    }

    fn plain_length(length: i64) -> Result<Option<usize>, DecodeError> {
        if length == -1 {
            return Ok(None);
        }
        usize::try_from(length)
            .map(Some)
            .map_err(|_| DecodeFault::Length { length }.into())
    }

    /// Reads the tagged fields behind a struct of a flexible version: `known` is given each tag
    /// and a reader over its bytes and says whether it knows the tag; others are skipped.
    ///
    /// # Errors
    /// Where the bytes are cut short, or a known field has bytes left over.
    pub fn tagged(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let mut field = Self::new(self.take(size)?);
            if known(tag, &mut field)? {
                field.end()?;
            }
        }
        Ok(())
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeFault::LeftOver`].
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeFault::LeftOver { count }.into()),
        }
    }

    /// Checks that `needed` bytes are left.
    #[inline]
    pub(super) fn need(&self, needed: usize) -> Result<(), DecodeError> {
        let available = self.remaining();
        if needed <= available {
            Ok(())
        } else {
            Err(DecodeFault::Truncated { needed, available }.into())
        }
    }
}
