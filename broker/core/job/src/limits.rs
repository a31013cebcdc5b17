//! How much a router may hold, and how long it waits. Every number has its unit in its name.

/// Bytes of the source that one round reads; one batch is read, however large it is.
pub const ROUND_BYTES_MAX: usize = 1 << 20;
/// Bytes of rows in one batch of an output: well below `max.message.bytes` of a topic that keeps
/// the default.
pub const PART_BYTES_MAX: usize = 512 << 10;
/// Topics that a job writes to, the one for dead letters among them.
pub const OUTPUTS_MAX: usize = 16;
/// Bytes of the text that is kept with the progress; brokers take no more by default
/// (`offset.metadata.max.bytes`).
pub const PINS_BYTES_MAX: usize = 4096;
/// The first pause after something failed, in milliseconds; each further one is twice as long.
pub const PAUSE_MS_FIRST: u64 = 100;
/// The longest pause, in milliseconds.
pub const PAUSE_MS_MAX: u64 = 30_000;
/// How often in a row an output may disagree about sequences before the job stops.
pub const DISORDERS_MAX: u32 = 5;
/// A new producer is taken once a sequence is so large, long before the largest there is.
pub const SEQUENCES_PER_PRODUCER: i64 = 1 << 30;
