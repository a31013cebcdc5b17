//! Metadata records as bytes: what the metadata log and its snapshots hold.
//!
//! Each record is a type byte, a version byte and its fields, big-endian, strings and lists with
//! a u32 length in front. A type or version this build does not know is an error that names it;
//! nothing is skipped, because a record that is not applied would make brokers differ.

mod plugins;

use crate::{
    image::Listener,
    limits::{LISTENERS_MAX, REPLICAS_MAX, STRING_BYTES_MAX},
    record::MetaRecord,
};
use alloc::{string::String, sync::Arc, vec::Vec};
use thiserror::Error;
use weir_types::{BrokerId, LeaderEpoch, PartitionIndex, TimestampMs, TopicId};

/// Why bytes are no metadata records.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by a newer build, or not metadata at all.
    #[error("metadata record type {kind} version {version} is not known to this version of Weir")]
    Unknown {
        /// The type byte.
        kind: u8,
        /// The version byte.
        version: u8,
    },
    /// The bytes end inside a record.
    #[error("metadata record of type {kind} is cut short")]
    Truncated {
        /// The type byte.
        kind: u8,
    },
    /// A field has a value that no build writes.
    #[error("metadata record of type {kind} has an impossible {what}")]
    Field {
        /// The type byte.
        kind: u8,
        /// Which field, in words.
        what: &'static str,
    },
}

mod kind {
    //! The type bytes; a retired one is never used again.
    pub(super) const CLUSTER: u8 = 1;
    pub(super) const BROKER: u8 = 2;
    pub(super) const TOPIC: u8 = 3;
    pub(super) const PARTITION: u8 = 4;
    pub(super) const TOPIC_DELETED: u8 = 5;
    pub(super) const TOPIC_CONFIG: u8 = 6;
    pub(super) const DEFAULT_CONFIG: u8 = 7;
    pub(super) const PRODUCER_IDS: u8 = 8;
    pub(super) const PLUGIN: u8 = 9;
    pub(super) const PLUGIN_ACTIVE: u8 = 10;
    pub(super) const PLUGIN_REMOVED: u8 = 11;
    pub(super) const VIEW: u8 = 12;
    pub(super) const JOB: u8 = 13;
    pub(super) const JOB_DELETED: u8 = 14;
}

/// The version every record is written with today.
const VERSION: u8 = 0;

/// Writes records one behind the other.
#[must_use]
pub fn encode_all(records: &[MetaRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        record.encode(&mut out);
    }
    out
}

/// Reads what [`encode_all`] wrote.
///
/// # Errors
/// [`DecodeError`], for the first record that cannot be read.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<MetaRecord>, DecodeError> {
    let mut reader = Reader { bytes, kind: 0 };
    let mut records = Vec::new();
    while !reader.bytes.is_empty() {
        records.push(reader.record()?);
    }
    Ok(records)
}

impl MetaRecord {
    /// Appends the record's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Cluster { id } => {
                head(out, kind::CLUSTER);
                put_str(out, id);
            }
            Self::Broker {
                id,
                listeners,
                rack,
                registered_at,
            } => {
                head(out, kind::BROKER);
                put_i32(out, id.0);
                put_len(out, listeners.len());
                for listener in listeners {
                    put_str(out, &listener.name);
                    put_str(out, &listener.host);
                    out.extend_from_slice(&listener.port.to_be_bytes());
                }
                put_option(out, rack.as_deref());
                put_i64(out, registered_at.0);
            }
            Self::Topic {
                id,
                name,
                created_at,
            } => {
                head(out, kind::TOPIC);
                out.extend_from_slice(&id.0);
                put_str(out, name);
                put_i64(out, created_at.0);
            }
            Self::Partition {
                topic,
                index,
                leader,
                leader_epoch,
                replicas,
                isr,
            } => {
                head(out, kind::PARTITION);
                out.extend_from_slice(&topic.0);
                put_i32(out, index.0);
                put_i32(out, leader.map_or(-1, |b| b.0));
                put_i32(out, leader_epoch.0);
                put_brokers(out, replicas);
                put_brokers(out, isr);
            }
            Self::TopicDeleted { id } => {
                head(out, kind::TOPIC_DELETED);
                out.extend_from_slice(&id.0);
            }
            Self::TopicConfig { topic, name, value } => {
                head(out, kind::TOPIC_CONFIG);
                out.extend_from_slice(&topic.0);
                put_str(out, name);
                put_option(out, value.as_deref());
            }
            Self::DefaultConfig { name, value } => {
                head(out, kind::DEFAULT_CONFIG);
                put_str(out, name);
                put_option(out, value.as_deref());
            }
            Self::ProducerIds { next } => {
                head(out, kind::PRODUCER_IDS);
                put_i64(out, *next);
            }
            of_plugins => plugins::encode(of_plugins, out),
        }
    }
}

