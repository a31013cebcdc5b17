//! A router job inside the broker: the real state machine and the real translation of its orders,
//! with a plugin that is a function. It dies with the broker and reaches it without a network.

use super::{
    Client, Context, Input,
    directory::Directory,
    link::{Change, Link},
    records::open,
};
use crate::{
    checks::protocol,
    oracle::{
        cluster::ClusterTruth,
        jobs::{self, Row as Made},
        truth::RecordKey,
    },
    violation::Checked,
};
use bytes::Bytes;
use weir_job::{
    Answer, Effect, Event, Generation, Loaded, Order, Output, Part, Pins, Place, Policy, Recipe,
    Router, Row, Settings, Start, State, Target, Ticket, Transformed,
};
use weir_node::{
    jobs::{Call, JobCalls, JobPlace, PartRecords, batches, group_of, stamp},
    request::PartitionKey,
};
use weir_types::{
    ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId, TimestampMs, TopicId,
};
use weir_wire::{
    Request, Response, Text,
    build::BatchBuilder,
    messages::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest},
};

/// The topic that the job reads; everybody writes to it.
pub const SOURCE: &str = "job-in";
/// The topic that the job writes; nobody else looks at it.
pub const OUTPUT: &str = "job-out";
const SOURCE_PARTITIONS: i32 = 2;
/// Partitions of the output.
pub const OUTPUT_PARTITIONS: i32 = 3;
/// What is inside the broker waits for its answers.
const NO_HURRY_MS: u64 = 10_000_000;
/// The most bytes that the auditor reads at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// The job.
#[derive(Debug)]
pub struct Job {
    name: String,
    link: Link,
    directory: Directory,
    /// A topic that is being made.
    making: Option<(i32, &'static str)>,
    parts: Vec<Partition>,
    /// The version of the plugin that is wanted.
    version: u8,
    upgrade_at: u64,
    /// How often it began.
    begun: i64,
    done: bool,
}

/// One partition of the source.
#[derive(Debug)]
struct Partition {
    key: PartitionKey,
    router: Router,
    calls: JobCalls,
    asked: Option<i32>,
    ticket: Ticket,
    wake_at: Option<u64>,
    fetched: Bytes,
    made: Vec<Made>,
}

impl Job {
    /// A job that begins by making its topics.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            link: Link::new(name),
            directory: Directory::of_everything(),
            making: None,
            parts: Vec::new(),
            version: 1,
            upgrade_at: 0,
            begun: 0,
            done: false,
        }
    }

    fn make_topics(&mut self, context: &mut Context<'_>) {
        if self.making.is_some() || !self.directory.is_known() {
            return;
        }
        for (name, partitions) in [(SOURCE, SOURCE_PARTITIONS), (OUTPUT, OUTPUT_PARTITIONS)] {
            if self.directory.id_of(name).is_some() {
                continue;
            }
            context.cluster.asked_for(name);
            let body = CreateTopicsRequest {
                topics: vec![CreatableTopic {
                    name: Text::from(name),
                    num_partitions: partitions,
                    replication_factor: 1,
                    assignments: Vec::new(),
                    // Everything must be there in the end.
                    configs: vec![CreatableTopicConfig {
                        name: Text::from("retention.ms"),
                        value: Some(Text::from("-1")),
                    }],
                }],
                timeout_ms: 2_000,
                validate_only: false,
            };
            let asked = self.link.send(context, 7, &body, true, NO_HURRY_MS);
            self.making = Some((asked, name));
            return;
        }
    }

    fn settings(&self, output: TopicId) -> Settings {
        Settings {
            generation: Generation::default(),
            start: Start::Earliest,
            recipe: Ok(Recipe {
                versions: vec![format!("native@{}.0.0", self.version)],
                outputs: vec![Output {
                    topic: output,
                    partitions: OUTPUT_PARTITIONS.unsigned_abs(),
                    partitioner: None,
                }],
            }),
            policy: Policy::Stop,
            paused: false,
        }
    }

    /// Begins, and changes the plugin's version now and then.
    fn run(&mut self, context: &mut Context<'_>) -> Checked {
        let ids = (self.directory.id_of(SOURCE), self.directory.id_of(OUTPUT));
        let (Some(source), Some(output)) = ids else {
            self.make_topics(context);
            return Ok(());
        };
        let now = context.now.tick.0;
        let upgrade = !context.healing && self.upgrade_at <= now;
        if upgrade {
            self.upgrade_at = now + context.random.between(100, 2_000);
            self.version = self.version.saturating_add(1);
        }
        let settings = self.settings(output);
        if self.parts.is_empty() {
            self.begun += 1;
            for index in 0..SOURCE_PARTITIONS {
                let partition = PartitionIndex(index);
                self.parts.push(Partition::new(source, partition));
            }
        } else if !upgrade {
            return Ok(());
        }
        for index in 0..self.parts.len() {
            self.drive(context, index, Event::Changed(settings.clone()))?;
        }
        Ok(())
    }

    /// Hands an event to a router and carries out what it wants.
    fn drive(&mut self, context: &mut Context<'_>, index: usize, event: Event) -> Checked {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            let part = &mut self.parts[index];
            part.router.step(context.now.tick, event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::WakeAt(at) => self.parts[index].wake_at = Some(at.0),
                    Effect::Order { ticket, order } => {
                        self.parts[index].ticket = ticket;
                        if let Some(answer) = self.carry_out(context, index, order)? {
                            events.push(Event::Answered { ticket, answer });
                        }
                    }
                }
            }
            if let State::Stopped { reason } = self.parts[index].router.state() {
                return protocol::unexpected(format!("the job stopped: {reason}"));
            }
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        context: &mut Context<'_>,
        index: usize,
        order: Order,
    ) -> Checked<Option<Answer>> {
        let part = &mut self.parts[index];
        part.asked = None;
        let call = match order {
            Order::Transform { from, recipe } => return part.transform(from, &recipe).map(Some),
            Order::Produce { producer, parts } => {
                let output = self.directory.id_of(OUTPUT).unwrap_or_default();
                let batches = parts.iter();
                let batches = batches.map(|wanted| part.batch(output, producer, wanted));
                let batches: Vec<PartRecords> = batches.collect();
                part.calls.produce(batches)
            }
            order => {
                let name_of = |topic| self.directory.name_of(topic).map(str::to_owned);
                part.calls.begin(&order, name_of)
            }
        };
        Ok(self.ask(context, index, call))
    }

    /// Asks, unless there is an answer already.
    fn ask(&mut self, context: &mut Context<'_>, index: usize, call: Call) -> Option<Answer> {
        match call {
            Call::Ask(version, request) => {
                let asked = send(&mut self.link, context, version, &request);
                self.parts[index].asked = asked;
                None
            }
            Call::Done(answer) => Some(self.spoil(context, answer)),
            Call::Read(answer, bytes) => {
                self.parts[index].fetched = bytes;
                Some(answer)
            }
        }
    }

    /// The seeded fault: a job that begins again takes itself for another producer.
    fn spoil(&self, context: &Context<'_>, answer: Answer) -> Answer {
        match answer {
            Answer::Loaded(Ok(Loaded {
                saved: Some(mut saved),
                log_start,
                log_end,
            })) if context.params.job_forgets_producer => {
                if let Ok(mut pins) = Pins::parse(&saved.metadata) {
                    pins.producer.0.0 = 1_000_000 + self.begun;
                    saved.metadata = pins.to_string();
                }
                Answer::Loaded(Ok(Loaded {
                    saved: Some(saved),
                    log_start,
                    log_end,
                }))
            }
            answer => answer,
        }
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: Response,
    ) -> Checked {
        if let Response::CreateTopics(response) = &response {
            self.making = None;
            self.directory.is_wrong();
            let Some(result) = response.topics.first() else {
                return protocol::unexpected("no result for a topic of the job");
            };
            if result.error_code == ErrorCode::None {
                let name = result.name.as_str();
                context
                    .cluster
                    .made(result.topic_id, name, result.num_partitions);
            }
            return Ok(());
        }
        let mut parts = self.parts.iter();
        let Some(index) = parts.position(|part| part.asked == Some(correlation_id)) else {
            // It is no longer wanted.
            return Ok(());
        };
        let part = &mut self.parts[index];
        part.asked = None;
        let call = part.calls.answered(response);
        let ticket = part.ticket;
        match self.ask(context, index, call) {
            Some(answer) => self.drive(context, index, Event::Answered { ticket, answer }),
            None => Ok(()),
        }
    }

    fn wake(&mut self, context: &mut Context<'_>) -> Checked {
        let now = context.now.tick.0;
        for index in 0..self.parts.len() {
            let wake_at = &mut self.parts[index].wake_at;
            if wake_at.take_if(|at| *at <= now).is_some() {
                self.drive(context, index, Event::Wake)?;
            }
        }
        self.done = !self.parts.is_empty()
            && self.parts.iter().all(|part| {
                let end = context.log.part(part.key).map_or(0, |part| part.flushed.0);
                part.router.position() == Some(Offset(end)) && part.router.is_up_to_date()
            });
        Ok(())
    }
}

