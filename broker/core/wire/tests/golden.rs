//! Bytes of the Java client, where no other oracle reaches and for the newest versions.
//!
//! Made once with the message classes of Apache Kafka's `kafka-clients`: Produce 0 to 2 with 3.9.1
//! (the last release that has them), the rest with 4.1.0. Each message was filled with the values
//! seen here, written with `ApiMessage.write` and printed as hex.

mod support;

use support::{TOPIC, assert_golden, bytes};
use weir_types::{
    BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerId, TimestampMs, TopicId,
};
use weir_wire::{
    Records, Request, Text, decode_request, encode_response,
    messages::{
        AbortedTransaction, ApiVersion, ApiVersionsRequest, ApiVersionsResponse, Cursor,
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsTopicRequest, FetchEpochEndOffset,
        FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse,
        FinalizedFeatureKey, ForgottenTopic, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
        PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
        ReplicaState, SupportedFeatureKey, TopicProduceData, TopicProduceResponse,
    },
};

/// Old producers send message sets; they are read as bytes and refused by the broker.
#[test]
fn produce_requests_of_versions_0_to_2() {
    const HEAD: &str = "ffff000005dc0000000100066f72646572730000000200000003";
    const TAIL: &str = "00000004ffffffff";
    const MAGIC_0: &str = "0000000000000000000000101fecd70a0000000000016b0000000176";
    const MAGIC_1: &str =
        "00000000000000000000001839268c3301000000018bcfe56800000000016b0000000176";
    for (version, message_set) in [(0, MAGIC_0), (1, MAGIC_0), (2, MAGIC_1)] {
        let message_set_bytes = bytes(message_set);
        let request = ProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: 1500,
            topic_data: vec![TopicProduceData {
                name: "orders".into(),
                topic_id: TopicId::ZERO,
                partition_data: vec![
                    PartitionProduceData {
                        index: PartitionIndex(3),
                        records: Some(message_set_bytes.clone().into()),
                        ..PartitionProduceData::default()
                    },
                    PartitionProduceData {
                        index: PartitionIndex(4),
                        records: None,
                        ..PartitionProduceData::default()
                    },
                ],
            }],
        };
        let size = format!("{:08x}", message_set_bytes.len());
        let golden = format!("{HEAD}{size}{message_set}{TAIL}");
        assert_golden(&request, version, &golden);
    }
}

#[test]
fn produce_responses_of_versions_0_to_2() {
    for (version, golden) in [
        (
            0,
            "0000000100066f726465727300000002000000030023ffffffffffffffff000000040000000000000000004d",
        ),
        (
            1,
            "0000000100066f726465727300000002000000030023ffffffffffffffff000000040000000000000000004d0000000c",
        ),
        (
            2,
            "0000000100066f726465727300000002000000030023ffffffffffffffffffffffffffffffff000000040000000000000000004d0000018bcfe568000000000c",
        ),
    ] {
        let partition = |index, error_code, base_offset| PartitionProduceResponse {
            index: PartitionIndex(index),
            error_code,
            base_offset: Offset(base_offset),
            ..Default::default()
        };
        let mut stored = partition(4, ErrorCode::None, 77);
        if version >= 2 {
            stored.log_append_time_ms = TimestampMs(1_700_000_000_000);
        }
        let response = ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: "orders".into(),
                topic_id: TopicId::ZERO,
                partition_responses: vec![partition(3, ErrorCode::UnsupportedVersion, -1), stored],
            }],
            throttle_time_ms: if version >= 1 { 12 } else { 0 },
            node_endpoints: Vec::new(),
        };
        assert_golden(&response, version, golden);
    }
}

/// The first frame a Java client of 4.1 sends, header and all.
#[test]
fn api_versions_as_the_java_client_asks() {
    let frame =
        bytes("001200040000010200046a61766100126170616368652d6b61666b612d6a61766106342e312e3000");
    let (header, request) = decode_request(frame).unwrap();
    assert_eq!((header.api_key, header.api_version), (18, 4));
    assert_eq!(header.correlation_id, 258);
    assert_eq!(header.client_id, Some(Text::from("java")));
    let body = ApiVersionsRequest {
        client_software_name: "apache-kafka-java".into(),
        client_software_version: "4.1.0".into(),
    };
    assert_eq!(request, Request::ApiVersions(body));
}

/// In a version that is too new, the client is told the versions in the oldest form.
#[test]
fn api_versions_too_new_is_answered_in_version_0() {
    let error = decode_request(bytes("0012000500000102ffff0000")).unwrap_err();
    let answer = error.answer().unwrap().concat();
    let list = weir_wire::ApiKey::advertised();
    assert_eq!(answer.len(), 4 + 4 + 2 + 4 + 6 * list.len());
    assert_eq!(answer[4..10], [0, 0, 1, 2, 0, 35]);
    let produce = list.first().unwrap();
    assert_eq!((produce.api_key, produce.min_version), (0, 0));
    // Any other API in a version that does not exist ends the connection.
    let error = decode_request(bytes("0001000300000102ffff0000")).unwrap_err();
    assert_eq!(error.answer(), None);
    assert_eq!(error.to_string(), "Fetch has no version 3 here, only 4-18");
    let error = decode_request(bytes("0007000300000102ffff0000")).unwrap_err();
    assert_eq!(error.answer(), None);
}

