//! The settings of a consumer and their checks.

use super::{Consumer, fetcher};
use crate::{Client, cluster::shared::Shared, error::ConsumeError, limits};
use std::{sync::Arc, time::Duration};

/// Where to go on when a position lies outside the log (Kafka's `auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the first record there is.
    Earliest,
    /// At the high watermark.
    Latest,
    /// Nowhere: [`ConsumeError::OffsetOutOfRange`], and the partition waits for a seek.
    #[default]
    Error,
}

impl std::str::FromStr for OffsetReset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            "error" | "none" => Ok(Self::Error),
            other => Err(format!(
                "`{other}` is no reset policy; use earliest, latest or error"
            )),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) prefetch_bytes: usize,
    pub(crate) fetch_bytes: usize,
    pub(crate) partition_bytes: usize,
    pub(crate) min_bytes: i32,
    pub(crate) max_wait: Duration,
    pub(crate) reset: OffsetReset,
    pub(crate) is_crc_checked: bool,
    pub(crate) decompressed_bytes_max: usize,
}

/// Sets a consumer up.
#[must_use = "a builder does nothing until `build`"]
pub struct ConsumerBuilder {
    shared: Arc<Shared>,
    settings: Settings,
}

impl std::fmt::Debug for ConsumerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl ConsumerBuilder {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            shared: Arc::clone(&client.shared),
            settings: Settings {
                prefetch_bytes: limits::PREFETCH_BYTES,
                fetch_bytes: limits::FETCH_BYTES,
                partition_bytes: limits::PARTITION_FETCH_BYTES,
                min_bytes: 1,
                max_wait: Duration::from_millis(limits::FETCH_WAIT_MS),
                reset: OffsetReset::Error,
                is_crc_checked: true,
                decompressed_bytes_max: limits::DECOMPRESSED_BYTES_MAX,
            },
        }
    }

    /// Where to go on when a position lies outside the log.
    pub const fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.settings.reset = reset;
        self
    }

    /// Memory for what is fetched ahead, as it lies on the wire. A single batch may exceed it.
    pub const fn prefetch_bytes(mut self, bytes: usize) -> Self {
        self.settings.prefetch_bytes = bytes;
        self
    }

    /// The most bytes of one answer (Kafka's `fetch.max.bytes`).
    pub const fn fetch_bytes(mut self, bytes: usize) -> Self {
        self.settings.fetch_bytes = bytes;
        self
    }

    /// The most bytes of one partition in an answer (Kafka's `max.partition.fetch.bytes`).
    pub const fn partition_bytes(mut self, bytes: usize) -> Self {
        self.settings.partition_bytes = bytes;
        self
    }

    /// Bytes a broker waits for before it answers (Kafka's `fetch.min.bytes`).
    pub const fn min_bytes(mut self, bytes: i32) -> Self {
        self.settings.min_bytes = bytes;
        self
    }

    /// How long a broker waits for them (Kafka's `fetch.max.wait.ms`).
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.settings.max_wait = wait;
        self
    }

    /// Whether the CRC-32C of every batch is checked; on by default (Kafka's `check.crcs`).
    pub const fn check_crcs(mut self, is_checked: bool) -> Self {
        self.settings.is_crc_checked = is_checked;
        self
    }

    /// The most bytes one batch may grow to when it is decompressed.
    pub const fn decompressed_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.decompressed_bytes_max = bytes;
        self
    }

    /// Makes the consumer; it fetches once partitions are assigned. To be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`ConsumeError::Config`] where settings contradict each other.
    pub fn build(self) -> Result<Consumer, ConsumeError> {
        let settings = &self.settings;
        let wrong = |reason: &str| {
            Err(ConsumeError::Config {
                reason: reason.to_owned(),
            })
        };
        if settings.partition_bytes == 0 || settings.fetch_bytes < settings.partition_bytes {
            return wrong("fetch_bytes must be at least partition_bytes, and that at least 1");
        }
        if settings.prefetch_bytes == 0 {
            return wrong("prefetch_bytes must be at least 1");
        }
        if settings.max_wait >= self.shared.config.request_timeout {
            return wrong("max_wait must be shorter than the client's request timeout");
        }
        Ok(Consumer::new(fetcher::start(self.shared, self.settings)))
    }
}