impl Partition {
    fn new(topic_id: TopicId, partition: PartitionIndex) -> Self {
        let place = JobPlace {
            group: group_of("native"),
            topic: SOURCE.to_owned(),
            topic_id,
            partition,
        };
        Self {
            key: PartitionKey {
                topic: topic_id,
                index: partition,
            },
            router: Router::new(partition),
            calls: JobCalls::new(place),
            asked: None,
            ticket: Ticket::default(),
            wake_at: None,
            fetched: Bytes::new(),
            made: Vec::new(),
        }
    }

    fn transform(&mut self, from: Offset, recipe: &Recipe) -> Checked<Answer> {
        let version = recipe.versions.first();
        let version = version.and_then(|text| text.strip_prefix("native@")?.split('.').next());
        let version = version.and_then(|text| text.parse().ok()).unwrap_or(0);
        self.made.clear();
        let mut transformed = Transformed::default();
        for (header, batch) in batches(&self.fetched) {
            for (offset, record) in open(&batch, &header)? {
                let Some(partition) = jobs::native(record) else {
                    continue;
                };
                if offset < from.0 {
                    continue;
                }
                let row = Made {
                    source: self.key.index.0,
                    offset,
                    version,
                };
                self.made.push(row);
                transformed.rows.push(Row {
                    offset: Offset(offset),
                    target: Target {
                        output: 0,
                        partition: PartitionIndex(partition),
                    },
                    bytes: 40_000,
                });
            }
        }
        Ok(Answer::Transformed(Ok(transformed)))
    }

