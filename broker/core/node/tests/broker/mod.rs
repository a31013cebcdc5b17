//! A broker in one thread: a front, two shards, a log in memory that flushes at once, a quorum of
//! one.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use weir_meta::{
    Command, Image, Listener,
    command::{
        AlterConfigs, AlterResource, ConfigChanges, ConfigEdit, ConfigOperation, ConfigResource,
        RegisterBroker, TopicRef,
    },
    decide,
};
use weir_node::{
    Answer, Effect, Event, Node, NodeConfig, Notice, RequestId,
    front::{Call, Chosen, Context, Finish, Front, FrontConfig, Join, Piece, Plan, Volume, Wanted},
    validate::Inflate,
};
use weir_types::{
    Batch, BrokerId, Now, Offset, PartitionIndex, Principal, Role, ShardId, StorePartition, Tick,
    TimestampMs, TopicId,
    batch::{Compression, records},
    log::{LogCommand, LogEvent, LogState, ReadError, StoredBatch},
};
use weir_wire::{
    Records, Request, Response, Text,
    build::{BatchBuilder, Stamp},
    messages::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest},
};

/// The wall clock, which stands still.
pub(crate) const WALL: i64 = 1_000_000;

const SHARDS: u16 = 2;

/// No codec: the tests' batches are not compressed.
struct NoCodec;

impl Inflate for NoCodec {
    fn inflate(&mut self, _: Compression, _: &[u8], _: usize) -> Result<&[u8], String> {
        Err("there is no codec here".to_string())
    }
}

/// One partition's log.
#[derive(Default)]
struct Log {
    start: Offset,
    batches: Vec<Batch>,
}

/// Everything.
pub(crate) struct Broker {
    pub(crate) image: Arc<Image>,
    pub(crate) who: Principal,
    front: Front,
    nodes: Vec<Node>,
    logs: BTreeMap<StorePartition, Log>,
    opened: BTreeMap<(TopicId, PartitionIndex), StorePartition>,
    /// The disk does not answer; what it would say waits here.
    stuck: Option<Vec<(ShardId, LogEvent)>>,
    /// Reads alone are as if it were stuck.
    slow_reads: bool,
    /// Reads are answered although it is stuck.
    pub(crate) reads_go_on: bool,
    /// Reads fail; then there is something to be noticed.
    pub(crate) broken_reads: bool,
    pub(crate) notices: Vec<Notice>,
    answers: BTreeMap<RequestId, Answer>,
    next_request: u64,
    random: u128,
    tick: u64,
    lag_topic: Option<TopicId>,
    /// What the plugins of views were given: the view, the partition, and how many bytes.
    pub(crate) viewed: Vec<(TopicId, i32, usize)>,
}

/// A request on its way.
pub(crate) enum Sent {
    Answered(Result<Response, String>),
    Waiting {
        join: Join,
        waiting: VecDeque<(usize, RequestId, ShardId)>,
    },
}

/// The partitioner of every topic: a record belongs to the partition that its key's first byte
/// says, and the rest of it by the count of partitions.
fn partition(wanted: &Wanted) -> Chosen {
    let header = &wanted.header;
    let mut pieces: BTreeMap<i32, (Vec<u32>, BatchBuilder)> = BTreeMap::new();
    let all = records(wanted.batch.body(), header.record_count);
    for (row, record) in (0..).zip(all) {
        let record = record.unwrap();
        let first = record.key.map_or(0, |key| i32::from(key[0] - b'0'));
        let to = first % i32::try_from(wanted.partitions).unwrap();
        if let Some(index) = wanted.chosen.filter(|index| index.0 != to) {
            assert!(index.0 >= 0);
            return Chosen::Elsewhere {
                record: row as usize,
                partition: PartitionIndex(to),
            };
        }
        let new = || (Vec::new(), BatchBuilder::new(TimestampMs(WALL)));
        let (rows, builder) = pieces.entry(to).or_insert_with(new);
        rows.push(row);
        builder.push(TimestampMs(WALL), record.key, record.value, &[]);
    }
    if wanted.chosen.is_some() {
        return Chosen::There;
    }
    let piece = |(index, (rows, builder)): (i32, (Vec<u32>, BatchBuilder))| {
        let stamp = Stamp {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: wanted.base_sequence(&rows),
            ..Stamp::default()
        };
        let batch = Batch::parse(&builder.finish(stamp)).unwrap();
        Piece {
            partition: PartitionIndex(index),
            header: batch.header(),
            batch,
        }
    };
    Chosen::Pieces(pieces.into_iter().map(piece).collect())
}

