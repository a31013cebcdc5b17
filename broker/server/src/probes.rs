//! Figures that others keep, as metrics: the store's, the listeners', what answers hold.
//!
//! They are read anew each time somebody looks. A probe reads counters and never waits for a disk
//! or a peer.

use crate::metrics::Metrics;
use crate::room::AnswerRoom;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use weir_net::{Counters, Transport, TransportCounters};
use weir_store::{COMMIT_BUCKETS_US, Store, StoreStats};

/// Microseconds of a second.
const SECOND_US: f64 = 1e6;

/// Shows the figures of these parts for as long as they are there.
pub(crate) fn all(
    metrics: &Metrics,
    store: &Arc<Store>,
    net: &Arc<Counters>,
    answers: &Arc<AnswerRoom>,
) {
    metrics.collect(Box::new(StoreProbe(Arc::downgrade(store))));
    metrics.collect(Box::new(NetProbe(Arc::clone(net))));
    metrics.collect(Box::new(AnswersProbe(Arc::clone(answers))));
}

/// A number that somebody keeps: its name, what it is, its value.
type Row<'a> = (&'a str, &'a str, u64);

fn gauges(encoder: &mut DescriptorEncoder<'_>, rows: &[Row<'_>]) -> fmt::Result {
    for (name, help, value) in rows {
        let value = i64::try_from(*value).unwrap_or(i64::MAX);
        encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)?;
    }
    Ok(())
}

fn counters(encoder: &mut DescriptorEncoder<'_>, rows: &[Row<'_>]) -> fmt::Result {
    for (name, help, value) in rows {
        encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(value, None)?;
    }
    Ok(())
}

#[derive(Debug)]
struct StoreProbe(Weak<Store>);

impl Collector for StoreProbe {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(store) = self.0.upgrade() else {
            return Ok(());
        };
        let stats = store.stats();
        gauges(&mut encoder, &held(&stats))?;
        counters(&mut encoder, &done(&stats))?;
        commit_times(&mut encoder, &stats)
    }
}

/// What the store holds now.
fn held(stats: &StoreStats) -> [Row<'static>; 11] {
    let (lane, history) = (&stats.lane, &stats.history);
    [
        ("store_lane_files", "Lane files", lane.files),
        (
            "store_lane_bytes",
            "Bytes of batches in lane files",
            lane.bytes,
        ),
        (
            "store_lane_live_bytes",
            "Bytes of batches in lane files that can still be read",
            lane.live_bytes,
        ),
        ("store_history_files", "History files", history.files),
        (
            "store_history_bytes",
            "Bytes of batches in history files",
            history.bytes,
        ),
        (
            "store_history_live_bytes",
            "Bytes of batches in history files that can still be read",
            history.live_bytes,
        ),
        (
            "store_rewriter_waiting_files",
            "Lane files that wait for the rewriter",
            stats.waiting_for_rewriter,
        ),
        (
            "store_pool_bytes",
            "Bytes of files that are kept to be used again",
            stats.pool_bytes,
        ),
        ("store_open_files", "Files open", stats.open_files),
        ("store_partitions", "Partitions", stats.partitions),
        (
            "store_offline_partitions",
            "Partitions that cannot be used",
            stats.partitions_offline,
        ),
    ]
}

/// What the store has done since it was opened.
fn done(stats: &StoreStats) -> [Row<'static>; 9] {
    [
        (
            "store_committed_bytes",
            "Bytes of batches that became durable",
            stats.committed_bytes,
        ),
        (
            "store_committed_batches",
            "Batches that became durable",
            stats.committed_batches,
        ),
        (
            "store_failed_commits",
            "Commits that failed",
            stats.failed_commits,
        ),
        (
            "store_lane_rolls",
            "Times a lane took a new file",
            stats.rolls,
        ),
        ("store_file_reads", "Reads from files", stats.reads),
        (
            "store_file_read_bytes",
            "Bytes of batches read from files",
            stats.read_bytes,
        ),
        (
            "store_rewritten_bytes",
            "Bytes of batches that the rewriter wrote",
            stats.rewritten_bytes,
        ),
        (
            "store_rewriter_publications",
            "Times the rewriter put new history files in the place of others",
            stats.published,
        ),
        ("store_unlinked_files", "Files unlinked", stats.unlinked),
    ]
}

