//! The classic protocol: join, have the leader share out, sync, keep beating.

use super::{
    Member, Protocol, Step,
    assign::{self, Claim},
    committing::Then,
};
use crate::{
    checks::protocol,
    client::{Context, link::version},
    random::Random,
    violation::Checked,
};
use std::collections::{BTreeMap, BTreeSet};
use weir_types::{ErrorCode, PartitionIndex};
use weir_wire::{
    ApiKey, Text,
    embedded::Embedded,
    messages::{
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, ConsumerProtocolTopicPartition,
        FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupRequestProtocol,
        JoinGroupResponse, LeaveGroupRequest, MemberIdentity, SyncGroupRequest,
        SyncGroupRequestAssignment, SyncGroupResponse,
    },
};

/// How much longer than it should a join may take, in milliseconds.
const JOIN_MS_EXTRA: u64 = 10_000;

/// What only the classic protocol needs.
#[derive(Debug, Default)]
pub(super) struct State {
    join_version: i16,
    /// From the leader, to be handed in.
    assignments: Vec<(String, ConsumerProtocolAssignment)>,
    leads: bool,
    /// The leader: by which counts of partitions it shared out.
    shared_by: Option<BTreeMap<String, i32>>,
    /// Its share, as far as its topics are not known here.
    unresolved: BTreeMap<String, BTreeSet<PartitionIndex>>,
    beat_at: u64,
}

impl State {
    /// It forgets its share, and keeps how it speaks.
    pub(super) fn lost(&mut self) {
        *self = Self {
            join_version: self.join_version,
            ..Self::default()
        };
    }

    /// Draws the versions it speaks; static members need the newest, or a leader that comes back
    /// is not told that it leads (KIP-814).
    pub(super) fn begin(&mut self, random: &mut Random, is_static: bool) {
        let least = if is_static { 9 } else { 1 };
        self.join_version = version(random, ApiKey::JoinGroup, least);
    }
}

impl Member {
    pub(super) fn find(&mut self, context: &mut Context<'_>) {
        let version = version(context.random, ApiKey::FindCoordinator, 1);
        let group = Text::from(&self.plan.group);
        let mut body = FindCoordinatorRequest::default();
        if version >= 4 {
            body.coordinator_keys = vec![group];
        } else {
            body.key = group;
        }
        self.open.dance = Some(self.link.send(context, version, &body, true, 15_000));
    }

    pub(super) fn dance_classic(&mut self, context: &mut Context<'_>) {
        match self.step {
            Step::Join => self.join(context),
            Step::Sync => self.sync(context),
            Step::In => self.beat(context),
            Step::Leave => self.leave(context),
            Step::Out | Step::Find => {}
        }
    }

    /// It has to join again: an eager member gives everything up first.
    pub(super) fn rejoin(&mut self) {
        if self.plan.cooperative {
            self.step = Step::Join;
        } else if self.giving.is_none() {
            let keys = self.keys();
            self.give(keys, Then::Join);
        }
    }

    /// Its id is worth nothing any more.
    pub(super) fn forget_id(&mut self) {
        let keeps = self.protocol == Protocol::Consumer && self.modern.version > 0;
        if !keeps {
            self.id = String::new();
        }
    }

    fn counts(&self) -> BTreeMap<String, i32> {
        let topics = self.directory.topics();
        topics
            .map(|(_, name, count)| (name.to_owned(), count))
            .collect()
    }

