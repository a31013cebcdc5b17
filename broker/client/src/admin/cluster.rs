//! What the cluster looks like: brokers, log directories, producers, spoken versions.

use super::{Admin, check};
use crate::{
    cluster::{
        broker::Purpose,
        by_leader::{Answered, Asked, LeaderQuestion, answers_of, ask_leaders, by_topic},
    },
    error::{AdminError, BrokerError},
    record::TopicPartition,
};
use std::collections::BTreeMap;
use weir_types::{BrokerId, Offset, ProducerId, TimestampMs};
use weir_wire::{
    ApiKey, Text,
    messages::{
        DescribableLogDirTopic, DescribeClusterRequest, DescribeLogDirsRequest,
        DescribeLogDirsResult, DescribeProducersRequest, DescribeProducersResponse,
        DescribeProducersTopicRequest, DescribeProducersTopicResponse, ProducerState,
    },
};

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub id: String,
    /// The broker that takes cluster changes, if there is one.
    pub controller: Option<BrokerId>,
    /// In order of their id.
    pub brokers: Vec<BrokerInfo>,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerInfo {
    /// Its id.
    pub id: BrokerId,
    /// Where it is, for the listener that was asked.
    pub host: String,
    /// The port there.
    pub port: i32,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it is shut out of the cluster at the moment (KIP-1073).
    pub is_fenced: bool,
}

/// One log directory of a broker.
#[derive(Clone, Debug)]
pub struct LogDirDescription {
    /// Where it is.
    pub path: String,
    /// What failed there.
    pub error: Option<BrokerError>,
    /// Size of its disk, where told.
    pub total_bytes: Option<i64>,
    /// Room left on it, where told.
    pub usable_bytes: Option<i64>,
    /// What it holds.
    pub replicas: Vec<ReplicaInfo>,
}

/// One replica in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaInfo {
    /// Of which partition.
    pub partition: TopicPartition,
    /// Bytes on disk.
    pub size_bytes: i64,
    /// How far it is behind, in records.
    pub lag: Offset,
    /// Whether it is being moved here.
    pub is_future: bool,
}

/// A producer that writes to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: i32,
    /// Sequence of its last record, if known.
    pub last_sequence: Option<i32>,
    /// Timestamp of its last record, if known.
    pub last_timestamp: Option<TimestampMs>,
    /// First offset of its open transaction, if there is one.
    pub open_transaction: Option<Offset>,
}

/// An API that a broker speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiInfo {
    /// Its number.
    pub key: i16,
    /// Kafka's name, where this client knows it.
    pub name: Option<&'static str>,
    /// Oldest version.
    pub min_version: i16,
    /// Newest version.
    pub max_version: i16,
}

