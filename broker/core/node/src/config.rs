//! What a node is told when it is made, and the simulator's seeded faults.

use alloc::sync::Arc;
use weir_group::GroupConfig;
use weir_meta::StaticDefaults;
use weir_types::{BrokerId, ShardId, TopicId};

/// What a node is told when it is made; none of it changes while it runs.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Which shard of the broker this is.
    pub shard: ShardId,
    /// How many shards the broker has.
    pub shards: u16,
    /// Which broker it is.
    pub broker: BrokerId,
    /// The broker's own defaults of topic settings.
    pub statics: Arc<StaticDefaults>,
    /// Milliseconds between two looks for records to drop (`log.retention.check.interval.ms`).
    pub retention_check_interval_ms: u64,
    /// Milliseconds an idle producer is remembered (`producer.id.expiration.ms`).
    pub producer_expiration_ms: u64,
    /// Milliseconds between two looks for such producers
    /// (`producer.id.expiration.check.interval.ms`).
    pub producer_check_interval_ms: u64,
    /// The settings of consumer groups.
    pub groups: GroupConfig,
    /// The id of the topic that lag is kept in, drawn at random, should it have to be made; nothing:
    /// this broker keeps no lag.
    pub lag_topic: Option<TopicId>,
    /// `default.replication.factor`, for topics that the node makes itself.
    pub replication_factor: i16,
    /// Seeded faults; none in a broker.
    pub mutants: Mutants,
}

impl NodeConfig {
    /// The settings Kafka has by default, for this shard of this broker.
    #[must_use]
    pub fn new(shard: ShardId, shards: u16, broker: BrokerId) -> Self {
        Self {
            shard,
            shards,
            broker,
            statics: Arc::default(),
            retention_check_interval_ms: 5 * 60 * 1000,
            producer_expiration_ms: 24 * 60 * 60 * 1000,
            producer_check_interval_ms: 10 * 60 * 1000,
            groups: GroupConfig::default(),
            lag_topic: None,
            replication_factor: 1,
            mutants: Mutants::default(),
        }
    }
}

/// Faults the simulator seeds to prove that it would see them; all off in a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mutants {
    /// Acknowledge batches before they are flushed.
    pub answer_early: bool,
    /// Take every sequence number of idempotent producers.
    pub forget_sequences: bool,
    /// Acknowledge commits of offsets before they are replicated.
    pub ack_commits_early: bool,
}
