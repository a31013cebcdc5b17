//! Limits of the server that no setting changes, each with its unit in its name. Those of the
//! cores, of the store and of the transport stand with them.

/// Requests that were accepted get so long to finish when the broker stops, in milliseconds.
pub(crate) const SHUTDOWN_GRACE_MS: u64 = weir_net::limits::SHUTDOWN_GRACE_MS;

/// The shards, the metadata and the log get so long to end after that, in milliseconds. What is
/// still busy then is left behind: a service manager that waited in vain would kill the broker
/// without a word.
pub(crate) const SHUTDOWN_REST_MS: u64 = 5_000;

/// Numbers tried until one is free for UDP and TCP.
pub(crate) const PORT_ATTEMPTS: usize = 64;

/// Proposals that may wait for the quorum; each shard has at most one under way.
pub(crate) const PROPOSALS_MAX: usize = 4_096;

/// Messages that may wait for a shard.
pub(crate) const SHARD_QUEUE_MAX: usize = 65_536;

/// Messages a shard takes before it looks at its timers again.
pub(crate) const SHARD_TURN_MAX: usize = 256;

/// Fetches of one session that may hold bytes at a time; further ones wait for their turn, so that
/// a client that asks and does not read cannot pile up answers.
pub(crate) const FETCHES_AT_ONCE: usize = 2;

/// Requests whose answers keep coming, on all connections together. A stream carries one at a
/// time, and the transport limits the streams of a connection.
pub(crate) const FOLLOWED_MAX: usize = 4_096;

/// While the log is full, the first request in the line looks so often whether it still is, in
/// milliseconds; the others wait behind it.
pub(crate) const LOG_FULL_LOOK_MS: u64 = 5;

/// Connections to the metrics port served at a time.
pub(crate) const METRICS_CONNECTIONS_MAX: usize = 64;

/// The head of a request for metrics must be there after this time, in milliseconds.
pub(crate) const METRICS_HEADER_MS: u64 = 5_000;
/// How long to wait before the progress of deleted jobs is tried to be deleted again, in
/// milliseconds.
pub(crate) const JOB_OFFSETS_RETRY_MS: u64 = 1_000;

/// Lines of plugins that are kept in memory, and the bytes of them.
pub(crate) const PLUGIN_LOG_LINES_MAX: usize = 10_000;

/// Bytes of the lines of plugins that are kept in memory.
pub(crate) const PLUGIN_LOG_BYTES_MAX: usize = 4 << 20;

/// How long a question for lines of plugins may wait for one, in milliseconds.
pub(crate) const PLUGIN_LOG_WAIT_MS_MAX: u64 = 30_000;

/// Failures of plugins that are kept in memory, with the batches they failed on.
pub(crate) const PLUGIN_FAILURES_MAX: usize = 1_000;

/// Bytes of those batches.
pub(crate) const PLUGIN_FAILURE_BYTES_MAX: usize = 32 << 20;

/// Instances of a plugin at one place that are kept for its next batches.
pub(crate) const IDLE_RUNNERS_MAX: usize = 4;

/// Bytes of what views made of recent batches that are kept in memory.
pub(crate) const VIEW_CACHE_BYTES: usize = 64 << 20;

/// Bytes of keys and values of one batch of dead letters, far below what a topic takes by default.
pub(crate) const DEAD_LETTER_BATCH_BYTES: usize = 256 << 10;

/// Chains that are ready at one place: what is active, what was before, and what jobs and placed
/// batches have pinned meanwhile.
pub(crate) const PREPARED_AT_SPOT_MAX: usize = 4;
