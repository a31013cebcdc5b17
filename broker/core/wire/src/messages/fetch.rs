//! Fetch: records on their way out of the log, to consumers and to followers (KIP-227 sessions).

use super::{LeaderIdAndEpoch, NodeEndpoint};
use crate::{records::Records, text::Text};
use alloc::vec::Vec;
use weir_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};

messages! {
    /// Asks for records of several partitions, from one offset each.
    message FetchRequest(key = 1, versions = 4..=18, flexible = 12) {
        /// The cluster the follower believes it is in, checked before it registers.
        cluster_id: Option<Text> [12..], null(12..), tag(0), ignorable;
        /// The follower that asks, or -1 for a consumer.
        replica_id: BrokerId [0..=14] = BrokerId(-1);
        /// The follower that asks, with its broker epoch (KIP-903).
        replica_state: ReplicaState [15..], tag(1);
        /// How long to wait for `min_bytes`, in milliseconds.
        max_wait_ms: i32;
        /// Bytes that end the wait.
        min_bytes: i32;
        /// The most bytes of the whole answer; the first batch may exceed it (KIP-74).
        max_bytes: i32, ignorable = i32::MAX;
        /// 0 reads everything, 1 only what committed transactions wrote.
        isolation_level: i8, ignorable;
        /// The fetch session, or 0.
        session_id: i32 [7..], ignorable;
        /// Counts the requests of a session; -1 asks without one.
        session_epoch: i32 [7..], ignorable = -1;
        /// What to fetch, or what changed in the session.
        topics: Vec<FetchTopic>;
        /// What to take out of the session.
        forgotten_topics_data: Vec<ForgottenTopic> [7..];
        /// The consumer's rack, for reading from a near replica (KIP-392).
        rack_id: Text [11..], ignorable;
    }

    /// A follower.
    part ReplicaState {
        /// Its broker id, or -1 for a consumer.
        replica_id: BrokerId [15..] = BrokerId(-1);
        /// Its broker epoch, or -1.
        replica_epoch: i64 [15..] = -1;
    }

    /// One topic to fetch from.
    part FetchTopic {
        /// Its name.
        topic: Text [0..=12], ignorable;
        /// Its id (KIP-516).
        topic_id: TopicId [13..], ignorable;
        /// Which of its partitions.
        partitions: Vec<FetchPartition>;
    }

    /// One partition to fetch from.
    part FetchPartition {
        /// Its index.
        partition: PartitionIndex;
        /// The leader epoch the asker knows, or -1; an old one is refused (KIP-320).
        current_leader_epoch: LeaderEpoch [9..], ignorable = LeaderEpoch(-1);
        /// The first offset wanted.
        fetch_offset: Offset;
        /// Epoch of the last record the follower has, or -1; shows where logs part (KIP-595).
        last_fetched_epoch: LeaderEpoch [12..] = LeaderEpoch(-1);
        /// Where the follower's log starts, or -1 from a consumer.
        log_start_offset: Offset [5..], ignorable = Offset(-1);
        /// The most bytes from this partition; the first batch may exceed it (KIP-74).
        partition_max_bytes: i32;
        /// The follower's log directory.
        replica_directory_id: TopicId [17..], tag(0), ignorable;
        /// The high watermark the follower knows; -1 unknown, the largest number not told.
        high_watermark: Offset [18..], tag(1), ignorable = Offset(i64::MAX);
    }

    /// One topic to take out of the session.
    part ForgottenTopic {
        /// Its name.
        topic: Text [7..=12], ignorable;
        /// Its id.
        topic_id: TopicId [13..], ignorable;
        /// Which of its partitions.
        partitions: Vec<PartitionIndex> [7..];
    }

    /// Records, or what is known instead.
    message FetchResponse(key = 1, versions = 4..=18, flexible = 12) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32, ignorable;
        /// What failed for the request as a whole.
        error_code: ErrorCode [7..], ignorable;
        /// The session the broker keeps for the asker, or 0.
        session_id: i32 [7..];
        /// The answer by topic; in a session only what changed.
        responses: Vec<FetchableTopicResponse>;
        /// Where the leaders named in `current_leader` can be reached.
        node_endpoints: Vec<NodeEndpoint> [16..], tag(0), ignorable;
    }

    /// One topic's answer.
    part FetchableTopicResponse {
        /// Its name.
        topic: Text [0..=12], ignorable;
        /// Its id.
        topic_id: TopicId [13..], ignorable;
        /// Its partitions.
        partitions: Vec<PartitionData>;
    }

    /// One partition's answer.
    part PartitionData {
        /// Its index.
        partition_index: PartitionIndex;
        /// What failed.
        error_code: ErrorCode;
        /// Everything below is on every in-sync replica.
        high_watermark: Offset;
        /// Everything below belongs to no open transaction; -1 unknown.
        last_stable_offset: Offset, ignorable = Offset(-1);
        /// Where the log starts, or -1.
        log_start_offset: Offset [5..], ignorable = Offset(-1);
        /// Where the asker's log parts from the leader's.
        diverging_epoch: FetchEpochEndOffset [12..], tag(0), ignorable;
        /// The leader to ask instead.
        current_leader: LeaderIdAndEpoch [12..], tag(1), ignorable;
        /// The snapshot to load first (metadata quorum).
        snapshot_id: SnapshotId [12..], tag(2), ignorable;
        /// Transactions whose records a reader of committed data drops; null where all are read.
        aborted_transactions: Option<Vec<AbortedTransaction>>, null(4..), ignorable;
        /// A nearer replica to read from, or -1 (KIP-392).
        preferred_read_replica: BrokerId [11..] = BrokerId(-1);
        /// Whole record batches.
        records: Option<Records>, null(0..);
    }

    /// Where two logs part.
    part FetchEpochEndOffset {
        /// The largest epoch both may have, or -1.
        epoch: LeaderEpoch = LeaderEpoch(-1);
        /// Where it ends on the leader, or -1.
        end_offset: Offset = Offset(-1);
    }

    /// A snapshot of the metadata log.
    part SnapshotId {
        /// The offset it ends at, or -1.
        end_offset: Offset = Offset(-1);
        /// The epoch of its last record, or -1.
        epoch: LeaderEpoch = LeaderEpoch(-1);
    }

    /// A transaction that was aborted.
    part AbortedTransaction {
        /// Its producer.
        producer_id: ProducerId;
        /// Its first offset in this partition.
        first_offset: Offset;
    }
}
