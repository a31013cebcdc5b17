//! A real broker in this process, over real sockets and a real folder: what is acked is there
//! after a restart, both transports give the same, and whatever stands in the way of a start is
//! said in one sentence. Nothing here sleeps.

use std::path::Path;
use weir_client::admin::NewTopic;
use weir_client::{Client, ClientConfig, OffsetReset, Profile, Record, SeekTo, TransportChoice};
use weir_server::settings::Origin;
use weir_server::{Broker, Config, Settings, StartError};

fn settings(folder: &Path, listen: &str) -> Settings {
    let mut settings = Settings::default();
    let data = folder.join("data").display().to_string();
    let lay = [("data", data.as_str()), ("listen", listen), ("shards", "2")];
    for (name, value) in lay {
        settings
            .lay(name, value, Origin::Flag("test".to_owned()))
            .expect("a setting");
    }
    settings
}

async fn start(folder: &Path) -> Broker {
    let config = Config::from_settings(settings(folder, "127.0.0.1:0")).expect("a configuration");
    Broker::start(config).await.expect("the broker starts")
}

async fn client(broker: &Broker, transport: TransportChoice) -> Client {
    let mut config = ClientConfig::new([broker.listeners()[0].advertised.to_string()]);
    if transport != TransportChoice::Tcp {
        let profile = Profile::read(broker.profile()).expect("the admin's profile");
        config = config.with_profile(profile);
    }
    config.transport = transport;
    Client::connect(config).await.expect("a connection")
}

async fn produce(client: &Client, from: usize, to: usize) {
    let producer = client.producer().build().expect("a producer");
    let mut deliveries = Vec::new();
    for number in from..to {
        let text = format!("record {number}");
        let record = Record::new("orders", text.as_bytes()).with_key(text.as_bytes());
        deliveries.push(producer.send(record).await.expect("room"));
    }
    for delivery in deliveries {
        delivery.await.expect("acknowledged");
    }
    producer.close().await.expect("closed");
}

async fn consume(client: &Client, count: usize) -> Vec<String> {
    let builder = client.consumer().offset_reset(OffsetReset::Error);
    let mut consumer = builder.build().expect("a consumer");
    consumer
        .assign_topic("orders", SeekTo::Earliest)
        .await
        .expect("assigned");
    let mut all = Vec::new();
    while all.len() < count {
        let record = consumer.next().await.expect("a record");
        let value = record.value.expect("a value");
        all.push(String::from_utf8(value.to_vec()).expect("text"));
    }
    all.sort();
    all
}

fn expected(count: usize) -> Vec<String> {
    let mut all: Vec<_> = (0..count)
        .map(|number| format!("record {number}"))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn what_is_acked_over_either_transport_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let quic = client(&broker, TransportChoice::Quic).await;
    let topic = NewTopic::new("orders", 4).with_config("retention.ms", "-1");
    quic.admin().create_topic(topic).await.expect("made");
    produce(&quic, 0, 500).await;
    let tcp = client(&broker, TransportChoice::Tcp).await;
    produce(&tcp, 500, 1000).await;
    assert_eq!(consume(&tcp, 1000).await, expected(1000));
    assert_eq!(consume(&quic, 1000).await, expected(1000));
    quic.close();
    tcp.close();
    broker.shutdown().await;

    let broker = start(folder.path()).await;
    let quic = client(&broker, TransportChoice::Quic).await;
    produce(&quic, 1000, 1100).await;
    assert_eq!(consume(&quic, 1100).await, expected(1100));
    let topic = quic
        .admin()
        .describe_topic("orders")
        .await
        .expect("described");
    assert_eq!(topic.partitions.len(), 4, "{topic:?}");
    quic.close();
    broker.shutdown().await;
}

#[tokio::test]
async fn a_folder_in_use_and_a_port_in_use_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let config = Config::from_settings(settings(folder.path(), "127.0.0.1:0")).expect("config");
    let error = Broker::start(config)
        .await
        .expect_err("the folder is in use")
        .to_string();
    assert!(error.contains("data"), "{error}");

    let other = tempfile::tempdir().expect("a folder");
    let taken = broker.listeners()[0].local.to_string();
    let config = Config::from_settings(settings(other.path(), &taken)).expect("config");
    let error = Broker::start(config).await.expect_err("the port is in use");
    assert!(matches!(error, StartError::Listen(_)), "{error}");
    assert!(error.to_string().contains(&taken), "{error}");
    broker.shutdown().await;
}

#[tokio::test]
async fn a_log_whose_metadata_is_gone_is_not_taken_for_rests() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let quic = client(&broker, TransportChoice::Quic).await;
    quic.admin()
        .create_topic(NewTopic::new("orders", 2))
        .await
        .expect("made");
    quic.close();
    broker.shutdown().await;
    let meta = folder.path().join("data/log/meta.redb");
    std::fs::rename(&meta, folder.path().join("kept")).expect("moved away");
    let config = Config::from_settings(settings(folder.path(), "127.0.0.1:0")).expect("config");
    let error = Broker::start(config)
        .await
        .expect_err("the metadata is gone");
    assert!(
        matches!(error, StartError::MetadataLost { partitions: 2, .. }),
        "{error}"
    );
    std::fs::rename(folder.path().join("kept"), &meta).expect("put back");
    start(folder.path()).await.shutdown().await;
}

/// Its partitions would be led by a node that is nowhere, and new ones put on it.
#[tokio::test]
async fn a_folder_of_another_node_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let quic = client(&broker, TransportChoice::Quic).await;
    let topic = NewTopic::new("orders", 4);
    quic.admin().create_topic(topic).await.expect("made");
    produce(&quic, 0, 20).await;
    quic.close();
    broker.shutdown().await;

    let mut other = settings(folder.path(), "127.0.0.1:0");
    other
        .lay("node.id", "2", Origin::Flag("test".to_owned()))
        .expect("a setting");
    let config = Config::from_settings(other).expect("a configuration");
    let error = Broker::start(config).await.expect_err("node 1's folder");
    assert!(matches!(error, StartError::OtherNode { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("belongs to node 1: start with node.id=1"),
        "{text}"
    );

    let broker = start(folder.path()).await;
    let quic = client(&broker, TransportChoice::Quic).await;
    assert_eq!(consume(&quic, 20).await, expected(20));
    let cluster = quic.admin().describe_cluster().await.expect("described");
    assert_eq!(cluster.brokers.len(), 1, "no other broker is registered");
    quic.close();
    broker.shutdown().await;
}

/// An older `meta.redb` does not know the newest topic: its records stay, and are there again
/// with the right metadata. What a deleted topic left goes.
#[tokio::test]
async fn older_metadata_deletes_no_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let meta = folder.path().join("data/log/meta.redb");
    let (older, newer) = (folder.path().join("older"), folder.path().join("newer"));
    start(folder.path()).await.shutdown().await;
    std::fs::copy(&meta, &older).expect("kept");

    let broker = start(folder.path()).await;
    let quic = client(&broker, TransportChoice::Quic).await;
    quic.admin()
        .create_topic(NewTopic::new("orders", 2))
        .await
        .expect("made");
    produce(&quic, 0, 20).await;
    quic.close();
    broker.shutdown().await;
    std::fs::copy(&meta, &newer).expect("kept");

    std::fs::copy(&older, &meta).expect("put back");
    start(folder.path()).await.shutdown().await;
    std::fs::copy(&newer, &meta).expect("put back");
    let broker = start(folder.path()).await;
    let quic = client(&broker, TransportChoice::Quic).await;
    assert_eq!(consume(&quic, 20).await, expected(20));
    quic.close();
    broker.shutdown().await;
}
