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

/// The largest request without records, in bytes, head not counted. A value in memory can take up
/// to [`DECODED_GROWTH_MAX`] times its bytes, so only requests whose bytes are records or a
/// component may be as large as a frame.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most bytes of memory one byte of a request can ask for while it is decoded: an array of
/// empty strings, one byte each on the wire. A test holds every request against it.
pub const DECODED_GROWTH_MAX: usize = 32;

/// The same for a response, which only a client decodes, from a broker that it chose: a group
/// without names in version 3 of ListGroups. A test holds every response against it.
pub const DECODED_RESPONSE_GROWTH_MAX: usize = 43;

const _: () = assert!(REQUEST_BYTES_MAX < weir_types::limits::FRAME_BYTES_MAX);
