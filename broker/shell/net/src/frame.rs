//! Frames out of a byte stream: a 4-byte size, then so many bytes.
//!
//! Memory follows the bytes that have come, never the size that was announced.

use crate::{
    io::{Inbound, Pulled},
    limits::{READ_BYTES_IDLE, READ_BYTES_MAX, READ_BYTES_MIN},
};
use bytes::{Buf, Bytes, BytesMut};
use std::{io, time::Duration};
use thiserror::Error;
use tokio::time::timeout;

const SIZE_BYTES: usize = 4;

/// What a record of TLS (an alert, a handshake) shows where a size should be.
pub(crate) const TLS: &str = "TLS";

/// How long a record of TLS is before its content.
const TLS_HEAD_BYTES: usize = 5;

/// How our client says, in the extension for protocol names of its first TLS record (RFC 7301), that
/// it goes on in the clear where TLS is not spoken: the extension's number, three lengths, the name.
const PROBE: &[u8] = b"\x00\x10\x00\x0d\x00\x0b\x0aweir-probe";

/// How long the rest of a TLS record is awaited.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// Why no frame can be read.
#[derive(Debug, Error)]
pub(crate) enum FrameError {
    #[error("a frame of {bytes} bytes was announced, and at most {bytes_max} are accepted")]
    TooLarge { bytes: u32, bytes_max: usize },
    #[error("a frame was announced with the negative size {size}")]
    Negative { size: i32 },
    #[error("it speaks {what}, not the Kafka protocol")]
    Foreign { what: &'static str },
    #[error("it looked whether TLS is spoken here and goes on without")]
    Probe,
    #[error("the stream ended in the middle of a frame: {have} of {wanted} bytes came")]
    Cut { have: usize, wanted: usize },
    #[error("a frame stood still for {seconds} s: {have} of {wanted} bytes came")]
    Stalled {
        have: usize,
        wanted: usize,
        seconds: u64,
    },
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

/// Reads frames; each read may be dropped and begun again without losing a byte.
pub(crate) struct Frames {
    inbound: Inbound,
    /// What has come, in order: first these bytes, ...
    buffer: BytesMut,
    /// ... then these, which are still as QUIC brought them.
    chunk: Bytes,
    room: usize,
    bytes_max: usize,
    stall: Duration,
}

impl Frames {
    pub(crate) fn new(inbound: Inbound, bytes_max: usize, stall: Duration) -> Self {
        Self {
            inbound,
            buffer: BytesMut::new(),
            chunk: Bytes::new(),
            room: READ_BYTES_MIN,
            bytes_max,
            stall,
        }
    }

    pub(crate) fn inbound(&mut self) -> &mut Inbound {
        &mut self.inbound
    }

    /// Waits for the next frame's size, and leaves it where it is. `None`: the peer has finished.
    pub(crate) async fn size(&mut self) -> Result<Option<usize>, FrameError> {
        loop {
            self.gather(SIZE_BYTES);
            let head = if self.buffer.is_empty() {
                self.chunk.as_ref()
            } else {
                self.buffer.as_ref()
            };
            if let Some(size) = head.first_chunk::<SIZE_BYTES>() {
                return match self.checked(*size) {
                    Err(FrameError::Foreign { what: TLS }) if self.is_probe().await => {
                        Err(FrameError::Probe)
                    }
                    checked => checked.map(Some),
                };
            }
            if self.buffer.is_empty() && self.buffer.capacity() > READ_BYTES_IDLE {
                // A connection that has become quiet keeps nothing of its last burst.
                self.buffer = BytesMut::new();
            }
            if !self.pull(self.room.min(READ_BYTES_IDLE)).await? {
                let have = self.buffer.len() + self.chunk.len();
                return if have == 0 {
                    Ok(None)
                } else {
                    Err(FrameError::Cut {
                        have,
                        wanted: SIZE_BYTES,
                    })
                };
            }
        }
    }

    /// Whether what came is the first record of a client of ours that tries TLS before it goes on
    /// without. The record comes at once; for one that does not, nobody waits long.
    async fn is_probe(&mut self) -> bool {
        let hello = async {
            while self.buffer.len() < TLS_HEAD_BYTES {
                self.gather(TLS_HEAD_BYTES);
                if self.buffer.len() < TLS_HEAD_BYTES && !self.pull(READ_BYTES_MIN).await? {
                    break;
                }
            }
            let Some(&[0x16, 3, _, high, low]) = self.buffer.first_chunk::<TLS_HEAD_BYTES>() else {
                return Ok(false);
            };
            let whole = TLS_HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
            if whole > READ_BYTES_IDLE {
                return Ok(false);
            }
            while self.buffer.len() < whole {
                self.gather(whole);
                if self.buffer.len() < whole && !self.pull(READ_BYTES_MIN).await? {
                    break;
                }
            }
            let mut places = self.buffer.windows(PROBE.len());
            Ok::<_, FrameError>(places.any(|place| place == PROBE))
        };
        matches!(timeout(PROBE_WAIT, hello).await, Ok(Ok(true)))
    }

    /// Waits for the frame of the size that [`Frames::size`] told.
    pub(crate) async fn body(&mut self, size: usize) -> Result<Bytes, FrameError> {
        let whole = SIZE_BYTES + size;
        loop {
            self.gather(whole);
            if self.buffer.is_empty() && self.chunk.len() >= whole {
                self.chunk.advance(SIZE_BYTES);
                return Ok(self.chunk.split_to(size));
            }
            if self.buffer.len() >= whole {
                self.buffer.advance(SIZE_BYTES);
                return Ok(self.buffer.split_to(size).freeze());
            }
            let have = self.buffer.len();
            // Up to four times what has come, so a promise alone costs one small read's room.
            let wanted = whole.min((4 * have).max(self.room)).saturating_sub(have);
            let more = timeout(self.stall, self.pull(wanted)).await;
            let more = more.map_err(|_| FrameError::Stalled {
                have,
                wanted: whole,
                seconds: self.stall.as_secs(),
            })??;
            if !more {
                return Err(FrameError::Cut {
                    have,
                    wanted: whole,
                });
            }
        }
    }

    /// Moves bytes from the chunk to the buffer until the buffer has `wanted`, unless the chunk
    /// alone has them all.
    fn gather(&mut self, wanted: usize) {
        if self.buffer.is_empty() && self.chunk.len() >= wanted {
            return;
        }
        let missing = wanted.saturating_sub(self.buffer.len());
        let part = missing.min(self.chunk.len());
        if part > 0 {
            let needed = self.buffer.len() + part;
            if self.buffer.capacity() < needed {
                let grown = (4 * self.buffer.len()).min(wanted).max(needed);
                self.buffer.reserve(grown - self.buffer.len());
            }
            self.buffer.extend_from_slice(&self.chunk.split_to(part));
        }
    }

    /// Waits for more bytes; false at the end.
    async fn pull(&mut self, room: usize) -> Result<bool, FrameError> {
        match self.inbound.pull(&mut self.buffer, room).await? {
            Pulled::Chunk(chunk) => self.chunk = chunk,
            Pulled::Appended(count) => {
                // Busy connections read in large pieces, idle ones keep little.
                self.room = if count >= self.room {
                    (2 * self.room).min(READ_BYTES_MAX)
                } else if count < self.room / 4 {
                    (self.room / 2).max(READ_BYTES_MIN)
                } else {
                    self.room
                };
            }
            Pulled::End => return Ok(false),
        }
        Ok(true)
    }

    fn checked(&self, size: [u8; SIZE_BYTES]) -> Result<usize, FrameError> {
        let what = match size {
            [0x15 | 0x16, 3, ..] => Some(TLS),
            [b'G', b'E', b'T', b' '] | [b'H', b'E', b'A', b'D'] | [b'P', b'O', b'S', b'T'] => {
                Some("HTTP")
            }
            [b'S', b'S', b'H', b'-'] => Some("SSH"),
            _ => None,
        };
        if let Some(what) = what {
            return Err(FrameError::Foreign { what });
        }
        let signed = i32::from_be_bytes(size);
        let Ok(bytes) = u32::try_from(signed) else {
            return Err(FrameError::Negative { size: signed });
        };
        match usize::try_from(bytes) {
            Ok(size) if size <= self.bytes_max => Ok(size),
            _ => Err(FrameError::TooLarge {
                bytes,
                bytes_max: self.bytes_max,
            }),
        }
    }
}
