//! All groups of one coordinator as their records tell them. [`Groups::apply`] is the only thing
//! that changes them; it cannot fail, and the same records give the same groups.

use crate::{
    EventPlace, Group, GroupRecord, HistoryEvent, Kind, Name,
    events::Events,
    group::ConsumerGroup,
    limits::{HISTORY_EVENTS_MAX, SNAPSHOT_BYTES_MIN, SNAPSHOT_GROWTH_FACTOR},
    statement::{self, Piece, Place},
};
use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::Bound;
use weir_types::Offset;

/// The groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    groups: BTreeMap<Name, Group>,
    /// The events that are kept, of all groups.
    events: Events,
    /// The number of the last event, kept or not.
    last_event: u64,
    /// The number of the last snapshot that began.
    snapshot: u64,
    /// Records since then.
    since_snapshot: u64,
    /// How many bytes they have, about.
    bytes_since_snapshot: u64,
}

impl Groups {
    /// The group of that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// All groups, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Group)> {
        self.groups.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The number of the last snapshot that began; 0: none.
    #[must_use]
    pub const fn snapshot_id(&self) -> u64 {
        self.snapshot
    }

    /// How many records were applied since the last snapshot began.
    #[must_use]
    pub const fn records_since_snapshot(&self) -> u64 {
        self.since_snapshot
    }

    /// How many bytes they have, about.
    #[must_use]
    pub const fn bytes_since_snapshot(&self) -> u64 {
        self.bytes_since_snapshot
    }

    /// The number of the last event of any group, be it one that is gone; 0: there was none.
    #[must_use]
    pub const fn last_event(&self) -> u64 {
        self.last_event
    }

    /// The events that are kept with numbers behind `after` and up to `until`, in their order.
    pub fn events_between(
        &self,
        after: u64,
        until: u64,
    ) -> impl Iterator<Item = (&Name, &HistoryEvent)> {
        self.events
            .between(after, until)
            .filter_map(|(name, sequence)| self.event(name, *sequence))
    }

    /// The events that are kept from a place on and below another, in order of their places; none
    /// where the first lies behind the second.
    pub fn events_by_time(
        &self,
        from: Bound<EventPlace>,
        below: Bound<EventPlace>,
    ) -> impl DoubleEndedIterator<Item = (&Name, &HistoryEvent)> {
        self.events
            .by_time(from, below)
            .filter_map(|(_, name, sequence)| self.event(name, *sequence))
    }

