//! Snappy: the Java library's framing (`xerial`: a magic, two versions, then blocks with their
//! lengths) on write; that framing and a single raw block on read, as Kafka's clients send both.
//!
//! It must never reserve what a block's length claims before the block has bytes enough for it.

use crate::{
    CodecError, CompressError,
    limits::{SNAPPY_BLOCK_BYTES, SNAPPY_EXPANSION_MAX},
    output::Output,
};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};
use weir_types::batch::Compression;

const CODEC: Compression = Compression::Snappy;
const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic, version and lowest compatible version.
const HEADER_BYTES: usize = 16;
const VERSION: i32 = 1;

/// Appends `input` in xerial framing.
pub(crate) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = Encoder::new();
    for block in input.chunks(SNAPPY_BLOCK_BYTES) {
        let at = out.len();
        out.resize(at + 4 + max_compress_len(block.len()), 0);
        let written = encoder
            .compress(block, &mut out[at + 4..])
            .map_err(|error| CompressError::Codec {
                codec: CODEC,
                reason: error.to_string(),
            })?;
        let length = u32::try_from(written).unwrap_or(u32::MAX);
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        out.truncate(at + 4 + written);
    }
    Ok(())
}

/// Decompresses either framing. The magic cannot begin a raw block: it would start with a copy.
pub(crate) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<(), CodecError> {
    let cut = CodecError::Truncated { codec: CODEC };
    if input.is_empty()
        || (input.len() < MAGIC.len() && input.len() > 1 && MAGIC.starts_with(input))
    {
        return Err(cut);
    }
    if !input.starts_with(&MAGIC) {
        return block(input, output);
    }
    let Some(mut rest) = input.get(HEADER_BYTES..) else {
        return Err(cut);
    };
    while !rest.is_empty() {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else {
            return Err(cut);
        };
        let length = usize::try_from(i32::from_be_bytes(*length))
            .map_err(|_| CodecError::malformed(CODEC, "a block's length is negative"))?;
        if length > behind.len() {
            return Err(cut);
        }
        let (compressed, next) = behind.split_at(length);
        block(compressed, output)?;
        rest = next;
    }
    Ok(())
}

fn block(compressed: &[u8], output: &mut Output<'_>) -> Result<(), CodecError> {
    let malformed = |error: snap::Error| match error {
        snap::Error::Literal { .. }
        | snap::Error::CopyRead { .. }
        | snap::Error::HeaderMismatch { .. }
        | snap::Error::Empty => CodecError::Truncated { codec: CODEC },
        other => CodecError::malformed(CODEC, other),
    };
    let claimed = decompress_len(compressed).map_err(malformed)?;
    if claimed > output.left() {
        return Err(output.too_large());
    }
    if claimed > compressed.len().saturating_mul(SNAPPY_EXPANSION_MAX) {
        return Err(CodecError::malformed(
            CODEC,
            "a block claims more than its bytes can hold",
        ));
    }
    let room = output.room_of(claimed)?;
    let made = Decoder::new()
        .decompress(compressed, room)
        .map_err(malformed)?;
    output.advance(made);
    Ok(())
}