    fn join(&mut self, context: &mut Context<'_>) {
        let mut owned: BTreeMap<&str, Vec<PartitionIndex>> = BTreeMap::new();
        if self.plan.cooperative {
            for key in self.places.keys() {
                if let Some(name) = self.directory.name_of(key.topic) {
                    owned.entry(name).or_default().push(key.index);
                }
            }
        }
        let owned = owned
            .into_iter()
            .map(|(topic, partitions)| ConsumerProtocolTopicPartition {
                topic: Text::from(topic),
                partitions,
            });
        let subscription = ConsumerProtocolSubscription {
            topics: self.topics.iter().map(Text::from).collect(),
            owned_partitions: owned.collect(),
            generation_id: self.epoch,
            ..ConsumerProtocolSubscription::default()
        };
        let metadata = subscription.to_bytes(2).expect("version 2 carries it");
        let name = if self.plan.cooperative {
            "cooperative-sticky"
        } else {
            "range"
        };
        let ms = |ms: u64| i32::try_from(ms).unwrap_or(i32::MAX);
        let body = JoinGroupRequest {
            group_id: Text::from(&self.plan.group),
            session_timeout_ms: ms(self.plan.session_ms),
            rebalance_timeout_ms: ms(self.plan.rebalance_ms),
            member_id: Text::from(&self.id),
            group_instance_id: self.instance.as_ref().map(Text::from),
            protocol_type: Text::from("consumer"),
            protocols: vec![JoinGroupRequestProtocol {
                name: Text::from(name),
                metadata,
            }],
            reason: None,
        };
        let extra = 2 * self.plan.rebalance_ms + JOIN_MS_EXTRA;
        let version = self.classic.join_version;
        self.open.dance = Some(self.link.send(context, version, &body, true, extra));
    }

