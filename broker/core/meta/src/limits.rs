//! Limits of the metadata, each with its unit in its name.

/// How many producer ids one allocation takes from the cluster's counter (KIP-98, as Kafka).
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// The most topics one request may create, delete or alter.
pub const TOPICS_PER_COMMAND_MAX: usize = 10_000;

/// The most partitions the whole cluster may have.
pub const PARTITIONS_TOTAL_MAX: usize = 1_000_000;

/// The most new partitions one command may make, so that one agreed entry stays small.
pub const PARTITIONS_PER_COMMAND_MAX: usize = 100_000;

/// The longest value of a configuration, in bytes.
pub const CONFIG_VALUE_BYTES_MAX: usize = 32 * 1024;

/// The most replicas of one partition.
pub const REPLICAS_MAX: usize = 32;

/// The most listeners a broker registers.
pub const LISTENERS_MAX: usize = 64;

/// The longest string in a record, in bytes; nothing that `decide` accepts is longer.
pub const STRING_BYTES_MAX: usize = 64 * 1024;

/// How many deleted topics the image remembers, the latest ones. What their logs left after a crash
/// may go at the next start; what no record explains may not.
pub const DELETED_TOPICS_MAX: usize = 4_096;

/// Entries after which a snapshot takes their place in the metadata log.
pub const ENTRIES_PER_SNAPSHOT: usize = 10_000;

/// The most topics that a job reads, and the most that it writes.
pub const JOB_TOPICS_MAX: usize = 64;

/// The most versions of one plugin.
pub const PLUGIN_VERSIONS_MAX: usize = 100;

/// The most plugins.
pub const PLUGINS_MAX: usize = 1_000;

/// The most jobs.
pub const JOBS_MAX: usize = 1_000;

/// The most views.
pub const VIEWS_MAX: usize = 10_000;
