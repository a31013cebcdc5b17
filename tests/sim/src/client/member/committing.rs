//! Commits: now and then, and before partitions are given up.

use super::{Member, Step};
use crate::{
    checks::protocol,
    client::{Context, link::version},
    violation::Checked,
};
use std::collections::{BTreeMap, BTreeSet};
use weir_node::request::PartitionKey;
use weir_types::{ErrorCode, Offset, TopicId};
use weir_wire::{
    ApiKey, Text,
    messages::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
        OffsetCommitResponse,
    },
};

/// OffsetCommit is for members of the consumer protocol from this version on.
const COMMIT_CONSUMER_FROM: i16 = 9;
/// How often the last commit is tried.
const TRIES_MAX: u32 = 4;

/// What follows once partitions were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It joins again.
    Join,
    /// It tells the coordinator.
    Beat,
    /// It leaves.
    Leave,
}

/// Partitions that it gives up once they are committed.
#[derive(Debug)]
pub(super) struct Giving {
    pub(super) keys: BTreeSet<PartitionKey>,
    pub(super) then: Then,
    /// The last commit was sent.
    pub(super) asked: bool,
    tries: u32,
}

impl Member {
    /// It is to give these up.
    pub(super) fn give(&mut self, keys: BTreeSet<PartitionKey>, then: Then) {
        if self
            .giving
            .as_ref()
            .is_some_and(|giving| giving.then == Then::Leave)
        {
            return;
        }
        self.giving = Some(Giving {
            keys,
            then,
            asked: false,
            tries: 0,
        });
    }

    /// Goes on with giving up.
    pub(super) fn give_up(&mut self, context: &mut Context<'_>) {
        if self.open.commit.is_some() || self.dance_at > context.now.tick.0 {
            return;
        }
        let Some(giving) = &mut self.giving else {
            return;
        };
        if !giving.asked {
            giving.asked = true;
            let keys = giving.keys.clone();
            if self.commit(context, |key| keys.contains(&key)) {
                return;
            }
        }
        // What is asked of the coordinator now must not overtake what it was asked before.
        if self.open.dance.is_some() {
            return;
        }
        let Some(giving) = self.giving.take() else {
            return;
        };
        self.places.retain(|key, _| !giving.keys.contains(key));
        match giving.then {
            Then::Join => self.step = Step::Join,
            Then::Beat => self.modern.beat_at = 0,
            Then::Leave => self.step = Step::Leave,
        }
    }

    pub(super) fn commit_now_and_then(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick.0;
        if self.step != Step::In || self.open.commit.is_some() || self.commit_at > now {
            return;
        }
        self.commit_at = now + context.random.between(1, self.plan.commit_ms_max);
        self.commit(context, |_| true);
    }

    /// Commits what was processed since the last commit; whether there is anything.
    fn commit(&mut self, context: &mut Context<'_>, wanted: impl Fn(PartitionKey) -> bool) -> bool {
        let unprocessed = self.plan.commit_unprocessed;
        let mut topics: BTreeMap<TopicId, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        let mut offsets = BTreeMap::new();
        for (key, place) in self.places.iter().filter(|(key, _)| wanted(**key)) {
            let Some(mut position) = place.position else {
                continue;
            };
            if unprocessed {
                position = position.max(place.fetched);
            }
            if position == place.committed || self.directory.name_of(key.topic).is_none() {
                continue;
            }
            offsets.insert(*key, position);
            topics
                .entry(key.topic)
                .or_default()
                .push(OffsetCommitRequestPartition {
                    partition_index: key.index,
                    committed_offset: Offset(position),
                    ..OffsetCommitRequestPartition::default()
                });
        }
        if offsets.is_empty() || self.epoch < 0 {
            return false;
        }
        let named = topics.into_iter().map(|(topic_id, partitions)| {
            let name = self.directory.name_of(topic_id).unwrap_or_default();
            OffsetCommitRequestTopic {
                name: Text::from(name),
                topic_id,
                partitions,
            }
        });
        let body = OffsetCommitRequest {
            group_id: Text::from(&self.plan.group),
            generation_id_or_member_epoch: self.epoch,
            member_id: Text::from(&self.id),
            group_instance_id: self.instance.as_ref().map(Text::from),
            topics: named.collect(),
            ..OffsetCommitRequest::default()
        };
        let version = version(context.random, ApiKey::OffsetCommit, COMMIT_CONSUMER_FROM);
        let sent = self.truth(context).commits(&self.id, self.epoch, &offsets);
        let asked = self.link.send(context, version, &body, true, 5_000);
        self.open.commit = Some((asked, self.epoch, sent));
        true
    }

    pub(super) fn committed(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: &OffsetCommitResponse,
    ) -> Checked {
        let asked = self
            .open
            .commit
            .take_if(|(asked, ..)| *asked == correlation_id);
        let Some((_, epoch, sent)) = asked else {
            return protocol::unexpected("a commit that nobody asked for is answered");
        };
        let mut failed = ErrorCode::None;
        for topic in &response.topics {
            for part in &topic.partitions {
                let index = part.partition_index;
                let key = if topic.topic_id == TopicId::ZERO {
                    self.key_of(topic.name.as_str(), index)
                } else {
                    let topic = topic.topic_id;
                    Some(PartitionKey { topic, index })
                };
                let Some((key, offset)) = key.and_then(|key| Some((key, sent.offset(key)?))) else {
                    continue;
                };
                if part.error_code == ErrorCode::None {
                    context.groups.commits += 1;
                    self.truth(context).committed(&sent, key)?;
                    if let Some(place) = self.places.get_mut(&key) {
                        place.committed = offset;
                    }
                } else {
                    failed = part.error_code;
                }
            }
        }
        self.commit_failed(context, epoch, failed)
    }

    fn commit_failed(
        &mut self,
        context: &mut Context<'_>,
        epoch: i32,
        error: ErrorCode,
    ) -> Checked {
        if error == ErrorCode::None {
            return Ok(());
        }
        context.groups.refused += 1;
        let current = epoch == self.epoch && matches!(self.step, Step::In);
        match error {
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId if current => {
                self.fenced();
            }
            ErrorCode::IllegalGeneration if current => self.lost(),
            ErrorCode::UnknownMemberId
            | ErrorCode::FencedInstanceId
            | ErrorCode::IllegalGeneration
            | ErrorCode::StaleMemberEpoch
            | ErrorCode::RebalanceInProgress => {}
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
                self.directory.is_wrong();
            }
            error if error.is_retriable() => {
                self.pause(context);
                if let Some(giving) = self.giving.as_mut().filter(|g| g.tries < TRIES_MAX) {
                    giving.tries += 1;
                    giving.asked = false;
                }
            }
            error => return protocol::unexpected(format!("{}: commit: {error}", self.name)),
        }
        Ok(())
    }

    /// The coordinator does not know it any more.
    pub(super) fn fenced(&mut self) {
        self.lost();
        self.forget_id();
    }
}
