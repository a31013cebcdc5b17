//! Metadata: brokers as the listener's clients reach them, topics and leaders; makes topics that
//! a client names, where that is allowed.

use super::{Call, Context, Front, Plan, join::Kind, leaders::endpoint, topics::command_plan};
use crate::{
    authorizer::{Operation, Resource, authorized_operations, topic_operations},
    limits::AUTO_CREATE_TOPICS_MAX,
};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use weir_meta::{
    Broker, Command, Image, Partition, Reply, Topic,
    command::{CreateTopics, NewTopic},
    name,
};
use weir_types::{BrokerId, ErrorCode, PartitionIndex, TopicId};
use weir_wire::{
    Response, Text,
    messages::{
        MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
        MetadataResponsePartition, MetadataResponseTopic,
    },
};

/// How long a client waits for a topic that it made by naming it, in milliseconds.
const AUTO_CREATE_MS: i32 = 10_000;

/// A Metadata request whose topics are being made.
#[derive(Debug)]
pub(super) struct MetadataJoin {
    request: MetadataRequest,
    /// Why a topic was not made, by name.
    failed: BTreeMap<String, ErrorCode>,
    /// Why none was.
    whole: Option<ErrorCode>,
}

impl Front {
    pub(super) fn metadata(&self, call: &mut Call<'_>, request: MetadataRequest) -> Plan {
        let missing = self.to_create(call, &request);
        let join = MetadataJoin {
            request,
            failed: BTreeMap::new(),
            whole: None,
        };
        if missing.is_empty() {
            return Plan::Answer(join.finish(call.image, call.context, call.version));
        }
        let topics = missing
            .into_iter()
            .map(|name| NewTopic {
                id: TopicId((call.random)()),
                name,
                num_partitions: -1,
                replication_factor: -1,
                assignments: Vec::new(),
                configs: Vec::new(),
            })
            .collect();
        let command = Command::CreateTopics(CreateTopics {
            topics,
            validate_only: false,
            num_partitions_default: self.config.num_partitions,
            replication_factor_default: self.config.replication_factor,
        });
        command_plan(call, command, AUTO_CREATE_MS, Kind::Metadata(join))
    }

