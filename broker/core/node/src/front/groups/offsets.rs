//! OffsetCommit, OffsetFetch and OffsetDelete. Whether topics and partitions exist and may be read
//! is looked up here, since a coordinator does not know; the rest is translation.

use super::{Asked, Shape, asked, maybe_name, name, refusal, text};
use crate::{
    authorizer::{Operation, Resource},
    front::{Call, Context, Front, Plan},
};
use alloc::{collections::BTreeMap, vec::Vec};
use weir_group::{
    Name, Reply, Request,
    record::CommittedOffset,
    request::{CommitPartition, OffsetCommit, OffsetDelete, OffsetFetch},
};
use weir_meta::Image;
use weir_types::{ErrorCode, PartitionIndex, TopicId};
use weir_wire::{
    Response, Text,
    messages::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse,
        OffsetCommitResponsePartition, OffsetCommitResponseTopic, OffsetDeleteRequest,
        OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
        OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
        OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
        OffsetFetchResponseTopic, OffsetFetchResponseTopics,
    },
};

/// Where the answers of a coordinator belong: the topic's place, and the partition's place in it.
type Places = Vec<(usize, usize)>;

/// A commit that is being answered.
#[derive(Debug)]
pub(super) struct CommitJoin {
    response: OffsetCommitResponse,
    asked: Places,
}

/// Offsets that are being looked up, by group.
#[derive(Debug)]
pub(super) struct FetchJoin(Vec<FetchGroup>);

/// One group's part; all that it committed where no topics are named.
#[derive(Debug)]
struct FetchGroup {
    id: Text,
    topics: Option<Vec<FetchTopic>>,
}

#[derive(Debug)]
struct FetchTopic {
    name: Text,
    id: TopicId,
    /// Why its offsets are not asked for.
    error: ErrorCode,
    partitions: Vec<PartitionIndex>,
}

/// Offsets that are being forgotten.
#[derive(Debug)]
pub(super) struct DeleteJoin {
    response: OffsetDeleteResponse,
    asked: Places,
}

impl Front {
    pub(in super::super) fn commit_offsets(
        &self,
        call: &Call<'_>,
        request: OffsetCommitRequest,
    ) -> Plan {
        let mut join = CommitJoin {
            response: OffsetCommitResponse::default(),
            asked: Vec::new(),
        };
        let mut offsets = Vec::new();
        for (place, topic) in request.topics.iter().enumerate() {
            let wanted = topic.partitions.iter().map(|wanted| wanted.partition_index);
            let rows = look_at(call, &topic.name, topic.topic_id, wanted, |at, known| {
                join.asked.push((place, at));
                offsets.push(commit(known, &topic.partitions[at]));
            });
            let row = |(partition_index, error_code)| OffsetCommitResponsePartition {
                partition_index,
                error_code,
            };
            join.response.topics.push(OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: rows.into_iter().map(row).collect(),
            });
        }
        if offsets.is_empty() {
            return Plan::answer(join.response);
        }
        let commit = OffsetCommit {
            group: name(&request.group_id),
            member_id: name(&request.member_id),
            instance_id: maybe_name(request.group_instance_id.as_ref()),
            generation: request.generation_id_or_member_epoch,
            retention_ms: request.retention_time_ms,
            offsets,
        };
        let group = &request.group_id;
        let ask = asked(call, Operation::Read, group, Request::OffsetCommit(commit));
        self.ask_groups(call, Vec::from([ask]), Shape::Commit(join))
    }

    pub(in super::super) fn fetch_offsets(
        &self,
        call: &Call<'_>,
        request: OffsetFetchRequest,
    ) -> Plan {
        let wanted = if call.version < 8 {
            Vec::from([only_group(request)])
        } else {
            request.groups
        };
        let (mut asks, mut groups) = (Vec::new(), Vec::new());
        for group in wanted {
            let topics = group.topics.map(|topics| {
                let topics = topics.into_iter();
                topics
                    .map(|topic| fetch_topic(call, topic))
                    .collect::<Vec<_>>()
            });
            asks.push(ask_offsets(
                call,
                &group.group_id,
                group.member_id.as_ref(),
                group.member_epoch,
                topics.as_deref(),
            ));
            groups.push(FetchGroup {
                id: group.group_id,
                topics,
            });
        }
        self.ask_groups(call, asks, Shape::Fetch(FetchJoin(groups)))
    }

    pub(in super::super) fn delete_offsets(
        &self,
        call: &Call<'_>,
        request: &OffsetDeleteRequest,
    ) -> Plan {
        let mut join = DeleteJoin {
            response: OffsetDeleteResponse::default(),
            asked: Vec::new(),
        };
        let mut forgotten = Vec::new();
        for (place, topic) in request.topics.iter().enumerate() {
            let wanted = topic.partitions.iter().map(|wanted| wanted.partition_index);
            let rows = look_at(call, &topic.name, TopicId::ZERO, wanted, |at, known| {
                join.asked.push((place, at));
                let index = topic.partitions[at].partition_index;
                forgotten.push((known.name.clone(), index));
            });
            let row = |(partition_index, error_code)| OffsetDeleteResponsePartition {
                partition_index,
                error_code,
            };
            join.response.topics.push(OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions: rows.into_iter().map(row).collect(),
            });
        }
        let delete = OffsetDelete {
            group: name(&request.group_id),
            partitions: forgotten,
        };
        let group = &request.group_id;
        let request = Request::OffsetDelete(delete);
        let ask = asked(call, Operation::Delete, group, request);
        self.ask_groups(call, Vec::from([ask]), Shape::DeleteOffsets(join))
    }
}

