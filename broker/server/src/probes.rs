//! Figures that others keep, as metrics: the store's and the listeners'.
//!
//! A probe reads counters and never waits for a disk or a peer.

use crate::metrics::Metrics;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use weir_net::{Counters, Transport};
use weir_store::{Store, StoreStats};

/// The store's figures, for as long as it is there.
pub(crate) fn store(metrics: &Metrics, store: &Arc<Store>) {
    let store: Weak<Store> = Arc::downgrade(store);
    let probe = move || {
        store
            .upgrade()
            .map_or_else(Vec::new, |store| figures(&store.stats()))
    };
    metrics.probe("store", "What the log holds and has done", Box::new(probe));
}

fn figures(stats: &StoreStats) -> Vec<(String, i64)> {
    [
        ("lane_files", stats.lane.files),
        ("lane_bytes", stats.lane.bytes),
        ("lane_live_bytes", stats.lane.live_bytes),
        ("history_files", stats.history.files),
        ("history_bytes", stats.history.bytes),
        ("history_live_bytes", stats.history.live_bytes),
        ("waiting_for_rewriter", stats.waiting_for_rewriter),
        ("pool_bytes", stats.pool_bytes),
        ("open_files", stats.open_files),
        ("partitions", stats.partitions),
        ("partitions_offline", stats.partitions_offline),
        ("commits", stats.commits),
        ("committed_bytes", stats.committed_bytes),
        ("committed_batches", stats.committed_batches),
        ("failed_commits", stats.failed_commits),
        ("commit_microseconds", stats.commit_us_total),
        ("rolls", stats.rolls),
        ("file_reads", stats.reads),
        ("file_read_bytes", stats.read_bytes),
        ("rewritten_bytes", stats.rewritten_bytes),
        ("published", stats.published),
        ("unlinked", stats.unlinked),
        ("pending_bytes", stats.pending_bytes),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), number(value)))
    .collect()
}

/// The listeners' figures.
pub(crate) fn net(metrics: &Metrics, counters: &Arc<Counters>) {
    let counters = Arc::clone(counters);
    let probe =
        move || {
            let mut all = Vec::new();
            for transport in [Transport::Quic, Transport::Tls, Transport::Plain] {
                let counts = counters.transport(transport);
                for (name, counter) in [
                    ("connections", &counts.connections),
                    ("connections_open", &counts.connections_open),
                    ("sessions_open", &counts.sessions_open),
                    ("requests", &counts.requests),
                    ("request_bytes", &counts.request_bytes),
                    ("answers", &counts.answers),
                    ("answer_bytes", &counts.answer_bytes),
                ] {
                    let value = number(counter.load(Ordering::Relaxed));
                    all.push((format!("{transport}_{name}"), value));
                }
            }
            let rejected = counters.rejected();
            all.extend(rejected.map(|(reason, count)| {
                (format!("rejected_{reason:?}").to_lowercase(), number(count))
            }));
            all
        };
    metrics.probe(
        "net",
        "What the listeners carry and turn away",
        Box::new(probe),
    );
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
