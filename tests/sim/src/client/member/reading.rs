//! What a member does with its partitions: asks where to begin, fetches, processes.

use super::{BACKOFF_MS, Member, Place, Protocol, Step};
use crate::{
    checks::{corruption, durability, polls, protocol},
    client::{Context, link::version, records::open},
    oracle::{groups::OffsetFloor, truth::Floor},
    violation::Checked,
};
use std::collections::BTreeMap;
use weir_node::request::PartitionKey;
use weir_types::{BatchHeader, ErrorCode, LeaderEpoch, Offset, TimestampMs, TopicId};
use weir_wire::{
    ApiKey, Text,
    messages::{
        FetchPartition, FetchRequest, FetchResponse, FetchTopic, ListOffsetsPartition,
        ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic, OffsetFetchRequest,
        OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse, PartitionData,
    },
};

/// Fetch names topics by id from this version on (KIP-516).
const FETCH_IDS_FROM: i16 = 13;
/// OffsetFetch tells the coordinator who asks from this version on (KIP-848).
const OFFSETS_MEMBER_FROM: i16 = 9;
/// The longest pause between two fetches that bring nothing, in milliseconds.
const IDLE_MS_MAX: u64 = 60;
const EARLIEST: TimestampMs = TimestampMs(-2);

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Fetched {
    correlation_id: i32,
    version: i16,
    known: BTreeMap<PartitionKey, (i64, Floor)>,
}

/// A question for starts under way.
#[derive(Debug)]
pub(super) struct Listed {
    correlation_id: i32,
    known: BTreeMap<PartitionKey, Floor>,
}

/// A question for committed offsets under way.
#[derive(Debug)]
pub(super) struct OffsetsAsked {
    correlation_id: i32,
    known: BTreeMap<PartitionKey, OffsetFloor>,
}

impl Member {
    fn by_topic(
        &self,
        keys: impl Iterator<Item = PartitionKey>,
    ) -> BTreeMap<TopicId, (Text, Vec<PartitionKey>)> {
        let mut topics: BTreeMap<TopicId, (Text, Vec<PartitionKey>)> = BTreeMap::new();
        for key in keys {
            if let Some(name) = self.directory.name_of(key.topic) {
                let topic = topics.entry(key.topic);
                topic
                    .or_insert_with(|| (Text::from(name), Vec::new()))
                    .1
                    .push(key);
            }
        }
        topics
    }

