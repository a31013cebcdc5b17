//! How the fields of records become bytes and come back. Decoding never reserves by a count that
//! it was told.

use super::DecodeError;
use crate::{
    Name,
    history::{Cause, HistoryEvent, Moved, OpenCause},
    record::{
        ClassicMemberMeta, ClassicMeta, ClassicSide, CommittedOffset, ConsumerMeta, Current,
        MemberMeta, MemberState,
    },
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use weir_types::{CauseKind, LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

/// Something that can stand in a record.
pub(super) trait Field: Sized {
    /// Appends its bytes.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes it off the front.
    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// Bytes that are being taken apart.
pub(super) struct Reader<'a> {
    /// The kind of the record, for errors.
    pub(super) kind: u8,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(kind: u8, bytes: &'a [u8]) -> Self {
        Self { kind, bytes }
    }

    pub(super) fn get<T: Field>(&mut self) -> Result<T, DecodeError> {
        T::get(self)
    }

    pub(super) const fn bad(&self, what: &'static str) -> DecodeError {
        DecodeError::Field {
            kind: self.kind,
            what,
        }
    }

    /// That nothing is left.
    pub(super) const fn end(&self, what: &'static str) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(self.bad(what))
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated { kind: self.kind });
        };
        self.bytes = rest;
        Ok(*taken)
    }

    fn slice(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.count()?;
        let Some((taken, rest)) = self.bytes.split_at_checked(length) else {
            return Err(DecodeError::Truncated { kind: self.kind });
        };
        self.bytes = rest;
        Ok(taken)
    }

    /// A count of things of at least one byte each.
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = usize::try_from(u32::get(self)?).map_err(|_| self.bad("count"))?;
        if count > self.bytes.len() {
            return Err(DecodeError::Truncated { kind: self.kind });
        }
        Ok(count)
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("the limits of requests bound every count");
    count.put(out);
}

macro_rules! integers {
    ($($name:ty),*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(reader.array()?))
            }
        }
    )*};
}

macro_rules! newtypes {
    ($($name:ident),*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
            fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self(reader.get()?))
            }
        }
    )*};
}

macro_rules! structs {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
            fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: reader.get()?),* })
            }
        }
    )*};
}

macro_rules! enums {
    ($($name:ident { $($variant:ident = $byte:literal),* $(,)? })*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$variant => $byte),* });
            }
            fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let [byte] = reader.array()?;
                match byte {
                    $($byte => Ok(Self::$variant),)*
                    _ => Err(reader.bad(stringify!($name))),
                }
            }
        }
    )*};
}

integers!(u8, u32, u64, i32, i64);
newtypes!(Offset, LeaderEpoch, PartitionIndex, TimestampMs);
enums! {
    MemberState { Stable = 0, Unrevoked = 1, Unreleased = 2 }
}
structs! {
    CommittedOffset { topic_id, offset, leader_epoch, metadata, committed_at, expires_at }
    ClassicMeta { protocol_type, generation, protocol, leader, changed_at, members }
    ClassicMemberMeta {
        id, instance_id, client_id, client_host, rebalance_timeout_ms, session_timeout_ms,
        subscription, assignment,
    }
    ConsumerMeta { epoch, topics_hash, changed_at }
    MemberMeta {
        instance_id, rack, client_id, client_host, rebalance_timeout_ms, topics, pattern,
        assignor, classic,
    }
    ClassicSide { session_timeout_ms, protocols }
    Current { epoch, previous_epoch, state, assigned, revoking }
    Cause { at, kind, member, reason }
    OpenCause { cause, client }
    Moved { topic, partition, from, to }
    HistoryEvent {
        sequence, number, previous, at, duration_ms, epoch, causes, causes_left_off, members_before,
        members_before_count, members_after, members_after_count, moved, moved_count, still_ms,
        clients,
    }
}

/// In the log a kind is its code and one, since a byte of 0 is none.
impl Field for CauseKind {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend((self.code() + 1).to_be_bytes());
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = i8::from_be_bytes(reader.array()?).checked_sub(1);
        code.and_then(Self::from_code)
            .ok_or_else(|| reader.bad("CauseKind"))
    }
}

impl Field for TopicId {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.array()?))
    }
}

impl Field for Name {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(out, self.len());
        out.extend_from_slice(self.as_bytes());
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = core::str::from_utf8(reader.slice()?).map_err(|_| reader.bad("text"))?;
        Ok(Self::from(text))
    }
}

impl Field for Bytes {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(out, self.len());
        out.extend_from_slice(self);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.slice().map(Self::copy_from_slice)
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.array()? {
            [0] => Ok(None),
            [1] => T::get(reader).map(Some),
            _ => Err(reader.bad("presence byte")),
        }
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((reader.get()?, reader.get()?))
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(out, self.len());
        for item in self {
            item.put(out);
        }
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.count()?;
        let mut items = Self::new();
        for _ in 0..count {
            items.push(reader.get()?);
        }
        Ok(items)
    }
}

impl<T: Field + Ord> Field for BTreeSet<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(out, self.len());
        for item in self {
            item.put(out);
        }
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Vec::get(reader)?.into_iter().collect())
    }
}

impl<K: Field + Ord, V: Field> Field for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(out, self.len());
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let items: Vec<(K, V)> = Vec::get(reader)?;
        Ok(items.into_iter().collect())
    }
}
