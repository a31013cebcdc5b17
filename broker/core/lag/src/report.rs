//! What shards tell of their partitions and groups: values with a sender, so that other brokers
//! can tell the same. A report holds what changed since the sender's last one, or everything.

use crate::{Name, Traffic};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_types::{BrokerId, Offset, PartitionIndex, ShardId, TopicId};

/// Who tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// The broker.
    pub broker: BrokerId,
    /// Its shard.
    pub shard: ShardId,
}

/// What one sender tells at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who tells.
    pub sender: Sender,
    /// Whether this is everything: what this sender told before and is not named is gone.
    pub full: bool,
    /// What is told happened within so many milliseconds; nothing: nobody knows when.
    pub within_ms: Option<u64>,
    /// Partitions it leads.
    pub partitions: Vec<PartitionReport>,
    /// Partitions it leads no more.
    pub partitions_gone: Vec<(TopicId, PartitionIndex)>,
    /// Groups it coordinates.
    pub groups: Vec<GroupReport>,
    /// Groups that are no more.
    pub groups_gone: Vec<Name>,
}

impl Report {
    /// A report of nothing.
    #[must_use]
    pub const fn new(sender: Sender) -> Self {
        Self {
            sender,
            full: false,
            within_ms: None,
            partitions: Vec::new(),
            partitions_gone: Vec::new(),
            groups: Vec::new(),
            groups_gone: Vec::new(),
        }
    }

    /// Whether it tells nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.full
            && self.partitions.is_empty()
            && self.partitions_gone.is_empty()
            && self.groups.is_empty()
            && self.groups_gone.is_empty()
    }
}

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionReport {
    /// Its topic.
    pub topic: TopicId,
    /// Its index.
    pub index: PartitionIndex,
    /// Where its replicated records end.
    pub high_watermark: Offset,
    /// Where it starts.
    pub log_start: Offset,
    /// What went in and out since the last report that named it.
    pub traffic: Traffic,
    /// How long ago, in milliseconds, the sender saw it without any record; nothing: it never did.
    pub empty_ms_ago: Option<u64>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// Its id.
    pub group: Name,
    /// Who is in it; nothing: as before.
    pub meta: Option<GroupMeta>,
    /// Whether `offsets` are all it keeps; otherwise only those that changed.
    pub whole: bool,
    /// The offsets it keeps, and those it no longer keeps.
    pub offsets: Vec<(Name, PartitionIndex, Option<Offset>)>,
}

/// A group but for its offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMeta {
    /// Its state, as ListGroups names it.
    pub state: Name,
    /// Which protocol it speaks, as ListGroups names it.
    pub kind: Name,
    /// Its epoch or generation.
    pub epoch: i32,
    /// Its members.
    pub members: Vec<MemberReport>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReport {
    /// Its id.
    pub id: Name,
    /// Its name, if it is a static member.
    pub instance_id: Option<Name>,
    /// What its client calls itself.
    pub client_id: Name,
    /// Where it connects from.
    pub client_host: Name,
    /// What it owns, by topic.
    pub owned: BTreeMap<Name, BTreeSet<PartitionIndex>>,
}

/// The topics as the metadata image has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    by_name: BTreeMap<Name, (TopicId, i32)>,
}

impl Topics {
    /// The topics of these names, with their ids and how many partitions they have. Those that
    /// are not to be told of are left out.
    #[must_use]
    pub fn new(topics: impl IntoIterator<Item = (Name, TopicId, i32)>) -> Self {
        let topics = topics.into_iter();
        Self {
            by_name: topics
                .map(|(name, id, count)| (name, (id, count)))
                .collect(),
        }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, TopicId, i32)> {
        self.by_name
            .iter()
            .map(|(name, (id, count))| (name, *id, *count))
    }

    /// The id of a topic.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<TopicId> {
        self.by_name.get(name).map(|(id, _)| *id)
    }
}
