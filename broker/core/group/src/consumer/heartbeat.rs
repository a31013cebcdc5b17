//! ConsumerGroupHeartbeat: join, keep up, and be led to the target.

use super::{JOIN, LEAVE, LEAVE_STATIC, holds};
use crate::{
    Assignment, GroupRecord, Name, Reply, RequestId, assignor,
    classic::ms,
    desk::Desk,
    group::Member,
    limits::{MEMBER_TEXT_BYTES_MAX, SUBSCRIPTION_TOPICS_MAX},
    live::Session,
    record::{ConsumerMeta, Current, MemberMeta, MemberState},
    reply::HeartbeatReply,
    request::ConsumerHeartbeat,
};
use weir_types::{CauseKind, ErrorCode, limits::PATTERN_BYTES_MAX};

/// Why a heartbeat is refused: the error and a sentence for people.
pub(super) type Refusal = (ErrorCode, &'static str);

impl Desk<'_> {
    /// ConsumerGroupHeartbeat, whatever the kind of the group.
    pub(crate) fn consumer_heartbeat(&mut self, request: RequestId, beat: ConsumerHeartbeat) {
        let reply = match self.try_consumer_heartbeat(beat) {
            Ok(reply) => Reply::Heartbeat(reply),
            Err((error, text)) => Reply::Refused { error, text },
        };
        self.answer(request, reply);
    }

    fn try_consumer_heartbeat(
        &mut self,
        beat: ConsumerHeartbeat,
    ) -> Result<HeartbeatReply, Refusal> {
        validate(&beat)?;
        if beat.member_epoch == LEAVE || beat.member_epoch == LEAVE_STATIC {
            return self.consumer_leave(&beat);
        }
        let id = if beat.member_id.is_empty() {
            beat.new_member_id.clone()
        } else {
            beat.member_id.clone()
        };
        self.make_consumer_group(&id, &beat)?;
        let known = self.locate(&id, &beat)?;
        if self.is_quiet(&id, &beat) {
            self.live.is_quiet = true;
            self.keep_session(&id);
            return Ok(HeartbeatReply {
                member_id: id,
                member_epoch: beat.member_epoch,
                heartbeat_interval_ms: self.config.consumer_heartbeat_interval_ms,
                assignment: None,
            });
        }
        self.put_member(&id, &beat)?;
        let full = beat.member_epoch == JOIN
            || beat.owned.is_some()
                && (beat.topics.is_some() || beat.pattern.is_some())
                && beat.rebalance_timeout_ms >= 0;
        self.update_target();
        let moved = self.reconcile(&id, beat.owned.as_ref(), beat.member_epoch == JOIN);
        self.keep_session(&id);
        let current = &self.the_consumer().members[&id].current;
        let is_told = full || moved || beat.member_epoch != current.epoch || !known;
        Ok(HeartbeatReply {
            member_epoch: current.epoch,
            heartbeat_interval_ms: self.config.consumer_heartbeat_interval_ms,
            assignment: is_told.then(|| current.assigned.clone()),
            member_id: id,
        })
    }

    /// Whether a member has what it shall have and its heartbeat says nothing else: most are so, and
    /// none of them may cost more the larger the group is.
    fn is_quiet(&self, id: &Name, beat: &ConsumerHeartbeat) -> bool {
        let says_nothing = beat.rebalance_timeout_ms < 0
            && beat.topics.is_none()
            && beat.pattern.is_none()
            && beat.assignor.is_none()
            && beat.rack.is_none()
            && beat.owned.is_none();
        let group = self.the_consumer();
        says_nothing
            && group.meta.epoch == group.target_epoch
            && group.members.get(id).is_some_and(|member| {
                member.current.state == MemberState::Stable
                    && member.current.epoch == group.target_epoch
                    && member.current.epoch == beat.member_epoch
                    && !member.is_classic()
                    && member.meta.client_id == beat.client.id
                    && member.meta.client_host == beat.client.host
            })
    }

    /// Sees to it that there is a consumer group to be in.
    fn make_consumer_group(&mut self, id: &Name, beat: &ConsumerHeartbeat) -> Result<(), Refusal> {
        if self.is_consumer() {
            return Ok(());
        }
        if beat.member_epoch != JOIN {
            // Kafka says GROUP_ID_NOT_FOUND here, which kills its client; with this the member of a
            // group that was downgraded in its absence joins again.
            let text = "there is no consumer group of that id";
            return Err((ErrorCode::UnknownMemberId, text));
        }
        let classic = self.live.classic.as_ref();
        if classic.is_some_and(|classic| !classic.members.is_empty()) {
            return self.upgrade(id, beat);
        }
        // A group that was classic goes on counting, so that no epoch means two things.
        let epoch = classic.map_or(0, |classic| classic.generation);
        self.live.classic = None;
        let value = ConsumerMeta {
            epoch,
            topics_hash: 0,
            changed_at: self.now.wall,
        };
        self.write_consumer(value);
        self.write_target_epoch(epoch);
        Ok(())
    }

    pub(crate) fn write_consumer(&mut self, value: ConsumerMeta) {
        self.write(GroupRecord::Consumer {
            group: self.id.clone(),
            value: Some(value),
        });
    }

    pub(crate) fn write_target_epoch(&mut self, epoch: i32) {
        self.write(GroupRecord::TargetEpoch {
            group: self.id.clone(),
            epoch,
        });
    }

    /// Whether the member is known; refuses those that are fenced. A static member that comes
    /// back takes the place it had.
    fn locate(&mut self, id: &Name, beat: &ConsumerHeartbeat) -> Result<bool, Refusal> {
        let group = self.the_consumer();
        if let Some(instance) = &beat.instance_id {
            let found = group.instance(instance);
            let found = found.map(|(id, member)| (id.clone(), member.is_released()));
            match (found, beat.member_epoch) {
                (Some((old, released)), JOIN) if old != *id => {
                    if !released {
                        let text = "another member has this instance id and has not left";
                        return Err((ErrorCode::UnreleasedInstanceId, text));
                    }
                    self.take_place_of(&old, id);
                    return Ok(false);
                }
                (Some((old, _)), _) if old != *id => {
                    let text = "another member took over this instance id";
                    return Err((ErrorCode::FencedInstanceId, text));
                }
                (None, epoch) if epoch != JOIN => {
                    return Err((ErrorCode::UnknownMemberId, "no member has this instance id"));
                }
                _ => {}
            }
        }
        let group = self.the_consumer();
        match group.members.get(id) {
            None if beat.member_epoch != JOIN => {
                Err((ErrorCode::UnknownMemberId, "the group has no such member"))
            }
            None if group.members.len() >= self.config.members_max => {
                Err((ErrorCode::GroupMaxSizeReached, "the group is full"))
            }
            None => Ok(false),
            Some(_) if beat.member_epoch == JOIN => Ok(true),
            Some(member) => epoch_fits(member, beat).map(|()| true),
        }
    }

    /// A static member comes back under another id.
    pub(crate) fn take_place_of(&mut self, old: &Name, id: &Name) {
        let member = self.the_consumer().members[old].clone();
        self.note(CauseKind::Joined, Some(id), None);
        // First the new one, so that its pattern is used all the time.
        self.write(GroupRecord::Member {
            group: self.id.clone(),
            member: id.clone(),
            value: Some(member.meta),
        });
        self.write(GroupRecord::Member {
            group: self.id.clone(),
            member: old.clone(),
            value: None,
        });
        self.live.sessions.remove(old);
        self.write(GroupRecord::Target {
            group: self.id.clone(),
            member: id.clone(),
            value: member.target,
        });
        let value = Current {
            epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            ..member.current
        };
        self.write_current(id, value);
    }

    pub(crate) fn write_current(&mut self, id: &Name, value: Current) {
        self.write(GroupRecord::Current {
            group: self.id.clone(),
            member: id.clone(),
            value,
        });
    }

    /// Takes over what the heartbeat says about its member.
    fn put_member(&mut self, id: &Name, beat: &ConsumerHeartbeat) -> Result<(), Refusal> {
        let old = self.the_consumer().members.get(id);
        let old = old.map(|member| member.meta.clone());
        let mut meta = old.clone().unwrap_or_else(|| MemberMeta {
            instance_id: beat.instance_id.clone(),
            rack: None,
            client_id: beat.client.id.clone(),
            client_host: beat.client.host.clone(),
            rebalance_timeout_ms: beat.rebalance_timeout_ms,
            topics: alloc::collections::BTreeSet::new(),
            pattern: None,
            assignor: None,
            classic: None,
        });
        if beat.rebalance_timeout_ms >= 0 {
            meta.rebalance_timeout_ms = beat.rebalance_timeout_ms;
        }
        if let Some(topics) = &beat.topics {
            meta.topics.clone_from(topics);
        }
        if let Some(pattern) = &beat.pattern {
            meta.pattern = Some(pattern.clone()).filter(|pattern| !pattern.is_empty());
        }
        if beat.assignor.is_some() {
            meta.assignor.clone_from(&beat.assignor);
        }
        if beat.rack.is_some() {
            meta.rack.clone_from(&beat.rack);
        }
        // One that spoke the classic protocol and joins by this one has been upgraded.
        meta.classic = None;
        meta.client_id = beat.client.id.clone();
        meta.client_host = beat.client.host.clone();
        if old.as_ref() != Some(&meta) && !self.the_consumer().has_room(id, &meta) {
            let text = "the subscriptions of the group are too large together";
            return Err((ErrorCode::GroupMaxSizeReached, text));
        }
        self.change_member(id, old, meta, None);
        Ok(())
    }

    /// Writes a member's subscription if it changed, and lets the epoch move on if that matters.
    pub(crate) fn change_member(
        &mut self,
        id: &Name,
        old: Option<MemberMeta>,
        meta: MemberMeta,
        reason: Option<Name>,
    ) {
        if old.as_ref() == Some(&meta) {
            return;
        }
        let kind = match &old {
            None => Some(CauseKind::Joined),
            Some(old) if old.topics != meta.topics || old.pattern != meta.pattern => {
                Some(CauseKind::Subscription)
            }
            Some(old) if old.assignor != meta.assignor => Some(CauseKind::Subscription),
            Some(old) if old.classic.is_some() != meta.classic.is_some() => {
                Some(CauseKind::ProtocolChanged)
            }
            Some(_) => None,
        };
        if let Some(kind) = kind {
            let reason = reason.or_else(|| meta.pattern.clone());
            self.note(kind, Some(id), reason);
        }
        self.write(GroupRecord::Member {
            group: self.id.clone(),
            member: id.clone(),
            value: Some(meta),
        });
        if kind.is_some() {
            self.bump_epoch();
        }
    }

    /// The group is to be assigned anew. The epoch moves on unless it already did and its target
    /// is still to be computed.
    pub(crate) fn bump_epoch(&mut self) {
        let hash = self.topics_hash();
        let group = self.the_consumer();
        let pending = group.meta.epoch > group.target_epoch;
        if !pending {
            self.live.wanted_at = Some(self.now.tick);
        }
        let group = self.the_consumer();
        let value = ConsumerMeta {
            epoch: group.meta.epoch + i32::from(!pending),
            topics_hash: hash,
            changed_at: if pending {
                group.meta.changed_at
            } else {
                self.now.wall
            },
        };
        if value != group.meta {
            self.write_consumer(value);
        }
    }

    pub(crate) fn topics_hash(&self) -> u64 {
        super::topics_hash(&self.the_consumer().subscribed(self.patterns), self.topics)
    }

    /// Counts a member's time anew.
    pub(crate) fn keep_session(&mut self, id: &Name) {
        let tick = self.now.tick;
        let Some(member) = self.consumer().and_then(|group| group.members.get(id)) else {
            return;
        };
        let silence = match &member.meta.classic {
            Some(classic) => ms(classic.session_timeout_ms),
            None => self.config.consumer_session_timeout_ms,
        };
        // A classic member is told to join again, which has its own time.
        let revokes = member.current.state == MemberState::Unrevoked && !member.is_classic();
        let patience = ms(member.meta.rebalance_timeout_ms);
        if self.live.sessions.get(id).is_none() {
            self.live.sessions.put(id, Session::new(tick + silence));
        }
        self.live.sessions.change(id, |session| {
            session.deadline = tick + silence;
            if revokes {
                session.revoke_by.get_or_insert(tick + patience);
            } else {
                session.revoke_by = None;
            }
        });
    }
}

