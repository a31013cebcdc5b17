//! Every limit that more than one crate must agree on, with its unit in its name.
//!
//! Limits of a single crate live in that crate's own `limits.rs`.

/// Batches remembered for each idempotent producer: the most a client may have in flight (KIP-98).
pub const PRODUCER_BATCHES_KEPT: usize = 5;

/// The largest frame (request or response body) a connection accepts, in bytes.
/// Kafka's `socket.request.max.bytes`.
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Default of `max.message.bytes`: the largest record batch, in bytes, after compression.
pub const BATCH_BYTES_MAX_DEFAULT: usize = 1_048_588;

/// The most bytes a compressed batch may grow to when it is decompressed.
pub const BATCH_DECOMPRESSED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The most records in one batch.
pub const BATCH_RECORDS_MAX: usize = 4 * 1024 * 1024;

/// The longest topic name, in bytes (Kafka's rule).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// The most partitions of one topic: the broker refuses more, and its settings and tools say so.
pub const TOPIC_PARTITIONS_MAX: usize = 10_000;

/// The most memory that a regular expression over names of topics may take once it is compiled, in
/// bytes. Brokers and clients agree on it, or the same expression would mean different topics.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 256 * 1024;

/// The longest such expression, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// How deep the groups of such an expression may be nested.
pub const PATTERN_DEPTH_MAX: u32 = 64;

const _: () = assert!(BATCH_BYTES_MAX_DEFAULT < FRAME_BYTES_MAX);
