//! A router job's orders as requests of the protocol, and the answers as its router understands
//! them: one translation for the broker and for the simulator.
//!
//! It never sends: whoever drives a router asks what [`JobCalls`] says and hands the response back.
//! Only `Order::Transform` is not for here.

use alloc::{boxed::Box, format, string::String, vec, vec::Vec};
use bytes::Bytes;
use weir_job::{Answer, Fetched, Loaded, Order, Output, Part, PartResult, Saved, Target, Trouble};
use weir_types::{
    BatchHeader, ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    TimestampMs, TopicId,
};
use weir_wire::{
    Records, Request, Response, Text,
    build::Stamp,
    messages::{
        DescribeProducersRequest, DescribeProducersResponse, DescribeProducersTopicRequest,
        FetchPartition, FetchRequest, FetchResponse, FetchTopic, FindCoordinatorRequest,
        InitProducerIdRequest, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse,
        ListOffsetsTopic, OffsetCommitRequest, OffsetCommitRequestPartition,
        OffsetCommitRequestTopic, OffsetCommitResponse, OffsetFetchRequest,
        OffsetFetchRequestTopic, OffsetFetchResponse, PartitionProduceData, ProduceRequest,
        ProduceResponse, TopicProduceData,
    },
};

/// How long a fetch of a job waits for records, in milliseconds.
const FETCH_WAIT_MS: i32 = 500;
/// How long a batch of a job may take to be replicated, in milliseconds.
const PRODUCE_MS_MAX: i32 = 30_000;
/// The last version of OffsetCommit that says how long offsets are kept: a job's are for ever.
const COMMIT_VERSION: i16 = 4;
/// The last version of OffsetFetch that asks for one group only.
const OFFSET_FETCH_VERSION: i16 = 7;
/// Fetch and Produce name topics by id.
const BY_ID_VERSION: i16 = 13;
/// FindCoordinator takes several keys.
const COORDINATOR_VERSION: i16 = 4;
/// ListOffsets and InitProducerId, in versions that say what is needed.
const OFFSETS_VERSION: i16 = 5;
const PRODUCER_VERSION: i16 = 2;

/// The group that keeps the progress of the job of that name.
#[must_use]
pub fn group_of(job: &str) -> String {
    format!("weir-job.{job}")
}

/// What a job reads: one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPlace {
    /// The group that keeps the progress.
    pub group: String,
    /// The source's name.
    pub topic: String,
    /// The source.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Call {
    /// Ask this, in this version, and hand the response back.
    Ask(i16, Box<Request>),
    /// The order is carried out, or not.
    Done(Answer),
    /// It is, and brought whole batches.
    Read(Answer, Bytes),
}

/// The records of one part of `Order::Produce`.
#[derive(Clone, Debug)]
pub struct PartRecords {
    /// The topic's id.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// One batch.
    pub batch: Bytes,
}

/// What was asked.
#[derive(Debug)]
enum Asked {
    Nothing,
    Coordinator,
    Progress,
    Start(Option<Saved>),
    End(Option<Saved>, Offset),
    Producers(ProducerId, Vec<Output>),
    NewProducer,
    Records(Offset),
    RangeStart(Offset),
    RangeEnd(Offset, Offset),
    /// Where each part stands in the request.
    Produced(Vec<(TopicId, PartitionIndex)>),
    Committed,
}

/// The calls of one router, one order after the other.
#[derive(Debug)]
pub struct JobCalls {
    place: JobPlace,
    asked: Asked,
}

/// Who a batch of a job is from: its sequences end with that of its last record, and begin as many
/// before as there are records.
#[must_use]
pub fn stamp(producer: (ProducerId, ProducerEpoch), part: &Part) -> Stamp {
    let before = i32::try_from(part.places.len().saturating_sub(1)).unwrap_or(i32::MAX);
    Stamp {
        producer_id: producer.0,
        producer_epoch: producer.1,
        base_sequence: Sequence(part.last.0.saturating_sub(before)),
        ..Stamp::default()
    }
}

impl JobCalls {
    /// The calls of the router of that partition.
    #[must_use]
    pub const fn new(place: JobPlace) -> Self {
        Self {
            place,
            asked: Asked::Nothing,
        }
    }

    /// Begins with an order; `name_of` knows the names of topics.
    pub fn begin(&mut self, order: &Order, name_of: impl Fn(TopicId) -> Option<String>) -> Call {
        match order {
            Order::Load => self.ask(
                Asked::Coordinator,
                COORDINATOR_VERSION,
                FindCoordinatorRequest {
                    coordinator_keys: vec![Text::from(&self.place.group)],
                    ..FindCoordinatorRequest::default()
                },
            ),
            Order::Describe { producer, outputs } => self.describe(*producer, outputs, name_of),
            Order::NewProducer => self.ask(
                Asked::NewProducer,
                PRODUCER_VERSION,
                InitProducerIdRequest::default(),
            ),
            Order::Fetch { from, bytes_max } => self.fetch(*from, *bytes_max),
            Order::Commit { offset, metadata } => self.commit(*offset, metadata),
            Order::Transform { .. } => Call::Done(Answer::Transformed(Err(lasting(
                "plugins are not run by requests",
            )))),
            Order::Produce { .. } => Call::Done(Answer::Produced(Vec::new())),
        }
    }

