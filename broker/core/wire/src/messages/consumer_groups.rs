//! ConsumerGroupHeartbeat and ConsumerGroupDescribe: the consumer group protocol, in which the
//! coordinator shares out the partitions (KIP-848).

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{ErrorCode, PartitionIndex, TopicId};

messages! {
    /// Joins, stays in or leaves a group, and tells what changed since the last heartbeat.
    message ConsumerGroupHeartbeatRequest(key = 68, versions = 0..=1, flexible = 0) {
        /// The group.
        group_id: Text;
        /// The member; in version 0 empty for a new one, in version 1 an id of its own making
        /// that it keeps while it lives (KIP-1082).
        member_id: Text;
        /// Its epoch: 0 joins, -1 leaves, -2 leaves as a static member that will be back.
        member_epoch: i32;
        /// Its name, if it is a static member; null means as before.
        instance_id: Option<Text>, null(0..);
        /// Its rack; null means as before.
        rack_id: Option<Text>, null(0..);
        /// How long it may take to give partitions up, in milliseconds; -1 means as before.
        rebalance_timeout_ms: i32 = -1;
        /// The topics it subscribes to by name; null means as before.
        subscribed_topic_names: Option<Vec<Text>>, null(0..);
        /// The expression (RE2) its topics match; null means as before, and empty none.
        subscribed_topic_regex: Option<Text> [1..], null(1..);
        /// The assignor it wants, `uniform` or `range`; null means as before, or any.
        server_assignor: Option<Text>, null(0..);
        /// The partitions it owns now; null means as before.
        topic_partitions: Option<Vec<ConsumerGroupHeartbeatTopicPartitions>>, null(0..);
    }

    /// Partitions of one topic that a member owns or is given.
    part ConsumerGroupHeartbeatTopicPartitions {
        /// The topic.
        topic_id: TopicId;
        /// The partitions.
        partitions: Vec<PartitionIndex>;
    }

    /// Where the member stands.
    message ConsumerGroupHeartbeatResponse(key = 68, versions = 0..=1, flexible = 0) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The member.
        member_id: Option<Text>, null(0..);
        /// Its epoch from now on.
        member_epoch: i32;
        /// When the next heartbeat is due, in milliseconds.
        heartbeat_interval_ms: i32;
        /// What the member is to own; null means as before.
        assignment: Option<ConsumerGroupHeartbeatAssignment>, null(0..);
    }

    /// What a member is to own.
    part ConsumerGroupHeartbeatAssignment {
        /// The partitions it can use at once.
        topic_partitions: Vec<ConsumerGroupHeartbeatTopicPartitions>;
    }

    /// Asks for all about some groups of the consumer protocol.
    message ConsumerGroupDescribeRequest(key = 69, versions = 0..=1, flexible = 0) {
        /// Which.
        group_ids: Vec<Text>;
        /// Whether the answer tells what the caller may do with them.
        include_authorized_operations: bool;
    }

    /// The groups.
    message ConsumerGroupDescribeResponse(key = 69, versions = 0..=1, flexible = 0) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// Each group.
        groups: Vec<ConsumerGroupDescribedGroup>;
    }

    /// One group.
    part ConsumerGroupDescribedGroup {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// Its id.
        group_id: Text;
        /// Its state, or empty.
        group_state: Text;
        /// Its epoch: one more with each change of its members or their topics.
        group_epoch: i32;
        /// The epoch for which the partitions were shared out.
        assignment_epoch: i32;
        /// The assignor.
        assignor_name: Text;
        /// Its members.
        members: Vec<ConsumerGroupDescribeMember>;
        /// What the caller may do with it, as bits; the lowest number: not asked.
        authorized_operations: i32 = i32::MIN;
    }

    /// One member.
    part ConsumerGroupDescribeMember {
        /// Its id.
        member_id: Text;
        /// Its name, if it is a static member.
        instance_id: Option<Text>, null(0..);
        /// Its rack.
        rack_id: Option<Text>, null(0..);
        /// Its epoch.
        member_epoch: i32;
        /// What its client calls itself.
        client_id: Text;
        /// Where it connects from.
        client_host: Text;
        /// The topics it subscribes to by name.
        subscribed_topic_names: Vec<Text>;
        /// The expression its topics match.
        subscribed_topic_regex: Option<Text>, null(0..);
        /// What it owns.
        assignment: ConsumerGroupDescribeAssignment;
        /// What it is to own.
        target_assignment: ConsumerGroupDescribeAssignment;
        /// Which protocol it speaks: 0 classic, 1 consumer, -1 not told (KIP-1099).
        member_type: i8 [1..], ignorable = -1;
    }

    /// What a member owns or is to own.
    part ConsumerGroupDescribeAssignment {
        /// The partitions.
        topic_partitions: Vec<ConsumerGroupDescribeTopicPartitions>;
    }

    /// Partitions of one topic.
    part ConsumerGroupDescribeTopicPartitions {
        /// The topic.
        topic_id: TopicId;
        /// Its name.
        topic_name: Text;
        /// The partitions.
        partitions: Vec<PartitionIndex>;
    }
}

nullable_parts! {
    ConsumerGroupHeartbeatAssignment;
}
