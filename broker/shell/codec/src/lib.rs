//! Compression of record batches (KIP-57, KIP-110): gzip, snappy, lz4 and zstd behind one pair of
//! functions, in the framings that Kafka's clients write.
//!
//! Everything that comes in is taken for hostile: output never passes the caller's limit, memory
//! grows with the bytes that were really produced and not with what a header claims, and data that
//! is cut short, damaged or followed by anything else is an error. Nothing here looks inside the
//! records, does IO or keeps state between two batches but scratch memory.
#![forbid(unsafe_code)]

mod decompressor;
mod error;
mod gzip;
pub mod limits;
mod lz4;
mod output;
mod snappy;
mod zstandard;

pub use decompressor::Decompressor;
pub use error::{CodecError, CompressError};
pub use weir_types::batch::Compression;

/// Compresses `input` as Kafka's Java client would: snappy in xerial framing, lz4 as a frame of
/// independent 64 KB blocks, zstd with the content size in the frame's header.
///
/// `level` counts for gzip (0 to 9, 6 where nothing is given) and zstd (3 where nothing is given)
/// and means nothing to the others.
///
/// # Errors
/// [`CompressError`] where a level is out of range or the codec itself fails.
pub fn compress(
    codec: Compression,
    input: &[u8],
    level: Option<i32>,
) -> Result<Vec<u8>, CompressError> {
    let mut out = Vec::new();
    compress_into(codec, input, level, &mut out)?;
    Ok(out)
}

/// As [`compress`], appending to `out`, which may already hold a batch's header.
///
/// # Errors
/// As [`compress`]; `out` is then as it was before.
pub fn compress_into(
    codec: Compression,
    input: &[u8],
    level: Option<i32>,
    out: &mut Vec<u8>,
) -> Result<(), CompressError> {
    let before = out.len();
    let result = match codec {
        Compression::None => {
            out.extend_from_slice(input);
            Ok(())
        }
        Compression::Gzip => gzip::compress(input, level, out),
        Compression::Snappy => snappy::compress(input, out),
        Compression::Lz4 => lz4::compress(input, out),
        Compression::Zstd => zstandard::compress(input, level, out),
    };
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Decompresses the whole of `input`, appending to `out` no more than `limit_bytes`.
///
/// Whoever decompresses often keeps a [`Decompressor`] instead.
///
/// # Errors
/// [`CodecError`]; `out` is then as it was before.
pub fn decompress(
    codec: Compression,
    input: &[u8],
    limit_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    Decompressor::new().decompress_into(codec, input, limit_bytes, out)
}
