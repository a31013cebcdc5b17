//! One group as its records tell it: its kind, what it committed, its history. Sessions and
//! requests that wait are not here.

use crate::{
    Assignment, HistoryEvent, Name, OpenCause,
    history::Shares,
    limits::SUBSCRIPTIONS_BYTES_MAX,
    record::{ClassicMeta, CommittedOffset, ConsumerMeta, Current, MemberMeta, MemberState},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_types::{PartitionIndex, TimestampMs, TopicId};

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// How it is run.
    pub kind: Kind,
    /// What it committed, by topic.
    pub offsets: BTreeMap<Name, BTreeMap<PartitionIndex, CommittedOffset>>,
    /// Its rebalances, by sequence; the oldest go.
    pub history: BTreeMap<u64, HistoryEvent>,
    /// The causes of the rebalance that is under way, as far as they are written down.
    pub open: Vec<OpenCause>,
}

/// How a group is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// It only keeps offsets.
    #[default]
    Simple,
    /// By the classic protocol.
    Classic(ClassicMeta),
    /// By the coordinator (KIP-848).
    Consumer(ConsumerGroup),
}

/// A group that the coordinator assigns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerGroup {
    /// Its epoch.
    pub meta: ConsumerMeta,
    /// The epoch of the target assignment: the group's own, or the one before.
    pub target_epoch: i32,
    /// Its members.
    pub members: BTreeMap<Name, Member>,
    /// Who holds each partition, revoked ones included; follows from the members.
    owners: BTreeMap<(TopicId, PartitionIndex), Name>,
    /// The member of each instance; follows from the members.
    instances: BTreeMap<Name, Name>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its subscription.
    pub meta: MemberMeta,
    /// What it shall own.
    pub target: Assignment,
    /// What it owns.
    pub current: Current,
}

impl Group {
    /// The next number in its history.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.history
            .last_key_value()
            .map_or(1, |(last, _)| last + 1)
    }

    /// The number of its last event among those of its coordinator; 0: it has had none.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        let last = self.history.last_key_value();
        last.map_or(0, |(_, event)| event.number)
    }

    /// What happened after a sequence number, and how much of it is gone.
    #[must_use]
    pub fn events_after(&self, sequence: u64) -> (u64, Vec<&HistoryEvent>) {
        let first = self
            .history
            .first_key_value()
            .map_or(1, |(first, _)| *first);
        let missed = first.saturating_sub(sequence.saturating_add(1));
        let events = self.history.range(sequence.saturating_add(1)..);
        (missed, events.map(|(_, event)| event).collect())
    }

    /// The consumer group that it is, if it is one.
    #[must_use]
    pub const fn consumer(&self) -> Option<&ConsumerGroup> {
        match &self.kind {
            Kind::Consumer(group) => Some(group),
            _ => None,
        }
    }

    /// How many partitions have a committed offset.
    #[must_use]
    pub fn offsets_count(&self) -> usize {
        self.offsets.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.kind == Kind::Simple && self.offsets.is_empty() && self.history.is_empty()
    }
}

impl ConsumerGroup {
    pub(crate) fn put_member(&mut self, name: Name, meta: MemberMeta) {
        let old = self.members.get(&name);
        let old = old.and_then(|member| member.meta.instance_id.clone());
        if old != meta.instance_id {
            self.release_instance(&name, old.as_ref());
        }
        if let Some(instance) = &meta.instance_id {
            self.instances.insert(instance.clone(), name.clone());
        }
        match self.members.get_mut(&name) {
            Some(member) => member.meta = meta,
            None => {
                let member = Member {
                    meta,
                    target: Assignment::new(),
                    current: Current::default(),
                };
                self.members.insert(name, member);
            }
        }
    }

    pub(crate) fn remove_member(&mut self, name: &Name) {
        if let Some(member) = self.members.remove(name) {
            self.release(name, &member.current);
            self.release_instance(name, member.meta.instance_id.as_ref());
        }
    }

    /// An instance has another member by now if one took its place.
    fn release_instance(&mut self, name: &Name, instance: Option<&Name>) {
        if let Some(instance) = instance
            && self.instances.get(instance) == Some(name)
        {
            self.instances.remove(instance);
        }
    }

