//! The producer against a cluster in memory, in virtual time.

use crate::{
    Acks, Compression, ErrorCode, ProduceError, Producer, Record,
    fake::{FakeCluster, Fault},
};
use std::{sync::Arc, time::Duration};

async fn producer(cluster: &Arc<FakeCluster>) -> Producer {
    let client = cluster.client().await;
    client
        .producer()
        .linger(Duration::ZERO)
        .batch_bytes(500)
        .build()
        .expect("builds")
}

/// Produces numbered records to partition 0 and checks that each is there once, in order.
async fn exactly_once_under(faults: &[Fault]) -> Arc<FakeCluster> {
    let cluster = FakeCluster::with_topic("t", 1);
    let producer = producer(&cluster).await;
    cluster.state().faults.extend(faults);
    let mut deliveries = Vec::new();
    for number in 0..200 {
        let value = format!("{number}");
        let record = Record::new("t", value.as_bytes()).with_partition(0);
        deliveries.push(producer.send(record).await.expect("taken"));
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut told = Vec::new();
    for delivery in deliveries {
        told.push(delivery.await.expect("delivered").offset.0);
    }
    let values = cluster.values("t", 0);
    let expected: Vec<_> = (0..200).map(|n: i64| (n, n.to_string())).collect();
    assert_eq!(values, expected);
    let offsets: Vec<_> = (0..200).collect();
    assert_eq!(told, offsets);
    cluster
}

#[tokio::test(start_paused = true)]
async fn records_arrive_once_and_in_order() {
    let cluster = exactly_once_under(&[]).await;
    assert!(cluster.state().produce_requests > 3);
}

#[tokio::test(start_paused = true)]
async fn lost_connections_double_nothing() {
    exactly_once_under(&[
        Fault::None,
        Fault::DropAfter,
        Fault::None,
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::DropAfter,
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn retriable_errors_are_retried_in_order() {
    exactly_once_under(&[
        Fault::Refuse(ErrorCode::NotEnoughReplicas),
        Fault::None,
        Fault::RefuseAfter(ErrorCode::NotEnoughReplicasAfterAppend),
        Fault::Refuse(ErrorCode::NotLeaderOrFollower),
        Fault::Refuse(ErrorCode::KafkaStorageError),
        Fault::RefuseAfter(ErrorCode::RequestTimedOut),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_given_up_and_asked_again() {
    exactly_once_under(&[Fault::None, Fault::Hang]).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_for_a_while_loses_nothing() {
    let cluster = FakeCluster::with_topic("t", 1);
    let producer = producer(&cluster).await;
    let first = producer.send(Record::new("t", b"a")).await.expect("taken");
    first.await.expect("delivered");
    cluster.state().is_down = true;
    let second = producer.send(Record::new("t", b"b")).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(second.try_result().is_none());
    cluster.state().is_down = false;
    second.await.expect("delivered");
    let values = cluster.values("t", 0);
    assert_eq!(values, [(0, "a".to_owned()), (1, "b".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_moves_is_followed() {
    let cluster = FakeCluster::with_topic("t", 1);
    let producer = producer(&cluster).await;
    for leader in [1, 2, 1, 2] {
        {
            let mut state = cluster.state();
            let partition = &mut state.topics.get_mut("t").expect("there")[0];
            if partition.leader != leader {
                partition.leader = leader;
                partition.epoch += 1;
            }
        }
        let value = leader.to_string();
        let delivery = producer.send(Record::new("t", value.as_bytes())).await;
        delivery.expect("taken").await.expect("delivered");
    }
    let values: Vec<_> = cluster.values("t", 0).into_iter().map(|v| v.1).collect();
    assert_eq!(values, ["1", "2", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_fails_alone_and_those_behind_it_arrive() {
    let cluster = FakeCluster::with_topic("t", 1);
    let producer = producer(&cluster).await;
    cluster
        .state()
        .faults
        .push_back(Fault::Refuse(ErrorCode::InvalidRecord));
    let mut deliveries = Vec::new();
    for number in 0..100 {
        let value = format!("{number:050}");
        deliveries.push(
            producer
                .send(Record::new("t", value.as_bytes()))
                .await
                .expect("taken"),
        );
    }
    let (mut good, mut bad) = (Vec::new(), 0);
    for (number, delivery) in deliveries.into_iter().enumerate() {
        match delivery.await {
            Ok(_) => good.push(format!("{number:050}")),
            Err(error) => {
                assert!(matches!(error, ProduceError::Refused { .. }), "{error}");
                assert!(!error.can_retry());
                bad += 1;
            }
        }
    }
    assert!(bad > 0 && bad < 100, "{bad}");
    let values: Vec<_> = cluster.values("t", 0).into_iter().map(|v| v.1).collect();
    assert_eq!(values, good);
    assert!(matches!(
        producer.flush().await,
        Err(ProduceError::Refused { .. })
    ));
    producer.flush().await.expect("told once");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_for_its_topic_goes_in_parts() {
    let cluster = FakeCluster::with_topic("t", 1);
    cluster.state().batch_bytes_max = Some(500);
    let client = cluster.client().await;
    for codec in [Compression::None, Compression::Gzip] {
        let builder = client.producer().batch_bytes(8000).compression(codec);
        let producer = builder.build().expect("builds");
        let before = cluster.state().topics["t"][0].end();
        let mut deliveries = Vec::new();
        for number in 0..300 {
            let value = format!("{number} {:x}", number * 2_654_435_761_u64);
            let delivery = producer.send(Record::new("t", value.as_bytes())).await;
            deliveries.push(delivery.expect("taken"));
        }
        producer.flush().await.expect("flushed");
        for (number, delivery) in (before..).zip(deliveries) {
            let now = delivery.try_result().expect("done").expect("delivered");
            assert_eq!(now.offset.0, number);
            assert_eq!(delivery.await.expect("delivered"), now);
        }
        assert_eq!(producer.buffered_bytes(), 0);
    }
    let large = [b'x'; 600];
    let producer = client.producer().build().expect("builds");
    let delivery = producer.send(Record::new("t", &large)).await;
    let error = delivery.expect("taken").await.expect_err("too large");
    assert!(error.to_string().contains("MESSAGE_TOO_LARGE"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_in_time_says_why() {
    let cluster = FakeCluster::with_topic("t", 1);
    let client = cluster.client().await;
    let producer = client
        .producer()
        .delivery_timeout(Duration::from_secs(3))
        .build()
        .expect("builds");
    cluster
        .state()
        .faults
        .extend([Fault::Refuse(ErrorCode::NotEnoughReplicas); 100]);
    let delivery = producer.send(Record::new("t", b"x")).await.expect("taken");
    let error = delivery.await.expect_err("too late");
    let text = error.to_string();
    assert!(matches!(error, ProduceError::DeliveryTimeout { .. }));
    assert!(text.contains("NOT_ENOUGH_REPLICAS"), "{text}");
    assert_eq!(producer.buffered_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn keys_decide_and_records_without_spread() {
    let cluster = FakeCluster::with_topic("t", 4);
    let producer = producer(&cluster).await;
    for number in 0..400 {
        let (key, value) = (format!("key-{}", number % 40), format!("{number:060}"));
        let keyed = Record::new("t", value.as_bytes()).with_key(key.as_bytes());
        let delivery = producer.send(keyed).await.expect("taken");
        let expected = super::partition_for_key(key.as_bytes(), 4);
        assert_eq!(delivery.partition().0, expected);
        producer
            .send(Record::new("t", value.as_bytes()))
            .await
            .expect("taken");
    }
    producer.flush().await.expect("flushed");
    for partition in 0..4 {
        assert!(cluster.values("t", partition).len() > 50);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_memory_holds_the_sender_back() {
    let cluster = FakeCluster::with_topic("t", 1);
    let client = cluster.client().await;
    let producer = client
        .producer()
        .batch_bytes(1000)
        .buffer_bytes(10_000)
        .build()
        .expect("builds");
    let value = [b'x'; 400];
    for _ in 0..500 {
        producer.send(Record::new("t", &value)).await.expect("room");
        assert!(producer.buffered_bytes() <= 10_000);
    }
    producer.flush().await.expect("flushed");
    assert_eq!(cluster.values("t", 0).len(), 500);
    assert_eq!(producer.buffered_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_acks_nobody_waits() {
    let cluster = FakeCluster::with_topic("t", 1);
    let client = cluster.client().await;
    let builder = client.producer().acks(Acks::None).linger(Duration::ZERO);
    let producer = builder.build().expect("builds");
    let delivery = producer.send(Record::new("t", b"x")).await.expect("taken");
    assert_eq!(delivery.await.expect("sent").offset.0, -1);
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_told_at_once() {
    let cluster = FakeCluster::with_topic("t", 2);
    let client = cluster.client().await;
    let producer = producer(&cluster).await;
    let error = producer.send(Record::new("t", b"").with_partition(2)).await;
    assert!(matches!(
        error,
        Err(ProduceError::NoSuchPartition { partitions: 2, .. })
    ));
    let error = producer.send(Record::new("nothing", b"")).await;
    assert!(matches!(error, Err(ProduceError::Topic { .. })));
    let error = producer.try_send(Record::new("nothing", b""));
    assert!(matches!(error, Err(ProduceError::TopicNotReady { .. })));
    let error = client
        .producer()
        .idempotent(true)
        .acks(Acks::Leader)
        .build();
    assert!(matches!(error, Err(ProduceError::Config { .. })));
    producer.close().await.expect("nothing to flush");
    let error = producer.send(Record::new("t", b"")).await;
    assert!(matches!(error, Err(ProduceError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn older_brokers_get_names_and_compressed_batches() {
    let cluster = FakeCluster::with_topic("t", 1);
    cluster.state().produce_version_max = Some(9);
    let client = cluster.client().await;
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let producer = client
            .producer()
            .compression(codec)
            .build()
            .expect("builds");
        for _ in 0..100 {
            let record = Record::new("t", b"the same again and again and again");
            producer.send(record).await.expect("taken");
        }
        producer.close().await.expect("flushed");
    }
    let state = cluster.state();
    let log = &state.topics["t"][0];
    assert_eq!(log.end(), 400);
    assert!(log.batches.iter().all(|batch| batch.len() < 1000));
}
