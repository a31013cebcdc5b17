//! Between the two protocols while members run (KIP-848): a classic group becomes a consumer
//! group when the first member of the new protocol joins, and a classic group again when the last
//! one leaves. In between, classic members of a consumer group are led to their target by joins
//! and syncs instead of heartbeats.

use crate::{
    Assignment, GroupRecord, Name, Reply, RequestId,
    classic::{ClassicGroup, ClassicMember, ClassicState, ms},
    desk::Desk,
    embedded::{self, CONSUMER},
    group::{ConsumerGroup, Member},
    limits::SUBSCRIPTIONS_BYTES_MAX,
    record::{ClassicSide, ConsumerMeta, Current, MemberMeta, MemberState},
    reply::Joined,
    request::{Client, ConsumerHeartbeat, Heartbeat, JoinGroup, SyncGroup},
};
use alloc::{collections::BTreeSet, vec::Vec};
use weir_types::{CauseKind, ErrorCode, Tick};

impl Desk<'_> {
    /// Makes a consumer group of a classic group with members, for one that joins and will not be
    /// refused. They are told to join again; what they have is their target until then.
    pub(crate) fn upgrade(
        &mut self,
        newcomer: &Name,
        beat: &ConsumerHeartbeat,
    ) -> Result<(), (ErrorCode, &'static str)> {
        let text = "the group is a classic group and cannot be upgraded";
        let refused = (ErrorCode::GroupIdNotFound, text);
        let classic = self.live.classic.as_ref().ok_or(refused)?;
        if !self.config.migration.upgrades() || !classic.of_consumers() {
            return Err(refused);
        }
        let mut members = Vec::new();
        for (id, member) in classic.members.iter() {
            members.push((id.clone(), meta_of(member).ok_or(refused)?));
        }
        let instance = beat.instance_id.as_ref();
        let replaces = |id: &Name, meta: &MemberMeta| {
            id == newcomer || instance.is_some() && meta.instance_id.as_ref() == instance
        };
        let others = || members.iter().filter(|(id, meta)| !replaces(id, meta));
        let bytes = others().map(|(id, meta)| id.len() + meta.subscription_bytes());
        if others().count() >= self.config.members_max
            || bytes.sum::<usize>() + newcomer.len() + beat.subscription_bytes()
                > SUBSCRIPTIONS_BYTES_MAX
        {
            return Err((ErrorCode::GroupMaxSizeReached, "the group is full"));
        }
        self.note(CauseKind::ProtocolChanged, None, None);
        let shares = self.shares();
        let classic = self.live.classic.take().ok_or(refused)?;
        let epoch = classic.generation.max(1);
        for (id, member) in classic.members.iter() {
            if let Some(request) = member.joining {
                let reply = Joined::failed(ErrorCode::RebalanceInProgress, id.clone());
                self.answer(request, Reply::Joined(reply));
            }
            if let Some(request) = member.syncing {
                self.answer(request, Reply::error(ErrorCode::RebalanceInProgress));
            }
        }
        self.write_consumer(ConsumerMeta {
            epoch,
            topics_hash: 0,
            changed_at: self.now.wall,
        });
        // A leader of the classic protocol may have given a partition twice; here it may not be.
        let mut given = BTreeSet::new();
        for (id, meta) in members {
            let mut share = shares.get(&id).cloned().unwrap_or_default();
            for (topic, partitions) in &mut share {
                partitions.retain(|index| given.insert((*topic, *index)));
            }
            share.retain(|_, partitions| !partitions.is_empty());
            self.write_upgraded(&id, meta, share, epoch);
        }
        self.write_target_epoch(epoch);
        Ok(())
    }

    fn write_upgraded(&mut self, id: &Name, meta: MemberMeta, share: Assignment, epoch: i32) {
        self.write(GroupRecord::Member {
            group: self.id.clone(),
            member: id.clone(),
            value: Some(meta),
        });
        self.write(GroupRecord::Target {
            group: self.id.clone(),
            member: id.clone(),
            value: share.clone(),
        });
        let value = Current {
            epoch,
            previous_epoch: epoch,
            state: MemberState::Stable,
            assigned: share,
            revoking: Assignment::new(),
        };
        self.write_current(id, value);
        self.keep_session(id);
    }

    /// Makes a classic group of a consumer group in which nobody speaks the new protocol any
    /// more; whether it did.
    pub(crate) fn downgrade_if_due(&mut self) -> bool {
        let group = self.the_consumer();
        let due = !group.members.is_empty()
            && group.members.values().all(Member::is_classic)
            && self.config.migration.downgrades();
        if !due {
            return false;
        }
        let mut classic = ClassicGroup::new(group.meta.epoch);
        classic.protocol_type = Some(Name::from(CONSUMER));
        for (id, member) in &group.members {
            let arrival = classic.arrivals;
            classic.arrivals += 1;
            let assignment = embedded::write_assignment(&member.current.assigned, self.topics);
            let back = classic_of(member, assignment, self.now.tick, arrival);
            classic.members.put(id, back);
        }
        classic.protocol = classic.choose_protocol();
        classic.leader = classic.eldest(|_| true);
        classic.state = ClassicState::Stable;
        self.note(CauseKind::ProtocolChanged, None, None);
        let meta = classic.meta(self.now.wall);
        self.live.classic = Some(classic);
        self.live.sessions.clear();
        self.live.assigned_at = None;
        self.write_classic(meta);
        self.prepare_rebalance();
        true
    }

    /// Makes a classic group of a consumer group whose last member of the new protocol comes back by
    /// the classic one; whether it did.
    fn downgrade_for(&mut self, id: &Name, old: Option<&MemberMeta>, meta: &MemberMeta) -> bool {
        let changes = old.is_some_and(|old| old.classic.is_none());
        let mut others = self.the_consumer().members.iter();
        let is_last = others.all(|(other, member)| other == id || member.is_classic());
        if !changes || !is_last || !self.config.migration.downgrades() {
            return false;
        }
        // The epoch does not move on: it is the one that the others know, and it has to count until
        // they have joined again.
        self.write(GroupRecord::Member {
            group: self.id.clone(),
            member: id.clone(),
            value: Some(meta.clone()),
        });
        self.downgrade_if_due()
    }

    /// JoinGroup of a classic member in a consumer group with members.
    pub(crate) fn join_consumer_group(
        &mut self,
        request: RequestId,
        join: JoinGroup,
    ) -> Result<(), ErrorCode> {
        let group = self.the_consumer();
        let known = group.members.get(&join.member_id);
        if known.is_none() && group.members.len() >= self.config.members_max {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        let (meta, owned) = self
            .spoken(&join)
            .ok_or(ErrorCode::InconsistentGroupProtocol)?;
        if !group.has_room(&join.member_id, &meta) {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if join.member_id.is_empty() && join.instance_id.is_none() && join.require_known_member_id {
            let reply = Joined::failed(ErrorCode::MemberIdRequired, join.new_member_id);
            self.answer(request, Reply::Joined(reply));
            return Ok(());
        }
        let id = self.place(&join)?;
        let old = self
            .the_consumer()
            .members
            .get(&id)
            .map(|member| member.meta.clone());
        if self.downgrade_for(&id, old.as_ref(), &meta) {
            self.update_member(request, &id, join);
            self.rebalance_or_complete();
            return Ok(());
        }
        let mut meta = meta;
        if let Some(old) = &old {
            meta.assignor.clone_from(&old.assignor);
        }
        self.change_member(&id, old, meta, join.reason.clone());
        self.update_target();
        // It says with its join what it owns; an eager one has given up everything.
        self.reconcile(&id, Some(&owned), false);
        self.keep_session(&id);
        let patience = self.now.tick + ms(join.rebalance_timeout_ms);
        self.live.sessions.change(&id, |session| {
            session.join_by = None;
            session.sync_by = Some(patience);
        });
        let protocol = join.protocols.first().map(|(name, _)| name.clone());
        let reply = Joined {
            error: ErrorCode::None,
            generation: self.the_consumer().members[&id].current.epoch,
            protocol_type: Some(Name::from(CONSUMER)),
            protocol,
            leader: Name::from(""),
            skip_assignment: false,
            member_id: id,
            members: Vec::new(),
        };
        self.answer(request, Reply::Joined(reply));
        Ok(())
    }

    /// What a classic member says of itself, if it speaks what the others of its kind speak.
    fn spoken(&self, join: &JoinGroup) -> Option<(MemberMeta, Assignment)> {
        if &*join.protocol_type != CONSUMER {
            return None;
        }
        let (_, bytes) = join.protocols.first()?;
        let subscription = embedded::subscription(bytes)?;
        let offers = |name: &Name| join.protocols.iter().any(|(offered, _)| offered == name);
        let others = self.the_consumer().members.iter();
        let mut common: Option<BTreeSet<&Name>> = None;
        for (_, member) in others.filter(|(id, _)| **id != join.member_id) {
            if let Some(classic) = &member.meta.classic {
                let names = classic.protocols.iter().map(|(name, _)| name);
                let names = names.filter(|name| offers(name));
                common = Some(match common {
                    Some(common) => names.filter(|name| common.contains(name)).collect(),
                    None => names.collect(),
                });
            }
        }
        if common.is_some_and(|common| common.is_empty()) {
            return None;
        }
        let owned = embedded::by_id(&subscription.owned, self.topics);
        let meta = MemberMeta {
            instance_id: join.instance_id.clone(),
            rack: subscription.rack,
            client_id: join.client.id.clone(),
            client_host: join.client.host.clone(),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            topics: subscription.topics,
            pattern: None,
            assignor: None,
            classic: Some(ClassicSide {
                session_timeout_ms: join.session_timeout_ms,
                protocols: join.protocols.clone(),
            }),
        };
        Some((meta, owned))
    }

    /// Under which id a classic member is in the group from now on.
    fn place(&mut self, join: &JoinGroup) -> Result<Name, ErrorCode> {
        let group = self.the_consumer();
        if let Some(instance) = &join.instance_id {
            let found = group.instance(instance).map(|(id, _)| id.clone());
            return match found {
                Some(old) if join.member_id.is_empty() => {
                    let id = join.new_member_id.clone();
                    self.take_place_of(&old, &id);
                    Ok(id)
                }
                Some(old) if old != join.member_id => Err(ErrorCode::FencedInstanceId),
                Some(old) => Ok(old),
                None if join.member_id.is_empty() => Ok(join.new_member_id.clone()),
                None => Err(ErrorCode::UnknownMemberId),
            };
        }
        if join.member_id.is_empty() {
            return Ok(join.new_member_id.clone());
        }
        // An id that was given away and not kept: the first join with it makes the member.
        Ok(join.member_id.clone())
    }

    /// SyncGroup of a classic member in a consumer group.
    pub(crate) fn sync_consumer_group(
        &mut self,
        request: RequestId,
        sync: &SyncGroup,
    ) -> Result<(), ErrorCode> {
        let (id, generation) = (&sync.member_id, sync.generation);
        self.validate_classic(id, sync.instance_id.as_ref(), generation)?;
        let member = &self.the_consumer().members[id];
        let protocols = member.meta.classic.as_ref().map(|side| &side.protocols);
        let first = protocols.and_then(|protocols| protocols.first());
        let protocol = first.map(|(name, _)| name.clone());
        let other =
            |said: &Option<Name>, known: Option<&str>| said.is_some() && said.as_deref() != known;
        if other(&sync.protocol_type, Some(CONSUMER)) || other(&sync.protocol, protocol.as_deref())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if behind(self.the_consumer(), member) && member.current.state != MemberState::Unrevoked {
            self.expect_join(id);
            return Err(ErrorCode::RebalanceInProgress);
        }
        let assignment = embedded::write_assignment(&member.current.assigned, self.topics);
        self.keep_session(id);
        self.live
            .sessions
            .change(id, |session| session.sync_by = None);
        let reply = Reply::Synced {
            protocol_type: Some(Name::from(CONSUMER)),
            protocol,
            assignment,
        };
        self.answer(request, reply);
        Ok(())
    }

    /// Heartbeat of a classic member in a consumer group: whether it has to join again.
    pub(crate) fn heartbeat_in_consumer_group(
        &mut self,
        beat: &Heartbeat,
    ) -> Result<ErrorCode, ErrorCode> {
        let id = &beat.member_id;
        self.validate_classic(id, beat.instance_id.as_ref(), beat.generation)?;
        self.keep_session(id);
        let group = self.the_consumer();
        let member = &group.members[id];
        let freed = member.current.state == MemberState::Unreleased && !waits(group, id, member);
        if behind(group, member) || member.current.state == MemberState::Unrevoked || freed {
            self.expect_join(id);
            return Ok(ErrorCode::RebalanceInProgress);
        }
        Ok(ErrorCode::None)
    }

    fn validate_classic(
        &self,
        id: &Name,
        instance: Option<&Name>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        let group = self.the_consumer();
        if let Some(instance) = instance {
            let (known, _) = group.instance(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if known != id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        let member = group.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        if !member.is_classic() {
            return Err(ErrorCode::UnknownMemberId);
        }
        if member.current.epoch != generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(())
    }

    /// A classic member was told to join again: for so long it is waited for.
    fn expect_join(&mut self, id: &Name) {
        let member = &self.the_consumer().members[id];
        let until = self.now.tick + ms(member.meta.rebalance_timeout_ms);
        self.live.sessions.change(id, |session| {
            session.join_by.get_or_insert(until);
        });
    }

    /// The timers of a group that was read from its records.
    pub(crate) fn start_sessions(&mut self) {
        let Some(group) = self.consumer() else { return };
        let ids: Vec<Name> = group.members.keys().cloned().collect();
        for id in ids {
            self.keep_session(&id);
        }
    }
}

/// Whether there is a target that the member has not reached.
fn behind(group: &ConsumerGroup, member: &Member) -> bool {
    member.current.epoch < group.target_epoch
}

/// Whether a partition of its target is still another's.
fn waits(group: &ConsumerGroup, id: &Name, member: &Member) -> bool {
    member.target.iter().any(|(topic, partitions)| {
        partitions
            .iter()
            .any(|index| group.owner(*topic, *index).is_some_and(|owner| owner != id))
    })
}

/// What a consumer group keeps of a classic member, if its subscription can be read.
fn meta_of(member: &ClassicMember) -> Option<MemberMeta> {
    let (_, bytes) = member.protocols.first()?;
    let subscription = embedded::subscription(bytes)?;
    Some(MemberMeta {
        instance_id: member.instance_id.clone(),
        rack: subscription.rack,
        client_id: member.client.id.clone(),
        client_host: member.client.host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        topics: subscription.topics,
        pattern: None,
        assignor: None,
        classic: Some(ClassicSide {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    })
}

/// A member of a consumer group as a member of a classic one.
fn classic_of(member: &Member, assignment: bytes::Bytes, now: Tick, arrival: u64) -> ClassicMember {
    let side = member.meta.classic.clone().unwrap_or(ClassicSide {
        session_timeout_ms: 0,
        protocols: Vec::new(),
    });
    ClassicMember {
        instance_id: member.meta.instance_id.clone(),
        client: Client {
            id: member.meta.client_id.clone(),
            host: member.meta.client_host.clone(),
        },
        rebalance_timeout_ms: member.meta.rebalance_timeout_ms,
        session_timeout_ms: side.session_timeout_ms,
        protocols: side.protocols,
        assignment,
        joining: None,
        syncing: None,
        new_until: None,
        deadline: now + ms(side.session_timeout_ms),
        arrival,
    }
}
