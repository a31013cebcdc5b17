//! Router jobs in a whole broker, without plugins: every record of the source is in the output once
//! and in order, where its key belongs, also when the broker goes away in between.

use std::collections::BTreeMap;
use std::path::Path;
use weir_client::admin::{JobAction, JobDescription, NewJob, NewTopic};
use weir_client::error::AdminError;
use weir_client::producer::partition_for_key;
use weir_client::{Client, ClientConfig, OffsetReset, Record, SeekTo, TransportChoice};
use weir_server::settings::Origin;
use weir_server::{Broker, Config, Settings};

const IN: u32 = 3;
const OUT: u32 = 5;
const KEYS: usize = 17;

async fn start(folder: &Path) -> Broker {
    let mut settings = Settings::default();
    let data = folder.join("data").display().to_string();
    let listen = "127.0.0.1:0";
    let lay = [("data", data.as_str()), ("listen", listen), ("shards", "2")];
    for (name, value) in lay {
        let origin = Origin::Flag("test".to_owned());
        settings.lay(name, value, origin).expect("a setting");
    }
    let config = Config::from_settings(settings).expect("a configuration");
    Broker::start(config).await.expect("the broker starts")
}

async fn client(broker: &Broker) -> Client {
    let mut config = ClientConfig::new([broker.listeners()[0].advertised.to_string()]);
    config.transport = TransportChoice::Tcp;
    Client::connect(config).await.expect("a connection")
}

async fn produce(client: &Client, from: usize, to: usize) {
    let producer = client.producer().build().expect("a producer");
    let mut deliveries = Vec::new();
    for number in from..to {
        let (key, value) = (format!("key {}", number % KEYS), format!("{number}"));
        let record = Record::new("intake", value.as_bytes()).with_key(key.as_bytes());
        deliveries.push(producer.send(record).await.expect("room"));
    }
    for delivery in deliveries {
        delivery.await.expect("acknowledged");
    }
    producer.close().await.expect("closed");
}

/// The numbers by key, in the order in which the output has them.
async fn routed(client: &Client, count: usize) -> BTreeMap<String, Vec<usize>> {
    let builder = client.consumer().offset_reset(OffsetReset::Error);
    let mut consumer = builder.build().expect("a consumer");
    let whole = consumer.assign_topic("placed", SeekTo::Earliest);
    whole.await.expect("assigned");
    let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for _ in 0..count {
        let record = consumer.next().await.expect("a record");
        let key = record.key.expect("a key");
        assert_eq!(record.partition.0, partition_for_key(&key, OUT));
        let key = String::from_utf8(key.to_vec()).expect("text");
        let value = String::from_utf8(record.value.expect("a value").to_vec()).expect("text");
        let numbers = all.entry(key).or_default();
        numbers.push(value.parse().expect("a number"));
    }
    all
}

fn expected(count: usize) -> BTreeMap<String, Vec<usize>> {
    let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for number in 0..count {
        let key = format!("key {}", number % KEYS);
        all.entry(key).or_default().push(number);
    }
    all
}

async fn described(client: &Client) -> Result<JobDescription, AdminError> {
    let jobs = client.admin().describe_jobs(&["placer".to_owned()]).await;
    let (_, job) = jobs.expect("described").pop().expect("one job");
    job
}

/// Everything that the job wrote, counted in its output, which no reader has to wait for.
async fn behind(client: &Client) -> i64 {
    let job = described(client).await.expect("a job");
    let unknown = |part: &weir_client::admin::JobProgress| part.offset.0 < 0;
    if job.partitions.len() != IN as usize || job.partitions.iter().any(unknown) {
        return i64::MAX;
    }
    job.partitions
        .iter()
        .map(weir_client::admin::JobProgress::behind)
        .sum()
}

async fn make(client: &Client) {
    for (topic, partitions) in [("intake", IN), ("placed", OUT)] {
        let topic = NewTopic::new(topic, i32::try_from(partitions).expect("few"));
        client.admin().create_topic(topic).await.expect("made");
    }
    let job = NewJob {
        name: "placer".to_owned(),
        from: vec!["intake".to_owned()],
        to: vec!["placed".to_owned()],
        chain: weir_plugin::Chain::default(),
        policy: weir_plugin::Policy::Stop,
        paused: false,
    };
    client.admin().create_job(&job, false).await.expect("made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_places_every_record_once_and_in_order_whatever_ends_the_broker() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut broker = start(folder.path()).await;
    let mut known = client(&broker).await;
    make(&known).await;
    for round in 0..4 {
        produce(&known, round * 500, (round + 1) * 500).await;
        if round == 2 {
            assert_eq!(routed(&known, 1500).await, expected(1500));
        }
        known.close();
        // The job is somewhere in the middle of it.
        if round % 2 == 0 {
            drop(broker);
        } else {
            broker.shutdown().await;
        }
        broker = start(folder.path()).await;
        known = client(&broker).await;
    }
    assert_eq!(routed(&known, 2000).await, expected(2000));
    while behind(&known).await > 0 {}
    let ends = known.admin().describe_topic("placed").await;
    assert_eq!(ends.expect("described").partitions.len(), OUT as usize);
    known.close();
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paused_resumed_and_deleted_with_its_progress() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    make(&known).await;
    produce(&known, 0, 100).await;
    assert_eq!(routed(&known, 100).await, expected(100));
    let admin = known.admin();
    let alter = |action| admin.alter_job("placer", action, false);
    alter(JobAction::Pause).await.expect("paused");
    assert!(described(&known).await.expect("a job").paused);
    produce(&known, 100, 200).await;
    alter(JobAction::Resume).await.expect("resumed");
    assert_eq!(routed(&known, 200).await, expected(200));
    alter(JobAction::Delete).await.expect("deleted");
    assert!(described(&known).await.is_err());
    loop {
        let groups = admin.list_groups().await.expect("listed");
        if groups.iter().all(|group| group.group != "weir-job.placer") {
            break;
        }
    }
    known.close();
    broker.shutdown().await;
}
