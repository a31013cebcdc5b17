//! What each plugin did at each place: counted where it runs, read by DescribePlugins and by the
//! metrics port.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use weir_plugin::FailureKind;
use weir_plugin_host::Usage;
use weir_types::TimestampMs;
use weir_wire::Text;
use weir_wire::messages::{PluginMetrics, PluginPlace};

/// Where a chain is attached, as the protocol numbers it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    /// The place's code.
    pub(crate) place: PlaceKind,
    /// The topic, view or job.
    pub(crate) name: Arc<str>,
}

/// Kinds of places; the numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub(crate) enum PlaceKind {
    /// A topic's ingest.
    Ingest = 1,
    /// Beside a topic's ingest.
    Shadow = 2,
    /// A view.
    View = 3,
    /// A router job.
    Job = 4,
    /// A topic's partitioner.
    Partitioner = 5,
}

impl PlaceKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Shadow => "shadow",
            Self::View => "view",
            Self::Job => "job",
            Self::Partitioner => "partitioner",
        }
    }
}

impl Spot {
    /// As the protocol tells it.
    pub(crate) fn told(&self, link: usize) -> PluginPlace {
        PluginPlace {
            place: self.place as i8,
            name: Text::from(&*self.name),
            link_index: i32::try_from(link).unwrap_or(i32::MAX),
        }
    }
}

macro_rules! figures {
    ($($field:ident: $help:literal,)*) => {
        /// What one plugin did at one place since the broker started.
        #[derive(Debug, Default)]
        pub(crate) struct LinkCounters {
            $(#[doc = $help] pub(crate) $field: AtomicU64,)*
            /// The most linear memory an instance had, in bytes.
            pub(crate) memory_bytes_max: AtomicU64,
            failed: Mutex<Option<(TimestampMs, Arc<str>)>>,
        }

        impl LinkCounters {
            /// As the protocol tells it.
            pub(crate) fn told(&self) -> PluginMetrics {
                let read = |figure: &AtomicU64| {
                    i64::try_from(figure.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
                };
                PluginMetrics {
                    $($field: read(&self.$field),)*
                    memory_bytes_max: read(&self.memory_bytes_max),
                }
            }
        }

        const FIGURES: &[(&str, &str, fn(&LinkCounters) -> &AtomicU64)] = &[
            $((concat!("plugin_", stringify!($field)), $help, |all| &all.$field),)*
        ];
    };
}

figures! {
    batches: "Batches a plugin was given",
    records_in: "Records a plugin was given",
    records_out: "Records a plugin kept",
    bytes_in: "Bytes a plugin was given",
    bytes_out: "Bytes a plugin gave back",
    time_us: "Microseconds a plugin took",
    fuel: "Fuel a plugin used",
    refused: "Records a plugin refused",
    trapped: "Calls of a plugin that trapped",
    over_budget: "Calls of a plugin that went over a budget",
    invalid: "Calls of a plugin that gave back what breaks a rule",
    skipped: "Records left out after a plugin failed on them",
    dead_lettered: "Records sent to another topic after a plugin failed on them",
    differences: "Records for which a shadow had another result",
    cached: "Batches answered from what was kept of an earlier call",
}

/// Adds to a counter.
pub(crate) fn add(figure: &AtomicU64, more: usize) {
    figure.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl LinkCounters {
    /// Counts what calls used.
    pub(crate) fn used(&self, usage: &Usage) {
        self.fuel.fetch_add(usage.fuel, Ordering::Relaxed);
        let time = u64::try_from(usage.time.as_micros()).unwrap_or(u64::MAX);
        self.time_us.fetch_add(time, Ordering::Relaxed);
        let peak = u64::try_from(usage.memory_peak).unwrap_or(u64::MAX);
        self.memory_bytes_max.fetch_max(peak, Ordering::Relaxed);
    }

    /// Counts a call that failed.
    pub(crate) fn failed(&self, kind: FailureKind, at: TimestampMs, message: &str) {
        let figure = match kind {
            FailureKind::Refused => &self.refused,
            FailureKind::Trapped => &self.trapped,
            FailureKind::OverBudget => &self.over_budget,
            FailureKind::Invalid => &self.invalid,
        };
        add(figure, 1);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed = Some((at, message.into()));
    }

    /// When and how it failed last.
    pub(crate) fn last_failure(&self) -> Option<(TimestampMs, Arc<str>)> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.clone()
    }
}

/// A plugin at a place.
type Key = (Spot, usize, Arc<str>);

/// The counters of all places.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    all: Mutex<BTreeMap<Key, Arc<LinkCounters>>>,
}

impl Counters {
    /// Those of one plugin at one place; it begins at nothing.
    pub(crate) fn of(&self, spot: &Spot, link: usize, plugin: &str) -> Arc<LinkCounters> {
        let key = (spot.clone(), link, plugin.into());
        Arc::clone(self.lock().entry(key).or_default())
    }

    /// Forgets the places that `stays` does not know.
    pub(crate) fn keep(&self, stays: impl Fn(&Spot) -> bool) {
        self.lock().retain(|(spot, ..), _| stays(spot));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Arc<LinkCounters>>> {
        // The map is whole after every statement that changes it.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the counters on the metrics port.
#[derive(Debug)]
pub(crate) struct CountersProbe(pub(crate) Arc<Counters>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    place: &'static str,
    name: String,
    link: u64,
    plugin: String,
}

impl Collector for CountersProbe {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all: Vec<(Labels, Arc<LinkCounters>)> = self
            .0
            .lock()
            .iter()
            .map(|((spot, link, plugin), counters)| {
                let labels = Labels {
                    place: spot.place.name(),
                    name: spot.name.as_ref().to_owned(),
                    link: u64::try_from(*link).unwrap_or(u64::MAX),
                    plugin: plugin.as_ref().to_owned(),
                };
                (labels, Arc::clone(counters))
            })
            .collect();
        for (name, help, figure) in FIGURES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, counters) in &all {
                let value = ConstCounter::new(figure(counters).load(Ordering::Relaxed));
                value.encode(family.encode_family(labels)?)?;
            }
        }
        let (name, help) = (
            "plugin_memory_bytes_max",
            "The most linear memory an instance of a plugin had",
        );
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, counters) in &all {
            let value = counters.memory_bytes_max.load(Ordering::Relaxed);
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            value.encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}
