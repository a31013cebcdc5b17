//! A decompressor that keeps its scratch memory from batch to batch.
//!
//! It must never carry data of one batch into the next.

use crate::{
    CodecError, gzip, limits::SCRATCH_KEPT_BYTES_MAX, lz4, output::Output, snappy,
    zstandard::ZstdDecoder,
};
use weir_types::batch::Compression;

/// Decompresses batch after batch without allocating anew for each.
#[derive(Default)]
pub struct Decompressor {
    scratch: Vec<u8>,
    gzip: Option<gzip::Inflater>,
    zstd: Option<ZstdDecoder>,
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor")
            .field("scratch_bytes", &self.scratch.capacity())
            .finish_non_exhaustive()
    }
}

impl Decompressor {
    /// One that has allocated nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decompresses the whole of `input` to at most `limit_bytes`. Uncompressed input is given
    /// back as it is, without a copy.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decompress<'a>(
        &'a mut self,
        codec: Compression,
        input: &'a [u8],
        limit_bytes: usize,
    ) -> Result<&'a [u8], CodecError> {
        if codec == Compression::None {
            if input.len() > limit_bytes {
                return Err(CodecError::TooLarge { codec, limit_bytes });
            }
            return Ok(input);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        if scratch.capacity() > SCRATCH_KEPT_BYTES_MAX {
            scratch = Vec::new();
        }
        let result = self.decompress_into(codec, input, limit_bytes, &mut scratch);
        self.scratch = scratch;
        result.map(|()| self.scratch.as_slice())
    }

    /// Decompresses the whole of `input`, appending to `out` no more than `limit_bytes`.
    ///
    /// # Errors
    /// [`CodecError`]; `out` is then as it was before.
    pub fn decompress_into(
        &mut self,
        codec: Compression,
        input: &[u8],
        limit_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let before = out.len();
        let mut output = Output::new(out, limit_bytes, codec);
        let result = match codec {
            Compression::None => output.push(input),
            Compression::Gzip => self
                .gzip
                .get_or_insert_with(gzip::Inflater::new)
                .run(input, &mut output),
            Compression::Snappy => snappy::decompress(input, &mut output),
            Compression::Lz4 => lz4::decompress(input, &mut output),
            Compression::Zstd => ZstdDecoder::of(&mut self.zstd)
                .and_then(|decoder| decoder.run(input, limit_bytes, &mut output)),
        };
        output.finish();
        if result.is_err() {
            out.truncate(before);
        }
        result
    }
}
