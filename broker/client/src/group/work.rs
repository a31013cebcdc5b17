//! What the member's task has others do: requests to the coordinator, places of partitions,
//! commits, names and counts of topics.
//!
//! Each is a future that ends by itself, within a deadline, and changes nothing of the member.

use super::{
    CommitOffset,
    builder::Settings,
    desk::{Desk, Start, reset_place},
    member::{Answer, Ask, is_moved},
    offsets::{Ids, NAMED_VERSION, commit_cap, commit_request, committed, fetch_request, fetched},
};
use crate::{
    admin::{OffsetSpec, offsets::list_offsets},
    cluster::{
        broker::{Purpose, Session},
        coordinator::Coordinator,
        metadata::Metadata,
        shared::{Attempts, Shared},
    },
    consumer::SeekTo,
    error::{AdminError, BrokerError, ConsumeError, GroupError, RequestError},
    limits::{JOIN_SLACK_MS, TOPIC_WAIT_MS},
    record::TopicPartition,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use weir_types::{ErrorCode, Offset, TopicId};
use weir_wire::{
    RequestBody,
    messages::{OffsetCommitRequest, OffsetFetchRequest},
};

/// What all work of one member shares.
pub(crate) struct Desktop {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Settings,
    pub(crate) coordinator: Coordinator,
    pub(crate) desk: Arc<Desk>,
    pub(crate) number: u64,
}

type Offsets = BTreeMap<TopicPartition, CommitOffset>;

impl Desktop {
    const fn offsets_purpose(&self) -> Purpose {
        Purpose::Offsets {
            consumer: self.number,
        }
    }

    const fn group_purpose(&self) -> Purpose {
        Purpose::Group {
            consumer: self.number,
        }
    }

    /// Lets the channels go.
    pub(crate) async fn hang_up(&self) {
        if let Ok(broker) = self.coordinator.find().await {
            broker.drop_channel(self.group_purpose());
            broker.drop_channel(self.offsets_purpose());
        }
    }

    /// Sends one request of the member.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Answer, RequestError> {
        let broker = match self.coordinator.find().await {
            Ok(broker) => broker,
            Err(AdminError::Request(error)) => return Err(error),
            Err(error) => return self.no_coordinator(&ask, &error),
        };
        let session = broker.session(self.group_purpose()).await?;
        let timeout = self.shared.config.request_timeout;
        match ask {
            Ask::Modern(body) => self
                .call(&session, &body, timeout)
                .await
                .map(Answer::Modern),
            Ask::Join(body) => {
                let waits = u64::try_from(body.rebalance_timeout_ms).unwrap_or(0) + JOIN_SLACK_MS;
                let timeout = timeout.max(Duration::from_millis(waits));
                self.call(&session, &body, timeout).await.map(Answer::Join)
            }
            Ask::Sync(body) => {
                let waits = u64::try_from(self.settings.max_poll_interval.as_millis());
                let waits = waits.unwrap_or(u64::MAX).saturating_add(JOIN_SLACK_MS);
                let timeout = timeout.max(Duration::from_millis(waits));
                self.call(&session, &body, timeout).await.map(Answer::Sync)
            }
            Ask::Heartbeat(body) => {
                let answer = self.call(&session, &body, timeout).await;
                answer.map(Answer::Heartbeat)
            }
            Ask::Leave(mut body) => {
                let version =
                    session.version::<weir_wire::messages::LeaveGroupRequest>(i16::MAX)?;
                if version < 3 {
                    // One member, without its name (KIP-345).
                    if let Some(member) = body.members.pop() {
                        body.member_id = member.member_id;
                    }
                }
                let answer = self.call(&session, &body, timeout).await;
                answer.map(|_| Answer::Leave)
            }
        }
    }

    async fn call<B: RequestBody>(
        &self,
        session: &Session,
        body: &B,
        timeout: Duration,
    ) -> Result<B::Response, RequestError> {
        let version = session.version::<B>(i16::MAX)?;
        let client_id = &self.shared.client_id;
        session.call(version, body, client_id, timeout).await
    }

    /// A refusal to name the coordinator is told as the coordinator's own answer: it means the same
    /// to the member.
    fn no_coordinator(&self, ask: &Ask, error: &AdminError) -> Result<Answer, RequestError> {
        let code = error.code().unwrap_or(ErrorCode::CoordinatorNotAvailable);
        tracing::debug!(group = %self.settings.group, %error, "no coordinator");
        Ok(answer_of(ask, code))
    }

    /// Where partitions begin: the group's offsets, and the reset policy where it has none. Nothing
    /// where the member is out of the group, so that they are not its partitions any more.
    pub(crate) async fn place(&self, wanted: BTreeSet<TopicPartition>) -> Option<Vec<Start>> {
        let deadline = self.shared.deadline();
        let mut starts = Vec::new();
        let mut resets = Vec::new();
        match self.offsets_as(&wanted, deadline, Asker::Inside).await {
            Ok(mut kept) => {
                for partition in &wanted {
                    match kept.remove(partition) {
                        Some(kept) => starts.push(Start {
                            partition: partition.clone(),
                            offset: Ok(kept.offset),
                            is_kept: true,
                            topic_id: TopicId::ZERO,
                        }),
                        None => resets.push(partition.clone()),
                    }
                }
            }
            Err(GroupError::Commit { error, .. }) if is_fenced(error.code) => return None,
            Err(error) => return Some(halted(&wanted, &error)),
        }
        starts.extend(self.reset(resets).await);
        let topics = starts.iter().map(|s| Arc::clone(&s.partition.topic));
        for topic in topics.collect::<BTreeSet<_>>() {
            match self.shared.topic(&topic, deadline).await {
                Ok(known) => {
                    let of_it = starts.iter_mut().filter(|s| s.partition.topic == topic);
                    of_it.for_each(|start| start.topic_id = known.id);
                }
                Err(error) => {
                    tracing::warn!(%topic, ?error, "the topic's leaders are not known yet");
                }
            }
        }
        Some(starts)
    }

    async fn reset(&self, partitions: Vec<TopicPartition>) -> Vec<Start> {
        let spec = match reset_place(self.settings.reset) {
            Some(SeekTo::Earliest) => OffsetSpec::Earliest,
            Some(_) => OffsetSpec::Latest,
            None => {
                let none = |partition: TopicPartition| Start {
                    offset: Err(ConsumeError::NoOffset {
                        partition: partition.clone(),
                    }),
                    partition,
                    is_kept: false,
                    topic_id: TopicId::ZERO,
                };
                return partitions.into_iter().map(none).collect();
            }
        };
        let items = partitions.into_iter().map(|p| (p, spec)).collect();
        let found = list_offsets(&self.shared, items).await.into_iter();
        found
            .map(|(partition, found)| Start {
                offset: match found {
                    Ok(found) => Ok(found.offset.unwrap_or(Offset::ZERO)),
                    Err(error) => Err(consume_error(&partition, error)),
                },
                partition,
                is_kept: false,
                topic_id: TopicId::ZERO,
            })
            .collect()
    }

    /// The group's offsets of some partitions; those without are left out.
    pub(crate) async fn offsets(
        &self,
        wanted: &BTreeSet<TopicPartition>,
        deadline: Instant,
    ) -> Result<Offsets, GroupError> {
        self.offsets_as(wanted, deadline, Asker::Anybody).await
    }

    async fn offsets_as(
        &self,
        wanted: &BTreeSet<TopicPartition>,
        deadline: Instant,
        asker: Asker,
    ) -> Result<Offsets, GroupError> {
        let mut attempts = Attempts::until(deadline);
        loop {
            let identity = self.desk.identity();
            if asker == Asker::Inside && identity.epoch < 0 {
                let partition = wanted.first().cloned().unwrap_or_else(nowhere);
                let error = BrokerError::from(ErrorCode::UnknownMemberId);
                return Err(commit_error(partition, AdminError::Broker(error)));
            }
            let build = |version| {
                let group = &self.settings.group;
                fetch_request(version, group, Some(&identity), Some(wanted))
            };
            let purpose = self.offsets_purpose();
            let asked: Result<_, AdminError> = self
                .coordinator
                .ask_once::<OffsetFetchRequest>(purpose, NAMED_VERSION, build)
                .await;
            let error = match asked.and_then(|answer| Ok(fetched(answer)?)) {
                Ok(kept) => match sort_out(kept) {
                    Ok(kept) => return Ok(kept),
                    Err((partition, error)) => (partition, AdminError::Broker(error)),
                },
                Err(error) => (wanted.first().cloned().unwrap_or_else(nowhere), error),
            };
            let (partition, error) = error;
            self.forget_if_moved(&error);
            // A member that is out hears so from its next heartbeat.
            let is_open = asker == Asker::Inside && error.code().is_some_and(is_fenced);
            let is_again = error.can_retry() || is_early(&error) || is_open;
            if !is_again || !attempts.again().await {
                return Err(commit_error(partition, error));
            }
        }
    }

    /// Commits offsets that were read in a membership, again while that may help and it lasts.
    /// Those of topics that are gone keep the others from nothing, and are told apart.
    pub(crate) async fn commit(
        &self,
        mut open: Offsets,
        ids: Ids,
        membership: u64,
        until: Instant,
        gone: &mut Gone,
    ) -> Result<(), GroupError> {
        let mut attempts = Attempts::until(until);
        // A topic that was just made may not have reached the coordinator.
        let patience = Instant::now() + Duration::from_millis(TOPIC_WAIT_MS);
        while let Some(first) = open.keys().next().cloned() {
            let identity = self.desk.identity();
            if identity.epoch < 0 || identity.membership != membership {
                // Outside the group anybody could commit, and back in it the others may have read
                // on: an old position must not get through.
                let error = BrokerError::from(ErrorCode::UnknownMemberId);
                return Err(commit_error(first, AdminError::Broker(error)));
            }
            let build = |_| commit_request(&self.settings.group, &identity, &open, &ids);
            let purpose = self.offsets_purpose();
            let asked: Result<_, AdminError> = self
                .coordinator
                .ask_once::<OffsetCommitRequest>(purpose, commit_cap(&open, &ids), build)
                .await;
            let failure = match asked {
                Ok(answer) => {
                    let mut failed = None;
                    for (partition, done) in committed(&open, &ids, &answer) {
                        let Err(error) = done else {
                            open.remove(&partition);
                            continue;
                        };
                        if is_gone(error.code, Instant::now() >= patience) {
                            open.remove(&partition);
                            gone.insert(partition, error);
                        } else {
                            failed.get_or_insert((partition, AdminError::Broker(error)));
                        }
                    }
                    failed
                }
                Err(error) => Some((first, error)),
            };
            let Some((partition, error)) = failure else {
                continue;
            };
            self.forget_if_moved(&error);
            if !(error.can_retry() || is_early(&error)) || !attempts.again().await {
                return Err(commit_error(partition, error));
            }
        }
        Ok(())
    }

    fn forget_if_moved(&self, error: &AdminError) {
        match error {
            AdminError::Broker(error) if !is_moved(error.code) => {}
            _ => self.coordinator.forget(),
        }
    }

    /// What topics are called.
    pub(crate) async fn names(&self, ids: BTreeSet<TopicId>) -> BTreeMap<TopicId, Arc<str>> {
        let look = || -> BTreeMap<TopicId, Arc<str>> {
            let metadata = self.shared.metadata();
            let topics = metadata.topics.iter();
            topics
                .filter(|(_, topic)| ids.contains(&topic.id))
                .map(|(name, topic)| (topic.id, Arc::clone(name)))
                .collect()
        };
        let known = look();
        if known.len() == ids.len() {
            return known;
        }
        let topics = match self.settings.pattern {
            Some(_) => None,
            None => Some(self.settings.topics.iter().cloned().collect()),
        };
        if let Err(error) = self.shared.refresh(topics).await {
            tracing::debug!(%error, "metadata could not be refreshed");
        }
        look()
    }

    /// How many partitions topics have; those that are gone are left out.
    pub(crate) async fn counts(&self, topics: BTreeSet<Arc<str>>) -> Counted {
        let asked = topics.iter().cloned().collect();
        if let Err(error) = self.shared.refresh(Some(asked)).await {
            tracing::debug!(%error, "metadata could not be refreshed");
        }
        let metadata = self.shared.metadata();
        let count = |topic: Arc<str>| {
            self.shared.want(&topic);
            let made = made(&metadata, &topic);
            (topic, made)
        };
        topics.into_iter().map(count).collect()
    }
}

