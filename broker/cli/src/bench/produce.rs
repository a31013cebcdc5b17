//! `weir bench produce`: throughput, as fast as it goes or at a rate.

use super::Common;
use super::figures::Latencies;
use super::load::{Load, LoadArgs, Ran, Until, together};
use crate::failure::Outcome;
use crate::interrupt::Interrupt;
use clap::Args;
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// `weir bench produce`.
#[derive(Args, Debug)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    load: LoadArgs,
    /// Records a second of all clients together [default: as fast as it goes]
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
}

/// Runs the command.
pub(crate) async fn run(args: ProduceArgs, interrupt: Interrupt) -> Outcome {
    let (common, load) = (&args.common, &args.load);
    let (clients, topic) = common.begin(&interrupt).await?;
    let latencies = Arc::new(Latencies::new());
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    // Counting records, there is no warm-up: the first counts as the last does.
    let warm_up = if common.records.is_some() {
        0.0
    } else {
        load.warm_up
    };
    let measured_from = began + Duration::from_secs_f64(warm_up);
    let share = f64::from(common.clients);
    let mut running = Vec::new();
    for (index, client) in clients.iter().enumerate() {
        let one = Load {
            producer: load.producer(client, None).await?,
            topic: common.topic.clone(),
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            record_size: load.record_size,
            round_robin: load.round_robin,
            rate: args.rate.map(|rate| rate / share),
            began,
            measured_from,
            until: match common.records {
                Some(records) => Until::Records(part(records, common.clients, index)),
                None => Until::Time(measured_from + common.measured()),
            },
            latencies: Arc::clone(&latencies),
            stop: Arc::clone(&stop),
            stamp: None,
        };
        running.push(one.run());
    }
    let done = together(try_join_all(running), &stop, &interrupt).await?;
    // With a warm-up as much is in flight at the beginning as at the end; without, the time until
    // the last acknowledgement counts.
    let took = if warm_up > 0.0 {
        common.measured()
    } else {
        began.elapsed()
    };
    let ran = Ran {
        common,
        load,
        clients: &clients,
        partitions: topic.partitions.len(),
        rate: args.rate,
        linger_ms: load.linger,
        done,
        took,
    };
    let acks = (
        "latency_ms",
        "send to acknowledgement,",
        latencies.to_json(),
    );
    ran.figures(vec![acks], None).print(common.json)
}

/// The records of one of several clients.
fn part(records: u64, clients: u16, index: usize) -> u64 {
    let clients = u64::from(clients.max(1));
    records / clients + u64::from((index as u64) < records % clients)
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn the_parts_are_the_whole() {
        for (records, clients) in [(10, 3), (1, 4), (12, 12), (0, 2)] {
            let sum: u64 = (0..usize::from(clients))
                .map(|i| part(records, clients, i))
                .sum();
            assert_eq!(sum, records);
        }
    }
}
