//! The limits of the codec, each with its unit in its name.
//!
//! Limits that other crates must agree on live in `weir_types::limits`.

/// Spliced bytes up to this many are copied into the writer's own buffer: a segment of its own
/// costs more than copying so little.
pub const SPLICE_COPIED_BYTES_MAX: usize = 256;

/// The longest string the protocol can carry, in bytes (its length is an `i16` in old versions,
/// and Kafka keeps that bound in the flexible ones).
pub const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// The capacity a writer starts with, in bytes: enough for most answers without records.
pub const WRITER_BYTES_START: usize = 512;

/// The longest unsigned varint, in bytes: 32 bits in groups of seven.
pub const VARINT_BYTES_MAX: usize = 5;
