//! Plugins that change and place records in a whole broker: partitioners, versions that come and go
//! under load, shadows, and router jobs with what they refuse.

mod common;

use bytes::Bytes;
use common::{client, component, deploy, produce, read, set, start, topic, value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_client::admin::{DeployOptions, DeployedPlugin, JobAction, NewJob, Placed, PluginUsage};
use weir_client::{Client, Record};
use weir_plugin::{BytesColumn, Chain, Policy};
use weir_plugin_host::{Host, HostConfig, NoLog};
use weir_server::Broker;
use weir_types::{ErrorCode, PartitionIndex, Sequence, TimestampMs};
use weir_wire::build::{BatchBuilder, Stamp};
use weir_wire::messages::{
    InitProducerIdRequest, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    TopicProduceData,
};
use weir_wire::{RequestBody, Text};

const ROUTER: &str = r#"region-router(regions="eu=0-2,us=3-4,*=5")"#;
const PARTITIONS: u32 = 6;
const MASK: &str = r#"mask-fields(fields="card")"#;

/// A connection that says things that no client of ours does.
struct Wire(TcpStream);

impl Wire {
    async fn to(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.listeners()[0].local).await;
        Self(stream.expect("a connection"))
    }

    async fn ask<B: RequestBody>(&mut self, version: i16, request: &B) -> B::Response {
        for part in weir_wire::encode_request(1, None, version, request).expect("encoded") {
            self.0.write_all(&part).await.expect("sent");
        }
        let size = self.0.read_u32().await.expect("an answer");
        let mut answer = vec![0; usize::try_from(size).expect("small")];
        self.0.read_exact(&mut answer).await.expect("whole");
        let answer = weir_wire::decode_response::<B>(answer.into(), version);
        answer.expect("decoded").1
    }

    async fn producer(&mut self) -> Stamp {
        let answer = self.ask(4, &InitProducerIdRequest::default()).await;
        assert_eq!(answer.error_code, ErrorCode::None);
        Stamp {
            producer_id: answer.producer_id,
            producer_epoch: answer.producer_epoch,
            base_sequence: Sequence(0),
            ..Stamp::default()
        }
    }

    async fn produce(&mut self, data: PartitionProduceData) -> PartitionProduceResponse {
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: "placed".into(),
                partition_data: vec![data],
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        let mut answer = self.ask(12, &request).await;
        answer.responses.remove(0).partition_responses.remove(0)
    }
}

/// A batch of keys, for one partition or for the broker to place.
fn batch(partition: i32, keys: &[String], stamp: Stamp) -> PartitionProduceData {
    let mut batch = BatchBuilder::new(TimestampMs(1));
    for key in keys {
        let key = Some(key.as_bytes());
        batch.push(TimestampMs(1), key, key, &[]);
    }
    PartitionProduceData {
        index: PartitionIndex(partition),
        records: Some(batch.finish(stamp).into()),
        ..PartitionProduceData::default()
    }
}

fn keys(from: usize, to: usize) -> Vec<String> {
    let region = |number| ["eu", "us", "eu", "asia"][number % 4];
    (from..to)
        .map(|number| format!("{}:{number}", region(number)))
        .collect()
}

/// What the component itself says, without a broker.
fn chosen(keys: &[String]) -> Vec<u32> {
    let host = Host::new(HostConfig::default()).expect("an engine");
    let component = host.compile(&component("region-router")).expect("compiled");
    let mut chain: Chain = ROUTER.parse().expect("a chain");
    let link = chain.links.remove(0);
    let configured = component.configure(&link.parameters).expect("configured");
    let mut column = BytesColumn::default();
    for key in keys {
        column.push(Some(key.as_bytes()));
    }
    let mut instance = configured.instance(Arc::new(NoLog));
    let said = instance.partition(&column, PARTITIONS).result;
    said.expect("a partition for each key")
}

