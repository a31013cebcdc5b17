//! LZ4 frames (KIP-57) over lz4_flex's block codec: the frame is walked here, because a frame that
//! ends without its end mark must be an error and the output must be limited block by block.
//!
//! It must never take a frame for complete before its end mark was seen.

use crate::{
    CodecError, CompressError,
    limits::{LZ4_BLOCK_BYTES, LZ4_WINDOW_BYTES},
    output::Output,
};
use lz4_flex::block::{
    DecompressError, compress_into, decompress_into_with_dict, get_maximum_output_size,
};
use twox_hash::XxHash32;
use weir_types::batch::Compression;

const CODEC: Compression = Compression::Lz4;
const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Version 1, independent blocks, no checksums, no content size.
const WRITE_FLAGS: u8 = 0x60;
/// Blocks of 64 KB.
const WRITE_BLOCK: u8 = 0x40;
const STORED_BIT: u32 = 1 << 31;
/// The most output bytes that one byte of a block can stand for.
const EXPANSION_MAX: usize = 256;

/// Appends `input` as one frame.
pub(crate) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
    out.extend_from_slice(&MAGIC);
    let descriptor = [WRITE_FLAGS, WRITE_BLOCK];
    out.extend_from_slice(&descriptor);
    out.push(header_check(&descriptor));
    for block in input.chunks(LZ4_BLOCK_BYTES) {
        let at = out.len();
        out.resize(at + 4 + get_maximum_output_size(block.len()), 0);
        let written =
            compress_into(block, &mut out[at + 4..]).map_err(|error| CompressError::Codec {
                codec: CODEC,
                reason: error.to_string(),
            })?;
        // A block that does not shrink is stored as it is.
        let (length, mark) = if written < block.len() {
            (written, 0)
        } else {
            out[at + 4..at + 4 + block.len()].copy_from_slice(block);
            (block.len(), STORED_BIT)
        };
        let size = u32::try_from(length).unwrap_or(u32::MAX) | mark;
        out[at..at + 4].copy_from_slice(&size.to_le_bytes());
        out.truncate(at + 4 + length);
    }
    out.extend_from_slice(&[0; 4]);
    Ok(())
}

/// Decompresses every frame of `input`; there must be at least one and nothing else.
pub(crate) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<(), CodecError> {
    let mut reader = Reader { rest: input };
    frame(&mut reader, output)?;
    while !reader.rest.is_empty() {
        if !reader.rest.starts_with(&MAGIC) {
            return Err(CodecError::TrailingGarbage {
                codec: CODEC,
                bytes: reader.rest.len(),
            });
        }
        frame(&mut reader, output)?;
    }
    Ok(())
}

/// What a frame's header says.
struct Frame {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_bytes: Option<u64>,
    block_bytes_max: usize,
}

fn frame(reader: &mut Reader<'_>, output: &mut Output<'_>) -> Result<(), CodecError> {
    let frame = header(reader)?;
    let mark = output.len();
    loop {
        let size = u32::from_le_bytes(reader.chunk()?);
        if size == 0 {
            break;
        }
        let length = usize::try_from(size & !STORED_BIT).unwrap_or(usize::MAX);
        if length > frame.block_bytes_max {
            return Err(CodecError::malformed(
                CODEC,
                "a block is larger than its frame allows",
            ));
        }
        let data = reader.take(length)?;
        if frame.block_checksums {
            let expected = u32::from_le_bytes(reader.chunk()?);
            if XxHash32::oneshot(0, data) != expected {
                return Err(CodecError::malformed(CODEC, "a block's checksum is wrong"));
            }
        }
        if size & STORED_BIT != 0 {
            output.push(data)?;
        } else {
            block(data, &frame, mark, output)?;
        }
    }
    let made = output.since(mark);
    if frame.content_checksum {
        let expected = u32::from_le_bytes(reader.chunk()?);
        if XxHash32::oneshot(0, made) != expected {
            return Err(CodecError::malformed(CODEC, "its checksum is wrong"));
        }
    }
    if frame
        .content_bytes
        .is_some_and(|bytes| bytes != made.len() as u64)
    {
        return Err(CodecError::malformed(CODEC, "its content size is wrong"));
    }
    Ok(())
}

fn header(reader: &mut Reader<'_>) -> Result<Frame, CodecError> {
    let known = reader.rest.len().min(MAGIC.len());
    if reader.rest[..known] != MAGIC[..known] {
        return Err(CodecError::malformed(CODEC, "it does not begin as a frame"));
    }
    reader.take(MAGIC.len())?;
    let start = reader.rest;
    let [flags, block] = reader.chunk()?;
    if flags >> 6 != 1 || flags & 0x02 != 0 || block & 0x8f != 0 {
        return Err(CodecError::malformed(
            CODEC,
            "its version or a reserved bit is unknown",
        ));
    }
    if flags & 0x01 != 0 {
        return Err(CodecError::malformed(CODEC, "it asks for a dictionary"));
    }
    let block_bytes_max = match block >> 4 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return Err(CodecError::malformed(CODEC, "its block size is unknown")),
    };
    let content_bytes = if flags & 0x08 != 0 {
        Some(u64::from_le_bytes(reader.chunk()?))
    } else {
        None
    };
    let descriptor = &start[..start.len() - reader.rest.len()];
    let [check] = reader.chunk()?;
    if check != header_check(descriptor) {
        return Err(CodecError::malformed(CODEC, "its header checksum is wrong"));
    }
    Ok(Frame {
        linked: flags & 0x20 == 0,
        block_checksums: flags & 0x10 != 0,
        content_checksum: flags & 0x04 != 0,
        content_bytes,
        block_bytes_max,
    })
}

/// Decompresses one block; linked blocks reach back into what their frame has made so far.
fn block(
    data: &[u8],
    frame: &Frame,
    mark: usize,
    output: &mut Output<'_>,
) -> Result<(), CodecError> {
    let possible = data.len().saturating_mul(EXPANSION_MAX);
    let allowed = frame.block_bytes_max.min(possible).min(output.left());
    let (before, room) = output.room_behind(allowed)?;
    let window = if frame.linked {
        let from = before.len().saturating_sub(LZ4_WINDOW_BYTES).max(mark);
        &before[from..]
    } else {
        &[]
    };
    match decompress_into_with_dict(data, room, window) {
        Ok(made) => {
            output.advance(made);
            Ok(())
        }
        Err(DecompressError::OutputTooSmall { .. }) if allowed == output.left() => {
            Err(output.too_large())
        }
        Err(error) => Err(CodecError::malformed(CODEC, error)),
    }
}

/// The second byte of the descriptor's hash.
fn header_check(descriptor: &[u8]) -> u8 {
    XxHash32::oneshot(0, descriptor).to_le_bytes()[1]
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], CodecError> {
        if bytes > self.rest.len() {
            return Err(CodecError::Truncated { codec: CODEC });
        }
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(CodecError::Truncated { codec: CODEC });
        };
        self.rest = rest;
        Ok(*taken)
    }
}
