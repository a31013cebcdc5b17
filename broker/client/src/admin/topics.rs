//! Topics: make, list, describe, grow, delete, and drop records.

use super::{Admin, check, missing};
use crate::{
    cluster::{
        broker::Purpose,
        by_leader::{Answered, Asked, LeaderQuestion, answers_of, ask_leaders, by_topic},
    },
    error::{AdminError, BrokerError},
    record::TopicPartition,
};
use std::collections::BTreeMap;
use weir_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};
use weir_wire::{
    Text,
    messages::{
        CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatePartitionsRequest,
        CreatePartitionsTopic, CreateTopicsRequest, Cursor, DeleteRecordsPartition,
        DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic, DeleteRecordsTopicResult,
        DeleteTopicState, DeleteTopicsRequest, DescribeTopicPartitionsRequest,
        DescribeTopicPartitionsResponseTopic, DescribeTopicPartitionsTopicRequest, MetadataRequest,
        MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
    },
};

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; nothing leaves it to the broker (`num.partitions`).
    pub partitions: Option<i32>,
    /// How many replicas of each; nothing leaves it to the broker.
    pub replication_factor: Option<i16>,
    /// Which brokers hold each partition; empty leaves it to the broker.
    pub assignments: Vec<(PartitionIndex, Vec<BrokerId>)>,
    /// Configurations that differ from the defaults.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic with so many partitions.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self {
            partitions: Some(partitions),
            ..Self::with_defaults(name)
        }
    }

    /// A topic as the broker's defaults want it.
    pub fn with_defaults(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            partitions: None,
            replication_factor: None,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// With so many replicas.
    #[must_use]
    pub const fn with_replication_factor(mut self, replicas: i16) -> Self {
        self.replication_factor = Some(replicas);
        self
    }

    /// With a configuration.
    #[must_use]
    pub fn with_config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), Some(value.into())));
        self
    }

    fn to_wire(&self) -> CreatableTopic {
        CreatableTopic {
            name: Text::from(&self.name),
            num_partitions: self.partitions.unwrap_or(-1),
            replication_factor: self.replication_factor.unwrap_or(-1),
            assignments: self
                .assignments
                .iter()
                .map(|(partition, brokers)| CreatableReplicaAssignment {
                    partition_index: *partition,
                    broker_ids: brokers.clone(),
                })
                .collect(),
            configs: self
                .configs
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name: Text::from(name),
                    value: value.as_ref().map(Text::from),
                })
                .collect(),
        }
    }
}

/// A topic that was made, as far as the broker tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: String,
    /// Its id; zero from old brokers.
    pub id: TopicId,
    /// How many partitions, if told.
    pub partitions: Option<i32>,
    /// How many replicas, if told.
    pub replication_factor: Option<i16>,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicListing {
    /// Its name.
    pub name: String,
    /// Its id; zero from old brokers.
    pub id: TopicId,
    /// Whether the broker made it for itself.
    pub is_internal: bool,
    /// How many partitions.
    pub partitions: usize,
}

/// A topic with its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id; zero from old brokers.
    pub id: TopicId,
    /// Whether the broker made it for itself.
    pub is_internal: bool,
    /// In order of their index.
    pub partitions: Vec<PartitionDescription>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its index.
    pub index: PartitionIndex,
    /// Its leader, if it has one.
    pub leader: Option<BrokerId>,
    /// The leader's epoch, or -1.
    pub leader_epoch: LeaderEpoch,
    /// Brokers that hold a replica.
    pub replicas: Vec<BrokerId>,
    /// Those in sync.
    pub isr: Vec<BrokerId>,
    /// Those offline.
    pub offline: Vec<BrokerId>,
    /// Replicas that may become leader although not in sync (KIP-966), where told.
    pub eligible: Vec<BrokerId>,
    /// What the broker says against it.
    pub error: Option<ErrorCode>,
}

/// A topic by name or by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id; needs a broker of Kafka 2.8 or later.
    Id(TopicId),
}

impl From<&str> for TopicRef {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<TopicId> for TopicRef {
    fn from(id: TopicId) -> Self {
        Self::Id(id)
    }
}

/// For each topic what became of it.
type ByName<T> = BTreeMap<String, Result<T, AdminError>>;

impl Admin {
    /// Makes one topic.
    ///
    /// # Errors
    /// [`AdminError::Broker`] with `TopicAlreadyExists`, `InvalidConfig` and so on.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<CreatedTopic, AdminError> {
        let name = topic.name.clone();
        let mut made = self.create_topics(&[topic], false).await?;
        made.remove(&name).unwrap_or_else(|| Err(missing(name)))
    }

