//! An administrator: makes the first topics, then makes, deletes and changes things at random, one
//! request at a time, and remembers what it was never answered.

use super::{
    Client, Context, Input,
    directory::Directory,
    job::SOURCE,
    link::{Change, Link, version},
};
use crate::{
    checks::protocol,
    oracle::{
        cluster::{ClusterTruth, Setting},
        truth::Floor,
    },
    params::Params,
    random::Random,
    violation::Checked,
};
use weir_node::request::PartitionKey;
use weir_types::{ErrorCode, Offset, PartitionIndex, TopicId};
use weir_wire::{
    ApiKey, Response, Text,
    messages::{
        CreatableTopic, CreatableTopicConfig, CreatePartitionsRequest, CreatePartitionsTopic,
        CreateTopicsRequest, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
        DeleteTopicState, DeleteTopicsRequest, IncrementalAlterConfigsRequest,
        IncrementalAlterConfigsResource, IncrementalAlterableConfig,
    },
};

/// Topics that are made and deleted again under one name.
const NAMES_REUSED: u64 = 4;
/// The most topics one run makes.
const TOPICS_MAX: u32 = 24;
/// How long a request may take, in milliseconds.
const TIMEOUT_MS: i32 = 2_000;

/// The administrator.
#[derive(Debug)]
pub struct Admin {
    name: String,
    link: Link,
    directory: Directory,
    /// Still to be made.
    first: Vec<Plan>,
    made: u32,
    task: Option<(i32, Task)>,
    act_at: u64,
}

/// A topic to be made.
#[derive(Clone, Debug)]
struct Plan {
    name: String,
    partitions: i32,
    configs: Vec<(&'static str, String)>,
}

/// What it asked for.
#[derive(Debug)]
enum Task {
    Create(Plan),
    Delete(TopicId),
    Grow(TopicId, i32),
    Alter(TopicId, &'static str, Option<String>),
    DeleteRecords(PartitionKey, Offset, Floor),
}

impl Admin {
    /// An administrator that begins by making the first topics.
    pub fn new(name: &str, params: &Params, random: &mut Random) -> Self {
        let first = (0..params.topics).map(|index| {
            let mut plan = Plan::draw(format!("first-{index}"), params, random);
            if params.reuse_names {
                plan.name = format!("topic-{index}");
            }
            plan
        });
        Self {
            name: name.to_owned(),
            link: Link::new(name),
            directory: Directory::default(),
            first: first.collect(),
            made: 0,
            task: None,
            act_at: 0,
        }
    }

    fn act(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick.0;
        if self.task.is_some() || self.act_at > now || !self.directory.is_known() {
            return;
        }
        if let Some(plan) = self.first.last().cloned() {
            self.create(context, plan);
            return;
        }
        if context.healing || !context.params.admin {
            return;
        }
        self.act_at = now + context.random.between(20, 1_000);
        let topics: Vec<(TopicId, String, i32)> = self
            .directory
            .topics()
            .filter(|(_, name, _)| *name != SOURCE)
            .map(|(id, name, count)| (id, name.to_owned(), count))
            .collect();
        let choice = context.random.below(100);
        if topics.is_empty() || choice < 15 {
            if self.made < TOPICS_MAX {
                let name = if context.params.reuse_names {
                    format!("topic-{}", context.random.below(NAMES_REUSED))
                } else {
                    format!("later-{}", self.made)
                };
                self.made += 1;
                let plan = Plan::draw(name, context.params, context.random);
                self.create(context, plan);
            }
            return;
        }
        let (id, name, count) = context.random.pick(&topics).clone();
        match choice {
            15..30 => self.delete(context, id, &name),
            30..40 => self.grow(context, id, &name, count),
            40..65 => self.alter(context, id, &name),
            _ => self.delete_records(context, id, &name, count),
        }
    }

