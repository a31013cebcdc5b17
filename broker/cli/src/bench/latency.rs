//! `weir bench latency`: an open loop at a modest rate, timed from the moment at which each record
//! should have been sent to its acknowledgement, and to its arrival at a consumer.

use super::Common;
use super::figures::{ARRIVAL_MAX, Latencies};
use super::load::{Done, Load, LoadArgs, Ran, STAMP_BYTES, Stamp, Until, together};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use clap::Args;
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use weir_client::{Client, ConsumeError, SeekTo};

/// How long a batch waits for more records unless it is told: what is measured is one record's way.
const LINGER_MS: u64 = 0;

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
    usable(&args)?;
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
    let stamp = Stamp::new(began);
    let measured_from = began + Duration::from_secs_f64(load.warm_up);
    let (arrived, mut seen) = watch::channel(0);
    let reading = read(
        consumer,
        stamp,
        measured_from,
        Arc::clone(&arrivals),
        arrived,
    );
    let reading = tokio::spawn(reading);
    let partitions = topic.partitions.len();
    let running = start(
        &args,
        &clients,
        partitions,
        (stamp, measured_from),
        &acks,
        &stop,
    );
    let all = async { try_join_all(running.await?).await };
    let done = together(all, &stop, &interrupt).await?;
    let took = began
        .elapsed()
        .saturating_sub(Duration::from_secs_f64(load.warm_up));
    let wanted = done.all_records;
    let missing = interrupt
        .or(async { Ok(last_arrivals(&mut seen, wanted).await) })
        .await?;
    let Some(missing) = missing else {
        let failed = reading.await;
        return Err(failed.map_or_else(|e| Failure::failed(e.to_string()), Failure::from));
    };
    reading.abort();
    let ran = Ran {
        common,
        load,
        clients: &clients,
        partitions,
        rate: Some(args.rate),
        linger_ms: load.linger.or(Some(LINGER_MS)),
        done,
        took,
    };
    let latencies = vec![
        ("latency_ms", "due to acknowledgement,", acks.to_json()),
        ("end_to_end_ms", "due to arrival,", arrivals.to_json()),
    ];
    ran.figures(latencies, Some(missing)).print(common.json)
}

/// Waits until so many records have arrived, or for a while, and tells how many have not; nothing
/// where the reading has ended before, which it does only when it fails.
async fn last_arrivals(seen: &mut watch::Receiver<u64>, wanted: u64) -> Option<u64> {
    let all = seen.wait_for(|arrived| *arrived >= wanted);
    let waited = tokio::time::timeout(ARRIVAL_MAX, async { all.await.is_ok() }).await;
    match waited {
        Ok(true) => Some(0),
        Ok(false) => None,
        Err(_) => Some(wanted.saturating_sub(*seen.borrow())),
    }
}

fn usable(args: &LatencyArgs) -> Outcome {
    let load = &args.load;
    if load.record_size < STAMP_BYTES {
        return Err(
            Failure::usage(format!("--record-size {} is too small", load.record_size))
                .advise(format!("a stamp of {STAMP_BYTES} bytes must fit in")),
        );
    }
    if args.rate <= 0.0 {
        return Err(Failure::usage("--rate must be above 0"));
    }
    Ok(())
}

async fn start(
    args: &LatencyArgs,
    clients: &[Client],
    partitions: usize,
    (stamp, measured_from): (Stamp, Instant),
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
            producer: args.load.producer(client, Some(LINGER_MS)).await?,
            topic: common.topic.clone(),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            record_size: args.load.record_size,
            round_robin: args.load.round_robin,
            rate: Some(rate),
            began: stamp.began,
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

/// Times what comes and counts it; gives back only an error.
async fn read(
    mut consumer: weir_client::Consumer,
    stamp: Stamp,
    measured_from: Instant,
    latencies: Arc<Latencies>,
    arrived: watch::Sender<u64>,
) -> ConsumeError {
    loop {
        let batch = match consumer.next_batch().await {
            Ok(batch) => batch,
            Err(error) => return error,
        };
        let now = Instant::now();
        let mut count = 0;
        for record in batch.raw_records() {
            let value = match record {
                Ok((_, _, record)) => record.value,
                Err(error) => return error,
            };
            // Others may write to the topic too.
            let Some(due) = value.and_then(|value| stamp.due(value)) else {
                continue;
            };
            count += 1;
            if due >= measured_from && due <= now {
                latencies.record(now - due);
            }
        }
        arrived.send_modify(|arrived| *arrived += count);
    }
}
