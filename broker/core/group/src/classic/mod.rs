//! The classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup): the members choose a
//! leader's assignment, the coordinator only keeps the order of the dance. Here is its state while
//! it lasts; the rules are in the files beside.
//!
//! States: Empty -> PreparingRebalance (everybody joins) -> CompletingRebalance (the leader
//! assigns) -> Stable, and back to PreparingRebalance with each change.

mod join;
mod leave;
mod members;
mod rebalance;
mod sync;

pub(crate) use join::valid_id;
use members::Members;

use crate::{
    Assignment, Name, RequestId, TopicTable,
    deadlines::Deadlines,
    embedded::{self, CONSUMER},
    history::Shares,
    limits::NEW_MEMBER_JOIN_TIMEOUT_MS,
    record::{ClassicMemberMeta, ClassicMeta},
    request::Client,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use weir_types::{ErrorCode, Tick, TimestampMs};

/// Where the dance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassicState {
    /// Nobody is in it.
    Empty,
    /// Members join.
    PreparingRebalance,
    /// The leader assigns.
    CompletingRebalance,
    /// Everybody has its share.
    Stable,
}

impl ClassicState {
    /// Its name, as Kafka writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A classic group.
#[derive(Clone, Debug)]
pub(crate) struct ClassicGroup {
    pub(crate) state: ClassicState,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Name>,
    pub(crate) protocol: Option<Name>,
    pub(crate) leader: Option<Name>,
    pub(crate) members: Members,
    /// Ids that were given away and have not come back (KIP-394), and until when.
    pub(crate) pending: Deadlines,
    /// When joining ends at the latest.
    pub(crate) join_by: Option<Tick>,
    /// In the first rebalance of an empty group: how much longer it may be put off, in ms.
    pub(crate) initial_left_ms: Option<u64>,
    /// Whether somebody came since it was last put off.
    pub(crate) newcomer: bool,
    /// When assigning ends at the latest.
    pub(crate) sync_by: Option<Tick>,
    /// Who has not yet asked for its share.
    pub(crate) unsynced: BTreeSet<Name>,
    /// The running number of the next that joins.
    pub(crate) arrivals: u64,
}

/// A member of a classic group.
#[derive(Clone, Debug)]
pub(crate) struct ClassicMember {
    pub(crate) instance_id: Option<Name>,
    pub(crate) client: Client,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) protocols: Vec<(Name, Bytes)>,
    pub(crate) assignment: Bytes,
    /// Its JoinGroup that waits.
    pub(crate) joining: Option<RequestId>,
    /// Its SyncGroup that waits.
    pub(crate) syncing: Option<RequestId>,
    /// Until when its first join may wait; nothing once it has been in a generation.
    pub(crate) new_until: Option<Tick>,
    /// When its silence becomes too long.
    pub(crate) deadline: Tick,
    /// The how-manieth it came.
    pub(crate) arrival: u64,
}

impl ClassicMember {
    /// Its subscription in a protocol.
    pub(crate) fn subscription(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| &**name == protocol)
            .map(|(_, subscription)| subscription.clone())
            .unwrap_or_default()
    }

    /// Whether it stops reading before it joins: it does not say that it owns anything.
    pub(crate) fn is_eager(&self) -> bool {
        self.protocols
            .first()
            .and_then(|(_, bytes)| embedded::subscription(bytes))
            .is_none_or(|subscription| subscription.owned.is_empty())
    }

    /// When its time runs out, if it does: who waits for the others is alive.
    fn runs_out(&self) -> Option<Tick> {
        match (self.joining, self.syncing) {
            (Some(_), _) => self.new_until,
            (None, Some(_)) => None,
            (None, None) => Some(self.deadline),
        }
    }

    /// Counts its time anew.
    pub(crate) fn seen(&mut self, now: Tick) {
        self.deadline = now + ms(self.session_timeout_ms);
    }
}

