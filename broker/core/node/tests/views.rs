//! Views and partitioners, as clients meet them: fronts over two shards over a log in memory.

mod broker;

use broker::{Broker, admin, client};
use expect_test::{Expect, expect};
use std::fmt::Write;
use weir_meta::{
    Command,
    command::{CreateView, DeployPlugin},
    plugins::World,
};
use weir_types::{
    ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    TimestampMs, TopicId,
};
use weir_wire::{
    Records, Response, Text,
    build::{BatchBuilder, Stamp},
    messages::*,
};

const VIEW: TopicId = TopicId([77; 16]);

fn text(text: &str) -> Text {
    Text::from(text)
}

fn deploy(broker: &mut Broker, name: &str, world: World) {
    broker.agree(&Command::DeployPlugin(Box::new(DeployPlugin {
        name: name.into(),
        version: "1.0.0".into(),
        digest: [1; 32],
        world,
        size_bytes: 7,
        activate: true,
        validate_only: false,
    })));
}

/// `orders` with three partitions, and `masked`, a view of it.
fn with_view() -> Broker {
    let mut broker = Broker::new();
    deploy(&mut broker, "mask", World::Transform);
    broker.create("orders", &[]);
    broker.agree(&Command::CreateView(Box::new(CreateView {
        id: VIEW,
        name: "masked".into(),
        source: "orders".into(),
        chain: "mask".into(),
        policy: String::new(),
        readers: None,
        validate_only: false,
    })));
    broker
}

fn produce_part(topic: &str, part: PartitionProduceData) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: text(topic),
            partition_data: vec![part],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn produce(topic: &str, partition: i32, records: Records) -> ProduceRequest {
    let part = PartitionProduceData {
        index: PartitionIndex(partition),
        records: Some(records),
        ..Default::default()
    };
    produce_part(topic, part)
}

fn produced(response: Response) -> String {
    let Response::Produce(response) = response else {
        panic!("not an answer to Produce: {response:?}");
    };
    let parts = response.responses.iter();
    let parts = parts.flat_map(|topic| &topic.partition_responses);
    let line = |p: &PartitionProduceResponse| {
        let message = p.error_message.as_deref().unwrap_or_default();
        let (index, error) = (p.index.0, p.error_code.name());
        format!("{index} {error} {} {message}", p.base_offset)
    };
    parts.map(line).collect::<Vec<_>>().join("\n")
}

fn fetch(topics: &[(&str, TopicId)], session: (i32, i32)) -> FetchRequest {
    let partition = FetchPartition {
        partition: PartitionIndex(1),
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topics = topics.iter().map(|(name, id)| FetchTopic {
        topic: text(name),
        topic_id: *id,
        partitions: vec![partition.clone()],
    });
    FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_id: session.0,
        session_epoch: session.1,
        topics: topics.collect(),
        ..Default::default()
    }
}

/// What was fetched, and what the views' plugins were given.
fn fetched(broker: &mut Broker, version: i16, request: FetchRequest) -> String {
    broker.viewed.clear();
    let Response::Fetch(response) = broker.ask(version, request) else {
        panic!("not an answer to Fetch");
    };
    let mut out = String::new();
    if response.error_code.is_err() {
        writeln!(out, "{}", response.error_code.name()).unwrap();
    }
    for topic in &response.responses {
        for p in &topic.partitions {
            let bytes = p.records.as_ref().map_or(0, Records::size_bytes);
            let (index, error) = (p.partition_index, p.error_code.name());
            let high = p.high_watermark;
            let (name, id) = (topic.topic.as_str(), topic.topic_id.0[0]);
            writeln!(
                out,
                "{name}#{id}/{index} {error} high {high}, {bytes} bytes"
            )
            .unwrap();
        }
    }
    for (view, index, bytes) in &broker.viewed {
        writeln!(out, "view #{}/{index}: {bytes} bytes", view.0[0]).unwrap();
    }
    out
}

