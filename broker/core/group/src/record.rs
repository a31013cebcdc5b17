//! The records of groups: the only thing that changes [`Groups`](crate::Groups).
//!
//! A record states a fact (the state after the change) under a key, so that applying it needs no
//! rule and cannot fail, and a fact may be stated again at any time: that is what a snapshot is.

use crate::{Assignment, HistoryEvent, Name, OpenCause};
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;
use weir_types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

/// One fact about a group; `None` takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// What a group committed for a partition.
    Offset {
        /// The group.
        group: Name,
        /// The topic.
        topic: Name,
        /// The partition.
        partition: PartitionIndex,
        /// What.
        value: Option<CommittedOffset>,
    },
    /// A classic group and its generation.
    Classic {
        /// The group.
        group: Name,
        /// Its state.
        value: Option<ClassicMeta>,
    },
    /// A consumer group and its epoch.
    Consumer {
        /// The group.
        group: Name,
        /// Its state.
        value: Option<ConsumerMeta>,
    },
    /// A member of a consumer group and its subscription.
    Member {
        /// The group.
        group: Name,
        /// The member.
        member: Name,
        /// Its subscription.
        value: Option<MemberMeta>,
    },
    /// What a member of a consumer group shall own.
    Target {
        /// The group.
        group: Name,
        /// The member.
        member: Name,
        /// What; never taken back but with its member.
        value: Assignment,
    },
    /// The epoch of the target assignment; written after the targets it completes.
    TargetEpoch {
        /// The group.
        group: Name,
        /// The epoch.
        epoch: i32,
    },
    /// What a member of a consumer group owns.
    Current {
        /// The group.
        group: Name,
        /// The member.
        member: Name,
        /// What.
        value: Current,
    },
    /// A rebalance that is over.
    History {
        /// The group.
        group: Name,
        /// What happened.
        event: HistoryEvent,
    },
    /// A cause of the rebalance that is under way in a consumer group; the rebalance's own record
    /// takes its place.
    Cause {
        /// The group.
        group: Name,
        /// Its place among the causes, from 0.
        index: u32,
        /// The cause.
        cause: OpenCause,
    },
    /// The group and all it had are gone.
    Deleted {
        /// The group.
        group: Name,
    },
    /// A snapshot begins: what follows up to its end, with what else is written meanwhile, is all
    /// there is to know.
    SnapshotBegin {
        /// Its running number.
        id: u64,
        /// The number of the last event of any group, be it of one that is gone.
        events: u64,
    },
    /// A snapshot is complete.
    SnapshotEnd {
        /// Its running number.
        id: u64,
    },
}

impl GroupRecord {
    /// The group that it tells of; a mark of a snapshot tells of none.
    #[must_use]
    pub const fn group(&self) -> Option<&Name> {
        match self {
            Self::Offset { group, .. }
            | Self::Classic { group, .. }
            | Self::Consumer { group, .. }
            | Self::Member { group, .. }
            | Self::Target { group, .. }
            | Self::TargetEpoch { group, .. }
            | Self::Current { group, .. }
            | Self::History { group, .. }
            | Self::Cause { group, .. }
            | Self::Deleted { group } => Some(group),
            Self::SnapshotBegin { .. } | Self::SnapshotEnd { .. } => None,
        }
    }
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic's id when it was committed; zero if it was not known.
    pub topic_id: TopicId,
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record that was read; -1 if not known.
    pub leader_epoch: LeaderEpoch,
    /// Whatever the client keeps with it.
    pub metadata: Name,
    /// When it was committed.
    pub committed_at: TimestampMs,
    /// When it may go, as its client wished; -1: as configured.
    pub expires_at: TimestampMs,
}

