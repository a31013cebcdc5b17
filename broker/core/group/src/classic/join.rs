//! JoinGroup in a classic group.

use super::{ClassicGroup, ClassicMember, ClassicState, ms, new_until, protocols_bytes};
use crate::{
    GroupRecord, Kind, Name, Reply, RequestId,
    desk::Desk,
    embedded,
    limits::{
        GROUP_ID_BYTES_MAX, MEMBER_BLOB_BYTES_MAX, MEMBER_TEXT_BYTES_MAX, PROTOCOLS_MAX,
        SUBSCRIPTIONS_BYTES_MAX,
    },
    reply::Joined,
    request::JoinGroup,
};
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;
use weir_types::{CauseKind, ErrorCode};

/// Whether a group may have that id.
pub(crate) fn valid_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= GROUP_ID_BYTES_MAX
}

impl Desk<'_> {
    /// JoinGroup, whatever the kind of the group. The answer may wait until everybody has joined.
    pub(crate) fn join(&mut self, request: RequestId, mut join: JoinGroup) {
        // The frame they came in may be large: keep the subscriptions, not the frame.
        for (_, subscription) in &mut join.protocols {
            *subscription = Bytes::copy_from_slice(subscription);
        }
        let member_id = join.member_id.clone();
        if let Err(error) = self.try_join(request, join) {
            self.answer(request, Reply::Joined(Joined::failed(error, member_id)));
        }
    }

    fn try_join(&mut self, request: RequestId, join: JoinGroup) -> Result<(), ErrorCode> {
        validate(&join)?;
        let (least, most) = (
            self.config.session_timeout_min_ms,
            self.config.session_timeout_max_ms,
        );
        if !(least..=most).contains(&join.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        if let Some(consumer) = self.consumer() {
            if !consumer.members.is_empty() {
                return self.join_consumer_group(request, join);
            }
            // Nobody is in it: it becomes a classic group, with its offsets, and goes on counting.
            let generation = consumer.meta.epoch;
            self.live.sessions.clear();
            let classic = ClassicGroup::new(generation);
            let meta = classic.meta(self.now.wall);
            self.live.classic = Some(classic);
            self.write_classic(meta);
        }
        if self.live.classic.is_none() {
            if !join.member_id.is_empty() {
                return Err(ErrorCode::UnknownMemberId);
            }
            self.live.classic = Some(ClassicGroup::new(0));
        }
        if !self.accepts(&join.member_id) {
            self.classic().pending.put(&join.member_id, None);
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if !self
            .classic()
            .supports(&join.protocol_type, &join.protocols)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let others = self.classic().members.bytes_without(&join.member_id);
        if others + bytes_of(&join) > SUBSCRIPTIONS_BYTES_MAX {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if join.member_id.is_empty() {
            self.join_new(request, join);
            return Ok(());
        }
        self.join_known(request, join)
    }

    pub(crate) fn write_classic(&mut self, meta: crate::record::ClassicMeta) {
        self.write(GroupRecord::Classic {
            group: self.id.clone(),
            value: Some(meta),
        });
    }

    /// Whether there is room for a member.
    fn accepts(&mut self, member: &Name) -> bool {
        let max = self.config.members_max;
        let group = self.classic();
        let known = group.members.get(member);
        match group.state {
            ClassicState::Empty => true,
            ClassicState::PreparingRebalance => {
                known.is_some_and(|member| member.joining.is_some())
                    || group.members.joining() < max
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                known.is_some() || group.members.len() < max
            }
        }
    }

    fn join_new(&mut self, request: RequestId, join: JoinGroup) {
        let member_id = join.new_member_id.clone();
        if let Some(instance) = &join.instance_id {
            if let Some(old) = self.classic().members.instance(instance).cloned() {
                self.replace_static(request, &old, join);
            } else {
                self.add_member(request, member_id, join);
            }
        } else if join.require_known_member_id {
            if self.classic().pending.len() >= self.config.members_max {
                let reply = Joined::failed(ErrorCode::GroupMaxSizeReached, join.member_id);
                self.answer(request, Reply::Joined(reply));
                return;
            }
            let until = self.now.tick + ms(join.session_timeout_ms);
            self.classic().pending.put(&member_id, Some(until));
            let reply = Joined::failed(ErrorCode::MemberIdRequired, member_id);
            self.answer(request, Reply::Joined(reply));
        } else {
            self.add_member(request, member_id, join);
        }
    }

    fn join_known(&mut self, request: RequestId, join: JoinGroup) -> Result<(), ErrorCode> {
        let member_id = join.member_id.clone();
        if join.instance_id.is_none() && self.classic().pending.contains(&member_id) {
            self.add_member(request, member_id, join);
            return Ok(());
        }
        let group = self.classic();
        group.validate(&member_id, join.instance_id.as_ref())?;
        let is_leader = group.leader.as_ref() == Some(&member_id);
        let same = group.members[&member_id].protocols == join.protocols;
        match group.state {
            // The answer was lost, or a follower asks for nothing new: it is told again.
            ClassicState::CompletingRebalance if same => self.tell_again(request, &member_id),
            ClassicState::Stable if same && !is_leader => self.tell_again(request, &member_id),
            ClassicState::PreparingRebalance
            | ClassicState::CompletingRebalance
            | ClassicState::Stable => {
                let resubscribed =
                    read(&group.members[&member_id].protocols) != read(&join.protocols);
                // Who only follows the others into a rebalance is no cause of it.
                if resubscribed {
                    self.note(
                        CauseKind::Subscription,
                        Some(&member_id),
                        join.reason.clone(),
                    );
                } else if group.state != ClassicState::PreparingRebalance {
                    self.note(CauseKind::Joined, Some(&member_id), join.reason.clone());
                }
                self.update_member(request, &member_id, join);
                self.rebalance_or_complete();
            }
            ClassicState::Empty => return Err(ErrorCode::UnknownMemberId),
        }
        Ok(())
    }

    /// A member comes for the first time.
    fn add_member(&mut self, request: RequestId, id: Name, join: JoinGroup) {
        self.note(CauseKind::Joined, Some(&id), join.reason.clone());
        let tick = self.now.tick;
        let group = self.classic();
        group.pending.put(&id, None);
        if group.members.is_empty() {
            group.protocol_type = Some(join.protocol_type.clone());
        }
        let mut member = ClassicMember {
            instance_id: join.instance_id.clone(),
            client: join.client.clone(),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            joining: Some(request),
            syncing: None,
            new_until: Some(new_until(tick)),
            deadline: tick,
            arrival: group.arrivals,
        };
        member.seen(tick);
        group.arrivals += 1;
        group.newcomer = true;
        group.leader.get_or_insert_with(|| id.clone());
        group.members.put(&id, member);
        self.stands(&id);
        self.rebalance_or_complete();
    }

    pub(crate) fn update_member(&mut self, request: RequestId, id: &Name, join: JoinGroup) {
        let tick = self.now.tick;
        let group = self.classic();
        let Some(mut member) = group.members.remove(id) else {
            return;
        };
        member.protocols = join.protocols;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        member.client = join.client;
        member.seen(tick);
        let earlier = member.joining.replace(request);
        group.members.put(id, member);
        if let Some(earlier) = earlier {
            let reply = Joined::failed(ErrorCode::RebalanceInProgress, id.clone());
            self.answer(earlier, Reply::Joined(reply));
        }
        self.stands(id);
    }

    /// An eager member has nothing to read from its join on.
    fn stands(&mut self, id: &Name) {
        let now = self.now;
        let eager = self
            .classic()
            .members
            .get(id)
            .is_some_and(ClassicMember::is_eager);
        if let Some(notebook) = self.live.notebook.as_mut().filter(|_| eager) {
            notebook.stands(id, now);
        }
    }

    /// Tells a member the generation it is in.
    fn tell_again(&mut self, request: RequestId, id: &Name) {
        let tick = self.now.tick;
        let group = self.classic();
        group.members.change(id, |member| member.seen(tick));
        let reply = group.told(id);
        self.answer(request, Reply::Joined(reply));
    }

    /// A static member came back under a new id (KIP-345): it takes the old one's place, and if
    /// that changes nothing for the others, nobody has to join again (KIP-814).
    fn replace_static(&mut self, request: RequestId, old: &Name, join: JoinGroup) {
        let id = join.new_member_id.clone();
        self.note(CauseKind::Joined, Some(&id), join.reason.clone());
        let skipping = join.supports_skipping_assignment;
        let (tick, wall) = (self.now.tick, self.now.wall);
        let group = self.classic();
        let previous_leader = group.leader.clone();
        let Some(mut member) = group.members.remove(old) else {
            return;
        };
        if group.leader.as_ref() == Some(old) {
            group.leader = Some(id.clone());
        }
        if group.unsynced.remove(old) {
            group.unsynced.insert(id.clone());
        }
        let (joining, syncing) = (member.joining.take(), member.syncing.take());
        member.protocols = join.protocols;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        member.client = join.client;
        member.seen(tick);
        group.members.put(&id, member);
        self.fence_parked(old, joining, syncing);
        let group = self.classic();
        let unchanged = group.choose_protocol() == group.protocol;
        if group.state == ClassicState::Stable && unchanged {
            let meta = group.meta(wall);
            self.write_classic(meta);
            let mut reply = self.classic().told(&id);
            if skipping {
                reply.skip_assignment = !reply.members.is_empty();
            } else {
                // An old client must not believe that it leads, or it would assign anew.
                reply.members = Vec::new();
                reply.leader = previous_leader.unwrap_or(reply.leader);
            }
            self.answer(request, Reply::Joined(reply));
            return;
        }
        let members = &mut self.classic().members;
        members.change(&id, |member| member.joining = Some(request));
        self.stands(&id);
        self.rebalance_or_complete();
    }

    fn fence_parked(&mut self, old: &Name, joining: Option<RequestId>, syncing: Option<RequestId>) {
        if let Some(request) = joining {
            let reply = Joined::failed(ErrorCode::FencedInstanceId, old.clone());
            self.answer(request, Reply::Joined(reply));
        }
        if let Some(request) = syncing {
            self.answer(request, Reply::error(ErrorCode::FencedInstanceId));
        }
    }

    /// Whether the durable group is a consumer group.
    pub(crate) fn is_consumer(&self) -> bool {
        matches!(
            self.group().map(|group| &group.kind),
            Some(Kind::Consumer(_))
        )
    }
}

impl ClassicGroup {
    /// What a member is told of its generation; the leader is told of everybody.
    pub(crate) fn told(&self, id: &Name) -> Joined {
        let leader = self.leader.clone().unwrap_or_else(|| Name::from(""));
        let protocol = self.protocol.clone().unwrap_or_else(|| Name::from(""));
        let members = if leader == *id {
            let all = self.members.iter();
            all.map(|(id, member)| {
                (
                    id.clone(),
                    member.instance_id.clone(),
                    member.subscription(&protocol),
                )
            })
            .collect()
        } else {
            Vec::new()
        };
        Joined {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader,
            skip_assignment: false,
            member_id: id.clone(),
            members,
        }
    }
}

/// The protocols and the topics that a member asks for; what it owns is left out.
fn read(protocols: &[(Name, Bytes)]) -> Vec<(&Name, Option<BTreeSet<Name>>)> {
    let topics = |bytes| embedded::subscription(bytes).map(|subscription| subscription.topics);
    protocols
        .iter()
        .map(|(name, bytes)| (name, topics(bytes)))
        .collect()
}

/// How many bytes a member brings along.
fn bytes_of(join: &JoinGroup) -> usize {
    let texts = [
        join.member_id.len().max(join.new_member_id.len()),
        join.instance_id
            .as_ref()
            .map_or(0, |instance| instance.len()),
        join.client.id.len(),
        join.client.host.len(),
    ];
    texts.into_iter().sum::<usize>() + protocols_bytes(&join.protocols)
}

fn validate(join: &JoinGroup) -> Result<(), ErrorCode> {
    if !valid_id(&join.group) {
        return Err(ErrorCode::InvalidGroupId);
    }
    let instance = join.instance_id.as_ref().map_or(0, |id| id.len());
    let texts = [join.member_id.len(), instance, join.client.id.len()];
    if texts
        .into_iter()
        .any(|length| length > MEMBER_TEXT_BYTES_MAX)
        || join.protocols.len() > PROTOCOLS_MAX
        || protocols_bytes(&join.protocols) > MEMBER_BLOB_BYTES_MAX
    {
        return Err(ErrorCode::InvalidRequest);
    }
    Ok(())
}
