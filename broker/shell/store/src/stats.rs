//! Counters of the store for metrics. Only numbers; reading them never waits for a disk.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the buckets of commit times, in microseconds; the last bucket is open.
pub const COMMIT_BUCKETS_US: [u64; 14] = [
    250, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000,
    1_000_000,
];

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) committed_bytes: AtomicU64,
    pub(crate) committed_batches: AtomicU64,
    pub(crate) failed_commits: AtomicU64,
    pub(crate) rolls: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) read_bytes: AtomicU64,
    pub(crate) rewritten_bytes: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) unlinked: AtomicU64,
    pub(crate) commit_us_total: AtomicU64,
    pub(crate) commit_buckets: [AtomicU64; COMMIT_BUCKETS_US.len() + 1],
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn commit_took(&self, us: u64) {
        Self::add(&self.commit_us_total, us);
        let bucket = COMMIT_BUCKETS_US.partition_point(|bound| *bound < us);
        if let Some(counter) = self.commit_buckets.get(bucket) {
            Self::add(counter, 1);
        }
    }
}

/// Files of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStats {
    /// How many.
    pub files: u64,
    /// Bytes of batches in them.
    pub bytes: u64,
    /// Bytes of batches in them that can still be read.
    pub live_bytes: u64,
}

/// What the store has done since it was opened, and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Lane files, written or waiting for the rewriter.
    pub lane: FileStats,
    /// History files.
    pub history: FileStats,
    /// Lane files that the rewriter may take.
    pub waiting_for_rewriter: u64,
    /// Bytes of lane files that left the log and wait to be used again.
    pub pool_bytes: u64,
    /// Files that left the log and wait for their last reader.
    pub retired: bool,
    /// Files open now.
    pub open_files: u64,
    /// Partitions.
    pub partitions: u64,
    /// Partitions that cannot be used.
    pub partitions_offline: u64,
    /// Commits that became durable; each is one sync of a lane file.
    pub commits: u64,
    /// Bytes of batches in them.
    pub committed_bytes: u64,
    /// Batches in them.
    pub committed_batches: u64,
    /// Commits that failed.
    pub failed_commits: u64,
    /// How often a lane took a new file.
    pub rolls: u64,
    /// Reads from files.
    pub reads: u64,
    /// Bytes of batches read from files.
    pub read_bytes: u64,
    /// Bytes of batches the rewriter wrote.
    pub rewritten_bytes: u64,
    /// Times the rewriter published.
    pub published: u64,
    /// Files unlinked.
    pub unlinked: u64,
    /// Microseconds of all commits together.
    pub commit_us_total: u64,
    /// Commits by their time: as many as [`COMMIT_BUCKETS_US`], and one for longer ones.
    pub commit_buckets: Vec<u64>,
    /// Bytes of commands that wait or are in a lane.
    pub pending_bytes: u64,
}

impl Counters {
    pub(crate) fn fill(&self, stats: &mut StoreStats) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.commits = get(&self.commits);
        stats.committed_bytes = get(&self.committed_bytes);
        stats.committed_batches = get(&self.committed_batches);
        stats.failed_commits = get(&self.failed_commits);
        stats.rolls = get(&self.rolls);
        stats.reads = get(&self.reads);
        stats.read_bytes = get(&self.read_bytes);
        stats.rewritten_bytes = get(&self.rewritten_bytes);
        stats.published = get(&self.published);
        stats.unlinked = get(&self.unlinked);
        stats.commit_us_total = get(&self.commit_us_total);
        stats.commit_buckets = self.commit_buckets.iter().map(get).collect();
    }
}
