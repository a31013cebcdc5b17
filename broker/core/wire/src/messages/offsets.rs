//! ListOffsets and OffsetForLeaderEpoch: where a partition starts, ends, reaches a time or an
//! epoch.

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, TimestampMs};

messages! {
    /// Asks for offsets by time.
    message ListOffsetsRequest(key = 2, versions = 1..=10, flexible = 6) {
        /// The broker that asks, or -1 for a client.
        replica_id: BrokerId = BrokerId(-1);
        /// 0 counts everything, 1 only what committed transactions wrote.
        isolation_level: i8 [2..];
        /// Which topics.
        topics: Vec<ListOffsetsTopic>;
        /// How long to wait for remote storage, in milliseconds (KIP-1075).
        timeout_ms: i32 [10..], ignorable;
    }

    /// One topic.
    part ListOffsetsTopic {
        /// Its name.
        name: Text;
        /// Which of its partitions.
        partitions: Vec<ListOffsetsPartition>;
    }

    /// One partition.
    part ListOffsetsPartition {
        /// Its index.
        partition_index: PartitionIndex;
        /// The leader epoch the asker knows, or -1.
        current_leader_epoch: LeaderEpoch [4..], ignorable = LeaderEpoch(-1);
        /// The time; -1 the end, -2 the start, -3 the largest timestamp (version 7), -4 the local
        /// start (8), -5 the end of what is tiered (9).
        timestamp: TimestampMs;
    }

    /// The offsets.
    message ListOffsetsResponse(key = 2, versions = 1..=10, flexible = 6) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [2..], ignorable;
        /// The answer by topic.
        topics: Vec<ListOffsetsTopicResponse>;
    }

    /// One topic's answer.
    part ListOffsetsTopicResponse {
        /// Its name.
        name: Text;
        /// Its partitions.
        partitions: Vec<ListOffsetsPartitionResponse>;
    }

    /// One partition's answer.
    part ListOffsetsPartitionResponse {
        /// Its index.
        partition_index: PartitionIndex;
        /// What failed.
        error_code: ErrorCode;
        /// Timestamp of the record found, or -1.
        timestamp: TimestampMs = TimestampMs(-1);
        /// Its offset, or -1.
        offset: Offset = Offset(-1);
        /// Its leader epoch, or -1.
        leader_epoch: LeaderEpoch [4..], ignorable = LeaderEpoch(-1);
    }

    /// Asks where leader epochs end (KIP-101, KIP-320).
    message OffsetForLeaderEpochRequest(key = 23, versions = 2..=4, flexible = 4) {
        /// The follower that asks, or -1 for a consumer; -2 where an old version does not tell.
        replica_id: BrokerId [3..], ignorable = BrokerId(-2);
        /// Which topics.
        topics: Vec<OffsetForLeaderTopic>;
    }

    /// One topic.
    part OffsetForLeaderTopic {
        /// Its name.
        topic: Text;
        /// Which of its partitions.
        partitions: Vec<OffsetForLeaderPartition>;
    }

    /// One partition.
    part OffsetForLeaderPartition {
        /// Its index.
        partition: PartitionIndex;
        /// The leader epoch the asker knows, or -1; an old or a future one is refused.
        current_leader_epoch: LeaderEpoch, ignorable = LeaderEpoch(-1);
        /// The epoch whose end is wanted.
        leader_epoch: LeaderEpoch;
    }

    /// Where the epochs end.
    message OffsetForLeaderEpochResponse(key = 23, versions = 2..=4, flexible = 4) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32, ignorable;
        /// The answer by topic.
        topics: Vec<OffsetForLeaderTopicResult>;
    }

    /// One topic's answer.
    part OffsetForLeaderTopicResult {
        /// Its name.
        topic: Text;
        /// Its partitions.
        partitions: Vec<OffsetForLeaderEpochEndOffset>;
    }

    /// One partition's answer.
    part OffsetForLeaderEpochEndOffset {
        /// What failed.
        error_code: ErrorCode;
        /// The partition.
        partition: PartitionIndex;
        /// The largest epoch that is not above the one asked for, or -1.
        leader_epoch: LeaderEpoch, ignorable = LeaderEpoch(-1);
        /// Where it ends, or -1.
        end_offset: Offset = Offset(-1);
    }
}