    /// Makes topics, or only checks whether they could be made; the outcome of each by name.
    ///
    /// # Errors
    /// [`AdminError::Request`] where there is no answer at all.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<ByName<CreatedTopic>, AdminError> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(NewTopic::to_wire).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let response = self
            .ask_controller(&request, |r| r.topics.first().map(|t| t.error_code))
            .await?;
        let results = response.topics.into_iter().map(|topic| {
            let outcome = check(topic.error_code, topic.error_message.as_ref());
            let created = outcome.map(|()| CreatedTopic {
                name: topic.name.to_string(),
                id: topic.topic_id,
                partitions: (topic.num_partitions > 0).then_some(topic.num_partitions),
                replication_factor: (topic.replication_factor > 0)
                    .then_some(topic.replication_factor),
            });
            (topic.name.to_string(), created)
        });
        Ok(results.collect())
    }

    /// Deletes one topic and all that is in it.
    ///
    /// # Errors
    /// [`AdminError::Broker`] with `UnknownTopicOrPartition` where there is none.
    pub async fn delete_topic(&self, topic: impl Into<TopicRef>) -> Result<(), AdminError> {
        let outcome = self.delete_topics(&[topic.into()]).await?;
        let first = outcome.into_iter().next();
        first.map_or_else(|| Err(missing("the topic")), |(_, outcome)| outcome)
    }

    /// Deletes topics; the outcome of each in the order of the answer.
    ///
    /// # Errors
    /// [`AdminError::Request`] where there is no answer at all.
    pub async fn delete_topics(
        &self,
        topics: &[TopicRef],
    ) -> Result<Vec<(TopicRef, Result<(), AdminError>)>, AdminError> {
        let mut request = DeleteTopicsRequest {
            timeout_ms: self.timeout_ms(),
            ..DeleteTopicsRequest::default()
        };
        let session = self
            .shared
            .anybody()
            .await?
            .session(Purpose::Control)
            .await?;
        let version = session.version::<DeleteTopicsRequest>(i16::MAX)?;
        for topic in topics {
            match topic {
                TopicRef::Name(name) if version < 6 => request.topic_names.push(Text::from(name)),
                TopicRef::Name(name) => request.topics.push(DeleteTopicState {
                    name: Some(Text::from(name)),
                    topic_id: TopicId::ZERO,
                }),
                TopicRef::Id(id) => request.topics.push(DeleteTopicState {
                    name: None,
                    topic_id: *id,
                }),
            }
        }
        let response = self
            .ask_controller(&request, |r| r.responses.first().map(|t| t.error_code))
            .await?;
        let results = response.responses.into_iter().map(|topic| {
            let outcome = check(topic.error_code, topic.error_message.as_ref());
            let named = match topic.name {
                Some(name) => TopicRef::Name(name.to_string()),
                None => TopicRef::Id(topic.topic_id),
            };
            (named, outcome)
        });
        Ok(results.collect())
    }

    /// Lets a topic grow to `count` partitions; it can never shrink.
    ///
    /// # Errors
    /// [`AdminError::Broker`] with `InvalidPartitions` and so on.
    pub async fn create_partitions(
        &self,
        topic: &str,
        count: i32,
        validate_only: bool,
    ) -> Result<(), AdminError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: Text::from(topic),
                count,
                assignments: None,
            }],
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let response = self
            .ask_controller(&request, |r| r.results.first().map(|t| t.error_code))
            .await?;
        let Some(result) = response.results.first() else {
            return Err(missing(topic));
        };
        check(result.error_code, result.error_message.as_ref())?;
        self.shared.metadata_is_stale();
        Ok(())
    }

    /// Drops the records below an offset of each partition; -1 drops all that are replicated.
    /// Answers where each log starts now.
    pub async fn delete_records(
        &self,
        below: impl IntoIterator<Item = (TopicPartition, Offset)> + Send,
    ) -> BTreeMap<TopicPartition, Result<Offset, AdminError>> {
        let items = below.into_iter().collect();
        let question = DeleteRecords {
            timeout_ms: self.timeout_ms(),
        };
        ask_leaders(&self.shared, &question, items, self.shared.deadline()).await
    }

    /// Every topic, in order of its name.
    ///
    /// # Errors
    /// [`AdminError::Request`].
    pub async fn list_topics(&self) -> Result<Vec<TopicListing>, AdminError> {
        let response = self.metadata(None).await?;
        let mut topics: Vec<_> = response
            .topics
            .into_iter()
            .map(|topic| TopicListing {
                name: topic.name.unwrap_or_default().to_string(),
                id: topic.topic_id,
                is_internal: topic.is_internal,
                partitions: topic.partitions.len(),
            })
            .collect();
        topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// One topic with its partitions, from Metadata.
    ///
    /// # Errors
    /// [`AdminError::Broker`] with `UnknownTopicOrPartition` where there is none.
    pub async fn describe_topic(
        &self,
        topic: impl Into<TopicRef> + Send,
    ) -> Result<TopicDescription, AdminError> {
        let asked = match topic.into() {
            TopicRef::Name(name) => MetadataRequestTopic {
                name: Some(Text::from(&name)),
                ..MetadataRequestTopic::default()
            },
            TopicRef::Id(id) => MetadataRequestTopic {
                topic_id: id,
                name: None,
            },
        };
        let response = self.metadata(Some(vec![asked])).await?;
        let Some(topic) = response.topics.into_iter().next() else {
            return Err(missing("the topic"));
        };
        check(topic.error_code, None)?;
        Ok(described(topic))
    }

    /// Topics with their partitions and eligible leaders (DescribeTopicPartitions, KIP-966), page
    /// by page behind the scenes; the outcome of each by name.
    ///
    /// # Errors
    /// [`AdminError::Request`]; `Unsupported` from brokers older than Kafka 3.7.
    pub async fn describe_topic_partitions(
        &self,
        topics: &[String],
    ) -> Result<ByName<TopicDescription>, AdminError> {
        let mut sorted: Vec<_> = topics.iter().map(Text::from).collect();
        sorted.sort();
        let mut found: ByName<TopicDescription> = BTreeMap::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let from = cursor.as_ref().map(|cursor| cursor.topic_name.clone());
            let left = sorted
                .iter()
                .filter(|name| from.as_ref().is_none_or(|from| *name >= from));
            let request = DescribeTopicPartitionsRequest {
                topics: left
                    .map(|name| DescribeTopicPartitionsTopicRequest { name: name.clone() })
                    .collect(),
                cursor: cursor.clone(),
                ..DescribeTopicPartitionsRequest::default()
            };
            let response = self.ask_any(&request).await?;
            for topic in response.topics {
                take_page(&mut found, topic);
            }
            match response.next_cursor {
                // A cursor that stands still would never end.
                Some(next) if Some(&next) != cursor.as_ref() => cursor = Some(next),
                _ => return Ok(found),
            }
        }
    }

    /// Metadata as the protocol gives it; nothing asks for all topics. Makes no topic.
    ///
    /// # Errors
    /// [`AdminError::Request`].
    pub async fn metadata(
        &self,
        topics: Option<Vec<MetadataRequestTopic>>,
    ) -> Result<MetadataResponse, AdminError> {
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let response = self.ask_any(&request).await?;
        check(response.error_code, None)?;
        Ok(response)
    }
}

