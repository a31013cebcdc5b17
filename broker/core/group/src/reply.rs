//! Answers in the core's own words; the driver translates them to the wire's messages.

use crate::{Assignment, HistoryEvent, Name, record::CommittedOffset};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use weir_types::{ErrorCode, PartitionIndex};

/// An answer. [`Reply::Refused`] may answer any request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The request as a whole failed.
    Refused {
        /// The protocol's error.
        error: ErrorCode,
        /// What was wrong, for people; may be empty.
        text: &'static str,
    },
    /// To JoinGroup.
    Joined(Joined),
    /// To SyncGroup.
    Synced {
        /// The protocol type.
        protocol_type: Option<Name>,
        /// The protocol.
        protocol: Option<Name>,
        /// What the member gets.
        assignment: Bytes,
    },
    /// To Heartbeat.
    Alive {
        /// NONE, or REBALANCE_IN_PROGRESS when the member has to join again.
        error: ErrorCode,
    },
    /// To LeaveGroup: for each member its id, instance and error.
    Left(Vec<(Name, Option<Name>, ErrorCode)>),
    /// To ConsumerGroupHeartbeat.
    Heartbeat(HeartbeatReply),
    /// To OffsetCommit, in the order of the request.
    Committed(Vec<(Name, PartitionIndex, ErrorCode)>),
    /// To OffsetFetch; a partition without a committed offset has none.
    Fetched(Vec<(Name, PartitionIndex, Option<CommittedOffset>)>),
    /// To OffsetDelete.
    OffsetsDeleted(Vec<(Name, PartitionIndex, ErrorCode)>),
    /// To ListGroups.
    Groups(Vec<ListedGroup>),
    /// To DescribeGroups.
    Described(Vec<ClassicDescription>),
    /// To ConsumerGroupDescribe.
    ConsumersDescribed(Vec<ConsumerDescription>),
    /// To DeleteGroups.
    Deleted(Vec<(Name, ErrorCode)>),
    /// To History.
    History {
        /// How many events after the given one are gone.
        missed: u64,
        /// Those that are left, oldest first.
        events: Vec<HistoryEvent>,
    },
}

impl Reply {
    /// A refusal that needs no words beyond its error.
    #[must_use]
    pub const fn error(error: ErrorCode) -> Self {
        Self::Refused { error, text: "" }
    }
}

/// To JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// NONE, or what went wrong; MEMBER_ID_REQUIRED carries the id.
    pub error: ErrorCode,
    /// The generation, -1 with an error.
    pub generation: i32,
    /// The protocol type.
    pub protocol_type: Option<Name>,
    /// The chosen protocol.
    pub protocol: Option<Name>,
    /// The leader; empty when the coordinator assigns.
    pub leader: Name,
    /// Whether the leader need not assign (KIP-814).
    pub skip_assignment: bool,
    /// The member's own id.
    pub member_id: Name,
    /// For the leader: every member with its instance and subscription.
    pub members: Vec<(Name, Option<Name>, Bytes)>,
}

impl Joined {
    /// A join that failed.
    #[must_use]
    pub fn failed(error: ErrorCode, member_id: Name) -> Self {
        Self {
            error,
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: Name::from(""),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}

/// To ConsumerGroupHeartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// The member's id.
    pub member_id: Name,
    /// Its epoch from now on.
    pub member_epoch: i32,
    /// When to send the next heartbeat, in ms.
    pub heartbeat_interval_ms: u64,
    /// What it shall own; nothing: as before.
    pub assignment: Option<Assignment>,
}

/// One line of ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group: Name,
    /// Its protocol type, may be empty.
    pub protocol_type: Name,
    /// Its state, as Kafka writes it.
    pub state: &'static str,
    /// "classic" or "consumer".
    pub group_type: &'static str,
}

/// One group of DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicDescription {
    /// NONE or GROUP_ID_NOT_FOUND.
    pub error: ErrorCode,
    /// The group.
    pub group: Name,
    /// Its state, as Kafka writes it.
    pub state: &'static str,
    /// Its protocol type.
    pub protocol_type: Name,
    /// Its protocol, once one is chosen.
    pub protocol: Name,
    /// Its members.
    pub members: Vec<ClassicMemberDescription>,
}

/// One member of DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberDescription {
    /// Its id.
    pub member_id: Name,
    /// Its instance.
    pub instance_id: Option<Name>,
    /// Its client id.
    pub client_id: Name,
    /// Its address.
    pub client_host: Name,
    /// Its subscription in the chosen protocol.
    pub metadata: Bytes,
    /// What it got.
    pub assignment: Bytes,
}

/// One group of ConsumerGroupDescribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// NONE or GROUP_ID_NOT_FOUND.
    pub error: ErrorCode,
    /// The group.
    pub group: Name,
    /// Its state, as Kafka writes it.
    pub state: &'static str,
    /// The group epoch.
    pub epoch: i32,
    /// The epoch of the target assignment.
    pub assignment_epoch: i32,
    /// The assignor in use.
    pub assignor: &'static str,
    /// Its members.
    pub members: Vec<ConsumerMemberDescription>,
}

/// One member of ConsumerGroupDescribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    /// Its id.
    pub member_id: Name,
    /// Its instance.
    pub instance_id: Option<Name>,
    /// Its rack.
    pub rack: Option<Name>,
    /// Its epoch.
    pub epoch: i32,
    /// Its client id.
    pub client_id: Name,
    /// Its address.
    pub client_host: Name,
    /// The topics it named.
    pub topics: BTreeSet<Name>,
    /// Its pattern.
    pub pattern: Option<Name>,
    /// What it has.
    pub assigned: Assignment,
    /// What it shall have.
    pub target: Assignment,
    /// Whether it speaks the classic protocol (KIP-848's `MemberType` 0; else 1).
    pub classic: bool,
}

/// A group as it is at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its state, as ListGroups names it.
    pub state: &'static str,
    /// Which protocol it speaks, as ListGroups names it.
    pub group_type: &'static str,
    /// Its epoch or generation.
    pub epoch: i32,
    /// Its members.
    pub members: Vec<ObservedMember>,
}

/// A member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedMember {
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