    fn create(&mut self, context: &mut Context<'_>, plan: Plan) {
        context.cluster.asked_for(&plan.name);
        let configs = plan
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: Text::from(*name),
                value: Some(Text::from(value)),
            });
        let body = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: Text::from(&plan.name),
                num_partitions: plan.partitions,
                replication_factor: 1,
                assignments: Vec::new(),
                configs: configs.collect(),
            }],
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        // Ids are answered from version 7 on.
        let asked = self.link.send(context, 7, &body, true, 0);
        self.task = Some((asked, Task::Create(plan)));
    }

    fn delete(&mut self, context: &mut Context<'_>, id: TopicId, name: &str) {
        if let Some(topic) = context.cluster.topic_mut(id) {
            topic.delete_asked = true;
        }
        let by_id = context.params.reuse_names || context.random.percent(50);
        let body = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: (!by_id).then(|| Text::from(name)),
                topic_id: if by_id { id } else { TopicId::ZERO },
            }],
            topic_names: Vec::new(),
            timeout_ms: TIMEOUT_MS,
        };
        let asked = self.link.send(context, 6, &body, true, 0);
        self.task = Some((asked, Task::Delete(id)));
    }

    fn grow(&mut self, context: &mut Context<'_>, id: TopicId, name: &str, count: i32) {
        if context.params.reuse_names || count > 8 {
            return;
        }
        let count = count + i32::try_from(context.random.between(1, 3)).unwrap_or(1);
        if let Some(topic) = context.cluster.topic_mut(id) {
            topic.partitions.1 = topic.partitions.1.max(count);
        }
        let body = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: Text::from(name),
                count,
                assignments: None,
            }],
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        let version = version(context.random, ApiKey::CreatePartitions, 0);
        let asked = self.link.send(context, version, &body, true, 0);
        self.task = Some((asked, Task::Grow(id, count)));
    }

    fn alter(&mut self, context: &mut Context<'_>, id: TopicId, name: &str) {
        if context.params.reuse_names {
            return;
        }
        let (setting, value) = draw_setting(context.random);
        let value = context.random.percent(80).then_some(value);
        if let Some(topic) = context.cluster.topic_mut(id)
            && let Some(known) = topic.settings.get_mut(setting)
        {
            known.unclear.push(value.clone());
        }
        let body = IncrementalAlterConfigsRequest {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: 2,
                resource_name: Text::from(name),
                configs: vec![IncrementalAlterableConfig {
                    name: Text::from(setting),
                    config_operation: i8::from(value.is_none()),
                    value: value.as_ref().map(Text::from),
                }],
            }],
            validate_only: false,
        };
        let version = version(context.random, ApiKey::IncrementalAlterConfigs, 0);
        let asked = self.link.send(context, version, &body, true, 0);
        self.task = Some((asked, Task::Alter(id, setting, value)));
    }

    fn delete_records(&mut self, context: &mut Context<'_>, id: TopicId, name: &str, count: i32) {
        let index = i32::try_from(context.random.below(count.max(1).unsigned_abs().into()));
        let key = PartitionKey {
            topic: id,
            index: PartitionIndex(index.unwrap_or(0)),
        };
        let floor = context.truth.floor(key);
        let high = u64::try_from(floor.watermark).unwrap_or(0);
        let offset = if context.random.percent(20) {
            Offset(-1)
        } else {
            Offset(context.random.between(0, high).cast_signed())
        };
        let body = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: Text::from(name),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: key.index,
                    offset,
                }],
            }],
            timeout_ms: TIMEOUT_MS,
        };
        let version = version(context.random, ApiKey::DeleteRecords, 0);
        let asked = self.link.send(context, version, &body, true, 0);
        self.task = Some((asked, Task::DeleteRecords(key, offset, floor)));
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: &Response,
    ) -> Checked {
        let task = self.task.take_if(|(asked, _)| *asked == correlation_id);
        let Some((_, task)) = task else {
            return protocol::unexpected(format!("nobody asked for {response:?}"));
        };
        self.directory.is_wrong();
        match (task, response) {
            (Task::Create(plan), Response::CreateTopics(response)) => {
                let Some(result) = response.topics.first() else {
                    return protocol::unexpected("no result for a topic to be made");
                };
                self.created(context, &plan, result.error_code, result.topic_id)
            }
            (Task::Delete(id), Response::DeleteTopics(response)) => {
                let error = response.responses.first().map(|result| result.error_code);
                if matches!(error, Some(ErrorCode::None))
                    && let Some(topic) = context.cluster.topic_mut(id)
                {
                    topic.deleted = true;
                }
                explained(&[ErrorCode::UnknownTopicId], error)
            }
            (Task::Grow(id, count), Response::CreatePartitions(response)) => {
                let error = response.results.first().map(|result| result.error_code);
                if matches!(error, Some(ErrorCode::None))
                    && let Some(topic) = context.cluster.topic_mut(id)
                {
                    topic.partitions.0 = topic.partitions.0.max(count);
                }
                explained(&[ErrorCode::InvalidPartitions], error)
            }
            (Task::Alter(id, setting, value), Response::IncrementalAlterConfigs(response)) => {
                let error = response.responses.first().map(|result| result.error_code);
                if let Some(topic) = context.cluster.topic_mut(id)
                    && let Some(known) = topic.settings.get_mut(setting)
                {
                    altered(known, value, error);
                }
                explained(&[], error)
            }
            (Task::DeleteRecords(key, offset, floor), Response::DeleteRecords(response)) => {
                let part = response
                    .topics
                    .first()
                    .and_then(|topic| topic.partitions.first());
                let error = part.map(|part| part.error_code);
                if let Some(part) = part.filter(|part| part.error_code == ErrorCode::None)
                    && !(context.params.reuse_names && context.cluster.may_be_gone(key.topic))
                {
                    let floor = Floor {
                        start: floor.start.max(offset.0),
                        ..floor
                    };
                    context.truth.told(key, floor, part.low_watermark.0, -1)?;
                }
                explained(&[ErrorCode::OffsetOutOfRange], error)
            }
            (task, response) => protocol::unexpected(format!("{response:?} answers {task:?}")),
        }
    }

    fn created(
        &mut self,
        context: &mut Context<'_>,
        plan: &Plan,
        error: ErrorCode,
        id: TopicId,
    ) -> Checked {
        if matches!(error, ErrorCode::None | ErrorCode::TopicAlreadyExists) {
            self.first.retain(|first| first.name != plan.name);
        }
        if error == ErrorCode::None {
            context.cluster.made(id, &plan.name, plan.partitions);
            if let Some(topic) = context.cluster.topic_mut(id) {
                for name in SETTINGS {
                    let value = plan.configs.iter().find(|(known, _)| known == name);
                    let setting = Setting {
                        acked: value.map(|(_, value)| value.clone()),
                        unclear: Vec::new(),
                    };
                    topic.settings.insert((*name).to_owned(), setting);
                }
            }
        }
        explained(&[ErrorCode::TopicAlreadyExists], Some(error))
    }
}

