//! `weir bench latency`: an open loop at a modest rate, timed from the moment at which each record
//! should have been sent to its acknowledgement, and to its arrival at a consumer.

use super::Common;
use super::figures::{Figures, Latencies};
use super::load::{Done, Load, LoadArgs, Until};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use clap::Args;
use futures_util::future::try_join_all;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use weir_client::{Client, SeekTo};

/// Bytes at the front of a value that say when it was due, in nanoseconds since the start.
const STAMP_BYTES: usize = 8;

/// `weir bench latency`.
#[derive(Args, Debug)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    load: LoadArgs,
    /// Records a second of all clients together
    #[arg(long, value_name = "N", default_value_t = 1000.0)]
    rate: f64,
}

/// Runs the command.
pub(crate) async fn run(args: LatencyArgs, interrupt: Interrupt) -> Outcome {
    let (common, load) = (&args.common, &args.load);
    if load.record_size < STAMP_BYTES {
        return Err(
            Failure::usage(format!("--record-size {} is too small", load.record_size))
                .advise(format!("a time of {STAMP_BYTES} bytes must fit in")),
        );
    }
    if args.rate <= 0.0 {
        return Err(Failure::usage("--rate must be above 0"));
    }
    let (clients, topic) = common.begin(&interrupt).await?;
    let Some(first) = clients.first() else {
        return Ok(());
    };
    let mut consumer = first.consumer().build()?;
    interrupt
        .or(async { Ok(consumer.assign_topic(&common.topic, SeekTo::Latest).await?) })
        .await?;
    let (acks, arrivals) = (Arc::new(Latencies::new()), Arc::new(Latencies::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let measured_from = began + Duration::from_secs_f64(load.warm_up);
    let reading = tokio::spawn(read(consumer, began, measured_from, Arc::clone(&arrivals)));
    let running = start(&args, &clients, (began, measured_from), &acks, &stop);
    let all = async { try_join_all(running.await?).await };
    tokio::pin!(all);
    let done: Vec<Done> = tokio::select! {
        done = &mut all => done?,
        () = interrupt.raised() => {
            stop.store(true, Ordering::Relaxed);
            all.await?;
            return Err(Failure::interrupted());
        }
    };
    let took = began
        .elapsed()
        .saturating_sub(Duration::from_secs_f64(load.warm_up));
    // Everything is acknowledged; the last records are on their way to the consumer.
    tokio::time::sleep(Duration::from_millis(200)).await;
    reading.abort();
    let records: u64 = done.iter().map(|done| done.records).sum();
    let all_records: u64 = done.iter().map(|done| done.all_records).sum();
    let size = load.record_size as u64;
    let figures = Figures {
        command: "produced to",
        topic: common.topic.clone(),
        transport: super::transport(common),
        records,
        bytes: records * size,
        took,
        all_bytes: all_records * size,
        latencies: vec![
            ("latency_ms", "due to acknowledgement,", acks.to_json()),
            ("end_to_end_ms", "due to arrival,", arrivals.to_json()),
        ],
        settings: json!({
            "partitions": topic.partitions.len(),
            "clients": common.clients,
            "record_size": load.record_size,
            "linger_ms": load.linger.unwrap_or(0),
            "acks": load.acks.number(),
            "rate": args.rate,
            "warm_up_seconds": load.warm_up,
        }),
    };
    figures.print(common.json)
}

async fn start(
    args: &LatencyArgs,
    clients: &[Client],
    (began, measured_from): (Instant, Instant),
    latencies: &Arc<Latencies>,
    stop: &Arc<AtomicBool>,
) -> Outcome<Vec<impl Future<Output = Outcome<Done>> + use<>>> {
    let common = &args.common;
    let share = f64::from(common.clients);
    let mut running = Vec::new();
    for client in clients {
        let rate = args.rate / share;
        let until = match common.records {
            Some(records) => {
                let warm_up = args.load.warm_up * rate;
                Until::Records((records as f64 / share + warm_up) as u64)
            }
            None => Until::Time(measured_from + common.measured()),
        };
        let load = Load {
            producer: args.load.producer(client, Some(0)).await?,
            topic: common.topic.clone(),
            partitions: 1,
            record_size: args.load.record_size,
            round_robin: false,
            rate: Some(rate),
            began,
            measured_from,
            until,
            latencies: Arc::clone(latencies),
            stop: Arc::clone(stop),
            stamp: Some(stamp),
        };
        running.push(load.run());
    }
    Ok(running)
}

/// Writes when the record was due.
fn stamp(value: &mut [u8], began: Instant, due: Instant) {
    let ns = u64::try_from(due.saturating_duration_since(began).as_nanos()).unwrap_or(u64::MAX);
    if let Some(front) = value.first_chunk_mut::<STAMP_BYTES>() {
        *front = ns.to_be_bytes();
    }
}

async fn read(
    mut consumer: weir_client::Consumer,
    began: Instant,
    measured_from: Instant,
    latencies: Arc<Latencies>,
) {
    // Ends when the benchmark does; an error shows as missing samples.
    while let Ok(batch) = consumer.next_batch().await {
        let now = Instant::now();
        for record in batch.raw_records() {
            let Ok((_, _, record)) = record else { continue };
            let stamp = record
                .value
                .and_then(|value| value.first_chunk::<STAMP_BYTES>());
            let Some(stamp) = stamp else { continue };
            let due = began + Duration::from_nanos(u64::from_be_bytes(*stamp));
            if due >= measured_from && due <= now {
                latencies.record(now - due);
            }
        }
    }
}
