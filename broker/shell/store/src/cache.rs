//! The tail cache: recent batches of a shard's partitions, by reference, so that consumers at
//! the end of the log never touch a file.
//!
//! A shard owns its cache; all of them share one budget (design rule 12). It must never serve a
//! batch that the log does not hold: the owner tells it of truncations and failures.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use weir_types::{Batch, Offset, StorePartition, log::StoredBatch};

/// Bytes that all tail caches may have together.
#[derive(Debug)]
pub struct CacheBudget {
    bytes_max: usize,
    used: AtomicUsize,
    caches: AtomicUsize,
}

impl CacheBudget {
    /// A budget of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            used: AtomicUsize::new(0),
            caches: AtomicUsize::new(0),
        })
    }

    /// Bytes of batches in all caches.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.used_bytes() > self.bytes_max
    }

    /// What each cache keeps when all are full.
    fn share(&self) -> usize {
        self.bytes_max / self.caches.load(Ordering::Relaxed).max(1)
    }
}

#[derive(Debug)]
struct Entry {
    /// Counts the batches of a cache in the order in which they came.
    number: u64,
    base: Offset,
    next: Offset,
    batch: Batch,
}

/// One shard's recent batches.
#[derive(Debug)]
pub struct TailCache {
    budget: Arc<CacheBudget>,
    partitions: BTreeMap<StorePartition, VecDeque<Entry>>,
    /// Places of batches in the order in which they came, the oldest first. Of batches that were
    /// truncated or replaced the places stay for a while.
    order: VecDeque<(StorePartition, u64)>,
    next_number: u64,
    /// Batches in all partitions.
    entries: usize,
    bytes: usize,
}

impl TailCache {
    /// An empty cache under `budget`.
    #[must_use]
    pub fn new(budget: Arc<CacheBudget>) -> Self {
        budget.caches.fetch_add(1, Ordering::Relaxed);
        Self {
            budget,
            partitions: BTreeMap::new(),
            order: VecDeque::new(),
            next_number: 0,
            entries: 0,
            bytes: 0,
        }
    }

    /// Keeps a batch that was just handed to the log; its offsets are final. What does not
    /// continue the cached tail replaces it.
    pub fn insert(&mut self, partition: StorePartition, batch: Batch) {
        let header = batch.header();
        let (base, next) = (header.base_offset, header.next_offset());
        let tail = self.partitions.get(&partition).and_then(VecDeque::back);
        if tail.is_some_and(|tail| tail.next != base) {
            self.remove(partition);
        }
        let size = batch.size_bytes();
        self.bytes += size;
        self.budget.used.fetch_add(size, Ordering::Relaxed);
        let number = self.next_number;
        self.next_number += 1;
        self.entries += 1;
        let entries = self.partitions.entry(partition).or_default();
        entries.push_back(Entry {
            number,
            base,
            next,
            batch,
        });
        self.order.push_back((partition, number));
        self.trim();
    }

    /// Drops the places of batches that are gone, once they are more than those that are there.
    fn compact(&mut self) {
        if self.order.len() <= 2 * self.entries {
            return;
        }
        let partitions = &self.partitions;
        self.order.retain(|(partition, number)| {
            let entries = partitions.get(partition);
            entries.is_some_and(|e| e.binary_search_by_key(number, |e| e.number).is_ok())
        });
    }

    /// Evicts the oldest batches while all caches together are over the budget and this one has
    /// more than its share. Called by `insert`; an idle shard calls it now and then.
    pub fn trim(&mut self) {
        while self.budget.is_over() && self.bytes > self.budget.share() {
            let Some((partition, number)) = self.order.pop_front() else {
                return;
            };
            let Some(entries) = self.partitions.get_mut(&partition) else {
                continue;
            };
            if entries.front().is_none_or(|entry| entry.number != number) {
                continue;
            }
            let gone = entries.pop_front();
            if entries.is_empty() {
                self.partitions.remove(&partition);
            }
            self.release(gone);
        }
    }

    fn release(&mut self, gone: Option<Entry>) {
        if let Some(entry) = gone {
            let size = entry.batch.size_bytes();
            self.entries -= 1;
            self.bytes -= size;
            self.budget.used.fetch_sub(size, Ordering::Relaxed);
        }
    }

    /// Whole batches from the one that holds `from`, that start below `below`, up to `bytes_max`
    /// bytes but at least one; nothing where a file must be read.
    #[must_use]
    pub fn lookup(
        &self,
        partition: StorePartition,
        from: Offset,
        below: Offset,
        bytes_max: usize,
    ) -> Option<Vec<StoredBatch>> {
        let entries = self.partitions.get(&partition)?;
        if from < entries.front()?.base || from > entries.back()?.next {
            return None;
        }
        let first = entries.partition_point(|entry| entry.next <= from);
        let mut found = Vec::new();
        let mut bytes = 0;
        for entry in entries.range(first..) {
            let size = entry.batch.size_bytes();
            if entry.base >= below || (!found.is_empty() && bytes + size > bytes_max) {
                break;
            }
            bytes += size;
            found.push(StoredBatch::Cached(entry.batch.clone()));
        }
        Some(found)
    }