fn check(actual: impl AsRef<str>, expected: Expect) {
    expected.assert_eq(actual.as_ref());
}

/// A view is fetched by name, by id and in sessions; its records go through its plugins, those of
/// its source do not, also where both are asked for at once.
#[test]
fn views_are_fetched_through_their_plugins() {
    let mut broker = with_view();
    broker.who = client();
    let records = broker.batch(2, 10);
    broker.ask(9, produce("orders", 1, records));
    let none = TopicId::ZERO;
    let both = [("orders", none), ("masked", none)];
    let by_name = fetched(&mut broker, 11, fetch(&both, (0, -1)));
    check(
        by_name,
        expect![[r#"
        orders#0/1 NONE high 2, 95 bytes
        masked#0/1 NONE high 2, 0 bytes
        view #77/1: 95 bytes
    "#]],
    );
    let by_id = fetched(&mut broker, 13, fetch(&[("", VIEW)], (0, -1)));
    check(
        by_id,
        expect![[r#"
        #77/1 NONE high 2, 0 bytes
        view #77/1: 95 bytes
    "#]],
    );
    broker.viewed.clear();
    let Response::Fetch(begun) = broker.ask(13, fetch(&[("", VIEW)], (0, 0))) else {
        panic!("not an answer to Fetch");
    };
    assert_eq!(broker.viewed.len(), 1);
    let again = fetched(&mut broker, 13, fetch(&[], (begun.session_id, 1)));
    check(
        again,
        expect![[r#"
        #77/1 NONE high 2, 0 bytes
        view #77/1: 95 bytes
    "#]],
    );
    let mut behind = fetch(&[("", VIEW)], (begun.session_id, 2));
    behind.topics[0].partitions[0].fetch_offset = Offset(2);
    let nothing = fetched(&mut broker, 13, behind);
    check(nothing, expect![[""]]);
}

/// A view is a topic in everything that is asked about it, but takes nothing.
#[test]
fn views_are_topics_that_take_nothing() {
    let mut broker = with_view();
    broker.who = client();
    let records = broker.batch(2, 10);
    broker.ask(9, produce("orders", 1, records.clone()));
    check(
        produced(broker.ask(9, produce("masked", 1, records))),
        expect!["1 INVALID_TOPIC_EXCEPTION -1 'masked' is a view and takes no records"],
    );
    let Response::Metadata(metadata) = broker.ask(12, MetadataRequest::default()) else {
        panic!("not an answer to Metadata");
    };
    let topics = metadata.topics.iter();
    let topics: Vec<String> = topics
        .map(|t| {
            let name = t.name.as_ref().unwrap();
            format!("{name} #{} {}", t.topic_id.0[0], t.partitions.len())
        })
        .collect();
    check(
        topics.join("\n"),
        expect![[r#"
        masked #77 3
        orders #1 3"#]],
    );
    assert_eq!(latest(&mut broker), Offset(2));
    assert_eq!(epoch_end(&mut broker), Offset(2));
    let dirs = DescribeLogDirsRequest { topics: None };
    let Response::DescribeLogDirs(dirs) = broker.ask(4, dirs) else {
        panic!("not an answer to DescribeLogDirs");
    };
    let held: Vec<&str> = dirs.results[0].topics.iter().map(|t| &*t.name).collect();
    assert_eq!(held, ["orders"], "a view holds nothing");
    broker.who = admin();
    let delete = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: text("masked"),
            partitions: vec![DeleteRecordsPartition {
                partition_index: PartitionIndex(1),
                offset: Offset(-1),
            }],
        }],
        timeout_ms: 100,
    };
    let Response::DeleteRecords(deleted) = broker.ask(2, delete) else {
        panic!("not an answer to DeleteRecords");
    };
    let error = deleted.topics[0].partitions[0].error_code;
    assert_eq!(error, ErrorCode::InvalidTopicException);
    let described = describe_configs(&mut broker, "masked");
    assert_eq!(described, ["weir.readers"]);
}

fn latest(broker: &mut Broker) -> Offset {
    let ends = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: text("masked"),
            partitions: vec![ListOffsetsPartition {
                partition_index: PartitionIndex(1),
                timestamp: TimestampMs(-1),
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let Response::ListOffsets(ends) = broker.ask(7, ends) else {
        panic!("not an answer to ListOffsets");
    };
    ends.topics[0].partitions[0].offset
}

fn epoch_end(broker: &mut Broker) -> Offset {
    let epochs = OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: text("masked"),
            partitions: vec![OffsetForLeaderPartition {
                partition: PartitionIndex(1),
                leader_epoch: LeaderEpoch(0),
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let Response::OffsetForLeaderEpoch(epochs) = broker.ask(4, epochs) else {
        panic!("not an answer to OffsetForLeaderEpoch");
    };
    epochs.topics[0].partitions[0].end_offset
}

fn describe_configs(broker: &mut Broker, topic: &str) -> Vec<String> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: 2,
            resource_name: text(topic),
            configuration_keys: None,
        }],
        ..Default::default()
    };
    let Response::DescribeConfigs(described) = broker.ask(4, request) else {
        panic!("not an answer to DescribeConfigs");
    };
    let rows = described.results[0].configs.iter();
    rows.map(|row| row.name.to_string()).collect()
}

/// Whoever may read a view need not be one of its source's readers, and learns nothing of that.
#[test]
fn a_view_has_readers_of_its_own() {
    let mut broker = with_view();
    let records = broker.batch(2, 10);
    broker.ask(9, produce("orders", 1, records));
    broker.alter("orders", "weir.readers", "bob");
    broker.who = client();
    let none = TopicId::ZERO;
    let both = [("orders", none), ("masked", none)];
    check(
        fetched(&mut broker, 11, fetch(&both, (0, -1))),
        expect![[r#"
            orders#0/1 TOPIC_AUTHORIZATION_FAILED high -1, 0 bytes
            masked#0/1 NONE high 2, 0 bytes
            view #77/1: 95 bytes
        "#]],
    );
    let dirs = DescribeLogDirsRequest { topics: None };
    let Response::DescribeLogDirs(dirs) = broker.ask(4, dirs) else {
        panic!("not an answer to DescribeLogDirs");
    };
    assert!(
        dirs.results[0].topics.is_empty(),
        "sizes are told to readers"
    );
    broker.alter("masked", "weir.readers", "bob");
    check(
        fetched(&mut broker, 11, fetch(&both[1..], (0, -1))),
        expect![[r#"
            masked#0/1 TOPIC_AUTHORIZATION_FAILED high -1, 0 bytes
        "#]],
    );
    broker.alter("masked", "weir.readers", "bob, alice");
    broker.alter("orders", "weir.readers", "alice");
    check(
        fetched(&mut broker, 11, fetch(&both, (0, -1))),
        expect![[r#"
            orders#0/1 NONE high 2, 95 bytes
            masked#0/1 NONE high 2, 0 bytes
            view #77/1: 95 bytes
        "#]],
    );
    broker.alter("orders", "weir.readers", "");
    broker.who = admin();
    check(
        fetched(&mut broker, 11, fetch(&both[..1], (0, -1))),
        expect![[r#"
            orders#0/1 NONE high 2, 95 bytes
        "#]],
    );
}

/// Records by their keys, from that producer.
fn keyed(keys: &[&str], sequence: i32) -> Records {
    let mut builder = BatchBuilder::new(TimestampMs(broker::WALL));
    for key in keys {
        builder.push(TimestampMs(broker::WALL), Some(key.as_bytes()), None, &[]);
    }
    Records::Slice(builder.finish(Stamp {
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(sequence),
        ..Stamp::default()
    }))
}

fn ends(broker: &Broker) -> Vec<i64> {
    let end = |index| broker.log_of("t", index).1;
    (0..3).map(end).collect()
}

/// A batch that leaves its place to the broker goes where the partitioner says, and a batch that
/// is sent again goes there once.
#[test]
fn the_broker_places_what_is_left_to_it() {
    let mut broker = Broker::new();
    deploy(&mut broker, "region", World::Partitioner);
    broker.create("t", &[]);
    let records = keyed(&["0a", "1a", "0b", "2a", "0c"], 0);
    check(
        produced(broker.ask(9, produce("t", -1, records.clone()))),
        expect!["-1 UNKNOWN_TOPIC_OR_PARTITION -1 topic 't' has no partition -1"],
    );
    broker.alter("t", "weir.partitioner", "region");
    let place = |broker: &mut Broker, records: &Records| {
        let said = produced(broker.ask(9, produce("t", -1, records.clone())));
        format!("{said} {:?}", ends(broker))
    };
    check(
        place(&mut broker, &records),
        expect!["-1 NONE -1  [3, 1, 1]"],
    );
    check(
        place(&mut broker, &records),
        expect!["-1 NONE -1  [3, 1, 1]"],
    );
    let next = keyed(&["2b", "2c"], 5);
    check(place(&mut broker, &next), expect!["-1 NONE -1  [3, 1, 3]"]);
    check(
        place(&mut broker, &records),
        expect!["-1 NONE -1  [3, 1, 3]"],
    );
    check(place(&mut broker, &next), expect!["-1 NONE -1  [3, 1, 3]"]);
    let overlapping = keyed(&["0a", "0b", "0c"], 3);
    check(
        place(&mut broker, &overlapping),
        expect![
            "-1 OUT_OF_ORDER_SEQUENCE_NUMBER -1 producer 7 sends sequences 3 to 5; 5 is the least that may follow [3, 1, 3]"
        ],
    );
}

/// Batches that are placed otherwise are refused where that is asked for; a client that runs the
/// partitioner itself says so, and hears when there is another one.
#[test]
fn batches_that_are_placed_otherwise_are_refused() {
    let mut broker = Broker::new();
    deploy(&mut broker, "region", World::Partitioner);
    broker.create("t", &[("weir.partitioner", "region")]);
    let ask = |broker: &mut Broker, pin: Option<&str>, count: i32, keys: &[&str]| {
        let part = PartitionProduceData {
            index: PartitionIndex(1),
            records: Some(keyed(keys, broker.log_of("t", 1).1 as i32)),
            weir_partitioner: pin.map(text),
            weir_partition_count: count,
        };
        produced(broker.ask(9, produce_part("t", part)))
    };
    check(ask(&mut broker, None, -1, &["0"]), expect!["1 NONE 0 "]);
    broker.alter("t", "weir.partitioner.enforce", "reject");
    check(
        ask(&mut broker, None, -1, &["1", "0"]),
        expect![
            "1 INVALID_RECORD -1 record 1 belongs to partition 0, as region@1.0.0 says (weir.partitioner.enforce=reject)"
        ],
    );
    check(
        ask(&mut broker, None, -1, &["1", "1"]),
        expect!["1 NONE 1 "],
    );
    let pin = Some("region@1.0.0");
    check(ask(&mut broker, pin, 3, &["1"]), expect!["1 NONE 3 "]);
    check(
        ask(&mut broker, pin, 4, &["1"]),
        expect!["1 UNKNOWN_LEADER_EPOCH -1 topic 't' has region@1.0.0 and 3 partitions now"],
    );
    let other = Some("region@2.0.0");
    check(
        ask(&mut broker, other, 3, &["1"]),
        expect!["1 UNKNOWN_LEADER_EPOCH -1 topic 't' has region@1.0.0 and 3 partitions now"],
    );
    broker.alter("t", "weir.partitioner", "");
    check(
        ask(&mut broker, pin, 3, &["1"]),
        expect!["1 UNKNOWN_LEADER_EPOCH -1 topic 't' has no partitioner and 3 partitions now"],
    );
}
