//! ConsumerProtocolSubscription and ConsumerProtocolAssignment: what consumers say and are given
//! inside the bytes of the classic group protocol. See [`Embedded`](crate::embedded::Embedded) for
//! the version in front of them.

use crate::text::Text;
use alloc::vec::Vec;
use bytes::Bytes;
use weir_types::PartitionIndex;

messages! {
    /// What a consumer tells an assignor about itself.
    part ConsumerProtocolSubscription {
        /// The topics it subscribes to.
        topics: Vec<Text>;
        /// What the assignor of its own side adds.
        user_data: Option<Bytes>, null(0..);
        /// The partitions it owned before the rebalance (KIP-429).
        owned_partitions: Vec<ConsumerProtocolTopicPartition> [1..], ignorable;
        /// The generation in which it owned them, or -1 (KIP-792).
        generation_id: i32 [2..], ignorable = -1;
        /// Its rack (KIP-881).
        rack_id: Option<Text> [3..], null(3..), ignorable;
    }

    /// What a consumer is given. Version 1 to 3 are as version 0.
    part ConsumerProtocolAssignment {
        /// The partitions.
        assigned_partitions: Vec<ConsumerProtocolTopicPartition>;
        /// What the assignor adds.
        user_data: Option<Bytes>, null(0..);
    }

    /// Partitions of one topic.
    part ConsumerProtocolTopicPartition {
        /// The topic's name.
        topic: Text;
        /// The partitions.
        partitions: Vec<PartitionIndex>;
    }
}