pub(crate) fn admin() -> Principal {
    Principal {
        name: "root".into(),
        role: Role::Admin,
    }
}

pub(crate) fn client() -> Principal {
    Principal {
        name: "alice".into(),
        role: Role::Client,
    }
}

pub(crate) fn create_request(topic: &str, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: Text::from(*name),
        value: Some(Text::from(*value)),
    });
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: Text::from(topic),
            num_partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: configs.collect(),
        }],
        timeout_ms: 1000,
        validate_only: false,
    }
}

impl Broker {
    pub(crate) fn new() -> Self {
        Self::with(None)
    }

    /// One that keeps lag in a topic of that id.
    pub(crate) fn with(lag_topic: Option<TopicId>) -> Self {
        let mut config = FrontConfig::new(SHARDS, BrokerId(1));
        config.num_partitions = 3;
        let node = |shard| {
            let config = NodeConfig::new(ShardId(shard), SHARDS, BrokerId(1));
            Node::new(
                now(0),
                NodeConfig {
                    lag_topic,
                    ..config
                },
            )
        };
        let mut broker = Self {
            image: Arc::default(),
            who: admin(),
            front: Front::new(Arc::new(config)),
            nodes: (0..SHARDS).map(node).collect(),
            logs: BTreeMap::new(),
            opened: BTreeMap::new(),
            stuck: None,
            slow_reads: false,
            reads_go_on: false,
            broken_reads: false,
            notices: Vec::new(),
            answers: BTreeMap::new(),
            next_request: 0,
            random: 0,
            tick: 0,
            lag_topic,
            viewed: Vec::new(),
        };
        let listener = |name: &str, port| Listener {
            name: name.into(),
            host: format!("{name}.example").as_str().into(),
            port,
        };
        let register = RegisterBroker {
            id: BrokerId(1),
            new_cluster_id: "cluster".into(),
            listeners: vec![listener("quic", 1), listener("tls", 2)],
            rack: None,
        };
        broker.agree(&Command::RegisterBroker(register));
        broker
    }

    /// Samples of lag want a wall clock that moves; the other tests tell their times by heart.
    fn time(&self) -> Now {
        let mut time = now(self.tick);
        if self.lag_topic.is_some() {
            time.wall.0 += i64::try_from(self.tick).unwrap();
        }
        time
    }

    /// Asks as a client would; the request must be answered.
    pub(crate) fn ask(&mut self, version: i16, request: impl Into<Request>) -> Response {
        self.try_ask(version, request).unwrap()
    }

    /// The answer, or `silent`, or why the session ends.
    pub(crate) fn try_ask(
        &mut self,
        version: i16,
        request: impl Into<Request>,
    ) -> Result<Response, String> {
        let sent = self.send(version, request);
        self.finish(sent)
    }

