//! The records that tell a group, a piece at a time: a group may have a million offsets, and nobody
//! shall wait until all are told. Between two pieces the group may change; what changes is written
//! as it does, so a place is named by what was told last, never by how much was.

use crate::{Group, GroupRecord, Kind, Name, group::ConsumerGroup};
use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Included, Unbounded};
use weir_types::PartitionIndex;

/// How far a group is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Not at all.
    #[default]
    Start,
    /// Up to this member.
    Member(Name),
    /// All members, and the offsets up to this partition's.
    Offset(Name, PartitionIndex),
}

/// Some records of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    pub(crate) records: Vec<GroupRecord>,
    /// Where to go on; nothing: the group is told.
    pub(crate) rest: Option<Place>,
}

/// The next records of a group, about `most` of them. What it did lately comes in one piece: the
/// history, when it is read, clears the causes of what is under way, which stand behind it.
pub(crate) fn piece(id: &Name, group: &Group, from: &Place, most: usize) -> Piece {
    let mut piece = Piece::default();
    piece.rest = piece.kind(id, &group.kind, from, most);
    if piece.rest.is_none() {
        piece.rest = piece.offsets(id, group, from, most);
    }
    if piece.rest.is_none() {
        piece.past(id, group);
    }
    piece
}

impl Piece {
    fn kind(&mut self, id: &Name, kind: &Kind, from: &Place, most: usize) -> Option<Place> {
        if matches!(from, Place::Offset(..)) {
            return None;
        }
        match kind {
            Kind::Simple => None,
            Kind::Classic(meta) => {
                self.records.push(GroupRecord::Classic {
                    group: id.clone(),
                    value: Some(meta.clone()),
                });
                None
            }
            Kind::Consumer(consumer) => self.consumer(id, consumer, from, most),
        }
    }

    fn consumer(
        &mut self,
        id: &Name,
        group: &ConsumerGroup,
        from: &Place,
        most: usize,
    ) -> Option<Place> {
        let members = match from {
            Place::Member(last) => group.members.range::<Name, _>((Excluded(last), Unbounded)),
            _ => {
                self.records.push(GroupRecord::Consumer {
                    group: id.clone(),
                    value: Some(group.meta.clone()),
                });
                group.members.range::<Name, _>(..)
            }
        };
        for (member, state) in members {
            self.records.push(GroupRecord::Member {
                group: id.clone(),
                member: member.clone(),
                value: Some(state.meta.clone()),
            });
            self.records.push(GroupRecord::Target {
                group: id.clone(),
                member: member.clone(),
                value: state.target.clone(),
            });
            self.records.push(GroupRecord::Current {
                group: id.clone(),
                member: member.clone(),
                value: state.current.clone(),
            });
            if self.records.len() >= most {
                return Some(Place::Member(member.clone()));
            }
        }
        self.records.push(GroupRecord::TargetEpoch {
            group: id.clone(),
            epoch: group.target_epoch,
        });
        None
    }

    fn offsets(&mut self, id: &Name, group: &Group, from: &Place, most: usize) -> Option<Place> {
        let (topics, last) = match from {
            Place::Offset(topic, last) => (
                group.offsets.range::<Name, _>((Included(topic), Unbounded)),
                Some((topic, *last)),
            ),
            _ => (group.offsets.range::<Name, _>(..), None),
        };
        for (topic, partitions) in topics {
            let behind = last.filter(|(told, _)| *told == topic);
            let behind = behind.map_or(Unbounded, |(_, last)| Excluded(last));
            for (partition, value) in partitions.range((behind, Unbounded)) {
                self.records.push(GroupRecord::Offset {
                    group: id.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                    value: Some(value.clone()),
                });
                if self.records.len() >= most {
                    return Some(Place::Offset(topic.clone(), *partition));
                }
            }
        }
        None
    }

