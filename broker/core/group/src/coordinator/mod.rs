//! The coordinator of one partition of `__consumer_offsets`: it hands each event to the groups it
//! concerns, collects what they write and answer, and keeps their timers.

mod admin;
mod observe;
mod offsets;
mod snapshots;

use crate::{
    GroupConfig, GroupEffect, GroupEvent, GroupRecord, Groups, Kind, Name, Reply, Request,
    RequestId, TopicTable, WriteId,
    classic::ClassicGroup,
    desk::{Desk, Out},
    limits::{SNAPSHOT_BYTES_MIN, SNAPSHOT_GROUPS_PER_STEP},
    live::Live,
    patterns::Patterns,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use snapshots::Progress;
use weir_types::{CauseKind, ErrorCode, Now, Tick};

/// The groups of one partition of `__consumer_offsets`, and all that is going on in them.
#[derive(Clone, Debug)]
pub struct Coordinator {
    config: GroupConfig,
    topics: Arc<TopicTable>,
    patterns: Patterns,
    groups: Groups,
    live: BTreeMap<Name, Live>,
    /// When which group has to be looked at.
    timers: BTreeSet<(Tick, Name)>,
    next_write: WriteId,
    /// The last write of a group that is gone.
    last_gone: Option<WriteId>,
    /// When committed offsets are looked through for those that expire.
    expire_at: Tick,
    /// How far that has come.
    expire_after: Option<Name>,
    /// The snapshot under way.
    snapshot: Option<Progress>,
    /// At how many records since the last snapshot another is considered.
    snapshot_check: u64,
    /// The same for their bytes.
    snapshot_check_bytes: u64,
    /// The time that was last asked for.
    wake_at: Option<Tick>,
}

impl Coordinator {
    /// Starts from the groups that the log tells (see [`Groups::apply`]): every session begins
    /// anew, and groups with members note that their coordinator moved. `next_write` must be
    /// higher than any number that the driver still knows.
    pub fn start(
        config: GroupConfig,
        groups: Groups,
        topics: Arc<TopicTable>,
        next_write: WriteId,
        now: Now,
        effects: &mut Vec<GroupEffect>,
    ) -> Self {
        let expire_at = now.tick + config.offsets_check_interval_ms;
        let snapshot_check = config.snapshot_records_min;
        let mut coordinator = Self {
            config,
            topics,
            patterns: Patterns::default(),
            groups,
            live: BTreeMap::new(),
            timers: BTreeSet::new(),
            next_write,
            last_gone: None,
            expire_at,
            expire_after: None,
            snapshot: None,
            snapshot_check,
            snapshot_check_bytes: SNAPSHOT_BYTES_MIN,
            wake_at: None,
        };
        let mut out = coordinator.out();
        let mut unresolved = Vec::new();
        let ids: Vec<Name> = coordinator
            .groups
            .iter()
            .map(|(id, _)| id.clone())
            .collect();
        for some in ids.chunks(SNAPSHOT_GROUPS_PER_STEP) {
            for id in some {
                coordinator.turn(now, id, &mut out, &mut unresolved, restore);
            }
            // Not one huge batch for all groups.
            coordinator.close(core::mem::take(&mut out), Vec::new(), effects);
            out = coordinator.out();
        }
        coordinator.close(out, unresolved, effects);
        coordinator.wake(now, effects);
        coordinator
    }

    /// Deals with one event.
    pub fn step(&mut self, now: Now, event: GroupEvent, effects: &mut Vec<GroupEffect>) {
        let mut out = self.out();
        let mut unresolved = Vec::new();
        match event {
            GroupEvent::Request { id, request } => {
                self.request(now, id, request, &mut out, &mut unresolved);
            }
            GroupEvent::Topics(topics) => {
                if !topics.names().eq(self.topics.names()) {
                    unresolved.extend(self.patterns.names().cloned());
                }
                self.topics = topics;
                let all = self.groups.iter().map(|(id, _)| id.clone()).collect();
                self.topics_changed(now, all, false, &mut out, &mut unresolved);
            }
            GroupEvent::TopicsDeleted(topics) => {
                self.topics_deleted(now, &topics, &mut out, &mut unresolved);
            }
            GroupEvent::PatternResolved { pattern, topics } => {
                if let Some(resolved) = self.patterns.resolved(&pattern, topics) {
                    let (groups, first) = (resolved.groups, resolved.first);
                    self.topics_changed(now, groups, first, &mut out, &mut unresolved);
                }
            }
            GroupEvent::Tick => {}
            GroupEvent::TakeSnapshot => self.begin_snapshot(),
        }
        self.run_timers(now, &mut out, &mut unresolved);
        self.expire_offsets(now, &mut out, &mut unresolved);
        self.close(out, unresolved, effects);
        self.consider_snapshot();
        self.go_on_with_snapshot(effects);
        self.wake(now, effects);
    }

    /// Gives up: the log failed or another broker leads. Whoever waits is told to look elsewhere;
    /// answers that were already given as effects are the driver's to drop.
    pub fn resign(self, effects: &mut Vec<GroupEffect>) {
        for live in self.live.values() {
            let Some(classic) = &live.classic else {
                continue;
            };
            for (_, member) in classic.members.iter() {
                for request in [member.joining, member.syncing].into_iter().flatten() {
                    effects.push(GroupEffect::Answer {
                        request,
                        after: None,
                        reply: Reply::error(ErrorCode::NotCoordinator),
                    });
                }
            }
        }
    }

    /// What the records tell.
    #[must_use]
    pub const fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The number that the next write will have.
    #[must_use]
    pub const fn next_write(&self) -> WriteId {
        self.next_write
    }

    /// Asserts what must always hold.
    pub fn check(&self) {
        self.groups.check();
        for (id, group) in self.groups.iter() {
            let live = self.live.get(id);
            match &group.kind {
                Kind::Simple => {}
                Kind::Classic(_) => assert!(
                    live.is_some_and(|live| live.classic.is_some()),
                    "I-GRP-11: the classic group {id} is alive"
                ),
                Kind::Consumer(consumer) => match live {
                    Some(live) => live.sessions.check(consumer.members.keys()),
                    None => assert!(
                        consumer.members.is_empty(),
                        "I-GRP-12: every member of {id} has a session"
                    ),
                },
            }
        }
        let consumers = self
            .groups
            .iter()
            .filter_map(|(id, g)| Some((id, g.consumer()?)));
        let used = consumers.flat_map(|(id, group)| {
            let members = group.members.iter();
            members.filter_map(move |(member, known)| {
                Some((known.meta.pattern.clone()?, id.clone(), member.clone()))
            })
        });
        self.patterns.check(used.collect());
        for (id, live) in &self.live {
            if let Some(classic) = &live.classic {
                classic.check();
            }
            if let Some(timer) = live.timer {
                let kept = self.timers.contains(&(timer, id.clone()));
                assert!(kept, "I-GRP-13: the timer of {id} is kept");
            }
        }
        let timers = self
            .live
            .values()
            .filter(|live| live.timer.is_some())
            .count();
        assert_eq!(
            timers,
            self.timers.len(),
            "I-GRP-13: a timer belongs to a group"
        );
    }

    pub(crate) fn out(&self) -> Out {
        Out {
            write: self.next_write,
            ..Out::default()
        }
    }

    /// Lets one group be dealt with at the desk.
    pub(crate) fn turn<R>(
        &mut self,
        now: Now,
        id: &Name,
        out: &mut Out,
        unresolved: &mut Vec<Name>,
        rule: impl FnOnce(&mut Desk<'_>) -> R,
    ) -> R {
        let mut live = self.live.remove(id).unwrap_or_default();
        let mut desk = Desk {
            id,
            now,
            config: &self.config,
            topics: &self.topics,
            patterns: &mut self.patterns,
            unresolved,
            groups: &mut self.groups,
            live: &mut live,
            out,
        };
        let result = rule(&mut desk);
        let is_quiet = core::mem::take(&mut desk.live.is_quiet);
        if !is_quiet {
            desk.finish();
        }
        let kept = desk.live.timer.filter(|at| is_quiet && *at > now.tick);
        let timer = kept.or_else(|| desk.first_deadline());
        let after = live.last_write.max(self.last_gone);
        for (request, reply) in out.answers.drain(..) {
            out.sealed.push((request, after, reply));
        }
        if let Some(old) = live.timer.take() {
            self.timers.remove(&(old, id.clone()));
        }
        if self.groups.get(id).is_none() && live.is_idle() {
            self.last_gone = self.last_gone.max(live.last_write);
            return result;
        }
        if let Some(timer) = timer {
            self.timers.insert((timer, id.clone()));
            live.timer = Some(timer);
        }
        self.live.insert(id.clone(), live);
        result
    }

    fn run_timers(&mut self, now: Now, out: &mut Out, unresolved: &mut Vec<Name>) {
        let due: Vec<Name> = self
            .timers
            .iter()
            .take_while(|(at, _)| *at <= now.tick)
            .map(|(_, id)| id.clone())
            .collect();
        for id in due {
            self.turn(now, &id, out, unresolved, |desk| {
                if desk.live.classic.is_some() {
                    desk.expire_classic();
                } else if desk.is_consumer() {
                    desk.expire_consumer();
                }
            });
        }
    }

    /// The topics or what a pattern matches changed: every consumer group of these looks whether
    /// that concerns it. A pattern that is resolved for the first time is no change of topics.
    fn topics_changed(
        &mut self,
        now: Now,
        mut ids: Vec<Name>,
        first: bool,
        out: &mut Out,
        unresolved: &mut Vec<Name>,
    ) {
        ids.retain(|id| {
            let group = self.groups.get(id).and_then(crate::Group::consumer);
            group.is_some_and(|group| !group.members.is_empty())
        });
        for id in ids {
            self.turn(now, &id, out, unresolved, |desk| {
                let group = desk.the_consumer();
                if !group.waits_for_patterns(desk.patterns)
                    && desk.topics_hash() != group.meta.topics_hash
                {
                    if !first || desk.live.notebook.is_none() {
                        desk.note(CauseKind::PartitionsAdded, None, None);
                    }
                    desk.bump_epoch();
                }
                desk.update_target();
            });
        }
    }

    fn request(
        &mut self,
        now: Now,
        id: RequestId,
        request: Request,
        out: &mut Out,
        unresolved: &mut Vec<Name>,
    ) {
        let Some(group) = group_of(&request) else {
            self.ask_many(now, id, request, out, unresolved);
            return;
        };
        self.turn(now, &group, out, unresolved, |desk| match request {
            Request::JoinGroup(join) => desk.join(id, join),
            Request::SyncGroup(sync) => desk.sync(id, sync),
            Request::Heartbeat(beat) => desk.heartbeat(id, &beat),
            Request::LeaveGroup(leave) => desk.leave(id, leave),
            Request::ConsumerHeartbeat(beat) => desk.consumer_heartbeat(id, beat),
            Request::OffsetCommit(commit) => desk.commit(id, &commit),
            Request::OffsetFetch(fetch) => desk.fetch_offsets(id, &fetch),
            Request::OffsetDelete(delete) => desk.delete_offsets(id, &delete),
            Request::History { after, .. } => desk.tell_history(id, after),
            Request::ListGroups(_)
            | Request::DescribeGroups(_)
            | Request::ConsumerDescribe(_)
            | Request::DeleteGroups(_) => unreachable!("these name no single group"),
        });
    }

    /// Ends a step: one write, then the answers that may wait for it.
    pub(crate) fn close(
        &mut self,
        out: Out,
        unresolved: Vec<Name>,
        effects: &mut Vec<GroupEffect>,
    ) {
        if !out.records.is_empty() {
            self.write(out.records, effects);
        }
        for (request, after, reply) in out.sealed {
            effects.push(GroupEffect::Answer {
                request,
                after,
                reply,
            });
        }
        for (group, sequence) in out.grown {
            effects.push(GroupEffect::HistoryGrew {
                group,
                sequence,
                after: out.write,
            });
        }
        for pattern in unresolved {
            effects.push(GroupEffect::ResolvePattern { pattern });
        }
    }

    pub(crate) fn write(&mut self, records: Vec<GroupRecord>, effects: &mut Vec<GroupEffect>) {
        let write = self.next_write;
        self.next_write = WriteId(write.0 + 1);
        effects.push(GroupEffect::Write { write, records });
    }

    fn wake(&mut self, now: Now, effects: &mut Vec<GroupEffect>) {
        let mut first = self.expire_at;
        if let Some((timer, _)) = self.timers.first() {
            first = first.min(*timer);
        }
        if self.snapshot.is_some() {
            first = Tick(0);
        }
        // What is due at once is asked for each time: the driver forgets it once it came.
        if self.wake_at != Some(first) || first <= now.tick {
            self.wake_at = Some(first);
            effects.push(GroupEffect::WakeAt(first));
        }
    }
}

impl Desk<'_> {
    /// When this group has to be looked at again.
    fn first_deadline(&self) -> Option<Tick> {
        if let Some(classic) = &self.live.classic {
            return classic.first_deadline();
        }
        let first = self.live.sessions.first();
        first.into_iter().chain(self.target_due()).min()
    }
}

/// A group comes up from its records.
fn restore(desk: &mut Desk<'_>) {
    let Some(group) = desk.group() else { return };
    let members = match &group.kind {
        Kind::Simple => 0,
        Kind::Classic(meta) => {
            let members = meta.members.len();
            let classic = ClassicGroup::restored(meta, desk.now.tick);
            desk.live.classic = Some(classic);
            members
        }
        Kind::Consumer(consumer) => {
            let members = consumer.members.iter();
            let patterns =
                members.filter_map(|(id, m)| Some((id.clone(), m.meta.pattern.clone()?)));
            let patterns: Vec<(Name, Name)> = patterns.collect();
            let members = consumer.members.len();
            for (member, pattern) in &patterns {
                desk.use_pattern(member, pattern);
            }
            desk.start_sessions();
            members
        }
    };
    if members > 0 || desk.members_told().is_some_and(|told| !told.is_empty()) {
        desk.note_restored();
        if let Some(consumer) = desk.consumer()
            && !consumer.waits_for_patterns(desk.patterns)
            && desk.topics_hash() != consumer.meta.topics_hash
        {
            desk.note(CauseKind::PartitionsAdded, None, None);
            desk.bump_epoch();
        }
        if desk.is_consumer() {
            desk.update_target();
        }
    }
}

fn group_of(request: &Request) -> Option<Name> {
    let group = match request {
        Request::JoinGroup(join) => &join.group,
        Request::SyncGroup(sync) => &sync.group,
        Request::Heartbeat(beat) => &beat.group,
        Request::LeaveGroup(leave) => &leave.group,
        Request::ConsumerHeartbeat(beat) => &beat.group,
        Request::OffsetCommit(commit) => &commit.group,
        Request::OffsetFetch(fetch) => &fetch.group,
        Request::OffsetDelete(delete) => &delete.group,
        Request::History { group, .. } => group,
        Request::ListGroups(_)
        | Request::DescribeGroups(_)
        | Request::ConsumerDescribe(_)
        | Request::DeleteGroups(_) => return None,
    };
    Some(group.clone())
}
