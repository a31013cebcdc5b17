//! The consumer protocol (KIP-848): the coordinator assigns, each member is led to its target by
//! its own heartbeats. Three epochs: the group's (what it should be like), the target's (what was
//! computed), the member's (what it has reached).
//!
//! The group epoch moves on only once its target was computed, and targets are computed at most
//! once in an interval: a crowd that pours in costs a few epochs, not one each.

mod heartbeat;
mod leave;
mod reconcile;
mod target;

use crate::{
    Assignment, Name, TopicTable,
    group::{ConsumerGroup, Member},
    patterns::Patterns,
    record::MemberMeta,
};
use alloc::collections::BTreeSet;
use weir_types::{PartitionIndex, TopicId};

/// The member epoch that joins.
pub(crate) const JOIN: i32 = 0;
/// The member epoch that leaves.
pub(crate) const LEAVE: i32 = -1;
/// The member epoch that leaves and may come back (KIP-345).
pub(crate) const LEAVE_STATIC: i32 = -2;

impl ConsumerGroup {
    /// Whether any member's pattern is not resolved.
    pub(crate) fn waits_for_patterns(&self, patterns: &Patterns) -> bool {
        self.members
            .values()
            .filter_map(|member| member.meta.pattern.as_ref())
            .any(|pattern| patterns.topics(pattern).is_none())
    }

    /// The names of all topics that its members want.
    pub(crate) fn subscribed(&self, patterns: &Patterns) -> BTreeSet<Name> {
        self.members
            .values()
            .flat_map(|member| wanted(&member.meta, patterns).cloned())
            .collect()
    }

    /// The state it is in, as Kafka writes it.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.meta.epoch > self.target_epoch {
            "Assigning"
        } else if self.is_settled() {
            "Stable"
        } else {
            "Reconciling"
        }
    }
}

impl Member {
    /// Whether it speaks the classic protocol.
    #[must_use]
    pub const fn is_classic(&self) -> bool {
        self.meta.classic.is_some()
    }

    /// Whether another may come under its instance id: it has left to come back, or it speaks the
    /// classic protocol, which has no word for that.
    pub(crate) const fn is_released(&self) -> bool {
        self.is_classic() || self.current.epoch == LEAVE_STATIC
    }
}

/// The names of the topics that a member wants.
pub(crate) fn wanted<'a>(
    meta: &'a MemberMeta,
    patterns: &'a Patterns,
) -> impl Iterator<Item = &'a Name> {
    let pattern = meta.pattern.as_ref();
    let matching = pattern.and_then(|pattern| patterns.topics(pattern));
    meta.topics.iter().chain(matching.into_iter().flatten())
}

/// A hash of the topics that exist among some: their names, ids and partition counts (FNV-1a; it
/// is written down, so it may never change).
pub(crate) fn topics_hash(names: &BTreeSet<Name>, topics: &TopicTable) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for name in names {
        if let Some(info) = topics.get(name) {
            feed(name.as_bytes());
            feed(&[0]);
            feed(&info.id.0);
            feed(&info.partitions.to_be_bytes());
        }
    }
    hash
}

/// Whether a partition is in an assignment.
pub(crate) fn holds(assignment: &Assignment, topic: TopicId, partition: PartitionIndex) -> bool {
    assignment
        .get(&topic)
        .is_some_and(|partitions| partitions.contains(&partition))
}
