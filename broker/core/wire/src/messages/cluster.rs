//! DescribeCluster, DescribeLogDirs, DescribeTopicPartitions and FindCoordinator: what the cluster
//! looks like.

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};

messages! {
    /// Asks for the brokers (KIP-700).
    message DescribeClusterRequest(key = 60, versions = 0..=2, flexible = 0) {
        /// Whether the answer tells what the caller may do with the cluster.
        include_cluster_authorized_operations: bool;
        /// Whose addresses: 1 the brokers', 2 the controllers' (KIP-919).
        endpoint_type: i8 [1..] = 1;
        /// Whether fenced brokers are told as well (KIP-1073).
        include_fenced_brokers: bool [2..];
    }

    /// The brokers.
    message DescribeClusterResponse(key = 60, versions = 0..=2, flexible = 0) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// Whose addresses these are, as in the request.
        endpoint_type: i8 [1..] = 1;
        /// The cluster's id.
        cluster_id: Text;
        /// The broker that takes cluster changes, or -1.
        controller_id: BrokerId = BrokerId(-1);
        /// Every broker.
        brokers: Vec<DescribeClusterBroker>;
        /// What the caller may do with the cluster, as bits; the lowest number: not asked.
        cluster_authorized_operations: i32 = i32::MIN;
    }

    /// One broker.
    part DescribeClusterBroker {
        /// Its id.
        broker_id: BrokerId;
        /// Host name or address for the listener that was asked.
        host: Text;
        /// Port for the listener that was asked.
        port: i32;
        /// Its rack, if it has one.
        rack: Option<Text>, null(0..);
        /// Whether it is kept from serving.
        is_fenced: bool [2..];
    }

    /// Asks where partitions are on disk and how large they are (KIP-113).
    message DescribeLogDirsRequest(key = 35, versions = 1..=4, flexible = 2) {
        /// Which topics; null means all.
        topics: Option<Vec<DescribableLogDirTopic>>, null(0..);
    }

    /// One topic.
    part DescribableLogDirTopic {
        /// Its name.
        topic: Text;
        /// Which of its partitions.
        partitions: Vec<PartitionIndex>;
    }

    /// The directories.
    message DescribeLogDirsResponse(key = 35, versions = 1..=4, flexible = 2) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32, ignorable;
        /// What failed for the request as a whole.
        error_code: ErrorCode [3..], ignorable;
        /// Each directory.
        results: Vec<DescribeLogDirsResult>;
    }

    /// One directory.
    part DescribeLogDirsResult {
        /// What failed.
        error_code: ErrorCode;
        /// Its absolute path.
        log_dir: Text;
        /// The topics in it.
        topics: Vec<DescribeLogDirsTopic>;
        /// Bytes of its volume, or -1 (KIP-827).
        total_bytes: i64 [4..], ignorable = -1;
        /// Bytes of its volume that can still be used, or -1.
        usable_bytes: i64 [4..], ignorable = -1;
    }

    /// One topic's part of a directory.
    part DescribeLogDirsTopic {
        /// Its name.
        name: Text;
        /// Its partitions.
        partitions: Vec<DescribeLogDirsPartition>;
    }

    /// One partition's part of a directory.
    part DescribeLogDirsPartition {
        /// Its index.
        partition_index: PartitionIndex;
        /// Bytes of its log.
        partition_size: i64;
        /// How many records the log is behind the high watermark, or behind the log it replaces.
        offset_lag: Offset;
        /// Whether the log is still being copied here to replace another.
        is_future_key: bool;
    }

    /// Asks for topics page by page, with eligible leader replicas (KIP-966).
    message DescribeTopicPartitionsRequest(key = 75, versions = 0..=0, flexible = 0) {
        /// Which; none means all.
        topics: Vec<DescribeTopicPartitionsTopicRequest>;
        /// The most partitions of one answer.
        response_partition_limit: i32 = 2000;
        /// Where to go on; null begins.
        cursor: Option<Cursor>, null(0..);
    }

    /// One topic asked for.
    part DescribeTopicPartitionsTopicRequest {
        /// Its name.
        name: Text;
    }

    /// A place in the order of all topics and partitions.
    part Cursor {
        /// The topic.
        topic_name: Text;
        /// The partition.
        partition_index: PartitionIndex;
    }

    /// One page.
    message DescribeTopicPartitionsResponse(key = 75, versions = 0..=0, flexible = 0) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32, ignorable;
        /// The topics.
        topics: Vec<DescribeTopicPartitionsResponseTopic>;
        /// Where the next page begins; null ends.
        next_cursor: Option<Cursor>, null(0..);
    }

    /// One topic.
    part DescribeTopicPartitionsResponseTopic {
        /// What failed.
        error_code: ErrorCode;
        /// Its name.
        name: Option<Text>, null(0..);
        /// Its id.
        topic_id: TopicId, ignorable;
        /// Whether the broker made it for itself.
        is_internal: bool, ignorable;
        /// Its partitions.
        partitions: Vec<DescribeTopicPartitionsResponsePartition>;
        /// What the caller may do with it, as bits; the lowest number: not asked.
        topic_authorized_operations: i32 = i32::MIN;
    }

    /// One partition.
    part DescribeTopicPartitionsResponsePartition {
        /// What failed.
        error_code: ErrorCode;
        /// Its index.
        partition_index: PartitionIndex;
        /// Its leader, or -1.
        leader_id: BrokerId;
        /// The leader's epoch, or -1.
        leader_epoch: LeaderEpoch, ignorable = LeaderEpoch(-1);
        /// Brokers that hold a replica.
        replica_nodes: Vec<BrokerId>;
        /// Those of them that are in sync.
        isr_nodes: Vec<BrokerId>;
        /// Those that are not, but may lead without loss.
        eligible_leader_replicas: Option<Vec<BrokerId>>, null(0..);
        /// The eligible ones before the last of them was lost.
        last_known_elr: Option<Vec<BrokerId>>, null(0..);
        /// Those of the replicas that are offline.
        offline_replicas: Vec<BrokerId>, ignorable;
    }

    /// Asks which broker coordinates a group or a transaction.
    message FindCoordinatorRequest(key = 10, versions = 0..=6, flexible = 3) {
        /// The group or transactional id.
        key: Text [0..=3];
        /// What the keys are: 0 groups, 1 transactions, 2 share groups (KIP-932).
        key_type: i8 [1..];
        /// The group or transactional ids (KIP-699).
        coordinator_keys: Vec<Text> [4..];
    }

    /// The coordinators.
    message FindCoordinatorResponse(key = 10, versions = 0..=6, flexible = 3) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [1..], ignorable;
        /// What failed.
        error_code: ErrorCode [0..=3];
        /// Why, in one sentence.
        error_message: Option<Text> [1..=3], null(1..=3), ignorable;
        /// The broker.
        node_id: BrokerId [0..=3];
        /// Its host name or address for the listener that was asked.
        host: Text [0..=3];
        /// Its port for the listener that was asked.
        port: i32 [0..=3];
        /// The coordinator of each key.
        coordinators: Vec<Coordinator> [4..];
    }

    /// One key's coordinator.
    part Coordinator {
        /// The group or transactional id.
        key: Text [4..];
        /// The broker.
        node_id: BrokerId [4..];
        /// Its host name or address for the listener that was asked.
        host: Text [4..];
        /// Its port for the listener that was asked.
        port: i32 [4..];
        /// What failed.
        error_code: ErrorCode [4..];
        /// Why, in one sentence.
        error_message: Option<Text> [4..], null(4..), ignorable;
    }
}

nullable_parts! {
    Cursor;
}
