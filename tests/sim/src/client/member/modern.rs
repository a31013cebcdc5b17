//! The consumer protocol (KIP-848): the coordinator leads the member by its heartbeats.

use super::{Member, Step, committing::Then};
use crate::{
    checks::protocol,
    client::{Context, link::version},
    random::Random,
    violation::Checked,
};
use std::collections::{BTreeMap, BTreeSet};
use weir_node::request::PartitionKey;
use weir_types::{ErrorCode, PartitionIndex, TopicId};
use weir_wire::{
    ApiKey, Text,
    messages::{
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
        ConsumerGroupHeartbeatTopicPartitions,
    },
};

/// What only the consumer protocol needs.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) version: i16,
    /// It subscribes by an expression while it reads everything.
    with_pattern: bool,
    assignor: Option<&'static str>,
    /// What it was told to own.
    target: BTreeSet<PartitionKey>,
    /// What it said last that it owns, and whether that was answered.
    said: Option<BTreeSet<PartitionKey>>,
    saying: Option<BTreeSet<PartitionKey>>,
    /// The next heartbeat tells everything.
    pub(super) tell_all: bool,
    pub(super) beat_at: u64,
    /// A static member leaves to come back.
    returns: bool,
}

impl State {
    /// It forgets its share, and keeps how it speaks.
    pub(super) fn lost(&mut self) {
        *self = Self {
            version: self.version,
            with_pattern: self.with_pattern,
            assignor: self.assignor,
            returns: self.returns,
            ..Self::default()
        };
    }

    /// Draws how it speaks.
    pub(super) fn begin(&mut self, random: &mut Random, drawn: bool) {
        let api = ApiKey::ConsumerGroupHeartbeat;
        let drawn_version = version(random, api, 0);
        self.version = if drawn {
            drawn_version
        } else {
            api.supported().max
        };
        self.with_pattern = drawn && random.percent(30) && self.version > 0;
        let assignors = &[None, Some("uniform"), Some("range")];
        self.assignor = random.pick(assignors).filter(|_| drawn);
        self.returns = random.percent(50);
    }
}

impl Member {
    /// Gives up what it shall not keep, and takes what it was given.
    pub(super) fn reconcile(&mut self) {
        if self.step != Step::In || self.giving.is_some() {
            return;
        }
        let mut lost = self.keys();
        lost.retain(|key| !self.modern.target.contains(key));
        if !lost.is_empty() {
            self.give(lost, Then::Beat);
        }
        for key in self.modern.target.clone() {
            self.takes(key);
        }
    }

    pub(super) fn dance_modern(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick.0;
        let leaves = self.step == Step::Leave;
        if !leaves && self.epoch > 0 && self.modern.beat_at > now {
            return;
        }
        self.modern.beat_at = now + self.beat_ms;
        let joins = self.epoch == 0 && !leaves;
        let owned = self.keys();
        let tell_all = joins || self.modern.tell_all;
        let mut body = ConsumerGroupHeartbeatRequest {
            group_id: Text::from(&self.plan.group),
            member_id: Text::from(&self.id),
            member_epoch: match leaves {
                false => self.epoch,
                true if self.instance.is_some() && self.modern.returns => -2,
                true => -1,
            },
            instance_id: self.instance.as_ref().map(Text::from),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        if tell_all && !leaves {
            let ms = i32::try_from(self.plan.rebalance_ms);
            body.rebalance_timeout_ms = ms.unwrap_or(i32::MAX);
            body.server_assignor = self.modern.assignor.map(Text::from);
            // Who reads everything may say so by an expression.
            let by_pattern = self.modern.with_pattern && self.topics == self.plan.topics;
            let topics = self.topics.iter().filter(|_| !by_pattern);
            body.subscribed_topic_names = Some(topics.map(Text::from).collect());
            if self.modern.version > 0 {
                let pattern = if by_pattern { "first-.*" } else { "" };
                body.subscribed_topic_regex = Some(Text::from(pattern));
            }
        }
        if !leaves && (tell_all || self.modern.said.as_ref() != Some(&owned)) {
            body.topic_partitions = Some(rows(&owned));
            self.modern.saying = Some(owned);
        }
        let version = self.modern.version;
        self.open.dance = Some(self.link.send(context, version, &body, true, 5_000));
        if !leaves {
            self.modern.tell_all = false;
        }
    }

    pub(super) fn led(
        &mut self,
        context: &mut Context<'_>,
        response: &ConsumerGroupHeartbeatResponse,
    ) -> Checked {
        let left = self.step == Step::Leave;
        match response.error_code {
            ErrorCode::None if left => {
                let id = std::mem::take(&mut self.id);
                self.truth(context).left(&id);
                self.is_out();
                return Ok(());
            }
            ErrorCode::None => {}
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId if left => {
                self.is_out();
                return Ok(());
            }
            ErrorCode::UnknownMemberId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::FencedInstanceId => {
                self.lost();
                if response.error_code == ErrorCode::UnknownMemberId {
                    self.forget_id();
                }
                return Ok(());
            }
            ErrorCode::UnreleasedInstanceId => {
                self.dance_at = context.now.tick.0 + 50;
                self.modern.tell_all = true;
                return Ok(());
            }
            error if error.is_retriable() => {
                self.modern.tell_all = true;
                self.modern.beat_at = 0;
                self.pause(context);
                return Ok(());
            }
            error => return protocol::unexpected(format!("{}: led: {error}", self.name)),
        }
        if let Some(id) = &response.member_id {
            self.id = id.as_str().to_owned();
        }
        self.step = Step::In;
        self.epoch = response.member_epoch;
        self.beat_ms = u64::try_from(response.heartbeat_interval_ms).unwrap_or(1);
        if let Some(saying) = self.modern.saying.take() {
            self.modern.said = Some(saying);
        }
        if let Some(assignment) = &response.assignment {
            let rows = assignment.topic_partitions.iter();
            let keys = rows.flat_map(|row| {
                let topic = row.topic_id;
                let each = row.partitions.iter();
                each.map(move |index| PartitionKey {
                    topic,
                    index: *index,
                })
            });
            self.modern.target = keys.collect();
        }
        let (id, name, epoch) = (self.id.clone(), self.known_as().to_owned(), self.epoch);
        let target = self.modern.target.clone();
        self.truth(context).given(&id, &name, epoch, &target)
    }
}

fn rows(keys: &BTreeSet<PartitionKey>) -> Vec<ConsumerGroupHeartbeatTopicPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
    for key in keys {
        topics.entry(key.topic).or_default().push(key.index);
    }
    let topics = topics.into_iter();
    topics
        .map(
            |(topic_id, partitions)| ConsumerGroupHeartbeatTopicPartitions {
                topic_id,
                partitions,
            },
        )
        .collect()
}
