//! Fetch sessions (KIP-227): what a client fetches is remembered, so that it only tells changes
//! and is only told changes.
//!
//! A session lives with its connection; Kafka's limit on all sessions of a broker is not needed.

use alloc::{collections::BTreeMap, sync::Arc};
use core::sync::atomic::{AtomicI64, Ordering};
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

/// One session.
#[derive(Debug)]
pub(super) struct FetchSession {
    pub(super) id: i32,
    /// The epoch the next request must carry.
    pub(super) epoch: i32,
    pub(super) uses_ids: bool,
    pub(super) partitions: BTreeMap<(TopicKey, PartitionIndex), SessionPartition>,
}

impl FetchSession {
    /// The epoch after `epoch`: it wraps from the largest to 1, as 0 begins a session.
    pub(super) const fn next_epoch(epoch: i32) -> i32 {
        if epoch == i32::MAX { 1 } else { epoch + 1 }
    }
}
