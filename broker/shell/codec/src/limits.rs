//! The limits of this crate, each with its unit in its name.

/// Output grows by at least this much at a time, in bytes, while it is small.
pub const OUTPUT_STEP_BYTES: usize = 16 * 1024;

/// Scratch memory above this many bytes is given back after each batch, so that one large batch
/// does not weigh on a connection for ever.
pub const SCRATCH_KEPT_BYTES_MAX: usize = 1024 * 1024;

/// The most output bytes that one byte of snappy can stand for: a copy of 64 bytes takes three.
pub const SNAPPY_EXPANSION_MAX: usize = 22;

/// Input bytes of one xerial block on write; what the Java library uses.
pub const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;

/// Input bytes of one lz4 block on write; what Kafka's Java client uses (KIP-57).
pub const LZ4_BLOCK_BYTES: usize = 64 * 1024;

/// How far back an lz4 match can reach, in bytes.
pub const LZ4_WINDOW_BYTES: usize = 64 * 1024;

/// The largest zstd window, as a power of two in bytes (RFC 8878 asks for 8 MB; zstd's own
/// default and level 22 need 128 MB). A smaller output limit lowers it.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// The zstd window that is always allowed, as a power of two in bytes: what RFC 8878 recommends
/// every decoder to support.
pub const ZSTD_WINDOW_LOG_MIN: u32 = 23;

/// A zstd frame that names its content size is decoded in one go if the size is at most this many
/// bytes or [`ZSTD_TRUSTED_EXPANSION`] times the input.
pub const ZSTD_TRUSTED_BYTES: usize = 64 * 1024;

/// See [`ZSTD_TRUSTED_BYTES`].
pub const ZSTD_TRUSTED_EXPANSION: usize = 32;
