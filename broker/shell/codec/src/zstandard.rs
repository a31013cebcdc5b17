//! Zstandard (RFC 8878, KIP-110) over libzstd.
//!
//! It must never let a frame's header decide how much memory is taken: windows are limited, and
//! a content size is believed only where the input is large enough for it.

use crate::{
    CodecError, CompressError,
    limits::{
        ZSTD_TRUSTED_BYTES, ZSTD_TRUSTED_EXPANSION, ZSTD_WINDOW_LOG_MAX, ZSTD_WINDOW_LOG_MIN,
    },
    output::Output,
};
use weir_types::batch::Compression;
use zstd::zstd_safe::{
    self, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name,
    get_frame_content_size, max_c_level, min_c_level,
};

const CODEC: Compression = Compression::Zstd;

/// Appends `input` as one frame that names its content size.
pub(crate) fn compress(
    input: &[u8],
    level: Option<i32>,
    out: &mut Vec<u8>,
) -> Result<(), CompressError> {
    let level = level.unwrap_or(zstd_safe::CLEVEL_DEFAULT);
    if level < min_c_level() || level > max_c_level() {
        return Err(CompressError::Level {
            codec: CODEC,
            level,
            min: min_c_level(),
            max: max_c_level(),
        });
    }
    let at = out.len();
    out.resize(at + zstd_safe::compress_bound(input.len()), 0);
    let written =
        zstd_safe::compress(&mut out[at..], input, level).map_err(|code| CompressError::Codec {
            codec: CODEC,
            reason: get_error_name(code).to_owned(),
        })?;
    out.truncate(at + written);
    Ok(())
}

/// A decoder whose context is used again for each batch.
pub(crate) struct ZstdDecoder {
    context: DCtx<'static>,
}

impl ZstdDecoder {
    /// The decoder in `slot`, made now if there is none.
    pub(crate) fn of(slot: &mut Option<Self>) -> Result<&mut Self, CodecError> {
        match slot {
            Some(decoder) => Ok(decoder),
            empty => {
                let context = DCtx::try_create()
                    .ok_or_else(|| CodecError::malformed(CODEC, "no memory for a decoder"))?;
                Ok(empty.insert(Self { context }))
            }
        }
    }

    /// Decompresses every frame of `input`; there must be at least one and nothing else.
    pub(crate) fn run(
        &mut self,
        input: &[u8],
        limit_bytes: usize,
        output: &mut Output<'_>,
    ) -> Result<(), CodecError> {
        if input.is_empty() {
            return Err(CodecError::Truncated { codec: CODEC });
        }
        let trusted = input
            .len()
            .saturating_mul(ZSTD_TRUSTED_EXPANSION)
            .max(ZSTD_TRUSTED_BYTES)
            .min(limit_bytes);
        if let Ok(Some(size)) = get_frame_content_size(input)
            && let Ok(size) = usize::try_from(size)
            && size <= trusted
            && zstd_safe::find_frame_compressed_size(input) == Ok(input.len())
        {
            return self.whole(input, size, output);
        }
        self.streamed(input, limit_bytes, output)
    }

    /// One frame, whose size is known, in one go and without a window.
    fn whole(
        &mut self,
        input: &[u8],
        size: usize,
        output: &mut Output<'_>,
    ) -> Result<(), CodecError> {
        let room = output.room_of(size)?;
        let made = self.context.decompress(room, input).map_err(error)?;
        output.advance(made);
        Ok(())
    }

    fn streamed(
        &mut self,
        input: &[u8],
        limit_bytes: usize,
        output: &mut Output<'_>,
    ) -> Result<(), CodecError> {
        let window = usize::BITS - limit_bytes.leading_zeros();
        let window = window.clamp(ZSTD_WINDOW_LOG_MIN, ZSTD_WINDOW_LOG_MAX);
        self.context
            .reset(ResetDirective::SessionAndParameters)
            .map_err(error)?;
        self.context
            .set_parameter(DParameter::WindowLogMax(window))
            .map_err(error)?;
        let mut source = InBuffer::around(input);
        let mut spare = [0u8; 1];
        loop {
            let at_limit = output.left() == 0;
            let room = if at_limit {
                &mut spare[..]
            } else {
                output.room()
            };
            let room_bytes = room.len();
            let taken_before = source.pos();
            let mut target = OutBuffer::around(room);
            let hint = self
                .context
                .decompress_stream(&mut target, &mut source)
                .map_err(|code| frame_error(code, input.len() - taken_before, taken_before))?;
            let made = target.pos();
            if at_limit && made > 0 {
                return Err(output.too_large());
            }
            output.advance(made);
            if source.pos() < input.len() {
                continue;
            }
            if hint == 0 {
                return Ok(());
            }
            // With room left and no input, nothing more can come.
            if made < room_bytes {
                return Err(CodecError::Truncated { codec: CODEC });
            }
        }
    }
}

fn error(code: usize) -> CodecError {
    CodecError::malformed(CODEC, get_error_name(code))
}

/// An error behind a complete frame whose magic is unknown is trailing garbage.
fn frame_error(code: usize, bytes: usize, taken: usize) -> CodecError {
    let name = get_error_name(code);
    if taken > 0 && name == "Unknown frame descriptor" {
        CodecError::TrailingGarbage {
            codec: CODEC,
            bytes,
        }
    } else {
        CodecError::malformed(CODEC, name)
    }
}
