//! Limits of groups, each with its unit in its name.

/// The longest group id, in bytes; Kafka sets no limit but what a string can hold.
pub const GROUP_ID_BYTES_MAX: usize = 4096;

/// The longest member id, instance id, client id or rack, in bytes.
pub const MEMBER_TEXT_BYTES_MAX: usize = 4096;

/// The largest subscription or assignment of a member that uses the classic protocol, in bytes.
pub const MEMBER_BLOB_BYTES_MAX: usize = 1024 * 1024;

/// The most bytes of ids and subscriptions that the members of one group may have together, so
/// that the record of a generation can be written and no group fills the memory.
pub const SUBSCRIPTIONS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The most bytes that the shares of one generation may have together.
pub const ASSIGNMENTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most protocols a classic member may offer.
pub const PROTOCOLS_MAX: usize = 64;

/// The most topics a member may name in its subscription.
pub const SUBSCRIPTION_TOPICS_MAX: usize = 10_000;

/// How long a member that has not yet finished its first join is kept while it waits, in ms; the
/// client may long be gone (Kafka's `NEW_MEMBER_JOIN_TIMEOUT_MS`).
pub const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// The most partitions of one group that have a committed offset.
pub const OFFSETS_PER_GROUP_MAX: usize = 1_000_000;

/// The most rebalances kept in the history of a group; older ones go.
pub const HISTORY_EVENTS_MAX: usize = 64;

/// The most causes kept with one rebalance; further ones are counted.
pub const HISTORY_CAUSES_MAX: usize = 64;

/// The most members named with one rebalance, before and after; further ones are counted.
pub const HISTORY_MEMBERS_MAX: usize = 1000;

/// The most moved partitions named with one rebalance; further ones are counted.
pub const HISTORY_MOVES_MAX: usize = 1000;

/// The most bytes of causes, moves and members named with one rebalance, in all; further ones are
/// counted. A thousand moves of members with usual names fit.
pub const HISTORY_EVENT_BYTES_MAX: usize = 256 * 1024;

/// The longest reason a client may leave in the history, in bytes; the rest is cut off.
pub const HISTORY_REASON_BYTES_MAX: usize = 256;

/// How much of the name that a member's client has is kept in the history, in bytes.
pub const HISTORY_CLIENT_BYTES_MAX: usize = 256;

/// The most offsets that one step lets expire; the rest follow at the next step.
pub const EXPIRE_OFFSETS_PER_STEP_MAX: usize = 10_000;

/// The least number of records since the last snapshot before another is worth its while.
pub const SNAPSHOT_RECORDS_MIN: u64 = 10_000;

/// The least number of bytes of records since the last snapshot before another is worth its while,
/// however few records they are.
pub const SNAPSHOT_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// A snapshot is taken when this many times the records of a snapshot were written since, or their
/// bytes.
pub const SNAPSHOT_GROWTH_FACTOR: u64 = 4;

/// About how many records of a snapshot go into one write.
pub const SNAPSHOT_RECORDS_PER_WRITE: usize = 1000;

/// After how many records a step leaves the rest of a snapshot to the next one, be it inside a
/// group, so that heartbeats do not wait for it. A group's history comes on top of it.
pub const SNAPSHOT_RECORDS_PER_STEP: usize = 5000;

/// After how many bytes of records it does, at the end of a group.
pub const SNAPSHOT_BYTES_PER_STEP: usize = 8 * 1024 * 1024;

/// The most groups that one step puts into a snapshot.
pub const SNAPSHOT_GROUPS_PER_STEP: usize = 100;

/// The most bytes of a record, its key and its value together; what is larger is not written, and
/// whoever asked for it hears of a failed write.
pub const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often a balancing of loads starts again before it takes what it has.
pub const BALANCE_PASSES_MAX: usize = 64;
