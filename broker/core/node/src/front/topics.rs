//! CreateTopics, DeleteTopics and CreatePartitions: commands for the metadata's shard, for the
//! part of the request that the caller is allowed.

use super::{
    Call, Front, FrontConfig, Part, Plan,
    join::{Join, Kind},
};
use crate::{
    authorizer::{Operation, Resource},
    request::{Ask, META_SHARD},
};
use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};
use weir_meta::{
    Command, Image, Reply,
    command::{
        CreatePartitions, CreateTopics, CreatedTopic, NewPartitions, NewTopic, Outcome, TopicRef,
    },
    config::{ConfigEntry, describe_topic},
};
use weir_types::{ErrorCode, TopicId};
use weir_wire::{
    Response, Text,
    messages::{
        CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreatePartitionsRequest,
        CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
        CreateTopicsRequest, CreateTopicsResponse, DeletableTopicResult, DeleteTopicsRequest,
        DeleteTopicsResponse,
    },
};

/// A request of this file that is being joined. Each result is made when the request is accepted;
/// `asked` are the places of those that wait for the command's reply, in its order.
#[derive(Debug)]
pub(super) struct TopicsJoin {
    results: Results,
    asked: Vec<usize>,
    config: Arc<FrontConfig>,
    /// What was made, to be described once the image is known.
    made: Vec<(usize, CreatedTopic)>,
}

#[derive(Debug)]
enum Results {
    Created(Vec<CreatableTopicResult>),
    Deleted(Vec<DeletableTopicResult>),
    Partitions(Vec<CreatePartitionsTopicResult>),
}

/// The plan for a metadata command.
pub(super) fn command_plan(call: &Call<'_>, command: Command, timeout_ms: i32, kind: Kind) -> Plan {
    let ask = Ask::Meta {
        command,
        timeout_ms: u64::try_from(timeout_ms).unwrap_or(0),
    };
    let part = Part {
        shard: META_SHARD,
        seen: call.image.applied(),
        ask,
    };
    Plan::Parts {
        parts: vec![part],
        join: Join::new(kind, Vec::new(), call),
    }
}

/// What a caller hears who may not do something.
fn denied(call: &Call<'_>) -> (ErrorCode, Option<Text>) {
    let text = format!("'{}' may not do this", call.context.principal.name);
    (ErrorCode::TopicAuthorizationFailed, Some(Text::from(text)))
}

impl Front {
    pub(super) fn create_topics(&self, call: &mut Call<'_>, request: CreateTopicsRequest) -> Plan {
        let mut results = Vec::with_capacity(request.topics.len());
        let mut asked = Vec::new();
        let mut topics = Vec::new();
        for (place, topic) in request.topics.into_iter().enumerate() {
            let mut result = CreatableTopicResult {
                name: topic.name.clone(),
                ..Default::default()
            };
            let resource = Resource::Topic(&topic.name);
            if call.context.may(Operation::Create, resource) {
                asked.push(place);
                topics.push(new_topic(topic, TopicId((call.random)())));
            } else {
                (result.error_code, result.error_message) = denied(call);
            }
            results.push(result);
        }
        let join = self.topics_join(Results::Created(results), asked);
        if topics.is_empty() {
            return Plan::Answer(join.finish(call.image));
        }
        let command = Command::CreateTopics(CreateTopics {
            topics,
            validate_only: request.validate_only,
            num_partitions_default: self.config.num_partitions,
            replication_factor_default: self.config.replication_factor,
        });
        command_plan(call, command, request.timeout_ms, Kind::Topics(join))
    }

    pub(super) fn delete_topics(&self, call: &Call<'_>, request: DeleteTopicsRequest) -> Plan {
        let by_name = |name: Text| (Some(name), TopicId::ZERO);
        let wanted: Vec<(Option<Text>, TopicId)> = if call.version >= 6 {
            let topics = request.topics.into_iter();
            topics.map(|topic| (topic.name, topic.topic_id)).collect()
        } else {
            request.topic_names.into_iter().map(by_name).collect()
        };
        let mut results = Vec::with_capacity(wanted.len());
        let mut asked = Vec::new();
        let mut topics = Vec::new();
        for (place, (name, id)) in wanted.into_iter().enumerate() {
            let mut result = DeletableTopicResult {
                name: name.clone(),
                topic_id: id,
                ..Default::default()
            };
            match deletable(call, name, id) {
                Ok(topic) => {
                    asked.push(place);
                    topics.push(topic);
                }
                Err(error) => (result.error_code, result.error_message) = error,
            }
            results.push(result);
        }
        let join = self.topics_join(Results::Deleted(results), asked);
        if topics.is_empty() {
            return Plan::Answer(join.finish(call.image));
        }
        let command = Command::DeleteTopics(topics);
        command_plan(call, command, request.timeout_ms, Kind::Topics(join))
    }

    pub(super) fn create_partitions(
        &self,
        call: &Call<'_>,
        request: CreatePartitionsRequest,
    ) -> Plan {
        let mut results = Vec::with_capacity(request.topics.len());
        let mut asked = Vec::new();
        let mut topics = Vec::new();
        for (place, topic) in request.topics.into_iter().enumerate() {
            let mut result = CreatePartitionsTopicResult {
                name: topic.name.clone(),
                ..Default::default()
            };
            let resource = Resource::Topic(&topic.name);
            if call.context.may(Operation::Alter, resource) {
                asked.push(place);
                topics.push(new_partitions(topic));
            } else {
                (result.error_code, result.error_message) = denied(call);
            }
            results.push(result);
        }
        let join = self.topics_join(Results::Partitions(results), asked);
        if topics.is_empty() {
            return Plan::Answer(join.finish(call.image));
        }
        let command = Command::CreatePartitions(CreatePartitions {
            topics,
            validate_only: request.validate_only,
        });
        command_plan(call, command, request.timeout_ms, Kind::Topics(join))
    }

