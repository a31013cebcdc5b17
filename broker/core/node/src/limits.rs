//! Limits of one shard and of one session, each with its unit in its name.

/// The most questions that wait on one shard at a time, long polls included.
pub const REQUESTS_WAITING_MAX: usize = 100_000;

/// The most questions held back until their partitions are open.
pub const REQUESTS_HELD_MAX: usize = 10_000;

/// How long a question is held back at most, in milliseconds.
pub const HELD_MS_MAX: u64 = 30_000;

/// The most metadata commands that wait for their turn.
pub const COMMANDS_WAITING_MAX: usize = 1_000;

/// The most producer ids that are waited for.
pub const PRODUCER_IDS_WAITING_MAX: usize = 10_000;

/// How long a producer id is waited for, in milliseconds.
pub const PRODUCER_ID_MS_MAX: u64 = 30_000;

/// The longest time-out a request may ask for, in milliseconds.
pub const TIMEOUT_MS_MAX: u64 = 10 * 60 * 1000;

/// The longest a fetch may wait for bytes, in milliseconds.
pub const FETCH_WAIT_MS_MAX: u64 = 5 * 60 * 1000;

/// The most bytes of records in one answer; Kafka's `fetch.max.bytes` of a broker.
pub const FETCH_BYTES_MAX: usize = 55 * 1024 * 1024;

/// The most partitions one fetch session remembers.
pub const FETCH_SESSION_PARTITIONS_MAX: usize = 100_000;

/// The most partitions all fetch sessions of a broker remember together. Beyond it fetches go on
/// without a session, as with Kafka's `max.incremental.fetch.session.cache.slots`.
pub const FETCH_SESSIONS_PARTITIONS_MAX: usize = 1_000_000;

/// The most partitions DescribeTopicPartitions answers at once (KIP-966).
pub const DESCRIBE_PARTITIONS_MAX: usize = 2_000;

/// The most topics a Metadata request may make by naming them.
pub const AUTO_CREATE_TOPICS_MAX: usize = 1_000;

/// How long an answer about a group waits for the disk, in milliseconds; Kafka's
/// `offsets.commit.timeout.ms`.
pub const GROUP_WRITE_MS_MAX: u64 = 5_000;

/// The most bytes of `__consumer_offsets` that are read at once when groups are loaded.
pub const GROUP_LOAD_READ_BYTES_MAX: usize = 1024 * 1024;

/// About how many bytes of what the broker keeps in its own topics go into one batch; a record is
/// never cut.
pub const OWN_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// The `max.message.bytes` of `__consumer_offsets`: the largest record of a group, and its batch.
pub const GROUP_BATCH_BYTES_MAX: usize = weir_group::limits::RECORD_BYTES_MAX + OWN_BATCH_BYTES;

/// How long a coordinator whose write failed stands back before it reads its groups again, in
/// milliseconds.
pub const GROUP_RETRY_MS: u64 = 1_000;

/// How long a coordinator whose groups could not be read waits at most before it tries again, in
/// milliseconds; it begins with [`GROUP_RETRY_MS`] and doubles.
pub const GROUP_RETRY_MS_MAX: u64 = 60_000;

/// The longest a watch of a group may wait, in milliseconds.
pub const WATCH_WAIT_MS_MAX: u64 = 5 * 60 * 1000;

/// The most watches of groups on one shard.
pub const WATCHES_MAX: usize = 10_000;

/// The most groups, or coordinators as a whole, that the watches on one shard look at, in all.
pub const WATCHED_GROUPS_MAX: usize = 500_000;

/// How long each answer of a request that is followed waits at least for something to tell, in
/// milliseconds, so that empty answers do not chase one another.
pub const FOLLOW_WAIT_MS_MIN: i32 = 1_000;

/// The most events that one answer about the history of groups tells.
pub const HISTORY_EVENTS_MAX: usize = 1_000;

/// The most bytes of causes, moves and members which one answer about the history of groups tells,
/// about; one event is told however large it is.
pub const HISTORY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most groups that a request about the history of groups may name.
pub const HISTORY_GROUPS_MAX: usize = 1_000;

/// How long a watch waits while there is no coordinator at all, in milliseconds.
pub const WATCH_NOBODY_MS: u64 = 1_000;

/// How often a shard tells what changed of its partitions and groups, in milliseconds.
pub const LAG_REPORT_MS: u64 = 1_000;

/// How long after the first topic of a user the one that lag is kept in is made, in milliseconds.
pub const LAG_MAKE_MS: u64 = 10_000;

/// The most bytes of batches on one shard that go through plugins or wait for their turn to; a
/// batch that finds nothing waiting is let in however large it is.
pub const INGEST_WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
