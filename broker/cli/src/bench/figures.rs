//! What a benchmark has found, for people and as one line of JSON. Only numbers and text.

use crate::failure::Outcome;
use crate::{human, output};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use weir_client::TransportChoice;

/// The longest latency that is told apart, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// How long after the last acknowledgement the consumer waits for records.
pub(super) const ARRIVAL_MAX: Duration = Duration::from_secs(10);

/// Latencies, recorded from many tasks.
pub(super) struct Latencies {
    histogram: Mutex<Option<Histogram<u64>>>,
}

impl Latencies {
    /// None yet.
    pub(super) fn new() -> Self {
        // Bounds that are constants cannot be refused; if they were, there would be no figures.
        Self {
            histogram: Mutex::new(Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).ok()),
        }
    }

    /// Takes one in.
    pub(super) fn record(&self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_US_MAX);
        let mut histogram = self
            .histogram
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = histogram.as_mut() {
            histogram.saturating_record(us.clamp(1, LATENCY_US_MAX));
        }
    }

    /// Milliseconds by percentile; null where nothing was recorded.
    pub(super) fn to_json(&self) -> Value {
        let histogram = self
            .histogram
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(histogram) = histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Value::Null;
        };
        let ms = |us: u64| us as f64 / 1000.0;
        let at = |percentile| ms(histogram.value_at_percentile(percentile));
        json!({
            "samples": histogram.len(),
            "mean": histogram.mean() / 1000.0,
            "p50": at(50.0),
            "p90": at(90.0),
            "p99": at(99.0),
            "p99_9": at(99.9),
            "p99_99": at(99.99),
            "max": ms(histogram.max()),
        })
    }
}

/// What was measured.
pub(super) struct Figures {
    pub(super) command: &'static str,
    pub(super) topic: String,
    /// The transport that was asked for, and what it came to.
    pub(super) asked: TransportChoice,
    pub(super) transport: String,
    /// Records and bytes while it was measured.
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) took: Duration,
    /// Bytes with those of the warm-up.
    pub(super) all_bytes: u64,
    /// Further members of the JSON, and the lines of people's tables.
    pub(super) latencies: Vec<(&'static str, &'static str, Value)>,
    /// Records that were acknowledged and that the consumer waited for in vain, where there was
    /// a consumer.
    pub(super) missing: Option<u64>,
    /// The settings that were used.
    pub(super) settings: Value,
}

impl Figures {
    /// Prints them.
    pub(super) fn print(&self, json: bool) -> Outcome {
        if json {
            self.print_json()
        } else {
            self.print_text()
        }
    }

    fn print_json(&self) -> Outcome {
        let seconds = self.took.as_secs_f64().max(1e-9);
        let mut all = json!({
            "command": self.command,
            "topic": self.topic,
            "transport": self.transport,
            "transport_asked": self.asked.name(),
            "records": self.records,
            "bytes": self.bytes,
            "all_bytes": self.all_bytes,
            "seconds": seconds,
            "records_per_second": self.records as f64 / seconds,
            "mb_per_second": self.bytes as f64 / 1e6 / seconds,
            "settings": self.settings,
        });
        if let Some(members) = all.as_object_mut() {
            for (name, _, value) in &self.latencies {
                members.insert((*name).to_owned(), value.clone());
            }
            if let Some(missing) = self.missing {
                members.insert("missing_records".to_owned(), missing.into());
            }
        }
        output::line(all)
    }

    fn print_text(&self) -> Outcome {
        let chosen = match self.asked {
            TransportChoice::Auto => ", chosen by auto",
            TransportChoice::Quic | TransportChoice::Tcp => "",
        };
        output::line(format_args!(
            "{} `{}` (transport {}{chosen}): {}",
            self.command,
            self.topic,
            self.transport,
            human::rates(self.records, self.bytes, self.took)
        ))?;
        for (_, label, value) in &self.latencies {
            if value.is_null() {
                continue;
            }
            let at = |name: &str| value[name].as_f64().unwrap_or(0.0);
            output::line(format_args!(
                "{label} ms: p50 {:.2}, p90 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2} ({} samples)",
                at("p50"),
                at("p90"),
                at("p99"),
                at("p99_9"),
                at("max"),
                value["samples"]
            ))?;
        }
        if let Some(missing) = self.missing.filter(|missing| *missing > 0) {
            output::line(format_args!(
                "missing: {} did not arrive within {} s of the last acknowledgement",
                human::records(missing),
                ARRIVAL_MAX.as_secs()
            ))?;
        }
        Ok(())
    }
}
