//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers and DescribeLogDirs: split
//! by partition and joined again.

use super::{
    Call, Context, Front, Part, Plan, Volume,
    join::{Join, Kind, misfit, pairs, refused_offset},
    split::{Place, Split},
};
use crate::{
    authorizer::{Operation, Resource},
    request::{
        Answer, Ask, EpochEndAsk, EpochEndResult, FoundOffset, OffsetAsk, OffsetSpec, PartitionKey,
        ProducerInfo,
    },
    times::locate,
    validate::Inflate,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec,
    vec::Vec,
};
use weir_meta::{Image, name::is_internal};
use weir_types::{
    BatchHeader, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ShardId, TimestampMs, TopicId,
    batch::{Compression, payload},
    limits::BATCH_DECOMPRESSED_BYTES_MAX,
    log::StoredBatch,
};
use weir_wire::{
    Response, Text,
    messages::{
        DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
        DeleteRecordsTopicResult, DescribeLogDirsPartition, DescribeLogDirsRequest,
        DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
        DescribeProducersPartitionResponse, DescribeProducersRequest, DescribeProducersResponse,
        DescribeProducersTopicResponse, ListOffsetsPartition, ListOffsetsPartitionResponse,
        ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
        OffsetForLeaderEpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        OffsetForLeaderTopicResult, ProducerState,
    },
};

