//! Who chooses the partition of a record that names none.
//!
//! A partitioner only chooses: it must neither keep records nor block, since `send` waits for it.

use super::murmur::partition_for_key;
use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

/// What a partitioner is shown of a record.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PartitionRequest<'a> {
    /// The record's topic.
    pub topic: &'a str,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// How many partitions the topic has; never 0.
    pub partitions: u32,
}

/// What a partitioner answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    /// This partition; one that does not exist fails the record.
    Partition(i32),
    /// Whichever is being filled at the moment (KIP-480, KIP-794): batches stay large and every
    /// partition gets as many bytes.
    Sticky,
}

/// Chooses partitions for records that name none.
pub trait Partitioner: Send + Sync + 'static {
    /// The partition for one record. Called for every record, so it should be quick.
    fn choose(&self, request: PartitionRequest<'_>) -> PartitionChoice;
}

impl<F> Partitioner for F
where
    F: Fn(PartitionRequest<'_>) -> PartitionChoice + Send + Sync + 'static,
{
    fn choose(&self, request: PartitionRequest<'_>) -> PartitionChoice {
        self(request)
    }
}

/// Kafka's default: the key's murmur2 hash decides; records without a key stick to one partition
/// until it has its share.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultPartitioner;

impl Partitioner for DefaultPartitioner {
    fn choose(&self, request: PartitionRequest<'_>) -> PartitionChoice {
        request.key.map_or(PartitionChoice::Sticky, |key| {
            PartitionChoice::Partition(partition_for_key(key, request.partitions))
        })
    }
}

/// Sticky for every record, keys or not (Kafka's `partitioner.ignore.keys`).
#[derive(Clone, Copy, Debug, Default)]
pub struct StickyPartitioner;

impl Partitioner for StickyPartitioner {
    fn choose(&self, _: PartitionRequest<'_>) -> PartitionChoice {
        PartitionChoice::Sticky
    }
}

/// One partition after the other, whatever the key. Every partition gets as many records, in small
/// batches.
#[derive(Default)]
pub struct RoundRobinPartitioner {
    next: AtomicU32,
}

impl Partitioner for RoundRobinPartitioner {
    fn choose(&self, request: PartitionRequest<'_>) -> PartitionChoice {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let partition = turn.checked_rem(request.partitions).unwrap_or(0);
        PartitionChoice::Partition(i32::try_from(partition).unwrap_or(0))
    }
}

impl fmt::Debug for RoundRobinPartitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoundRobinPartitioner")
    }
}

/// Which partition a topic's keyless records stick to, and since how many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sticky {
    current: usize,
    bytes: usize,
    random: u64,
}

impl Sticky {
    /// `seed` decides the order; any number will do.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            current: usize::MAX,
            bytes: 0,
            random: seed | 1,
        }
    }

    /// The partition to use now. A partition that has had `share_bytes` is left for another one
    /// that `is_usable` (has a leader), if there is any.
    pub(crate) fn choose(
        &mut self,
        partitions: usize,
        share_bytes: usize,
        is_usable: impl Fn(usize) -> bool,
    ) -> usize {
        if self.current < partitions && self.bytes < share_bytes && is_usable(self.current) {
            return self.current;
        }
        let random = usize::try_from(self.next_random() >> 33).unwrap_or(0);
        let others = |index: &usize| *index != self.current && is_usable(*index);
        let count = (0..partitions).filter(others).count();
        let next = match count {
            // Only the current one is usable, or none is: then any place is as good.
            0 if self.current < partitions => self.current,
            0 => random % partitions.max(1),
            _ => (0..partitions)
                .filter(others)
                .nth(random % count)
                .unwrap_or(0),
        };
        self.current = next;
        self.bytes = 0;
        next
    }

    /// Counts what the current partition was given.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Marsaglia's xorshift: the choice must spread, not be unpredictable.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sticky_spreads_bytes_and_avoids_partitions_without_a_leader() {
        let mut sticky = Sticky::new(7);
        let mut bytes = [0usize; 6];
        for _ in 0..60_000 {
            let chosen = sticky.choose(6, 1000, |index| index != 2);
            bytes[chosen] += 100;
            sticky.count(100);
        }
        assert_eq!(bytes[2], 0);
        for (index, bytes) in bytes.into_iter().enumerate().filter(|(i, _)| *i != 2) {
            assert!((900_000..1_500_000).contains(&bytes), "{index}: {bytes}");
        }
    }

    #[test]
    fn a_single_partition_is_always_chosen() {
        let mut sticky = Sticky::new(1);
        for _ in 0..10 {
            assert_eq!(sticky.choose(1, 10, |_| true), 0);
            sticky.count(20);
        }
        assert_eq!(Sticky::new(1).choose(3, 10, |_| false), 0);
    }
}
