//! One client that produces under load, on a thread of its own: how records are made, sent and
//! timed. It counts; what the counts mean is decided by those who start it.

use super::figures::Latencies;
use super::pace::Pace;
use crate::failure::Outcome;
use crate::produce::compression;
use clap::Args;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use weir_client::{
    Acks, Client, Compression, Delivery, PartitionIndex, ProduceError, Producer, Record,
};

/// Places in the filling at which values begin, so that not all are alike.
const VARIANTS: usize = 4096;

/// At most so many latencies a second are taken of each client.
const SAMPLES_PER_SECOND_MAX: f64 = 20_000.0;

/// Without a rate, every so many records one latency is taken.
const SAMPLE_EVERY: u64 = 61;

/// The flags of a load.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    /// Size of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 1000)]
    pub(super) record_size: usize,
    /// Size of a batch before compression [default: the client's]
    #[arg(long, value_name = "BYTES")]
    pub(super) batch_bytes: Option<usize>,
    /// How long a batch waits for more records [default: the client's; for `latency` 0]
    #[arg(long, value_name = "MS")]
    pub(super) linger: Option<u64>,
    /// Memory of each producer; as fast as it goes, this decides how long records wait in line
    #[arg(long, value_name = "BYTES")]
    pub(super) buffer_bytes: Option<usize>,
    /// Whose word to wait for
    #[arg(
        long,
        value_name = "all|1|0",
        default_value = "all",
        allow_hyphen_values = true
    )]
    pub(super) acks: Acks,
    /// How batches are compressed
    #[arg(long, short = 'z', value_name = "CODEC", default_value = "none")]
    #[arg(value_parser = compression)]
    pub(super) compression: Compression,
    /// Each record to the next partition, instead of filling a batch of one before the next
    #[arg(long)]
    pub(super) round_robin: bool,
    /// How long to run before anything is measured
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = super::seconds)]
    pub(super) warm_up: f64,
}

impl LoadArgs {
    /// A producer with these settings.
    pub(super) async fn producer(&self, client: &Client, linger: Option<u64>) -> Outcome<Producer> {
        let mut builder = client
            .producer()
            .acks(self.acks)
            .compression(self.compression);
        if let Some(bytes) = self.batch_bytes {
            builder = builder.batch_bytes(bytes);
        }
        if let Some(bytes) = self.buffer_bytes {
            builder = builder.buffer_bytes(bytes);
        }
        if let Some(ms) = self.linger.or(linger) {
            builder = builder.linger(Duration::from_millis(ms));
        }
        Ok(builder.build()?)
    }
}

/// Until when a load runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// This moment.
    Time(Instant),
    /// So many records of this client.
    Records(u64),
}

/// What one client does.
pub(super) struct Load {
    pub(super) producer: Producer,
    pub(super) topic: String,
    pub(super) partitions: i32,
    pub(super) record_size: usize,
    pub(super) round_robin: bool,
    /// Records a second of this client.
    pub(super) rate: Option<f64>,
    pub(super) began: Instant,
    /// What is sent before counts as warm-up.
    pub(super) measured_from: Instant,
    pub(super) until: Until,
    pub(super) latencies: Arc<Latencies>,
    pub(super) stop: Arc<AtomicBool>,
    /// Writes the due time into the value, for whoever reads it.
    pub(super) stamp: Option<fn(&mut [u8], Instant, Instant)>,
}

/// What one client has done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Records since the measuring began.
    pub(super) records: u64,
    /// Records with those of the warm-up.
    pub(super) all_records: u64,
}

impl Load {
    /// Runs to its end on a thread of its own.
    pub(super) async fn run(self) -> Outcome<Done> {
        let runtime = Handle::current();
        let running = tokio::task::spawn_blocking(move || self.send_all(&runtime));
        running.await.map_err(|error| {
            crate::failure::Failure::failed(format!("a client of the benchmark ended: {error}"))
        })?
    }

    fn send_all(self, runtime: &Handle) -> Outcome<Done> {
        let filling = filling(self.record_size + VARIANTS);
        let mut stamped = filling.get(..self.record_size).unwrap_or_default().to_vec();
        let mut pace = Pace::new(self.began, self.rate);
        let sample_every = match self.rate {
            Some(rate) => (rate / SAMPLES_PER_SECOND_MAX).ceil() as u64,
            None => SAMPLE_EVERY,
        };
        let failures = Arc::new(AtomicU64::new(0));
        let mut done = Done::default();
        while !self.stop.load(Ordering::Relaxed) {
            let due = pace.next();
            let over = match self.until {
                Until::Time(end) => due >= end,
                Until::Records(count) => done.all_records >= count,
            };
            if over {
                break;
            }
            let at = usize::try_from(done.all_records).unwrap_or(0) % VARIANTS;
            let value = match self.stamp {
                Some(stamp) => {
                    stamp(&mut stamped, self.began, due);
                    stamped.as_slice()
                }
                None => filling.get(at..at + self.record_size).unwrap_or_default(),
            };
            let delivery = self.send(runtime, value, done.all_records)?;
            done.all_records += 1;
            if due < self.measured_from {
                continue;
            }
            done.records += 1;
            if done.records.is_multiple_of(sample_every.max(1)) {
                let latencies = Arc::clone(&self.latencies);
                let failures = Arc::clone(&failures);
                runtime.spawn(time(delivery, due, latencies, failures));
            }
        }
        runtime.block_on(self.producer.close())?;
        Ok(done)
    }

    fn send(&self, runtime: &Handle, value: &[u8], number: u64) -> Outcome<Delivery> {
        let turn = number % u64::try_from(self.partitions.max(1)).unwrap_or(1);
        let turn = i32::try_from(turn).unwrap_or(0);
        let record = Record {
            topic: &self.topic,
            partition: self.round_robin.then_some(PartitionIndex(turn)),
            value: Some(value),
            ..Record::default()
        };
        match self.producer.try_send(record) {
            Err(ProduceError::BufferFull { .. } | ProduceError::TopicNotReady { .. }) => {
                Ok(runtime.block_on(self.producer.send(record))?)
            }
            sent => Ok(sent?),
        }
    }
}

async fn time(
    delivery: Delivery,
    due: Instant,
    latencies: Arc<Latencies>,
    failures: Arc<AtomicU64>,
) {
    match delivery.await {
        Ok(_) => latencies.record(due.elapsed()),
        // The producer's `close` tells of it.
        Err(_) => _ = failures.fetch_add(1, Ordering::Relaxed),
    }
}

/// Bytes that compress about as well as text does; the same on every run.
fn filling(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push(b'a' + u8::try_from((state >> 33) % 26).unwrap_or(0));
    }
    bytes
}