/// The partition, if it is there and the caller may do `operation` on its topic.
fn find(
    call: &Call<'_>,
    operation: Operation,
    name: &str,
    index: PartitionIndex,
) -> Result<PartitionKey, ErrorCode> {
    if !call.context.may(operation, Resource::Topic(name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let topic = call.image.topic_named(name);
    // Offsets tell of records: whoever may not read those does not learn them.
    let reads = matches!(operation, Operation::Read | Operation::Describe);
    if reads && !call.context.may_read_named(call.image, name) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    topic
        .filter(|topic| topic.partition(index).is_some())
        .map(|topic| PartitionKey {
            topic: topic.log(),
            index,
        })
        .ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// As [`find`]; a view has no log of which this could be said.
fn find_log(
    call: &Call<'_>,
    operation: Operation,
    name: &str,
    index: PartitionIndex,
) -> Result<PartitionKey, ErrorCode> {
    let key = find(call, operation, name, index)?;
    let topic = call.image.topic_named(name);
    if topic.is_some_and(|topic| topic.view.is_some()) {
        return Err(ErrorCode::InvalidTopicException);
    }
    Ok(key)
}

/// As [`find_log`]; what a broker keeps for itself it drops itself, and only what it need not know.
fn deletable(
    call: &Call<'_>,
    name: &str,
    index: PartitionIndex,
) -> Result<PartitionKey, ErrorCode> {
    let key = find_log(call, Operation::Delete, name, index)?;
    if is_internal(name) {
        return Err(ErrorCode::InvalidTopicException);
    }
    Ok(key)
}

fn known(epoch: LeaderEpoch) -> Option<LeaderEpoch> {
    Some(epoch).filter(|epoch| epoch.0 >= 0)
}

impl Front {
    pub(super) fn list_offsets(&self, call: &Call<'_>, request: &ListOffsetsRequest) -> Plan {
        let mut split = Split::new(self.config.shards);
        let mut topics = Vec::with_capacity(request.topics.len());
        for (at, topic) in request.topics.iter().enumerate() {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (place, wanted) in topic.partitions.iter().enumerate() {
                let mut result = ListOffsetsPartitionResponse {
                    partition_index: wanted.partition_index,
                    ..Default::default()
                };
                match offset_ask(call, &topic.name, wanted) {
                    Ok(ask) => split.push(ask.key, (at, place), ask),
                    Err(error) => result.error_code = error,
                }
                partitions.push(result);
            }
            topics.push(ListOffsetsTopicResponse {
                name: topic.name.clone(),
                partitions,
            });
        }
        let response = ListOffsetsResponse {
            throttle_time_ms: 0,
            topics,
        };
        if split.is_empty() {
            return Plan::answer(response);
        }
        let inside = Vec::new();
        let (parts, places) = split.into_parts(call.image.applied(), Ask::Offsets);
        let kind = Kind::Offsets(OffsetsJoin { response, inside });
        let join = Join::new(kind, places, call);
        Plan::Parts { parts, join }
    }

    pub(super) fn epoch_ends(
        &self,
        call: &Call<'_>,
        request: &OffsetForLeaderEpochRequest,
    ) -> Plan {
        let mut split = Split::new(self.config.shards);
        let mut topics = Vec::with_capacity(request.topics.len());
        for (at, topic) in request.topics.iter().enumerate() {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (place, wanted) in topic.partitions.iter().enumerate() {
                let index = wanted.partition;
                let mut result = OffsetForLeaderEpochEndOffset {
                    partition: index,
                    ..Default::default()
                };
                match find(call, Operation::Describe, &topic.topic, index) {
                    Ok(key) => {
                        let ask = EpochEndAsk {
                            key,
                            epoch: wanted.leader_epoch,
                            current_leader_epoch: known(wanted.current_leader_epoch),
                        };
                        split.push(key, (at, place), ask);
                    }
                    Err(error) => result.error_code = error,
                }
                partitions.push(result);
            }
            topics.push(OffsetForLeaderTopicResult {
                topic: topic.topic.clone(),
                partitions,
            });
        }
        let response = OffsetForLeaderEpochResponse {
            throttle_time_ms: 0,
            topics,
        };
        if split.is_empty() {
            return Plan::answer(response);
        }
        let (parts, places) = split.into_parts(call.image.applied(), Ask::EpochEnds);
        let join = Join::new(Kind::EpochEnds(response), places, call);
        Plan::Parts { parts, join }
    }

    pub(super) fn delete_records(&self, call: &Call<'_>, request: &DeleteRecordsRequest) -> Plan {
        let mut split = Split::new(self.config.shards);
        let mut topics = Vec::with_capacity(request.topics.len());
        for (at, topic) in request.topics.iter().enumerate() {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (place, wanted) in topic.partitions.iter().enumerate() {
                let index = wanted.partition_index;
                let mut result = DeleteRecordsPartitionResult {
                    partition_index: index,
                    low_watermark: Offset(-1),
                    ..Default::default()
                };
                match deletable(call, &topic.name, index) {
                    // -1 means everything that is replicated.
                    Ok(key) => {
                        let to = Some(wanted.offset).filter(|offset| offset.0 != -1);
                        split.push(key, (at, place), (key, to));
                    }
                    Err(error) => result.error_code = error,
                }
                partitions.push(result);
            }
            topics.push(DeleteRecordsTopicResult {
                name: topic.name.clone(),
                partitions,
            });
        }
        let response = DeleteRecordsResponse {
            throttle_time_ms: 0,
            topics,
        };
        if split.is_empty() {
            return Plan::answer(response);
        }
        let timeout_ms = u64::try_from(request.timeout_ms).unwrap_or(0);
        let ask = |partitions| Ask::DeleteRecords {
            partitions,
            timeout_ms,
        };
        let (parts, places) = split.into_parts(call.image.applied(), ask);
        let join = Join::new(Kind::DeleteRecords(response), places, call);
        Plan::Parts { parts, join }
    }

    pub(super) fn describe_producers(
        &self,
        call: &Call<'_>,
        request: &DescribeProducersRequest,
    ) -> Plan {
        let mut split = Split::new(self.config.shards);
        let mut topics = Vec::with_capacity(request.topics.len());
        for (at, topic) in request.topics.iter().enumerate() {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for (place, index) in topic.partition_indexes.iter().enumerate() {
                let mut result = DescribeProducersPartitionResponse {
                    partition_index: *index,
                    ..Default::default()
                };
                match find_log(call, Operation::Read, &topic.name, *index) {
                    Ok(key) => split.push(key, (at, place), key),
                    Err(error) => set_producers_error(&mut result, error),
                }
                partitions.push(result);
            }
            topics.push(DescribeProducersTopicResponse {
                name: topic.name.clone(),
                partitions,
            });
        }
        let response = DescribeProducersResponse {
            throttle_time_ms: 0,
            topics,
        };
        if split.is_empty() {
            return Plan::answer(response);
        }
        let (parts, places) = split.into_parts(call.image.applied(), Ask::Producers);
        let join = Join::new(Kind::Producers(response), places, call);
        Plan::Parts { parts, join }
    }

    pub(super) fn describe_log_dirs(
        &self,
        call: &mut Call<'_>,
        request: DescribeLogDirsRequest,
    ) -> Plan {
        if !call.context.may(Operation::Describe, Resource::Cluster) {
            return Plan::answer(DescribeLogDirsResponse {
                error_code: ErrorCode::ClusterAuthorizationFailed,
                ..Default::default()
            });
        }
        let wanted = request.topics.map(|topics| {
            let keys = topics.into_iter().flat_map(|topic| {
                let id: Option<TopicId> = call.image.topic_named(&topic.topic).map(|t| t.id);
                let indexes = topic.partitions.into_iter();
                indexes.filter_map(move |index| Some(PartitionKey { topic: id?, index }))
            });
            keys.collect::<BTreeSet<PartitionKey>>()
        });
        let parts = (0..self.config.shards)
            .map(|shard| Part {
                shard: ShardId(shard),
                seen: call.image.applied(),
                ask: Ask::Sizes(None),
            })
            .collect();
        let join = LogDirsJoin {
            log_dir: self.config.log_dir.clone(),
            volume: (call.volume)(),
            wanted,
            sizes: BTreeMap::new(),
            error: ErrorCode::None,
        };
        Plan::Parts {
            parts,
            join: Join::new(Kind::LogDirs(join), Vec::new(), call),
        }
    }
}

fn offset_ask(
    call: &Call<'_>,
    topic: &str,
    wanted: &ListOffsetsPartition,
) -> Result<OffsetAsk, ErrorCode> {
    Ok(OffsetAsk {
        key: find(call, Operation::Describe, topic, wanted.partition_index)?,
        spec: spec(wanted.timestamp, call.version)?,
        current_leader_epoch: known(wanted.current_leader_epoch),
    })
}

/// What a timestamp asks for.
const fn spec(timestamp: TimestampMs, version: i16) -> Result<OffsetSpec, ErrorCode> {
    match timestamp.0 {
        -1 => Ok(OffsetSpec::Latest),
        -2 => Ok(OffsetSpec::Earliest),
        -3 if version >= 7 => Ok(OffsetSpec::MaxTimestamp),
        // The earliest on this broker's own disks (KIP-405): everything is there.
        -4 if version >= 8 => Ok(OffsetSpec::Earliest),
        // The last in remote storage: nothing is there.
        -5 if version >= 9 => Ok(OffsetSpec::Time(TimestampMs(i64::MAX))),
        0.. => Ok(OffsetSpec::Time(timestamp)),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

/// A ListOffsets request that is being joined.
#[derive(Debug)]
pub(super) struct OffsetsJoin {
    response: ListOffsetsResponse,
    /// Records that lie in compressed batches.
    inside: Vec<(Place, StoredBatch, OffsetSpec, Offset)>,
}

impl OffsetsJoin {
    pub(super) fn absorb(&mut self, places: &[Place], answer: Answer) {
        let results = |answer| match answer {
            Answer::Offsets(results) => results,
            other => misfit(&other),
        };
        for (place, result) in pairs(places, answer, refused_offset, results) {
            let partition = &mut self.response.topics[place.0].partitions[place.1];
            partition.error_code = result.error;
            partition.leader_epoch = result.leader_epoch;
            match result.found {
                FoundOffset::Nothing => {}
                FoundOffset::At(offset, timestamp) => {
                    partition.offset = offset;
                    partition.timestamp = timestamp;
                }
                FoundOffset::Inside { batch, spec, start } => {
                    self.inside.push((place, batch, spec, start));
                }
            }
        }
    }

    pub(super) fn finish(mut self, inflate: &mut dyn Inflate) -> Response {
        for (place, batch, spec, start) in &self.inside {
            let partition = &mut self.response.topics[place.0].partitions[place.1];
            match open(batch, *spec, *start, inflate) {
                Some(Some((offset, timestamp))) => {
                    partition.offset = offset;
                    partition.timestamp = timestamp;
                }
                Some(None) => {}
                None => partition.error_code = ErrorCode::CorruptMessage,
            }
        }
        self.response.into()
    }
}

/// Looks into a compressed batch; nothing if it makes no sense.
fn open(
    batch: &StoredBatch,
    spec: OffsetSpec,
    start: Offset,
    inflate: &mut dyn Inflate,
) -> Option<Option<(Offset, TimestampMs)>> {
    let (header, compressed) = match batch {
        StoredBatch::Cached(batch) => (batch.header(), &batch.body()[..]),
        StoredBatch::Read(bytes) => {
            let header = BatchHeader::read(bytes).ok()?;
            (header, payload(bytes, &header))
        }
    };
    let records = match header.compression()? {
        Compression::None => compressed,
        compression => inflate
            .inflate(compression, compressed, BATCH_DECOMPRESSED_BYTES_MAX)
            .ok()?,
    };
    locate(&header, records, spec, start).ok()
}

pub(super) fn absorb_epoch_ends(
    response: &mut OffsetForLeaderEpochResponse,
    places: &[Place],
    answer: Answer,
) {
    let refused = |error| EpochEndResult {
        error,
        epoch: LeaderEpoch::NONE,
        end: Offset(-1),
    };
    let results = |answer| match answer {
        Answer::EpochEnds(results) => results,
        other => misfit(&other),
    };
    for (place, result) in pairs(places, answer, refused, results) {
        let partition = &mut response.topics[place.0].partitions[place.1];
        partition.error_code = result.error;
        partition.leader_epoch = result.epoch;
        partition.end_offset = result.end;
    }
}

pub(super) fn absorb_delete_records(
    response: &mut DeleteRecordsResponse,
    places: &[Place],
    answer: Answer,
) {
    let refused = |error| (error, Offset(-1));
    let results = |answer| match answer {
        Answer::DeleteRecords(results) => results,
        other => misfit(&other),
    };
    for (place, (error, start)) in pairs(places, answer, refused, results) {
        let partition = &mut response.topics[place.0].partitions[place.1];
        partition.error_code = error;
        partition.low_watermark = start;
    }
}

pub(super) fn absorb_producers(
    response: &mut DescribeProducersResponse,
    places: &[Place],
    answer: Answer,
) {
    let results = |answer| match answer {
        Answer::Producers(results) => results,
        other => misfit(&other),
    };
    for (place, result) in pairs(places, answer, Err, results) {
        let partition = &mut response.topics[place.0].partitions[place.1];
        match result {
            Ok(producers) => {
                partition.active_producers = producers.iter().map(producer_state).collect();
            }
            Err(error) => set_producers_error(partition, error),
        }
    }
}

fn set_producers_error(partition: &mut DescribeProducersPartitionResponse, error: ErrorCode) {
    partition.error_code = error;
    partition.error_message = Some(Text::from(error.text()));
}

fn producer_state(info: &ProducerInfo) -> ProducerState {
    ProducerState {
        producer_id: info.id,
        producer_epoch: i32::from(info.epoch.0),
        last_sequence: info.last_sequence.0,
        last_timestamp: info.last_append,
        coordinator_epoch: -1,
        current_txn_start_offset: Offset(-1),
    }
}

/// A DescribeLogDirs request that is being joined.
#[derive(Debug)]
pub(super) struct LogDirsJoin {
    log_dir: String,
    volume: Option<Volume>,
    wanted: Option<BTreeSet<PartitionKey>>,
    sizes: BTreeMap<PartitionKey, u64>,
    error: ErrorCode,
}

impl LogDirsJoin {
    pub(super) fn absorb(&mut self, answer: Answer) {
        match answer {
            Answer::Sizes(sizes) => {
                let wanted = self.wanted.as_ref();
                let named = |key: &PartitionKey| wanted.is_none_or(|w| w.contains(key));
                let sizes = sizes.into_iter().filter(|(key, _)| named(key));
                self.sizes.extend(sizes);
            }
            Answer::Refused(error) => self.error = error,
            other => misfit(&other),
        }
    }

    pub(super) fn finish(self, image: &Image, context: &Context) -> Response {
        let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
        let mut last = None;
        // Keys are in order of topics, so each topic's partitions come together.
        for (key, size) in self.sizes {
            let topic = image.topic(key.topic);
            let Some(topic) = topic.filter(|topic| context.may_read(topic)) else {
                continue;
            };
            if last != Some(key.topic) {
                last = Some(key.topic);
                topics.push(DescribeLogDirsTopic {
                    name: Text::from(&*topic.name),
                    partitions: Vec::new(),
                });
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(DescribeLogDirsPartition {
                    partition_index: key.index,
                    partition_size: i64::try_from(size).unwrap_or(i64::MAX),
                    offset_lag: Offset(0),
                    is_future_key: false,
                });
            }
        }
        let bytes = |told: Option<u64>| told.map_or(-1, |b| i64::try_from(b).unwrap_or(i64::MAX));
        let result = DescribeLogDirsResult {
            error_code: self.error,
            log_dir: Text::from(self.log_dir),
            topics,
            total_bytes: bytes(self.volume.map(|volume| volume.total_bytes)),
            usable_bytes: bytes(self.volume.map(|volume| volume.usable_bytes)),
        };
        DescribeLogDirsResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::None,
            results: vec![result],
        }
        .into()
    }
}