    fn event<'a>(&'a self, name: &'a Name, sequence: u64) -> Option<(&'a Name, &'a HistoryEvent)> {
        Some((name, self.groups.get(name)?.history.get(&sequence)?))
    }

    /// Makes a record true.
    pub fn apply(&mut self, record: &GroupRecord) {
        self.since_snapshot = self.since_snapshot.saturating_add(1);
        let bytes = u64::try_from(record.bytes()).unwrap_or(u64::MAX);
        self.bytes_since_snapshot = self.bytes_since_snapshot.saturating_add(bytes);
        match record {
            GroupRecord::SnapshotBegin { id, events } => {
                self.snapshot = (*id).max(self.snapshot);
                self.last_event = (*events).max(self.last_event);
                self.since_snapshot = 0;
                self.bytes_since_snapshot = 0;
            }
            GroupRecord::SnapshotEnd { .. } => {}
            GroupRecord::Deleted { group } => {
                let gone = self.groups.remove(group);
                for event in gone.iter().flat_map(|gone| gone.history.values()) {
                    self.events.remove(group, event);
                }
            }
            GroupRecord::Offset { group, .. }
            | GroupRecord::Classic { group, .. }
            | GroupRecord::Consumer { group, .. }
            | GroupRecord::Member { group, .. }
            | GroupRecord::Target { group, .. }
            | GroupRecord::TargetEpoch { group, .. }
            | GroupRecord::Current { group, .. }
            | GroupRecord::History { group, .. }
            | GroupRecord::Cause { group, .. } => {
                let entry = self.groups.entry(group.clone()).or_default();
                if let GroupRecord::History { event, .. } = record {
                    self.last_event = event.number.max(self.last_event);
                    for gone in keep(entry, event) {
                        self.events.remove(group, &gone);
                    }
                    self.events.insert(group, event);
                } else {
                    apply_to(entry, record);
                }
                if entry.is_void() {
                    self.groups.remove(group);
                }
            }
        }
    }

    /// Whether the records since the last snapshot are worth another: `records_min` at least, and
    /// many times what a snapshot would hold.
    #[must_use]
    pub fn wants_snapshot(&self, records_min: u64) -> bool {
        let grown = |since: u64, count: u64| since >= count.saturating_mul(SNAPSHOT_GROWTH_FACTOR);
        self.since_snapshot >= records_min && grown(self.since_snapshot, self.records_count())
            || self.bytes_since_snapshot >= SNAPSHOT_BYTES_MIN
                && grown(self.bytes_since_snapshot, self.bytes_count())
    }

    /// How many bytes a snapshot would hold, about.
    fn bytes_count(&self) -> u64 {
        let bytes: usize = self.snapshot().map(|record| record.bytes()).sum();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How many records a snapshot would hold, about.
    #[must_use]
    pub fn records_count(&self) -> u64 {
        let count = self.groups.values().map(|group| {
            let members = group.consumer().map_or(0, |group| group.members.len() * 3);
            group.offsets_count() + group.history.len() + group.open.len() + members + 2
        });
        u64::try_from(count.sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// The records that tell all of this, in order of the groups' ids, without the marks around
    /// a snapshot.
    pub fn snapshot(&self) -> impl Iterator<Item = GroupRecord> {
        self.groups
            .iter()
            .flat_map(|(id, group)| statement::piece(id, group, &Place::Start, usize::MAX).records)
    }

    /// The next records that tell a group, about `most` of them.
    pub(crate) fn piece_of(&self, id: &Name, from: &Place, most: usize) -> Piece {
        let group = self.get(id);
        group.map_or_else(Piece::default, |group| {
            statement::piece(id, group, from, most)
        })
    }

    /// The first group behind a given one.
    pub(crate) fn id_after(&self, after: Option<&Name>) -> Option<&Name> {
        use core::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let mut behind = self.groups.range::<Name, _>((from, Unbounded));
        behind.next().map(|(id, _)| id)
    }

    /// Asserts what must always hold.
    pub fn check(&self) {
        let mut kept = Events::default();
        for (name, group) in &self.groups {
            for event in group.history.values() {
                kept.insert(name, event);
            }
        }
        assert_eq!(
            kept, self.events,
            "I-GRP-19: every event has its number and its time"
        );
        let last = self.events.last().unwrap_or(0);
        assert!(
            last <= self.last_event,
            "I-GRP-19: no event comes behind the last"
        );
        for group in self.groups.values() {
            assert!(
                !group.is_void(),
                "I-GRP-5: a group without anything is gone"
            );
            assert!(
                group.history.len() <= HISTORY_EVENTS_MAX,
                "I-GRP-6: the history of a group is bounded"
            );
            if let Some(group) = group.consumer() {
                group.check();
            }
            for (topic, partitions) in &group.offsets {
                assert!(!partitions.is_empty(), "I-GRP-5: {topic} has offsets");
                for committed in partitions.values() {
                    assert!(committed.offset >= Offset(-1), "an offset is a place or -1");
                }
            }
        }
    }
}

/// Puts an event into its group's history; gives back what goes for it: what it replaces, and the
/// oldest where there are too many.
fn keep(group: &mut Group, event: &HistoryEvent) -> Vec<HistoryEvent> {
    group.open.clear();
    let replaced = group.history.insert(event.sequence, event.clone());
    let is_full = group.history.len() > HISTORY_EVENTS_MAX;
    let oldest = is_full.then(|| group.history.pop_first()).flatten();
    let oldest = oldest.map(|(_, event)| event);
    replaced.into_iter().chain(oldest).collect()
}

fn apply_to(group: &mut Group, record: &GroupRecord) {
    match record {
        GroupRecord::Offset {
            topic,
            partition,
            value: Some(value),
            ..
        } => {
            let partitions = group.offsets.entry(topic.clone()).or_default();
            partitions.insert(*partition, value.clone());
        }
        GroupRecord::Offset {
            topic, partition, ..
        } => {
            if let Some(partitions) = group.offsets.get_mut(topic) {
                partitions.remove(partition);
                if partitions.is_empty() {
                    group.offsets.remove(topic);
                }
            }
        }
        GroupRecord::Classic {
            value: Some(value), ..
        } => group.kind = Kind::Classic(value.clone()),
        GroupRecord::Classic { .. } if matches!(group.kind, Kind::Classic(_)) => {
            group.kind = Kind::Simple;
        }
        GroupRecord::Consumer {
            value: Some(value), ..
        } => match &mut group.kind {
            Kind::Consumer(consumer) => consumer.meta = value.clone(),
            kind => {
                let mut consumer = ConsumerGroup::default();
                consumer.meta = value.clone();
                consumer.target_epoch = (value.epoch - 1).max(0);
                *kind = Kind::Consumer(consumer);
            }
        },
        GroupRecord::Consumer { .. } if matches!(group.kind, Kind::Consumer(_)) => {
            group.kind = Kind::Simple;
        }
        GroupRecord::Cause { index, cause, .. } => {
            let index = usize::try_from(*index).unwrap_or(usize::MAX);
            let count = group.open.len();
            if let Some(known) = group.open.get_mut(index) {
                *known = cause.clone();
            } else if index == count {
                group.open.push(cause.clone());
            }
            // Else behind the beginning of a snapshot, which tells all of them later.
        }
        record => {
            if let Kind::Consumer(consumer) = &mut group.kind {
                apply_to_consumer(consumer, record);
            }
        }
    }
}

fn apply_to_consumer(group: &mut ConsumerGroup, record: &GroupRecord) {
    match record {
        GroupRecord::Member { member, value, .. } => match value {
            Some(value) => group.put_member(member.clone(), value.clone()),
            None => group.remove_member(member),
        },
        GroupRecord::Target { member, value, .. } => group.put_target(member, value.clone()),
        GroupRecord::TargetEpoch { epoch, .. } => group.target_epoch = *epoch,
        GroupRecord::Current { member, value, .. } => group.put_current(member, value.clone()),
        _ => {}
    }
}
