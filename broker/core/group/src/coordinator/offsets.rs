//! Committed offsets: commit, fetch, delete, expire.

use super::Coordinator;
use crate::{
    GroupRecord, Name, Reply, RequestId,
    classic::ClassicState,
    desk::{Desk, Out},
    limits::{EXPIRE_OFFSETS_PER_STEP_MAX, GROUP_ID_BYTES_MAX, OFFSETS_PER_GROUP_MAX},
    record::CommittedOffset,
    request::{CommitPartition, OffsetCommit, OffsetDelete, OffsetFetch},
};
use alloc::{collections::BTreeSet, vec::Vec};
use weir_types::{ErrorCode, Now, PartitionIndex, TimestampMs, TopicId};

impl Desk<'_> {
    /// OffsetCommit. Any offset may be committed, also one that goes back: a reset is a commit.
    pub(crate) fn commit(&mut self, request: RequestId, commit: &OffsetCommit) {
        let zombies = self.config.mutants.take_zombies;
        if let Err(error) = self.may_commit(commit)
            && !zombies
        {
            let each = |part: &CommitPartition| (part.topic.clone(), part.partition, error);
            let reply = Reply::Committed(commit.offsets.iter().map(each).collect());
            self.answer(request, reply);
            return;
        }
        let mut room = OFFSETS_PER_GROUP_MAX
            .saturating_sub(self.group().map_or(0, crate::Group::offsets_count));
        let mut told = Vec::new();
        for part in &commit.offsets {
            let length = part.metadata.as_ref().map_or(0, |text| text.len());
            let error = if length > self.config.offset_metadata_bytes_max {
                ErrorCode::OffsetMetadataTooLarge
            } else if part.offset.0 < -1
                || room == 0 && self.committed(&part.topic, part.partition).is_none()
            {
                ErrorCode::InvalidCommitOffsetSize
            } else {
                room = room.saturating_sub(1);
                self.commit_one(commit.retention_ms, part);
                ErrorCode::None
            };
            told.push((part.topic.clone(), part.partition, error));
        }
        self.answer(request, Reply::Committed(told));
    }

    fn committed(&self, topic: &str, partition: PartitionIndex) -> Option<&CommittedOffset> {
        self.group()?.offsets.get(topic)?.get(&partition)
    }

    fn commit_one(&mut self, retention_ms: i64, part: &CommitPartition) {
        let wall = self.now.wall;
        let expires_at = if retention_ms < 0 {
            TimestampMs::NONE
        } else {
            TimestampMs(wall.0.saturating_add(retention_ms))
        };
        self.write(GroupRecord::Offset {
            group: self.id.clone(),
            topic: part.topic.clone(),
            partition: part.partition,
            value: Some(CommittedOffset {
                topic_id: part.topic_id,
                offset: part.offset,
                leader_epoch: part.leader_epoch,
                metadata: part.metadata.clone().unwrap_or_else(|| Name::from("")),
                committed_at: wall,
                expires_at,
            }),
        });
    }

    /// Whether the committer is who it says, in the generation or epoch that counts.
    fn may_commit(&mut self, commit: &OffsetCommit) -> Result<(), ErrorCode> {
        if commit.group.len() > GROUP_ID_BYTES_MAX {
            return Err(ErrorCode::InvalidGroupId);
        }
        if let Some(consumer) = self.consumer() {
            if commit.generation < 0 && consumer.members.is_empty() {
                return Ok(());
            }
            let member = consumer.members.get(&commit.member_id);
            let member = member.ok_or(ErrorCode::UnknownMemberId)?;
            if member.current.epoch == commit.generation {
                return Ok(());
            }
            return Err(if member.is_classic() {
                ErrorCode::IllegalGeneration
            } else {
                ErrorCode::StaleMemberEpoch
            });
        }
        let managed =
            commit.generation >= 0 || !commit.member_id.is_empty() || commit.instance_id.is_some();
        let Some(classic) = &self.live.classic else {
            // Nobody manages this group: its consumers choose their partitions themselves.
            return if commit.generation < 0 {
                Ok(())
            } else {
                Err(ErrorCode::IllegalGeneration)
            };
        };
        if commit.generation < 0 && classic.state == ClassicState::Empty {
            return Ok(());
        }
        if !managed {
            return Err(ErrorCode::UnknownMemberId);
        }
        classic.validate(&commit.member_id, commit.instance_id.as_ref())?;
        if commit.generation != classic.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if classic.state == ClassicState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        // Who commits is alive.
        self.seen(&commit.member_id);
        Ok(())
    }

    /// OffsetFetch. The answer waits for the group's last write, so it never tells of a commit
    /// that may yet be lost.
    pub(crate) fn fetch_offsets(&mut self, request: RequestId, fetch: &OffsetFetch) {
        let reply = match self.may_fetch(fetch) {
            Ok(()) => Reply::Fetched(self.fetched(fetch)),
            Err(error) => Reply::error(error),
        };
        self.answer(request, reply);
    }

    fn may_fetch(&self, fetch: &OffsetFetch) -> Result<(), ErrorCode> {
        let (Some(consumer), Some(id)) = (self.consumer(), &fetch.member_id) else {
            return Ok(());
        };
        if id.is_empty() && fetch.member_epoch < 0 {
            return Ok(());
        }
        let member = consumer.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        if member.current.epoch == fetch.member_epoch {
            return Ok(());
        }
        Err(if member.is_classic() {
            ErrorCode::IllegalGeneration
        } else {
            ErrorCode::StaleMemberEpoch
        })
    }

    fn fetched(&self, fetch: &OffsetFetch) -> Vec<(Name, PartitionIndex, Option<CommittedOffset>)> {
        let Some(wanted) = &fetch.partitions else {
            let topics = self.group().into_iter().flat_map(|group| &group.offsets);
            return topics
                .flat_map(|(topic, partitions)| {
                    let each = partitions.iter();
                    each.map(|(index, value)| (topic.clone(), *index, Some(value.clone())))
                })
                .collect();
        };
        wanted
            .iter()
            .map(|(topic, id, index)| {
                let value = self.committed(topic, *index);
                // What was committed for a topic that had this name before is not for this one.
                let value = value.filter(|value| same_topic(value.topic_id, *id));
                (topic.clone(), *index, value.cloned())
            })
            .collect()
    }

    /// OffsetDelete: not for topics that somebody reads (KIP-496).
    pub(crate) fn delete_offsets(&mut self, request: RequestId, delete: &OffsetDelete) {
        if self.group().is_none() && self.live.classic.is_none() {
            self.answer(request, Reply::error(ErrorCode::GroupIdNotFound));
            return;
        }
        let Ok(read) = self.topics_read() else {
            self.answer(request, Reply::error(ErrorCode::NonEmptyGroup));
            return;
        };
        let mut told = Vec::new();
        for (topic, partition) in &delete.partitions {
            let error = if read.contains(topic) {
                ErrorCode::GroupSubscribedToTopic
            } else {
                if self.committed(topic, *partition).is_some() {
                    self.forget_offset(topic, *partition);
                }
                ErrorCode::None
            };
            told.push((topic.clone(), *partition, error));
        }
        self.answer(request, Reply::OffsetsDeleted(told));
    }

    fn forget_offset(&mut self, topic: &Name, partition: PartitionIndex) {
        self.write(GroupRecord::Offset {
            group: self.id.clone(),
            topic: topic.clone(),
            partition,
            value: None,
        });
    }

    /// The topics that members read; an error when there are members and that cannot be told.
    pub(crate) fn topics_read(&self) -> Result<BTreeSet<Name>, ()> {
        if let Some(consumer) = self.consumer() {
            return Ok(consumer.subscribed(self.patterns));
        }
        match &self.live.classic {
            Some(classic) if !classic.members.is_empty() => classic.subscribed().ok_or(()),
            _ => Ok(BTreeSet::new()),
        }
    }

    /// Lets offsets go that nobody has needed for long, at most `budget` of them; how many went.
    /// A group that has nothing left goes too.
    pub(crate) fn expire(&mut self, budget: usize) -> usize {
        let late = self.late_offsets(budget);
        for (topic, partition) in &late {
            self.forget_offset(topic, *partition);
        }
        let retention = self.config.offsets_retention_ms;
        let now = self.now.wall.0;
        let over = self.group().is_some_and(|group| {
            group.offsets.is_empty()
                && group
                    .empty_since()
                    .is_some_and(|since| since.0.saturating_add(retention) <= now || since.0 < 0)
        });
        let nobody = self.live.classic.as_ref().is_none_or(|c| c.is_void());
        if over && nobody {
            self.live.classic = None;
            self.live.notebook = None;
            self.write(GroupRecord::Deleted {
                group: self.id.clone(),
            });
        }
        late.len()
    }

    fn late_offsets(&self, budget: usize) -> Vec<(Name, PartitionIndex)> {
        let (retention, now) = (self.config.offsets_retention_ms, self.now.wall.0);
        let Some(group) = self.group() else {
            return Vec::new();
        };
        // Who reads what is open while members join.
        let classic = self.live.classic.as_ref();
        let settled = [ClassicState::Empty, ClassicState::Stable];
        if classic.is_some_and(|classic| !settled.contains(&classic.state)) {
            return Vec::new();
        }
        // Members that cannot be understood read everything.
        let Ok(read) = self.topics_read() else {
            return Vec::new();
        };
        let empty = group.empty_since();
        let is_late = |value: &CommittedOffset| {
            if value.expires_at != TimestampMs::NONE {
                return value.expires_at.0 <= now;
            }
            let since = empty.map_or(0, |since| since.0).max(value.committed_at.0);
            since.saturating_add(retention) <= now
        };
        group
            .offsets
            .iter()
            .filter(|(topic, _)| !read.contains(*topic))
            .flat_map(|(topic, partitions)| {
                let late = partitions.iter().filter(|(_, value)| is_late(value));
                late.map(move |(index, _)| (topic.clone(), *index))
            })
            .take(budget)
            .collect()
    }
}

