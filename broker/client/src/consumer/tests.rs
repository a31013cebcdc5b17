//! The consumer against a cluster in memory, in virtual time.

use crate::{
    Client, Compression, ConsumeError, Consumer, Offset, OffsetReset, Record, RecordHeader, SeekTo,
    TimestampMs, TopicPartition, fake::FakeCluster,
};
use futures_util::StreamExt;
use std::{sync::Arc, time::Duration};

/// Writes `count` numbered records to each partition.
async fn write(client: &Client, partitions: i32, from: i64, count: i64) {
    let producer = client.producer().batch_bytes(300).build().expect("builds");
    for number in from..from + count {
        for partition in 0..partitions {
            let value = number.to_string();
            let record = Record::new("t", value.as_bytes())
                .with_partition(partition)
                .with_timestamp(TimestampMs(1000 + number));
            producer.send(record).await.expect("taken");
        }
    }
    producer.close().await.expect("flushed");
}

async fn read(consumer: &mut Consumer, count: usize) -> Vec<(i32, i64, String)> {
    let mut all = Vec::new();
    while all.len() < count {
        let record = consumer.next().await.expect("a record");
        let value = String::from_utf8(record.value.unwrap_or_default().to_vec());
        all.push((record.partition.0, record.offset.0, value.expect("text")));
    }
    all
}

fn expected(partition: i32, from: i64, to: i64) -> Vec<(i32, i64, String)> {
    (from..to).map(|n| (partition, n, n.to_string())).collect()
}

async fn setup(partitions: i32, count: i64) -> (Arc<FakeCluster>, Client, Consumer) {
    let size = usize::try_from(partitions).expect("positive");
    let cluster = FakeCluster::with_topic("t", size);
    let client = cluster.client().await;
    write(&client, partitions, 0, count).await;
    let consumer = client.consumer().build().expect("builds");
    (cluster, client, consumer)
}

#[tokio::test(start_paused = true)]
async fn every_record_comes_once_and_in_order() {
    let (_cluster, client, mut consumer) = setup(3, 500).await;
    consumer
        .assign_topic("t", SeekTo::Earliest)
        .await
        .expect("assigned");
    let mut all = read(&mut consumer, 1500).await;
    // Partitions mix; within one the order stays.
    all.sort_by_key(|row| row.0);
    let mut rows = expected(0, 0, 500);
    rows.extend(expected(1, 0, 500));
    rows.extend(expected(2, 0, 500));
    assert_eq!(all, rows);
    write(&client, 1, 500, 10).await;
    assert_eq!(read(&mut consumer, 10).await, expected(0, 500, 510));
    let first = TopicPartition::new("t", 0);
    assert_eq!(consumer.position(&first), Some(Offset(510)));
}