    /// Asks where the group is with what it was given.
    pub(super) fn ask_offsets(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick.0;
        if self.open.offsets.is_some() || self.pause_until > now || self.dance_at > now {
            return;
        }
        let unknown = |place: &Place| place.position.is_none() && !place.reset;
        let wanted = self.places.iter().filter(|(_, place)| unknown(place));
        let wanted: Vec<PartitionKey> = wanted.map(|(key, _)| *key).collect();
        let topics = self.by_topic(wanted.into_iter().filter(|key| !self.is_giving(*key)));
        if topics.is_empty() {
            return;
        }
        let group = self.truth(context);
        let keys = topics.values().flat_map(|(_, keys)| keys);
        let known = keys.map(|key| (*key, group.floor(*key))).collect();
        let rows = topics
            .into_iter()
            .map(|(topic_id, (name, keys))| OffsetFetchRequestTopics {
                name,
                topic_id,
                partition_indexes: keys.iter().map(|key| key.index).collect(),
            });
        let is_modern = self.protocol == Protocol::Consumer;
        let body = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: Text::from(&self.plan.group),
                member_id: is_modern.then(|| Text::from(&self.id)),
                member_epoch: if is_modern { self.epoch } else { -1 },
                topics: Some(rows.collect()),
            }],
            ..OffsetFetchRequest::default()
        };
        let version = version(context.random, ApiKey::OffsetFetch, OFFSETS_MEMBER_FROM);
        let correlation_id = self.link.send(context, version, &body, true, 5_000);
        self.open.offsets = Some(OffsetsAsked {
            correlation_id,
            known,
        });
    }

    pub(super) fn told_offsets(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: OffsetFetchResponse,
    ) -> Checked {
        let asked = self
            .open
            .offsets
            .take_if(|asked| asked.correlation_id == correlation_id);
        let (Some(asked), Some(group)) = (asked, response.groups.into_iter().next()) else {
            return protocol::unexpected("offsets that nobody asked for");
        };
        self.pause_until = context.now.tick.0;
        if group.error_code != ErrorCode::None {
            self.pause_until += BACKOFF_MS;
            return match group.error_code {
                ErrorCode::StaleMemberEpoch
                | ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration => Ok(()),
                error if error.is_retriable() => Ok(()),
                error => protocol::unexpected(format!("{}: offsets: {error}", self.name)),
            };
        }
        for topic in &group.topics {
            for part in &topic.partitions {
                let index = part.partition_index;
                let key = if topic.topic_id == TopicId::ZERO {
                    self.key_of(topic.name.as_str(), index)
                } else {
                    let topic = topic.topic_id;
                    Some(PartitionKey { topic, index })
                };
                let known = key.and_then(|key| Some((key, asked.known.get(&key)?)));
                let Some((key, floor)) = known else { continue };
                if part.error_code != ErrorCode::None {
                    self.read_failed(context, key, part.error_code)?;
                    continue;
                }
                if context.cluster.may_be_gone(key.topic) {
                    self.begin_at(key, part.committed_offset.0);
                    continue;
                }
                let start = context.log.part(key).map_or(0, |log| log.start.0);
                let offset = part.committed_offset.0;
                self.truth(context)
                    .told_offset(key, *floor, offset, start)?;
                self.begin_at(key, offset);
            }
        }
        Ok(())
    }

    fn begin_at(&mut self, key: PartitionKey, offset: i64) {
        if let Some(place) = self.places.get_mut(&key)
            && place.position.is_none()
        {
            place.committed = offset;
            place.reset = offset < 0;
            place.position = (offset >= 0).then_some(offset);
            place.fetched = offset;
        }
    }

    /// Asks where partitions begin that have no place to begin at.
    pub(super) fn ask_start(&mut self, context: &mut Context<'_>) {
        if self.open.list.is_some() || self.pause_until > context.now.tick.0 {
            return;
        }
        let wanted = self.places.iter().filter(|(_, place)| place.reset);
        let wanted: Vec<PartitionKey> = wanted.map(|(key, _)| *key).collect();
        let topics = self.by_topic(wanted.into_iter());
        if topics.is_empty() {
            return;
        }
        let keys = topics.values().flat_map(|(_, keys)| keys);
        let known = keys.map(|key| (*key, context.truth.floor(*key))).collect();
        let rows = topics.into_values().map(|(name, keys)| ListOffsetsTopic {
            name,
            partitions: keys
                .iter()
                .map(|key| ListOffsetsPartition {
                    partition_index: key.index,
                    current_leader_epoch: LeaderEpoch::NONE,
                    timestamp: EARLIEST,
                })
                .collect(),
        });
        let body = ListOffsetsRequest {
            topics: rows.collect(),
            ..ListOffsetsRequest::default()
        };
        let version = version(context.random, ApiKey::ListOffsets, 1);
        let correlation_id = self.link.send(context, version, &body, true, 0);
        self.open.list = Some(Listed {
            correlation_id,
            known,
        });
    }

    pub(super) fn listed(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: &ListOffsetsResponse,
    ) -> Checked {
        let asked = self
            .open
            .list
            .take_if(|asked| asked.correlation_id == correlation_id);
        let Some(asked) = asked else {
            return protocol::unexpected("starts that nobody asked for");
        };
        for topic in &response.topics {
            for part in &topic.partitions {
                let key = self.key_of(topic.name.as_str(), part.partition_index);
                let known = key.and_then(|key| Some((key, asked.known.get(&key)?)));
                let Some((key, floor)) = known else { continue };
                if part.error_code != ErrorCode::None {
                    self.read_failed(context, key, part.error_code)?;
                    continue;
                }
                let start = part.offset.0;
                context.truth.told(key, *floor, start, -1)?;
                self.truth(context).begins(key, start);
                if let Some(place) = self.places.get_mut(&key).filter(|place| place.reset) {
                    place.reset = false;
                    place.position = Some(start);
                    place.fetched = start;
                }
            }
        }
        Ok(())
    }

    pub(super) fn fetch(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick.0;
        if self.open.fetch.is_some() || self.pause_until > now {
            return;
        }
        let ready = |key: &PartitionKey, place: &Place| {
            place.position == Some(place.fetched) && !self.is_giving(*key)
        };
        let wanted = self.places.iter().filter(|(key, place)| ready(key, place));
        let wanted: BTreeMap<PartitionKey, i64> =
            wanted.map(|(key, place)| (*key, place.fetched)).collect();
        let topics = self.by_topic(wanted.keys().copied());
        if topics.is_empty() {
            return;
        }
        let version = version(context.random, ApiKey::Fetch, 4);
        let bytes = context.random.magnitude(1, 2_000_000);
        let bytes = if context.healing { 2_000_000 } else { bytes };
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        let rows = topics
            .into_iter()
            .map(|(topic_id, (topic, keys))| FetchTopic {
                topic,
                topic_id,
                partitions: keys
                    .iter()
                    .map(|key| FetchPartition {
                        partition: key.index,
                        fetch_offset: Offset(wanted[key]),
                        partition_max_bytes: bytes,
                        ..FetchPartition::default()
                    })
                    .collect(),
            });
        // Not longer: heartbeats go the same way.
        let wait = context.random.between(0, 30);
        let body = FetchRequest {
            max_wait_ms: i32::try_from(wait).unwrap_or(0),
            min_bytes: 1,
            max_bytes: bytes,
            session_epoch: -1,
            topics: rows.collect(),
            ..FetchRequest::default()
        };
        let floors = wanted.iter();
        let known = floors
            .map(|(key, position)| (*key, (*position, context.truth.floor(*key))))
            .collect();
        let correlation_id = self.link.send(context, version, &body, true, wait);
        self.open.fetch = Some(Fetched {
            correlation_id,
            version,
            known,
        });
    }

    pub(super) fn fetched(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: &FetchResponse,
    ) -> Checked {
        let asked = self
            .open
            .fetch
            .take_if(|asked| asked.correlation_id == correlation_id);
        let Some(asked) = asked else {
            return protocol::unexpected("a fetch that nobody asked for");
        };
        match response.error_code {
            ErrorCode::None => {}
            error if error.is_retriable() => {
                self.directory.is_wrong();
                self.pause_until = context.now.tick.0 + BACKOFF_MS;
                return Ok(());
            }
            error => return protocol::unexpected(format!("{}: fetch: {error}", self.name)),
        }
        let mut brought = false;
        for topic in &response.responses {
            for part in &topic.partitions {
                let key = if asked.version >= FETCH_IDS_FROM {
                    Some(PartitionKey {
                        topic: topic.topic_id,
                        index: part.partition_index,
                    })
                } else {
                    self.key_of(topic.topic.as_str(), part.partition_index)
                };
                let known = key.and_then(|key| Some((key, asked.known.get(&key)?)));
                let Some((key, (position, floor))) = known else {
                    continue;
                };
                brought |= self.part_fetched(context, key, *position, *floor, part)?;
            }
        }
        if !brought {
            self.pause_until = context.now.tick.0 + context.random.between(1, IDLE_MS_MAX);
        }
        Ok(())
    }

    /// Takes what was fetched of a partition; whether there was anything.
    fn part_fetched(
        &mut self,
        context: &mut Context<'_>,
        key: PartitionKey,
        position: i64,
        floor: Floor,
        part: &PartitionData,
    ) -> Checked<bool> {
        match part.error_code {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let start_max = context.log.part(key).map_or(0, |log| log.start_max.0);
                let what = || format!("{} {key:?}", self.name);
                polls::out_of_range(position, start_max, i64::MAX, what)?;
                if let Some(place) = self.places.get_mut(&key) {
                    place.position = None;
                    place.reset = true;
                }
                return Ok(false);
            }
            error => return self.read_failed(context, key, error).map(|()| false),
        }
        let (start, watermark) = (part.log_start_offset.0, part.high_watermark.0);
        context.truth.told(key, floor, start, watermark)?;
        let records = part.records.as_ref().map(weir_wire::Records::to_bytes);
        let mut rest = records.unwrap_or_default();
        let mut next = position;
        while !rest.is_empty() {
            let Ok(header) = BatchHeader::read(&rest) else {
                return corruption::PROMISE.broken("a member received half a batch");
            };
            let batch = rest.split_to(header.size_bytes);
            corruption::whole(&batch)?;
            let last = header.last_offset().0;
            let what = || format!("{} {key:?}", self.name);
            polls::follows(next, header.base_offset.0, last, what)?;
            durability::PROMISE.holds(last < watermark, || {
                format!("{key:?}: {last} is served, the watermark is {watermark}")
            })?;
            for (offset, record) in open(&batch, &header)? {
                context.truth.read(key, offset, record)?;
            }
            next = last + 1;
        }
        // It may have been given up meanwhile, and given back.
        if let Some(place) = self.places.get_mut(&key)
            && place.position == Some(position)
            && place.fetched == position
        {
            place.fetched = next;
            place.watermark = watermark;
        }
        Ok(next > position)
    }

    fn read_failed(
        &mut self,
        context: &Context<'_>,
        key: PartitionKey,
        error: ErrorCode,
    ) -> Checked {
        self.pause_until = context.now.tick.0 + BACKOFF_MS;
        match error {
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId => {
                self.directory.is_wrong();
                Ok(())
            }
            ErrorCode::CorruptMessage => {
                protocol::unexpected(format!("{}: {key:?}: {error}", self.name))
            }
            error if error.is_retriable() => Ok(()),
            error => protocol::unexpected(format!("{}: {key:?}: {error}", self.name)),
        }
    }

    /// Processes some of what was fetched.
    pub(super) fn process(&mut self, context: &mut Context<'_>) {
        let hasty = context.healing;
        let giving = self.giving.as_ref().map(|giving| giving.keys.clone());
        for (key, place) in &mut self.places {
            let Some(position) = place.position else {
                continue;
            };
            let given = giving.as_ref().is_some_and(|keys| keys.contains(key));
            if place.fetched <= position || given || self.step == Step::Leave {
                continue;
            }
            if !hasty && !context.random.percent(self.plan.process_percent) {
                continue;
            }
            let to = if hasty || context.random.percent(70) {
                place.fetched
            } else {
                let (low, high) = (position.unsigned_abs() + 1, place.fetched.unsigned_abs());
                context.random.between(low, high).cast_signed()
            };
            let group = context.groups.group(&self.plan.group);
            group.processed(*key, position, to);
            place.position = Some(to);
        }
    }
}
