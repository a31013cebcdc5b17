//! Lag through a whole broker of two shards in one thread: what shards tell ends up in one answer,
//! changes come as they happen, and a restart keeps what was.

mod broker;

use broker::{Broker, client};
use weir_meta::{
    Command,
    command::{CreateView, DeployPlugin},
    plugins::World,
};
use weir_types::{ErrorCode, Offset, PartitionIndex, TimestampMs, TopicId};
use weir_wire::{Response, Text, messages::*};

fn text(text: &str) -> Text {
    Text::from(text)
}

/// Takes the body of a response, which must be of that kind.
macro_rules! body {
    ($kind:ident, $response:expr) => {
        match $response {
            Response::$kind(body) => body,
            other => panic!("not an answer to {}: {other:?}", stringify!($kind)),
        }
    };
}

fn broker() -> Broker {
    let mut broker = Broker::with(Some(TopicId([9; 16])));
    broker.create("orders", &[]);
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![text("shop")],
        ..Default::default()
    };
    let found = body!(FindCoordinator, broker.ask(4, request));
    assert_eq!(found.coordinators[0].host, "quic.example", "{found:?}");
    broker
}

fn produce(broker: &mut Broker, partition: i32, records: i64) {
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: text("orders"),
            partition_data: vec![PartitionProduceData {
                index: PartitionIndex(partition),
                records: Some(broker.batch(records, 10)),
                ..PartitionProduceData::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = body!(Produce, broker.ask(9, request));
    let error = answer.responses[0].partition_responses[0].error_code;
    assert_eq!(error, ErrorCode::None);
}

fn fetch(broker: &mut Broker, partition: i32, from: i64) -> bool {
    let request = FetchRequest {
        max_wait_ms: 0,
        max_bytes: 1_000_000,
        topics: vec![FetchTopic {
            topic: text("orders"),
            partitions: vec![FetchPartition {
                partition: PartitionIndex(partition),
                fetch_offset: Offset(from),
                partition_max_bytes: 1_000_000,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = body!(Fetch, broker.ask(4, request));
    let data = &answer.responses[0].partitions[0];
    data.records
        .as_ref()
        .is_some_and(|records| !records.is_empty())
}

fn commit(broker: &mut Broker, group: &str, partition: i32, offset: i64) {
    commit_to(broker, "orders", group, partition, offset);
}

fn commit_to(broker: &mut Broker, topic: &str, group: &str, partition: i32, offset: i64) {
    let request = OffsetCommitRequest {
        group_id: text(group),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: text(topic),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: PartitionIndex(partition),
                committed_offset: Offset(offset),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = body!(OffsetCommit, broker.ask(8, request));
    let error = answer.topics[0].partitions[0].error_code;
    assert_eq!(error, ErrorCode::None);
}

fn lag(broker: &mut Broker) -> LagResponse {
    let answer = body!(Lag, broker.ask(0, LagRequest::default()));
    assert_eq!(answer.error_code, ErrorCode::None, "{answer:?}");
    answer
}

/// With records in all partitions, a group that has read some, and lag being kept.
fn busy() -> Broker {
    let mut broker = broker();
    let answer = body!(Lag, broker.ask(0, LagRequest::default()));
    assert_eq!(answer.error_code, ErrorCode::CoordinatorNotAvailable);
    broker.pass(1);
    for partition in 0..3 {
        produce(&mut broker, partition, 10);
    }
    broker.pass(1_500);
    commit(&mut broker, "shop", 0, 10);
    commit(&mut broker, "shop", 1, 4);
    broker.pass(1_500);
    broker
}

#[test]
fn what_both_shards_tell_is_one_answer() {
    let mut broker = busy();
    assert!(fetch(&mut broker, 1, 4), "there is something");
    broker.pass(1_500);
    let page = lag(&mut broker);
    assert!(page.complete && page.next_cursor.is_none());
    let [group] = page.groups.as_slice() else {
        panic!("one group: {page:?}");
    };
    assert_eq!(
        (&*group.group_id, group.lag, &*group.group_state),
        ("shop", 6, "Empty")
    );
    let rows: Vec<_> = group.topics[0].partitions.iter().collect();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].lag, rows[0].lag_ms), (0, 0));
    assert_eq!(
        (rows[1].committed_offset, rows[1].high_watermark),
        (Offset(4), Offset(10))
    );
    assert!(
        rows[1].lag_ms > 3_000 && rows[1].lag_ms < 6_000,
        "{}",
        rows[1].lag_ms
    );
    let topic = page.topics.iter().find(|topic| topic.topic == "orders");
    let topic = topic.expect("it is told");
    assert_eq!(topic.partition_count, 3);
    assert_eq!(
        (topic.records_in, topic.records_out),
        (30, 6),
        "what went within the window"
    );
    assert!(page.topics.iter().all(|topic| topic.topic != "__weir_lag"));

    // Who names what he may not see is refused; what is not there is not told.
    broker.who = client();
    let page = lag(&mut broker);
    assert_eq!(page.groups.len(), 1);
    let request = LagRequest {
        cursor: Some(text("nonsense")),
        ..Default::default()
    };
    let refused = body!(Lag, broker.ask(0, request));
    assert_eq!(refused.error_code, ErrorCode::InvalidRequest);
}

#[test]
fn a_change_is_told_when_it_happens_and_nothing_else() {
    let mut broker = busy();
    broker.pass(20_000);
    let generation = lag(&mut broker).generation;
    let request = LagRequest {
        changes_since: generation,
        max_wait_ms: 60_000,
        ..Default::default()
    };
    let sent = broker.send(0, request.clone());
    broker.pass(5_000);
    assert!(!broker.is_answered(&sent), "nothing changed");
    produce(&mut broker, 2, 5);
    assert!(!broker.is_answered(&sent), "not with every batch");
    broker.pass(1_100);
    assert!(broker.is_answered(&sent));
    let page = body!(Lag, broker.finish(sent).unwrap());
    assert!(!page.complete && page.generation > generation);
    let topics: Vec<&str> = page.topics.iter().map(|topic| &*topic.topic).collect();
    assert_eq!(topics, ["orders"]);

    // Without a change an answer comes at its time, empty.
    broker.pass(15_000);
    let generation = lag(&mut broker).generation;
    let request = LagRequest {
        changes_since: generation,
        max_wait_ms: 3_000,
        ..Default::default()
    };
    let page = body!(Lag, broker.ask(0, request));
    assert!(!page.complete && page.groups.is_empty() && page.topics.is_empty());
}

#[test]
fn a_restart_keeps_the_chart_and_tells_everything_again() {
    let mut broker = busy();
    for second in 0..95 {
        produce(&mut broker, 1, 1);
        if second % 7 == 0 {
            commit(&mut broker, "shop", 1, 10 + second);
        }
        broker.pass(1_000);
    }
    let history = |broker: &mut Broker| {
        let request = LagHistoryRequest {
            resolution_ms: 10_000,
            ..Default::default()
        };
        let answer = body!(LagHistory, broker.ask(0, request));
        assert_eq!(answer.error_code, ErrorCode::None);
        answer
    };
    let before = history(&mut broker);
    assert_eq!(before.resolution_ms, 10_000);
    assert_eq!(before.groups.len(), 2, "the group, and its topic");
    let points = before.groups[0].lag.len();
    assert!((8..=10).contains(&points), "{points} points");
    let orders = before.topics.iter().find(|topic| topic.topic == "orders");
    let orders = orders.expect("it had traffic");
    assert!(orders.records_in.contains(&10), "{orders:?}");
    let lag_before = lag(&mut broker);
    broker.restart();
    broker.pass(1_200);
    let after = history(&mut broker);
    assert_eq!(
        after.groups, before.groups,
        "the night's chart is there in the morning"
    );
    let lag_after = lag(&mut broker);
    assert!(lag_after.generation > lag_before.generation);
    let (one, other) = (&lag_before.groups[0], &lag_after.groups[0]);
    assert_eq!(one.lag, other.lag);
    let apart = (one.lag_ms - other.lag_ms).abs();
    assert!(apart <= 60_000, "{} and {}", one.lag_ms, other.lag_ms);
    broker.pass(30_000);
    assert!(
        history(&mut broker).groups[0].lag.len() >= points,
        "nothing was taken for gone"
    );
}

#[test]
fn what_is_deleted_goes_and_what_grows_is_told() {
    let mut broker = busy();
    broker.pass(12_000);
    let generation = lag(&mut broker).generation;
    let request = DeleteGroupsRequest {
        groups_names: vec![text("shop")],
    };
    let deleted = body!(DeleteGroups, broker.ask(2, request));
    assert_eq!(deleted.results[0].error_code, ErrorCode::None);
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: text("orders"),
            count: 5,
            assignments: None,
        }],
        timeout_ms: 1000,
        validate_only: false,
    };
    let grown = body!(CreatePartitions, broker.ask(2, request));
    assert_eq!(grown.results[0].error_code, ErrorCode::None);
    broker.pass(1_500);
    let since = |generation| LagRequest {
        changes_since: generation,
        ..Default::default()
    };
    let page = body!(Lag, broker.ask(0, since(generation)));
    assert_eq!(page.removed_groups, [text("shop")]);
    assert!(
        page.topics.iter().any(|topic| topic.partition_count == 5),
        "{page:?}"
    );

    commit(&mut broker, "shop", 0, 3);
    broker.pass(1_500);
    broker.delete("orders");
    broker.pass(1_500);
    let page = body!(Lag, broker.ask(0, since(page.generation)));
    assert_eq!(page.removed_topics, [text("orders")]);
    broker.pass(20_000);
    let request = LagHistoryRequest {
        from_ms: TimestampMs(-1),
        ..Default::default()
    };
    let history = body!(LagHistory, broker.ask(0, request));
    assert!(
        history.topics.iter().all(|topic| topic.topic != "orders"),
        "{history:?}"
    );
}

/// `masked`, a view of `orders`.
fn make_view(broker: &mut Broker) {
    broker.agree(&Command::DeployPlugin(Box::new(DeployPlugin {
        name: "mask".into(),
        version: "1.0.0".into(),
        digest: [1; 32],
        world: World::Transform,
        size_bytes: 7,
        activate: true,
        validate_only: false,
    })));
    broker.agree(&Command::CreateView(Box::new(CreateView {
        id: TopicId([77; 16]),
        name: "masked".into(),
        source: "orders".into(),
        chain: "mask".into(),
        policy: String::new(),
        readers: None,
        validate_only: false,
    })));
}

/// A view's groups have a lag of their own, which counts to the ends of its source; whoever may not
/// read that learns of the view alone.
#[test]
fn the_lag_of_a_view_counts_to_its_sources_ends() {
    let mut broker = busy();
    make_view(&mut broker);
    commit_to(&mut broker, "masked", "audit", 0, 3);
    broker.pass(1_500);
    let audit = |broker: &mut Broker| {
        let answer = lag(broker);
        let group = answer.groups.iter().find(|g| g.group_id == "audit");
        let topics = group.unwrap().topics.iter();
        let told: Vec<(String, i64)> = topics.map(|t| (t.topic.to_string(), t.lag)).collect();
        told
    };
    assert_eq!(audit(&mut broker), [("masked".to_string(), 7)]);
    produce(&mut broker, 0, 5);
    broker.pass(1_500);
    assert_eq!(audit(&mut broker), [("masked".to_string(), 12)]);
    broker.alter("orders", "weir.readers", "bob");
    broker.who = client();
    assert_eq!(audit(&mut broker), [("masked".to_string(), 12)]);
    let answer = lag(&mut broker);
    let topics: Vec<&str> = answer.topics.iter().map(|t| t.topic.as_str()).collect();
    assert!(!topics.contains(&"orders"), "{topics:?}");
    let shop = answer.groups.iter().find(|g| g.group_id == "shop");
    assert!(shop.unwrap().topics.is_empty(), "what it reads is not told");
    broker.who = broker::admin();
    broker.delete("masked");
    broker.pass(1_500);
    assert!(
        lag(&mut broker)
            .groups
            .iter()
            .all(|g| g.topics.iter().all(|t| t.topic != "masked"))
    );
}