/// A topic as it was made: its id, and how many partitions it has.
pub(crate) type Made = (TopicId, usize);

/// Topics that were asked for; without a value those that are not there.
pub(crate) type Counted = BTreeMap<Arc<str>, Option<Made>>;

/// What is known of a topic that is there.
pub(crate) fn made(metadata: &Metadata, topic: &str) -> Option<Made> {
    let topic = metadata.topics.get(topic)?;
    (!topic.error.is_err()).then_some((topic.id, topic.partitions.len()))
}

/// Partitions whose offsets nobody wants any more, since their topics are gone.
pub(crate) type Gone = BTreeMap<TopicPartition, BrokerError>;

/// Whether a topic is not there any more; one that a broker does not know by name may be new.
pub(crate) const fn is_gone(code: ErrorCode, is_late: bool) -> bool {
    matches!(code, ErrorCode::UnknownTopicId)
        || is_late && matches!(code, ErrorCode::UnknownTopicOrPartition)
}

fn answer_of(ask: &Ask, error_code: ErrorCode) -> Answer {
    use weir_wire::messages as wire;
    match ask {
        Ask::Modern(_) => Answer::Modern(wire::ConsumerGroupHeartbeatResponse {
            error_code,
            ..wire::ConsumerGroupHeartbeatResponse::default()
        }),
        Ask::Join(_) => Answer::Join(wire::JoinGroupResponse {
            error_code,
            ..wire::JoinGroupResponse::default()
        }),
        Ask::Sync(_) => Answer::Sync(wire::SyncGroupResponse {
            error_code,
            ..wire::SyncGroupResponse::default()
        }),
        Ask::Heartbeat(_) => Answer::Heartbeat(wire::HeartbeatResponse {
            error_code,
            ..wire::HeartbeatResponse::default()
        }),
        Ask::Leave(_) => Answer::Leave,
    }
}

