//! The bytes of records: a key and a value, as ordinary Kafka records carry them; a fact that is
//! taken back has no value.
//!
//! A key is its kind (one byte), the version of its form (one byte) and its fields; a value is
//! its version and its fields. Numbers are big-endian. Decoding is total: any bytes give a record
//! or an error, and never more memory than the bytes justify.

mod field;

use crate::{GroupRecord, HistoryEvent, Name, limits::RECORD_BYTES_MAX};
use alloc::vec::Vec;
use field::{Field, Reader};
use thiserror::Error;
use weir_types::PartitionIndex;

/// The version of every form but those below; a record of a version that is not known is refused.
const VERSION: u8 = 0;

/// The version of a rebalance's value; in version 0 the names of clients at its end were missing.
const HISTORY_VERSION: u8 = 1;

mod kind {
    pub(super) const OFFSET: u8 = 1;
    pub(super) const CLASSIC: u8 = 2;
    pub(super) const CONSUMER: u8 = 3;
    pub(super) const MEMBER: u8 = 4;
    pub(super) const TARGET: u8 = 5;
    pub(super) const TARGET_EPOCH: u8 = 6;
    pub(super) const CURRENT: u8 = 7;
    pub(super) const HISTORY: u8 = 8;
    pub(super) const GROUP: u8 = 9;
    pub(super) const SNAPSHOT_BEGIN: u8 = 10;
    pub(super) const SNAPSHOT_END: u8 = 11;
    pub(super) const CAUSE: u8 = 12;
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A kind or version that this release does not know.
    #[error("a group record of kind {kind}, version {version}, is not known to this release")]
    Unknown {
        /// The kind byte.
        kind: u8,
        /// The version byte.
        version: u8,
    },
    /// The bytes end early.
    #[error("a group record of kind {kind} ends early")]
    Truncated {
        /// The kind byte.
        kind: u8,
    },
    /// Bytes follow the last field, or a field has a value that none may have.
    #[error("a group record of kind {kind} has a bad {what}")]
    Field {
        /// The kind byte.
        kind: u8,
        /// Which field.
        what: &'static str,
    },
}

/// A record is too large to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a group record of {bytes} bytes is larger than the {RECORD_BYTES_MAX} that may be written"
)]
pub struct EncodeError {
    /// How large it is: its key and its value.
    pub bytes: usize,
}

/// The key and the value of a record; no value where a fact is taken back.
///
/// # Errors
/// [`EncodeError`], when the record has more than [`RECORD_BYTES_MAX`] bytes.
pub fn encode(record: &GroupRecord) -> Result<(Vec<u8>, Option<Vec<u8>>), EncodeError> {
    let (key, value) = put(record);
    let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
    if bytes > RECORD_BYTES_MAX {
        return Err(EncodeError { bytes });
    }
    Ok((key, value))
}

fn put(record: &GroupRecord) -> (Vec<u8>, Option<Vec<u8>>) {
    match record {
        GroupRecord::Offset {
            group,
            topic,
            partition,
            value,
        } => {
            let mut key = head(kind::OFFSET, group);
            topic.put(&mut key);
            partition.put(&mut key);
            (key, value.as_ref().map(body))
        }
        GroupRecord::Classic { group, value } => {
            (head(kind::CLASSIC, group), value.as_ref().map(body))
        }
        GroupRecord::Consumer { group, value } => {
            (head(kind::CONSUMER, group), value.as_ref().map(body))
        }
        GroupRecord::Member {
            group,
            member,
            value,
        } => (
            member_head(kind::MEMBER, group, member),
            value.as_ref().map(body),
        ),
        GroupRecord::Target {
            group,
            member,
            value,
        } => (member_head(kind::TARGET, group, member), Some(body(value))),
        GroupRecord::TargetEpoch { group, epoch } => {
            (head(kind::TARGET_EPOCH, group), Some(body(epoch)))
        }
        GroupRecord::Current {
            group,
            member,
            value,
        } => (member_head(kind::CURRENT, group, member), Some(body(value))),
        GroupRecord::History { group, event } => {
            let mut key = head(kind::HISTORY, group);
            event.sequence.put(&mut key);
            (key, Some(body_of(HISTORY_VERSION, event)))
        }
        GroupRecord::Cause {
            group,
            index,
            cause,
        } => {
            let mut key = head(kind::CAUSE, group);
            index.put(&mut key);
            (key, Some(body(cause)))
        }
        GroupRecord::Deleted { group } => (head(kind::GROUP, group), None),
        GroupRecord::SnapshotBegin { id, events } => {
            let (id, events) = (*id, *events);
            let key = Vec::from([kind::SNAPSHOT_BEGIN, VERSION]);
            (key, Some(body(&Mark { id, events })))
        }
        GroupRecord::SnapshotEnd { id } => {
            (Vec::from([kind::SNAPSHOT_END, VERSION]), Some(body(id)))
        }
    }
}

fn head(kind: u8, group: &Name) -> Vec<u8> {
    let mut key = Vec::from([kind, VERSION]);
    group.put(&mut key);
    key
}

