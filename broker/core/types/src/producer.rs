//! What a partition remembers of its idempotent producers (KIP-98): for each, the epoch and the
//! last batches, so that a retry is recognised and a gap is refused.
//!
//! A table only records. The rule that refuses a batch lives in `weir-replica`; the store keeps
//! the same table so that a restart finds what a producer was told.

use crate::limits::PRODUCER_BATCHES_KEPT;
use crate::{BatchMeta, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use alloc::collections::{BTreeMap, VecDeque};

/// One batch of a producer that is still remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducedBatch {
    /// Sequence of the batch's first record.
    pub first_sequence: Sequence,
    /// Sequence of its last record.
    pub last_sequence: Sequence,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// The timestamp that was answered when it was appended (log-append time, else -1).
    pub timestamp: TimestampMs,
}

/// One producer's state in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// The newest epoch seen.
    pub epoch: ProducerEpoch,
    /// The last batches of that epoch, oldest first; at most `PRODUCER_BATCHES_KEPT`.
    pub batches: VecDeque<ProducedBatch>,
    /// Wall-clock time at which the broker last appended for it; expiry counts from here.
    pub last_append: TimestampMs,
}

/// All producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {
    entries: BTreeMap<ProducerId, ProducerEntry>,
}

impl ProducerTable {
    /// Records an appended batch; batches without a producer id change nothing.
    pub fn apply(&mut self, batch: &BatchMeta) {
        if !batch.producer_id.is_some() {
            return;
        }
        let entry = self
            .entries
            .entry(batch.producer_id)
            .or_insert_with(|| ProducerEntry {
                epoch: batch.producer_epoch,
                batches: VecDeque::new(),
                last_append: batch.appended_at,
            });
        if entry.epoch != batch.producer_epoch {
            entry.epoch = batch.producer_epoch;
            entry.batches.clear();
        }
        entry.last_append = batch.appended_at;
        if entry.batches.len() == PRODUCER_BATCHES_KEPT {
            entry.batches.pop_front();
        }
        entry.batches.push_back(ProducedBatch {
            first_sequence: batch.base_sequence,
            last_sequence: batch.base_sequence.plus(batch.last_offset_delta()),
            base_offset: batch.base_offset,
            last_offset: batch.last_offset,
            timestamp: batch.answered_timestamp(),
        });
    }

    /// Puts a remembered producer back, as a snapshot held it.
    pub fn restore(&mut self, id: ProducerId, entry: ProducerEntry) {
        self.entries.insert(id, entry);
    }

    /// What is known of one producer.
    #[must_use]
    pub fn get(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.entries.get(&id)
    }

    /// Every producer, in order of its id.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// How many producers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no producer is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets every producer that last appended before `oldest` (`producer.id.expiration.ms`).
    pub fn expire(&mut self, oldest: TimestampMs) {
        self.entries.retain(|_, entry| entry.last_append >= oldest);
    }
}