/// The pending bytes, and how long commits took.
fn commit_times(encoder: &mut DescriptorEncoder<'_>, stats: &StoreStats) -> fmt::Result {
    let pending = "Bytes of commands that wait for a lane or are in one";
    gauges(
        encoder,
        &[("store_pending_bytes", pending, stats.pending_bytes)],
    )?;
    let bounds = COMMIT_BUCKETS_US.iter().map(|us| *us as f64 / SECOND_US);
    let buckets: Vec<(f64, u64)> = bounds
        .chain([f64::INFINITY])
        .zip(stats.commit_buckets.iter().copied())
        .collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    let sum = stats.commit_us_total as f64 / SECOND_US;
    encoder
        .encode_descriptor(
            "store_commit_seconds",
            "Time of one commit, from the first write to the end of its sync",
            None,
            MetricType::Histogram,
        )?
        .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

#[derive(Debug)]
struct NetProbe(Arc<Counters>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabel {
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

/// A figure of each transport: its name, what it is, whether it only grows, and where it stands.
type NetRow = (
    &'static str,
    &'static str,
    MetricType,
    fn(&TransportCounters) -> &AtomicU64,
);

const NET: [NetRow; 7] = [
    (
        "net_connections",
        "Connections accepted",
        MetricType::Counter,
        |counts| &counts.connections,
    ),
    (
        "net_open_connections",
        "Connections open",
        MetricType::Gauge,
        |counts| &counts.connections_open,
    ),
    (
        "net_open_sessions",
        "QUIC streams and TCP connections that are served",
        MetricType::Gauge,
        |counts| &counts.sessions_open,
    ),
    (
        "net_requests",
        "Request frames received",
        MetricType::Counter,
        |counts| &counts.requests,
    ),
    (
        "net_request_bytes",
        "Bytes of request frames",
        MetricType::Counter,
        |counts| &counts.request_bytes,
    ),
    (
        "net_answers",
        "Answers given to the transport",
        MetricType::Counter,
        |counts| &counts.answers,
    ),
    (
        "net_answer_bytes",
        "Bytes of answers",
        MetricType::Counter,
        |counts| &counts.answer_bytes,
    ),
];

impl Collector for NetProbe {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, kind, counter) in NET {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for transport in [Transport::Quic, Transport::Tls, Transport::Plain] {
                let label = TransportLabel {
                    transport: transport.scheme(),
                };
                let mut metric = family.encode_family(&label)?;
                let value = counter(self.0.transport(transport)).load(Ordering::Relaxed);
                match kind {
                    MetricType::Counter => {
                        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
                    }
                    _ => metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?,
                }
            }
        }
        let help = "Peers turned away";
        let kind = MetricType::Counter;
        let mut family = encoder.encode_descriptor("net_rejections", help, None, kind)?;
        for (reason, count) in self.0.rejected() {
            let reason = format!("{reason:?}").to_lowercase();
            family
                .encode_family(&ReasonLabel { reason })?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct AnswersProbe(Arc<AnswerRoom>);

impl Collector for AnswersProbe {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Bytes of records that answers hold until clients have taken them";
        let held = u64::try_from(self.0.held_bytes()).unwrap_or(u64::MAX);
        gauges(&mut encoder, &[("response_held_bytes", help, held)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_store::{MemDisk, StoreConfig};

    /// Every metric of a broker, as the page shows it at its start.
    fn page() -> String {
        let disk = Arc::new(MemDisk::new());
        let (store, _) = Store::open(StoreConfig::default(), disk, |_, _| {}).unwrap();
        let store = Arc::new(store);
        let metrics = Metrics::new(std::iter::once((0, "Produce")));
        all(&metrics, &store, &Arc::default(), &AnswerRoom::new(1));
        metrics.render().unwrap()
    }

    #[test]
    fn what_grows_is_a_counter_and_times_are_histograms() {
        let page = page();
        for line in [
            "# TYPE weir_store_committed_bytes counter",
            "weir_store_committed_bytes_total 0",
            "# TYPE weir_store_lane_files gauge",
            "# TYPE weir_store_commit_seconds histogram",
            "weir_store_commit_seconds_bucket{le=\"0.00025\"} 0",
            "weir_store_commit_seconds_bucket{le=\"+Inf\"} 0",
            "weir_net_requests_total{transport=\"quic\"} 0",
            "weir_net_open_connections{transport=\"tls\"} 0",
            "weir_response_held_bytes 0",
        ] {
            assert!(page.lines().any(|had| had == line), "{line}\n{page}");
        }
    }

    /// The operator's guide names every metric that there is, and no other.
    #[test]
    fn the_operations_guide_lists_every_metric() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../OPERATIONS.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        let named = guide
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|span| span.starts_with("weir_"))
            .map(|span| span.split('{').next().unwrap_or(span).to_owned());
        let mut named: Vec<String> = named.collect();
        let page = page();
        let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut shown: Vec<String> = types
            .filter_map(|line| line.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                _ => name.to_owned(),
            })
            .collect();
        named.sort();
        shown.sort();
        assert_eq!(named, shown);
    }
}
