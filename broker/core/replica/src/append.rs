//! What may be appended where: replicas in sync, and the sequence numbers of idempotent producers
//! (KIP-98, by the rules of Kafka 4). What a batch must be in itself, its size and its times
//! included, was ruled before it came here.

use alloc::{format, string::String};
use thiserror::Error;
use weir_types::{
    Batch, BatchHeader, BatchMeta, ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId,
    Sequence, TimestampMs,
    producer::{ProducerEntry, ProducerTable},
};

/// What the topic's settings say about an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendRules {
    /// The broker's clock gives the timestamps.
    pub log_append_time: bool,
    /// How many replicas must be in sync: `min.insync.replicas` with acks=all, else 1.
    pub min_insync_replicas: usize,
    /// A seeded fault of the simulator: take every sequence number. Never set in a broker.
    pub forget_sequences: bool,
}

/// A batch that was taken, or had been before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The offset behind its last record: when everything below is flushed, it is.
    pub end: Offset,
    /// The broker's timestamp, where it counts; else -1.
    pub log_append_time: TimestampMs,
    /// What is to be done.
    pub outcome: Outcome,
}

/// What is to be done with a batch that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Hand it to the log.
    New {
        /// With its final offset and epoch.
        batch: Batch,
        /// What is kept of it.
        meta: BatchMeta,
    },
    /// Nothing: the producer sent it again.
    Duplicate,
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// This broker does not lead the partition.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// Too few replicas are in sync for acks=all.
    #[error("{insync} replicas are in sync; min.insync.replicas asks for {wanted}")]
    NotEnoughReplicas {
        /// How many there are.
        insync: usize,
        /// How many there must be.
        wanted: usize,
    },
    /// A newer incarnation of the producer has written.
    #[error("producer {id} has epoch {epoch}, but epoch {newest} has written already")]
    OldProducer {
        /// The producer.
        id: ProducerId,
        /// The batch's epoch.
        epoch: ProducerEpoch,
        /// The newest epoch seen.
        newest: ProducerEpoch,
    },
    /// A batch before this one is missing, or this one is too old to be remembered.
    #[error("producer {id} sends sequence {found}; {expected} would follow")]
    OutOfOrder {
        /// The producer.
        id: ProducerId,
        /// The sequence that would follow.
        expected: Sequence,
        /// The batch's.
        found: Sequence,
    },
    /// The partition has used up its offsets.
    #[error("the partition has no offsets left")]
    Full,
}

impl AppendError {
    /// The protocol's error for it.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::OldProducer { .. } => ErrorCode::InvalidProducerEpoch,
            Self::OutOfOrder { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::Full => ErrorCode::KafkaStorageError,
        }
    }

    /// The sentence for people.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{self}")
    }
}

/// What the table says about a batch: new, or the same as one that was taken before.
///
/// A producer of which nothing is known may begin with any sequence: its state may have expired.
pub(crate) fn check_sequence(
    table: &ProducerTable,
    header: &BatchHeader,
) -> Result<Option<Appended>, AppendError> {
    if !header.producer_id.is_some() {
        return Ok(None);
    }
    let Some(entry) = table.get(header.producer_id) else {
        return Ok(None);
    };
    if let Some(duplicate) = find_duplicate(entry, header) {
        return Ok(Some(duplicate));
    }
    let id = header.producer_id;
    if header.producer_epoch < entry.epoch {
        return Err(AppendError::OldProducer {
            id,
            epoch: header.producer_epoch,
            newest: entry.epoch,
        });
    }
    let expected = if header.producer_epoch > entry.epoch {
        Sequence(0)
    } else {
        let last = entry.batches.back();
        last.map_or(Sequence(0), |batch| batch.last_sequence.plus(1))
    };
    if header.base_sequence != expected {
        return Err(AppendError::OutOfOrder {
            id,
            expected,
            found: header.base_sequence,
        });
    }
    Ok(None)
}

fn find_duplicate(entry: &ProducerEntry, header: &BatchHeader) -> Option<Appended> {
    if entry.epoch != header.producer_epoch {
        return None;
    }
    let first = header.base_sequence;
    let last = first.plus(header.last_offset_delta);
    let batch = entry
        .batches
        .iter()
        .find(|batch| batch.first_sequence == first && batch.last_sequence == last)?;
    Some(Appended {
        base_offset: batch.base_offset,
        end: batch.last_offset.next(),
        log_append_time: batch.timestamp,
        outcome: Outcome::Duplicate,
    })
}

/// Gives a batch its place, and the broker's time where that counts.
pub(crate) fn place(
    batch: &mut Batch,
    base_offset: Offset,
    epoch: LeaderEpoch,
    rules: &AppendRules,
    wall: TimestampMs,
) -> BatchMeta {
    batch.patch_offset(base_offset, epoch);
    if rules.log_append_time {
        batch.patch_log_append_time(wall);
    }
    BatchMeta::of(&batch.header(), wall)
}