fn same_topic(one: TopicId, other: TopicId) -> bool {
    one == TopicId::ZERO || other == TopicId::ZERO || one == other
}

impl Coordinator {
    /// Topics are gone, and what was committed for them goes too.
    pub(super) fn topics_deleted(
        &mut self,
        now: Now,
        topics: &[(Name, TopicId)],
        out: &mut Out,
        unresolved: &mut Vec<Name>,
    ) {
        let concerned = |group: &crate::Group| {
            topics
                .iter()
                .any(|(name, _)| group.offsets.contains_key(name))
        };
        let ids: Vec<Name> = self
            .groups
            .iter()
            .filter(|(_, group)| concerned(group))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.turn(now, &id, out, unresolved, |desk| {
                for (name, topic_id) in topics {
                    let places = desk.group().and_then(|group| group.offsets.get(name));
                    let places: Vec<PartitionIndex> = places
                        .into_iter()
                        .flatten()
                        .filter(|(_, value)| same_topic(value.topic_id, *topic_id))
                        .map(|(index, _)| *index)
                        .collect();
                    for index in places {
                        desk.forget_offset(name, index);
                    }
                }
            });
        }
    }

    /// Looks through the committed offsets when it is time, a part of them a step.
    pub(super) fn expire_offsets(&mut self, now: Now, out: &mut Out, unresolved: &mut Vec<Name>) {
        if self.expire_at > now.tick {
            return;
        }
        let mut budget = EXPIRE_OFFSETS_PER_STEP_MAX;
        while budget > 0 {
            let next = self.groups.id_after(self.expire_after.as_ref());
            let Some(id) = next.cloned() else {
                self.expire_after = None;
                self.expire_at = now.tick + self.config.offsets_check_interval_ms;
                return;
            };
            let gone = self.turn(now, &id, out, unresolved, |desk| desk.expire(budget));
            if gone == budget {
                // The group may have more; it is looked at again.
                return;
            }
            budget -= gone + usize::from(gone == 0);
            self.expire_after = Some(id);
        }
    }
}