/// A topic that is there and that the caller may read.
#[derive(Clone, Debug)]
struct Known {
    name: Name,
    id: TopicId,
}

/// Looks at the partitions that a request names of one topic: those that are there and may be read
/// go to `take` with their places, and each one's error is told.
fn look_at(
    call: &Call<'_>,
    name: &Text,
    id: TopicId,
    wanted: impl Iterator<Item = PartitionIndex>,
    mut take: impl FnMut(usize, &Known),
) -> Vec<(PartitionIndex, ErrorCode)> {
    let known = readable(call, name, id);
    let look = |(at, index): (usize, PartitionIndex)| {
        let error = match &known {
            Err(error) => *error,
            Ok(known) => {
                let topic = call.image.topic(known.id);
                if topic.is_some_and(|topic| topic.partition(index).is_some()) {
                    take(at, known);
                    ErrorCode::None
                } else {
                    ErrorCode::UnknownTopicOrPartition
                }
            }
        };
        (index, error)
    };
    wanted.enumerate().map(look).collect()
}

/// The topic of that name, or of that id where it has no name.
fn readable(call: &Call<'_>, name: &Text, id: TopicId) -> Result<Known, ErrorCode> {
    let by_id = name.is_empty() && id != TopicId::ZERO;
    let topic = if by_id {
        Some(call.image.topic(id).ok_or(ErrorCode::UnknownTopicId)?)
    } else {
        call.image.topic_named(name)
    };
    // Who may not read a topic is not told whether it is there.
    let named = topic.map_or(name.as_str(), |topic| &topic.name);
    let may = call.context.may(Operation::Read, Resource::Topic(named));
    if !may || topic.is_some_and(|topic| !call.context.may_read(topic)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Ok(Known {
        name: topic.name.clone(),
        id: topic.id,
    })
}

fn commit(topic: &Known, wanted: &OffsetCommitRequestPartition) -> CommitPartition {
    CommitPartition {
        topic: topic.name.clone(),
        topic_id: topic.id,
        partition: wanted.partition_index,
        offset: wanted.committed_offset,
        leader_epoch: wanted.committed_leader_epoch,
        metadata: maybe_name(wanted.committed_metadata.as_ref()),
    }
}

/// What a request of a version before 8 asks for, in the form of the later ones.
fn only_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: TopicId::ZERO,
            partition_indexes: topic.partition_indexes,
        });
        topics.collect()
    });
    OffsetFetchRequestGroup {
        group_id: request.group_id,
        member_id: None,
        member_epoch: -1,
        topics,
    }
}

/// A topic whose offsets are wanted. One that is gone is asked for all the same where it is named:
/// its offsets may still be there.
fn fetch_topic(call: &Call<'_>, topic: OffsetFetchRequestTopics) -> FetchTopic {
    let mut wanted = FetchTopic {
        name: topic.name,
        id: topic.topic_id,
        error: ErrorCode::None,
        partitions: topic.partition_indexes,
    };
    match readable(call, &wanted.name, wanted.id) {
        Ok(known) => (wanted.name, wanted.id) = (text(&known.name), known.id),
        Err(ErrorCode::UnknownTopicOrPartition) => {}
        Err(error) => wanted.error = error,
    }
    wanted
}

fn ask_offsets(
    call: &Call<'_>,
    group: &Text,
    member_id: Option<&Text>,
    member_epoch: i32,
    topics: Option<&[FetchTopic]>,
) -> Asked {
    let partitions = topics.map(|topics| {
        let asked = topics.iter().filter(|topic| !topic.error.is_err());
        asked
            .flat_map(|topic| {
                let known = name(&topic.name);
                let indexes = topic.partitions.iter();
                indexes.map(move |index| (known.clone(), topic.id, *index))
            })
            .collect()
    });
    let fetch = OffsetFetch {
        group: name(group),
        member_id: maybe_name(member_id),
        member_epoch,
        partitions,
    };
    asked(
        call,
        Operation::Describe,
        group,
        Request::OffsetFetch(fetch),
    )
}