impl Admin {
    /// The cluster's id, controller and brokers.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, AdminError> {
        let response = self.ask_any(&DescribeClusterRequest::default()).await?;
        check(response.error_code, response.error_message.as_ref())?;
        let mut brokers: Vec<_> = response
            .brokers
            .into_iter()
            .map(|broker| BrokerInfo {
                id: broker.broker_id,
                host: broker.host.to_string(),
                port: broker.port,
                rack: broker.rack.map(|rack| rack.to_string()),
                is_fenced: broker.is_fenced,
            })
            .collect();
        brokers.sort_unstable_by_key(|broker| broker.id);
        Ok(ClusterDescription {
            id: response.cluster_id.to_string(),
            controller: (response.controller_id.0 >= 0).then_some(response.controller_id),
            brokers,
        })
    }

    /// The log directories of one broker; all partitions, or those of some topics.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn describe_log_dirs(
        &self,
        broker: BrokerId,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Vec<LogDirDescription>, AdminError> {
        let topics = partitions.map(|partitions| {
            let mut topics: BTreeMap<&str, Vec<_>> = BTreeMap::new();
            for partition in partitions {
                let places = topics.entry(&partition.topic).or_default();
                places.push(partition.partition);
            }
            let topics = topics.into_iter();
            topics
                .map(|(topic, partitions)| DescribableLogDirTopic {
                    topic: Text::from(topic),
                    partitions,
                })
                .collect()
        });
        let broker = self.shared.broker(broker)?;
        let request = DescribeLogDirsRequest { topics };
        let response = self.shared.ask(&broker, i16::MAX, &request).await?;
        check(response.error_code, None)?;
        Ok(response.results.into_iter().map(log_dir).collect())
    }

    /// The producers that write to partitions (KIP-664).
    pub async fn describe_producers(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition> + Send,
    ) -> BTreeMap<TopicPartition, Result<Vec<ActiveProducer>, AdminError>> {
        let items = partitions.into_iter().map(|p| (p, ())).collect();
        ask_leaders(
            &self.shared,
            &DescribeProducers,
            items,
            self.shared.deadline(),
        )
        .await
    }

    /// The APIs and versions that a broker speaks; without an id those of whichever is connected.
    ///
    /// # Errors
    /// [`AdminError::Request`].
    pub async fn api_versions(&self, broker: Option<BrokerId>) -> Result<Vec<ApiInfo>, AdminError> {
        let broker = match broker {
            Some(id) => self.shared.broker(id)?,
            None => self.shared.anybody().await?,
        };
        let session = broker.session(Purpose::Control).await?;
        let rows = session.versions.rows().into_iter();
        Ok(rows
            .map(|(key, versions)| ApiInfo {
                key,
                name: ApiKey::from_key(key).map(ApiKey::name),
                min_version: versions.min,
                max_version: versions.max,
            })
            .collect())
    }
}

fn log_dir(result: DescribeLogDirsResult) -> LogDirDescription {
    let told = |bytes: i64| (bytes >= 0).then_some(bytes);
    let mut replicas = Vec::new();
    for topic in result.topics {
        for partition in topic.partitions {
            replicas.push(ReplicaInfo {
                partition: TopicPartition::new(topic.name.as_str(), partition.partition_index.0),
                size_bytes: partition.partition_size,
                lag: partition.offset_lag,
                is_future: partition.is_future_key,
            });
        }
    }
    replicas.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
    LogDirDescription {
        path: result.log_dir.to_string(),
        error: BrokerError::check(result.error_code, None).err(),
        total_bytes: told(result.total_bytes),
        usable_bytes: told(result.usable_bytes),
        replicas,
    }
}

/// DescribeProducers, leader by leader.
struct DescribeProducers;

impl LeaderQuestion for DescribeProducers {
    type Item = ();
    type Answer = Vec<ActiveProducer>;
    type Request = DescribeProducersRequest;

    fn request(&self, asked: &[Asked<()>]) -> DescribeProducersRequest {
        let row = |asked: &Asked<()>| asked.partition.partition;
        let topic = |name, partition_indexes| DescribeProducersTopicRequest {
            name,
            partition_indexes,
        };
        DescribeProducersRequest {
            topics: by_topic(asked, row, topic),
        }
    }

    fn answers(&self, response: DescribeProducersResponse) -> Vec<Answered<Vec<ActiveProducer>>> {
        let partitions = |topic: DescribeProducersTopicResponse| (topic.name, topic.partitions);
        answers_of(response.topics, partitions, |partition| {
            let message = partition.error_message.as_ref();
            let checked = BrokerError::check(partition.error_code, message);
            let producers = partition.active_producers.iter().map(active);
            let producers = checked.map(|()| producers.collect());
            (partition.partition_index, producers)
        })
    }
}

fn active(state: &ProducerState) -> ActiveProducer {
    let open = state.current_txn_start_offset;
    ActiveProducer {
        id: state.producer_id,
        epoch: state.producer_epoch,
        last_sequence: (state.last_sequence >= 0).then_some(state.last_sequence),
        last_timestamp: (state.last_timestamp.0 >= 0).then_some(state.last_timestamp),
        open_transaction: (open.0 >= 0).then_some(open),
    }
}