    fn batch(
        &self,
        topic: TopicId,
        producer: (ProducerId, ProducerEpoch),
        part: &Part,
    ) -> PartRecords {
        let mut builder = BatchBuilder::new(TimestampMs::NONE);
        for place in &part.places {
            let Place::Row(at) = place else {
                continue;
            };
            builder.push(TimestampMs::NONE, None, Some(&self.made[*at].bytes()), &[]);
        }
        PartRecords {
            topic,
            partition: part.target.partition,
            batch: builder.finish(stamp(producer, part)),
        }
    }
}

/// Sends what a job or its auditor asks; its number.
pub fn send(
    link: &mut Link,
    context: &mut Context<'_>,
    version: i16,
    request: &Request,
) -> Option<i32> {
    macro_rules! sent {
        ($($api:ident),*) => {
            match request {
                $(Request::$api(body) => Some(link.send(context, version, body, true, NO_HURRY_MS)),)*
                _ => None,
            }
        };
    }
    sent!(
        FindCoordinator,
        OffsetFetch,
        ListOffsets,
        DescribeProducers,
        InitProducerId,
        Fetch,
        Produce,
        OffsetCommit
    )
}

impl Client for Job {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&mut self, context: &mut Context<'_>, input: Input) -> Checked {
        if self.link.input(context, &input) == Change::Down {
            // The broker died, and the job with it.
            self.directory.down();
            self.making = None;
            self.parts.clear();
            self.done = false;
        }
        match input {
            Input::Answer {
                correlation_id,
                response: Response::Metadata(response),
            } => self
                .directory
                .answered(context, correlation_id, &response)?,
            Input::Answer {
                correlation_id,
                response,
            } => self.answered(context, correlation_id, response)?,
            _ => {}
        }
        if self.link.is_up() {
            self.directory.refresh(&mut self.link, context, 500);
            self.run(context)?;
            self.wake(context)?;
        }
        Ok(())
    }

    fn waiting_for(&self, _: &ClusterTruth) -> Option<String> {
        (!self.done).then(|| {
            let at = self
                .parts
                .iter()
                .map(|part| (part.router.position(), part.router.state()));
            format!("the job is at {:?}", at.collect::<Vec<_>>())
        })
    }
}

