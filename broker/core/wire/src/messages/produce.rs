//! Produce: records on their way into the log.
//!
//! Versions 0 to 2 can be read and answered but carry message sets of before Kafka 0.11; a broker
//! refuses them partition by partition. They stay in the advertised range because librdkafka takes
//! a missing version 0 for a broker without compression (KAFKA-18659).

use super::{LeaderIdAndEpoch, NodeEndpoint};
use crate::{records::Records, text::Text};
use alloc::vec::Vec;
use weir_types::{ErrorCode, Offset, PartitionIndex, TimestampMs, TopicId};

messages! {
    /// Appends one record batch to each of several partitions.
    message ProduceRequest(key = 0, versions = 0..=13, flexible = 9) {
        /// The transaction the records belong to, if to any (KIP-98).
        transactional_id: Option<Text> [3..], null(3..);
        /// Whose flush to wait for: 0 nobody's (and no answer), 1 the leader's, -1 the ISR's.
        acks: i16;
        /// How long to wait for that, in milliseconds.
        timeout_ms: i32;
        /// The records by topic.
        topic_data: Vec<TopicProduceData>;
    }

    /// The records of one topic.
    part TopicProduceData {
        /// The topic's name.
        name: Text [0..=12], ignorable;
        /// The topic's id (KIP-516).
        topic_id: TopicId [13..], ignorable;
        /// The records by partition.
        partition_data: Vec<PartitionProduceData>;
    }

    /// The records of one partition.
    part PartitionProduceData {
        /// The partition; to a topic with `weir.partitioner` it may be -1, which lets the broker place
        /// the records.
        index: PartitionIndex;
        /// One record batch.
        records: Option<Records>, null(0..);
        /// Weir's own: the `NAME@VERSION` of the topic's partitioner that the client counts on.
        weir_partitioner: Option<Text> [9..], null(9..), tag(10000), ignorable;
        /// Weir's own: the count of partitions that the client counts on, or -1.
        weir_partition_count: i32 [9..], tag(10001), ignorable = -1;
    }

    /// Where the records went.
    message ProduceResponse(key = 0, versions = 0..=13, flexible = 9) {
        /// The outcome by topic.
        responses: Vec<TopicProduceResponse>;
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [1..], ignorable;
        /// Where the leaders named in `current_leader` can be reached.
        node_endpoints: Vec<NodeEndpoint> [10..], tag(0), ignorable;
    }

    /// The outcome of one topic.
    part TopicProduceResponse {
        /// The topic's name.
        name: Text [0..=12], ignorable;
        /// The topic's id.
        topic_id: TopicId [13..], ignorable;
        /// The outcome by partition.
        partition_responses: Vec<PartitionProduceResponse>;
    }

    /// The outcome of one partition.
    part PartitionProduceResponse {
        /// The partition.
        index: PartitionIndex;
        /// What failed.
        error_code: ErrorCode;
        /// Offset of the first record.
        base_offset: Offset;
        /// The broker's time where the topic keeps log-append time, else -1.
        log_append_time_ms: TimestampMs [2..], ignorable = TimestampMs(-1);
        /// Where the log starts, or -1.
        log_start_offset: Offset [5..], ignorable = Offset(-1);
        /// Which records of the batch were refused (KIP-467).
        record_errors: Vec<BatchIndexAndErrorMessage> [8..], ignorable;
        /// Why, in one sentence.
        error_message: Option<Text> [8..], null(8..), ignorable;
        /// The leader to ask instead.
        current_leader: LeaderIdAndEpoch [10..], tag(0), ignorable;
    }

    /// One refused record.
    part BatchIndexAndErrorMessage {
        /// Its place in the batch, from 0.
        batch_index: i32 [8..];
        /// Why it was refused.
        batch_index_error_message: Option<Text> [8..], null(8..);
    }
}