    fn past(&mut self, id: &Name, group: &Group) {
        for event in group.history.values() {
            self.records.push(GroupRecord::History {
                group: id.clone(),
                event: event.clone(),
            });
        }
        for (index, cause) in (0..).zip(&group.open) {
            self.records.push(GroupRecord::Cause {
                group: id.clone(),
                index,
                cause: cause.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Groups,
        record::{CommittedOffset, ConsumerMeta, Current, MemberMeta},
    };
    use alloc::{collections::BTreeSet, format};
    use weir_types::{LeaderEpoch, Offset, TimestampMs, TopicId};

    fn member(id: &str, is_there: bool) -> GroupRecord {
        let meta = MemberMeta {
            instance_id: Some(format!("instance-{id}").into()),
            rack: None,
            client_id: "c".into(),
            client_host: "h".into(),
            rebalance_timeout_ms: 1,
            topics: BTreeSet::from(["t".into()]),
            pattern: None,
            assignor: None,
            classic: None,
        };
        GroupRecord::Member {
            group: "g".into(),
            member: id.into(),
            value: is_there.then_some(meta),
        }
    }

    fn owns(id: &str, partition: Option<i32>) -> GroupRecord {
        let owned = partition.map(|n| (TopicId([1; 16]), BTreeSet::from([PartitionIndex(n)])));
        GroupRecord::Current {
            group: "g".into(),
            member: id.into(),
            value: Current {
                assigned: owned.into_iter().collect(),
                ..Current::default()
            },
        }
    }

    fn committed(topic: &str, partition: i32, offset: Option<i64>) -> GroupRecord {
        let value = offset.map(|offset| CommittedOffset {
            topic_id: TopicId([1; 16]),
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(0),
            metadata: "".into(),
            committed_at: TimestampMs(0),
            expires_at: TimestampMs(-1),
        });
        GroupRecord::Offset {
            group: "g".into(),
            topic: topic.into(),
            partition: PartitionIndex(partition),
            value,
        }
    }

    fn groups() -> Groups {
        let mut groups = Groups::default();
        groups.apply(&GroupRecord::Consumer {
            group: "g".into(),
            value: Some(ConsumerMeta::default()),
        });
        for (n, id) in (0..).zip(["a", "b", "c", "d"]) {
            groups.apply(&member(id, true));
            groups.apply(&owns(id, Some(n)));
        }
        for (topic, partition) in [("t", 0), ("t", 1), ("t", 7), ("u", 0), ("v", 3)] {
            groups.apply(&committed(topic, partition, Some(1)));
        }
        groups
    }

    /// States a group in pieces; between two of them something of it changes, in turn.
    fn told(most: usize, changes: &[GroupRecord]) -> (Groups, Groups, usize) {
        let (mut live, mut read) = (groups(), Groups::default());
        let (mut from, mut pieces) = (Place::Start, 0);
        let mut changes = changes.iter();
        loop {
            let piece = live.piece_of(&"g".into(), &from, most);
            // A member has three records, and the first piece says what group it is.
            assert!(piece.records.len() <= most.saturating_add(3));
            for record in &piece.records {
                live.apply(record);
                read.apply(record);
            }
            pieces += 1;
            match piece.rest {
                Some(rest) => from = rest,
                None => return (live, read, pieces),
            }
            if let Some(change) = changes.next() {
                live.apply(change);
                read.apply(change);
            }
        }
    }

    #[test]
    fn pieces_tell_the_whole_group() {
        for most in 1..30 {
            let (live, read, pieces) = told(most, &[]);
            assert!(live.get("g") == groups().get("g"), "told {most} at a time");
            assert!(read.get("g") == live.get("g"), "told {most} at a time");
            assert!(pieces >= 18 / (most + 3), "{pieces} pieces of {most}");
        }
        assert_eq!(told(usize::MAX, &[]).2, 1);
    }

    #[test]
    fn what_changes_between_pieces_is_told() {
        let changes = [
            // Before and behind the place that was reached.
            owns("a", None),
            owns("d", None),
            owns("a", Some(3)),
            member("b", false),
            member("e", true),
            owns("e", Some(1)),
            committed("t", 0, None),
            committed("t", 5, Some(2)),
            committed("u", 0, None),
            committed("a", 9, Some(4)),
            committed("w", 0, Some(5)),
        ];
        for most in 1..30 {
            for idle in 0..20 {
                let nothing = GroupRecord::TargetEpoch {
                    group: "g".into(),
                    epoch: 0,
                };
                let mut timed = alloc::vec![nothing; idle];
                timed.extend_from_slice(&changes);
                let (live, read, _) = told(most, &timed);
                live.check();
                assert!(read.get("g") == live.get("g"), "told {most} at a time");
            }
        }
        let gone = GroupRecord::Deleted { group: "g".into() };
        let (live, read, pieces) = told(1, &[owns("a", None), gone]);
        assert!(live.is_empty() && read.is_empty());
        assert_eq!(pieces, 3);
    }
}