    /// Begins with `Order::Produce`, whose parts have these records.
    pub fn produce(&mut self, parts: Vec<PartRecords>) -> Call {
        let places = parts.iter().map(|part| (part.topic, part.partition));
        let asked = Asked::Produced(places.collect());
        let mut topics: Vec<TopicProduceData> = Vec::new();
        for part in parts {
            let data = PartitionProduceData {
                index: part.partition,
                records: Some(Records::Slice(part.batch)),
                ..PartitionProduceData::default()
            };
            match topics
                .last_mut()
                .filter(|topic| topic.topic_id == part.topic)
            {
                Some(topic) => topic.partition_data.push(data),
                None => topics.push(TopicProduceData {
                    topic_id: part.topic,
                    partition_data: vec![data],
                    ..TopicProduceData::default()
                }),
            }
        }
        let body = ProduceRequest {
            acks: -1,
            timeout_ms: PRODUCE_MS_MAX,
            topic_data: topics,
            ..ProduceRequest::default()
        };
        self.ask(asked, BY_ID_VERSION, body)
    }

    /// What was asked came to nothing.
    pub fn failed(&mut self, trouble: &Trouble) -> Answer {
        let trouble = trouble.clone();
        match core::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Nothing | Asked::Committed => Answer::Committed(Err(trouble)),
            Asked::Coordinator | Asked::Progress | Asked::Start(_) | Asked::End(..) => {
                Answer::Loaded(Err(trouble))
            }
            Asked::Producers(..) => Answer::Described(Err(trouble)),
            Asked::NewProducer => Answer::Producer(Err(trouble)),
            Asked::Records(_) | Asked::RangeStart(_) | Asked::RangeEnd(..) => {
                Answer::Fetched(Err(trouble))
            }
            Asked::Produced(places) => {
                let failed = |_| PartResult::Failed(trouble.clone());
                Answer::Produced(places.into_iter().map(failed).collect())
            }
        }
    }

    /// Takes the response to what was asked last.
    pub fn answered(&mut self, response: Response) -> Call {
        let asked = core::mem::replace(&mut self.asked, Asked::Nothing);
        match (asked, response) {
            (Asked::Coordinator, Response::FindCoordinator(response)) => {
                let found = response.coordinators.first();
                let error = found.map_or(ErrorCode::UnknownServerError, |found| found.error_code);
                match trouble(error, "the job's group has no coordinator") {
                    Ok(()) => self.progress(),
                    Err(trouble) => Call::Done(Answer::Loaded(Err(trouble))),
                }
            }
            (Asked::Progress, Response::OffsetFetch(response)) => match saved(&response) {
                Ok(saved) => self.range(Asked::Start(saved), -2),
                Err(trouble) => Call::Done(Answer::Loaded(Err(trouble))),
            },
            (Asked::Start(saved), Response::ListOffsets(response)) => match offset(&response) {
                Ok(start) => self.range(Asked::End(saved, start), -1),
                Err(trouble) => Call::Done(Answer::Loaded(Err(trouble))),
            },
            (Asked::End(saved, log_start), Response::ListOffsets(response)) => {
                let loaded = offset(&response).map(|log_end| Loaded {
                    saved,
                    log_start,
                    log_end,
                });
                Call::Done(Answer::Loaded(loaded))
            }
            (Asked::Producers(producer, outputs), Response::DescribeProducers(response)) => {
                Call::Done(Answer::Described(lasts(producer, &outputs, &response)))
            }
            (Asked::NewProducer, Response::InitProducerId(response)) => {
                let error = trouble(response.error_code, "there is no producer id for the job");
                let producer = (response.producer_id, response.producer_epoch);
                Call::Done(Answer::Producer(error.map(|()| producer)))
            }
            (Asked::Records(from), Response::Fetch(response)) => self.fetched(from, &response),
            (Asked::RangeStart(from), Response::ListOffsets(response)) => match offset(&response) {
                Ok(start) => self.range(Asked::RangeEnd(from, start), -1),
                Err(trouble) => Call::Done(Answer::Fetched(Err(trouble))),
            },
            (Asked::RangeEnd(from, log_start), Response::ListOffsets(response)) => {
                let fetched = offset(&response).map(|log_end| match () {
                    () if from < log_start => Fetched::Gone { log_start },
                    () if from > log_end => Fetched::Beyond { log_end },
                    () => Fetched::Nothing,
                });
                Call::Done(Answer::Fetched(fetched))
            }
            (Asked::Produced(places), Response::Produce(response)) => {
                Call::Done(Answer::Produced(produced(&places, &response)))
            }
            (Asked::Committed, Response::OffsetCommit(response)) => {
                Call::Done(Answer::Committed(committed(&response)))
            }
            (asked, response) => {
                self.asked = asked;
                let text = format!("{} answers something else", response.api());
                Call::Done(self.failed(&lasting(&text)))
            }
        }
    }

    fn ask(&mut self, asked: Asked, version: i16, body: impl Into<Request>) -> Call {
        self.asked = asked;
        Call::Ask(version, Box::new(body.into()))
    }

    fn progress(&mut self) -> Call {
        let topic = OffsetFetchRequestTopic {
            name: Text::from(&self.place.topic),
            partition_indexes: vec![self.place.partition],
        };
        let body = OffsetFetchRequest {
            group_id: Text::from(&self.place.group),
            topics: Some(vec![topic]),
            ..OffsetFetchRequest::default()
        };
        self.ask(Asked::Progress, OFFSET_FETCH_VERSION, body)
    }

    fn range(&mut self, asked: Asked, timestamp: i64) -> Call {
        let partition = ListOffsetsPartition {
            partition_index: self.place.partition,
            timestamp: TimestampMs(timestamp),
            ..ListOffsetsPartition::default()
        };
        let body = ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: Text::from(&self.place.topic),
                partitions: vec![partition],
            }],
            ..ListOffsetsRequest::default()
        };
        self.ask(asked, OFFSETS_VERSION, body)
    }

    fn describe(
        &mut self,
        producer: ProducerId,
        outputs: &[Output],
        name_of: impl Fn(TopicId) -> Option<String>,
    ) -> Call {
        let mut topics: Vec<DescribeProducersTopicRequest> = Vec::new();
        for output in outputs {
            let Some(name) = name_of(output.topic) else {
                let text = format!("the topic of id {} is gone", output.topic);
                return Call::Done(Answer::Described(Err(lasting(&text))));
            };
            let count = i32::try_from(output.partitions).unwrap_or(i32::MAX);
            let name = Text::from(name);
            // A topic may be there twice, the second time for dead letters.
            if topics.iter().all(|topic| topic.name != name) {
                topics.push(DescribeProducersTopicRequest {
                    name,
                    partition_indexes: (0..count).map(PartitionIndex).collect(),
                });
            }
        }
        let places = outputs.to_vec();
        self.ask(
            Asked::Producers(producer, places),
            0,
            DescribeProducersRequest { topics },
        )
    }

    fn fetch(&mut self, from: Offset, bytes_max: usize) -> Call {
        let bytes_max = i32::try_from(bytes_max).unwrap_or(i32::MAX);
        let partition = FetchPartition {
            partition: self.place.partition,
            fetch_offset: from,
            partition_max_bytes: bytes_max,
            ..FetchPartition::default()
        };
        let body = FetchRequest {
            max_wait_ms: FETCH_WAIT_MS,
            min_bytes: 1,
            max_bytes: bytes_max,
            topics: vec![FetchTopic {
                topic_id: self.place.topic_id,
                partitions: vec![partition],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        self.ask(Asked::Records(from), BY_ID_VERSION, body)
    }

    fn fetched(&mut self, from: Offset, response: &FetchResponse) -> Call {
        let part = response.responses.first();
        let part = part.and_then(|topic| topic.partitions.first());
        let error = match part {
            _ if response.error_code != ErrorCode::None => response.error_code,
            Some(part) => part.error_code,
            None => ErrorCode::UnknownServerError,
        };
        if error == ErrorCode::OffsetOutOfRange {
            return self.range(Asked::RangeStart(from), -2);
        }
        if let Err(trouble) = trouble(error, "the source cannot be read") {
            return Call::Done(Answer::Fetched(Err(trouble)));
        }
        let records = part.and_then(|part| part.records.as_ref());
        let bytes = records.map(Records::to_bytes).unwrap_or_default();
        match end_of(&bytes) {
            Some(next) => Call::Read(Answer::Fetched(Ok(Fetched::Batches { next })), bytes),
            None => Call::Done(Answer::Fetched(Ok(Fetched::Nothing))),
        }
    }

    fn commit(&mut self, offset: Offset, metadata: &str) -> Call {
        let partition = OffsetCommitRequestPartition {
            partition_index: self.place.partition,
            committed_offset: offset,
            committed_metadata: Some(Text::from(metadata)),
            ..OffsetCommitRequestPartition::default()
        };
        let body = OffsetCommitRequest {
            group_id: Text::from(&self.place.group),
            retention_time_ms: i64::MAX,
            topics: vec![OffsetCommitRequestTopic {
                name: Text::from(&self.place.topic),
                partitions: vec![partition],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        self.ask(Asked::Committed, COMMIT_VERSION, body)
    }
}

/// The whole batches in what was read.
pub fn batches(bytes: &Bytes) -> impl Iterator<Item = (BatchHeader, Bytes)> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let header = BatchHeader::read(bytes.get(at..)?).ok()?;
        let end = at.checked_add(header.size_bytes)?;
        let batch = (end <= bytes.len()).then(|| bytes.slice(at..end))?;
        at = end;
        Some((header, batch))
    })
}

fn end_of(bytes: &Bytes) -> Option<Offset> {
    batches(bytes)
        .last()
        .map(|(header, _)| header.next_offset())
}

fn lasting(text: &str) -> Trouble {
    Trouble::Lasting(String::from(text))
}

fn trouble(error: ErrorCode, what: &str) -> Result<(), Trouble> {
    match error {
        ErrorCode::None => Ok(()),
        error => Err(Trouble::of(error, what)),
    }
}

fn saved(response: &OffsetFetchResponse) -> Result<Option<Saved>, Trouble> {
    let what = "the job's progress cannot be read";
    trouble(response.error_code, what)?;
    let part = response.topics.first();
    let Some(part) = part.and_then(|topic| topic.partitions.first()) else {
        return Err(Trouble::of(ErrorCode::UnknownServerError, what));
    };
    trouble(part.error_code, what)?;
    let metadata = part.metadata.as_ref().map_or("", |text| text.as_str());
    Ok((part.committed_offset >= Offset::ZERO).then(|| Saved {
        offset: part.committed_offset,
        metadata: String::from(metadata),
    }))
}

fn offset(response: &ListOffsetsResponse) -> Result<Offset, Trouble> {
    let what = "where the source begins and ends cannot be found";
    let part = response.topics.first();
    let Some(part) = part.and_then(|topic| topic.partitions.first()) else {
        return Err(Trouble::of(ErrorCode::UnknownServerError, what));
    };
    trouble(part.error_code, what)?;
    Ok(part.offset)
}

fn lasts(
    producer: ProducerId,
    outputs: &[Output],
    response: &DescribeProducersResponse,
) -> Result<Vec<(Target, Sequence)>, Trouble> {
    let mut lasts = Vec::new();
    let mut names: Vec<(TopicId, usize)> = Vec::new();
    for (place, output) in outputs.iter().enumerate() {
        // The answer lists topics as they were asked for.
        let known = names.iter().find(|(topic, _)| *topic == output.topic);
        let at = known.map_or(names.len(), |(_, at)| *at);
        if at == names.len() {
            names.push((output.topic, at));
        }
        let Some(topic) = response.topics.get(at) else {
            return Err(lasting("not all topics of the job were answered"));
        };
        for part in &topic.partitions {
            trouble(part.error_code, "what the job's topics have is not known")?;
            let producers = &part.active_producers;
            let known = producers.iter().find(|known| known.producer_id == producer);
            if let Some(known) = known.filter(|known| known.last_sequence >= 0) {
                let target = Target {
                    output: u32::try_from(place).unwrap_or(u32::MAX),
                    partition: part.partition_index,
                };
                lasts.push((target, Sequence(known.last_sequence)));
            }
        }
    }
    Ok(lasts)
}

fn produced(places: &[(TopicId, PartitionIndex)], response: &ProduceResponse) -> Vec<PartResult> {
    let answers = response.responses.iter().flat_map(|topic| {
        let id = topic.topic_id;
        topic.partition_responses.iter().map(move |part| (id, part))
    });
    let answers: Vec<_> = answers.collect();
    let result = |(topic, partition): &(TopicId, PartitionIndex)| {
        let mut all = answers.iter();
        let found = all.find(|(id, part)| id == topic && part.index == *partition);
        let Some((_, part)) = found else {
            let text = "a batch of the job was not answered";
            return PartResult::Failed(Trouble::of(ErrorCode::UnknownServerError, text));
        };
        let said = part.error_message.as_ref().map(Text::as_str);
        let what = said.unwrap_or("a topic of the job cannot be written");
        match part.error_code {
            ErrorCode::None => PartResult::Done,
            ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
                PartResult::TooLarge(String::from(what))
            }
            ErrorCode::OutOfOrderSequenceNumber => PartResult::OutOfOrder(String::from(what)),
            error => PartResult::Failed(Trouble::of(error, what)),
        }
    };
    places.iter().map(result).collect()
}

fn committed(response: &OffsetCommitResponse) -> Result<(), Trouble> {
    let part = response.topics.first();
    let part = part.and_then(|topic| topic.partitions.first());
    let error = part.map_or(ErrorCode::UnknownServerError, |part| part.error_code);
    trouble(error, "the job's progress cannot be kept")
}
