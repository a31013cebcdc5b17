//! A growing output with a hard limit: memory follows the bytes that were really written.
//!
//! It must never reserve what a header merely claims.

use crate::{CodecError, limits::OUTPUT_STEP_BYTES};
use weir_types::batch::Compression;

/// The tail of the caller's buffer, filled step by step.
pub(crate) struct Output<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// Bytes behind `start` that hold data; the vector may be longer (zeroed room).
    filled: usize,
    limit_bytes: usize,
    codec: Compression,
}

impl<'a> Output<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, limit_bytes: usize, codec: Compression) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            filled: 0,
            limit_bytes,
            codec,
        }
    }

    /// How many bytes may still be written.
    pub(crate) fn left(&self) -> usize {
        self.limit_bytes - self.filled
    }

    /// The error of an output that would pass the limit.
    pub(crate) fn too_large(&self) -> CodecError {
        CodecError::TooLarge {
            codec: self.codec,
            limit_bytes: self.limit_bytes,
        }
    }

    /// Room for at least one more byte, doubling what is there; empty only at the limit.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let have = self.out.len() - self.start;
        if have == self.filled {
            let step = have.max(OUTPUT_STEP_BYTES).min(self.left());
            self.grow(have + step);
        }
        &mut self.out[self.start + self.filled..]
    }

    /// Room for exactly `bytes` bytes, which the input has shown to be plausible.
    pub(crate) fn room_of(&mut self, bytes: usize) -> Result<&mut [u8], CodecError> {
        Ok(self.room_behind(bytes)?.1)
    }

    /// As [`Self::room_of`], with everything written so far in front of it.
    pub(crate) fn room_behind(
        &mut self,
        bytes: usize,
    ) -> Result<(&mut [u8], &mut [u8]), CodecError> {
        if bytes > self.left() {
            return Err(self.too_large());
        }
        let end = self.start + self.filled + bytes;
        if self.out.len() < end {
            self.grow(self.filled + bytes);
        }
        let (before, room) = self.out[self.start..end].split_at_mut(self.filled);
        Ok((before, room))
    }

    /// Makes `bytes` bytes of room behind the start; memory doubles but never passes the limit.
    fn grow(&mut self, bytes: usize) {
        let end = self.start + bytes;
        if end > self.out.capacity() {
            let doubled = (2 * (self.out.capacity() - self.start)).min(self.limit_bytes);
            let room = doubled.max(bytes);
            self.out.reserve_exact(self.start + room - self.out.len());
        }
        self.out.resize(end, 0);
    }

    /// Says that the first `bytes` bytes of the room were written.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.filled += bytes;
        debug_assert!(self.start + self.filled <= self.out.len());
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        self.room_of(bytes.len())?.copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(())
    }

    /// What was written from `mark` on.
    pub(crate) fn since(&self, mark: usize) -> &[u8] {
        &self.out[self.start + mark..self.start + self.filled]
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    /// Cuts unused room off.
    pub(crate) fn finish(self) {
        self.out.truncate(self.start + self.filled);
    }
}
