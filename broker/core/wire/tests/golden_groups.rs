//! Golden bytes of the messages of groups: of the Java client where no other oracle reaches, and of
//! Weir's own APIs.
//!
//! The Java client's were made once with the message classes of Apache Kafka's `kafka-clients`
//! 4.3.1, filled with the values seen here. Weir's own were put together by hand, field by field,
//! with another program; they may never change for a version that was released.

mod support;

use bytes::Bytes;
use support::{TOPIC, assert_golden, bytes};
use weir_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use weir_wire::{
    Embedded, Text,
    messages::{
        ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse, ConsumerGroupHeartbeatTopicPartitions,
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, ConsumerProtocolTopicPartition,
        GroupEvent, GroupEventCause, GroupEventMove, GroupEventStill, GroupHistoryRequest,
        GroupHistoryResponse, GroupWatchRequest, GroupWatchResponse, LagGroup, LagGroupTopic,
        LagHistoryGroup, LagHistoryRequest, LagHistoryResponse, LagHistoryTopic, LagMember,
        LagPartition, LagRequest, LagResponse, LagTopic, OffsetCommitRequest,
        OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
        OffsetCommitResponsePartition, OffsetCommitResponseTopic, OffsetFetchRequest,
        OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    },
};

const START: TimestampMs = TimestampMs(1_700_000_000_000);

#[test]
fn offset_commit_10_names_topics_by_id() {
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: 7,
        member_id: "m".into(),
        group_instance_id: Some("i".into()),
        topics: vec![OffsetCommitRequestTopic {
            name: Text::EMPTY,
            topic_id: TOPIC,
            partitions: vec![
                OffsetCommitRequestPartition {
                    partition_index: PartitionIndex(3),
                    committed_offset: Offset(77),
                    committed_leader_epoch: LeaderEpoch(5),
                    committed_metadata: Some("note".into()),
                },
                OffsetCommitRequestPartition {
                    partition_index: PartitionIndex(4),
                    committed_offset: Offset(78),
                    committed_metadata: None,
                    ..Default::default()
                },
            ],
        }],
        ..Default::default()
    };
    assert_golden(
        &request,
        10,
        "026700000007026d0269020123456789abcdef1032547698badcfe0300000003000000000000004d00000005056e6f74650000000004000000000000004effffffff00000000",
    );
    let response = OffsetCommitResponse {
        throttle_time_ms: 12,
        topics: vec![OffsetCommitResponseTopic {
            name: Text::EMPTY,
            topic_id: TOPIC,
            partitions: vec![OffsetCommitResponsePartition {
                partition_index: PartitionIndex(3),
                error_code: ErrorCode::StaleMemberEpoch,
            }],
        }],
    };
    assert_golden(
        &response,
        10,
        "0000000c020123456789abcdef1032547698badcfe02000000030071000000",
    );
}

#[test]
fn offset_fetch_10_names_topics_by_id() {
    let request = OffsetFetchRequest {
        groups: vec![
            OffsetFetchRequestGroup {
                group_id: "g".into(),
                member_id: Some("m".into()),
                member_epoch: 7,
                topics: Some(vec![OffsetFetchRequestTopics {
                    name: Text::EMPTY,
                    topic_id: TOPIC,
                    partition_indexes: vec![PartitionIndex(3), PartitionIndex(4)],
                }]),
            },
            OffsetFetchRequestGroup {
                group_id: "h".into(),
                topics: None,
                ..Default::default()
            },
        ],
        require_stable: true,
        ..Default::default()
    };
    assert_golden(
        &request,
        10,
        "030267026d00000007020123456789abcdef1032547698badcfe0300000003000000040000026800ffffffff00000100",
    );
    let response = OffsetFetchResponse {
        throttle_time_ms: 12,
        groups: vec![
            OffsetFetchResponseGroup {
                group_id: "g".into(),
                topics: vec![OffsetFetchResponseTopics {
                    name: Text::EMPTY,
                    topic_id: TOPIC,
                    partitions: vec![OffsetFetchResponsePartitions {
                        partition_index: PartitionIndex(3),
                        committed_offset: Offset(77),
                        committed_leader_epoch: LeaderEpoch(5),
                        metadata: Some("note".into()),
                        error_code: ErrorCode::None,
                    }],
                }],
                error_code: ErrorCode::None,
            },
            OffsetFetchResponseGroup {
                group_id: "h".into(),
                error_code: ErrorCode::GroupIdNotFound,
                ..Default::default()
            },
        ],
        ..Default::default()
    };
    assert_golden(
        &response,
        10,
        "0000000c030267020123456789abcdef1032547698badcfe0200000003000000000000004d00000005056e6f74650000000000000002680100450000",
    );
}

