//! OffsetCommit, OffsetFetch and OffsetDelete: the offsets a group keeps.

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};

messages! {
    /// Keeps offsets for a group. Version 9 is the first for members of the consumer protocol
    /// (KIP-848); version 10 names topics by id.
    message OffsetCommitRequest(key = 8, versions = 2..=10, flexible = 8) {
        /// The group.
        group_id: Text;
        /// The generation (classic protocol) or the member's epoch (consumer protocol); -1 for a
        /// client that is no member.
        generation_id_or_member_epoch: i32, ignorable = -1;
        /// The member, or empty.
        member_id: Text, ignorable;
        /// Its name, if it is a static member (KIP-345).
        group_instance_id: Option<Text> [7..], null(7..);
        /// How long to keep the offsets, in milliseconds, or -1 for the broker's own setting,
        /// which alone counts from version 5 on (KIP-211).
        retention_time_ms: i64 [2..=4], ignorable = -1;
        /// Which topics.
        topics: Vec<OffsetCommitRequestTopic>;
    }

    /// One topic.
    part OffsetCommitRequestTopic {
        /// Its name.
        name: Text [0..=9], ignorable;
        /// Its id.
        topic_id: TopicId [10..], ignorable;
        /// Its partitions.
        partitions: Vec<OffsetCommitRequestPartition>;
    }

    /// One partition.
    part OffsetCommitRequestPartition {
        /// Its index.
        partition_index: PartitionIndex;
        /// The offset of the next record to be read.
        committed_offset: Offset;
        /// The leader epoch of the last record that was read, or -1 (KIP-320).
        committed_leader_epoch: LeaderEpoch [6..], ignorable = LeaderEpoch(-1);
        /// What the client wants to be kept with it.
        committed_metadata: Option<Text>, null(0..) = Some(Text::EMPTY);
    }

    /// What became of it.
    message OffsetCommitResponse(key = 8, versions = 2..=10, flexible = 8) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [3..], ignorable;
        /// The outcome by topic.
        topics: Vec<OffsetCommitResponseTopic>;
    }

    /// One topic's outcome.
    part OffsetCommitResponseTopic {
        /// Its name.
        name: Text [0..=9], ignorable;
        /// Its id.
        topic_id: TopicId [10..], ignorable;
        /// Its partitions.
        partitions: Vec<OffsetCommitResponsePartition>;
    }

    /// One partition's outcome.
    part OffsetCommitResponsePartition {
        /// Its index.
        partition_index: PartitionIndex;
        /// What failed.
        error_code: ErrorCode;
    }

    /// Asks for the offsets of groups: of one up to version 7, of several from version 8 on
    /// (KIP-709). Version 10 names topics by id.
    message OffsetFetchRequest(key = 9, versions = 1..=10, flexible = 6) {
        /// The group.
        group_id: Text [0..=7];
        /// Which topics; null means all (version 2).
        topics: Option<Vec<OffsetFetchRequestTopic>> [0..=7], null(2..=7) = Some(Vec::new());
        /// Which groups.
        groups: Vec<OffsetFetchRequestGroup> [8..];
        /// Whether offsets that an open transaction may still change are held back with
        /// `UNSTABLE_OFFSET_COMMIT` (KIP-447).
        require_stable: bool [7..];
    }

    /// One topic of the one group.
    part OffsetFetchRequestTopic {
        /// Its name.
        name: Text [0..=7];
        /// Which of its partitions.
        partition_indexes: Vec<PartitionIndex> [0..=7];
    }

    /// One of several groups.
    part OffsetFetchRequestGroup {
        /// The group.
        group_id: Text [8..];
        /// The member that asks, if it is one of the consumer protocol (KIP-848).
        member_id: Option<Text> [9..], null(9..), ignorable;
        /// Its epoch, or -1.
        member_epoch: i32 [9..], ignorable = -1;
        /// Which topics; null means all.
        topics: Option<Vec<OffsetFetchRequestTopics>> [8..], null(8..) = Some(Vec::new());
    }

    /// One topic of one of several groups.
    part OffsetFetchRequestTopics {
        /// Its name.
        name: Text [8..=9], ignorable;
        /// Its id.
        topic_id: TopicId [10..], ignorable;
        /// Which of its partitions.
        partition_indexes: Vec<PartitionIndex> [8..];
    }

    /// The offsets.
    message OffsetFetchResponse(key = 9, versions = 1..=10, flexible = 6) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [3..], ignorable;
        /// The answer by topic.
        topics: Vec<OffsetFetchResponseTopic> [0..=7];
        /// What failed for the group as a whole; version 1 tells it with each partition.
        error_code: ErrorCode [2..=7], ignorable;
        /// The answer by group.
        groups: Vec<OffsetFetchResponseGroup> [8..];
    }

    /// One topic's offsets.
    part OffsetFetchResponseTopic {
        /// Its name.
        name: Text [0..=7];
        /// Its partitions.
        partitions: Vec<OffsetFetchResponsePartition> [0..=7];
    }

    /// One partition's offset.
    part OffsetFetchResponsePartition {
        /// Its index.
        partition_index: PartitionIndex [0..=7];
        /// The offset, or -1 where none is kept.
        committed_offset: Offset [0..=7];
        /// The leader epoch kept with it, or -1 (KIP-320).
        committed_leader_epoch: LeaderEpoch [5..=7], ignorable = LeaderEpoch(-1);
        /// What the client wanted to be kept with it.
        metadata: Option<Text> [0..=7], null(0..=7) = Some(Text::EMPTY);
        /// What failed.
        error_code: ErrorCode [0..=7];
    }

    /// One group's offsets.
    part OffsetFetchResponseGroup {
        /// The group.
        group_id: Text [8..];
        /// The answer by topic.
        topics: Vec<OffsetFetchResponseTopics> [8..];
        /// What failed for the group as a whole.
        error_code: ErrorCode [8..];
    }

    /// One topic's offsets in one of several groups.
    part OffsetFetchResponseTopics {
        /// Its name.
        name: Text [8..=9], ignorable;
        /// Its id.
        topic_id: TopicId [10..], ignorable;
        /// Its partitions.
        partitions: Vec<OffsetFetchResponsePartitions> [8..];
    }

    /// One partition's offset in one of several groups.
    part OffsetFetchResponsePartitions {
        /// Its index.
        partition_index: PartitionIndex [8..];
        /// The offset, or -1 where none is kept.
        committed_offset: Offset [8..];
        /// The leader epoch kept with it, or -1 (KIP-320).
        committed_leader_epoch: LeaderEpoch [8..], ignorable = LeaderEpoch(-1);
        /// What the client wanted to be kept with it.
        metadata: Option<Text> [8..], null(8..) = Some(Text::EMPTY);
        /// What failed.
        error_code: ErrorCode [8..];
    }

    /// Forgets offsets of a group (KIP-496).
    message OffsetDeleteRequest(key = 47, versions = 0..=0, flexible = 1) {
        /// The group.
        group_id: Text;
        /// Which topics.
        topics: Vec<OffsetDeleteRequestTopic>;
    }

    /// One topic.
    part OffsetDeleteRequestTopic {
        /// Its name.
        name: Text;
        /// Which of its partitions.
        partitions: Vec<OffsetDeleteRequestPartition>;
    }

    /// One partition.
    part OffsetDeleteRequestPartition {
        /// Its index.
        partition_index: PartitionIndex;
    }

    /// What became of it.
    message OffsetDeleteResponse(key = 47, versions = 0..=0, flexible = 1) {
        /// What failed for the group as a whole.
        error_code: ErrorCode;
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32, ignorable;
        /// The outcome by topic.
        topics: Vec<OffsetDeleteResponseTopic>;
    }

    /// One topic's outcome.
    part OffsetDeleteResponseTopic {
        /// Its name.
        name: Text;
        /// Its partitions.
        partitions: Vec<OffsetDeleteResponsePartition>;
    }

    /// One partition's outcome.
    part OffsetDeleteResponsePartition {
        /// Its index.
        partition_index: PartitionIndex;
        /// What failed; `GROUP_SUBSCRIBED_TO_TOPIC` while members still read the topic.
        error_code: ErrorCode;
    }
}