    pub(super) fn joined(
        &mut self,
        context: &mut Context<'_>,
        response: JoinGroupResponse,
    ) -> Checked {
        match response.error_code {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = response.member_id.as_str().to_owned();
                return Ok(());
            }
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                self.fenced();
                return Ok(());
            }
            ErrorCode::RebalanceInProgress => return Ok(()),
            error if error.is_retriable() => {
                self.pause(context);
                return Ok(());
            }
            error => return protocol::unexpected(format!("{}: join: {error}", self.name)),
        }
        self.id = response.member_id.as_str().to_owned();
        self.epoch = response.generation_id;
        self.classic.leads = response.leader == response.member_id;
        self.classic.assignments.clear();
        self.classic.shared_by = self.classic.leads.then(|| self.counts());
        if self.classic.leads && !response.skip_assignment {
            self.share_out(&response)?;
        }
        self.step = Step::Sync;
        Ok(())
    }

    fn share_out(&mut self, response: &JoinGroupResponse) -> Checked {
        let mut claims = Vec::new();
        for member in &response.members {
            let read = ConsumerProtocolSubscription::from_bytes(member.metadata.clone());
            let Ok((_, said)) = read else {
                return protocol::unexpected("the leader is handed no subscription");
            };
            let owned = said.owned_partitions.iter().flat_map(|row| {
                let topic = row.topic.as_str().to_owned();
                let each = row.partitions.iter();
                each.map(move |index| (topic.clone(), *index))
            });
            claims.push(Claim {
                member: member.member_id.as_str().to_owned(),
                topics: said.topics.iter().map(|t| t.as_str().to_owned()).collect(),
                owned: owned.collect(),
                generation: said.generation_id,
            });
        }
        let shares = assign::share_out(&claims, &self.counts(), self.plan.cooperative);
        self.classic.assignments = shares.into_iter().collect();
        Ok(())
    }

    fn sync(&mut self, context: &mut Context<'_>) {
        let assignments = self.classic.assignments.iter();
        let assignments = assignments.map(|(member, share)| SyncGroupRequestAssignment {
            member_id: Text::from(member),
            assignment: share.to_bytes(0).expect("version 0 carries it"),
        });
        let body = SyncGroupRequest {
            group_id: Text::from(&self.plan.group),
            generation_id: self.epoch,
            member_id: Text::from(&self.id),
            group_instance_id: self.instance.as_ref().map(Text::from),
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        let version = version(context.random, ApiKey::SyncGroup, 3);
        let extra = self.plan.rebalance_ms + JOIN_MS_EXTRA;
        self.open.dance = Some(self.link.send(context, version, &body, true, extra));
    }

    pub(super) fn synced(
        &mut self,
        context: &mut Context<'_>,
        response: SyncGroupResponse,
    ) -> Checked {
        match response.error_code {
            ErrorCode::None => {}
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                self.fenced();
                return Ok(());
            }
            ErrorCode::IllegalGeneration => {
                self.lost();
                return Ok(());
            }
            ErrorCode::RebalanceInProgress => {
                self.step = Step::Join;
                return Ok(());
            }
            error if error.is_retriable() => {
                self.pause(context);
                self.step = Step::Join;
                return Ok(());
            }
            error => return protocol::unexpected(format!("{}: sync: {error}", self.name)),
        }
        self.step = Step::In;
        self.beat_ms = (self.plan.session_ms / 4).max(1);
        self.classic.beat_at = context.now.tick.0 + self.beat_ms;
        let mut share: BTreeMap<String, BTreeSet<PartitionIndex>> = BTreeMap::new();
        if !response.assignment.is_empty() {
            let read = ConsumerProtocolAssignment::from_bytes(response.assignment);
            let Ok((_, told)) = read else {
                return protocol::unexpected("a member is handed no assignment");
            };
            for row in told.assigned_partitions {
                let partitions = row.partitions.into_iter();
                let known = share.entry(row.topic.as_str().to_owned()).or_default();
                known.extend(partitions);
            }
        }
        let kept: BTreeSet<_> = share
            .iter()
            .flat_map(|(topic, indexes)| indexes.iter().map(move |index| (topic, *index)))
            .filter_map(|(topic, index)| self.key_of(topic, index))
            .collect();
        let mut given = self.keys();
        given.retain(|key| !kept.contains(key));
        if !given.is_empty() {
            self.give(given, Then::Join);
        }
        self.classic.unresolved = share;
        self.resolve_share(context)
    }

    /// Takes over what it was given, as far as it knows the topics.
    pub(super) fn resolve_share(&mut self, context: &mut Context<'_>) -> Checked {
        if self.classic.unresolved.is_empty() || self.step != Step::In {
            return Ok(());
        }
        let mut keys = BTreeSet::new();
        let mut unresolved = std::mem::take(&mut self.classic.unresolved);
        unresolved.retain(|topic, indexes| {
            let known = self.directory.id_of(topic).is_some();
            if known {
                keys.extend(
                    indexes
                        .iter()
                        .filter_map(|index| self.key_of(topic, *index)),
                );
            }
            !known
        });
        self.classic.unresolved = unresolved;
        for key in &keys {
            self.takes(*key);
        }
        let (id, name, epoch) = (self.id.clone(), self.known_as().to_owned(), self.epoch);
        self.truth(context).given(&id, &name, epoch, &keys)
    }

    fn beat(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick.0;
        let shared = self.classic.shared_by.as_ref();
        let counts = self.counts();
        let stale = shared.is_some_and(|by| {
            self.plan
                .topics
                .iter()
                .any(|topic| by.get(topic) != counts.get(topic))
        });
        if stale && self.giving.is_none() {
            self.rejoin();
            return;
        }
        if self.classic.beat_at > now {
            return;
        }
        self.classic.beat_at = now + self.beat_ms;
        let body = HeartbeatRequest {
            group_id: Text::from(&self.plan.group),
            generation_id: self.epoch,
            member_id: Text::from(&self.id),
            group_instance_id: self.instance.as_ref().map(Text::from),
        };
        let version = version(context.random, ApiKey::Heartbeat, 3);
        self.open.dance = Some(self.link.send(context, version, &body, true, 5_000));
    }

    pub(super) fn alive(&mut self, context: &mut Context<'_>, error: ErrorCode) -> Checked {
        if self.step != Step::In {
            return Ok(());
        }
        match error {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => self.rejoin(),
            ErrorCode::IllegalGeneration => self.lost(),
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => self.fenced(),
            error if error.is_retriable() => self.pause(context),
            error => return protocol::unexpected(format!("{}: heartbeat: {error}", self.name)),
        }
        Ok(())
    }

    fn leave(&mut self, context: &mut Context<'_>) {
        let body = LeaveGroupRequest {
            group_id: Text::from(&self.plan.group),
            member_id: Text::EMPTY,
            members: vec![MemberIdentity {
                member_id: Text::from(&self.id),
                group_instance_id: self.instance.as_ref().map(Text::from),
                reason: None,
            }],
        };
        let version = version(context.random, ApiKey::LeaveGroup, 3);
        self.open.dance = Some(self.link.send(context, version, &body, true, 5_000));
    }
}
