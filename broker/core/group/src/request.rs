//! Requests in the core's own words, one for each API of groups; the driver translates the wire's
//! messages. Field names are those of Kafka's schemas.

use crate::Name;
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;
use weir_types::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use crate::Assignment;

/// A request to the coordinator of a group.
#[derive(Clone, Debug)]
pub enum Request {
    /// JoinGroup.
    JoinGroup(JoinGroup),
    /// SyncGroup.
    SyncGroup(SyncGroup),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    LeaveGroup(LeaveGroup),
    /// ConsumerGroupHeartbeat (KIP-848).
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// OffsetCommit.
    OffsetCommit(OffsetCommit),
    /// OffsetFetch, for one group.
    OffsetFetch(OffsetFetch),
    /// OffsetDelete.
    OffsetDelete(OffsetDelete),
    /// ListGroups: this coordinator's share.
    ListGroups(ListGroups),
    /// DescribeGroups, this coordinator's share.
    DescribeGroups(Vec<Name>),
    /// ConsumerGroupDescribe, this coordinator's share.
    ConsumerDescribe(Vec<Name>),
    /// DeleteGroups, this coordinator's share.
    DeleteGroups(Vec<Name>),
    /// The history of a group after a sequence number (0: all of it).
    History {
        /// The group.
        group: Name,
        /// The last sequence number that is known.
        after: u64,
    },
}

/// Who sends a request, for descriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client id of the request header.
    pub id: Name,
    /// The client's address.
    pub host: Name,
}

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// The group.
    pub group: Name,
    /// The member; empty when it joins for the first time.
    pub member_id: Name,
    /// An id for it, used if it needs one: CLIENT-UUID; drawn by the driver.
    pub new_member_id: Name,
    /// `group.instance.id` (KIP-345).
    pub instance_id: Option<Name>,
    /// Who asks.
    pub client: Client,
    /// How long silence is allowed, in ms.
    pub session_timeout_ms: i32,
    /// How long the others wait for it in a rebalance, in ms; the driver fills in the session
    /// timeout for version 0.
    pub rebalance_timeout_ms: i32,
    /// "consumer", "connect", ...
    pub protocol_type: Name,
    /// What it offers, best first, with its subscription in each.
    pub protocols: Vec<(Name, Bytes)>,
    /// Whether it must come back with the id it is given (KIP-394: version 4 and up).
    pub require_known_member_id: bool,
    /// Whether it understands `skip_assignment` (version 9 and up).
    pub supports_skipping_assignment: bool,
    /// Why, in the client's words (KIP-800).
    pub reason: Option<Name>,
}

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    /// The group.
    pub group: Name,
    /// The member.
    pub member_id: Name,
    /// `group.instance.id`.
    pub instance_id: Option<Name>,
    /// The generation it was told.
    pub generation: i32,
    /// What it believes the protocol type is (version 5 and up).
    pub protocol_type: Option<Name>,
    /// What it believes the protocol is (version 5 and up).
    pub protocol: Option<Name>,
    /// From the leader: what each member gets.
    pub assignments: Vec<(Name, Bytes)>,
}

/// Heartbeat of a classic member.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The group.
    pub group: Name,
    /// The member.
    pub member_id: Name,
    /// `group.instance.id`.
    pub instance_id: Option<Name>,
    /// The generation it is in.
    pub generation: i32,
}

/// LeaveGroup; before version 3 with one member.
#[derive(Clone, Debug)]
pub struct LeaveGroup {
    /// The group.
    pub group: Name,
    /// Who leaves.
    pub members: Vec<LeavingMember>,
    /// Whether a person removes them; only for the history.
    pub by_hand: bool,
}

/// One member that leaves.
#[derive(Clone, Debug)]
pub struct LeavingMember {
    /// Its id; may be empty for a static member.
    pub member_id: Name,
    /// Its instance, if it is static.
    pub instance_id: Option<Name>,
    /// Why, in the client's words (KIP-800).
    pub reason: Option<Name>,
}

/// ConsumerGroupHeartbeat (KIP-848).
#[derive(Clone, Debug)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: Name,
    /// The member; empty in version 0 when it joins.
    pub member_id: Name,
    /// An id for it, used if it has none; drawn by the driver.
    pub new_member_id: Name,
    /// 0 joins, -1 leaves, -2 leaves as a static member that comes back; else its epoch.
    pub member_epoch: i32,
    /// `group.instance.id`.
    pub instance_id: Option<Name>,
    /// Its rack.
    pub rack: Option<Name>,
    /// Who asks.
    pub client: Client,
    /// How long it may take to give partitions up, in ms; -1: as before.
    pub rebalance_timeout_ms: i32,
    /// The topics it wants; nothing: as before.
    pub topics: Option<BTreeSet<Name>>,
    /// A pattern of topics it wants; nothing: as before; empty: none any more.
    pub pattern: Option<Name>,
    /// The assignor it prefers; nothing: as before.
    pub assignor: Option<Name>,
    /// What it owns; nothing: as before.
    pub owned: Option<Assignment>,
}

impl ConsumerHeartbeat {
    /// How many bytes of ids and subscriptions its member brings along.
    #[must_use]
    pub fn subscription_bytes(&self) -> usize {
        let texts = [&self.instance_id, &self.rack, &self.pattern, &self.assignor];
        let texts = texts.into_iter().flatten();
        let texts = texts.chain(self.topics.iter().flatten());
        self.client.id.len() + self.client.host.len() + texts.map(|text| text.len()).sum::<usize>()
    }
}

/// OffsetCommit, for one group.
#[derive(Clone, Debug)]
pub struct OffsetCommit {
    /// The group.
    pub group: Name,
    /// The member; empty for a consumer that manages its partitions itself.
    pub member_id: Name,
    /// Its instance, if it is static.
    pub instance_id: Option<Name>,
    /// Its generation or epoch; -1 for a consumer that manages its partitions itself.
    pub generation: i32,
    /// How long to keep the offsets at least, in ms (versions 2 to 4); -1: as configured.
    pub retention_ms: i64,
    /// What is committed.
    pub offsets: Vec<CommitPartition>,
}

/// One partition of a commit. Whether it exists is the driver's question.
#[derive(Clone, Debug)]
pub struct CommitPartition {
    /// The topic.
    pub topic: Name,
    /// The topic's id, as far as it is known; else zero.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record that was read; -1 if not known.
    pub leader_epoch: LeaderEpoch,
    /// Whatever the client keeps with it.
    pub metadata: Option<Name>,
}

/// OffsetFetch, for one group.
#[derive(Clone, Debug)]
pub struct OffsetFetch {
    /// The group.
    pub group: Name,
    /// The member that asks (KIP-848); nothing: not checked.
    pub member_id: Option<Name>,
    /// Its epoch.
    pub member_epoch: i32,
    /// Which partitions; nothing: all that are committed.
    pub partitions: Option<Vec<(Name, TopicId, PartitionIndex)>>,
}

/// OffsetDelete (KIP-496).
#[derive(Clone, Debug)]
pub struct OffsetDelete {
    /// The group.
    pub group: Name,
    /// Which partitions.
    pub partitions: Vec<(Name, PartitionIndex)>,
}

/// ListGroups.
#[derive(Clone, Debug, Default)]
pub struct ListGroups {
    /// Only these states, by name and without regard to case; empty: all (KIP-518).
    pub states: Vec<Name>,
    /// Only these types, likewise; empty: all (KIP-848).
    pub types: Vec<Name>,
}