    pub(crate) fn put_target(&mut self, name: &Name, target: Assignment) {
        if let Some(member) = self.members.get_mut(name) {
            member.target = target;
        }
    }

    pub(crate) fn put_current(&mut self, name: &Name, current: Current) {
        let Some(member) = self.members.get_mut(name) else {
            return;
        };
        let old = core::mem::replace(&mut member.current, current.clone());
        self.release(name, &old);
        for place in places(&current) {
            self.owners.insert(place, name.clone());
        }
    }

    fn release(&mut self, name: &Name, current: &Current) {
        for place in places(current) {
            if self.owners.get(&place) == Some(name) {
                self.owners.remove(&place);
            }
        }
    }

    /// Who holds a partition, be it only to give it up.
    #[must_use]
    pub fn owner(&self, topic: TopicId, partition: PartitionIndex) -> Option<&Name> {
        self.owners.get(&(topic, partition))
    }

    /// The member of an instance.
    #[must_use]
    pub fn instance(&self, instance: &str) -> Option<(&Name, &Member)> {
        self.members.get_key_value(self.instances.get(instance)?)
    }

    /// Whether there is room for what a member brings along.
    pub(crate) fn has_room(&self, id: &Name, meta: &MemberMeta) -> bool {
        let others = self.members.iter().filter(|(other, _)| *other != id);
        let others = others.map(|(id, member)| id.len() + member.meta.subscription_bytes());
        others.sum::<usize>() + id.len() + meta.subscription_bytes() <= SUBSCRIPTIONS_BYTES_MAX
    }

    /// Whether each member has what it shall have, and nothing is still to be computed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.target_epoch == self.meta.epoch
            && self.members.values().all(|member| {
                member.current.epoch < 0
                    || member.current.epoch == self.target_epoch
                        && member.current.state == MemberState::Stable
            })
    }

    /// Who owns what.
    pub(crate) fn shares(&self) -> Shares {
        self.members
            .iter()
            .map(|(name, member)| (name.clone(), member.current.assigned.clone()))
            .collect()
    }

    /// Asserts what must always hold.
    pub(crate) fn check(&self) {
        let mut held = BTreeMap::new();
        let mut instances = BTreeMap::new();
        for (name, member) in &self.members {
            if let Some(instance) = &member.meta.instance_id {
                instances.insert(instance.clone(), name.clone());
            }
            assert!(
                member.current.epoch <= self.meta.epoch,
                "I-GRP-2: no member is ahead of its group"
            );
            for place in places(&member.current) {
                let other = held.insert(place, name.clone());
                assert!(
                    other.is_none(),
                    "I-GRP-1: a partition has one owner at most"
                );
            }
        }
        assert_eq!(
            held, self.owners,
            "I-GRP-1: the owners follow from the members"
        );
        assert_eq!(
            instances, self.instances,
            "I-GRP-21: what is counted beside the members follows from them"
        );
        assert!(
            self.target_epoch <= self.meta.epoch && self.meta.epoch <= self.target_epoch + 1,
            "I-GRP-3: the target is the group epoch's own or the one before"
        );
        let mut targets = BTreeSet::new();
        for member in self.members.values() {
            for (topic, partitions) in &member.target {
                for index in partitions {
                    let fresh = targets.insert((*topic, *index));
                    assert!(fresh, "I-GRP-4: a target gives a partition to one member");
                }
            }
        }
    }
}

fn places(current: &Current) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
    [&current.assigned, &current.revoking]
        .into_iter()
        .flatten()
        .flat_map(|(topic, partitions)| partitions.iter().map(|index| (*topic, *index)))
}

impl Group {
    /// Since when nobody is in it, if nobody is; a simple group never had anybody.
    #[must_use]
    pub fn empty_since(&self) -> Option<TimestampMs> {
        match &self.kind {
            Kind::Simple => Some(TimestampMs::NONE),
            Kind::Classic(meta) if meta.members.is_empty() => Some(meta.changed_at),
            Kind::Consumer(group) if group.members.is_empty() => Some(group.meta.changed_at),
            Kind::Classic(_) | Kind::Consumer(_) => None,
        }
    }
}
