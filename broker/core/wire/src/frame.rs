//! Frames: every request and every response travels behind its length, a signed 32-bit number.
//!
//! Pure: the caller owns buffer and socket. A frame whose size is refused must end the
//! connection, because nothing behind it can be found again.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Bytes of the length in front of a frame.
pub const HEAD_BYTES: usize = 4;

/// Why a frame is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The size is below zero.
    #[error("frame size {size} is negative; the other side does not speak Kafka's protocol")]
    Negative {
        /// The size as sent.
        size: i32,
    },
    /// The size is above the limit.
    #[error("frame of {size} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// The size as sent or wanted, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// The size a frame's head announces, in bytes, without the head.
///
/// # Errors
/// [`FrameError`] for a negative size or one above `limit`.
pub fn size_of(head: [u8; HEAD_BYTES], limit: usize) -> Result<usize, FrameError> {
    let size = i32::from_be_bytes(head);
    let bytes = usize::try_from(size).map_err(|_| FrameError::Negative { size })?;
    if bytes > limit {
        return Err(FrameError::TooLarge { size: bytes, limit });
    }
    Ok(bytes)
}

/// The head of a frame of `size` bytes.
///
/// # Errors
/// [`FrameError::TooLarge`] where the size does not fit the head.
pub fn head(size: usize) -> Result<[u8; HEAD_BYTES], FrameError> {
    i32::try_from(size)
        .map(i32::to_be_bytes)
        .map_err(|_| FrameError::TooLarge {
            size,
            limit: i32::MAX as usize,
        })
}

/// Takes the next whole frame, without its head, out of `buffer`; nothing where bytes are still
/// missing. The frame is a slice of the buffer's memory, not a copy.
///
/// # Errors
/// As [`size_of`]; the buffer is then left as it is.
pub fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(head) = buffer.first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let size = size_of(*head, limit)?;
    if buffer.len() - HEAD_BYTES < size {
        return Ok(None);
    }
    buffer.advance(HEAD_BYTES);
    Ok(Some(buffer.split_to(size).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn frames_come_out_whole_and_in_order() {
        let mut buffer = BytesMut::new();
        let stream = b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c";
        let mut seen = std::vec::Vec::new();
        for byte in stream {
            buffer.extend_from_slice(&[*byte]);
            while let Some(frame) = take(&mut buffer, 2).unwrap() {
                seen.push(frame);
            }
        }
        assert_eq!(seen, [&b"ab"[..], b"", b"c"]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_refusal_names_size_and_limit() {
        let negative = size_of([0xff; 4], 10).unwrap_err();
        assert_eq!(negative, FrameError::Negative { size: -1 });
        let large = size_of([0, 0, 0, 11], 10).unwrap_err();
        assert_eq!(
            large.to_string(),
            "frame of 11 bytes is over the limit of 10 bytes"
        );
        assert_eq!(head(258).unwrap(), [0, 0, 1, 2]);
        assert!(head(1 << 31).is_err());
    }
}
