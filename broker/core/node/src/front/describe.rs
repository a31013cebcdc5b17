//! DescribeCluster and DescribeTopicPartitions: answered from the image.

use super::{Call, Plan, leaders::endpoint};
use crate::{
    authorizer::{Operation, Resource, authorized_operations, topic_operations},
    limits::DESCRIBE_PARTITIONS_MAX,
};
use alloc::{collections::BTreeSet, string::String, vec::Vec};
use weir_meta::{Partition, Topic, name};
use weir_types::{BrokerId, ErrorCode, PartitionIndex};
use weir_wire::{
    Text,
    messages::{
        Cursor, DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
    },
};

pub(super) fn describe_cluster(call: &Call<'_>, request: &DescribeClusterRequest) -> Plan {
    let (image, context) = (call.image, call.context);
    if request.endpoint_type != 1 {
        return Plan::answer(DescribeClusterResponse {
            error_code: ErrorCode::MismatchedEndpointType,
            error_message: Some(Text::from("this endpoint is a broker's")),
            endpoint_type: 1,
            ..Default::default()
        });
    }
    let row = |broker: &weir_meta::Broker| {
        let (host, port) = endpoint(broker, context)?;
        Some(DescribeClusterBroker {
            broker_id: broker.id,
            host,
            port,
            rack: broker.rack.as_deref().map(Text::from),
            is_fenced: false,
        })
    };
    let brokers: Vec<DescribeClusterBroker> = image.brokers().filter_map(row).collect();
    Plan::answer(DescribeClusterResponse {
        endpoint_type: 1,
        cluster_id: Text::from(image.cluster_id()),
        controller_id: brokers.first().map_or(BrokerId(-1), |b| b.broker_id),
        brokers,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            authorized_operations(&context.principal, Resource::Cluster)
        } else {
            i32::MIN
        },
        ..Default::default()
    })
}

/// Pages through topics in order of their names (KIP-966), beginning at the cursor.
pub(super) fn describe_topic_partitions(
    call: &Call<'_>,
    request: &DescribeTopicPartitionsRequest,
) -> Plan {
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut page = Page {
        room: limit.clamp(1, DESCRIBE_PARTITIONS_MAX),
        topics: Vec::new(),
        next: None,
    };
    let start = request.cursor.as_ref().map(|cursor| {
        let index = usize::try_from(cursor.partition_index.0).unwrap_or(0);
        (String::from(cursor.topic_name.as_str()), index)
    });
    let from = start.as_ref().map_or("", |(name, _)| name.as_str());
    let first = |name: &str| match &start {
        Some((topic, index)) if topic == name => *index,
        _ => 0,
    };
    if request.topics.is_empty() {
        for topic in call.image.topics_from(from) {
            let resource = Resource::Topic(&topic.name);
            let seen = call.context.may(Operation::Describe, resource);
            if seen && !page.add(call, topic, first(&topic.name)) {
                break;
            }
        }
    } else {
        let names: BTreeSet<&str> = request.topics.iter().map(|t| t.name.as_str()).collect();
        for name in names.into_iter().filter(|name| *name >= from) {
            match find(call, name) {
                Ok(topic) if page.add(call, topic, first(name)) => {}
                Ok(_) => break,
                Err(error) => page.topics.push(failed(name, error)),
            }
        }
    }
    Plan::answer(DescribeTopicPartitionsResponse {
        throttle_time_ms: 0,
        topics: page.topics,
        next_cursor: page.next,
    })
}

fn find<'a>(call: &Call<'a>, name: &str) -> Result<&'a Topic, ErrorCode> {
    if !call.context.may(Operation::Describe, Resource::Topic(name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    if name::check(name).is_err() {
        return Err(ErrorCode::InvalidTopicException);
    }
    let topic = call.image.topic_named(name);
    topic
        .map(|topic| &**topic)
        .ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// An answer that is being filled.
struct Page {
    /// How many partitions still fit.
    room: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next: Option<Cursor>,
}

impl Page {
    /// Adds a topic's partitions from `first` on; returns whether all of them fitted.
    fn add(&mut self, call: &Call<'_>, topic: &Topic, first: usize) -> bool {
        if self.room == 0 {
            self.next = Some(cursor(topic, first));
            return false;
        }
        let rest = topic.partitions.get(first..).unwrap_or(&[]);
        let taken = rest.len().min(self.room);
        self.room -= taken;
        let partitions = rest[..taken].iter().enumerate();
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::None,
            name: Some(Text::from(&*topic.name)),
            topic_id: topic.id,
            is_internal: name::is_internal(&topic.name),
            partitions: partitions
                .map(|(place, partition)| describe_partition(call, first + place, partition))
                .collect(),
            topic_authorized_operations: topic_operations(&call.context.principal, topic),
        });
        if taken < rest.len() {
            self.next = Some(cursor(topic, first + taken));
            return false;
        }
        true
    }
}

fn cursor(topic: &Topic, index: usize) -> Cursor {
    Cursor {
        topic_name: Text::from(&*topic.name),
        partition_index: PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX)),
    }
}

fn describe_partition(
    call: &Call<'_>,
    index: usize,
    partition: &Partition,
) -> DescribeTopicPartitionsResponsePartition {
    let leader = partition.leader.and_then(|id| call.image.broker(id));
    let reached = leader.is_some_and(|broker| endpoint(broker, call.context).is_some());
    DescribeTopicPartitionsResponsePartition {
        error_code: match (leader, reached) {
            (None, _) => ErrorCode::LeaderNotAvailable,
            (Some(_), false) => ErrorCode::ListenerNotFound,
            (Some(_), true) => ErrorCode::None,
        },
        partition_index: PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX)),
        leader_id: partition.leader.unwrap_or(BrokerId(-1)),
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.clone(),
        isr_nodes: partition.isr.clone(),
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: Vec::new(),
    }
}

fn failed(name: &str, error: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: error,
        name: Some(Text::from(name)),
        ..Default::default()
    }
}