#[test]
fn a_consumer_joins_by_expression_and_is_given_partitions() {
    let request = ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "m".into(),
        rebalance_timeout_ms: 300_000,
        subscribed_topic_regex: Some("or.*".into()),
        server_assignor: Some("uniform".into()),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    assert_golden(
        &request,
        1,
        "0267026d000000000000000493e000056f722e2a08756e69666f726d0100",
    );
    let response = ConsumerGroupHeartbeatResponse {
        member_id: Some("m".into()),
        member_epoch: 4,
        heartbeat_interval_ms: 5000,
        assignment: Some(ConsumerGroupHeartbeatAssignment {
            topic_partitions: vec![ConsumerGroupHeartbeatTopicPartitions {
                topic_id: TOPIC,
                partitions: vec![PartitionIndex(1), PartitionIndex(2)],
            }],
        }),
        ..Default::default()
    };
    assert_golden(
        &response,
        1,
        "00000000000000026d000000040000138801020123456789abcdef1032547698badcfe030000000100000002000000",
    );
}

#[test]
fn the_consumer_protocol_has_its_version_in_front() {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["orders".into(), "t".into()],
        user_data: Some(Bytes::from_static(&[1, 2])),
        owned_partitions: vec![ConsumerProtocolTopicPartition {
            topic: "orders".into(),
            partitions: vec![PartitionIndex(0), PartitionIndex(2)],
        }],
        generation_id: 9,
        rack_id: Some("r".into()),
    };
    let golden = bytes(
        "00030000000200066f72646572730001740000000201020000000100066f726465727300000002000000000000000200000009000172",
    );
    assert_eq!(subscription.to_bytes(3).unwrap(), golden);
    let read = ConsumerProtocolSubscription::from_bytes(golden).unwrap();
    assert_eq!(read, (3, subscription));
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: vec![ConsumerProtocolTopicPartition {
            topic: "orders".into(),
            partitions: vec![PartitionIndex(1), PartitionIndex(3)],
        }],
        user_data: None,
    };
    let golden = bytes("00000000000100066f7264657273000000020000000100000003ffffffff");
    assert_eq!(assignment.to_bytes(0).unwrap(), golden);
    let read = ConsumerProtocolAssignment::from_bytes(golden).unwrap();
    assert_eq!(read, (0, assignment));
}

#[test]
fn group_history_0() {
    let request = GroupHistoryRequest {
        groups: vec!["g".into()],
        from_ms: START,
        newest_first: true,
        max_events: 50,
        cursor: Some("c".into()),
        ..Default::default()
    };
    assert_golden(
        &request,
        0,
        "0202670000018bcfe56800ffffffffffffffff0100000032026300",
    );
    let moved = |partitions: &[i32], to_member: Option<Text>| GroupEventMove {
        topic: "orders".into(),
        partitions: partitions.iter().copied().map(PartitionIndex).collect(),
        from_member: Some("m1".into()),
        from_client: Some("app".into()),
        to_client: to_member.as_ref().map(|_| "app".into()),
        to_member,
    };
    let response = GroupHistoryResponse {
        events: vec![GroupEvent {
            group_id: "g".into(),
            sequence: 41,
            time_ms: START,
            causes: vec![GroupEventCause {
                cause: 2,
                text: "session timed out".into(),
                member_id: Some("m1".into()),
                client_id: Some("app".into()),
            }],
            cause_count: 1,
            group_epoch: 8,
            members_before: 2,
            members_after: 1,
            moves: vec![moved(&[0, 2], Some("m2".into())), moved(&[3], None)],
            partitions_moved: 3,
            duration_ms: 1250,
            still: vec![GroupEventStill {
                member_id: "m2".into(),
                client_id: "app".into(),
                still_ms: 40,
            }],
        }],
        next_cursor: Some("n".into()),
        watch_cursor: Some("w1:3=41".into()),
        ..Default::default()
    };
    assert_golden(
        &response,
        0,
        "00000002026700000000000000290000018bcfe5680002021273657373696f6e2074696d6564206f7574036d3104617070000000000100000008000000020000000103076f7264657273030000000000000002036d31036d32046170700461707000076f72646572730200000003036d31000461707000000000000300000000000004e202036d320461707000000000000000280000026e0877313a333d343100",
    );
}

