//! gzip (RFC 1952) over flate2's inflater: the member's header and trailer are read here so that
//! every way in which the data can be wrong has its own error and no buffer is hidden.
//!
//! It must never skip bytes that it does not understand.

use crate::{CodecError, CompressError, output::Output};
use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};
use weir_types::batch::Compression;

const CODEC: Compression = Compression::Gzip;
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
const LEVEL_DEFAULT: i32 = 6;
const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;
const FLAGS_RESERVED: u8 = 0xe0;

/// Appends `input` as one gzip member without a name and a time.
pub(crate) fn compress(
    input: &[u8],
    level: Option<i32>,
    out: &mut Vec<u8>,
) -> Result<(), CompressError> {
    let level = level.unwrap_or(LEVEL_DEFAULT);
    let Some(checked) = u32::try_from(level).ok().filter(|level| *level <= 9) else {
        return Err(CompressError::Level {
            codec: CODEC,
            level,
            min: 0,
            max: 9,
        });
    };
    let fail = |reason: String| CompressError::Codec {
        codec: CODEC,
        reason,
    };
    out.extend_from_slice(&[MAGIC[0], MAGIC[1], MAGIC[2], 0, 0, 0, 0, 0, 0, 255]);
    let mut deflate = Compress::new(flate2::Compression::new(checked), false);
    loop {
        out.reserve((input.len() / 4).max(1024));
        let done = usize::try_from(deflate.total_in()).unwrap_or(input.len());
        let status = deflate
            .compress_vec(&input[done..], out, FlushCompress::Finish)
            .map_err(|error| fail(error.to_string()))?;
        if status == Status::StreamEnd {
            break;
        }
    }
    let mut crc = Crc::new();
    crc.update(input);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    Ok(())
}

/// An inflater whose window is used again for each batch.
pub(crate) struct Inflater {
    inflate: Decompress,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self {
            inflate: Decompress::new(false),
        }
    }

    /// Inflates every member of `input`; there must be at least one and nothing else.
    pub(crate) fn run(&mut self, input: &[u8], output: &mut Output<'_>) -> Result<(), CodecError> {
        let mut rest = self.member(input, output)?;
        while !rest.is_empty() {
            if !rest.starts_with(&MAGIC) {
                return Err(CodecError::TrailingGarbage {
                    codec: CODEC,
                    bytes: rest.len(),
                });
            }
            rest = self.member(rest, output)?;
        }
        Ok(())
    }

    /// Inflates one member and gives back what follows it.
    fn member<'i>(
        &mut self,
        input: &'i [u8],
        output: &mut Output<'_>,
    ) -> Result<&'i [u8], CodecError> {
        let body = header(input)?;
        let mark = output.len();
        let used = self.body(body, output)?;
        let (Some(trailer), Some(rest)) = (
            body.get(used..used + TRAILER_BYTES),
            body.get(used + TRAILER_BYTES..),
        ) else {
            return Err(CodecError::Truncated { codec: CODEC });
        };
        let mut crc = Crc::new();
        crc.update(output.since(mark));
        if trailer[..4] != crc.sum().to_le_bytes() {
            return Err(CodecError::malformed(CODEC, "its checksum does not match"));
        }
        if trailer[4..] != crc.amount().to_le_bytes() {
            return Err(CodecError::malformed(CODEC, "its length does not match"));
        }
        Ok(rest)
    }

    /// Inflates the deflate stream at the start of `body`; returns how many bytes it took.
    fn body(&mut self, body: &[u8], output: &mut Output<'_>) -> Result<usize, CodecError> {
        self.inflate.reset(false);
        let mut used = 0;
        let mut spare = [0u8; 1];
        loop {
            let at_limit = output.left() == 0;
            let room = if at_limit {
                &mut spare[..]
            } else {
                output.room()
            };
            let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(&body[used..], room, FlushDecompress::None)
                .map_err(|error| CodecError::malformed(CODEC, error))?;
            let taken = count(self.inflate.total_in() - in_before);
            let made = count(self.inflate.total_out() - out_before);
            used += taken;
            if at_limit && made > 0 {
                return Err(output.too_large());
            }
            output.advance(made);
            match status {
                Status::StreamEnd => return Ok(used),
                _ if taken == 0 && made == 0 => return Err(CodecError::Truncated { codec: CODEC }),
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

/// Checks a member's header and gives back what follows it.
fn header(input: &[u8]) -> Result<&[u8], CodecError> {
    let cut = || CodecError::Truncated { codec: CODEC };
    let known = input.len().min(MAGIC.len());
    if input[..known] != MAGIC[..known] {
        return Err(CodecError::malformed(CODEC, "it does not begin as gzip"));
    }
    let flags = *input.get(3).ok_or_else(cut)?;
    if flags & FLAGS_RESERVED != 0 {
        return Err(CodecError::malformed(CODEC, "a reserved flag is set"));
    }
    let mut rest = input.get(HEADER_BYTES..).ok_or_else(cut)?;
    if flags & FLAG_EXTRA != 0 {
        let length = rest.first_chunk::<2>().ok_or_else(cut)?;
        let length = usize::from(u16::from_le_bytes(*length));
        rest = rest.get(2 + length..).ok_or_else(cut)?;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or_else(cut)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or_else(cut)?;
    }
    Ok(rest)
}

fn count(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
