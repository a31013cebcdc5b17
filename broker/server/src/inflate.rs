//! Lends the compression codecs to the pure validation of `weir-node`.

use weir_codec::Decompressor;
use weir_node::validate::Inflate;
use weir_types::batch::Compression;

/// Decompresses into a buffer that it keeps.
#[derive(Debug, Default)]
pub(crate) struct Inflater(Decompressor);

impl Inflate for Inflater {
    fn inflate<'a>(
        &'a mut self,
        compression: Compression,
        payload: &'a [u8],
        limit_bytes: usize,
    ) -> Result<&'a [u8], String> {
        self.0
            .decompress(compression, payload, limit_bytes)
            .map_err(|error| error.to_string())
    }
}