    /// The topics that are named, are not there, and may be made.
    fn to_create(&self, call: &Call<'_>, request: &MetadataRequest) -> Vec<String> {
        let mut names = Vec::new();
        // Before version 4 a client cannot say that it wants none made.
        let wanted = request.allow_auto_topic_creation || call.version < 4;
        if !(self.config.auto_create_topics && wanted) {
            return names;
        }
        let named = request.topics.iter().flatten();
        for name in named.filter_map(|topic| topic.name.as_ref()) {
            let makes = call.image.topic_named(name).is_none()
                && name::check(name).is_ok()
                && !name::is_internal(name)
                && call.context.may(Operation::Create, Resource::Topic(name));
            let name = String::from(name.as_str());
            if makes && names.len() < AUTO_CREATE_TOPICS_MAX && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl MetadataJoin {
    pub(super) fn absorb(&mut self, reply: Result<Reply, (ErrorCode, String)>) {
        match reply {
            Ok(Reply::Created(topics)) => {
                for topic in topics.into_iter().filter(|topic| !topic.outcome.is_ok()) {
                    self.failed.insert(topic.name, topic.outcome.error);
                }
            }
            Ok(_) => {}
            // The client asks again; it may be there by then.
            Err(_) => self.whole = Some(ErrorCode::LeaderNotAvailable),
        }
    }

    pub(super) fn finish(self, image: &Image, context: &Context, version: i16) -> Response {
        let cluster_bits = if self.request.include_cluster_authorized_operations {
            authorized_operations(&context.principal, Resource::Cluster)
        } else {
            i32::MIN
        };
        let brokers = brokers(image, context);
        let controller = brokers.first().map_or(BrokerId(-1), |b| b.node_id);
        MetadataResponse {
            throttle_time_ms: 0,
            brokers,
            cluster_id: Some(Text::from(image.cluster_id())),
            controller_id: controller,
            topics: self.topics(image, context, version),
            cluster_authorized_operations: cluster_bits,
            error_code: ErrorCode::None,
        }
        .into()
    }

    fn topics(&self, image: &Image, context: &Context, version: i16) -> Vec<MetadataResponseTopic> {
        let row = |topic: &Topic| describe(image, context, version, topic, &self.request);
        let may = |topic: &&_| {
            let topic: &Topic = topic;
            context.may(Operation::Describe, Resource::Topic(&topic.name))
        };
        match &self.request.topics {
            // Version 0 asks for all with an empty list, later ones with none.
            Some(named) if version > 0 || !named.is_empty() => named
                .iter()
                .map(|wanted| match self.find(image, context, version, wanted) {
                    Ok(topic) => row(topic),
                    Err(error) => failed(wanted, error, version),
                })
                .collect(),
            _ => image
                .topics()
                .map(|topic| &**topic)
                .filter(may)
                .map(row)
                .collect(),
        }
    }

    fn find<'a>(
        &self,
        image: &'a Image,
        context: &Context,
        version: i16,
        wanted: &MetadataRequestTopic,
    ) -> Result<&'a Topic, ErrorCode> {
        if version >= 10 && wanted.topic_id != TopicId::ZERO {
            if wanted.name.as_ref().is_some_and(|name| !name.is_empty()) {
                return Err(ErrorCode::InvalidRequest);
            }
            let topic = image.topic(wanted.topic_id);
            let topic = topic.ok_or(ErrorCode::UnknownTopicId)?;
            if !context.may(Operation::Describe, Resource::Topic(&topic.name)) {
                // Whoever may not see a topic does not learn that its id exists.
                return Err(ErrorCode::UnknownTopicId);
            }
            return Ok(topic);
        }
        let name = wanted.name.as_ref().ok_or(ErrorCode::InvalidRequest)?;
        if name::check(name).is_err() {
            return Err(ErrorCode::InvalidTopicException);
        }
        if !context.may(Operation::Describe, Resource::Topic(name)) {
            return Err(ErrorCode::TopicAuthorizationFailed);
        }
        if let Some(topic) = image.topic_named(name) {
            return Ok(topic);
        }
        let failed = self.failed.get(name.as_str()).copied();
        Err(match failed.or(self.whole) {
            // Someone else made it and someone deleted it since.
            Some(ErrorCode::TopicAlreadyExists) | None => ErrorCode::UnknownTopicOrPartition,
            Some(error) => error,
        })
    }
}

/// The brokers that the listener's clients can reach.
fn brokers(image: &Image, context: &Context) -> Vec<MetadataResponseBroker> {
    let row = |broker: &Broker| {
        let (host, port) = endpoint(broker, context)?;
        Some(MetadataResponseBroker {
            node_id: broker.id,
            host,
            port,
            rack: broker.rack.as_deref().map(Text::from),
        })
    };
    image.brokers().filter_map(row).collect()
}

fn describe(
    image: &Image,
    context: &Context,
    version: i16,
    topic: &Topic,
    request: &MetadataRequest,
) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().enumerate();
    MetadataResponseTopic {
        error_code: ErrorCode::None,
        name: Some(Text::from(&*topic.name)),
        topic_id: topic.id,
        is_internal: name::is_internal(&topic.name),
        partitions: partitions
            .map(|(index, partition)| describe_partition(image, context, version, index, partition))
            .collect(),
        topic_authorized_operations: if request.include_topic_authorized_operations {
            topic_operations(&context.principal, topic)
        } else {
            i32::MIN
        },
    }
}

fn describe_partition(
    image: &Image,
    context: &Context,
    version: i16,
    index: usize,
    partition: &Partition,
) -> MetadataResponsePartition {
    MetadataResponsePartition {
        error_code: leader_error(image, context, version, partition),
        partition_index: PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX)),
        leader_id: partition.leader.unwrap_or(BrokerId(-1)),
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.clone(),
        isr_nodes: partition.isr.clone(),
        offline_replicas: Vec::new(),
    }
}

/// Why a partition's leader cannot be reached over this listener, if that is so.
fn leader_error(
    image: &Image,
    context: &Context,
    version: i16,
    partition: &Partition,
) -> ErrorCode {
    let Some(leader) = partition.leader.and_then(|leader| image.broker(leader)) else {
        return ErrorCode::LeaderNotAvailable;
    };
    if endpoint(leader, context).is_some() {
        ErrorCode::None
    } else if version >= 6 {
        ErrorCode::ListenerNotFound
    } else {
        ErrorCode::LeaderNotAvailable
    }
}

fn failed(wanted: &MetadataRequestTopic, error: ErrorCode, version: i16) -> MetadataResponseTopic {
    // Before version 12 the answer must have a name.
    let name = wanted.name.clone();
    MetadataResponseTopic {
        error_code: error,
        name: if version < 12 {
            Some(name.unwrap_or_default())
        } else {
            name
        },
        topic_id: wanted.topic_id,
        ..Default::default()
    }
}