    fn topics_join(&self, results: Results, asked: Vec<usize>) -> TopicsJoin {
        TopicsJoin {
            results,
            asked,
            config: self.config.clone(),
            made: Vec::new(),
        }
    }
}

fn new_topic(topic: CreatableTopic, id: TopicId) -> NewTopic {
    let assignments = topic.assignments.into_iter();
    let configs = topic.configs.into_iter();
    NewTopic {
        id,
        name: String::from(topic.name.as_str()),
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments
            .map(|assignment| (assignment.partition_index, assignment.broker_ids))
            .collect(),
        configs: configs
            .map(|config| (String::from(config.name), config.value.map(String::from)))
            .collect(),
    }
}

fn new_partitions(topic: CreatePartitionsTopic) -> NewPartitions {
    let assignments = topic.assignments.map(|assignments| {
        let brokers = assignments.into_iter();
        brokers.map(|assignment| assignment.broker_ids).collect()
    });
    NewPartitions {
        name: String::from(topic.name.as_str()),
        count: topic.count,
        assignments,
    }
}

/// The topic to delete, if the caller may.
fn deletable(
    call: &Call<'_>,
    name: Option<Text>,
    id: TopicId,
) -> Result<TopicRef, (ErrorCode, Option<Text>)> {
    let may = |name: &str| call.context.may(Operation::Delete, Resource::Topic(name));
    match (name, id) {
        (Some(name), TopicId::ZERO) if may(&name) => Ok(TopicRef::Name(String::from(name))),
        (Some(_), TopicId::ZERO) => Err(denied(call)),
        (None, id) if id != TopicId::ZERO => {
            let name = call.image.topic(id).map_or("", |topic| &*topic.name);
            if may(name) {
                Ok(TopicRef::Id(id))
            } else {
                Err(denied(call))
            }
        }
        _ => {
            let text = "a topic is named either by its name or by its id".to_string();
            Err((ErrorCode::InvalidRequest, Some(Text::from(text))))
        }
    }
}

impl TopicsJoin {
    pub(super) fn absorb(&mut self, reply: Result<Reply, (ErrorCode, String)>) {
        match (reply, &mut self.results) {
            (Ok(Reply::Created(topics)), Results::Created(_)) => {
                self.made = self.asked.iter().copied().zip(topics).collect();
            }
            (Ok(Reply::Deleted(topics)), Results::Deleted(results)) => {
                for (place, topic) in self.asked.iter().zip(topics) {
                    let result = &mut results[*place];
                    result.name = topic.name.map(Text::from).or(result.name.take());
                    result.topic_id = topic.id;
                    (result.error_code, result.error_message) = wire(topic.outcome);
                }
            }
            (Ok(Reply::Partitions(topics)), Results::Partitions(results)) => {
                for (place, topic) in self.asked.iter().zip(topics) {
                    let result = &mut results[*place];
                    (result.error_code, result.error_message) = wire(topic.outcome);
                }
            }
            (Ok(reply), _) => {
                panic!("I-NODE-12: a reply fits its command, this does not: {reply:?}")
            }
            (Err((error, message)), _) => self.fail(error, &message),
        }
    }

    /// The command came to nothing: everything that waited for it failed.
    fn fail(&mut self, error: ErrorCode, message: &str) {
        for place in &self.asked {
            let (code, text) = match &mut self.results {
                Results::Created(results) => {
                    let result = &mut results[*place];
                    (&mut result.error_code, &mut result.error_message)
                }
                Results::Deleted(results) => {
                    let result = &mut results[*place];
                    (&mut result.error_code, &mut result.error_message)
                }
                Results::Partitions(results) => {
                    let result = &mut results[*place];
                    (&mut result.error_code, &mut result.error_message)
                }
            };
            *code = error;
            *text = Some(Text::from(message));
        }
    }

    pub(super) fn finish(self, image: &Image) -> Response {
        let throttle_time_ms = 0;
        match self.results {
            Results::Created(mut topics) => {
                for (place, topic) in self.made {
                    fill_created(&mut topics[place], topic, image, &self.config);
                }
                CreateTopicsResponse {
                    throttle_time_ms,
                    topics,
                }
                .into()
            }
            Results::Deleted(responses) => DeleteTopicsResponse {
                throttle_time_ms,
                responses,
            }
            .into(),
            Results::Partitions(results) => CreatePartitionsResponse {
                throttle_time_ms,
                results,
            }
            .into(),
        }
    }
}

fn wire(outcome: Outcome) -> (ErrorCode, Option<Text>) {
    (outcome.error, outcome.message.map(Text::from))
}

fn fill_created(
    result: &mut CreatableTopicResult,
    topic: CreatedTopic,
    image: &Image,
    config: &FrontConfig,
) {
    if topic.outcome.is_ok() {
        let overrides: BTreeMap<Arc<str>, String> = topic.overrides.into_iter().collect();
        let settings = describe_topic(&config.statics, image, &overrides);
        let row = |entry: ConfigEntry| CreatableTopicConfigs {
            name: Text::from(entry.key.name),
            value: Some(Text::from(entry.value)),
            read_only: false,
            config_source: entry.source as i8,
            is_sensitive: false,
        };
        result.configs = Some(settings.into_iter().map(row).collect());
    }
    result.topic_id = topic.id;
    result.num_partitions = topic.num_partitions;
    result.replication_factor = topic.replication_factor;
    (result.error_code, result.error_message) = wire(topic.outcome);
}