fn described(topic: MetadataResponseTopic) -> TopicDescription {
    let mut partitions: Vec<_> = topic
        .partitions
        .into_iter()
        .map(|partition| PartitionDescription {
            index: partition.partition_index,
            leader: (partition.leader_id.0 >= 0).then_some(partition.leader_id),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes,
            isr: partition.isr_nodes,
            offline: partition.offline_replicas,
            eligible: Vec::new(),
            error: partition
                .error_code
                .is_err()
                .then_some(partition.error_code),
        })
        .collect();
    partitions.sort_unstable_by_key(|partition| partition.index);
    TopicDescription {
        name: topic.name.unwrap_or_default().to_string(),
        id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions,
    }
}

/// Adds one page of a topic to what was found before.
fn take_page(found: &mut ByName<TopicDescription>, topic: DescribeTopicPartitionsResponseTopic) {
    let name = topic.name.unwrap_or_default().to_string();
    if let Err(error) = check(topic.error_code, None) {
        found.insert(name, Err(error));
        return;
    }
    let partitions = topic.partitions.into_iter().map(|p| PartitionDescription {
        index: p.partition_index,
        leader: (p.leader_id.0 >= 0).then_some(p.leader_id),
        leader_epoch: p.leader_epoch,
        replicas: p.replica_nodes,
        isr: p.isr_nodes,
        offline: p.offline_replicas,
        eligible: p.eligible_leader_replicas.unwrap_or_default(),
        error: p.error_code.is_err().then_some(p.error_code),
    });
    let place = found.entry(name.clone()).or_insert_with(|| {
        Ok(TopicDescription {
            name,
            id: topic.topic_id,
            is_internal: topic.is_internal,
            partitions: Vec::new(),
        })
    });
    if let Ok(description) = place {
        description.partitions.extend(partitions);
    }
}

/// DeleteRecords, leader by leader.
struct DeleteRecords {
    timeout_ms: i32,
}

impl LeaderQuestion for DeleteRecords {
    type Item = Offset;
    type Answer = Offset;
    type Request = DeleteRecordsRequest;

    fn request(&self, asked: &[Asked<Offset>]) -> DeleteRecordsRequest {
        let row = |asked: &Asked<Offset>| DeleteRecordsPartition {
            partition_index: asked.partition.partition,
            offset: asked.item,
        };
        let topic = |name, partitions| DeleteRecordsTopic { name, partitions };
        DeleteRecordsRequest {
            topics: by_topic(asked, row, topic),
            timeout_ms: self.timeout_ms,
        }
    }

    fn answers(&self, response: DeleteRecordsResponse) -> Vec<Answered<Offset>> {
        let partitions = |topic: DeleteRecordsTopicResult| (topic.name, topic.partitions);
        answers_of(response.topics, partitions, |partition| {
            let checked = BrokerError::check(partition.error_code, None);
            let start = checked.map(|()| partition.low_watermark);
            (partition.partition_index, start)
        })
    }
}
