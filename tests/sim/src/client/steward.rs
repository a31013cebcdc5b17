//! Who looks after a group: reads its history again and again, and at times sets its offsets back
//! or forgets them, which only an empty group lets happen.

use super::{
    Client, Context, Input,
    directory::Directory,
    link::{Change, Link, version},
};
use crate::{
    checks::{history::Told, protocol},
    oracle::cluster::ClusterTruth,
    violation::Checked,
};
use weir_node::request::PartitionKey;
use weir_types::{ErrorCode, Offset, PartitionIndex, TopicId};
use weir_wire::{
    ApiKey, Response, Text,
    messages::{
        FindCoordinatorRequest, GroupEvent, GroupHistoryRequest, GroupHistoryResponse,
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
        OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    },
};

/// The mean pause between two looks, in milliseconds.
const LOOK_MS: u64 = 400;

/// A steward.
#[derive(Debug)]
pub struct Steward {
    name: String,
    group: String,
    topics: Vec<String>,
    link: Link,
    directory: Directory,
    /// Whether somebody keeps the group's state.
    found: bool,
    task: Option<(i32, Task)>,
    act_at: u64,
    /// The history was told once nothing went wrong any more.
    told_in_the_end: bool,
}

#[derive(Debug)]
enum Task {
    Find,
    /// The newest rebalance that was known, and whether the faults were over.
    History(i64, bool),
    /// Where to.
    Reset(PartitionKey, i64),
}

impl Steward {
    /// The steward of a group that reads these topics.
    #[must_use]
    pub fn new(name: &str, group: &str, topics: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            group: group.to_owned(),
            topics: topics.to_vec(),
            link: Link::new(name),
            directory: Directory::default(),
            found: false,
            task: None,
            act_at: 0,
            told_in_the_end: false,
        }
    }

    fn act(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick.0;
        if self.task.is_some() || self.act_at > now {
            return;
        }
        self.act_at = now + context.random.between(1, 2 * LOOK_MS);
        let group = Text::from(&self.group);
        if !self.found {
            let body = FindCoordinatorRequest {
                coordinator_keys: vec![group],
                ..FindCoordinatorRequest::default()
            };
            let asked = self.link.send(context, 4, &body, true, 15_000);
            self.task = Some((asked, Task::Find));
            return;
        }
        if !context.healing && context.random.percent(35) && self.reset(context) {
            return;
        }
        let known = context.groups.group(&self.group).newest();
        let body = GroupHistoryRequest {
            groups: vec![group],
            ..GroupHistoryRequest::default()
        };
        let asked = self.link.send(context, 0, &body, true, 5_000);
        self.task = Some((asked, Task::History(known, context.healing)));
    }

    /// Sets an offset back, or forgets it; whether it asked for that.
    fn reset(&mut self, context: &mut Context<'_>) -> bool {
        let topics = self.directory.topics();
        let topics = topics.filter(|(_, name, _)| self.topics.iter().any(|topic| topic == name));
        let topics: Vec<(TopicId, String, i32)> = topics
            .map(|(id, name, count)| (id, name.to_owned(), count))
            .collect();
        if topics.is_empty() {
            return false;
        }
        let (topic, name, count) = context.random.pick(&topics).clone();
        let index = context.random.below(u64::from(count.max(1).unsigned_abs()));
        let key = PartitionKey {
            topic,
            index: PartitionIndex(i32::try_from(index).unwrap_or(0)),
        };
        let acked = context.groups.group(&self.group).acked(key);
        let Ok(acked) = u64::try_from(acked) else {
            return false;
        };
        let (group_id, name) = (Text::from(&self.group), Text::from(name));
        if context.random.percent(40) {
            let body = OffsetDeleteRequest {
                group_id,
                topics: vec![OffsetDeleteRequestTopic {
                    name,
                    partitions: vec![OffsetDeleteRequestPartition {
                        partition_index: key.index,
                    }],
                }],
            };
            context.groups.group(&self.group).resets(key, -1);
            let asked = self.link.send(context, 0, &body, true, 5_000);
            self.task = Some((asked, Task::Reset(key, -1)));
            return true;
        }
        let offset = context.random.between(0, acked).cast_signed();
        let body = OffsetCommitRequest {
            group_id,
            topics: vec![OffsetCommitRequestTopic {
                name,
                topic_id: topic,
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: key.index,
                    committed_offset: Offset(offset),
                    ..OffsetCommitRequestPartition::default()
                }],
            }],
            ..OffsetCommitRequest::default()
        };
        context.groups.group(&self.group).resets(key, offset);
        let version = version(context.random, ApiKey::OffsetCommit, 2);
        let asked = self.link.send(context, version, &body, true, 5_000);
        self.task = Some((asked, Task::Reset(key, offset)));
        true
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: Response,
    ) -> Checked {
        let task = self.task.take_if(|(asked, _)| *asked == correlation_id);
        let Some((_, task)) = task else {
            return protocol::unexpected(format!("nobody asked for {response:?}"));
        };
        match (task, response) {
            (Task::Find, Response::FindCoordinator(found)) => {
                let error = found.coordinators.first().map(|row| row.error_code);
                self.found = error == Some(ErrorCode::None);
                Ok(())
            }
            (Task::History(known, healing), Response::GroupHistory(response)) => {
                self.told_in_the_end |= healing && response.error_code == ErrorCode::None;
                self.history(context, known, response)
            }
            (Task::Reset(key, offset), Response::OffsetDelete(response)) => {
                let part = response.topics.first().and_then(|t| t.partitions.first());
                let error = part.map_or(response.error_code, |part| part.error_code);
                self.was_reset(context, key, offset, error)
            }
            (Task::Reset(key, offset), Response::OffsetCommit(response)) => {
                let part = response.topics.first().and_then(|t| t.partitions.first());
                let error = part.map_or(ErrorCode::UnknownServerError, |part| part.error_code);
                self.was_reset(context, key, offset, error)
            }
            (task, response) => protocol::unexpected(format!("{response:?} answers {task:?}")),
        }
    }

    fn was_reset(
        &self,
        context: &mut Context<'_>,
        key: PartitionKey,
        offset: i64,
        error: ErrorCode,
    ) -> Checked {
        match error {
            ErrorCode::None
            | ErrorCode::UnknownMemberId
            | ErrorCode::NonEmptyGroup
            | ErrorCode::GroupIdNotFound
            | ErrorCode::GroupSubscribedToTopic
            | ErrorCode::IllegalGeneration
            | ErrorCode::StaleMemberEpoch
            | ErrorCode::RebalanceInProgress => {}
            error if error.is_retriable() => {
                // It may have been done all the same: what it asked for stays unclear.
                return Ok(());
            }
            error => return protocol::unexpected(format!("{}: reset: {error}", self.name)),
        }
        let group = context.groups.group(&self.group);
        group.reset_answered(key, offset, error == ErrorCode::None);
        Ok(())
    }

    fn history(
        &self,
        context: &mut Context<'_>,
        known: i64,
        response: GroupHistoryResponse,
    ) -> Checked {
        match response.error_code {
            ErrorCode::None => {}
            error if error.is_retriable() => return Ok(()),
            error => return protocol::unexpected(format!("{}: history: {error}", self.name)),
        }
        let told = response.events.iter().map(told).collect();
        let new = context
            .groups
            .group(&self.group)
            .told_history(known, told)?;
        context.groups.rebalances += new;
        Ok(())
    }
}

