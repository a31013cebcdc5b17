//! The settings of groups, under Kafka's names; plain values, validated by whoever reads them
//! from a file.

use crate::limits::SNAPSHOT_RECORDS_MIN;

/// Which way running groups may change their protocol (`group.consumer.migration.policy`,
/// KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Neither way.
    Disabled,
    /// From classic to consumer.
    Upgrade,
    /// From consumer to classic.
    Downgrade,
    /// Both ways.
    Bidirectional,
}

impl MigrationPolicy {
    /// Whether a classic group may become a consumer group.
    #[must_use]
    pub const fn upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// Whether a consumer group may become a classic group.
    #[must_use]
    pub const fn downgrades(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// All settings of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty classic group
    /// waits for more members.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`, of classic members.
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`, of classic members.
    pub session_timeout_max_ms: i32,
    /// `group.max.size` and `group.consumer.max.size`.
    pub members_max: usize,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: u64,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: u64,
    /// The least time between two target assignments of one consumer group, so that a crowd that
    /// pours in costs few epochs (`group.consumer.assignment.interval.ms`).
    pub assignment_interval_ms: u64,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in ms.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_check_interval_ms: u64,
    /// The least number of records since the last snapshot before another is worth its while.
    pub snapshot_records_min: u64,
    /// Seeded faults; none in a broker.
    pub mutants: Mutants,
}

/// Faults the simulator seeds to prove that it would see them; all off in a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mutants {
    /// Take commits of members that were fenced.
    pub take_zombies: bool,
    /// Leave one committed offset of each group out of snapshots.
    pub forget_in_snapshots: bool,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            initial_rebalance_delay_ms: 3000,
            session_timeout_min_ms: 6000,
            session_timeout_max_ms: 1_800_000,
            members_max: 5000,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5000,
            assignment_interval_ms: 1000,
            migration: MigrationPolicy::Bidirectional,
            offset_metadata_bytes_max: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_check_interval_ms: 600_000,
            snapshot_records_min: SNAPSHOT_RECORDS_MIN,
            mutants: Mutants::default(),
        }
    }
}