/// A change of a setting was answered: acked, it is the value; else, it may still come to be it.
fn altered(known: &mut Setting, value: Option<String>, error: Option<ErrorCode>) {
    if matches!(error, Some(ErrorCode::None)) {
        let place = known.unclear.iter().rposition(|unclear| *unclear == value);
        if let Some(place) = place {
            known.unclear.remove(place);
        }
        known.acked = value;
    }
}

/// Errors that need no further cause: the topic is gone meanwhile, or time was up.
fn explained(also: &[ErrorCode], error: Option<ErrorCode>) -> Checked {
    match error {
        None => protocol::unexpected("an answer without a result"),
        Some(ErrorCode::None | ErrorCode::UnknownTopicOrPartition) => Ok(()),
        Some(error) if error.is_retriable() || also.contains(&error) => Ok(()),
        Some(error) => protocol::unexpected(format!("an administrator was told: {error}")),
    }
}

const SETTINGS: &[&str] = &["retention.ms", "retention.bytes", "segment.bytes"];

fn draw_setting(random: &mut Random) -> (&'static str, String) {
    match random.below(5) {
        0 | 1 => {
            let value = *random.pick(&["-1", "100", "1000", "5000", "60000"]);
            ("retention.ms", value.to_owned())
        }
        2 | 3 => {
            let value = *random.pick(&["-1", "1000", "20000", "200000"]);
            ("retention.bytes", value.to_owned())
        }
        _ => {
            let value = *random.pick(&["1048576", "2097152"]);
            ("segment.bytes", value.to_owned())
        }
    }
}

impl Plan {
    fn draw(name: String, params: &Params, random: &mut Random) -> Self {
        let partitions = random.between(1, params.partitions_max.into());
        let mut configs = Vec::new();
        if random.percent(params.retention_percent) {
            configs.push(draw_setting(random));
        }
        if random.percent(params.log_append_time_percent) {
            configs.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        }
        Self {
            name,
            partitions: i32::try_from(partitions).unwrap_or(1),
            configs,
        }
    }
}

impl Client for Admin {
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
                other => self.answered(context, correlation_id, &other)?,
            }
        }
        if self.link.is_up() {
            self.directory.refresh(&mut self.link, context, 400);
            self.act(context);
        }
        Ok(())
    }

    fn waiting_for(&self, _: &ClusterTruth) -> Option<String> {
        let plan = self.first.last()?;
        Some(format!("{} waits for topic {}", self.name, plan.name))
    }
}
