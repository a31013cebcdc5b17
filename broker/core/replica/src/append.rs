//! What may be appended where: replicas in sync, and the sequence numbers of idempotent producers
//! (KIP-98, by the rules of Kafka 4). What a batch must be in itself, its size and its times
//! included, was ruled before it came here.

use alloc::{format, string::String};
use thiserror::Error;
use weir_types::{
    Batch, BatchHeader, BatchMeta, ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId,
    Sequence, TimestampMs,
    producer::{ProducedBatch, ProducerEntry, ProducerTable},
};

/// How a producer counts its batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sequences {
    /// Each begins behind the one before (KIP-98).
    #[default]
    Contiguous,
    /// They ascend, with gaps: what is missing went to other partitions. A batch's last sequence is
    /// its producer's place; what ends at or below the last one known was taken before.
    Ascending,
}

/// What the topic's settings say about an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendRules {
    /// The broker's clock gives the timestamps.
    pub log_append_time: bool,
    /// How the batch's producer counts.
    pub sequences: Sequences,
    /// How many replicas must be in sync: `min.insync.replicas` with acks=all, else 1.
    pub min_insync_replicas: usize,
    /// A seeded fault of the simulator: take every sequence number. Never set in a broker.
    pub forget_sequences: bool,
}

/// A batch that was taken, or had been before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record; -1 for a duplicate of a producer whose batches only ascend, where
    /// it is not remembered as it was.
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
    /// A batch whose producer's batches only ascend begins before the last one known and ends
    /// behind it, or comes before one that the disk lost was sent again.
    #[error(
        "producer {id} sends sequences {first} to {end}; {expected} is the least that may follow"
    )]
    Overlap {
        /// The producer.
        id: ProducerId,
        /// The batch's first sequence.
        first: Sequence,
        /// The batch's last sequence.
        end: Sequence,
        /// The least that may follow, or what must come again.
        expected: Sequence,
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
            Self::OutOfOrder { .. } | Self::Overlap { .. } => ErrorCode::OutOfOrderSequenceNumber,
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
    sequences: Sequences,
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
    if sequences == Sequences::Ascending {
        return check_ascending(entry, header);
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

/// The rule for producers whose batches only ascend.
fn check_ascending(
    entry: &ProducerEntry,
    header: &BatchHeader,
) -> Result<Option<Appended>, AppendError> {
    let known = entry.batches.back();
    let Some(known) = known.filter(|_| entry.epoch == header.producer_epoch) else {
        return Ok(None);
    };
    let (first, end) = (header.base_sequence, last_sequence(header));
    if is_behind(first, known.last_sequence) {
        return Ok(None);
    }
    if is_behind(end, known.last_sequence) {
        return Err(AppendError::Overlap {
            id: header.producer_id,
            first,
            end,
            expected: known.last_sequence.plus(1),
        });
    }
    // Whatever it was part of lies below the end of the first batch that reaches as far; where
    // even that one is forgotten, everything of then lies below those that are not.
    let reaches = |batch: &&ProducedBatch| !is_behind(end, batch.last_sequence);
    let taken = entry.batches.iter().find(reaches).unwrap_or(known);
    Ok(Some(Appended {
        base_offset: Offset(-1),
        end: taken.last_offset.next(),
        log_append_time: taken.timestamp,
        outcome: Outcome::Duplicate,
    }))
}

/// The sequence of a batch's last record.
pub(crate) const fn last_sequence(header: &BatchHeader) -> Sequence {
    header.base_sequence.plus(header.last_offset_delta)
}

/// Whether `one` comes behind `other`, as sequences wrap: less than half of them lies between.
pub(crate) const fn is_behind(one: Sequence, other: Sequence) -> bool {
    let distance = one.0.wrapping_sub(other.0) & i32::MAX;
    distance > 0 && distance < 1 << 30
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
