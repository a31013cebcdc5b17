//! Fetch sessions (KIP-227): what a client fetches is remembered, so that it only tells changes
//! and is only told changes.
//!
//! A session lives with its connection; what all of them remember together is bounded by
//! [`FetchSessions`].

use crate::limits::{FETCH_SESSION_PARTITIONS_MAX, FETCH_SESSIONS_PARTITIONS_MAX};
use alloc::{collections::BTreeMap, sync::Arc};
use core::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use weir_types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use weir_wire::{Text, messages::FetchPartition};

/// How a session names a topic: by id (and an empty name) or by name (and the zero id).
pub(super) type TopicKey = (TopicId, Text);

/// What the client was told last of a partition. The answer is made apart from the session, after
/// `accept` has returned; a client sends the next request of a session only when it has it, so the
/// order of writes and reads is given.
#[derive(Debug)]
pub(super) struct Told {
    high_watermark: AtomicI64,
    log_start: AtomicI64,
}

impl Told {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            high_watermark: AtomicI64::new(-1),
            log_start: AtomicI64::new(-1),
        })
    }

    /// Remembers what is told now; returns whether it differs from before.
    pub(super) fn update(&self, high_watermark: Offset, log_start: Offset) -> bool {
        let before = (
            self.high_watermark.swap(high_watermark.0, Ordering::AcqRel),
            self.log_start.swap(log_start.0, Ordering::AcqRel),
        );
        before != (high_watermark.0, log_start.0)
    }

    /// After an error everything is told again.
    pub(super) fn forget(&self) {
        self.update(Offset(-1), Offset(-1));
    }
}

/// What is wanted of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) fetch_offset: Offset,
    pub(super) current_leader_epoch: LeaderEpoch,
    pub(super) last_fetched_epoch: LeaderEpoch,
    pub(super) max_bytes: i32,
}

impl From<&FetchPartition> for Want {
    fn from(partition: &FetchPartition) -> Self {
        Self {
            fetch_offset: partition.fetch_offset,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
            max_bytes: partition.partition_max_bytes,
        }
    }
}

/// A partition of a session.
#[derive(Debug)]
pub(super) struct SessionPartition {
    pub(super) want: Want,
    pub(super) told: Arc<Told>,
}

impl SessionPartition {
    pub(super) fn new(partition: &FetchPartition) -> Self {
        Self {
            want: Want::from(partition),
            told: Told::new(),
        }
    }
}

/// Counts the partitions that all fetch sessions of a broker remember.
#[derive(Debug, Default)]
pub struct FetchSessions {
    partitions: AtomicUsize,
}

impl FetchSessions {
    /// How many there are.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.partitions.load(Ordering::Acquire)
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct FetchSession {
    pub(super) id: i32,
    /// The epoch the next request must carry.
    pub(super) epoch: i32,
    pub(super) uses_ids: bool,
    pub(super) partitions: BTreeMap<(TopicKey, PartitionIndex), SessionPartition>,
    all: Arc<FetchSessions>,
    /// How many of its partitions `all` counts.
    counted: usize,
}

impl Drop for FetchSession {
    fn drop(&mut self) {
        self.all
            .partitions
            .fetch_sub(self.counted, Ordering::AcqRel);
    }
}

impl FetchSession {
    /// A session that remembers nothing yet.
    pub(super) fn new(id: i32, epoch: i32, uses_ids: bool, all: Arc<FetchSessions>) -> Self {
        Self {
            id,
            epoch,
            uses_ids,
            partitions: BTreeMap::new(),
            all,
            counted: 0,
        }
    }

    /// Counts what it remembers now; returns whether that is not too much, with all others.
    pub(super) fn count(&mut self) -> bool {
        let now = self.partitions.len();
        let others_and_before = self.all.partitions.fetch_add(now, Ordering::AcqRel);
        self.all
            .partitions
            .fetch_sub(self.counted, Ordering::AcqRel);
        let all = others_and_before - self.counted + now;
        self.counted = now;
        now <= FETCH_SESSION_PARTITIONS_MAX && all <= FETCH_SESSIONS_PARTITIONS_MAX
    }

    /// The epoch after `epoch`: it wraps from the largest to 1, as 0 begins a session.
    pub(super) const fn next_epoch(epoch: i32) -> i32 {
        if epoch == i32::MAX { 1 } else { epoch + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn session(partitions: i32, all: &Arc<FetchSessions>) -> FetchSession {
        let mut session = FetchSession::new(1, 1, true, all.clone());
        for index in 0..partitions {
            let partition = FetchPartition {
                partition: PartitionIndex(index),
                ..FetchPartition::default()
            };
            let key = ((TopicId::ZERO, Text::default()), partition.partition);
            session
                .partitions
                .insert(key, SessionPartition::new(&partition));
        }
        session
    }

    #[test]
    fn all_sessions_together_are_bounded() {
        let all = Arc::new(FetchSessions::default());
        let mut full = Vec::new();
        for _ in 0..FETCH_SESSIONS_PARTITIONS_MAX / FETCH_SESSION_PARTITIONS_MAX {
            let mut one = session(1, &all);
            // As if it remembered as many as it may.
            all.partitions
                .fetch_add(FETCH_SESSION_PARTITIONS_MAX - 1, Ordering::AcqRel);
            assert!(one.count());
            one.counted = FETCH_SESSION_PARTITIONS_MAX;
            full.push(one);
        }
        assert_eq!(all.partitions(), FETCH_SESSIONS_PARTITIONS_MAX);
        let mut more = session(3, &all);
        assert!(!more.count(), "there is no room for it");
        full.pop();
        assert!(more.count(), "counted again, not twice");
        more.partitions.pop_first();
        assert!(more.count());
        drop(full);
        assert_eq!(all.partitions(), 2);
        drop(more);
        assert_eq!(all.partitions(), 0);
    }
}