async fn placing(known: &Client) {
    deploy(known, "region-router").await;
    topic(known, "placed", i32::try_from(PARTITIONS).expect("few")).await;
    let partitioner = set(known, "placed", &[("weir.partitioner", ROUTER)]);
    partitioner.await.expect("attached");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_left_to_the_broker_go_where_the_partitioner_says_once_whatever_is_sent_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    placing(&known).await;
    let mut wire = Wire::to(&broker).await;
    let first = wire.producer().await;
    let second = Stamp {
        base_sequence: Sequence(200),
        ..first
    };
    for (stamp, from) in [(first, 0), (first, 0), (second, 200), (second, 200)] {
        let taken = wire
            .produce(batch(-1, &keys(from, from + 200), stamp))
            .await;
        assert_eq!(taken.error_code, ErrorCode::None, "{taken:?}");
    }
    let all = keys(0, 400);
    let mut wanted: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for (key, partition) in all.iter().zip(chosen(&all)) {
        let partition = i32::try_from(partition).expect("few");
        wanted.entry(partition).or_default().push(key.clone());
    }
    assert_eq!(wanted.len(), 6, "all partitions have their share");
    let mut found: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for record in read(&known, "placed", 400).await {
        let key = value(&record);
        found.entry(record.partition.0).or_default().push(key);
    }
    assert_eq!(found, wanted, "in order, none twice");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_counts_on_another_partitioner_looks_again_and_wrong_places_can_be_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    placing(&known).await;
    let mut wire = Wire::to(&broker).await;
    let keys = vec!["asia:1".to_owned(), "eu:1".to_owned()];
    let pinned = |plugin: &str, count| PartitionProduceData {
        weir_partitioner: Some(Text::from(plugin)),
        weir_partition_count: count,
        ..batch(5, &keys, Stamp::default())
    };
    for (plugin, count) in [("region-router@9.9.9", 6), ("region-router@1.0.0", 5)] {
        let refused = wire.produce(pinned(plugin, count)).await;
        assert_eq!(refused.error_code, ErrorCode::UnknownLeaderEpoch);
        assert!(refused.error_code.is_retriable());
        let text = refused.error_message.expect("a reason").to_string();
        assert!(text.contains("region-router@1.0.0"), "{text}");
        assert!(text.contains("6 partitions"), "{text}");
    }
    let unchecked = wire.produce(batch(5, &keys, Stamp::default())).await;
    assert_eq!(unchecked.error_code, ErrorCode::None, "nothing is enforced");

    let enforce = set(&known, "placed", &[("weir.partitioner.enforce", "reject")]);
    enforce.await.expect("set");
    let refused = wire.produce(batch(5, &keys, Stamp::default())).await;
    assert_eq!(refused.error_code, ErrorCode::InvalidRecord);
    let text = refused.error_message.expect("a reason").to_string();
    assert!(text.contains("record 1"), "{text}");
    let there = wire.produce(batch(5, &keys[..1], Stamp::default())).await;
    assert_eq!(there.error_code, ErrorCode::None, "{there:?}");
    let placed = wire.produce(batch(-1, &keys, Stamp::default())).await;
    assert_eq!(placed.error_code, ErrorCode::None, "{placed:?}");
    broker.shutdown().await;
}

