//! The client against a broker in the same process, over each transport: what is written comes
//! back, and every administrative message finds its answer.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use weir_client::{
    Acks, Client, ClientConfig, Compression, ErrorCode, Offset, OffsetReset, Profile, Record,
    RecordHeader, SeekTo, TimestampMs, TopicPartition, TransportChoice,
    admin::{AlterConfig, ConfigResource, ConfigSource, NewTopic, OffsetSpec},
};
use weir_server::{Broker, Config, Settings, settings::Origin};

async fn start(folder: &Path, listen: &str) -> Broker {
    let mut settings = Settings::default();
    let data = folder.display().to_string();
    for (name, value) in [("data", data.as_str()), ("listen", listen), ("shards", "2")] {
        settings
            .lay(name, value, Origin::Flag(name.to_owned()))
            .expect("a setting");
    }
    let config = Config::from_settings(settings).expect("a configuration");
    Broker::start(config).await.expect("starts")
}

/// The ways to a broker: over QUIC, TLS and plain TCP.
const WAYS: [&str; 3] = ["quic", "tls", "plain"];
const EVERYWHERE: &str = "quic://127.0.0.1:0,tls://127.0.0.1:0,plain://127.0.0.1:0";

fn config(broker: &Broker, way: &str) -> ClientConfig {
    let bound = broker
        .listeners()
        .iter()
        .find(|bound| bound.transport.scheme() == way)
        .expect("a listener");
    let config = ClientConfig::new([bound.advertised.to_string()]);
    let profile = || Profile::read(broker.profile()).expect("a profile");
    match way {
        "quic" => config
            .with_profile(profile())
            .with_transport(TransportChoice::Quic),
        "tls" => config
            .with_profile(profile())
            .with_transport(TransportChoice::Tcp),
        _ => config.with_transport(TransportChoice::Tcp),
    }
}

async fn connect(broker: &Broker, way: &str) -> Client {
    Client::connect(config(broker, way))
        .await
        .expect("connects")
}

async fn with_broker<F>(test: impl FnOnce(PathBuf, Broker) -> F)
where
    F: Future<Output = ()>,
{
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path(), EVERYWHERE).await;
    let done = tokio::time::timeout(
        Duration::from_secs(120),
        test(folder.path().to_owned(), broker),
    )
    .await;
    done.expect("the test came to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_comes_back_over_each_transport_and_with_each_codec() {
    with_broker(|_folder, broker| async move {
        for way in WAYS {
            let client = connect(&broker, way).await;
            let topic = format!("round-{way}");
            let made = client.admin().create_topic(NewTopic::new(&topic, 3)).await;
            assert_eq!(made.expect("made").partitions, Some(3));
            for codec in [
                Compression::None,
                Compression::Gzip,
                Compression::Snappy,
                Compression::Lz4,
                Compression::Zstd,
            ] {
                write(&client, &topic, codec).await;
            }
            read(&client, &topic).await;
        }
        broker.shutdown().await;
    })
    .await;
}

const ROUNDS: usize = 2000;

async fn write(client: &Client, topic: &str, codec: Compression) {
    let producer = client
        .producer()
        .compression(codec)
        .batch_bytes(16 * 1024)
        .build()
        .expect("builds");
    let mut deliveries = Vec::new();
    for number in 0..ROUNDS {
        let key = format!("key-{}", number % 100);
        let value = format!("{codec:?} {number} and some text that can be compressed");
        let headers = [RecordHeader {
            key: b"number",
            value: Some(value.as_bytes()),
        }];
        let record = Record::new(topic, value.as_bytes())
            .with_key(key.as_bytes())
            .with_headers(&headers)
            .with_timestamp(TimestampMs(
                1_700_000_000_000 + i64::try_from(number).unwrap(),
            ));
        deliveries.push(producer.send(record).await.expect("taken"));
    }
    producer.flush().await.expect("flushed");
    let mut next: BTreeMap<i32, Offset> = BTreeMap::new();
    for delivery in deliveries {
        let place = delivery.await.expect("delivered");
        let expected = next.insert(place.partition.0, place.offset.next());
        assert!(expected.is_none_or(|expected| expected == place.offset));
    }
}