    /// Sends a request whose answer is taken later.
    pub(crate) fn send(&mut self, version: i16, request: impl Into<Request>) -> Sent {
        let context = Context {
            principal: self.who.clone(),
            listener: "quic".into(),
            host: "/127.0.0.1".into(),
        };
        let image = self.image.clone();
        let time = self.time();
        let random = &mut self.random;
        let mut call = Call {
            now: time,
            image: &image,
            context: &context,
            version,
            client_id: "tests",
            inflate: &mut NoCodec,
            random: &mut || {
                *random += 1;
                u8::try_from(*random).map_or_else(|_| random.to_be_bytes(), |byte| [byte; 16])
            },
            volume: &mut || {
                Some(Volume {
                    total_bytes: 1000,
                    usable_bytes: 400,
                })
            },
        };
        let mut plan = self.front.accept(&mut call, request.into());
        if let Plan::Place(placement) = plan {
            let said = placement.wanted().iter().map(|w| Ok(partition(w)));
            let said = said.collect();
            plan = placement.placed(said);
        }
        let (parts, join) = match plan {
            Plan::Place(_) => panic!("partitioners are asked once"),
            Plan::Answer(response) => return Sent::Answered(Ok(response)),
            Plan::Silent => return Sent::Answered(Err("silent".to_string())),
            Plan::Close { reason } => return Sent::Answered(Err(reason)),
            Plan::Parts { parts, join } => (parts, join),
        };
        let mut waiting: VecDeque<(usize, RequestId, ShardId)> = VecDeque::new();
        for (at, part) in parts.into_iter().enumerate() {
            let id = RequestId(self.next_request);
            self.next_request += 1;
            let (seen, ask) = (part.seen, part.ask);
            self.step(part.shard, Event::Ask { id, seen, ask });
            waiting.push_back((at, id, part.shard));
        }
        Sent::Waiting { join, waiting }
    }

    /// Whether every part of a request is answered.
    pub(crate) fn is_answered(&self, sent: &Sent) -> bool {
        match sent {
            Sent::Answered(_) => true,
            Sent::Waiting { waiting, .. } => waiting
                .iter()
                .all(|(_, id, _)| self.answers.contains_key(id)),
        }
    }

    /// Whether one part of a request is answered.
    pub(crate) fn has_answered(&self, id: RequestId) -> bool {
        self.answers.contains_key(&id)
    }

    /// Lets time pass until a request is answered.
    pub(crate) fn finish(&mut self, sent: Sent) -> Result<Response, String> {
        let (mut join, mut waiting) = match sent {
            Sent::Answered(answer) => return answer,
            Sent::Waiting { join, waiting } => (join, waiting),
        };
        while let Some((at, id, shard)) = waiting.pop_front() {
            let Some(answer) = self.answers.remove(&id) else {
                // Time passes until a long poll ends.
                waiting.push_back((at, id, shard));
                self.pass(10);
                continue;
            };
            if join.absorb(at, answer) {
                for (_, id, shard) in waiting.clone() {
                    self.step(shard, Event::Hurry { id });
                }
            }
        }
        match join.finish(&self.image, &mut NoCodec) {
            Finish::Answer(response) => Ok(response),
            Finish::Views {
                mut response,
                views,
            } => {
                // The plugin of every view: what it leaves of the records is their size.
                for records in views {
                    let topic = &mut response.responses[records.topic];
                    let data = &mut topic.partitions[records.partition];
                    let bytes = data.records.as_ref().map_or(0, Records::size_bytes);
                    self.viewed
                        .push((records.view, data.partition_index.0, bytes));
                    data.records = Some(Records::EMPTY);
                }
                Ok(response.into())
            }
            Finish::Silent => Err("silent".to_string()),
            Finish::Close { reason } => Err(reason),
        }
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.tick += ms;
        (0..SHARDS).for_each(|shard| self.step(ShardId(shard), Event::Wake));
    }

    /// The broker starts again on what its disk holds; its clients find it as it was.
    pub(crate) fn restart(&mut self) {
        let at = self.time();
        let lag_topic = self.lag_topic;
        let node = |shard| {
            let config = NodeConfig::new(ShardId(shard), SHARDS, BrokerId(1));
            Node::new(
                at,
                NodeConfig {
                    lag_topic,
                    ..config
                },
            )
        };
        self.nodes = (0..SHARDS).map(node).collect();
        for shard in (0..SHARDS).map(ShardId) {
            let image = self.image.clone();
            let proposal = None;
            self.step(shard, Event::Agreed { image, proposal });
        }
    }