/// A build of mask-fields whose bytes differ in these places.
fn patched(changes: &[(&str, &str)]) -> Bytes {
    let mut bytes = component("mask-fields").to_vec();
    for (from, to) in changes {
        assert_eq!(from.len(), to.len(), "nothing else moves");
        let mut places = bytes.windows(from.len());
        let place = places.position(|window| window == from.as_bytes());
        let place = place.expect("the text stands in it");
        bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes.into()
}

/// A version that masks with pluses.
fn newer() -> Bytes {
    patched(&[
        ("mask-fields1.0.0", "mask-fields1.1.0"),
        ("place.***keep-last", "place.+++keep-last"),
    ])
}

/// A version that takes no parameters at all, since its own default is wrong.
fn broken() -> Bytes {
    patched(&[
        ("mask-fields1.0.0", "mask-fields2.0.0"),
        ("readable.0headers", "readable.xheaders"),
    ])
}

async fn deploy_bytes(client: &Client, bytes: Bytes) -> DeployedPlugin {
    let options = DeployOptions {
        activate: false,
        validate_only: false,
    };
    let deployed = client.admin().deploy_plugin(bytes, options).await;
    deployed.expect("deployed")
}

async fn active(client: &Client) -> Option<String> {
    let described = client.admin().describe_plugin("mask-fields").await;
    described.expect("it is there").0.active
}

fn orders(from: usize, to: usize) -> Vec<String> {
    let order = |number| format!(r#"{{"id":{number},"card":"4711 {number}"}}"#);
    (from..to).map(order).collect()
}

/// Produces batches until told to stop; says how many records were taken.
async fn load(client: Client, stop: Arc<AtomicBool>) -> usize {
    let producer = client.producer().build().expect("a producer");
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut deliveries = Vec::new();
        for order in orders(count, count + 20) {
            let record = Record::new("orders", order.as_bytes()).with_partition(0);
            deliveries.push(producer.send(record).await.expect("room"));
        }
        for delivery in deliveries {
            delivery.await.expect("taken");
        }
        count += 20;
    }
    producer.close().await.expect("closed");
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_change_under_load_and_every_record_goes_through_one_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    deploy(&known, "mask-fields").await;
    assert_eq!(deploy_bytes(&known, newer()).await.version.version, "1.1.0");
    assert_eq!(
        deploy_bytes(&known, broken()).await.version.version,
        "2.0.0"
    );
    topic(&known, "orders", 1).await;
    let attached = set(&known, "orders", &[("weir.ingest", MASK)]);
    attached.await.expect("attached");

    let stop = Arc::new(AtomicBool::new(false));
    let loading = tokio::spawn(load(known.clone(), Arc::clone(&stop)));
    let admin = known.admin();
    for round in 0..20 {
        let activated = admin.activate_plugin("mask-fields", Some("1.1.0"), false);
        let activated = activated.await.expect("activated");
        assert_eq!(activated.active.as_deref(), Some("1.1.0"));
        let broken = admin.activate_plugin("mask-fields", Some("2.0.0"), false);
        let refused = broken
            .await
            .expect_err("it takes no parameters")
            .to_string();
        assert!(refused.contains("keep-last"), "{refused}");
        assert_eq!(active(&known).await.as_deref(), Some("1.1.0"), "{round}");
        let back = admin.activate_plugin("mask-fields", None, false).await;
        assert_eq!(back.expect("back").active.as_deref(), Some("1.0.0"));
    }
    stop.store(true, Ordering::Relaxed);
    let count = loading.await.expect("no record was refused");
    let after = admin.activate_plugin("mask-fields", Some("1.1.0"), false);
    after.await.expect("activated");
    let taken = produce(&known, "orders", &orders(count, count + 1)).await;
    assert_eq!(taken, [Ok(())]);

    let records = read(&known, "orders", count + 1).await;
    let mut masks = BTreeSet::new();
    for (number, record) in records.iter().enumerate() {
        let value = value(record);
        let (start, end) = (format!(r#"{{"id":{number},"card":""#), r#""}"#);
        let mask = value
            .strip_prefix(&start)
            .and_then(|rest| rest.strip_suffix(end));
        let mask = mask.unwrap_or_else(|| panic!("record {number} is {value}"));
        assert!(["***", "+++"].contains(&mask), "record {number} is {value}");
        masks.insert(mask.to_owned());
        if number == count {
            assert_eq!(mask, "+++", "what is active counts");
        }
    }
    assert_eq!(masks.len(), 2, "both versions were at work");
    broker.shutdown().await;
}

async fn shadow(client: &Client) -> PluginUsage {
    let report = client.admin().describe_plugin("mask-fields").await;
    let all = report.expect("it is there").1;
    let mut shadows = all.into_iter().filter(|at| at.place.kind == Placed::Shadow);
    shadows.next().expect("a shadow").usage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_counts_what_it_would_do_differently_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    deploy(&known, "mask-fields").await;
    deploy_bytes(&known, newer()).await;
    topic(&known, "orders", 1).await;
    let same = r#"mask-fields@1.0.0(fields="card")"#;
    let attached = [("weir.ingest", MASK), ("weir.ingest.shadow", same)];
    set(&known, "orders", &attached).await.expect("attached");
    let mut taken = produce(&known, "orders", &orders(0, 10)).await;
    while shadow(&known).await.records_in < 10 {}

    let other = r#"mask-fields@1.1.0(fields="card")"#;
    let beside = [("weir.ingest.shadow", other)];
    set(&known, "orders", &beside).await.expect("attached");
    taken.extend(produce(&known, "orders", &orders(10, 17)).await);
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    while shadow(&known).await.differences < 7 {}
    let counted = shadow(&known).await;
    assert_eq!((counted.records_in, counted.differences), (17, 7));
    for (number, record) in read(&known, "orders", 17).await.iter().enumerate() {
        let wanted = format!(r#"{{"id":{number},"card":"***"}}"#);
        assert_eq!(value(record), wanted);
    }
    broker.shutdown().await;
}

fn routed(numbers: std::ops::Range<usize>) -> Vec<String> {
    let kind = |number| ["order", "refund", "test", "other"][number % 4];
    numbers
        .map(|number| format!(r#"{{"id":{number},"kind":"{}"}}"#, kind(number)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_routes_records_by_a_field_and_tells_what_it_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut broker = start(folder.path()).await;
    let mut known = client(&broker).await;
    deploy(&known, "route-by-field").await;
    for name in ["intake", "orders", "refunds", "letters"] {
        topic(&known, name, 1).await;
    }
    let chain = r#"route-by-field(field="kind",routes="order=0,refund=1,test=drop")"#;
    let job = NewJob {
        name: "router".to_owned(),
        from: vec!["intake".to_owned()],
        to: vec!["orders".to_owned(), "refunds".to_owned()],
        chain: chain.parse().expect("a chain"),
        policy: Policy::DeadLetter("letters".to_owned()),
        paused: false,
    };
    known.admin().create_job(&job, false).await.expect("made");
    for from in [0, 40] {
        let taken = produce(&known, "intake", &routed(from..from + 40)).await;
        assert!(taken.iter().all(Result::is_ok), "{taken:?}");
        known.close();
        broker.shutdown().await;
        broker = start(folder.path()).await;
        known = client(&broker).await;
    }
    for (place, name) in ["orders", "refunds"].into_iter().enumerate() {
        let values: Vec<String> = read(&known, name, 20).await.iter().map(value).collect();
        let wanted: Vec<String> = routed(0..80).into_iter().skip(place).step_by(4).collect();
        assert_eq!(values, wanted, "{name}");
    }
    for (letter, number) in read(&known, "letters", 20)
        .await
        .iter()
        .zip((3..).step_by(4))
    {
        assert_eq!(value(letter), routed(number..number + 1)[0]);
        let header = |name: &str| {
            let mut headers = letter.headers.iter();
            let found = headers.find(|header| header.key == name.as_bytes());
            let value = found.and_then(|header| header.value.clone());
            String::from_utf8(value.unwrap_or_default().to_vec()).expect("text")
        };
        assert_eq!(header("__weir.error"), "there is no route for 'other'");
        assert_eq!(header("__weir.error.kind"), "refused");
        assert_eq!(header("__weir.plugin"), "route-by-field@1.0.0");
        assert_eq!(header("__weir.origin.topic"), "intake");
        assert_eq!(header("__weir.origin.partition"), "0");
        assert_eq!(header("__weir.origin.offset"), number.to_string());
        assert_eq!(header("__weir.job"), "router");
    }
    let admin = known.admin();
    let deleted = admin.alter_job("router", JobAction::Delete, false);
    deleted.await.expect("deleted");
    broker.shutdown().await;
}