#[test]
fn group_watch_0() {
    let request = GroupWatchRequest {
        cursor: Some("w1:3=41".into()),
        max_events: 10,
        max_wait_ms: 500,
        follow: true,
        ..Default::default()
    };
    assert_golden(&request, 0, "010877313a333d34310000000a000001f40100");
    let response = GroupWatchResponse {
        missed: 3,
        next_cursor: Some("w1:3=44".into()),
        ..Default::default()
    };
    assert_golden(&response, 0, "0000000100000000000000030877313a333d343400");
}

#[test]
fn lag_request_0() {
    let request = LagRequest {
        groups: vec!["g".into()],
        topics: vec!["orders".into()],
        include_partitions: false,
        page_size: 100,
        changes_since: 6,
        max_wait_ms: 500,
        ..Default::default()
    };
    assert_golden(
        &request,
        0,
        "02026702076f72646572730000000064000000000000000006000001f40000",
    );
}

#[test]
fn lag_response_0() {
    let orders = LagGroupTopic {
        topic: "orders".into(),
        topic_id: TOPIC,
        lag: 7,
        lag_ms: 1500,
        lag_ms_at_least: -1,
        partitions: vec![LagPartition {
            partition: PartitionIndex(2),
            committed_offset: Offset(70),
            log_start_offset: Offset(5),
            high_watermark: Offset(77),
            lag: 7,
            lag_ms: 1500,
            lag_ms_at_least: -1,
            member: 0,
        }],
    };
    let response = LagResponse {
        generation: 7,
        complete: true,
        time_ms: START,
        groups: vec![LagGroup {
            group_id: "g".into(),
            group_state: "Stable".into(),
            group_type: "consumer".into(),
            group_epoch: 8,
            member_count: 1,
            lag: 7,
            lag_ms: 1500,
            lag_ms_at_least: -1,
            members: vec![LagMember {
                member_id: "m1".into(),
                instance_id: None,
                client_id: "app".into(),
                client_host: "/127.0.0.1".into(),
            }],
            topics: vec![orders],
        }],
        topics: vec![LagTopic {
            topic: "orders".into(),
            topic_id: TOPIC,
            partition_count: 4,
            records_in: 1000,
            bytes_in: 2000,
            records_out: 900,
            bytes_out: 1800,
        }],
        window_ms: 10_000,
        removed_groups: vec!["h".into()],
        next_cursor: Some("p2".into()),
        ..Default::default()
    };
    assert_golden(
        &response,
        0,
        "0000000000000000000007010000018bcfe5680002026707537461626c6509636f6e73756d65720000000800000001000000000000000700000000000005dcffffffffffffffff02036d3100046170700b2f3132372e302e302e310002076f72646572730123456789abcdef1032547698badcfe000000000000000700000000000005dcffffffffffffffff020000000200000000000000460000000000000005000000000000004d000000000000000700000000000005dcffffffffffffffff0000000000000002076f72646572730123456789abcdef1032547698badcfe0000000400000000000003e800000000000007d00000000000000384000000000000070800000027100202680103703200",
    );
}

#[test]
fn lag_history_0() {
    let request = LagHistoryRequest {
        kinds: 5,
        topics: vec!["orders".into()],
        from_ms: START,
        to_ms: TimestampMs(START.0 + 60_000),
        resolution_ms: 10_000,
        max_points: 500,
        ..Default::default()
    };
    assert_golden(
        &request,
        0,
        "050102076f72646572730000018bcfe568000000018bcfe6526000002710000001f40000",
    );
    let response = LagHistoryResponse {
        resolution_ms: 10_000,
        groups: vec![LagHistoryGroup {
            group_id: "g".into(),
            topic: None,
            start_ms: START,
            lag: vec![7, -1],
            lag_ms: vec![1500, -1],
        }],
        topics: vec![LagHistoryTopic {
            topic: "orders".into(),
            start_ms: START,
            records_in: vec![10],
            bytes_in: vec![20],
            records_out: vec![9],
            bytes_out: vec![18],
        }],
        ..Default::default()
    };
    assert_golden(
        &response,
        0,
        "00000000002710020267000000018bcfe56800030000000000000007ffffffffffffffff0300000000000005dcffffffffffffffff0002076f72646572730000018bcfe5680002000000000000000a020000000000000014020000000000000009020000000000000012000000",
    );
}
