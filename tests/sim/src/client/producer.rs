//! A producer as librdkafka and the Java client are: a queue a partition, several requests in
//! flight, and after a failure the same batches again, in order, with their sequences.

use super::{
    Client, Context, Input,
    directory::Directory,
    link::{Change, Link, version},
    records::{From, batch},
};
use crate::{
    checks::protocol,
    oracle::{
        cluster::ClusterTruth,
        truth::{Guarantee, LaneId},
    },
    violation::Checked,
};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use weir_node::request::PartitionKey;
use weir_types::{ErrorCode, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId};
use weir_wire::{
    ApiKey, Response, Text,
    messages::{
        InitProducerIdRequest, InitProducerIdResponse, PartitionProduceData,
        PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    },
};

/// Batches of a partition that wait, at most.
const QUEUE_MAX: usize = 12;

/// Produce names topics by id from this version on (KIP-516).
const PRODUCE_IDS_FROM: i16 = 13;

/// Bytes of batches that all producers of a run make, at most: oracle and disk keep them in memory.
const MADE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Batches whose records have no timestamps.
const TIMELESS_PERCENT: u64 = 5;

/// The pause after an error, in milliseconds.
const BACKOFF_MS: u64 = 20;

/// What kind of producer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With sequences, acks=all.
    Idempotent,
    /// Without, one request in flight, acks=1 or all.
    Plain {
        /// The wire's number.
        acks: i16,
    },
    /// Without an answer.
    Careless,
}

/// A producer.
#[derive(Debug)]
pub struct Producer {
    name: String,
    kind: Kind,
    version: i16,
    guarantee: Guarantee,
    link: Link,
    directory: Directory,
    id: Option<(ProducerId, ProducerEpoch)>,
    id_asked: bool,
    lanes: BTreeMap<PartitionKey, Lane>,
    requests: BTreeMap<i32, Vec<PartitionKey>>,
    produce_at: u64,
    turn: usize,
}

/// Its way into one partition.
#[derive(Debug)]
struct Lane {
    id: LaneId,
    topic: String,
    next_counter: u64,
    next_sequence: i32,
    queue: VecDeque<OutBatch>,
    /// After an error nothing is sent until everything in flight has come back, and then not
    /// before this time.
    halted: Option<u64>,
    gone: bool,
}

#[derive(Debug)]
struct OutBatch {
    first: u64,
    count: u64,
    bytes: Bytes,
    /// The request that carries it.
    in_flight: Option<i32>,
    sent: u32,
}

impl Producer {
    /// A producer of that kind.
    pub fn new(
        name: &str,
        kind: Kind,
        params: &crate::params::Params,
        random: &mut crate::random::Random,
    ) -> Self {
        let least = if params.reuse_names {
            PRODUCE_IDS_FROM
        } else {
            3
        };
        let guarantee = match kind {
            Kind::Idempotent => Guarantee::Once,
            // What was on its way when a connection broke may arrive behind what was sent again.
            Kind::Plain { .. } if params.late_frames => Guarantee::Kept,
            Kind::Plain { .. } => Guarantee::InOrder,
            Kind::Careless => Guarantee::Nothing,
        };
        Self {
            name: name.to_owned(),
            kind,
            version: version(random, ApiKey::Produce, least),
            guarantee,
            link: Link::new(name),
            directory: Directory::default(),
            id: None,
            id_asked: false,
            lanes: BTreeMap::new(),
            requests: BTreeMap::new(),
            produce_at: 0,
            turn: 0,
        }
    }

    const fn acks(&self) -> i16 {
        match self.kind {
            Kind::Idempotent => -1,
            Kind::Plain { acks } => acks,
            Kind::Careless => 0,
        }
    }

    /// Everything that was in flight is to be sent again.
    fn lost(&mut self) {
        self.requests.clear();
        self.directory.down();
        self.id_asked = false;
        for lane in self.lanes.values_mut() {
            for batch in &mut lane.queue {
                batch.in_flight = None;
            }
            lane.halted = None;
        }
    }

