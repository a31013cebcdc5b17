//! A whole broker in one thread: fronts over two shards over a log in memory, by request and
//! response.

mod broker;

use broker::{Broker, admin, client};
use expect_test::{Expect, expect};
use weir_types::{
    ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerId, TimestampMs, TopicId,
};
use weir_wire::{Records, Response, Text, messages::*};

fn text(text: &str) -> Text {
    Text::from(text)
}

/// Compares what responses say, a line each.
fn same(actual: &[String], expected: Expect) {
    expected.assert_eq(&actual.join("\n"));
}

fn produce(topic: &str, partition: i32, records: Option<Records>) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: text(topic),
            partition_data: vec![PartitionProduceData {
                index: PartitionIndex(partition),
                records,
                ..PartitionProduceData::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn fetch(topic: &str, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions.iter().map(|(index, offset)| FetchPartition {
        partition: PartitionIndex(*index),
        fetch_offset: Offset(*offset),
        partition_max_bytes: 1 << 20,
        ..Default::default()
    });
    FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: text(topic),
            partitions: partitions.collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

type Produced = Vec<(i32, ErrorCode, Offset, Option<String>)>;

/// Error, session, and for each partition: its index, error, high watermark and bytes.
type Fetched = (ErrorCode, i32, Vec<(i32, ErrorCode, i64, usize)>);

fn lines(rows: Produced) -> Vec<String> {
    let line = |(partition, error, offset, message): (i32, ErrorCode, Offset, Option<String>)| {
        let message = message.unwrap_or_default();
        format!("{partition} {} {offset} {message}", error.name())
    };
    rows.into_iter().map(line).collect()
}

fn produced(response: Response) -> Produced {
    let Response::Produce(response) = response else {
        panic!("not an answer to Produce: {response:?}");
    };
    let parts = response.responses.into_iter();
    parts
        .flat_map(|topic| topic.partition_responses)
        .map(|p| {
            (
                p.index.0,
                p.error_code,
                p.base_offset,
                p.error_message.map(String::from),
            )
        })
        .collect()
}

fn fetched(response: Response) -> Fetched {
    let Response::Fetch(response) = response else {
        panic!("not an answer to Fetch: {response:?}");
    };
    let parts = response
        .responses
        .into_iter()
        .flat_map(|topic| topic.partitions);
    let rows = parts.map(|p| {
        let bytes = p.records.as_ref().map_or(0, Records::size_bytes);
        (p.partition_index.0, p.error_code, p.high_watermark.0, bytes)
    });
    (response.error_code, response.session_id, rows.collect())
}

#[test]
fn a_client_makes_a_topic_by_naming_it_and_reads_what_it_wrote() {
    let mut broker = Broker::new();
    let named = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(text("t")),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let Response::Metadata(metadata) = broker.ask(12, named) else {
        panic!("not an answer to Metadata");
    };
    assert_eq!(metadata.brokers[0].host, "quic.example");
    assert_eq!(metadata.topics[0].partitions.len(), 3);
    let records = broker.batch(2, 0);
    let answer = broker.ask(9, produce("t", 1, Some(records.clone())));
    same(&lines(produced(answer)), expect!["1 NONE 0 "]);
    let answer = broker.ask(11, fetch("t", &[(0, 0), (1, 0), (2, 0)]));
    let (_, _, rows) = fetched(answer);
    assert_eq!(
        rows.iter().map(|row| row.3).sum::<usize>(),
        records.size_bytes()
    );
}

#[test]
fn produce_tells_what_is_wrong_with_each_batch() {
    let mut broker = Broker::new();
    broker.create("t", &[("max.message.bytes", "2000")]);
    let good = broker.batch(1, 0);
    let mut ask = |request: ProduceRequest| lines(produced(broker.ask(9, request)));
    let mut rows = Vec::new();
    rows.extend(ask(produce("nope", 0, Some(good.clone()))));
    rows.extend(ask(produce("t", 9, Some(good.clone()))));
    rows.extend(ask(produce("t", 0, None)));
    let mut bytes = good.to_bytes().to_vec();
    bytes.extend_from_slice(&bytes.clone());
    rows.extend(ask(produce("t", 0, Some(Records::Slice(bytes.into())))));
    let mut bytes = good.to_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    rows.extend(ask(produce("t", 0, Some(Records::Slice(bytes.into())))));
    let mut request = produce("t", 0, Some(good.clone()));
    request.acks = 2;
    rows.extend(ask(request));
    let mut request = produce("t", 0, Some(good.clone()));
    request.transactional_id = Some(text("x"));
    rows.extend(ask(request));
    let large = broker.batch(1, 5000);
    rows.extend(lines(produced(broker.ask(9, produce("t", 0, Some(large))))));
    rows.extend(lines(produced(broker.ask(2, produce("t", 0, Some(good))))));
    same(
        &rows,
        expect![[r#"
        0 UNKNOWN_TOPIC_OR_PARTITION -1 there is no topic 'nope'
        9 UNKNOWN_TOPIC_OR_PARTITION -1 topic 't' has no partition 9
        0 INVALID_RECORD -1 there is no record batch for the partition
        0 INVALID_RECORD -1 a partition takes exactly one record batch in a request
        0 CORRUPT_MESSAGE -1 record batch fails its CRC-32C: header says 0xb37faff6, bytes give 0x41142cf5
        0 INVALID_REQUIRED_ACKS -1 acks must be 0, 1 or -1 (all), not 2
        0 INVALID_REQUEST -1 transactions are not there yet
        0 MESSAGE_TOO_LARGE -1 the batch has 5070 bytes; max.message.bytes allows 2000
        0 UNSUPPORTED_VERSION -1 Produce needs version 3 or later: older ones carry message sets of before Kafka 0.11"#]],
    );
}

#[test]
fn acks_of_zero_are_not_answered() {
    let mut broker = Broker::new();
    broker.create("t", &[]);
    let records = broker.batch(1, 0);
    let mut request = produce("t", 0, Some(records.clone()));
    request.acks = 0;
    assert_eq!(broker.try_ask(9, request), Err("silent".to_string()));
    let mut request = produce("nope", 0, Some(records));
    request.acks = 0;
    let closed = broker.try_ask(9, request).unwrap_err();
    assert!(closed.contains("there is no topic 'nope'"), "{closed}");
}

#[test]
fn fetch_sessions_tell_only_changes() {
    let mut broker = Broker::new();
    broker.create("t", &[]);
    let mut first = fetch("t", &[(0, 0), (1, 0), (2, 0)]);
    first.session_epoch = 0;
    let (error, session, rows) = fetched(broker.ask(11, first));
    assert_eq!((error, rows.len()), (ErrorCode::None, 3));
    assert!(session > 0);
    let next = |epoch, mut request: FetchRequest| {
        request.session_id = session;
        request.session_epoch = epoch;
        request
    };
    // Nothing new: nothing is told.
    let (_, _, rows) = fetched(broker.ask(11, next(1, fetch("t", &[]))));
    assert_eq!(rows, []);
    let records = broker.batch(1, 0);
    broker.ask(9, produce("t", 1, Some(records.clone())));
    let (_, id, rows) = fetched(broker.ask(11, next(2, fetch("t", &[]))));
    assert_eq!(rows, [(1, ErrorCode::None, 1, records.size_bytes())]);
    assert_eq!(id, session);
    let (_, _, rows) = fetched(broker.ask(11, next(3, fetch("t", &[(1, 1)]))));
    assert_eq!(rows, []);
    let wrong = fetched(broker.ask(11, next(3, fetch("t", &[]))));
    assert_eq!(wrong.0, ErrorCode::InvalidFetchSessionEpoch);
    let mut other = next(4, fetch("t", &[]));
    other.session_id = session ^ 1;
    assert_eq!(
        fetched(broker.ask(11, other)).0,
        ErrorCode::FetchSessionIdNotFound
    );
    let by_id = fetched(broker.ask(13, next(4, fetch("", &[]))));
    assert_eq!(by_id.0, ErrorCode::FetchSessionTopicIdError);
    // A deleted topic is told in every answer.
    broker.delete("t");
    let (_, _, rows) = fetched(broker.ask(11, next(4, fetch("t", &[]))));
    assert_eq!(rows.len(), 3);
    assert!(
        rows.iter()
            .all(|row| row.1 == ErrorCode::UnknownTopicOrPartition)
    );
}

#[test]
fn topics_by_id_have_their_own_error() {
    let mut broker = Broker::new();
    let mut request = fetch("", &[(0, 0)]);
    request.topics[0].topic_id = TopicId([9; 16]);
    assert_eq!(
        fetched(broker.ask(13, request)).2[0].1,
        ErrorCode::UnknownTopicId
    );
    let records = broker.batch(1, 0);
    let mut request = produce("", 0, Some(records));
    request.topic_data[0].topic_id = TopicId([9; 16]);
    assert_eq!(
        produced(broker.ask(13, request))[0].1,
        ErrorCode::UnknownTopicId
    );
}

#[test]
fn clients_produce_fetch_and_describe_and_no_more() {
    let mut broker = Broker::new();
    broker.create("t", &[]);
    broker.who = client();
    let records = broker.batch(1, 0);
    assert_eq!(
        produced(broker.ask(9, produce("t", 0, Some(records))))[0].1,
        ErrorCode::None
    );
    assert_eq!(
        fetched(broker.ask(11, fetch("t", &[(0, 0)]))).2[0].1,
        ErrorCode::None
    );
    let Response::CreateTopics(created) = broker.ask(7, broker::create_request("u", &[])) else {
        panic!("not an answer to CreateTopics");
    };
    assert_eq!(
        created.topics[0].error_code,
        ErrorCode::TopicAuthorizationFailed
    );
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some(text("t")),
            ..Default::default()
        }],
        ..Default::default()
    };
    let Response::DeleteTopics(deleted) = broker.ask(6, delete) else {
        panic!("not an answer to DeleteTopics");
    };
    assert_eq!(
        deleted.responses[0].error_code,
        ErrorCode::TopicAuthorizationFailed
    );
    let records = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: text("t"),
            partitions: vec![Default::default()],
        }],
        timeout_ms: 100,
    };
    let Response::DeleteRecords(deleted) = broker.ask(2, records) else {
        panic!("not an answer to DeleteRecords");
    };
    let error = deleted.topics[0].partitions[0].error_code;
    assert_eq!(error, ErrorCode::TopicAuthorizationFailed);
    let named = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(text("unmade")),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let Response::Metadata(metadata) = broker.ask(12, named) else {
        panic!("not an answer to Metadata");
    };
    assert_eq!(
        metadata.topics[0].error_code,
        ErrorCode::UnknownTopicOrPartition
    );
}