#[tokio::test(start_paused = true)]
async fn seeking_goes_anywhere() {
    let (_cluster, client, mut consumer) = setup(1, 100).await;
    let only = TopicPartition::new("t", 0);
    consumer
        .assign([(only.clone(), SeekTo::Offset(Offset(42)))])
        .await
        .expect("assigned");
    assert_eq!(read(&mut consumer, 3).await, expected(0, 42, 45));
    let to = consumer.seek(&only, SeekTo::Earliest).await.expect("there");
    assert_eq!(to, Offset(0));
    assert_eq!(read(&mut consumer, 2).await, expected(0, 0, 2));
    let time = SeekTo::Timestamp(TimestampMs(1090));
    let to = consumer.seek(&only, time).await.expect("there");
    assert!(to <= Offset(90) && to > Offset(50), "{to}");
    let late = SeekTo::Timestamp(TimestampMs(9000));
    assert_eq!(
        consumer.seek(&only, late).await.expect("there"),
        Offset(100)
    );
    write(&client, 1, 100, 2).await;
    assert_eq!(read(&mut consumer, 2).await, expected(0, 100, 102));
    let unknown = TopicPartition::new("t", 5);
    let error = consumer.seek(&unknown, SeekTo::Latest).await;
    assert!(matches!(error, Err(ConsumeError::NotAssigned { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_stays_where_it_is() {
    let (_cluster, _client, mut consumer) = setup(2, 50).await;
    consumer
        .assign_topic("t", SeekTo::Earliest)
        .await
        .expect("assigned");
    let (first, second) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
    let before = consumer.next().await.expect("a record");
    consumer.pause([&first]).expect("assigned");
    let taken = i64::from(before.partition.0 == 0);
    let rest = read(&mut consumer, 50 - usize::try_from(1 - taken).unwrap()).await;
    assert!(rest.iter().all(|row| row.0 == 1), "{rest:?}");
    assert_eq!(consumer.position(&first), Some(Offset(taken)));
    assert_eq!(consumer.position(&second), Some(Offset(50)));
    consumer.resume([&first]).expect("assigned");
    let left = usize::try_from(50 - taken).unwrap();
    assert_eq!(read(&mut consumer, left).await, expected(0, taken, 50));
}

#[tokio::test(start_paused = true)]
async fn a_position_outside_the_log_follows_the_policy() {
    let (cluster, client, _) = setup(1, 100).await;
    {
        let mut state = cluster.state();
        let log = &mut state.topics.get_mut("t").expect("there")[0];
        log.batches.drain(..2);
        let first = log.batches.first().expect("some");
        log.start = weir_types::BatchHeader::read(first).unwrap().base_offset.0;
    }
    let start = cluster.state().topics["t"][0].start;
    let only = TopicPartition::new("t", 0);
    for (reset, first) in [(OffsetReset::Earliest, start), (OffsetReset::Latest, 100)] {
        let mut consumer = client.consumer().offset_reset(reset).build().expect("ok");
        consumer
            .assign([(only.clone(), SeekTo::Offset(Offset(0)))])
            .await
            .expect("assigned");
        if first == 100 {
            write(&client, 1, 100, 1).await;
            // Whether the write or the reset comes first is a matter of time.
            let record = tokio::time::timeout(Duration::from_secs(5), consumer.next()).await;
            let offset = record.map(|record| record.expect("a record").offset.0);
            assert!(matches!(offset, Ok(100) | Err(_)), "{offset:?}");
        } else {
            let record = consumer.next().await.expect("a record");
            assert_eq!(record.offset.0, first);
        }
    }
    let mut consumer = client.consumer().build().expect("builds");
    consumer
        .assign([(only.clone(), SeekTo::Offset(Offset(0)))])
        .await
        .expect("assigned");
    let error = consumer.next().await;
    assert!(matches!(
        error,
        Err(ConsumeError::OffsetOutOfRange {
            offset: Offset(0),
            ..
        })
    ));
    consumer.seek(&only, SeekTo::Earliest).await.expect("there");
    assert_eq!(consumer.next().await.expect("ok").offset.0, start);
}

#[tokio::test(start_paused = true)]
async fn a_moved_leader_and_a_restart_lose_and_double_nothing() {
    let (cluster, client, mut consumer) = setup(1, 100).await;
    consumer
        .assign_topic("t", SeekTo::Earliest)
        .await
        .expect("assigned");
    assert_eq!(read(&mut consumer, 50).await, expected(0, 0, 50));
    {
        let mut state = cluster.state();
        let log = &mut state.topics.get_mut("t").expect("there")[0];
        log.leader = 2;
        log.epoch = 1;
    }
    assert_eq!(read(&mut consumer, 50).await, expected(0, 50, 100));
    cluster.state().is_down = true;
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.state().is_down = false;
    write(&client, 1, 100, 20).await;
    assert_eq!(read(&mut consumer, 20).await, expected(0, 100, 120));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_batch_is_told_and_can_be_passed() {
    let (cluster, _client, mut consumer) = setup(1, 100).await;
    let next = {
        let mut state = cluster.state();
        let log = &mut state.topics.get_mut("t").expect("there")[0];
        let mut bytes = log.batches[1].to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        log.batches[1] = bytes.into();
        weir_types::BatchHeader::read(&log.batches[1]).unwrap()
    };
    consumer
        .assign_topic("t", SeekTo::Earliest)
        .await
        .expect("assigned");
    let good = usize::try_from(next.base_offset.0).unwrap();
    read(&mut consumer, good).await;
    let error = consumer.next().await.expect_err("damaged");
    let ConsumeError::Damaged {
        partition,
        offset,
        next_offset,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (offset, next_offset),
        (next.base_offset, next.next_offset())
    );
    consumer
        .seek(&partition, SeekTo::Offset(next_offset))
        .await
        .expect("there");
    let record = consumer.next().await.expect("a record");
    assert_eq!(record.offset, next_offset);
}

#[tokio::test(start_paused = true)]
async fn batches_records_and_the_stream_agree() {
    let cluster = FakeCluster::with_topic("t", 1);
    let client = cluster.client().await;
    let headers = [
        RecordHeader {
            key: b"twice",
            value: Some(b"1"),
        },
        RecordHeader {
            key: b"twice",
            value: None,
        },
    ];
    for codec in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let producer = client.producer().compression(codec).build().expect("ok");
        for number in 0..600 {
            let value = format!("value {number} value value value");
            let mut record = Record::new("t", value.as_bytes()).with_headers(&headers);
            if number % 2 == 0 {
                record = record.with_key(b"");
            }
            if number % 5 == 0 {
                record.value = None;
            }
            producer.send(record).await.expect("taken");
        }
        producer.close().await.expect("flushed");
    }
    let mut by_record = client.consumer().build().expect("builds");
    let mut by_batch = client.consumer().build().expect("builds");
    for consumer in [&mut by_record, &mut by_batch] {
        consumer
            .assign_topic("t", SeekTo::Offset(Offset(7)))
            .await
            .expect("assigned");
    }
    let streamed: Vec<_> = StreamExt::take(&mut by_record, 2993)
        .map(|record| record.expect("a record"))
        .collect()
        .await;
    let mut batched = Vec::new();
    while batched.len() < 2993 {
        let batch = by_batch.next_batch().await.expect("a batch");
        batched.extend(batch.records().map(|record| record.expect("a record")));
    }
    assert_eq!(streamed, batched);
    assert_eq!(streamed[0].offset, Offset(7));
    assert_eq!(streamed[1].key.as_deref(), Some(&b""[..]));
    assert_eq!(streamed[0].key, None);
    assert_eq!(streamed[3].value, None);
    assert_eq!(streamed[0].headers.len(), 2);
    assert_eq!(streamed[0].headers[1].value, None);
}

#[tokio::test(start_paused = true)]
async fn memory_ahead_of_the_reader_is_bounded() {
    let cluster = FakeCluster::with_topic("t", 1);
    let client = cluster.client().await;
    write(&client, 1, 0, 5000).await;
    let mut consumer = client
        .consumer()
        .prefetch_bytes(2000)
        .partition_bytes(1000)
        .build()
        .expect("builds");
    consumer
        .assign_topic("t", SeekTo::Earliest)
        .await
        .expect("assigned");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = cluster.state().fetch_requests;
    assert!(before < 10, "{before} fetches without a reader");
    assert_eq!(read(&mut consumer, 5000).await, expected(0, 0, 5000));
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_not_there_are_told() {
    let cluster = FakeCluster::with_topic("t", 1);
    let client = cluster.client().await;
    let mut consumer = client.consumer().build().expect("builds");
    let error = consumer.assign_topic("nothing", SeekTo::Earliest).await;
    assert!(matches!(error, Err(ConsumeError::Topic { .. })));
    let none = TopicPartition::new("t", 3);
    let error = consumer.assign([(none, SeekTo::Earliest)]).await;
    assert!(matches!(error, Err(ConsumeError::Partition { .. })));
    assert!(consumer.assignment().is_empty());
}

#[tokio::test(start_paused = true)]
async fn older_brokers_are_asked_by_name() {
    let (cluster, client, _) = setup(1, 30).await;
    for version in [4, 6, 7, 11, 12] {
        cluster.state().fetch_version_max = Some(version);
        let client = cluster.client().await;
        let mut consumer = client.consumer().build().expect("builds");
        consumer
            .assign_topic("t", SeekTo::Earliest)
            .await
            .expect("assigned");
        assert_eq!(read(&mut consumer, 30).await, expected(0, 0, 30));
    }
    drop(client);
}