/// How many bytes of the group's record and of the memory a member may come to need.
pub(crate) fn joined_bytes(id: &Name, member: &ClassicMember) -> usize {
    let instance = member.instance_id.as_ref();
    let texts = [
        id.len(),
        instance.map_or(0, |instance| instance.len()),
        member.client.id.len(),
        member.client.host.len(),
    ];
    texts.into_iter().sum::<usize>() + protocols_bytes(&member.protocols)
}

/// How large what a member offers is.
pub(crate) fn protocols_bytes(protocols: &[(Name, Bytes)]) -> usize {
    let sizes = protocols.iter().map(|(name, blob)| name.len() + blob.len());
    sizes.sum()
}

/// A duration of the protocol as a duration of ours; negative ones are none.
pub(crate) fn ms(duration: i32) -> u64 {
    u64::try_from(duration).unwrap_or(0)
}

impl ClassicGroup {
    /// A group without members.
    pub(crate) fn new(generation: i32) -> Self {
        Self {
            state: ClassicState::Empty,
            generation,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: Members::default(),
            pending: Deadlines::default(),
            join_by: None,
            initial_left_ms: None,
            newcomer: false,
            sync_by: None,
            unsynced: BTreeSet::new(),
            arrivals: 0,
        }
    }

    /// As its record tells it: every member is given its session's time to be heard of.
    pub(crate) fn restored(meta: &ClassicMeta, now: Tick) -> Self {
        let mut group = Self::new(meta.generation);
        group.protocol_type.clone_from(&meta.protocol_type);
        group.protocol.clone_from(&meta.protocol);
        group.leader.clone_from(&meta.leader);
        let protocol = meta.protocol.clone().unwrap_or_else(|| Name::from(""));
        for member in &meta.members {
            let restored = ClassicMember {
                instance_id: member.instance_id.clone(),
                client: Client {
                    id: member.client_id.clone(),
                    host: member.client_host.clone(),
                },
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                protocols: Vec::from([(protocol.clone(), member.subscription.clone())]),
                assignment: member.assignment.clone(),
                joining: None,
                syncing: None,
                new_until: None,
                deadline: now + ms(member.session_timeout_ms),
                arrival: group.arrivals,
            };
            group.arrivals += 1;
            group.members.put(&member.id, restored);
        }
        if !group.members.is_empty() {
            group.state = ClassicState::Stable;
        }
        group
    }

    /// As its record is to tell it.
    pub(crate) fn meta(&self, changed_at: TimestampMs) -> ClassicMeta {
        let protocol = self.protocol.clone().unwrap_or_else(|| Name::from(""));
        let members = self.members.iter().map(|(id, member)| ClassicMemberMeta {
            id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.subscription(&protocol),
            assignment: member.assignment.clone(),
        });
        ClassicMeta {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            changed_at,
            members: members.collect(),
        }
    }

    /// Whether nothing would be lost without it.
    pub(crate) fn is_void(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty() && self.state == ClassicState::Empty
    }

    /// Whether its members are consumers, whose subscriptions and shares can be read.
    pub(crate) fn of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Who has what, as far as it can be read.
    pub(crate) fn shares(&self, topics: &TopicTable) -> Shares {
        self.members
            .iter()
            .map(|(id, member)| (id.clone(), self.share(member, topics)))
            .collect()
    }

    /// What a member has, as far as it can be read.
    fn share(&self, member: &ClassicMember, topics: &TopicTable) -> Assignment {
        if !self.of_consumers() {
            return Assignment::new();
        }
        embedded::assignment(&member.assignment)
            .map(|partitions| embedded::by_id(&partitions, topics))
            .unwrap_or_default()
    }

    /// Whether a member has nothing, though it could be told.
    pub(crate) fn idles(&self, id: &Name, topics: &TopicTable) -> bool {
        let member = self.members.get(id);
        member.is_none_or(|member| self.share(member, topics).is_empty())
    }

