//! [`Records`]: the records field of Produce and Fetch, which is never copied: on the way in one
//! slice of the frame, on the way out the pieces the log handed over.
//!
//! Whether the bytes are valid record batches is not looked at here (`weir_types::batch`).

use crate::codec::{DecodeError, EncodeError, EncodeFault, Form, Reader, Wire, Writer};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use weir_types::log::StoredBatch;

/// Record batches back to back.
#[derive(Clone, Debug)]
pub enum Records {
    /// In one piece, as a frame holds them.
    Slice(Bytes),
    /// As the log serves them.
    Chunks(Vec<StoredBatch>),
}

impl Records {
    /// No records.
    pub const EMPTY: Self = Self::Slice(Bytes::new());

    /// Bytes of all batches.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Slice(bytes) => bytes.len(),
            Self::Chunks(chunks) => chunks.iter().map(StoredBatch::size_bytes).sum(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size_bytes() == 0
    }

    /// All bytes in one piece; copies only where there are several pieces.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Slice(bytes) => bytes.clone(),
            Self::Chunks(chunks) => match chunks.as_slice() {
                [] => Bytes::new(),
                [StoredBatch::Read(bytes)] => bytes.clone(),
                _ => {
                    let mut joined = BytesMut::with_capacity(self.size_bytes());
                    self.pieces()
                        .for_each(|piece| joined.extend_from_slice(piece));
                    joined.freeze()
                }
            },
        }
    }

    /// The pieces in order; some may be empty.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (whole, chunks): (&[u8], &[StoredBatch]) = match self {
            Self::Slice(bytes) => (bytes, &[]),
            Self::Chunks(chunks) => (&[], chunks),
        };
        let chunked = chunks.iter().flat_map(|chunk| match chunk {
            StoredBatch::Cached(batch) => [&batch.head()[..], &batch.body()[..]],
            StoredBatch::Read(bytes) => [&bytes[..], &[]],
        });
        core::iter::once(whole).chain(chunked)
    }
}

impl Default for Records {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self::Slice(bytes)
    }
}

impl From<Vec<StoredBatch>> for Records {
    fn from(chunks: Vec<StoredBatch>) -> Self {
        Self::Chunks(chunks)
    }
}

impl PartialEq for Records {
    /// By content, however it is cut into pieces.
    fn eq(&self, other: &Self) -> bool {
        self.size_bytes() == other.size_bytes()
            && self.pieces().flatten().eq(other.pieces().flatten())
    }
}

impl Eq for Records {}

impl Wire for Option<Records> {
    fn min_bytes(form: Form) -> usize {
        <Option<Bytes> as Wire>::min_bytes(form)
    }

    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        Ok(<Option<Bytes> as Wire>::read(reader, form)?.map(Records::Slice))
    }

    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
        let Some(records) = self else {
            return None::<Bytes>.write(writer, form);
        };
        let size = records.size_bytes();
        if i32::try_from(size).is_err() {
            return Err(EncodeFault::TooLong { size }.into());
        }
        writer.put_length(size, form.flexible)?;
        match records {
            Records::Slice(bytes) => writer.splice(bytes.clone()),
            Records::Chunks(chunks) => {
                for chunk in chunks {
                    match chunk {
                        StoredBatch::Cached(batch) => {
                            writer.put_slice(batch.head());
                            writer.splice(batch.body().clone());
                        }
                        StoredBatch::Read(bytes) => writer.splice(bytes.clone()),
                    }
                }
            }
        }
        Ok(())
    }
}
