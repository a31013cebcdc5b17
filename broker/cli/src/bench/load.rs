//! One client that produces under load, on a thread of its own: how records are made, sent and
//! timed, and what all clients come to. What the counts mean is decided by those who start it.

use super::Common;
use super::figures::{Figures, Latencies};
use super::pace::Pace;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::produce::compression;
use clap::Args;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
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

/// Writes into a value whose it is and, in nanoseconds since a beginning, when it was due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// Tells the records of this run from all others.
    pub(super) run: u64,
    /// The beginning.
    pub(super) began: Instant,
}

/// Bytes of a stamp, at the front of the value.
pub(super) const STAMP_BYTES: usize = 16;

impl Stamp {
    /// A stamp for a run that begins now.
    pub(super) fn new(began: Instant) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let ns = since.map_or(0, |since| since.as_nanos());
        let mixed = ns ^ (u128::from(std::process::id()) << 40);
        Self {
            run: u64::try_from(mixed & u128::from(u64::MAX)).unwrap_or(0),
            began,
        }
    }

    fn write(self, value: &mut [u8], due: Instant) {
        let ns = due.saturating_duration_since(self.began).as_nanos();
        let ns = u64::try_from(ns).unwrap_or(u64::MAX);
        let stamp = u128::from(self.run) << 64 | u128::from(ns);
        if let Some(front) = value.first_chunk_mut::<STAMP_BYTES>() {
            *front = stamp.to_be_bytes();
        }
    }

    /// When a value was due; nothing if it is of another run.
    pub(super) fn due(self, value: &[u8]) -> Option<Instant> {
        let stamp = u128::from_be_bytes(*value.first_chunk::<STAMP_BYTES>()?);
        if stamp >> 64 != u128::from(self.run) {
            return None;
        }
        let ns = u64::try_from(stamp & u128::from(u64::MAX)).ok()?;
        self.began.checked_add(Duration::from_nanos(ns))
    }
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
    /// Written into each value, for whoever reads it.
    pub(super) stamp: Option<Stamp>,
}

/// What one client has done, or several together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Records since the measuring began.
    pub(super) records: u64,
    /// Records with those of the warm-up.
    pub(super) all_records: u64,
}

/// Waits for all clients and adds up what they have done. After an interrupt they end in good
/// order, and there are no figures.
pub(super) async fn together(
    all: impl Future<Output = Outcome<Vec<Done>>>,
    stop: &AtomicBool,
    interrupt: &Interrupt,
) -> Outcome<Done> {
    tokio::pin!(all);
    let done = tokio::select! {
        done = &mut all => done?,
        () = interrupt.raised() => {
            stop.store(true, Ordering::Relaxed);
            all.await?;
            return Err(Failure::interrupted());
        }
    };
    Ok(done.iter().fold(Done::default(), |sum, one| Done {
        records: sum.records + one.records,
        all_records: sum.all_records + one.all_records,
    }))
}

/// What a load was and what came of it.
pub(super) struct Ran<'a> {
    pub(super) common: &'a Common,
    pub(super) load: &'a LoadArgs,
    pub(super) clients: &'a [Client],
    pub(super) partitions: usize,
    pub(super) rate: Option<f64>,
    pub(super) linger_ms: Option<u64>,
    pub(super) done: Done,
    pub(super) took: Duration,
}

impl Ran<'_> {
    /// The figures of it, with these latencies.
    pub(super) fn figures(
        &self,
        latencies: Vec<(&'static str, &'static str, Value)>,
        missing: Option<u64>,
    ) -> Figures {
        let load = self.load;
        let size = load.record_size as u64;
        Figures {
            command: "produced to",
            topic: self.common.topic.clone(),
            asked: self.common.asked(),
            transport: super::transport(self.clients),
            records: self.done.records,
            bytes: self.done.records * size,
            took: self.took,
            all_bytes: self.done.all_records * size,
            latencies,
            missing,
            settings: json!({
                "partitions": self.partitions,
                "clients": self.common.clients,
                "record_size": load.record_size,
                "batch_bytes": load.batch_bytes,
                "linger_ms": self.linger_ms,
                "acks": load.acks.number(),
                "rate": self.rate,
                "warm_up_seconds": load.warm_up,
                "round_robin": load.round_robin,
            }),
        }
    }
}

impl Load {
    /// Runs to its end on a thread of its own.
    pub(super) async fn run(self) -> Outcome<Done> {
        let runtime = Handle::current();
        let running = tokio::task::spawn_blocking(move || self.send_all(&runtime));
        running
            .await
            .map_err(|error| Failure::failed(format!("a client of the benchmark ended: {error}")))?
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
                    stamp.write(&mut stamped, due);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_by_its_own_run_only() {
        let began = Instant::now();
        let stamp = Stamp { run: 7, began };
        let due = began + Duration::from_nanos(123_456_789);
        let mut value = [0; 20];
        stamp.write(&mut value, due);
        assert_eq!(stamp.due(&value), Some(due));
        assert_eq!(Stamp { run: 8, began }.due(&value), None);
        assert_eq!(stamp.due(&value[..15]), None);
    }
}
