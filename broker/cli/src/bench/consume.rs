//! `weir bench consume`: how fast a topic comes out, from its beginning to where it ended when the
//! benchmark began, or until the time is up.

use super::Common;
use super::figures::Figures;
use crate::failure::Outcome;
use crate::interrupt::Interrupt;
use crate::topic::offsets;
use clap::Args;
use futures_util::future::try_join_all;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use weir_client::{Client, Offset, SeekTo, TopicPartition};

/// `weir bench consume`.
#[derive(Args, Debug)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    common: Common,
    /// The most bytes of one answer [default: the client's]
    #[arg(long, value_name = "BYTES")]
    fetch_bytes: Option<usize>,
    /// The most bytes of one partition in an answer [default: the client's]
    #[arg(long, value_name = "BYTES")]
    partition_bytes: Option<usize>,
}

/// What all clients share.
struct Shared {
    records: AtomicU64,
    bytes: AtomicU64,
    records_max: u64,
    end: Option<Instant>,
}

/// Runs the command.
pub(crate) async fn run(args: ConsumeArgs, interrupt: Interrupt) -> Outcome {
    let common = &args.common;
    let (clients, topic) = common.begin(&interrupt).await?;
    let Some(first) = clients.first() else {
        return Ok(());
    };
    let ends = interrupt.or(offsets::ends(first, &topic)).await?;
    let began = Instant::now();
    let shared = Arc::new(Shared {
        records: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        records_max: common.records.unwrap_or(u64::MAX),
        end: common.records.is_none().then(|| began + common.measured()),
    });
    let mut running = Vec::new();
    for (index, client) in clients.iter().enumerate() {
        let mine = ends.iter().skip(index).step_by(clients.len());
        let mine: BTreeMap<TopicPartition, (i64, i64)> = mine
            .filter(|ends| ends.records() > 0)
            .map(|ends| {
                let partition = TopicPartition::new(common.topic.as_str(), ends.partition);
                (partition, (ends.start, ends.end))
            })
            .collect();
        running.push(read(client.clone(), mine, Arc::clone(&shared), &args));
    }
    interrupt.or(try_join_all(running)).await?;
    let took = began.elapsed();
    let bytes = shared.bytes.load(Ordering::Relaxed);
    let figures = Figures {
        command: "consumed from",
        topic: common.topic.clone(),
        asked: common.asked(),
        transport: super::transport(&clients),
        records: shared.records.load(Ordering::Relaxed),
        bytes,
        took,
        all_bytes: bytes,
        latencies: Vec::new(),
        missing: None,
        settings: json!({
            "partitions": topic.partitions.len(),
            "clients": common.clients,
            "fetch_bytes": args.fetch_bytes,
            "partition_bytes": args.partition_bytes,
        }),
    };
    figures.print(common.json)
}

async fn read(
    client: Client,
    mut ends: BTreeMap<TopicPartition, (i64, i64)>,
    shared: Arc<Shared>,
    args: &ConsumeArgs,
) -> Outcome {
    let mut builder = client.consumer();
    if let Some(bytes) = args.fetch_bytes {
        builder = builder.fetch_bytes(bytes);
    }
    if let Some(bytes) = args.partition_bytes {
        builder = builder.partition_bytes(bytes);
    }
    let mut consumer = builder.build()?;
    let places = ends
        .iter()
        .map(|(partition, (start, _))| (partition.clone(), SeekTo::Offset(Offset(*start))));
    consumer.assign(places.collect::<Vec<_>>()).await?;
    while !ends.is_empty() && shared.records.load(Ordering::Relaxed) < shared.records_max {
        let left = shared
            .end
            .map(|end| end.saturating_duration_since(Instant::now()));
        let next = tokio::time::timeout(left.unwrap_or(Duration::MAX), consumer.next_batch()).await;
        let Ok(batch) = next else { return Ok(()) };
        let batch = batch?;
        let (mut records, mut bytes) = (0, 0);
        for record in batch.raw_records() {
            let (_, _, record) = record?;
            records += 1;
            bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        }
        shared.records.fetch_add(records, Ordering::Relaxed);
        shared.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let partition = batch.partition();
        if ends
            .get(partition)
            .is_some_and(|(_, end)| batch.next_offset().0 >= *end)
        {
            ends.remove(partition);
            consumer.unassign([partition]);
        }
        if shared.end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
    }
    Ok(())
}
