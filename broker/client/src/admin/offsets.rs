//! Offsets by time and by leader epoch.

use super::Admin;
use crate::{
    cluster::by_leader::{Answered, Asked, LeaderQuestion, answers_of, ask_leaders, by_topic},
    error::{AdminError, BrokerError},
    record::TopicPartition,
};
use std::collections::BTreeMap;
use weir_types::{BrokerId, LeaderEpoch, Offset, TimestampMs};
use weir_wire::messages::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
    ListOffsetsTopicResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopic, OffsetForLeaderTopicResult,
};

/// Which offset is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first that can be read.
    Earliest,
    /// The high watermark: the offset the next replicated record gets.
    Latest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record with this time or a later one, in milliseconds since 1970.
    Timestamp(TimestampMs),
}

impl OffsetSpec {
    const fn number(self) -> TimestampMs {
        match self {
            Self::Latest => TimestampMs(-1),
            Self::Earliest => TimestampMs(-2),
            Self::MaxTimestamp => TimestampMs(-3),
            Self::Timestamp(time) => time,
        }
    }
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset; nothing where no record is that late.
    pub offset: Option<Offset>,
    /// The record's timestamp, where one was looked for.
    pub timestamp: Option<TimestampMs>,
    /// Its leader epoch, or -1.
    pub leader_epoch: LeaderEpoch,
}

/// Where a leader epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch that is not above the one asked for, or -1.
    pub leader_epoch: LeaderEpoch,
    /// Where it ends, or -1.
    pub end_offset: Offset,
}

impl Admin {
    /// Finds offsets (ListOffsets), of committed and uncommitted records alike.
    pub async fn list_offsets(
        &self,
        wanted: impl IntoIterator<Item = (TopicPartition, OffsetSpec)> + Send,
    ) -> BTreeMap<TopicPartition, Result<FoundOffset, AdminError>> {
        let items = wanted.into_iter().collect();
        list_offsets(&self.shared, items).await
    }

    /// Finds where leader epochs end (OffsetForLeaderEpoch, KIP-320).
    pub async fn offsets_for_leader_epochs(
        &self,
        wanted: impl IntoIterator<Item = (TopicPartition, LeaderEpoch)> + Send,
    ) -> BTreeMap<TopicPartition, Result<EpochEnd, AdminError>> {
        let items = wanted.into_iter().collect();
        ask_leaders(&self.shared, &EpochEnds, items, self.shared.deadline()).await
    }
}

/// As [`Admin::list_offsets`].
pub(crate) async fn list_offsets(
    shared: &std::sync::Arc<crate::cluster::shared::Shared>,
    items: Vec<(TopicPartition, OffsetSpec)>,
) -> BTreeMap<TopicPartition, Result<FoundOffset, AdminError>> {
    let newest = items
        .iter()
        .any(|(_, spec)| *spec == OffsetSpec::MaxTimestamp);
    let question = ListOffsets {
        // Older brokers would take the number for a time.
        oldest_version: if newest { 7 } else { 1 },
    };
    ask_leaders(shared, &question, items, shared.deadline()).await
}

struct ListOffsets {
    oldest_version: i16,
}

impl LeaderQuestion for ListOffsets {
    type Item = OffsetSpec;
    type Answer = FoundOffset;
    type Request = ListOffsetsRequest;

    fn oldest_version(&self) -> i16 {
        self.oldest_version
    }

    fn request(&self, asked: &[Asked<OffsetSpec>]) -> ListOffsetsRequest {
        let row = |asked: &Asked<OffsetSpec>| ListOffsetsPartition {
            partition_index: asked.partition.partition,
            current_leader_epoch: asked.leader_epoch,
            timestamp: asked.item.number(),
        };
        let topic = |name, partitions| ListOffsetsTopic { name, partitions };
        ListOffsetsRequest {
            topics: by_topic(asked, row, topic),
            ..ListOffsetsRequest::default()
        }
    }

    fn answers(&self, response: ListOffsetsResponse) -> Vec<Answered<FoundOffset>> {
        let partitions = |topic: ListOffsetsTopicResponse| (topic.name, topic.partitions);
        answers_of(response.topics, partitions, |partition| {
            let checked = BrokerError::check(partition.error_code, None);
            let found = checked.map(|()| FoundOffset {
                offset: (partition.offset.0 >= 0).then_some(partition.offset),
                timestamp: (partition.timestamp.0 >= 0).then_some(partition.timestamp),
                leader_epoch: partition.leader_epoch,
            });
            (partition.partition_index, found)
        })
    }
}

struct EpochEnds;

impl LeaderQuestion for EpochEnds {
    type Item = LeaderEpoch;
    type Answer = EpochEnd;
    type Request = OffsetForLeaderEpochRequest;

    fn request(&self, asked: &[Asked<LeaderEpoch>]) -> OffsetForLeaderEpochRequest {
        let row = |asked: &Asked<LeaderEpoch>| OffsetForLeaderPartition {
            partition: asked.partition.partition,
            current_leader_epoch: asked.leader_epoch,
            leader_epoch: asked.item,
        };
        let topic = |topic, partitions| OffsetForLeaderTopic { topic, partitions };
        OffsetForLeaderEpochRequest {
            replica_id: BrokerId(-1),
            topics: by_topic(asked, row, topic),
        }
    }

    fn answers(&self, response: OffsetForLeaderEpochResponse) -> Vec<Answered<EpochEnd>> {
        let partitions = |topic: OffsetForLeaderTopicResult| (topic.topic, topic.partitions);
        answers_of(response.topics, partitions, |partition| {
            let checked = BrokerError::check(partition.error_code, None);
            let end = checked.map(|()| EpochEnd {
                leader_epoch: partition.leader_epoch,
                end_offset: partition.end_offset,
            });
            (partition.partition, end)
        })
    }
}