/// A classic group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMeta {
    /// "consumer", "connect", ...; nothing as long as it has had no members.
    pub protocol_type: Option<Name>,
    /// The generation.
    pub generation: i32,
    /// The chosen protocol; nothing when it is empty.
    pub protocol: Option<Name>,
    /// The leader; nothing when it is empty.
    pub leader: Option<Name>,
    /// When it got into this state.
    pub changed_at: TimestampMs,
    /// Its members.
    pub members: Vec<ClassicMemberMeta>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberMeta {
    /// Its id.
    pub id: Name,
    /// Its instance, if it is static.
    pub instance_id: Option<Name>,
    /// Its client id.
    pub client_id: Name,
    /// Its address.
    pub client_host: Name,
    /// How long the others wait for it in a rebalance, in ms.
    pub rebalance_timeout_ms: i32,
    /// How long silence is allowed, in ms.
    pub session_timeout_ms: i32,
    /// Its subscription in the chosen protocol.
    pub subscription: Bytes,
    /// What it got.
    pub assignment: Bytes,
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerMeta {
    /// The group epoch.
    pub epoch: i32,
    /// A hash of the subscribed topics, their ids and partition counts, as the epoch knows them.
    pub topics_hash: u64,
    /// When the epoch began.
    pub changed_at: TimestampMs,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMeta {
    /// Its instance, if it is static.
    pub instance_id: Option<Name>,
    /// Its rack.
    pub rack: Option<Name>,
    /// Its client id.
    pub client_id: Name,
    /// Its address.
    pub client_host: Name,
    /// How long it may take to give partitions up, in ms.
    pub rebalance_timeout_ms: i32,
    /// The topics it names.
    pub topics: BTreeSet<Name>,
    /// The pattern of topics it wants.
    pub pattern: Option<Name>,
    /// The assignor it prefers.
    pub assignor: Option<Name>,
    /// What it brings along if it speaks the classic protocol.
    pub classic: Option<ClassicSide>,
}

/// What every record has beside texts and partitions, in bytes, about.
const RECORD_BYTES_LEAST: usize = 64;

impl GroupRecord {
    /// How many bytes it has when it is written, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let assigned = |assignment: &Assignment| {
            let topics = assignment.values();
            topics.map(|indexes| 20 + indexes.len() * 4).sum::<usize>()
        };
        RECORD_BYTES_LEAST
            + match self {
                Self::Offset { topic, value, .. } => {
                    topic.len() + value.as_ref().map_or(0, |value| value.metadata.len())
                }
                Self::Classic { value, .. } => {
                    let members = value.iter().flat_map(|meta| &meta.members);
                    members.map(ClassicMemberMeta::bytes).sum()
                }
                Self::Member { value, .. } => {
                    value.as_ref().map_or(0, MemberMeta::subscription_bytes)
                }
                Self::Target { value, .. } => assigned(value),
                Self::Current { value, .. } => {
                    assigned(&value.assigned) + assigned(&value.revoking)
                }
                Self::History { event, .. } => event.bytes(),
                Self::Cause { cause, .. } => cause.bytes(),
                Self::Consumer { .. }
                | Self::TargetEpoch { .. }
                | Self::Deleted { .. }
                | Self::SnapshotBegin { .. }
                | Self::SnapshotEnd { .. } => 0,
            }
    }
}

impl ClassicMemberMeta {
    fn bytes(&self) -> usize {
        let texts = self.id.len() + self.client_id.len() + self.client_host.len();
        RECORD_BYTES_LEAST + texts + self.subscription.len() + self.assignment.len()
    }
}

impl MemberMeta {
    /// How many bytes of ids and subscriptions it holds.
    #[must_use]
    pub fn subscription_bytes(&self) -> usize {
        let texts = [&self.instance_id, &self.rack, &self.pattern, &self.assignor];
        let texts = texts.into_iter().flatten().chain(&self.topics);
        let side = self.classic.iter().flat_map(|side| &side.protocols);
        self.client_id.len()
            + self.client_host.len()
            + texts.map(|text| text.len()).sum::<usize>()
            + side
                .map(|(name, blob)| name.len() + blob.len())
                .sum::<usize>()
    }
}

/// What a consumer group knows of a member that speaks the classic protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicSide {
    /// How long silence is allowed, in ms.
    pub session_timeout_ms: i32,
    /// The protocols it offers, with its subscription in each.
    pub protocols: Vec<(Name, Bytes)>,
}

/// How far a member of a consumer group is on its way to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It has its target, as of its epoch.
    #[default]
    Stable,
    /// It has to give partitions up first.
    Unrevoked,
    /// It waits for partitions that others have not yet given up.
    Unreleased,
}

/// What a member of a consumer group owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Current {
    /// Its epoch; -2: a static member that left and may come back.
    pub epoch: i32,
    /// The epoch before.
    pub previous_epoch: i32,
    /// How far it is.
    pub state: MemberState,
    /// What it owns and keeps.
    pub assigned: Assignment,
    /// What it owns and has to give up.
    pub revoking: Assignment,
}