#[test]
fn settings_are_described_with_their_sources() {
    let mut broker = Broker::new();
    broker.create("t", &[("retention.ms", "5")]);
    let keys = ["retention.ms", "segment.bytes"].map(text).to_vec();
    let request = DescribeConfigsRequest {
        resources: vec![
            DescribeConfigsResource {
                resource_type: 2,
                resource_name: text("t"),
                configuration_keys: Some(keys),
            },
            DescribeConfigsResource {
                resource_type: 2,
                resource_name: text("nope"),
                configuration_keys: None,
            },
        ],
        include_synonyms: true,
        include_documentation: true,
    };
    let Response::DescribeConfigs(described) = broker.ask(4, request) else {
        panic!("not an answer to DescribeConfigs");
    };
    let mut rows = Vec::new();
    for result in &described.results {
        rows.push(format!(
            "{} {}",
            result.resource_name,
            result.error_code.name()
        ));
        for config in &result.configs {
            let value = config.value.as_ref().unwrap();
            let (name, source, kind) = (&config.name, config.config_source, config.config_type);
            rows.push(format!("  {name}={value} source {source} type {kind}"));
            rows.extend(config.synonyms.iter().map(|synonym| {
                let value = synonym.value.as_ref().unwrap();
                format!("    {}={value} source {}", synonym.name, synonym.source)
            }));
            rows.push(format!("    {}", config.documentation.as_ref().unwrap()));
        }
    }
    same(
        &rows,
        expect![[r#"
        t NONE
          retention.ms=5 source 1 type 5
            retention.ms=5 source 1
            log.retention.ms=604800000 source 5
            Milliseconds a record is kept, by its timestamp, whether it was consumed or not; -1: for ever.
          segment.bytes=1073741824 source 5 type 3
            log.segment.bytes=1073741824 source 5
            The size, in bytes, of Kafka's segment files. It is accepted and does nothing: Weir keeps partitions in shared files that the store rolls by itself (weir store settings).
        nope UNKNOWN_TOPIC_OR_PARTITION"#]],
    );
}

#[test]
fn settings_change_one_by_one() {
    let mut broker = Broker::new();
    broker.create("t", &[]);
    let config = |name: &str, operation, value: Option<&str>| IncrementalAlterableConfig {
        name: text(name),
        config_operation: operation,
        value: value.map(text),
    };
    let resource = |configs| IncrementalAlterConfigsResource {
        resource_type: 2,
        resource_name: text("t"),
        configs,
    };
    let request = |configs| IncrementalAlterConfigsRequest {
        resources: vec![resource(configs)],
        validate_only: false,
    };
    let mut alter = |configs| {
        let Response::IncrementalAlterConfigs(altered) = broker.ask(1, request(configs)) else {
            panic!("not an answer to IncrementalAlterConfigs");
        };
        let result = &altered.responses[0];
        let message = result.error_message.clone().unwrap_or_default();
        format!("{} {message}", result.error_code.name())
    };
    let rows = [
        alter(vec![config("retention.ms", 0, Some("7"))]),
        alter(vec![config("retention.mz", 0, Some("7"))]),
        alter(vec![config("retention.ms", 9, Some("7"))]),
    ];
    same(
        &rows,
        expect![[r#"
        NONE 
        INVALID_CONFIG there is no setting 'retention.mz'; did you mean 'retention.ms'?
        INVALID_REQUEST there is no operation 9 on settings"#]],
    );
    let topic = broker.image.topic_named("t").unwrap();
    assert_eq!(topic.overrides["retention.ms"], "7");
}

#[test]
fn offsets_are_found_and_records_deleted() {
    let mut broker = Broker::new();
    broker.create("t", &[]);
    for _ in 0..3 {
        let records = broker.batch(2, 0);
        broker.ask(9, produce("t", 0, Some(records)));
    }
    let mut find = |time: i64| {
        let request = ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: text("t"),
                partitions: vec![ListOffsetsPartition {
                    partition_index: PartitionIndex(0),
                    timestamp: TimestampMs(time),
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let Response::ListOffsets(found) = broker.ask(7, request) else {
            panic!("not an answer to ListOffsets");
        };
        let row = &found.topics[0].partitions[0];
        (
            row.error_code,
            row.offset.0,
            row.timestamp.0,
            row.leader_epoch,
        )
    };
    let epoch = LeaderEpoch(0);
    assert_eq!(find(-2), (ErrorCode::None, 0, -1, epoch));
    assert_eq!(find(-1), (ErrorCode::None, 6, -1, epoch));
    assert_eq!(
        find(broker::WALL + 1),
        (ErrorCode::None, 1, broker::WALL + 1, epoch)
    );
    assert_eq!(find(-3), (ErrorCode::None, 1, broker::WALL + 1, epoch));
    assert_eq!(find(broker::WALL + 9).1, -1);
    assert_eq!(find(-9).0, ErrorCode::UnsupportedVersion);
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: text("t"),
            partitions: vec![DeleteRecordsPartition {
                partition_index: PartitionIndex(0),
                offset: Offset(4),
            }],
        }],
        timeout_ms: 100,
    };
    let Response::DeleteRecords(deleted) = broker.ask(2, request) else {
        panic!("not an answer to DeleteRecords");
    };
    assert_eq!(deleted.topics[0].partitions[0].low_watermark, Offset(4));
    let (_, _, rows) = fetched(broker.ask(11, fetch("t", &[(0, 3)])));
    assert_eq!(rows[0].1, ErrorCode::OffsetOutOfRange);
}

#[test]
fn the_smaller_requests_are_answered() {
    let mut broker = Broker::new();
    broker.create("a", &[]);
    broker.create("b", &[]);
    let Response::InitProducerId(id) = broker.ask(4, InitProducerIdRequest::default()) else {
        panic!("not an answer to InitProducerId");
    };
    assert_eq!(
        (id.error_code, id.producer_id),
        (ErrorCode::None, ProducerId(0))
    );
    let request = InitProducerIdRequest {
        transactional_id: Some(text("x")),
        ..Default::default()
    };
    let Response::InitProducerId(id) = broker.ask(4, request) else {
        panic!("not an answer to InitProducerId");
    };
    assert_eq!(id.error_code, ErrorCode::InvalidRequest);
    let transaction = FindCoordinatorRequest {
        key_type: 1,
        ..Default::default()
    };
    let Response::FindCoordinator(found) = broker.ask(1, transaction) else {
        panic!("not an answer to FindCoordinator");
    };
    assert_eq!(found.error_code, ErrorCode::CoordinatorNotAvailable);
    let Response::DescribeCluster(cluster) = broker.ask(1, DescribeClusterRequest::default())
    else {
        panic!("not an answer to DescribeCluster");
    };
    assert_eq!(cluster.brokers[0].port, 1);
    let all = DescribeLogDirsRequest { topics: None };
    let Response::DescribeLogDirs(dirs) = broker.ask(4, all) else {
        panic!("not an answer to DescribeLogDirs");
    };
    let sizes: usize = dirs.results[0]
        .topics
        .iter()
        .map(|t| t.partitions.len())
        .sum();
    assert_eq!(sizes, 6);
    let volume = (dirs.results[0].total_bytes, dirs.results[0].usable_bytes);
    assert_eq!(volume, (1000, 400));
}

#[test]
fn topics_are_described_page_by_page() {
    let mut broker = Broker::new();
    broker.create("a", &[]);
    broker.create("b", &[]);
    let mut cursor = None;
    let mut pages = Vec::new();
    loop {
        let request = DescribeTopicPartitionsRequest {
            response_partition_limit: 2,
            cursor,
            ..Default::default()
        };
        let Response::DescribeTopicPartitions(page) = broker.ask(0, request) else {
            panic!("not an answer to DescribeTopicPartitions");
        };
        let rows = page.topics.iter().flat_map(|topic| {
            let name = topic.name.clone().unwrap_or_default();
            let rows = topic.partitions.iter();
            rows.map(move |row| format!("{name}/{}", row.partition_index))
        });
        pages.push(rows.collect::<Vec<String>>().join(" "));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, ["a/0 a/1", "a/2 b/0", "b/1 b/2"]);
}

#[test]
fn both_roles_hear_what_they_may_do() {
    use weir_node::authorizer::{Resource, authorized_operations};
    let topic = Resource::Topic("t");
    assert_eq!(authorized_operations(&admin(), topic), 0b1101_1111_1000);
    assert_eq!(authorized_operations(&client(), topic), 0b0101_0001_1000);
}
