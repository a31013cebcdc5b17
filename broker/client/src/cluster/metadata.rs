//! What the client knows of the cluster: brokers, topics, partitions, leaders.
//!
//! A snapshot never changes; merging an answer makes a new one. Of two words about a partition's
//! leader the one with the larger epoch counts (KIP-320), whatever came last.

use super::transport::Address;
use std::{collections::HashMap, sync::Arc};
use weir_types::{BrokerId, ErrorCode, LeaderEpoch, PartitionIndex, TopicId};
use weir_wire::messages::{MetadataResponse, MetadataResponseTopic};

/// The cluster as last heard of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) brokers: HashMap<BrokerId, Address>,
    pub(crate) controller: Option<BrokerId>,
    pub(crate) topics: HashMap<Arc<str>, TopicMetadata>,
}

/// One topic as last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicMetadata {
    pub(crate) id: TopicId,
    pub(crate) error: ErrorCode,
    /// Whether it is the brokers' own.
    pub(crate) is_internal: bool,
    /// In order of their index, without gaps.
    pub(crate) partitions: Vec<PartitionMetadata>,
}

/// One partition as last heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub(crate) leader: Option<BrokerId>,
    pub(crate) leader_epoch: LeaderEpoch,
}

impl Metadata {
    /// Takes an answer over. Topics that it does not name stay as they are.
    pub(crate) fn merge(&self, response: &MetadataResponse) -> Self {
        let mut next = self.clone();
        if !response.brokers.is_empty() {
            next.brokers = response
                .brokers
                .iter()
                .filter_map(|broker| {
                    let address = Address {
                        host: Arc::from(broker.host.as_str()),
                        port: u16::try_from(broker.port).ok()?,
                    };
                    Some((broker.node_id, address))
                })
                .collect();
        }
        next.controller = (response.controller_id.0 >= 0).then_some(response.controller_id);
        for topic in &response.topics {
            let Some(name) = &topic.name else {
                continue;
            };
            let before = self.topics.get(name.as_str());
            let merged = merge_topic(before, topic);
            next.topics.insert(Arc::from(name.as_str()), merged);
        }
        next
    }

    /// The leader of a partition, if it has one that is known.
    pub(crate) fn leader(
        &self,
        topic: &str,
        partition: PartitionIndex,
    ) -> Option<(BrokerId, LeaderEpoch)> {
        let partition = self.partition(topic, partition)?;
        Some((partition.leader?, partition.leader_epoch))
    }

    pub(crate) fn partition(
        &self,
        topic: &str,
        partition: PartitionIndex,
    ) -> Option<PartitionMetadata> {
        let index = usize::try_from(partition.0).ok()?;
        self.topics.get(topic)?.partitions.get(index).copied()
    }
}

fn merge_topic(before: Option<&TopicMetadata>, topic: &MetadataResponseTopic) -> TopicMetadata {
    let same = before.filter(|before| before.id == topic.topic_id);
    let count = topic
        .partitions
        .iter()
        .filter_map(|partition| usize::try_from(partition.partition_index.0).ok())
        .map(|index| index + 1)
        .max()
        .unwrap_or(0)
        // A gap would be the broker's mistake; it must not cost memory.
        .min(topic.partitions.len());
    let unknown = PartitionMetadata {
        leader: None,
        leader_epoch: LeaderEpoch::NONE,
    };
    let mut partitions = vec![unknown; count];
    for partition in &topic.partitions {
        let index = usize::try_from(partition.partition_index.0).unwrap_or(usize::MAX);
        let Some(place) = partitions.get_mut(index) else {
            continue;
        };
        *place = PartitionMetadata {
            leader: (partition.leader_id.0 >= 0).then_some(partition.leader_id),
            leader_epoch: partition.leader_epoch,
        };
        let newer = same
            .and_then(|before| before.partitions.get(index))
            .filter(|before| before.leader_epoch > partition.leader_epoch);
        if let Some(newer) = newer {
            *place = *newer;
        }
    }
    let mut id = topic.topic_id;
    if topic.error_code.is_err()
        && topic.error_code.is_retriable()
        && partitions.is_empty()
        && let Some(before) = before
    {
        // A broker that lags behind must not make a topic vanish that is in use.
        partitions.clone_from(&before.partitions);
        id = before.id;
    }
    TopicMetadata {
        id,
        error: topic.error_code,
        is_internal: topic.is_internal,
        partitions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_wire::messages::MetadataResponsePartition;

    fn answer(leader: i32, epoch: i32) -> MetadataResponse {
        MetadataResponse {
            topics: vec![MetadataResponseTopic {
                name: Some("t".into()),
                partitions: vec![MetadataResponsePartition {
                    leader_id: BrokerId(leader),
                    leader_epoch: LeaderEpoch(epoch),
                    ..MetadataResponsePartition::default()
                }],
                ..MetadataResponseTopic::default()
            }],
            ..MetadataResponse::default()
        }
    }

    #[test]
    fn an_older_leader_is_not_believed() {
        let first = Metadata::default().merge(&answer(1, 5));
        let leader = |metadata: &Metadata| metadata.leader("t", PartitionIndex(0));
        assert_eq!(leader(&first), Some((BrokerId(1), LeaderEpoch(5))));
        let stale = first.merge(&answer(2, 4));
        assert_eq!(leader(&stale), Some((BrokerId(1), LeaderEpoch(5))));
        let newer = first.merge(&answer(3, 6));
        assert_eq!(leader(&newer), Some((BrokerId(3), LeaderEpoch(6))));
        let nobody = first.merge(&answer(-1, 7));
        assert_eq!(leader(&nobody), None);
    }
}
