//! An async Kafka-protocol client over QUIC or TCP: producer, consumer, admin (design decisions D1,
//! D4, D14).
//!
//! Everything begins with [`Client::connect`]. Errors are typed, one type an operation, and say by
//! `can_retry` whether trying again can help; what can be retried safely is retried here, within
//! the time-outs of the configuration. Nothing here may panic on what a broker sends, and memory
//! stays within the limits a program sets.
#![forbid(unsafe_code)]

pub mod admin;
mod client;
mod cluster;
mod config;
pub mod consumer;
pub mod error;
#[cfg(test)]
mod fake;
pub mod group;
pub mod limits;
mod net;
pub mod producer;
mod record;

pub use admin::Admin;
pub use client::Client;
pub use config::ClientConfig;
pub use consumer::{Consumer, ConsumerBuilder, FetchedBatch, OffsetReset, SeekTo};
pub use error::{
    AdminError, BrokerError, ClientRefusal, ConnectError, ConsumeError, GroupError, ProduceError,
    RequestError,
};
pub use group::{
    ClassicAssignor, CommitOffset, GroupConsumer, GroupConsumerBuilder, GroupProtocol,
    RebalanceListener,
};
pub use producer::{
    Acks, Delivery, PartitionChoice, PartitionRequest, Partitioner, Producer, ProducerBuilder,
    RecordMetadata,
};
pub use record::{ConsumerRecord, Header, Record, RecordHeader, TimestampType, TopicPartition};
pub use weir_codec::Compression;
pub use weir_net::{HostPort, Profile, ProfileError, Transport, TransportChoice};
pub use weir_types::{
    BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    TimestampMs, TopicId,
};
