//! InitProducerId and DescribeProducers: idempotent producers (KIP-98, KIP-360, KIP-664).

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId, TimestampMs};

messages! {
    /// Asks for a producer id and an epoch.
    message InitProducerIdRequest(key = 22, versions = 0..=5, flexible = 2) {
        /// Whose transactions, or null for an idempotent producer without any.
        transactional_id: Option<Text>, null(0..);
        /// After how long an open transaction is aborted, in milliseconds.
        transaction_timeout_ms: i32;
        /// The id the producer has already, or -1 (KIP-360).
        producer_id: ProducerId [3..] = ProducerId(-1);
        /// The epoch it has already, or -1.
        producer_epoch: ProducerEpoch [3..] = ProducerEpoch(-1);
    }

    /// A producer id and an epoch.
    message InitProducerIdResponse(key = 22, versions = 0..=5, flexible = 2) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32, ignorable;
        /// What failed.
        error_code: ErrorCode;
        /// The id, or -1.
        producer_id: ProducerId = ProducerId(-1);
        /// The epoch.
        producer_epoch: ProducerEpoch;
    }

    /// Asks which producers write to some partitions.
    message DescribeProducersRequest(key = 61, versions = 0..=0, flexible = 0) {
        /// Which topics.
        topics: Vec<DescribeProducersTopicRequest>;
    }

    /// One topic.
    part DescribeProducersTopicRequest {
        /// Its name.
        name: Text;
        /// Which of its partitions.
        partition_indexes: Vec<PartitionIndex>;
    }

    /// The producers.
    message DescribeProducersResponse(key = 61, versions = 0..=0, flexible = 0) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// The answer by topic.
        topics: Vec<DescribeProducersTopicResponse>;
    }

    /// One topic's answer.
    part DescribeProducersTopicResponse {
        /// Its name.
        name: Text;
        /// Its partitions.
        partitions: Vec<DescribeProducersPartitionResponse>;
    }

    /// One partition's answer.
    part DescribeProducersPartitionResponse {
        /// Its index.
        partition_index: PartitionIndex;
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// Its producers.
        active_producers: Vec<ProducerState>;
    }

    /// One producer.
    part ProducerState {
        /// Its id.
        producer_id: ProducerId;
        /// Its epoch (wider here than anywhere else in the protocol).
        producer_epoch: i32;
        /// Sequence of its last record, or -1.
        last_sequence: i32 = -1;
        /// Timestamp of its last record, or -1.
        last_timestamp: TimestampMs = TimestampMs(-1);
        /// Epoch of the transaction coordinator that last wrote a marker.
        coordinator_epoch: i32;
        /// First offset of its open transaction, or -1.
        current_txn_start_offset: Offset = Offset(-1);
    }
}
