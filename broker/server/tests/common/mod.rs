//! A broker in this process, a client of it, and what tests of plugins ask it for.
#![allow(dead_code, reason = "not every test file needs all of it")]

use bytes::Bytes;
use std::path::{Path, PathBuf};
use weir_client::admin::{AlterConfig, ConfigResource, DeployOptions, DeployedPlugin, NewTopic};
use weir_client::{
    Client, ClientConfig, Compression, ConsumerRecord, OffsetReset, Record, SeekTo, TransportChoice,
};
use weir_server::settings::Origin;
use weir_server::{Broker, Config, Settings};

pub(crate) async fn start(folder: &Path) -> Broker {
    let mut settings = Settings::default();
    let data = folder.join("data").display().to_string();
    let listen = "plain://127.0.0.1:0";
    let lay = [("data", data.as_str()), ("listen", listen), ("shards", "2")];
    for (name, value) in lay {
        let origin = Origin::Flag("test".to_owned());
        settings.lay(name, value, origin).expect("a setting");
    }
    let config = Config::from_settings(settings).expect("a configuration");
    Broker::start(config).await.expect("the broker starts")
}

pub(crate) async fn client(broker: &Broker) -> Client {
    let mut config = ClientConfig::new([broker.listeners()[0].advertised.to_string()]);
    config.transport = TransportChoice::Tcp;
    Client::connect(config).await.expect("a connection")
}

pub(crate) fn component(name: &str) -> Bytes {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins/prebuilt");
    let file = folder.join(format!("{name}.wasm"));
    std::fs::read(file).expect("a prebuilt component").into()
}

/// Deploys a prebuilt plugin and makes it the active version.
pub(crate) async fn deploy(client: &Client, name: &str) -> DeployedPlugin {
    let options = DeployOptions {
        activate: true,
        validate_only: false,
    };
    let deployed = client.admin().deploy_plugin(component(name), options).await;
    deployed.expect("deployed")
}

pub(crate) async fn topic(client: &Client, name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions);
    client.admin().create_topic(topic).await.expect("made");
}

pub(crate) async fn set(
    client: &Client,
    topic: &str,
    settings: &[(&str, &str)],
) -> Result<(), String> {
    let resource = ConfigResource::topic(topic);
    let set = |(name, value): &(&str, &str)| AlterConfig::set(*name, *value);
    let changes: Vec<AlterConfig> = settings.iter().map(set).collect();
    let admin = client.admin();
    let altered = admin
        .incremental_alter_configs(&resource, &changes, false)
        .await;
    altered.map_err(|error| error.to_string())
}

/// Produces values in one partition, together; says of each whether it was taken.
pub(crate) async fn produce(
    client: &Client,
    topic: &str,
    values: &[String],
) -> Vec<Result<(), String>> {
    let builder = client.producer().compression(Compression::Zstd);
    let producer = builder.build().expect("a producer");
    let mut deliveries = Vec::new();
    for value in values {
        let record = Record::new(topic, value.as_bytes()).with_partition(0);
        deliveries.push(producer.send(record).await.expect("room"));
    }
    let mut outcomes = Vec::new();
    for delivery in deliveries {
        let outcome = delivery.await;
        outcomes.push(outcome.map(|_| ()).map_err(|error| error.to_string()));
    }
    // What was refused was told above.
    let _refused = producer.close().await;
    outcomes
}

/// The first so many records of a topic's first partition.
pub(crate) async fn read(client: &Client, topic: &str, count: usize) -> Vec<ConsumerRecord> {
    let builder = client.consumer().offset_reset(OffsetReset::Error);
    let mut consumer = builder.build().expect("a consumer");
    let whole = consumer.assign_topic(topic, SeekTo::Earliest);
    whole.await.expect("assigned");
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(consumer.next().await.expect("a record"));
    }
    records
}

pub(crate) fn value(record: &ConsumerRecord) -> String {
    let value = record.value.as_ref().expect("a value");
    String::from_utf8(value.to_vec()).expect("text")
}
