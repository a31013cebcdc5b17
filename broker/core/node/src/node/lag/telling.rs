//! What this shard tells: once a second, what changed of the partitions it leads and of the groups
//! it coordinates; everything when the keeper asks for it.

use super::{Node, Note};
use crate::{
    event::{Effect, ShardMessage},
    node::Partition,
    request::PartitionKey,
};
use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};
use weir_group::{Coordinator, GroupRecord, Name, Request};
use weir_lag::{GroupMeta, GroupReport, MemberReport, PartitionReport, Report, Sender, Traffic};
use weir_meta::Image;
use weir_types::{Now, Offset, PartitionIndex};

impl Node {
    /// Something of a partition moved: it is told of within a second.
    pub(in super::super) fn note_partition(
        &mut self,
        now: Now,
        key: PartitionKey,
        traffic: Traffic,
    ) {
        let lags = self.config.lag_topic.is_some() && !self.keeps_lag(key);
        let Some(open) = self.open_mut(key).filter(|_| lags) else {
            return;
        };
        open.tally.traffic.add(traffic);
        if !core::mem::replace(&mut open.tally.marked, true) {
            self.lag.partitions.push(key);
            self.lag.note(now);
        }
    }

    /// A partition is led no more.
    pub(in super::super) fn note_gone(&mut self, now: Now, key: PartitionKey) {
        if self.config.lag_topic.is_some() {
            self.lag.partitions_gone.push(key);
            self.lag.note(now);
        }
    }

    /// Records of groups were written.
    pub(in super::super) fn note_groups(
        &mut self,
        now: Now,
        key: PartitionKey,
        records: &[GroupRecord],
    ) {
        for record in records {
            let Some(group) = record.group() else {
                continue;
            };
            let offset = match record {
                GroupRecord::Offset {
                    topic, partition, ..
                } => Some((topic.clone(), *partition)),
                GroupRecord::History { .. } | GroupRecord::Cause { .. } => continue,
                _ => None,
            };
            self.note_group(now, key, group, offset);
        }
    }

    /// A request came that may change a group before anything is written.
    pub(in super::super) fn note_request(
        &mut self,
        now: Now,
        key: PartitionKey,
        request: &Request,
    ) {
        match request {
            Request::JoinGroup(join) => self.note_group(now, key, &join.group, None),
            Request::SyncGroup(sync) => self.note_group(now, key, &sync.group, None),
            Request::LeaveGroup(leave) => self.note_group(now, key, &leave.group, None),
            _ => {}
        }
    }

    fn note_group(
        &mut self,
        now: Now,
        key: PartitionKey,
        group: &Name,
        offset: Option<(Name, PartitionIndex)>,
    ) {
        if self.config.lag_topic.is_none() {
            return;
        }
        if !self.lag.groups.contains_key(group) {
            let note = Note {
                key,
                offsets: BTreeSet::new(),
            };
            self.lag.groups.insert(group.clone(), note);
        }
        if let Some(note) = self.lag.groups.get_mut(group) {
            note.offsets.extend(offset);
        }
        self.lag.note(now);
    }

    fn sender(&self) -> Sender {
        Sender {
            broker: self.config.broker,
            shard: self.config.shard,
        }
    }

    /// The keeper wants everything.
    pub(in super::super) fn tell_all_soon(&mut self, now: Now, seen: u64) {
        if self.config.lag_topic.is_none() {
            return;
        }
        let wanted = self.lag.all_wanted.map_or(seen, |wanted| wanted.max(seen));
        self.lag.all_wanted = Some(wanted);
        // At once, if all is there.
        self.lag.tell_at = Some(now.tick);
    }

    /// Tells what changed since the last time, or everything.
    pub(super) fn tell_changes(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Some((_, to)) = self.lag.home else {
            return;
        };
        let opening = |partition: &Partition| matches!(partition, Partition::Opening);
        let whole = self
            .lag
            .all_wanted
            .is_some_and(|seen| self.image.applied() >= seen)
            && !self.groups_loading()
            && !self.partitions.values().any(opening);
        let mut report = Report::new(self.sender());
        self.lag.tell_at = None;
        let first = self.lag.first.take();
        report.within_ms = first.map(|first| now.tick.0.saturating_sub(first.0));
        if whole {
            self.lag.all_wanted = None;
            self.fill_whole(now, &mut report);
        } else {
            self.fill_changes(now, &mut report);
        }
        if !report.is_empty() {
            self.send(now, to, ShardMessage::Report(Box::new(report)), effects);
        }
        if self.lag.all_wanted.is_some() {
            self.lag.note(now);
        }
    }

    fn fill_whole(&mut self, now: Now, report: &mut Report) {
        report.full = true;
        report.within_ms = None;
        self.lag.partitions_gone.clear();
        self.lag.partitions.clear();
        self.lag.groups.clear();
        let keys: Vec<PartitionKey> = self.partitions.keys().copied().collect();
        for key in keys {
            self.tell_partition(now, key, report);
        }
        for (_, coordinator) in self.coordinating() {
            for group in coordinator.groups().iter().map(|(group, _)| group) {
                report.groups.extend(whole_group(coordinator, group));
            }
        }
    }