#[test]
fn api_versions_response_4_with_features() {
    let response = ApiVersionsResponse {
        api_keys: vec![ApiVersion {
            api_key: 0,
            min_version: 0,
            max_version: 13,
        }],
        supported_features: vec![SupportedFeatureKey {
            name: "metadata.version".into(),
            min_version: 1,
            max_version: 29,
        }],
        finalized_features_epoch: 6,
        finalized_features: vec![FinalizedFeatureKey {
            name: "metadata.version".into(),
            max_version_level: 29,
            min_version_level: 29,
        }],
        ..Default::default()
    };
    assert_golden(
        &response,
        4,
        "00000200000000000d000000000003001702116d657461646174612e76657273696f6e0001001d0001080000000000000006021702116d657461646174612e76657273696f6e001d001d00",
    );
    let frame = encode_response(3, 4, &response.into()).unwrap().concat();
    assert_eq!(frame[4..10], [0, 0, 0, 3, 0, 0]);
}

#[test]
fn fetch_request_18() {
    let request = FetchRequest {
        cluster_id: Some("c".into()),
        replica_state: ReplicaState {
            replica_id: BrokerId(2),
            replica_epoch: 6,
        },
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 52_428_800,
        isolation_level: 1,
        session_id: 7,
        session_epoch: 8,
        topics: vec![FetchTopic {
            topic: Text::EMPTY,
            topic_id: TOPIC,
            partitions: vec![FetchPartition {
                partition: PartitionIndex(1),
                current_leader_epoch: LeaderEpoch(2),
                fetch_offset: Offset(3),
                last_fetched_epoch: LeaderEpoch(4),
                log_start_offset: Offset(5),
                partition_max_bytes: 6,
                replica_directory_id: TOPIC,
                high_watermark: Offset(7),
            }],
        }],
        forgotten_topics_data: vec![ForgottenTopic {
            topic: Text::EMPTY,
            topic_id: TOPIC,
            partitions: vec![PartitionIndex(9), PartitionIndex(10)],
        }],
        rack_id: "r".into(),
        ..Default::default()
    };
    assert_golden(
        &request,
        18,
        "000001f40000000103200000010000000700000008020123456789abcdef1032547698badcfe0200000001000000020000000000000003000000040000000000000005000000060200100123456789abcdef1032547698badcfe0108000000000000000700020123456789abcdef1032547698badcfe03000000090000000a0002720200020263010d00000002000000000000000600",
    );
}

#[test]
fn fetch_response_18() {
    let response = FetchResponse {
        session_id: 5,
        responses: vec![FetchableTopicResponse {
            topic: Text::EMPTY,
            topic_id: TOPIC,
            partitions: vec![PartitionData {
                partition_index: PartitionIndex(2),
                error_code: ErrorCode::NotLeaderOrFollower,
                high_watermark: Offset(100),
                last_stable_offset: Offset(99),
                log_start_offset: Offset(1),
                diverging_epoch: FetchEpochEndOffset {
                    epoch: LeaderEpoch(4),
                    end_offset: Offset(50),
                },
                current_leader: LeaderIdAndEpoch {
                    leader_id: BrokerId(3),
                    leader_epoch: LeaderEpoch(11),
                },
                aborted_transactions: Some(vec![AbortedTransaction {
                    producer_id: ProducerId(8),
                    first_offset: Offset(9),
                }]),
                records: Some(Records::EMPTY),
                ..Default::default()
            }],
        }],
        node_endpoints: vec![NodeEndpoint {
            node_id: BrokerId(3),
            host: "b3".into(),
            port: 9092,
            rack: Some("r".into()),
        }],
        ..Default::default()
    };
    assert_golden(
        &response,
        18,
        "00000000000000000005020123456789abcdef1032547698badcfe02000000020006000000000000006400000000000000630000000000000001020000000000000008000000000000000900ffffffff0102000d000000040000000000000032000109000000030000000b000001000f020000000303623300002384027200",
    );
}

#[test]
fn a_struct_that_may_be_null() {
    let request = DescribeTopicPartitionsRequest {
        topics: vec![DescribeTopicPartitionsTopicRequest { name: "t".into() }],
        cursor: Some(Cursor {
            topic_name: "t".into(),
            partition_index: PartitionIndex(4),
        }),
        ..Default::default()
    };
    assert_golden(&request, 0, "02027400000007d0010274000000040000");
    let request = DescribeTopicPartitionsRequest::default();
    assert_golden(&request, 0, "01000007d0ff00");
}

#[test]
fn bytes_behind_a_metadata_request_are_passed_over_and_behind_others_refused() {
    // From librdkafka 2.16: all topics, with the rest of a count that it forgot to take out.
    let head = b"\x00\x03\x00\x0d\x00\x00\x00\x02\x00\x07rdkafka\x00";
    let frame = [&head[..], &[0; 7]].concat();
    let (_, request) = weir_wire::decode_request(frame.into()).unwrap();
    let weir_wire::Request::Metadata(request) = request else {
        panic!("not a Metadata request: {request:?}");
    };
    assert_eq!(request.topics, None);
    // ListGroups, version 0, and a byte.
    let frame = b"\x00\x10\x00\x00\x00\x00\x00\x02\x00\x00\x00";
    let error = weir_wire::decode_request(bytes::Bytes::from_static(frame)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed request: ListGroups.end: 1 bytes are left over behind it"
    );
}
