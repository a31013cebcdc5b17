//! The target assignment: computed when the group epoch is ahead of it, at most once in an
//! interval, and not before the members' patterns are known.

use super::wanted;
use crate::{
    Assignment, GroupRecord, Name,
    assignor::{self, Input, UNIFORM, Wish},
    desk::Desk,
    group::ConsumerGroup,
};
use alloc::{collections::BTreeMap, vec::Vec};
use weir_types::Tick;

impl ConsumerGroup {
    /// The assignor that most members prefer.
    #[must_use]
    pub fn assignor(&self) -> &'static str {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(name) = member.meta.assignor.as_deref() {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max();
        votes
            .into_iter()
            .find(|(_, count)| Some(*count) == most)
            .and_then(|(name, _)| assignor::find(name))
            .unwrap_or(UNIFORM)
    }
}

impl Desk<'_> {
    /// When the next target may be computed, if one is wanted.
    pub(crate) fn target_due(&self) -> Option<Tick> {
        let group = self.consumer()?;
        if group.meta.epoch == group.target_epoch {
            return None;
        }
        // The first target must come at once: a member needs an epoch to be in.
        if group.target_epoch > 0 && group.waits_for_patterns(self.patterns) {
            return None;
        }
        let interval = self.config.assignment_interval_ms;
        let due = self.live.assigned_at.map(|at| at + interval);
        let due = due.unwrap_or(self.now.tick);
        let doubtful = self.doubtful_until(group);
        Some(doubtful.map_or(due, |until| until.max(due)))
    }

    /// Until when members are awaited that have missed a heartbeat and whose time is nearly over:
    /// who died together is noticed within one interval of heartbeats, and costs one epoch.
    fn doubtful_until(&self, group: &ConsumerGroup) -> Option<Tick> {
        if group.target_epoch == 0 {
            return None;
        }
        let interval = self.config.consumer_heartbeat_interval_ms;
        let limit = self.live.wanted_at? + interval;
        let silence = self.config.consumer_session_timeout_ms;
        let silent = self.live.sessions.until(limit);
        silent
            .filter(|(id, _)| group.members.get(*id).is_some_and(|m| !m.is_classic()))
            .map(|(_, session)| session.deadline)
            .filter(|deadline| *deadline <= limit)
            .filter(|deadline| *deadline + interval + interval / 2 <= self.now.tick + silence)
            .max()
    }

    /// Computes the target of the group epoch, if it is wanted and its time has come.
    pub(crate) fn update_target(&mut self) {
        let Some(group) = self.consumer() else { return };
        let epoch = group.meta.epoch;
        if group.members.is_empty() {
            if group.target_epoch != epoch {
                self.write_target_epoch(epoch);
            }
            return;
        }
        if self.target_due().is_none_or(|due| due > self.now.tick) {
            return;
        }
        let group = self.the_consumer();
        if !group.waits_for_patterns(self.patterns) {
            self.live.assigned_at = Some(self.now.tick);
        }
        let group = self.the_consumer();
        let input = self.input(group);
        let shares = assignor::assign(group.assignor(), &input);
        let changed: Vec<(Name, Assignment)> = shares
            .into_iter()
            .filter(|(name, share)| group.members[name].target != *share)
            .collect();
        for (member, value) in changed {
            self.write(GroupRecord::Target {
                group: self.id.clone(),
                member,
                value,
            });
        }
        self.write_target_epoch(epoch);
    }

    fn input(&self, group: &ConsumerGroup) -> Input {
        let names = group.subscribed(self.patterns);
        let members = group.members.iter().map(|(name, member)| {
            let wish = Wish {
                topics: wanted(&member.meta, self.patterns)
                    .filter_map(|topic| Some(self.topics.get(topic)?.id))
                    .collect(),
                has: member.target.clone(),
            };
            (name.clone(), wish)
        });
        Input {
            members: members.collect(),
            topics: names
                .iter()
                .filter_map(|name| self.topics.get(name))
                .map(|info| (info.id, info.partitions))
                .collect(),
        }
    }
}
