//! What the broker counts of itself, in Prometheus' words.
//!
//! Counting happens where the work happens, by handles that were made beforehand; figures that
//! others keep (the store, the listeners) are fetched when somebody looks. Nothing here decides.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bounds of the buckets of request times, in seconds.
const SECONDS_BUCKETS: [f64; 14] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabel {
    api: &'static str,
}

/// Handles for one API.
#[derive(Clone, Debug)]
pub(crate) struct ApiMetrics {
    requests: Counter,
    failures: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    seconds: Histogram,
}

impl ApiMetrics {
    /// Counts a request that came in.
    pub(crate) fn received(&self, bytes: usize) {
        self.requests.inc();
        self.bytes_in.inc_by(bytes as u64);
    }

    /// Counts an answer that is ready, and how long it took.
    pub(crate) fn answered(&self, bytes: usize, took: Duration) {
        self.bytes_out.inc_by(bytes as u64);
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a request that was refused whole.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    apis: BTreeMap<i16, ApiMetrics>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Makes the handles for these APIs (key and name).
    pub(crate) fn new(apis: impl Iterator<Item = (i16, &'static str)>) -> Self {
        let mut registry = Registry::with_prefix("weir");
        let requests = Family::<ApiLabel, Counter>::default();
        let failures = Family::<ApiLabel, Counter>::default();
        let bytes_in = Family::<ApiLabel, Counter>::default();
        let bytes_out = Family::<ApiLabel, Counter>::default();
        let new_histogram: fn() -> Histogram = || Histogram::new(SECONDS_BUCKETS);
        let seconds = Family::<ApiLabel, Histogram>::new_with_constructor(new_histogram);
        registry.register("requests", "Requests received", requests.clone());
        registry.register(
            "request_failures",
            "Requests refused whole",
            failures.clone(),
        );
        registry.register_with_unit(
            "request",
            "Bytes of requests received",
            Unit::Bytes,
            bytes_in.clone(),
        );
        registry.register_with_unit(
            "response",
            "Bytes of answers sent",
            Unit::Bytes,
            bytes_out.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from a request's last byte to its answer, waiting included",
            Unit::Seconds,
            seconds.clone(),
        );
        let handles = apis.map(|(key, api)| {
            let label = ApiLabel { api };
            let metrics = ApiMetrics {
                requests: requests.get_or_create(&label).clone(),
                failures: failures.get_or_create(&label).clone(),
                bytes_in: bytes_in.get_or_create(&label).clone(),
                bytes_out: bytes_out.get_or_create(&label).clone(),
                seconds: seconds.get_or_create(&label).clone(),
            };
            (key, metrics)
        });
        let apis = handles.collect();
        Self {
            registry: Mutex::new(registry),
            apis,
        }
    }

    /// The handles of one API.
    pub(crate) fn api(&self, key: i16) -> Option<&ApiMetrics> {
        self.apis.get(&key)
    }

    /// Adds figures that somebody else keeps, read anew each time somebody looks.
    pub(crate) fn collect(&self, collector: Box<dyn Collector>) {
        self.registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .register_collector(collector);
    }

    /// Everything in the OpenMetrics text format.
    pub(crate) fn render(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(
            &mut out,
            &self.registry.lock().unwrap_or_else(PoisonError::into_inner),
        )?;
        Ok(out)
    }
}
