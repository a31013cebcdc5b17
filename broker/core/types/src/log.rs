//! What the node asks of the log and what the log tells the node: the words that `weir-node` and
//! `weir-store` share, so that neither names the other and a simulator can stand between them.
//!
//! Commands for one partition take effect in the order in which they were given. Only values; no
//! rule of either side lives here.

use crate::{
    Batch, BatchMeta, LeaderEpoch, Offset, PartitionIndex, StorePartition, TimestampMs, TopicId,
    producer::ProducerTable,
};
use alloc::{string::String, vec::Vec};
use bytes::Bytes;

/// Ties an answer of the log to the question; the asker chooses it and it means nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Something the node wants of the log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LogCommand {
    /// Open these partition replicas, making those that do not exist; answered by one
    /// [`LogEvent::Opened`] or [`LogEvent::OpenFailed`] for each. One durable catalog change.
    Open {
        /// Topic and index of each.
        replicas: Vec<(TopicId, PartitionIndex)>,
    },
    /// Forget these partitions and give their space back; no answer, and durable before the
    /// next `Open` is answered.
    Delete {
        /// Which.
        partitions: Vec<StorePartition>,
    },
    /// Append one batch, whose offsets and epoch are final; becomes durable with others, then
    /// [`LogEvent::Flushed`].
    Append {
        /// Where.
        partition: StorePartition,
        /// The batch.
        batch: Batch,
        /// What is kept of it.
        meta: BatchMeta,
    },
    /// Move the log start (DeleteRecords); answered by [`LogEvent::StartMoved`] when durable.
    MoveStart {
        /// Where.
        partition: StorePartition,
        /// The new start; never behind the high watermark nor before the old start.
        to: Offset,
    },
    /// Drop everything from `to` on; answered by [`LogEvent::Truncated`] when durable.
    Truncate {
        /// Where.
        partition: StorePartition,
        /// The new end.
        to: Offset,
    },
    /// Apply retention: drop the oldest whole batches that are older than `older_than` (by their
    /// maximum timestamp) or beyond `bytes_max`, stopping at the first that is young enough;
    /// answered by [`LogEvent::StartMoved`] if anything was dropped.
    Retain {
        /// Where.
        partition: StorePartition,
        /// Batches whose maximum timestamp is below this are too old; nothing: no age limit.
        older_than: Option<TimestampMs>,
        /// Bytes to keep; nothing: no size limit.
        bytes_max: Option<u64>,
        /// Nothing at or above this offset (the high watermark) is dropped.
        below: Offset,
    },
    /// Forget producers that last appended before `oldest`; no answer.
    ExpireProducers {
        /// Where.
        partition: StorePartition,
        /// Wall-clock time.
        oldest: TimestampMs,
    },
    /// Read whole batches from the one that holds `from`; answered by [`LogEvent::ReadDone`].
    Read {
        /// Named in the answer.
        token: Token,
        /// Where.
        partition: StorePartition,
        /// The first batch read is the one that holds this offset, or the next that exists.
        from: Offset,
        /// No batch that starts at or above this is read (high watermark or log end).
        below: Offset,
        /// Stop before the batch that would pass this many bytes, but read at least one.
        bytes_max: usize,
    },
    /// Find the first record with `timestamp` or later; answered by [`LogEvent::TimeFound`].
    /// The log finds the batch; where the records' own timestamps decide, the node's side
    /// decodes it.
    FindTime {
        /// Named in the answer.
        token: Token,
        /// Where.
        partition: StorePartition,
        /// At least this.
        timestamp: TimestampMs,
        /// Only batches that start below this.
        below: Offset,
    },
}

/// Something the log tells the node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LogEvent {
    /// A replica is ready.
    Opened {
        /// Its topic.
        topic: TopicId,
        /// Its index.
        index: PartitionIndex,
        /// The number by which commands name it from now on.
        partition: StorePartition,
        /// What its log holds.
        state: LogState,
    },
    /// A replica cannot be opened and stays offline.
    OpenFailed {
        /// Its topic.
        topic: TopicId,
        /// Its index.
        index: PartitionIndex,
        /// Why, in one sentence.
        reason: String,
    },
    /// Everything below `end` is on this disk.
    Flushed {
        /// Where.
        partition: StorePartition,
        /// Exclusive.
        end: Offset,
    },
    /// The log starts later, durably.
    StartMoved {
        /// Where.
        partition: StorePartition,
        /// The new start.
        start: Offset,
        /// Live bytes that are left.
        size_bytes: u64,
        /// The largest timestamp of what is left, as [`LogState::max_timestamp`].
        max_timestamp: Option<(TimestampMs, Offset)>,
    },
    /// The log ends earlier, durably.
    Truncated {
        /// Where.
        partition: StorePartition,
        /// What is left.
        state: LogState,
    },
    /// The disk failed: whatever was not flushed is gone. The log goes on from `state`, read
    /// anew from the disk.
    Failed {
        /// Where.
        partition: StorePartition,
        /// What the disk holds.
        state: LogState,
        /// Why, in one sentence.
        reason: String,
    },
    /// The partition cannot be used any more (damage that cannot be explained).
    Offline {
        /// Where.
        partition: StorePartition,
        /// Why, in one sentence.
        reason: String,
    },
    /// The answer to `Read`.
    ReadDone {
        /// The question's.
        token: Token,
        /// Whole batches in order of their offsets, CRC checked; may be empty.
        batches: Result<Vec<StoredBatch>, ReadError>,
    },
    /// The answer to `FindTime`: the first batch whose maximum timestamp reaches the time.
    TimeFound {
        /// The question's.
        token: Token,
        /// That batch, or nothing.
        batch: Result<Option<StoredBatch>, ReadError>,
    },
}

/// Bytes of one batch as the log serves them: by reference from the tail cache (two pieces) or
/// from a file (one piece that may hold several batches back to back).
#[derive(Clone, Debug)]
pub enum StoredBatch {
    /// A batch that is still in memory.
    Cached(Batch),
    /// One or more whole batches, back to back, read from a file.
    Read(Bytes),
}

impl StoredBatch {
    /// Bytes it adds to an answer.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Cached(batch) => batch.size_bytes(),
            Self::Read(bytes) => bytes.len(),
        }
    }
}

/// Why a read gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset is below the start or above the end; both are told.
    #[error("offset is outside the log, which holds {start} to {end}")]
    OutOfRange {
        /// Log start.
        start: Offset,
        /// Log end, exclusive.
        end: Offset,
    },
    /// The partition is gone or offline.
    #[error("the partition is not open")]
    NotOpen,
    /// The bytes on disk are not what was written.
    #[error("damaged at offset {offset}: {reason}")]
    Damaged {
        /// Where.
        offset: Offset,
        /// What was seen.
        reason: String,
    },
    /// The disk answered with an error.
    #[error("the disk failed: {reason}")]
    Disk {
        /// The system's words.
        reason: String,
    },
}

/// What one partition's log holds, as recovery or a truncation leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The first offset that can be read.
    pub start: Offset,
    /// The offset the next record gets; everything below is flushed.
    pub end: Offset,
    /// For each leader epoch the offset at which it began, ascending (KIP-101).
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// Idempotent producers.
    pub producers: ProducerTable,
    /// The largest timestamp of a batch between start and end, and that batch's base offset, or
    /// the start where it begins before.
    pub max_timestamp: Option<(TimestampMs, Offset)>,
    /// Live bytes.
    pub size_bytes: u64,
}
