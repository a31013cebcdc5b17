//! The consumer's subscription and assignment inside the classic protocol (`ConsumerProtocol`,
//! versions 0 to 3). The coordinator reads them to upgrade a group, to know who reads a topic, and
//! to tell its history; it writes an assignment for a classic member of a consumer group.
//!
//! The bytes come from clients: reading is total and keeps no more than the bytes justify.

use crate::{Assignment, Name, TopicTable, limits::SUBSCRIPTION_TOPICS_MAX};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use weir_types::PartitionIndex;

/// The protocol type of consumers.
pub const CONSUMER: &str = "consumer";

/// What a consumer wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics.
    pub topics: BTreeSet<Name>,
    /// What it owns, by topic's name (version 1 and up); an eager consumer owns nothing when it
    /// joins.
    pub owned: BTreeMap<Name, BTreeSet<PartitionIndex>>,
    /// Its rack (version 3 and up).
    pub rack: Option<Name>,
}

/// Reads a subscription; `None` if it is none, or names more topics than a member may.
#[must_use]
pub fn subscription(bytes: &[u8]) -> Option<Subscription> {
    let mut reader = Reader(bytes);
    let version = reader.i16()?;
    if version < 0 {
        return None;
    }
    let count = reader.i32()?;
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        topics.insert(reader.string()??);
        if topics.len() > SUBSCRIPTION_TOPICS_MAX {
            return None;
        }
    }
    reader.nullable_bytes()?;
    let mut found = Subscription {
        topics,
        ..Subscription::default()
    };
    if version >= 1 {
        found.owned = reader.partitions()?;
    }
    if version >= 2 {
        reader.i32()?;
    }
    if version >= 3 {
        found.rack = reader.string()?;
    }
    Some(found)
}

/// Reads an assignment, by topic's name; `None` if it is none. No bytes at all are none to own.
#[must_use]
pub fn assignment(bytes: &[u8]) -> Option<BTreeMap<Name, BTreeSet<PartitionIndex>>> {
    if bytes.is_empty() {
        return Some(BTreeMap::new());
    }
    let mut reader = Reader(bytes);
    if reader.i16()? < 0 {
        return None;
    }
    reader.partitions()
}

/// By topic's id instead of its name; topics that are gone are left out.
#[must_use]
pub fn by_id(
    partitions: &BTreeMap<Name, BTreeSet<PartitionIndex>>,
    topics: &TopicTable,
) -> Assignment {
    partitions
        .iter()
        .filter_map(|(name, set)| Some((topics.get(name)?.id, set.clone())))
        .filter(|(_, set)| !set.is_empty())
        .collect()
}

/// Writes an assignment (version 0, which every consumer reads); topics that are gone are left out.
#[must_use]
pub fn write_assignment(assignment: &Assignment, topics: &TopicTable) -> Bytes {
    let named: Vec<_> = assignment
        .iter()
        .filter_map(|(id, partitions)| Some((topics.name(*id)?, partitions)))
        .collect();
    let mut out = Vec::new();
    out.extend_from_slice(&0i16.to_be_bytes());
    put_i32(&mut out, named.len());
    for (name, partitions) in named {
        let length = i16::try_from(name.len()).expect("a topic's name has at most 249 bytes");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        put_i32(&mut out, partitions.len());
        for index in partitions {
            out.extend_from_slice(&index.0.to_be_bytes());
        }
    }
    // No user data: null.
    out.extend_from_slice(&(-1i32).to_be_bytes());
    Bytes::from(out)
}

fn put_i32(out: &mut Vec<u8>, count: usize) {
    let count = i32::try_from(count).expect("topics and partitions are fewer");
    out.extend_from_slice(&count.to_be_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A string that may be null; the outer `None` is damage.
    #[expect(clippy::option_option, reason = "damage and null are two things")]
    fn string(&mut self) -> Option<Option<Name>> {
        let length = self.i16()?;
        let Ok(length) = usize::try_from(length) else {
            return Some(None);
        };
        let text = core::str::from_utf8(self.slice(length)?).ok()?;
        Some(Some(Name::from(text)))
    }

    fn nullable_bytes(&mut self) -> Option<()> {
        if let Ok(length) = usize::try_from(self.i32()?) {
            self.slice(length)?;
        }
        Some(())
    }

    fn partitions(&mut self) -> Option<BTreeMap<Name, BTreeSet<PartitionIndex>>> {
        let count = self.i32()?;
        let mut found: BTreeMap<Name, BTreeSet<PartitionIndex>> = BTreeMap::new();
        for _ in 0..count {
            let topic = self.string()??;
            let partitions = self.i32()?;
            let set = found.entry(topic).or_default();
            for _ in 0..partitions {
                set.insert(PartitionIndex(self.i32()?));
            }
        }
        Some(found)
    }
}
