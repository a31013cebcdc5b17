//! CreateTopics, DeleteTopics, CreatePartitions and DeleteRecords: what changes topics.

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{BrokerId, ErrorCode, Offset, PartitionIndex, TopicId};

messages! {
    /// Makes topics.
    message CreateTopicsRequest(key = 19, versions = 2..=7, flexible = 5) {
        /// Which.
        topics: Vec<CreatableTopic>;
        /// How long to wait, in milliseconds.
        timeout_ms: i32 = 60_000;
        /// Whether only to check.
        validate_only: bool;
    }

    /// One topic to make.
    part CreatableTopic {
        /// Its name.
        name: Text;
        /// How many partitions, or -1 for the default or a manual assignment (KIP-464).
        num_partitions: i32;
        /// How many replicas of each, or -1 likewise.
        replication_factor: i16;
        /// Which brokers hold what; empty leaves it to the broker.
        assignments: Vec<CreatableReplicaAssignment>;
        /// Configurations that differ from the defaults.
        configs: Vec<CreatableTopicConfig>;
    }

    /// Where one partition goes.
    part CreatableReplicaAssignment {
        /// Its index.
        partition_index: PartitionIndex;
        /// Its brokers, the preferred leader first.
        broker_ids: Vec<BrokerId>;
    }

    /// One configuration of a new topic.
    part CreatableTopicConfig {
        /// Its name.
        name: Text;
        /// Its value.
        value: Option<Text>, null(0..);
    }

    /// What became of the topics.
    message CreateTopicsResponse(key = 19, versions = 2..=7, flexible = 5) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32, ignorable;
        /// The outcome of each.
        topics: Vec<CreatableTopicResult>;
    }

    /// What became of one topic.
    part CreatableTopicResult {
        /// Its name.
        name: Text;
        /// Its id.
        topic_id: TopicId [7..], ignorable;
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..), ignorable;
        /// Why the configurations are not told.
        topic_config_error_code: ErrorCode [5..], tag(0), ignorable;
        /// How many partitions it has, or -1.
        num_partitions: i32 [5..], ignorable = -1;
        /// How many replicas each has, or -1.
        replication_factor: i16 [5..], ignorable = -1;
        /// Its configurations (KIP-525).
        configs: Option<Vec<CreatableTopicConfigs>> [5..], null(5..), ignorable;
    }

    /// One configuration of a topic that was made.
    part CreatableTopicConfigs {
        /// Its name.
        name: Text [5..];
        /// Its value.
        value: Option<Text> [5..], null(5..);
        /// Whether it cannot be changed.
        read_only: bool [5..];
        /// Where the value comes from, as DescribeConfigs numbers it.
        config_source: i8 [5..], ignorable = -1;
        /// Whether the value is a secret.
        is_sensitive: bool [5..];
    }

    /// Deletes topics.
    message DeleteTopicsRequest(key = 20, versions = 1..=6, flexible = 4) {
        /// Which, by name or id.
        topics: Vec<DeleteTopicState> [6..];
        /// Which, by name.
        topic_names: Vec<Text> [0..=5], ignorable;
        /// How long to wait, in milliseconds.
        timeout_ms: i32;
    }

    /// One topic to delete.
    part DeleteTopicState {
        /// Its name, or null where the id counts.
        name: Option<Text> [6..], null(6..);
        /// Its id, or zero where it is named.
        topic_id: TopicId [6..];
    }

    /// What became of the topics.
    message DeleteTopicsResponse(key = 20, versions = 1..=6, flexible = 4) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32, ignorable;
        /// The outcome of each.
        responses: Vec<DeletableTopicResult>;
    }

    /// What became of one topic.
    part DeletableTopicResult {
        /// Its name; null where an id was given that nobody knows.
        name: Option<Text>, null(6..);
        /// Its id.
        topic_id: TopicId [6..], ignorable;
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text> [5..], null(5..), ignorable;
    }

    /// Adds partitions to topics (KIP-195).
    message CreatePartitionsRequest(key = 37, versions = 0..=3, flexible = 2) {
        /// Which topics.
        topics: Vec<CreatePartitionsTopic>;
        /// How long to wait, in milliseconds.
        timeout_ms: i32;
        /// Whether only to check.
        validate_only: bool;
    }

    /// One topic that grows.
    part CreatePartitionsTopic {
        /// Its name.
        name: Text;
        /// How many partitions it is to have.
        count: i32;
        /// Where the new ones go; null leaves it to the broker.
        assignments: Option<Vec<CreatePartitionsAssignment>>, null(0..);
    }

    /// Where one new partition goes.
    part CreatePartitionsAssignment {
        /// Its brokers, the preferred leader first.
        broker_ids: Vec<BrokerId>;
    }

    /// What became of the topics.
    message CreatePartitionsResponse(key = 37, versions = 0..=3, flexible = 2) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// The outcome of each.
        results: Vec<CreatePartitionsTopicResult>;
    }

    /// What became of one topic.
    part CreatePartitionsTopicResult {
        /// Its name.
        name: Text;
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
    }

    /// Drops everything below an offset (KIP-107).
    message DeleteRecordsRequest(key = 21, versions = 0..=2, flexible = 2) {
        /// Which topics.
        topics: Vec<DeleteRecordsTopic>;
        /// How long to wait, in milliseconds.
        timeout_ms: i32;
    }

    /// One topic.
    part DeleteRecordsTopic {
        /// Its name.
        name: Text;
        /// Which of its partitions.
        partitions: Vec<DeleteRecordsPartition>;
    }

    /// One partition.
    part DeleteRecordsPartition {
        /// Its index.
        partition_index: PartitionIndex;
        /// The new start; -1 is the high watermark.
        offset: Offset;
    }

    /// Where the logs start now.
    message DeleteRecordsResponse(key = 21, versions = 0..=2, flexible = 2) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// The answer by topic.
        topics: Vec<DeleteRecordsTopicResult>;
    }

    /// One topic's answer.
    part DeleteRecordsTopicResult {
        /// Its name.
        name: Text;
        /// Its partitions.
        partitions: Vec<DeleteRecordsPartitionResult>;
    }

    /// One partition's answer.
    part DeleteRecordsPartitionResult {
        /// Its index.
        partition_index: PartitionIndex;
        /// Where the log starts, or -1.
        low_watermark: Offset;
        /// What failed.
        error_code: ErrorCode;
    }
}