    /// As [`Self::restart`], but the disk takes its time with what the partitions hold.
    pub(crate) fn restart_with_slow_reads(&mut self) {
        self.slow_reads = true;
        self.restart();
        self.slow_reads = false;
    }

    /// From now on the disk does not answer, or answers all that waited and what follows.
    pub(crate) fn stick(&mut self, stuck: bool) {
        let told = if stuck {
            self.stuck.replace(Vec::new())
        } else {
            self.stuck.take()
        };
        for (shard, event) in told.into_iter().flatten() {
            self.step(shard, Event::Log(event));
        }
    }

    /// The offsets at which the log of a partition starts and ends.
    pub(crate) fn log_of(&self, topic: &str, index: i32) -> (i64, i64) {
        let topic = self.image.topic_named(topic).unwrap();
        let log = &self.logs[&self.opened[&(topic.id, PartitionIndex(index))]];
        let end = log.batches.last().map_or(0, |b| b.header().next_offset().0);
        (log.start.0, end)
    }

    /// The sizes of all batches of a topic, the largest first.
    pub(crate) fn batch_sizes(&self, topic: &str) -> Vec<usize> {
        let topic = self.image.topic_named(topic).unwrap().id;
        let partitions = self.opened.iter().filter(|((id, _), _)| *id == topic);
        let logs = partitions.map(|(_, partition)| &self.logs[partition]);
        let batches = logs.flat_map(|log| &log.batches);
        let mut sizes: Vec<usize> = batches.map(|batch| batch.body().len()).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        sizes
    }

    pub(crate) fn create(&mut self, topic: &str, configs: &[(&str, &str)]) {
        let request = create_request(topic, configs);
        let Response::CreateTopics(created) = self.ask(7, request) else {
            panic!("not an answer to CreateTopics");
        };
        assert!(!created.topics[0].error_code.is_err(), "{created:?}");
    }

    pub(crate) fn delete(&mut self, topic: &str) {
        self.agree(&Command::DeleteTopics(vec![TopicRef::Name(
            topic.to_string(),
        )]));
    }

    pub(crate) fn alter(&mut self, topic: &str, name: &str, value: &str) {
        let edit = ConfigEdit {
            name: name.to_string(),
            operation: ConfigOperation::Set,
            value: Some(value.to_string()),
        };
        self.agree(&Command::AlterConfigs(AlterConfigs {
            resources: vec![AlterResource {
                resource: ConfigResource::Topic(topic.to_string()),
                changes: ConfigChanges::Edit(vec![edit]),
            }],
            validate_only: false,
        }));
    }

    /// A batch of records with a value of that many bytes, a millisecond apart.
    pub(crate) fn batch(&self, records: i64, value_bytes: usize) -> Records {
        let mut builder = BatchBuilder::new(TimestampMs(WALL));
        for at in 0..records {
            let value = vec![0; value_bytes];
            builder.push(TimestampMs(WALL + at), None, Some(&value), &[]);
        }
        Records::Slice(builder.finish(Stamp::default()))
    }

    pub(crate) fn agree(&mut self, command: &Command) {
        let decision = decide(&self.image, self.time(), command).unwrap();
        self.apply(&decision.records, None);
    }

    fn apply(
        &mut self,
        records: &[weir_meta::MetaRecord],
        proposal: Option<(ShardId, weir_node::ProposalId)>,
    ) {
        let mut image = (*self.image).clone();
        image.apply_entry(image.applied() + 1, records);
        image.check();
        self.image = Arc::new(image);
        for shard in (0..SHARDS).map(ShardId) {
            let own = proposal.filter(|(owner, _)| *owner == shard);
            let image = self.image.clone();
            let proposal = own.map(|(_, id)| id);
            self.step(shard, Event::Agreed { image, proposal });
        }
    }