/// That the member's epoch is what it was told last, or what it was told before and the answer
/// was lost.
fn epoch_fits(member: &Member, beat: &ConsumerHeartbeat) -> Result<(), Refusal> {
    let current = &member.current;
    if beat.member_epoch == current.epoch {
        return Ok(());
    }
    let lost = beat.member_epoch == current.previous_epoch
        && beat.member_epoch < current.epoch
        && beat
            .owned
            .as_ref()
            .is_some_and(|owned| is_subset(owned, &current.assigned));
    if lost {
        return Ok(());
    }
    let text = "the member's epoch is not the one the coordinator knows; it must give up its \
                partitions and join again";
    Err((ErrorCode::FencedMemberEpoch, text))
}

fn is_subset(owned: &Assignment, assigned: &Assignment) -> bool {
    owned.iter().all(|(topic, partitions)| {
        partitions
            .iter()
            .all(|index| holds(assigned, *topic, *index))
    })
}

fn validate(beat: &ConsumerHeartbeat) -> Result<(), Refusal> {
    let bad = |text| Err((ErrorCode::InvalidRequest, text));
    if !crate::classic::valid_id(&beat.group) {
        return Err((
            ErrorCode::InvalidGroupId,
            "the group id is empty or too long",
        ));
    }
    let empty = |text: &Option<Name>| text.as_ref().is_some_and(|text| text.is_empty());
    if empty(&beat.instance_id) || empty(&beat.rack) {
        return bad("an instance id or a rack must not be empty");
    }
    let long = |text: &Option<Name>| text.as_ref().map_or(0, |text| text.len());
    let texts = [
        beat.member_id.len(),
        long(&beat.instance_id),
        long(&beat.rack),
        beat.client.id.len(),
    ];
    if texts
        .into_iter()
        .any(|length| length > MEMBER_TEXT_BYTES_MAX)
        || long(&beat.pattern) > PATTERN_BYTES_MAX
        || beat
            .topics
            .as_ref()
            .is_some_and(|topics| topics.len() > SUBSCRIPTION_TOPICS_MAX)
    {
        return bad("an id, the pattern or the list of topics is too long");
    }
    match beat.member_epoch {
        JOIN => {
            if beat.rebalance_timeout_ms < 0 {
                return bad("a member that joins must say its rebalance timeout");
            }
            if beat.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return bad("a member that joins must own nothing and say so");
            }
            let pattern = beat
                .pattern
                .as_ref()
                .is_some_and(|pattern| !pattern.is_empty());
            if beat.topics.as_ref().is_none_or(|topics| topics.is_empty()) && !pattern {
                return bad("a member that joins must say which topics it wants");
            }
        }
        LEAVE_STATIC if beat.instance_id.is_none() => {
            return bad("only a member with an instance id can leave to come back");
        }
        LEAVE | LEAVE_STATIC | 1.. => {
            if beat.member_id.is_empty() {
                return bad("the member id must not be empty");
            }
        }
        _ => return bad("the member epoch is none"),
    }
    let assignor = beat.assignor.as_ref();
    if assignor.is_some_and(|name| assignor::find(name).is_none()) {
        return Err((
            ErrorCode::UnsupportedAssignor,
            "the assignors are uniform and range",
        ));
    }
    Ok(())
}