async fn read(client: &Client, topic: &str) {
    let mut consumer = client.consumer().build().expect("builds");
    consumer
        .assign_topic(topic, SeekTo::Earliest)
        .await
        .expect("assigned");
    let mut by_partition: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    let mut offsets: BTreeMap<i32, i64> = BTreeMap::new();
    for _ in 0..5 * ROUNDS {
        let record = consumer.next().await.expect("a record");
        let offset = offsets.entry(record.partition.0).or_default();
        assert_eq!(record.offset.0, *offset);
        *offset += 1;
        let value = record.value.expect("a value");
        assert_eq!(record.headers[0].value.as_ref(), Some(&value));
        let text = String::from_utf8(value.to_vec()).expect("text");
        by_partition
            .entry(record.partition.0)
            .or_default()
            .push(text);
    }
    // In each partition the numbers of each codec rise.
    for texts in by_partition.values() {
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        for text in texts {
            let mut words = text.split(' ');
            let codec = words.next().expect("a codec");
            let number: i64 = words.next().expect("a number").parse().expect("a number");
            let before = last.insert(codec, number).unwrap_or(-1);
            assert!(before < number);
        }
    }
    let ends = consumer.end_offsets().await.expect("ends");
    for (partition, end) in ends {
        assert_eq!(end.0, offsets[&partition.partition.0]);
        assert_eq!(consumer.position(&partition), Some(end));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_administered() {
    with_broker(|_folder, broker| async move {
        let client = connect(&broker, "quic").await;
        let admin = client.admin();
        let topic = NewTopic::new("orders", 2).with_config("retention.ms", "3600000");
        let made = admin.create_topic(topic.clone()).await.expect("made");
        let error = admin.create_topic(topic).await.expect_err("twice");
        assert_eq!(error.code(), Some(ErrorCode::TopicAlreadyExists));
        assert!(!error.can_retry());
        let described = admin.describe_topic("orders").await.expect("described");
        assert_eq!((described.id, described.partitions.len()), (made.id, 2));
        let by_id = admin.describe_topic(made.id).await.expect("by id");
        assert_eq!(by_id, described);
        admin
            .create_partitions("orders", 5, false)
            .await
            .expect("grown");
        let names = ["orders".to_owned(), "nothing".to_owned()];
        let pages = admin
            .describe_topic_partitions(&names)
            .await
            .expect("pages");
        let partitions = &pages["orders"].as_ref().expect("there").partitions;
        assert_eq!(partitions.len(), 5);
        assert!(pages["nothing"].is_err());
        let listed = admin.list_topics().await.expect("listed");
        assert_eq!(listed.len(), 1);
        admin.delete_topic("orders").await.expect("deleted");
        let error = admin.describe_topic("orders").await.expect_err("gone");
        assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
        broker.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configurations_are_administered() {
    with_broker(|_folder, broker| async move {
        let client = connect(&broker, "quic").await;
        let admin = client.admin();
        let topic = NewTopic::new("orders", 1).with_config("retention.ms", "3600000");
        admin.create_topic(topic).await.expect("made");
        let resource = ConfigResource::topic("orders");
        let changes = [
            AlterConfig::set("max.message.bytes", "2000000"),
            AlterConfig::delete("retention.ms"),
        ];
        admin
            .incremental_alter_configs(&resource, &changes, false)
            .await
            .expect("altered");
        let configs = admin.describe_configs(&resource, None).await.expect("told");
        let find = |name: &str| {
            let entry = configs.iter().find(|config| config.name == name);
            entry.expect("a configuration")
        };
        assert_eq!(find("max.message.bytes").value.as_deref(), Some("2000000"));
        assert_eq!(find("max.message.bytes").source, ConfigSource::Topic);
        assert_ne!(find("retention.ms").source, ConfigSource::Topic);
        let wrong = [AlterConfig::set("cleanup.policy", "compact")];
        let error = admin
            .incremental_alter_configs(&resource, &wrong, false)
            .await;
        let code = error.expect_err("refused").code();
        assert_eq!(code, Some(ErrorCode::InvalidConfig));
        let all = [("retention.ms".to_owned(), Some("5000".to_owned()))];
        admin
            .alter_configs(&resource, &all, false)
            .await
            .expect("replaced");
        let names = ["retention.ms".to_owned(), "max.message.bytes".to_owned()];
        let some = admin.describe_configs(&resource, Some(&names)).await;
        let some = some.expect("told");
        assert_eq!(some.len(), 2);
        let set = |name: &str| {
            let entry = some.iter().find(|config| config.name == name);
            entry.is_some_and(|entry| entry.source == ConfigSource::Topic)
        };
        assert!(set("retention.ms") && !set("max.message.bytes"));
        broker.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_its_logs_and_producers_are_described() {
    with_broker(|_folder, broker| async move {
        let client = connect(&broker, "quic").await;
        let admin = client.admin();
        let made = admin.create_topic(NewTopic::new("t", 1)).await;
        made.expect("made");
        let producer = client.producer().build().expect("builds");
        let partition = TopicPartition::new("t", 0);
        for number in 0..10 {
            let value = number.to_string();
            let record = Record::new("t", value.as_bytes())
                .with_timestamp(TimestampMs(1_700_000_000_000 + number));
            let delivery = producer.send(record).await.expect("taken");
            delivery.await.expect("delivered");
        }
        let cluster = admin.describe_cluster().await.expect("described");
        assert_eq!(cluster.brokers.len(), 1);
        let id = cluster.brokers[0].id;
        let dirs = admin.describe_log_dirs(id, None).await.expect("told");
        let replica = dirs[0].replicas.iter().find(|r| r.partition == partition);
        assert!(replica.is_some_and(|replica| replica.size_bytes > 0));
        let (total, usable) = (dirs[0].total_bytes, dirs[0].usable_bytes);
        assert!(total > usable && usable > Some(0), "{total:?} {usable:?}");
        let mut producers = admin.describe_producers([partition.clone()]).await;
        let active = producers.remove(&partition).expect("told").expect("ok");
        assert_eq!(active[0].last_sequence, Some(9));
        let apis = admin.api_versions(Some(id)).await.expect("told");
        assert!(apis.iter().any(|api| api.name == Some("Produce")));
        broker.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_found_and_records_deleted() {
    with_broker(|_folder, broker| async move {
        let client = connect(&broker, "quic").await;
        let admin = client.admin();
        let made = admin.create_topic(NewTopic::new("t", 1)).await;
        made.expect("made");
        let producer = client.producer().build().expect("builds");
        let partition = TopicPartition::new("t", 0);
        for number in 0..10 {
            let record =
                Record::new("t", b"x").with_timestamp(TimestampMs(1_700_000_000_000 + number));
            producer.send(record).await.expect("taken");
        }
        producer.flush().await.expect("flushed");
        let at = |ms| OffsetSpec::Timestamp(TimestampMs(ms));
        for (spec, expected) in [
            (OffsetSpec::Earliest, Some(0)),
            (OffsetSpec::Latest, Some(10)),
            (at(1_700_000_000_004), Some(4)),
            (at(1_800_000_000_000), None),
            (OffsetSpec::MaxTimestamp, Some(9)),
        ] {
            let mut found = admin.list_offsets([(partition.clone(), spec)]).await;
            let found = found.remove(&partition).expect("told").expect("ok");
            assert_eq!(found.offset.map(|offset| offset.0), expected, "{spec:?}");
        }
        let epoch = admin
            .describe_topic("t")
            .await
            .expect("ok")
            .partitions
            .remove(0)
            .leader_epoch;
        let mut ends = admin
            .offsets_for_leader_epochs([(partition.clone(), epoch)])
            .await;
        let end = ends.remove(&partition).expect("told").expect("ok");
        assert_eq!(end.end_offset, Offset(10));
        let mut starts = admin.delete_records([(partition.clone(), Offset(4))]).await;
        let start = starts.remove(&partition).expect("told").expect("ok");
        assert_eq!(start, Offset(4));
        let mut consumer = client
            .consumer()
            .offset_reset(OffsetReset::Earliest)
            .build()
            .expect("builds");
        consumer
            .assign([(partition, SeekTo::Offset(Offset(0)))])
            .await
            .expect("assigned");
        assert_eq!(consumer.next().await.expect("ok").offset, Offset(4));
        broker.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_doubles_and_loses_nothing() {
    with_broker(|folder, broker| async move {
        let client = connect(&broker, "plain").await;
        let listen = broker
            .listeners()
            .iter()
            .map(|bound| format!("{}://{}", bound.transport.scheme(), bound.local))
            .collect::<Vec<_>>()
            .join(",");
        let made = client.admin().create_topic(NewTopic::new("t", 2)).await;
        made.expect("made");
        let producer = client
            .producer()
            .batch_bytes(2000)
            .linger(Duration::ZERO)
            .build()
            .expect("builds");
        let mut deliveries = Vec::new();
        let mut broker = Some(broker);
        for number in 0..5000 {
            let value = format!("{number}");
            let record = Record::new("t", value.as_bytes()).with_partition(number % 2);
            deliveries.push(producer.send(record).await.expect("taken"));
            if number == 2500 {
                broker.take().expect("running").shutdown().await;
                broker = Some(start(&folder, &listen).await);
            }
        }
        for delivery in deliveries {
            delivery.await.expect("delivered");
        }
        let mut consumer = client.consumer().build().expect("builds");
        consumer
            .assign_topic("t", SeekTo::Earliest)
            .await
            .expect("assigned");
        let mut seen: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for _ in 0..5000 {
            let record = consumer.next().await.expect("a record");
            let value = record.value.expect("a value");
            let number: i32 = std::str::from_utf8(&value).unwrap().parse().unwrap();
            seen.entry(record.partition.0).or_default().push(number);
        }
        for (partition, numbers) in seen {
            let expected: Vec<_> = (0..5000).filter(|n| n % 2 == partition).collect();
            assert_eq!(numbers, expected);
        }
        broker.take().expect("running").shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acks_is_answered() {
    with_broker(|_folder, broker| async move {
        let client = connect(&broker, "quic").await;
        let made = client.admin().create_topic(NewTopic::new("t", 1)).await;
        made.expect("made");
        for (acks, offset) in [(Acks::All, 0), (Acks::Leader, 1), (Acks::None, -1)] {
            let producer = client.producer().acks(acks).build().expect("builds");
            let delivery = producer.send(Record::new("t", b"x")).await.expect("taken");
            assert_eq!(delivery.await.expect("done").offset, Offset(offset));
            producer.close().await.expect("closed");
        }
        broker.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_says_what_stands_in_the_way() {
    with_broker(|_folder, broker| async move {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let nobody = free.local_addr().expect("an address").to_string();
        drop(free);
        let error = Client::connect(ClientConfig::new([nobody]))
            .await
            .expect_err("nobody");
        let text = error.to_string();
        assert!(text.contains("nobody listens"), "{text}");
        assert!(error.can_retry());
        let other = tempfile::tempdir().expect("a folder");
        let stranger = start(other.path(), EVERYWHERE).await;
        let profile = Profile::read(stranger.profile()).expect("a profile");
        let config = config(&broker, "quic").with_profile(profile);
        let error = Client::connect(config).await.expect_err("another CA");
        assert!(!error.can_retry(), "{error}");
        stranger.shutdown().await;
        broker.shutdown().await;
    })
    .await;
}