impl CommitJoin {
    pub(super) fn finish(mut self, reply: &Reply) -> Response {
        for (at, (topic, partition)) in self.asked.iter().enumerate() {
            let result = &mut self.response.topics[*topic].partitions[*partition];
            result.error_code = match reply {
                Reply::Committed(told) => told
                    .get(at)
                    .map_or(ErrorCode::UnknownServerError, |(.., error)| *error),
                other => refusal(other).0,
            };
        }
        self.response.into()
    }
}

impl DeleteJoin {
    pub(super) fn finish(mut self, reply: &Reply) -> Response {
        match reply {
            Reply::OffsetsDeleted(told) => {
                for ((topic, partition), (.., error)) in self.asked.iter().zip(told) {
                    self.response.topics[*topic].partitions[*partition].error_code = *error;
                }
            }
            other => {
                self.response.error_code = refusal(other).0;
                self.response.topics.clear();
            }
        }
        self.response.into()
    }
}

impl FetchJoin {
    pub(super) fn finish(
        self,
        replies: Vec<Reply>,
        image: &Image,
        context: &Context,
        version: i16,
    ) -> Response {
        let groups = self.0.into_iter().zip(replies);
        let mut groups: Vec<OffsetFetchResponseGroup> = groups
            .map(|(group, reply)| group.finish(reply, image, context))
            .collect();
        if version >= 8 {
            return OffsetFetchResponse {
                groups,
                ..Default::default()
            }
            .into();
        }
        let group = groups.pop().unwrap_or_default();
        let topics = group.topics.into_iter();
        OffsetFetchResponse {
            topics: topics.map(old_topic).collect(),
            error_code: group.error_code,
            ..Default::default()
        }
        .into()
    }
}

impl FetchGroup {
    fn finish(self, reply: Reply, image: &Image, context: &Context) -> OffsetFetchResponseGroup {
        let (told, error_code) = match reply {
            Reply::Fetched(told) => (told, ErrorCode::None),
            other => (Vec::new(), refusal(&other).0),
        };
        let topics = match self.topics {
            None => all_topics(told, image, context),
            Some(topics) => {
                let mut told = told.into_iter();
                let row = |topic: FetchTopic| fetched_topic(topic, error_code, &mut told);
                topics.into_iter().map(row).collect()
            }
        };
        OffsetFetchResponseGroup {
            group_id: self.id,
            topics,
            error_code,
        }
    }
}

type Told = (Name, PartitionIndex, Option<CommittedOffset>);

/// One topic of those that were named; the coordinator tells them in the order of the request.
fn fetched_topic(
    topic: FetchTopic,
    error: ErrorCode,
    told: &mut impl Iterator<Item = Told>,
) -> OffsetFetchResponseTopics {
    let asked = !topic.error.is_err();
    let row = |index: &PartitionIndex| {
        let value = if asked { told.next() } else { None };
        let mut row = fetched(*index, value.and_then(|(.., value)| value));
        row.error_code = if asked { error } else { topic.error };
        row
    };
    OffsetFetchResponseTopics {
        partitions: topic.partitions.iter().map(row).collect(),
        name: topic.name,
        topic_id: topic.id,
    }
}

/// Everything a group has committed, but for topics that are gone or that the caller may not see.
fn all_topics(told: Vec<Told>, image: &Image, context: &Context) -> Vec<OffsetFetchResponseTopics> {
    let mut topics: BTreeMap<Name, OffsetFetchResponseTopics> = BTreeMap::new();
    for (topic, index, value) in told {
        let id = image.topic_named(&topic).map_or(TopicId::ZERO, |t| t.id);
        let of = value.as_ref().map_or(TopicId::ZERO, |value| value.topic_id);
        let other = id != TopicId::ZERO && of != TopicId::ZERO && of != id;
        let may = context.may(Operation::Read, Resource::Topic(&topic));
        if other || !may || !context.may_read_named(image, &topic) {
            continue;
        }
        let row = topics.entry(topic.clone()).or_default();
        row.name = text(&topic);
        row.topic_id = id;
        row.partitions.push(fetched(index, value));
    }
    topics.into_values().collect()
}

fn fetched(
    partition_index: PartitionIndex,
    value: Option<CommittedOffset>,
) -> OffsetFetchResponsePartitions {
    let Some(value) = value else {
        return OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: weir_types::Offset(-1),
            ..Default::default()
        };
    };
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: value.offset,
        committed_leader_epoch: value.leader_epoch,
        metadata: Some(text(&value.metadata)),
        error_code: ErrorCode::None,
    }
}

fn old_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter();
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions
            .map(|row| OffsetFetchResponsePartition {
                partition_index: row.partition_index,
                committed_offset: row.committed_offset,
                committed_leader_epoch: row.committed_leader_epoch,
                metadata: row.metadata,
                error_code: row.error_code,
            })
            .collect(),
    }
}
