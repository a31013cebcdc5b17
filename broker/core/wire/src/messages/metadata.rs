//! Metadata: brokers, topics, partitions and their leaders.

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{BrokerId, ErrorCode, LeaderEpoch, PartitionIndex, TopicId};

messages! {
    /// Asks for the cluster and some or all topics.
    message MetadataRequest(key = 3, versions = 0..=13, flexible = 9) {
        /// Which topics; null means all (version 0: none named means all).
        topics: Option<Vec<MetadataRequestTopic>>, null(1..);
        /// Whether topics that do not exist may be made.
        allow_auto_topic_creation: bool [4..] = true;
        /// Whether the answer tells what the caller may do with the cluster.
        include_cluster_authorized_operations: bool [8..=10];
        /// Whether the answer tells what the caller may do with each topic.
        include_topic_authorized_operations: bool [8..];
    }

    /// One topic asked for, by name or by id.
    part MetadataRequestTopic {
        /// Its id, or zero where it is named (KIP-516).
        topic_id: TopicId [10..], ignorable;
        /// Its name, or null where the id counts.
        name: Option<Text>, null(10..);
    }

    /// The cluster as this broker sees it.
    message MetadataResponse(key = 3, versions = 0..=13, flexible = 9) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [3..], ignorable;
        /// Every broker that is alive.
        brokers: Vec<MetadataResponseBroker>;
        /// The cluster's id.
        cluster_id: Option<Text> [2..], null(2..), ignorable;
        /// The broker that takes cluster changes, or -1.
        controller_id: BrokerId [1..], ignorable = BrokerId(-1);
        /// The topics asked for.
        topics: Vec<MetadataResponseTopic>;
        /// What the caller may do with the cluster, as bits; the lowest number: not asked.
        cluster_authorized_operations: i32 [8..=10] = i32::MIN;
        /// What failed for the request as a whole (KIP-1102).
        error_code: ErrorCode [13..], ignorable;
    }

    /// One broker.
    part MetadataResponseBroker {
        /// Its id.
        node_id: BrokerId;
        /// Host name or address for the listener that was asked.
        host: Text;
        /// Port for the listener that was asked.
        port: i32;
        /// Its rack, if it has one.
        rack: Option<Text> [1..], null(1..), ignorable;
    }

    /// One topic.
    part MetadataResponseTopic {
        /// What failed for this topic.
        error_code: ErrorCode;
        /// Its name; null where an id was asked for that nobody knows.
        name: Option<Text>, null(12..);
        /// Its id; zero where a name was asked for that nobody knows.
        topic_id: TopicId [10..], ignorable;
        /// Whether the broker made it for itself.
        is_internal: bool [1..], ignorable;
        /// Its partitions.
        partitions: Vec<MetadataResponsePartition>;
        /// What the caller may do with it, as bits; the lowest number: not asked.
        topic_authorized_operations: i32 [8..] = i32::MIN;
    }

    /// One partition.
    part MetadataResponsePartition {
        /// What failed for this partition.
        error_code: ErrorCode;
        /// Its index.
        partition_index: PartitionIndex;
        /// Its leader, or -1 where it has none.
        leader_id: BrokerId;
        /// The leader's epoch, or -1.
        leader_epoch: LeaderEpoch [7..], ignorable = LeaderEpoch(-1);
        /// Brokers that hold a replica.
        replica_nodes: Vec<BrokerId>;
        /// Those of them that are in sync.
        isr_nodes: Vec<BrokerId>;
        /// Those of them that are offline.
        offline_replicas: Vec<BrokerId> [5..], ignorable;
    }
}