    /// Forgets batches from `to` on: the log was truncated or a flush failed.
    pub fn truncate(&mut self, partition: StorePartition, to: Offset) {
        while let Some(entries) = self.partitions.get_mut(&partition) {
            match entries.back() {
                Some(last) if last.next > to => {
                    let gone = entries.pop_back();
                    self.release(gone);
                }
                Some(_) => break,
                None => {
                    self.partitions.remove(&partition);
                }
            }
        }
        self.compact();
    }

    /// Forgets a partition.
    pub fn remove(&mut self, partition: StorePartition) {
        for entry in self.partitions.remove(&partition).unwrap_or_default() {
            self.release(Some(entry));
        }
        self.compact();
    }

    /// Bytes of batches in this cache.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for TailCache {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.caches.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use weir_types::{
        BatchHeader, LeaderEpoch, ProducerEpoch, ProducerId, Sequence, TimestampMs,
        batch::{HEADER_BYTES, write_header},
    };

    fn batch(base: i64, count: i32, bytes: usize) -> Batch {
        let mut out = vec![0; bytes.max(HEADER_BYTES)];
        let header = BatchHeader {
            base_offset: Offset(base),
            size_bytes: out.len(),
            leader_epoch: LeaderEpoch(0),
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: TimestampMs(0),
            max_timestamp: TimestampMs(0),
            producer_id: ProducerId(-1),
            producer_epoch: ProducerEpoch(-1),
            base_sequence: Sequence(-1),
            record_count: count,
        };
        write_header(&mut out, &header);
        Batch::parse(&Bytes::from(out)).unwrap()
    }

    fn bases(found: Option<Vec<StoredBatch>>) -> Option<Vec<i64>> {
        let base = |stored: StoredBatch| match stored {
            StoredBatch::Cached(batch) => batch.header().base_offset.0,
            StoredBatch::Read(_) => panic!("the cache holds batches"),
        };
        found.map(|found| found.into_iter().map(base).collect())
    }

    const P: StorePartition = StorePartition(1);

    #[test]
    fn finds_what_it_holds_and_nothing_else() {
        let mut cache = TailCache::new(CacheBudget::new(10_000));
        for n in 0..5 {
            cache.insert(P, batch(10 + 2 * n, 2, 100));
        }
        let find = |cache: &TailCache, from, below, max| {
            bases(cache.lookup(P, Offset(from), Offset(below), max))
        };
        assert_eq!(find(&cache, 9, 99, 1000), None);
        assert_eq!(find(&cache, 10, 99, 1000), Some(vec![10, 12, 14, 16, 18]));
        assert_eq!(find(&cache, 13, 16, 1000), Some(vec![12, 14]));
        assert_eq!(find(&cache, 13, 99, 1), Some(vec![12]));
        assert_eq!(find(&cache, 20, 99, 1000), Some(vec![]));
        assert_eq!(find(&cache, 21, 99, 1000), None);
        cache.truncate(P, Offset(15));
        assert_eq!(find(&cache, 10, 99, 1000), Some(vec![10, 12]));
        // What does not continue the tail replaces it.
        cache.insert(P, batch(30, 1, 100));
        assert_eq!(find(&cache, 10, 99, 1000), None);
        assert_eq!(find(&cache, 30, 99, 1000), Some(vec![30]));
        assert_eq!(cache.bytes(), 100);
        cache.remove(P);
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn caches_share_one_budget() {
        let budget = CacheBudget::new(1000);
        let mut one = TailCache::new(Arc::clone(&budget));
        let mut two = TailCache::new(Arc::clone(&budget));
        for n in 0..20 {
            one.insert(P, batch(n, 1, 100));
        }
        assert_eq!(one.bytes(), 1000);
        for n in 0..20 {
            two.insert(P, batch(n, 1, 100));
        }
        assert_eq!(two.bytes(), 500);
        one.trim();
        assert_eq!(budget.used_bytes(), 1000);
        drop(one);
        assert_eq!(budget.used_bytes(), 500);
        assert_eq!(
            bases(two.lookup(P, Offset(15), Offset(99), 9999)),
            Some(vec![15, 16, 17, 18, 19])
        );
    }

    #[test]
    fn what_is_gone_leaves_no_place_behind() {
        let mut cache = TailCache::new(CacheBudget::new(1 << 20));
        let other = StorePartition(2);
        for round in 0..1000 {
            cache.insert(P, batch(10, 1, 100));
            if round % 3 == 0 {
                cache.truncate(P, Offset(10));
            } else {
                cache.remove(P);
            }
            // Does not continue what is there.
            cache.insert(other, batch(3 * round, 1, 100));
            assert!(cache.order.len() <= 2 * cache.entries + 1, "{round}");
        }
        assert_eq!((cache.entries, cache.bytes()), (1, 100));
        // The oldest goes first, whatever was there before it.
        let mut cache = TailCache::new(CacheBudget::new(300));
        for n in 0..3 {
            cache.insert(other, batch(n, 1, 100));
        }
        cache.truncate(other, Offset(0));
        for n in 0..2 {
            cache.insert(P, batch(n, 1, 100));
        }
        for n in 0..2 {
            cache.insert(other, batch(n, 1, 100));
        }
        let find = |partition| bases(cache.lookup(partition, Offset(1), Offset(9), 1000));
        assert_eq!(bases(cache.lookup(P, Offset(0), Offset(9), 1000)), None);
        assert_eq!((find(P), find(other)), (Some(vec![1]), Some(vec![1])));
        assert_eq!(cache.bytes(), 300);
    }
}