    /// The topics its members read, if that can be told (KIP-496).
    pub(crate) fn subscribed(&self) -> Option<BTreeSet<Name>> {
        if !self.of_consumers() || self.members.is_empty() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for (_, member) in self.members.iter() {
            let (_, bytes) = member.protocols.first()?;
            topics.extend(embedded::subscription(bytes)?.topics);
        }
        Some(topics)
    }

    /// That this member exists and is the one of its instance (KIP-345).
    pub(crate) fn validate(&self, member: &Name, instance: Option<&Name>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            let known = self.members.instance(instance);
            let known = known.ok_or(ErrorCode::UnknownMemberId)?;
            if known != member {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains(member) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    /// Whether nobody has to be waited for.
    pub(crate) fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.joining() == self.members.len()
    }

    /// The longest any member wants to be waited for, in ms.
    pub(crate) fn rebalance_timeout_ms(&self) -> u64 {
        let members = self.members.iter();
        let timeouts = members.map(|(_, member)| ms(member.rebalance_timeout_ms));
        timeouts.max().unwrap_or(0)
    }

    /// Whether these protocols can be spoken with all that are in it.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[(Name, Bytes)]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        if self.protocol_type.as_deref() != Some(protocol_type) {
            return false;
        }
        protocols
            .iter()
            .any(|(name, _)| self.members.all_speak(name))
    }

    /// The protocol that most prefer among those that all speak; among equals the first by name.
    pub(crate) fn choose_protocol(&self) -> Option<Name> {
        let mut votes: BTreeMap<&Name, usize> = BTreeMap::new();
        for (_, member) in self.members.iter() {
            let mut offered = member.protocols.iter();
            let best = offered.find(|(name, _)| self.members.all_speak(name));
            if let Some((name, _)) = best {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes
            .into_iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| name.clone())
    }

    /// The one that came first among some.
    pub(crate) fn eldest(&self, among: impl Fn(&ClassicMember) -> bool) -> Option<Name> {
        self.members
            .iter()
            .filter(|(_, member)| among(member))
            .min_by_key(|(_, member)| member.arrival)
            .map(|(id, _)| id.clone())
    }

    /// The first of all its times.
    pub(crate) fn first_deadline(&self) -> Option<Tick> {
        let firsts = [
            self.members.first_deadline(),
            self.pending.first(),
            self.join_by,
            self.sync_by,
        ];
        firsts.into_iter().flatten().min()
    }

    /// Asserts what must always hold.
    pub(crate) fn check(&self) {
        let empty = self.members.is_empty();
        match self.state {
            ClassicState::Empty => assert!(empty, "I-GRP-7: an empty group has no members"),
            ClassicState::PreparingRebalance => {
                assert!(self.join_by.is_some(), "I-GRP-8: a join ends some day");
            }
            ClassicState::CompletingRebalance => {
                assert!(
                    self.sync_by.is_some(),
                    "I-GRP-8: an assignment ends some day"
                );
                assert!(!empty, "I-GRP-7: a group without members is empty");
            }
            ClassicState::Stable => {
                assert!(!empty, "I-GRP-7: a group without members is empty");
            }
        }
        self.members.check();
        self.pending.check();
        for (id, member) in self.members.iter() {
            assert!(
                member.joining.is_none() || self.state == ClassicState::PreparingRebalance,
                "I-GRP-9: {id} waits in a join only while members join"
            );
            assert!(
                member.syncing.is_none() || self.state == ClassicState::CompletingRebalance,
                "I-GRP-9: {id} waits for its share only while the leader assigns"
            );
        }
        let leader = self.leader.as_ref();
        assert!(
            leader.is_none_or(|leader| self.members.contains(leader)),
            "I-GRP-10: the leader is a member"
        );
    }
}

/// Until when a first join may wait from now.
pub(crate) fn new_until(now: Tick) -> Tick {
    now + NEW_MEMBER_JOIN_TIMEOUT_MS
}