fn head(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(&[kind, VERSION]);
}

fn put_len(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("nothing that decide accepts is so long");
    out.extend_from_slice(&length.to_be_bytes());
}

fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_str(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_option(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_str(out, text);
    }
}

fn put_brokers(out: &mut Vec<u8>, brokers: &[BrokerId]) {
    put_len(out, brokers.len());
    for broker in brokers {
        put_i32(out, broker.0);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// The record that is being read, for errors.
    kind: u8,
}

impl Reader<'_> {
    fn record(&mut self) -> Result<MetaRecord, DecodeError> {
        self.kind = self.u8()?;
        let version = self.u8()?;
        if version != VERSION {
            return Err(DecodeError::Unknown {
                kind: self.kind,
                version,
            });
        }
        Ok(match self.kind {
            kind::CLUSTER => MetaRecord::Cluster { id: self.str()? },
            kind::BROKER => MetaRecord::Broker {
                id: BrokerId(self.i32()?),
                listeners: self.listeners()?,
                rack: self.option()?,
                registered_at: TimestampMs(self.i64()?),
            },
            kind::TOPIC => MetaRecord::Topic {
                id: self.topic()?,
                name: self.str()?,
                created_at: TimestampMs(self.i64()?),
            },
            kind::PARTITION => MetaRecord::Partition {
                topic: self.topic()?,
                index: PartitionIndex(self.i32()?),
                leader: Some(self.i32()?).filter(|id| *id >= 0).map(BrokerId),
                leader_epoch: LeaderEpoch(self.i32()?),
                replicas: self.brokers()?,
                isr: self.brokers()?,
            },
            kind::TOPIC_DELETED => MetaRecord::TopicDeleted { id: self.topic()? },
            kind::TOPIC_CONFIG => MetaRecord::TopicConfig {
                topic: self.topic()?,
                name: self.str()?,
                value: self.option()?.map(|text: Arc<str>| String::from(&*text)),
            },
            kind::DEFAULT_CONFIG => MetaRecord::DefaultConfig {
                name: self.str()?,
                value: self.option()?.map(|text: Arc<str>| String::from(&*text)),
            },
            kind::PRODUCER_IDS => MetaRecord::ProducerIds { next: self.i64()? },
            kind => self.plugins(kind, version)?,
        })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated { kind: self.kind });
        };
        self.bytes = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.take()?))
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.take()?))
    }

    fn topic(&mut self) -> Result<TopicId, DecodeError> {
        Ok(TopicId(self.take()?))
    }

    fn len(&mut self, max: usize, what: &'static str) -> Result<usize, DecodeError> {
        let length = u32::from_be_bytes(self.take()?);
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= max)
            .ok_or(DecodeError::Field {
                kind: self.kind,
                what,
            })
    }

    fn str(&mut self) -> Result<Arc<str>, DecodeError> {
        let length = self.len(STRING_BYTES_MAX, "string length")?;
        if length > self.bytes.len() {
            return Err(DecodeError::Truncated { kind: self.kind });
        }
        let (text, rest) = self.bytes.split_at(length);
        let text = core::str::from_utf8(text).map_err(|_| DecodeError::Field {
            kind: self.kind,
            what: "string",
        })?;
        self.bytes = rest;
        Ok(Arc::from(text))
    }

    fn option(&mut self) -> Result<Option<Arc<str>>, DecodeError> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.str().map(Some),
            _ => Err(DecodeError::Field {
                kind: self.kind,
                what: "presence byte",
            }),
        }
    }

    fn listeners(&mut self) -> Result<Vec<Listener>, DecodeError> {
        let count = self.len(LISTENERS_MAX, "listener count")?;
        (0..count)
            .map(|_| {
                Ok(Listener {
                    name: self.str()?,
                    host: self.str()?,
                    port: u16::from_be_bytes(self.take()?),
                })
            })
            .collect()
    }

    fn brokers(&mut self) -> Result<Vec<BrokerId>, DecodeError> {
        let count = self.len(REPLICAS_MAX, "replica count")?;
        (0..count).map(|_| Ok(BrokerId(self.i32()?))).collect()
    }
}
