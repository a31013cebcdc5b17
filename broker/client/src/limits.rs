//! Every limit and default of the client, with its unit in its name.
//!
//! Only numbers: what happens at a limit is written where it is enforced.

/// How long one attempt to reach a broker may take, in milliseconds.
pub const CONNECT_TIMEOUT_MS: u64 = 10_000;

/// How long a broker may take to answer a request, in milliseconds. Kafka's `request.timeout.ms`.
pub const REQUEST_TIMEOUT_MS: u64 = 30_000;

/// How long an operation may go on trying, in milliseconds. Kafka's `default.api.timeout.ms`.
pub const OPERATION_TIMEOUT_MS: u64 = 60_000;

/// The first pause before a retry, in milliseconds; it doubles. Kafka's `retry.backoff.ms`.
pub const RETRY_BACKOFF_MS: u64 = 50;

/// The longest pause before a retry, in milliseconds. Kafka's `retry.backoff.max.ms`.
pub const RETRY_BACKOFF_MAX_MS: u64 = 1_000;

/// After how long metadata is asked for again without a cause, in milliseconds.
/// Kafka's `metadata.max.age.ms`.
pub const METADATA_MAX_AGE_MS: u64 = 300_000;

/// The shortest time between two metadata requests, in milliseconds.
pub const METADATA_PAUSE_MS: u64 = 50;

/// How long a topic that no broker knows is asked for before that is believed, in milliseconds: it
/// may have been made a moment ago.
pub const TOPIC_WAIT_MS: u64 = 2_000;

/// Requests that may wait for their turn on one channel.
pub const CHANNEL_QUEUE_MAX: usize = 64;

/// Produce channels to each broker; a partition always takes the same one.
pub const PRODUCE_LANES: u16 = 2;

/// The most produce channels to each broker that can be set.
pub const PRODUCE_LANES_MAX: u16 = 64;

/// The most produce requests of one lane, and batches of one partition, that may be under way: what
/// a broker remembers of an idempotent producer (KIP-98).
pub const IN_FLIGHT_MAX: usize = weir_types::limits::PRODUCER_BATCHES_KEPT;

/// Default size of a record batch before compression, in bytes. Kafka's `batch.size`.
pub const BATCH_BYTES: usize = 256 * 1024;

/// The most a batch can be set to, in bytes.
pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Default size of the batches in one produce request, in bytes. Kafka's `max.request.size`.
pub const PRODUCE_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// How long a batch waits for more records, in milliseconds. Kafka's `linger.ms`.
pub const LINGER_MS: u64 = 5;

/// How long a record may take from `send` to its answer, in milliseconds.
/// Kafka's `delivery.timeout.ms`.
pub const DELIVERY_TIMEOUT_MS: u64 = 120_000;

/// What a producer holds in memory before `send` waits, in bytes. Kafka's `buffer.memory`.
pub const BUFFER_BYTES: usize = 64 * 1024 * 1024;

/// How often batches are looked through for expired ones, in milliseconds.
pub const EXPIRY_CHECK_MS: u64 = 500;

/// What a consumer fetches ahead of its reader, in bytes.
pub const PREFETCH_BYTES: usize = 64 * 1024 * 1024;

/// The most bytes of one fetch answer, apart from a first batch that is larger.
/// Kafka's `fetch.max.bytes`.
pub const FETCH_BYTES: usize = 16 * 1024 * 1024;

/// The most bytes of one partition in a fetch answer. Kafka's `max.partition.fetch.bytes`.
pub const PARTITION_FETCH_BYTES: usize = 4 * 1024 * 1024;

/// How long a broker holds a fetch back until there is something to answer, in milliseconds.
/// Kafka's `fetch.max.wait.ms`.
pub const FETCH_WAIT_MS: u64 = 500;

/// How many fetches in a row may find that a partition does not exist before that is believed.
pub const FETCH_PATIENCE: u32 = 8;

/// The most bytes a fetched batch may grow to when it is decompressed.
pub const DECOMPRESSED_BYTES_MAX: usize = weir_types::limits::BATCH_DECOMPRESSED_BYTES_MAX;

/// How often the leader of a classic group that subscribes by a pattern looks for new topics, in
/// milliseconds. The others look as often as metadata is refreshed and whenever they join, as
/// Kafka's clients do: the list of all topics then goes out for each group, not for each member.
pub const PATTERN_REFRESH_MS: u64 = 30_000;

/// How long a classic member waits before it asks again for a topic that is not there, in
/// milliseconds; it doubles.
pub const MISSING_PAUSE_MS: u64 = 1_000;

/// The longest pause between two questions for a topic that is not there, in milliseconds.
pub const MISSING_PAUSE_MAX_MS: u64 = 10_000;

/// The shortest time between two looks for topics that match a pattern, in milliseconds.
pub const PATTERN_PAUSE_MS: u64 = 1_000;

/// How long a member of the classic protocol may be silent, in milliseconds.
/// Kafka's `session.timeout.ms`.
pub const SESSION_TIMEOUT_MS: u64 = 45_000;

/// How often a member of the classic protocol says that it lives, in milliseconds.
/// Kafka's `heartbeat.interval.ms`.
pub const HEARTBEAT_INTERVAL_MS: u64 = 3_000;

/// How long the program may take between two polls before its partitions go to others, in
/// milliseconds; also how long a rebalance waits for it. Kafka's `max.poll.interval.ms`.
pub const MAX_POLL_INTERVAL_MS: u64 = 300_000;

/// How often offsets are committed by themselves, in milliseconds.
/// Kafka's `auto.commit.interval.ms`.
pub const AUTO_COMMIT_INTERVAL_MS: u64 = 5_000;

/// Commits of one group consumer that may wait for an answer.
pub const COMMITS_MAX: usize = 1_024;

/// Messages that may wait for a group member's task: its commits, and what few else there is.
pub const MEMBER_EVENTS_MAX: usize = 4 * COMMITS_MAX;

/// How much longer than the rebalance timeout a JoinGroup may take to be answered, in milliseconds.
pub const JOIN_SLACK_MS: u64 = 5_000;

/// How long a group consumer tries to leave, in milliseconds; its session times out where the
/// coordinator has not heard.
pub const FAREWELL_MS: u64 = 5_000;

/// How long the broker may wait for something to tell before an answer of a followed request comes
/// without any, in milliseconds.
pub const FOLLOW_WAIT_MS: i32 = 10_000;

const _: () = assert!(BATCH_BYTES <= PRODUCE_REQUEST_BYTES);
const _: () = assert!(PARTITION_FETCH_BYTES <= FETCH_BYTES);

/// How long a producer takes a topic's partitioner for the same, in milliseconds.
pub const PARTITIONER_ASKED_MS: u64 = 10_000;