/// Who asks for the group's offsets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    Anybody,
    /// A member, for as long as it is one.
    Inside,
}

/// Whether the member's next heartbeat brings what is missing: its new epoch or generation, or that
/// it is out of the group.
fn is_early(error: &AdminError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::StaleMemberEpoch
                | ErrorCode::RebalanceInProgress
                | ErrorCode::IllegalGeneration
        )
    )
}

const fn is_fenced(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch | ErrorCode::IllegalGeneration
    )
}

fn nowhere() -> TopicPartition {
    TopicPartition::new("", -1)
}

fn sort_out(kept: super::offsets::Kept) -> Result<Offsets, (TopicPartition, BrokerError)> {
    let mut offsets = Offsets::new();
    for (partition, found) in kept {
        match found {
            Ok(Some(offset)) => {
                offsets.insert(partition, offset);
            }
            Ok(None) => {}
            Err(error) => return Err((partition, error)),
        }
    }
    Ok(offsets)
}

fn halted(wanted: &BTreeSet<TopicPartition>, error: &GroupError) -> Vec<Start> {
    let halt = |partition: &TopicPartition| Start {
        partition: partition.clone(),
        offset: Err(match error {
            GroupError::Request(error) => ConsumeError::Request(error.clone()),
            GroupError::Commit { error, .. } => ConsumeError::Partition {
                partition: partition.clone(),
                error: error.clone(),
            },
            other => ConsumeError::Config {
                reason: other.to_string(),
            },
        }),
        is_kept: false,
        topic_id: TopicId::ZERO,
    };
    wanted.iter().map(halt).collect()
}

pub(crate) fn commit_error(partition: TopicPartition, error: AdminError) -> GroupError {
    match error {
        AdminError::Request(error) => GroupError::Request(error),
        AdminError::Broker(error) => GroupError::Commit { partition, error },
        other => GroupError::Commit {
            partition,
            error: BrokerError {
                code: ErrorCode::UnknownServerError,
                message: Some(other.to_string()),
            },
        },
    }
}

fn consume_error(partition: &TopicPartition, error: AdminError) -> ConsumeError {
    match commit_error(partition.clone(), error) {
        GroupError::Request(error) => ConsumeError::Request(error),
        GroupError::Commit { partition, error } => ConsumeError::Partition { partition, error },
        other => ConsumeError::Config {
            reason: other.to_string(),
        },
    }
}
