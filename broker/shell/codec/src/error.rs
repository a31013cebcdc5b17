//! What can go wrong with compressed bytes. Only values; nothing here decides what follows.

use thiserror::Error;
use weir_types::batch::Compression;

/// Why bytes could not be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The output would pass the limit: a bomb, or a batch larger than is allowed.
    #[error("{codec:?} data decompresses to more than {limit_bytes} bytes")]
    TooLarge {
        /// The codec.
        codec: Compression,
        /// The caller's limit.
        limit_bytes: usize,
    },
    /// The data ends before it is complete.
    #[error("{codec:?} data is cut short")]
    Truncated {
        /// The codec.
        codec: Compression,
    },
    /// Bytes follow behind the end of the compressed data.
    #[error("{bytes} bytes follow behind the end of the {codec:?} data")]
    TrailingGarbage {
        /// The codec.
        codec: Compression,
        /// How many.
        bytes: usize,
    },
    /// The data is not what the codec writes.
    #[error("{codec:?} data is damaged: {reason}")]
    Malformed {
        /// The codec.
        codec: Compression,
        /// What was seen, in words.
        reason: String,
    },
}

impl CodecError {
    pub(crate) fn malformed(codec: Compression, reason: impl ToString) -> Self {
        Self::Malformed {
            codec,
            reason: reason.to_string(),
        }
    }
}

/// Why bytes could not be compressed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompressError {
    /// The codec has no such level.
    #[error("{codec:?} has levels from {min} to {max}, not {level}")]
    Level {
        /// The codec.
        codec: Compression,
        /// What was asked.
        level: i32,
        /// The lowest there is.
        min: i32,
        /// The highest there is.
        max: i32,
    },
    /// The codec itself failed.
    #[error("{codec:?} cannot compress: {reason}")]
    Codec {
        /// The codec.
        codec: Compression,
        /// Its words.
        reason: String,
    },
}
