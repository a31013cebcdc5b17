//! What can go wrong, one type an operation. Each says whether trying again can help.
//!
//! Only values and their meaning; who retries and how often is decided where the request is made.

use crate::record::TopicPartition;
use std::sync::Arc;
use thiserror::Error;
use weir_types::{ErrorCode, Offset};

pub use weir_net::{ClientRefusal, ConnectError};

/// Why a request got no answer that can be used.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A setting cannot be used.
    #[error("{reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// No connection; the cases that people can mend are kept apart.
    #[error(transparent)]
    Connect(Arc<ConnectError>),
    /// Something answers and does not speak the protocol.
    #[error("{address} does not speak Kafka's protocol: {reason}")]
    NotABroker {
        /// What was taken for a broker.
        address: Arc<str>,
        /// What was seen.
        reason: String,
    },
    /// The connection broke before the answer came; the request may have been carried out.
    #[error("the connection to {address} was lost: {reason}")]
    Lost {
        /// The broker.
        address: Arc<str>,
        /// What was seen.
        reason: String,
    },
    /// No answer in time; the request may have been carried out.
    #[error("{address} did not answer {api} within {timeout_ms} ms")]
    Timeout {
        /// The broker.
        address: Arc<str>,
        /// The API's name.
        api: &'static str,
        /// How long was waited.
        timeout_ms: u64,
    },
    /// The broker has no version of the API that this client speaks.
    #[error("{address} offers no version of {api} that this client speaks")]
    Unsupported {
        /// The broker.
        address: Arc<str>,
        /// The API's name.
        api: &'static str,
    },
    /// The request cannot be written in the version that both speak.
    #[error("{api} cannot be asked that way of this broker: {reason}")]
    Encode {
        /// The API's name.
        api: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// The answer cannot be read.
    #[error("the answer of {address} to {api} cannot be read: {reason}")]
    Decode {
        /// The broker.
        address: Arc<str>,
        /// The API's name.
        api: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No broker with this id is known.
    #[error("broker {id} is not known")]
    UnknownBroker {
        /// Its id.
        id: i32,
    },
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

impl RequestError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        match self {
            Self::Connect(error) => error.can_retry(),
            Self::Lost { .. } | Self::Timeout { .. } | Self::UnknownBroker { .. } => true,
            _ => false,
        }
    }
}

/// What a broker answered instead of success.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", match message { Some(message) => format!("{message} ({})", code.name()), None => code.to_string() })]
pub struct BrokerError {
    /// Kafka's code.
    pub code: ErrorCode,
    /// The broker's own sentence, where it gave one.
    pub message: Option<String>,
}

impl BrokerError {
    /// Whether the same request may succeed later, as Kafka's clients see the code.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        self.code.is_retriable()
    }

    /// The code and message of an answer; nothing where the code is no error.
    pub(crate) fn check(code: ErrorCode, message: Option<&weir_wire::Text>) -> Result<(), Self> {
        if !code.is_err() {
            return Ok(());
        }
        let message = message.map(|text| text.as_str().to_owned());
        Err(Self {
            code,
            message: message.filter(|text| !text.is_empty()),
        })
    }
}

impl From<ErrorCode> for BrokerError {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
        }
    }
}

/// A number of partitions in words.
fn counted(partitions: usize) -> String {
    match partitions {
        1 => "1 partition".to_owned(),
        count => format!("{count} partitions"),
    }
}

/// Why an administrative operation failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// No usable answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The broker said no.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The broker's answer leaves out what was asked.
    #[error("the broker's answer says nothing about {what}")]
    Missing {
        /// What was asked for.
        what: String,
    },
    /// There is no such thing.
    #[error("there is no {what}")]
    NotThere {
        /// What was looked for.
        what: String,
    },
    /// What the broker keeps cannot be read here.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// What it is.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl AdminError {
    /// Whether the same operation may succeed later.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        match self {
            Self::Request(error) => error.can_retry(),
            Self::Broker(error) => error.can_retry(),
            Self::Missing { .. } | Self::NotThere { .. } | Self::Unreadable { .. } => false,
        }
    }

    /// The broker's code, if a broker said no.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker(error) => Some(error.code),
            _ => None,
        }
    }
}

