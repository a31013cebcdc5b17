//! Lag of a real broker in this process, over a real socket: a group reads half, falls behind, and
//! after a restart the chart is still there. Nothing here sleeps: waiting is the broker's part.

use std::path::Path;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weir_client::{Client, ClientConfig, OffsetReset, Record, TransportChoice, admin::NewTopic};
use weir_server::{Broker, Config, Settings, settings::Origin};
use weir_types::ErrorCode;
use weir_wire::{
    RequestBody, decode_response, encode_request,
    messages::{LagGroup, LagHistoryRequest, LagHistoryResponse, LagRequest, LagResponse},
};

async fn start(folder: &Path) -> Broker {
    let mut settings = Settings::default();
    let data = folder.display().to_string();
    for (name, value) in [
        ("data", data.as_str()),
        ("listen", "plain://127.0.0.1:0"),
        ("shards", "2"),
        ("group.initial.rebalance.delay.ms", "0"),
    ] {
        settings
            .lay(name, value, Origin::Flag(name.to_owned()))
            .expect("a setting");
    }
    let config = Config::from_settings(settings).expect("a configuration");
    Broker::start(config).await.expect("starts")
}

async fn connect(broker: &Broker) -> Client {
    let bound = broker.listeners().first().expect("a listener");
    let config = ClientConfig::new([bound.advertised.to_string()]);
    Client::connect(config.with_transport(TransportChoice::Tcp))
        .await
        .expect("connects")
}

async fn produce(client: &Client, count: usize) {
    let producer = client.producer().build().expect("a producer");
    for number in 0..count {
        let value = number.to_string();
        let record = Record::new("orders", value.as_bytes()).with_partition(0);
        producer.send(record).await.expect("room");
    }
    producer.close().await.expect("flushed");
}

/// A connection that asks what the client's library does not know.
struct Wire(TcpStream);

impl Wire {
    async fn open(broker: &Broker) -> Self {
        let bound = broker.listeners().first().expect("a listener");
        Self(TcpStream::connect(bound.local).await.expect("connects"))
    }

    async fn ask<B: RequestBody>(&mut self, body: &B) -> B::Response {
        let segments = encode_request(7, None, 0, body).expect("it can be written");
        for segment in segments {
            self.0.write_all(&segment).await.expect("sent");
        }
        let size = self.0.read_u32().await.expect("an answer");
        let mut frame = vec![0; size as usize];
        self.0.read_exact(&mut frame).await.expect("a whole answer");
        let (_, response) = decode_response::<B>(frame.into(), 0).expect("it can be read");
        response
    }

    async fn lag(&mut self, changes_since: i64, max_wait_ms: i32) -> LagResponse {
        loop {
            let request = LagRequest {
                changes_since,
                max_wait_ms,
                ..Default::default()
            };
            let answer = self.ask(&request).await;
            match answer.error_code {
                ErrorCode::None => return answer,
                ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::NotCoordinator => {}
                error => panic!("{error}: {answer:?}"),
            }
        }
    }

    /// The group once it is as it should be.
    async fn group(&mut self, is: impl Fn(&LagGroup) -> bool) -> LagGroup {
        let mut since = -1;
        loop {
            let page = self.lag(since, 1_000).await;
            since = page.generation;
            let found = page.groups.into_iter().find(|group| is(group));
            if let Some(group) = found {
                return group;
            }
        }
    }

    /// The history once there is something of the group.
    async fn history(&mut self) -> LagHistoryResponse {
        let mut since = self.lag(-1, 0).await.generation;
        loop {
            let answer = self.ask(&LagHistoryRequest::default()).await;
            assert_eq!(answer.error_code, ErrorCode::None, "{answer:?}");
            if !answer.groups.is_empty() {
                return answer;
            }
            since = self.lag(since, 500).await.generation;
        }
    }
}

#[tokio::test]
async fn lag_is_told_now_and_over_time_and_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let client = connect(&broker).await;
    let topic = NewTopic::new("orders", 2);
    client.admin().create_topic(topic).await.expect("made");
    let mut wire = Wire::open(&broker).await;
    wire.lag(-1, 0).await;
    produce(&client, 30).await;
    let builder = client
        .group("shop")
        .topics(["orders"])
        .offset_reset(OffsetReset::Earliest);
    let mut consumer = builder.build().expect("a member");
    for _ in 0..30 {
        consumer.next().await.expect("a record");
    }
    consumer.commit().await.expect("committed");
    let group = wire
        .group(|group| group.lag == 0 && group.member_count == 1)
        .await;
    assert_eq!(
        (&*group.group_type, group.lag_ms),
        ("consumer", 0),
        "{group:?}"
    );
    let partitions = &group.topics[0].partitions;
    assert!(
        partitions.iter().all(|partition| partition.member == 0),
        "{group:?}"
    );
    assert_eq!(group.members.len(), 1, "{group:?}");
    consumer.close().await.expect("left");

    produce(&client, 20).await;
    let group = wire
        .group(|group| group.lag == 20 && group.member_count == 0)
        .await;
    assert!((0..60_000).contains(&group.lag_ms), "{group:?}");
    let before = wire.history().await;
    assert_eq!(before.groups[0].group_id, "shop");
    assert_eq!(before.groups[0].lag.last(), Some(&20));
    let orders = before.topics.iter().find(|topic| topic.topic == "orders");
    let came: i64 = orders.expect("it had traffic").records_in.iter().sum();
    assert_eq!(came, 50);
    client.close();
    broker.shutdown().await;

    let broker = start(folder.path()).await;
    let mut wire = Wire::open(&broker).await;
    let after = wire.history().await;
    let (one, other) = (&before.groups[0], &after.groups[0]);
    assert_eq!(one.start_ms, other.start_ms);
    assert!(other.lag.starts_with(&one.lag), "{one:?} and {other:?}");
    let group = wire.group(|group| group.lag == 20).await;
    // Marks of the watermarks were written down with the first sample.
    assert!((1..600_000).contains(&group.lag_ms), "{group:?}");
    broker.shutdown().await;
}