    fn ask_id(&mut self, context: &mut Context<'_>) {
        if self.kind != Kind::Idempotent || self.id.is_some() || self.id_asked {
            return;
        }
        let body = InitProducerIdRequest {
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        let version = version(context.random, ApiKey::InitProducerId, 0);
        self.link.send(context, version, &body, true, 0);
        self.id_asked = true;
    }

    /// Opens ways into partitions it does not write to yet.
    fn open_lanes(&mut self, context: &mut Context<'_>) {
        for (key, name) in self.directory.partitions() {
            if self.lanes.contains_key(&key) || !context.random.percent(70) {
                continue;
            }
            let lane = Lane {
                id: context.truth.lane(key, self.guarantee),
                topic: name.to_owned(),
                next_counter: 0,
                // Sequences wrap; a producer that nobody knows may begin anywhere.
                next_sequence: *context.random.pick(&[0, 0, i32::MAX - 60]),
                queue: VecDeque::new(),
                halted: None,
                gone: false,
            };
            self.lanes.insert(key, lane);
        }
    }

    /// Makes new records.
    fn make(&mut self, context: &mut Context<'_>) {
        let ready = self.kind != Kind::Idempotent || self.id.is_some();
        let now = context.now.tick.0;
        let enough = context.truth.made_bytes >= MADE_BYTES_MAX;
        if context.healing || enough || !ready || self.produce_at > now || self.lanes.is_empty() {
            return;
        }
        self.produce_at = now
            + context
                .random
                .between(0, 2 * context.params.produce_pause_ms);
        let index = context.random.index(self.lanes.len());
        let Some((_, lane)) = self.lanes.iter_mut().nth(index) else {
            return;
        };
        if lane.gone || lane.queue.len() >= QUEUE_MAX {
            return;
        }
        let count = context.random.between(1, context.params.batch_records_max);
        let most = context.params.record_bytes_max;
        let sizes: Vec<usize> = (0..count)
            .map(|_| usize::try_from(context.random.between(12, most)).unwrap_or(12))
            .scan(0, |sum, size| {
                *sum += size;
                (*sum < 900_000).then_some(size)
            })
            .collect();
        let from = From {
            producer: self.id,
            sequence: lane.next_sequence,
        };
        let count = i32::try_from(sizes.len()).expect("a batch has few records");
        let time = if context.random.percent(TIMELESS_PERCENT) {
            TimestampMs::NONE
        } else {
            TimestampMs(context.now.wall.0 - context.random.between(0, 50).cast_signed())
        };
        let bytes = batch(lane.id, lane.next_counter, &sizes, from, time);
        context.truth.made_bytes += bytes.len() as u64;
        lane.queue.push_back(OutBatch {
            first: lane.next_counter,
            count: sizes.len() as u64,
            bytes,
            in_flight: None,
            sent: 0,
        });
        lane.next_counter += sizes.len() as u64;
        lane.next_sequence = Sequence(lane.next_sequence).plus(count).0;
    }

    /// Sends what may be sent.
    fn pump(&mut self, context: &mut Context<'_>) {
        let most = match self.kind {
            Kind::Idempotent => context.params.in_flight_max,
            Kind::Plain { .. } | Kind::Careless => 1,
        };
        while self.link.is_up() && self.requests.len() < most {
            let correlation_id = self.next_request(context);
            if correlation_id.is_none() {
                return;
            }
        }
    }

    fn next_request(&mut self, context: &mut Context<'_>) -> Option<i32> {
        let now = context.now.tick.0;
        let most = context.random.between(1, 4) as usize;
        self.turn += 1;
        let turn = self.turn % self.lanes.len().max(1);
        let mut chosen = Vec::new();
        let lanes = self.lanes.iter_mut();
        for (key, lane) in lanes.cycle_from(turn) {
            if chosen.len() == most {
                break;
            }
            if lane.may_send(now)
                && let Some(batch) = lane
                    .queue
                    .iter_mut()
                    .find(|batch| batch.in_flight.is_none())
            {
                batch.in_flight = Some(-1);
                batch.sent += 1;
                chosen.push((*key, lane.topic.clone(), batch.bytes.clone()));
            }
        }
        if chosen.is_empty() {
            return None;
        }
        let body = self.request(&chosen);
        let answered = self.kind != Kind::Careless;
        let correlation_id = self.link.send(context, self.version, &body, answered, 0);
        let keys: Vec<PartitionKey> = chosen.into_iter().map(|(key, _, _)| key).collect();
        for key in &keys {
            let lane = self.lanes.get_mut(key)?;
            if !answered {
                lane.queue.pop_front();
                continue;
            }
            for batch in lane
                .queue
                .iter_mut()
                .filter(|batch| batch.in_flight == Some(-1))
            {
                batch.in_flight = Some(correlation_id);
            }
        }
        if answered {
            self.requests.insert(correlation_id, keys);
        }
        Some(correlation_id)
    }

    fn request(&self, chosen: &[(PartitionKey, String, Bytes)]) -> ProduceRequest {
        let mut topics: BTreeMap<(TopicId, &str), Vec<PartitionProduceData>> = BTreeMap::new();
        for (key, name, bytes) in chosen {
            let partitions = topics.entry((key.topic, name)).or_default();
            partitions.push(PartitionProduceData {
                index: key.index,
                records: Some(bytes.clone().into()),
                ..PartitionProduceData::default()
            });
        }
        let topic_data = topics
            .into_iter()
            .map(|((topic_id, name), data)| TopicProduceData {
                name: Text::from(name),
                topic_id,
                partition_data: data,
            });
        ProduceRequest {
            transactional_id: None,
            acks: self.acks(),
            timeout_ms: 2_000,
            topic_data: topic_data.collect(),
        }
    }

    fn produced(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: &ProduceResponse,
    ) -> Checked {
        let Some(keys) = self.requests.remove(&correlation_id) else {
            return protocol::unexpected("an answer to no produce request");
        };
        let mut open: Vec<PartitionKey> = keys;
        for topic in &response.responses {
            for part in &topic.partition_responses {
                let by_id = self.version >= PRODUCE_IDS_FROM;
                let place = open.iter().position(|key| {
                    let named = self.lanes.get(key).map(|lane| lane.topic.as_str());
                    key.index == part.index
                        && if by_id {
                            key.topic == topic.topic_id
                        } else {
                            named == Some(topic.name.as_str())
                        }
                });
                let Some(place) = place else {
                    return protocol::unexpected(format!(
                        "{}: an answer for {} ({}) {}, which was not in the request",
                        self.name, topic.name, topic.topic_id, part.index
                    ));
                };
                let key = open.swap_remove(place);
                self.outcome(context, correlation_id, key, part)?;
            }
        }
        if open.is_empty() {
            Ok(())
        } else {
            protocol::unexpected(format!("{}: no answer for {open:?}", self.name))
        }
    }

    /// One partition's answer.
    fn outcome(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        key: PartitionKey,
        part: &PartitionProduceResponse,
    ) -> Checked {
        let lane = self.lanes.get_mut(&key).expect("it was asked for");
        let carried = |batch: &OutBatch| batch.in_flight == Some(correlation_id);
        let Some(place) = lane.queue.iter().position(carried) else {
            return Ok(());
        };
        if part.error_code == ErrorCode::None {
            let batch = lane.queue.remove(place).expect("it is there");
            let counters = batch.first..batch.first + batch.count;
            if lane.gone && part.base_offset == Offset(-1) {
                return Ok(());
            }
            return context.truth.acked(lane.id, counters, part.base_offset.0);
        }
        lane.queue[place].in_flight = None;
        lane.halted = Some(context.now.tick.0 + BACKOFF_MS);
        let earlier_failed = place > 0;
        match part.error_code {
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
                self.directory.is_wrong();
                if context.cluster.may_be_gone(key.topic) {
                    lane.gone = true;
                    lane.queue.clear();
                }
                Ok(())
            }
            ErrorCode::OutOfOrderSequenceNumber if earlier_failed => Ok(()),
            ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId
                if context.truth.producers_expire =>
            {
                Ok(())
            }
            error if error.is_retriable() && error != ErrorCode::CorruptMessage => Ok(()),
            error => protocol::unexpected(format!(
                "{}: {key:?} batch of records {} (sent {} times): {error}: {}",
                self.name,
                lane.queue[place].first,
                lane.queue[place].sent,
                part.error_message.as_ref().map_or("", |text| text.as_str()),
            )),
        }
    }
}