/// Why a record could not be produced.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// A setting of the producer cannot be used.
    #[error("{reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// The record is larger than a batch or a request may be.
    #[error("a record of {size_bytes} bytes is over the limit of {limit_bytes} bytes")]
    RecordTooLarge {
        /// Bytes it takes in a batch.
        size_bytes: usize,
        /// The smaller of the request's limit and the producer's memory.
        limit_bytes: usize,
    },
    /// The topic is not there, or the broker says nothing about it.
    #[error("topic {topic}: {error}")]
    Topic {
        /// Its name.
        topic: Arc<str>,
        /// The broker's words.
        error: BrokerError,
    },
    /// The topic's own partitioner cannot be run here, or chose no partition.
    #[error("the partitioner of topic {topic}: {reason}")]
    Partitioner {
        /// The topic.
        topic: Arc<str>,
        /// What is wrong.
        reason: String,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has {}; there is no partition {partition}", counted(*partitions))]
    NoSuchPartition {
        /// The topic.
        topic: Arc<str>,
        /// What was asked for.
        partition: i32,
        /// How many there are.
        partitions: usize,
    },
    /// The memory for records that wait is full ([`crate::Producer::try_send`] only).
    #[error("the producer's memory of {buffer_bytes} bytes is full")]
    BufferFull {
        /// The producer's limit.
        buffer_bytes: usize,
    },
    /// The topic's partitions are not known yet ([`crate::Producer::try_send`] only).
    #[error("the partitions of topic {topic} are not known yet")]
    TopicNotReady {
        /// Its name.
        topic: Arc<str>,
    },
    /// The delivery timeout passed; the records may have been appended nevertheless.
    #[error("not delivered to {partition} within {timeout_ms} ms; last cause: {cause}")]
    DeliveryTimeout {
        /// Where to.
        partition: TopicPartition,
        /// The producer's limit.
        timeout_ms: u64,
        /// Why the last attempt failed.
        cause: Arc<str>,
    },
    /// The broker refused the batch for good.
    #[error("{partition} refused the batch: {error}")]
    Refused {
        /// Where to.
        partition: TopicPartition,
        /// The broker's words.
        error: BrokerError,
        /// Whether it was this very record that was refused (KIP-467); others of its batch fail
        /// with it.
        culprit: bool,
    },
    /// The records could not be compressed.
    #[error("the batch cannot be compressed: {reason}")]
    Compression {
        /// The codec's words.
        reason: String,
    },
    /// No usable answer, and no hope for one.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The producer was closed before the record was delivered.
    #[error("the producer was closed")]
    Closed,
}

impl ProduceError {
    /// Whether sending the record again may succeed. After [`Self::DeliveryTimeout`] it may also
    /// double the record.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        match self {
            Self::Topic { error, .. } | Self::Refused { error, .. } => error.can_retry(),
            Self::BufferFull { .. } | Self::TopicNotReady { .. } | Self::DeliveryTimeout { .. } => {
                true
            }
            Self::Request(error) => error.can_retry(),
            _ => false,
        }
    }
}

/// Why consuming failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// A setting of the consumer, or a call, makes no sense.
    #[error("{reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// The partition is not assigned.
    #[error("{partition} is not assigned to this consumer")]
    NotAssigned {
        /// Which.
        partition: TopicPartition,
    },
    /// The position lies outside the log and the reset policy says to stop.
    #[error("{partition} has no offset {offset} (any more), and the reset policy is `error`")]
    OffsetOutOfRange {
        /// Where.
        partition: TopicPartition,
        /// The position.
        offset: Offset,
    },
    /// The group keeps no offset of the partition and the reset policy says to stop.
    #[error("the group has no offset of {partition}, and the reset policy is `error`")]
    NoOffset {
        /// Where.
        partition: TopicPartition,
    },
    /// The topic is not there, or the broker says nothing about it.
    #[error("topic {topic}: {error}")]
    Topic {
        /// Its name.
        topic: Arc<str>,
        /// The broker's words.
        error: BrokerError,
    },
    /// The broker refuses to serve the partition.
    #[error("{partition}: {error}")]
    Partition {
        /// Where.
        partition: TopicPartition,
        /// The broker's words.
        error: BrokerError,
    },
    /// A batch is damaged: checksum, compression or framing. [`crate::Consumer::seek`] past it
    /// goes on.
    #[error("the batch at offset {offset} of {partition} is damaged: {reason}")]
    Damaged {
        /// Where.
        partition: TopicPartition,
        /// Its base offset, or the position where not even that can be read.
        offset: Offset,
        /// The first offset behind it, where that can be told.
        next_offset: Offset,
        /// What is wrong with it.
        reason: String,
    },
    /// No usable answer, and no hope for one.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl ConsumeError {
    /// Whether going on with the same consumer may succeed.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        match self {
            Self::Topic { error, .. } | Self::Partition { error, .. } => error.can_retry(),
            Self::Request(error) => error.can_retry(),
            _ => false,
        }
    }
}

/// Why consuming as a member of a group, or committing, failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// A setting, or a call, makes no sense.
    #[error("{reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// Records could not be read; the member stays in the group and can be used on.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// The coordinator does not take the member, for good: not allowed, the group is full, another
    /// member goes by the same `group.instance.id`, assignors or protocols that do not fit.
    #[error("group {group}: {error}")]
    Refused {
        /// The group.
        group: Arc<str>,
        /// The coordinator's words.
        error: BrokerError,
    },
    /// The coordinator did not take an offset.
    #[error("the offset of {partition} was not committed: {error}")]
    Commit {
        /// Of which partition.
        partition: TopicPartition,
        /// The coordinator's words. `FENCED_MEMBER_EPOCH`, `ILLEGAL_GENERATION` and
        /// `UNKNOWN_MEMBER_ID` mean that others may own the partition by now.
        error: BrokerError,
    },
    /// Too many commits wait for an answer.
    #[error("{limit} commits wait for an answer already")]
    TooManyCommits {
        /// How many may wait.
        limit: usize,
    },
    /// No usable answer, and no hope for one.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The consumer was closed and its last offsets were not committed in time; the next owners
    /// read again from the ones before.
    #[error("the last offsets were not committed within {timeout_ms} ms")]
    CommitTimeout {
        /// The client's operation timeout.
        timeout_ms: u64,
    },
    /// The member has left its group.
    #[error("the group consumer is closed")]
    Closed,
}

impl GroupError {
    /// Whether going on with the same consumer, or the same commit again, may succeed.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        match self {
            Self::Consume(error) => error.can_retry(),
            Self::Commit { error, .. } => error.can_retry(),
            Self::Request(error) => error.can_retry(),
            Self::TooManyCommits { .. } => true,
            _ => false,
        }
    }
}