fn member_head(kind: u8, group: &Name, member: &Name) -> Vec<u8> {
    let mut key = head(kind, group);
    member.put(&mut key);
    key
}

fn body(value: &impl Field) -> Vec<u8> {
    body_of(VERSION, value)
}

fn body_of(version: u8, value: &impl Field) -> Vec<u8> {
    let mut out = Vec::from([version]);
    value.put(&mut out);
    out
}

/// The record of a key and a value.
///
/// # Errors
/// [`DecodeError`], when the bytes are none; nothing after a damaged record may be trusted.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<GroupRecord, DecodeError> {
    let [kind, version, rest @ ..] = key else {
        return Err(DecodeError::Truncated {
            kind: key.first().copied().unwrap_or(0),
        });
    };
    let (kind, version) = (*kind, *version);
    if version != VERSION {
        return Err(DecodeError::Unknown { kind, version });
    }
    let mut key = Reader::new(kind, rest);
    let record = decode_kind(&mut key, value)?;
    key.end("key")?;
    Ok(record)
}

fn decode_kind(key: &mut Reader<'_>, value: Option<&[u8]>) -> Result<GroupRecord, DecodeError> {
    let kind = key.kind;
    Ok(match kind {
        kind::OFFSET => GroupRecord::Offset {
            group: key.get()?,
            topic: key.get()?,
            partition: PartitionIndex::get(key)?,
            value: optional(kind, value)?,
        },
        kind::CLASSIC => GroupRecord::Classic {
            group: key.get()?,
            value: optional(kind, value)?,
        },
        kind::CONSUMER => GroupRecord::Consumer {
            group: key.get()?,
            value: optional(kind, value)?,
        },
        kind::MEMBER => GroupRecord::Member {
            group: key.get()?,
            member: key.get()?,
            value: optional(kind, value)?,
        },
        kind::TARGET => GroupRecord::Target {
            group: key.get()?,
            member: key.get()?,
            value: required(kind, value)?,
        },
        kind::TARGET_EPOCH => GroupRecord::TargetEpoch {
            group: key.get()?,
            epoch: required(kind, value)?,
        },
        kind::CURRENT => GroupRecord::Current {
            group: key.get()?,
            member: key.get()?,
            value: required(kind, value)?,
        },
        kind::HISTORY => {
            let group = key.get()?;
            let sequence: u64 = key.get()?;
            let event = history(kind, value)?;
            if event.sequence != sequence {
                return Err(key.bad("sequence"));
            }
            GroupRecord::History { group, event }
        }
        kind::CAUSE => GroupRecord::Cause {
            group: key.get()?,
            index: key.get()?,
            cause: required(kind, value)?,
        },
        kind::GROUP if value.is_none() => GroupRecord::Deleted { group: key.get()? },
        kind::SNAPSHOT_BEGIN => {
            let Mark { id, events } = required(kind, value)?;
            GroupRecord::SnapshotBegin { id, events }
        }
        kind::SNAPSHOT_END => GroupRecord::SnapshotEnd {
            id: required(kind, value)?,
        },
        kind => {
            return Err(DecodeError::Unknown {
                kind,
                version: VERSION,
            });
        }
    })
}

/// What stands in the first mark of a snapshot.
struct Mark {
    id: u64,
    events: u64,
}

impl Field for Mark {
    fn put(&self, out: &mut Vec<u8>) {
        self.id.put(out);
        self.events.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (id, events) = (reader.get()?, reader.get()?);
        Ok(Self { id, events })
    }
}

fn optional<T: Field>(kind: u8, value: Option<&[u8]>) -> Result<Option<T>, DecodeError> {
    value.map(|value| required(kind, Some(value))).transpose()
}

fn required<T: Field>(kind: u8, value: Option<&[u8]>) -> Result<T, DecodeError> {
    match versioned(kind, value)? {
        (VERSION, rest) => whole(kind, rest),
        (version, _) => Err(DecodeError::Unknown { kind, version }),
    }
}

fn history(kind: u8, value: Option<&[u8]>) -> Result<HistoryEvent, DecodeError> {
    match versioned(kind, value)? {
        (HISTORY_VERSION, rest) => whole(kind, rest),
        (VERSION, rest) => {
            // The names of clients come last: there are none.
            let mut bytes = rest.to_vec();
            0_u32.put(&mut bytes);
            whole(kind, &bytes)
        }
        (version, _) => Err(DecodeError::Unknown { kind, version }),
    }
}

/// The version of a value's form, and its fields.
fn versioned(kind: u8, value: Option<&[u8]>) -> Result<(u8, &[u8]), DecodeError> {
    let Some(value) = value else {
        return Err(DecodeError::Field {
            kind,
            what: "value: it has none",
        });
    };
    let (version, rest) = value.split_first().ok_or(DecodeError::Truncated { kind })?;
    Ok((*version, rest))
}

fn whole<T: Field>(kind: u8, rest: &[u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(kind, rest);
    let decoded = reader.get()?;
    reader.end("value")?;
    Ok(decoded)
}