    fn step(&mut self, shard: ShardId, event: Event) {
        let mut effects = Vec::new();
        let time = self.time();
        let node = &mut self.nodes[usize::from(shard.0)];
        node.step(time, event, &mut effects);
        node.check();
        for effect in effects {
            match effect {
                Effect::Answer { id, answer } => {
                    assert!(self.answers.insert(id, answer).is_none(), "answered twice");
                }
                Effect::Propose { proposal, records } => {
                    self.apply(&records, Some((shard, proposal)));
                }
                Effect::Log(command) => {
                    for event in self.log(command) {
                        let is_read = matches!(event, LogEvent::ReadDone { .. });
                        let is_free = is_read && self.reads_go_on;
                        let is_stuck = self.stuck.is_some() && !self.slow_reads && !is_free;
                        if is_stuck || (self.slow_reads && is_read) {
                            self.stuck.get_or_insert_default().push((shard, event));
                        } else {
                            self.step(shard, Event::Log(event));
                        }
                    }
                }
                Effect::Tell { to, message } => {
                    self.step(to, Event::Told { message });
                }
                Effect::Notice(
                    notice @ (Notice::GroupsDamaged { .. } | Notice::GroupsLoaded { .. }),
                ) => {
                    self.notices.push(notice);
                }
                Effect::Notice(notice) => panic!("{notice:?}"),
                Effect::Transform { key, .. } => panic!("{key:?} has no plugins"),
            }
        }
    }

    fn read(
        &self,
        partition: StorePartition,
        from: Offset,
        below: Offset,
    ) -> Result<Vec<StoredBatch>, ReadError> {
        if self.broken_reads {
            return Err(ReadError::Disk {
                reason: "it is out for a walk".to_string(),
            });
        }
        let batches = self.logs[&partition].batches.iter();
        let batches = batches.filter(|b| {
            let header = b.header();
            header.next_offset() > from && header.base_offset < below
        });
        Ok(batches.cloned().map(StoredBatch::Cached).collect())
    }

    fn log(&mut self, command: LogCommand) -> Vec<LogEvent> {
        match command {
            LogCommand::Open { replicas } => replicas
                .into_iter()
                .map(|(topic, index)| {
                    let new = StorePartition(u32::try_from(self.opened.len()).unwrap());
                    let partition = *self.opened.entry((topic, index)).or_insert(new);
                    let log = self.logs.entry(partition).or_default();
                    let last = log.batches.last().map(Batch::header);
                    let state = LogState {
                        start: log.start,
                        end: last.map_or(log.start, |header| header.next_offset()),
                        ..LogState::default()
                    };
                    LogEvent::Opened {
                        topic,
                        index,
                        partition,
                        state,
                    }
                })
                .collect(),
            LogCommand::Append {
                partition,
                batch,
                meta,
            } => {
                self.logs.get_mut(&partition).unwrap().batches.push(batch);
                let end = meta.next_offset();
                vec![LogEvent::Flushed { partition, end }]
            }
            LogCommand::Read {
                token,
                partition,
                from,
                below,
                ..
            } => {
                let batches = self.read(partition, from, below);
                vec![LogEvent::ReadDone { token, batches }]
            }
            LogCommand::FindTime {
                token,
                partition,
                timestamp,
                ..
            } => {
                let mut batches = self.logs[&partition].batches.iter();
                let found = batches.find(|b| b.header().max_timestamp >= timestamp);
                let batch: Result<_, ReadError> = Ok(found.cloned().map(StoredBatch::Cached));
                vec![LogEvent::TimeFound { token, batch }]
            }
            LogCommand::MoveStart { partition, to } => {
                let log = self.logs.get_mut(&partition).unwrap();
                log.start = to;
                log.batches.retain(|b| b.header().next_offset() > to);
                vec![LogEvent::StartMoved {
                    partition,
                    start: to,
                    size_bytes: 0,
                    max_timestamp: None,
                }]
            }
            LogCommand::Delete { .. } => Vec::new(),
            other => panic!("the tests need no {other:?}"),
        }
    }
}

fn now(tick: u64) -> Now {
    Now {
        tick: Tick(tick),
        wall: TimestampMs(WALL),
    }
}