    fn fill_changes(&mut self, now: Now, report: &mut Report) {
        for key in core::mem::take(&mut self.lag.partitions) {
            self.tell_partition(now, key, report);
        }
        for key in core::mem::take(&mut self.lag.partitions_gone) {
            let views = self.image.views_of(key.topic).map(|view| view.id);
            let gone = views.chain([key.topic]).map(|topic| (topic, key.index));
            report.partitions_gone.extend(gone);
        }
        for (group, note) in core::mem::take(&mut self.lag.groups) {
            let Some(coordinator) = self.coordinator(note.key) else {
                // It is being read again, and told then.
                continue;
            };
            match changed_group(coordinator, &group, &note) {
                Some(told) => {
                    let state = told.meta.as_ref().map(|meta| meta.state.clone());
                    report.groups.push(told);
                    if !matches!(state.as_deref(), Some("Stable" | "Empty")) {
                        // What moves on by time alone writes nothing down.
                        self.note_group(now, note.key, &group, None);
                    }
                }
                None => report.groups_gone.push(group),
            }
        }
    }

    /// Tells of a partition that is led, and of the views' that read it: they have its ends, and no
    /// traffic of their own.
    fn tell_partition(&mut self, now: Now, key: PartitionKey, report: &mut Report) {
        let Some(told) = self.take_partition(now, key) else {
            return;
        };
        report.partitions.push(told);
        let views = self.image.views_of(key.topic);
        report.partitions.extend(views.map(|view| PartitionReport {
            topic: view.id,
            traffic: Traffic::default(),
            ..told
        }));
    }

    /// The partitions that new views read are told of once more, with the views'.
    pub(super) fn note_views(&mut self, now: Now, old: &Image) {
        let image = self.image.clone();
        for (before, after) in image.topics_since(old) {
            let (None, Some(view)) = (before, after) else {
                continue;
            };
            if view.view.is_none() {
                continue;
            }
            for index in (0..).map(PartitionIndex).take(view.partitions.len()) {
                let topic = view.log();
                self.note_partition(now, PartitionKey { topic, index }, Traffic::default());
            }
        }
    }

    /// A partition that is led, with what it has had.
    fn take_partition(&mut self, now: Now, key: PartitionKey) -> Option<PartitionReport> {
        let lags = self.config.lag_topic.is_some() && !self.keeps_lag(key);
        let open = self.open_mut(key).filter(|_| lags)?;
        let tally = core::mem::take(&mut open.tally);
        open.tally.empty_at = tally.empty_at;
        open.replica.leads().then(|| PartitionReport {
            topic: key.topic,
            index: key.index,
            high_watermark: open.replica.high_watermark(),
            log_start: open.replica.log_start(),
            traffic: tally.traffic,
            empty_ms_ago: tally.empty_at.map(|at| now.tick.0.saturating_sub(at.0)),
        })
    }

    /// A report did not get there: what it told is told again.
    pub(in super::super) fn untold(&mut self, now: Now, message: ShardMessage) {
        let ShardMessage::Report(report) = message else {
            // The keeper asks again by itself.
            return;
        };
        if report.full {
            self.lag.all_wanted.get_or_insert(0);
        }
        for partition in report.partitions {
            let (topic, index) = (partition.topic, partition.index);
            self.note_partition(now, PartitionKey { topic, index }, partition.traffic);
        }
        for (topic, index) in report.partitions_gone {
            self.note_gone(now, PartitionKey { topic, index });
        }
        for group in report.groups {
            if let Some(key) = crate::groups::key_of(&self.image, &group.group) {
                self.note_group(now, key, &group.group, None);
                let offsets = group.offsets.into_iter();
                let offsets = offsets.map(|(topic, index, _)| (topic, index));
                if let Some(note) = self.lag.groups.get_mut(&group.group) {
                    note.offsets.extend(offsets);
                }
            }
        }
        for group in report.groups_gone {
            if let Some(key) = crate::groups::key_of(&self.image, &group) {
                self.note_group(now, key, &group, None);
            }
        }
        self.lag.note(now);
    }
}

fn meta(coordinator: &Coordinator, group: &Name) -> Option<GroupMeta> {
    let observed = coordinator.observe(group)?;
    let members = observed.members.into_iter().map(|member| MemberReport {
        id: member.id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        owned: member.owned,
    });
    Some(GroupMeta {
        state: Name::from(observed.state),
        kind: Name::from(observed.group_type),
        epoch: observed.epoch,
        members: members.collect(),
    })
}

fn whole_group(coordinator: &Coordinator, group: &Name) -> Option<GroupReport> {
    let kept = coordinator.groups().get(group);
    let offsets = kept.into_iter().flat_map(|kept| &kept.offsets);
    let offsets = offsets.flat_map(|(topic, partitions)| {
        let partitions = partitions.iter();
        partitions.map(move |(index, kept)| (topic.clone(), *index, Some(kept.offset)))
    });
    Some(GroupReport {
        group: group.clone(),
        meta: Some(meta(coordinator, group)?),
        whole: true,
        offsets: offsets.map(known).collect(),
    })
}

fn changed_group(coordinator: &Coordinator, group: &Name, note: &Note) -> Option<GroupReport> {
    let meta = meta(coordinator, group)?;
    let kept = coordinator.groups().get(group).map(|kept| &kept.offsets);
    let offset = |(topic, index): &(Name, PartitionIndex)| {
        let offset = kept.and_then(|kept| kept.get(topic)?.get(index));
        known((topic.clone(), *index, offset.map(|kept| kept.offset)))
    };
    Some(GroupReport {
        group: group.clone(),
        meta: Some(meta),
        whole: false,
        offsets: note.offsets.iter().map(offset).collect(),
    })
}

/// An offset of -1 is none.
fn known<T>(
    (topic, index, offset): (T, PartitionIndex, Option<Offset>),
) -> (T, PartitionIndex, Option<Offset>) {
    (topic, index, offset.filter(|offset| offset.0 >= 0))
}