/// An event in the oracle's words.
fn told(event: &GroupEvent) -> Told {
    let causes: Vec<(i8, Option<&str>, Option<&str>)> = event
        .causes
        .iter()
        .map(|cause| {
            (
                cause.cause,
                cause.member_id.as_deref(),
                cause.client_id.as_deref(),
            )
        })
        .collect();
    Told {
        sequence: event.sequence,
        epoch: event.group_epoch,
        before: event.members_before,
        after: event.members_after,
        rest: format!(
            "at {} for {} ms, causes {causes:?}, {} moved",
            event.time_ms.0, event.duration_ms, event.partitions_moved
        ),
    }
}

impl Client for Steward {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&mut self, context: &mut Context<'_>, input: Input) -> Checked {
        if self.link.input(context, &input) == Change::Down {
            self.task = None;
            self.directory.down();
        }
        if let Input::Answer {
            correlation_id,
            response,
        } = input
        {
            match response {
                Response::Metadata(response) => {
                    self.directory
                        .answered(context, correlation_id, &response)?;
                }
                response => self.answered(context, correlation_id, response)?,
            }
        }
        if self.link.is_up() {
            self.directory.refresh(&mut self.link, context, 300);
            self.act(context);
        }
        Ok(())
    }

    fn waiting_for(&self, _: &ClusterTruth) -> Option<String> {
        let waits = !self.told_in_the_end;
        waits.then(|| format!("{} waits for the history of {}", self.name, self.group))
    }
}
