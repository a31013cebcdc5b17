//! The settings of a producer and their checks.

use super::{
    Producer,
    accumulator::Settings,
    lane,
    partitioner::{DefaultPartitioner, Partitioner},
};
use crate::{
    Client,
    cluster::{backoff::random, shared::Shared},
    error::ProduceError,
    limits,
};
use std::{sync::Arc, time::Duration};
use weir_codec::Compression;

/// Whose word a produce request waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// Nobody's: records may be lost without a sign, and offsets are not told.
    None,
    /// The leader's, when it has flushed.
    Leader,
    /// That of every in-sync replica.
    #[default]
    All,
}

impl Acks {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

impl std::str::FromStr for Acks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "0" | "none" => Ok(Self::None),
            "1" | "leader" => Ok(Self::Leader),
            "-1" | "all" => Ok(Self::All),
            other => Err(format!("`{other}` is no acks; use 0, 1 or all")),
        }
    }
}

/// Sets a producer up.
#[must_use = "a builder does nothing until `build`"]
pub struct ProducerBuilder {
    shared: Arc<Shared>,
    settings: Settings,
    acks: Acks,
    idempotent: Option<bool>,
    compression: Compression,
    compression_level: Option<i32>,
    partitioner: Arc<dyn Partitioner>,
    #[cfg(feature = "plugins")]
    runs_partitioners: bool,
}

impl std::fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerBuilder")
            .field("settings", &self.settings)
            .field("acks", &self.acks)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

impl ProducerBuilder {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            shared: Arc::clone(&client.shared),
            settings: Settings {
                batch_bytes: limits::BATCH_BYTES,
                request_bytes: limits::PRODUCE_REQUEST_BYTES,
                buffer_bytes: limits::BUFFER_BYTES,
                linger_ms: limits::LINGER_MS,
                delivery_timeout_ms: limits::DELIVERY_TIMEOUT_MS,
                backoff_ms: limits::RETRY_BACKOFF_MS,
                backoff_max_ms: limits::RETRY_BACKOFF_MAX_MS,
                in_flight_max: limits::IN_FLIGHT_MAX,
                lanes: limits::PRODUCE_LANES,
                idempotent: true,
                seed: random(),
            },
            acks: Acks::All,
            idempotent: None,
            compression: Compression::None,
            compression_level: None,
            partitioner: Arc::new(DefaultPartitioner),
            #[cfg(feature = "plugins")]
            runs_partitioners: false,
        }
    }

    /// How long a batch waits for more records; rounded down to milliseconds. Zero sends whatever
    /// there is as soon as fewer than five requests are under way. Kafka's `linger.ms`.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger_ms = millis(linger);
        self
    }

    /// Size of a batch before compression. Kafka's `batch.size`.
    pub const fn batch_bytes(mut self, bytes: usize) -> Self {
        self.settings.batch_bytes = bytes;
        self
    }

    /// Size of the batches in one request, and of the largest record. Kafka's `max.request.size`.
    pub const fn request_bytes(mut self, bytes: usize) -> Self {
        self.settings.request_bytes = bytes;
        self
    }

    /// Memory for records that are not done; `send` waits when it is full. Kafka's
    /// `buffer.memory`.
    pub const fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.settings.buffer_bytes = bytes;
        self
    }

    /// How long a record may take from `send` to its answer. Kafka's `delivery.timeout.ms`.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.settings.delivery_timeout_ms = millis(timeout);
        self
    }

    /// Produce channels to each broker; a partition always takes the same one.
    pub const fn lanes(mut self, lanes: u16) -> Self {
        self.settings.lanes = lanes;
        self
    }

    /// Requests of one lane, and batches of one partition, under way at once; 1 to 5. Kafka's
    /// `max.in.flight.requests.per.connection`.
    pub const fn in_flight_max(mut self, requests: usize) -> Self {
        self.settings.in_flight_max = requests;
        self
    }

    /// Whose word to wait for. Anything but [`Acks::All`] makes the producer not idempotent.
    pub const fn acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self
    }

    /// Whether batches carry sequences, so that a batch sent twice is in the log once; on by
    /// default with [`Acks::All`]. Kafka's `enable.idempotence`.
    pub const fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = Some(idempotent);
        self
    }

    /// How batches are compressed; those that do not shrink go out as they are.
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// The level of gzip (0 to 9) or zstd (up to 22).
    pub const fn compression_level(mut self, level: i32) -> Self {
        self.compression_level = Some(level);
        self
    }

    /// Who chooses the partition of records that name none.
    pub fn partitioner(mut self, partitioner: impl Partitioner) -> Self {
        self.partitioner = Arc::new(partitioner);
        self
    }

    /// Whether records that name no partition get the one that their topic's own partitioner
    /// (`weir.partitioner`) chooses: its component is fetched from the broker and run here. A topic
    /// without one keeps the partitioner of this producer.
    #[cfg(feature = "plugins")]
    pub const fn topic_partitioners(mut self, runs: bool) -> Self {
        self.runs_partitioners = runs;
        self
    }

    /// Starts the producer, inside a tokio runtime. An idempotent one asks for its id at the first
    /// send.
    ///
    /// # Errors
    /// [`ProduceError::Config`] where settings contradict each other.
    pub fn build(mut self) -> Result<Producer, ProduceError> {
        self.settings.idempotent = self.idempotent.unwrap_or(self.acks == Acks::All);
        self.check()
            .map_err(|reason| ProduceError::Config { reason })?;
        Ok(lane::start(lane::Setup {
            shared: self.shared,
            settings: self.settings,
            acks: self.acks,
            compression: self.compression,
            compression_level: self.compression_level,
            partitioner: self.partitioner,
            #[cfg(feature = "plugins")]
            placing: self
                .runs_partitioners
                .then(super::placing::Placing::default),
        }))
    }

    fn check(&self) -> Result<(), String> {
        let settings = &self.settings;
        if settings.idempotent && self.acks != Acks::All {
            return Err(String::from("an idempotent producer needs acks=all"));
        }
        if !(1..=limits::IN_FLIGHT_MAX).contains(&settings.in_flight_max) {
            return Err(format!(
                "{} requests in flight; 1 to {} are possible",
                settings.in_flight_max,
                limits::IN_FLIGHT_MAX
            ));
        }
        if !(1..=limits::PRODUCE_LANES_MAX).contains(&settings.lanes) {
            return Err(format!(
                "{} lanes; 1 to {} are possible",
                settings.lanes,
                limits::PRODUCE_LANES_MAX
            ));
        }
        if settings.batch_bytes > limits::BATCH_BYTES_MAX
            || settings.request_bytes > limits::BATCH_BYTES_MAX
        {
            return Err(format!(
                "batches and requests may have {} bytes at most",
                limits::BATCH_BYTES_MAX
            ));
        }
        if settings.request_bytes < settings.batch_bytes {
            return Err(String::from(
                "request_bytes is smaller than batch_bytes: a batch would not fit",
            ));
        }
        if settings.buffer_bytes < settings.batch_bytes {
            return Err(String::from(
                "buffer_bytes is smaller than batch_bytes: no batch would ever fill",
            ));
        }
        if settings.delivery_timeout_ms < settings.linger_ms {
            return Err(String::from(
                "the delivery timeout is shorter than the linger time",
            ));
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
