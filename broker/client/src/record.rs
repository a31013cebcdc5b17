//! The records a program hands in and gets back.
//!
//! Only values; a record is copied once on its way in (into its batch) and never on its way out.

use bytes::Bytes;
use std::{fmt, sync::Arc};
use weir_types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};

pub use weir_types::batch::RecordHeader;

/// A record to be produced; borrowed, because its bytes are copied into a batch at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// Where to.
    pub topic: &'a str,
    /// Which partition; nothing lets the partitioner choose.
    pub partition: Option<PartitionIndex>,
    /// `None` is null.
    pub key: Option<&'a [u8]>,
    /// `None` is null (a tombstone).
    pub value: Option<&'a [u8]>,
    /// In order; keys may repeat.
    pub headers: &'a [RecordHeader<'a>],
    /// Milliseconds since 1970; nothing takes the time of `send`.
    pub timestamp: Option<TimestampMs>,
}

impl<'a> Record<'a> {
    /// A record with a value and nothing else.
    #[must_use]
    pub fn new(topic: &'a str, value: &'a [u8]) -> Self {
        Self {
            topic,
            value: Some(value),
            ..Self::default()
        }
    }

    /// With a key.
    #[must_use]
    pub const fn with_key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// To this partition.
    #[must_use]
    pub const fn with_partition(mut self, partition: i32) -> Self {
        self.partition = Some(PartitionIndex(partition));
        self
    }

    /// With headers.
    #[must_use]
    pub const fn with_headers(mut self, headers: &'a [RecordHeader<'a>]) -> Self {
        self.headers = headers;
        self
    }

    /// With a timestamp.
    #[must_use]
    pub const fn with_timestamp(mut self, timestamp: TimestampMs) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition: PartitionIndex(partition),
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// One header of a consumed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// UTF-8 by Kafka's rule; kept as bytes.
    pub key: Bytes,
    /// `None` is null, which is not the empty value.
    pub value: Option<Bytes>,
}

/// What the timestamp of a record means (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's time.
    CreateTime,
    /// The broker's time when it appended the batch.
    LogAppendTime,
}

/// A consumed record. Key, value and headers share the memory of the fetched batch: copy them
/// where a few records are kept for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Where it is from.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its place there.
    pub offset: Offset,
    /// Epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// Milliseconds since 1970.
    pub timestamp: TimestampMs,
    /// Whose time that is.
    pub timestamp_type: TimestampType,
    /// `None` is null.
    pub key: Option<Bytes>,
    /// `None` is null (a tombstone).
    pub value: Option<Bytes>,
    /// In order, duplicates kept.
    pub headers: Vec<Header>,
}