/// Whoever reads everything back that the job read and wrote.
#[derive(Debug)]
pub struct JobAuditor {
    name: String,
    link: Link,
    directory: Directory,
    calls: Option<(JobCalls, Option<i32>)>,
    /// The first offset of the partition that is not read.
    at: Offset,
    /// What was read of it.
    records: Vec<(i64, RecordKey)>,
    rows: Vec<Made>,
    /// What was read of each partition: of the source, then of the output.
    source: Vec<Vec<(i64, RecordKey)>>,
    output: Vec<Vec<Made>>,
    done: bool,
}

impl JobAuditor {
    /// An auditor that has read nothing.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            link: Link::new(name),
            directory: Directory::of_everything(),
            calls: None,
            at: Offset::ZERO,
            records: Vec::new(),
            rows: Vec::new(),
            source: Vec::new(),
            output: Vec::new(),
            done: false,
        }
    }

    /// Asks for what comes next.
    fn go_on(&mut self, context: &mut Context<'_>) -> Checked {
        if self.done
            || self
                .calls
                .as_ref()
                .is_some_and(|(_, asked)| asked.is_some())
        {
            return Ok(());
        }
        let read_source = self.source.len();
        let (topic, partition) = if self.reads_source() {
            (SOURCE, read_source)
        } else if self.output.len() < OUTPUT_PARTITIONS.unsigned_abs() as usize {
            (OUTPUT, self.output.len())
        } else {
            self.done = true;
            return jobs::finally(&self.source, &self.output);
        };
        let Some(topic_id) = self.directory.id_of(topic) else {
            return Ok(());
        };
        let partition = PartitionIndex(i32::try_from(partition).unwrap_or(0));
        let mut calls = JobCalls::new(JobPlace {
            group: String::new(),
            topic: topic.to_owned(),
            topic_id,
            partition,
        });
        let order = Order::Fetch {
            from: self.at,
            bytes_max: READ_BYTES_MAX,
        };
        let call = calls.begin(&order, |_| None);
        let asked = match call {
            Call::Ask(version, request) => send(&mut self.link, context, version, &request),
            Call::Done(_) | Call::Read(..) => None,
        };
        self.calls = Some((calls, asked));
        Ok(())
    }

    fn reads_source(&self) -> bool {
        self.source.len() < SOURCE_PARTITIONS.unsigned_abs() as usize
    }

    fn read(&mut self, bytes: &Bytes) -> Checked {
        for (header, batch) in batches(bytes) {
            self.at = header.next_offset();
            if self.reads_source() {
                self.records.extend(open(&batch, &header)?);
            } else {
                self.rows.extend(Made::of(&batch, &header)?);
            }
        }
        Ok(())
    }

    /// The partition is at its end.
    fn end(&mut self) {
        self.at = Offset::ZERO;
        if self.reads_source() {
            self.source.push(std::mem::take(&mut self.records));
        } else {
            self.output.push(std::mem::take(&mut self.rows));
        }
    }
}

impl Client for JobAuditor {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&mut self, context: &mut Context<'_>, input: Input) -> Checked {
        if self.link.input(context, &input) == Change::Down {
            self.directory.down();
            self.calls = None;
        }
        match input {
            Input::Answer {
                correlation_id,
                response: Response::Metadata(response),
            } => self
                .directory
                .answered(context, correlation_id, &response)?,
            Input::Answer {
                correlation_id,
                response,
            } => {
                let calls = self
                    .calls
                    .take_if(|(_, asked)| *asked == Some(correlation_id));
                match calls.map(|(mut calls, _)| calls.answered(response)) {
                    Some(Call::Read(_, bytes)) => self.read(&bytes)?,
                    Some(Call::Done(Answer::Fetched(Ok(_)))) => self.end(),
                    // An error that passes: it is asked for again.
                    _ => {}
                }
            }
            _ => {}
        }
        if self.link.is_up() {
            self.directory.refresh(&mut self.link, context, 500);
            self.go_on(context)?;
        }
        Ok(())
    }

    fn waiting_for(&self, _: &ClusterTruth) -> Option<String> {
        (!self.done).then(|| "the job's topics are being read".to_owned())
    }
}

/// Whether only the job and its auditor look at a topic.
#[must_use]
pub fn is_hidden(topic: &str) -> bool {
    topic == OUTPUT
}
