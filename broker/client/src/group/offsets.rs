//! OffsetCommit and OffsetFetch: the requests in the shape that the broker's version wants, and
//! what the answers mean partition by partition.
//!
//! Pure. Members commit by topic id where the broker understands it, so that what was read of a
//! deleted topic never counts for the next of its name; all else goes by name, since offsets
//! outlive the memory of ids.

use super::{CommitOffset, member::Identity};
use crate::{error::BrokerError, record::TopicPartition};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};
use weir_wire::{
    Text,
    messages::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
        OffsetCommitResponse, OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
        OffsetFetchRequestTopics, OffsetFetchResponse,
    },
};

/// The newest version that names topics.
pub(crate) const NAMED_VERSION: i16 = 9;
/// The first version of OffsetCommit that tells topics by id (KIP-848).
const ID_VERSION: i16 = 10;
/// The first version of OffsetFetch that asks for several groups (KIP-709).
const GROUPS_VERSION: i16 = 8;

pub(crate) type Outcome = BTreeMap<TopicPartition, Result<(), BrokerError>>;

/// The ids of topics that offsets were read from; without one that is not known.
pub(crate) type Ids = BTreeMap<Arc<str>, TopicId>;

/// The newest version in which these offsets can be committed.
pub(crate) fn commit_cap(offsets: &BTreeMap<TopicPartition, CommitOffset>, ids: &Ids) -> i16 {
    if offsets.keys().all(|p| ids.contains_key(&p.topic)) {
        ID_VERSION
    } else {
        NAMED_VERSION
    }
}

/// A commit of some offsets.
pub(crate) fn commit_request(
    group: &str,
    identity: &Identity,
    offsets: &BTreeMap<TopicPartition, CommitOffset>,
    ids: &Ids,
) -> OffsetCommitRequest {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for (partition, offset) in offsets {
        let row = OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch.unwrap_or(LeaderEpoch::NONE),
            committed_metadata: Some(Text::from(offset.metadata.as_str())),
        };
        match topics.last_mut() {
            Some(topic) if topic.name == *partition.topic => topic.partitions.push(row),
            _ => topics.push(OffsetCommitRequestTopic {
                name: Text::from(&*partition.topic),
                topic_id: ids.get(&partition.topic).copied().unwrap_or_default(),
                partitions: vec![row],
            }),
        }
    }
    OffsetCommitRequest {
        group_id: Text::from(group),
        generation_id_or_member_epoch: identity.epoch,
        member_id: identity.member_id.clone(),
        group_instance_id: identity.instance_id.clone(),
        topics,
        ..OffsetCommitRequest::default()
    }
}

/// What became of each partition; one that the answer leaves out has failed.
pub(crate) fn committed(
    asked: &BTreeMap<TopicPartition, CommitOffset>,
    ids: &Ids,
    response: &OffsetCommitResponse,
) -> Outcome {
    let names: BTreeMap<_, &str> = ids.iter().map(|(name, id)| (*id, &**name)).collect();
    let mut told: BTreeMap<(&str, PartitionIndex), ErrorCode> = BTreeMap::new();
    for topic in &response.topics {
        let by_id = names.get(&topic.topic_id).copied();
        let name = by_id.unwrap_or_else(|| topic.name.as_str());
        for row in &topic.partitions {
            told.insert((name, row.partition_index), row.error_code);
        }
    }
    let outcome = |partition: &TopicPartition| {
        let code = told.get(&(&*partition.topic, partition.partition));
        match code {
            Some(code) => BrokerError::check(*code, None),
            None => Err(left_out()),
        }
    };
    let partitions = asked.keys();
    partitions.map(|p| (p.clone(), outcome(p))).collect()
}

fn left_out() -> BrokerError {
    BrokerError {
        code: ErrorCode::UnknownServerError,
        message: Some(String::from("the answer says nothing about it")),
    }
}

/// Asks for offsets; no partitions named means all that are kept.
pub(crate) fn fetch_request(
    version: i16,
    group: &str,
    identity: Option<&Identity>,
    partitions: Option<&BTreeSet<TopicPartition>>,
) -> OffsetFetchRequest {
    let mut topics: BTreeMap<&str, Vec<PartitionIndex>> = BTreeMap::new();
    for partition in partitions.into_iter().flatten() {
        let row = topics.entry(&partition.topic).or_default();
        row.push(partition.partition);
    }
    let topics = topics.into_iter();
    let mut request = OffsetFetchRequest {
        require_stable: version >= 7,
        ..OffsetFetchRequest::default()
    };
    if version < GROUPS_VERSION {
        let rows = topics.map(|(name, partition_indexes)| OffsetFetchRequestTopic {
            name: Text::from(name),
            partition_indexes,
        });
        request.group_id = Text::from(group);
        request.topics = partitions.is_some().then(|| rows.collect());
        return request;
    }
    let rows = topics.map(|(name, partition_indexes)| OffsetFetchRequestTopics {
        name: Text::from(name),
        partition_indexes,
        ..OffsetFetchRequestTopics::default()
    });
    let member = identity.filter(|identity| identity.epoch >= 0);
    request.groups = vec![OffsetFetchRequestGroup {
        group_id: Text::from(group),
        member_id: member.map(|identity| identity.member_id.clone()),
        member_epoch: member.map_or(-1, |identity| identity.epoch),
        topics: partitions.is_some().then(|| rows.collect()),
    }];
    request
}

/// The offsets that a group keeps; `None` where it keeps none.
pub(crate) type Kept = BTreeMap<TopicPartition, Result<Option<CommitOffset>, BrokerError>>;

/// What an answer about one group says.
pub(crate) fn fetched(response: OffsetFetchResponse) -> Result<Kept, BrokerError> {
    let mut kept = Kept::new();
    let mut keep =
        |topic: &Text, index, code, offset: Offset, epoch: LeaderEpoch, text: Option<Text>| {
            let partition = TopicPartition {
                topic: Arc::from(topic.as_str()),
                partition: index,
            };
            let found = BrokerError::check(code, None).map(|()| {
                (offset.0 >= 0).then(|| CommitOffset {
                    offset,
                    leader_epoch: (epoch.0 >= 0).then_some(epoch),
                    metadata: text.map(|text| text.to_string()).unwrap_or_default(),
                })
            });
            kept.insert(partition, found);
        };
    BrokerError::check(response.error_code, None)?;
    for topic in response.topics {
        for row in topic.partitions {
            let (index, code) = (row.partition_index, row.error_code);
            let (offset, epoch) = (row.committed_offset, row.committed_leader_epoch);
            keep(&topic.name, index, code, offset, epoch, row.metadata);
        }
    }
    for group in response.groups {
        BrokerError::check(group.error_code, None)?;
        for topic in group.topics {
            for row in topic.partitions {
                let (index, code) = (row.partition_index, row.error_code);
                let (offset, epoch) = (row.committed_offset, row.committed_leader_epoch);
                keep(&topic.name, index, code, offset, epoch, row.metadata);
            }
        }
    }
    Ok(kept)
}