impl Lane {
    fn may_send(&mut self, now: u64) -> bool {
        if let Some(until) = self.halted {
            let drained = self.queue.iter().all(|batch| batch.in_flight.is_none());
            if !drained || now < until {
                return false;
            }
            self.halted = None;
        }
        !self.gone
    }
}

/// Goes round: from the so-manieth on, then from the front.
trait CycleFrom: Iterator + Sized {
    fn cycle_from(self, start: usize) -> std::vec::IntoIter<Self::Item> {
        let mut all: Vec<Self::Item> = self.collect();
        if !all.is_empty() {
            let start = start % all.len();
            all.rotate_left(start);
        }
        all.into_iter()
    }
}

impl<I: Iterator> CycleFrom for I {}

impl Client for Producer {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&mut self, context: &mut Context<'_>, input: Input) -> Checked {
        if self.link.input(context, &input) == Change::Down {
            self.lost();
        }
        if let Input::Answer {
            correlation_id,
            response,
        } = input
        {
            match response {
                Response::Metadata(response) => {
                    self.directory
                        .answered(context, correlation_id, &response)?;
                    self.open_lanes(context);
                }
                Response::InitProducerId(response) => self.got_id(context, &response)?,
                Response::Produce(response) => {
                    self.produced(context, correlation_id, &response)?;
                }
                other => return protocol::unexpected(format!("{other:?}")),
            }
        }
        if self.link.is_up() {
            self.directory.refresh(&mut self.link, context, 500);
            self.ask_id(context);
            self.make(context);
            self.pump(context);
        }
        Ok(())
    }

    fn waiting_for(&self, cluster: &ClusterTruth) -> Option<String> {
        let waiting = self
            .lanes
            .iter()
            .find(|(key, lane)| !lane.queue.is_empty() && !cluster.may_be_gone(key.topic));
        waiting.map(|(key, lane)| {
            format!(
                "{} waits for the ack of {} batches of {key:?}",
                self.name,
                lane.queue.len()
            )
        })
    }
}

impl Producer {
    fn got_id(&mut self, context: &mut Context<'_>, response: &InitProducerIdResponse) -> Checked {
        self.id_asked = false;
        match response.error_code {
            ErrorCode::None => {
                context.truth.producer_id(response.producer_id)?;
                self.id = Some((response.producer_id, response.producer_epoch));
                Ok(())
            }
            error if error.is_retriable() => Ok(()),
            error => protocol::unexpected(format!("{}: InitProducerId: {error}", self.name)),
        }
    }
}
