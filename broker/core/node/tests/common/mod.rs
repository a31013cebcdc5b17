//! The script language of the node's tests: the only place that touches its API.

use expect_test::Expect;
use std::{collections::BTreeMap, fmt::Write, sync::Arc};
use weir_meta::{
    Command, Image, Listener,
    command::{CreateTopics, NewTopic, RegisterBroker, TopicRef},
    decide,
};
use weir_node::{
    Answer, Ask, Effect, Event, Node, NodeConfig, PartitionKey, ProposalId, RequestId,
    request::{
        Acks, EpochEndAsk, FetchAsk, FetchPart, FoundOffset, OffsetAsk, OffsetSpec, ProduceAsk,
        ProducePart,
    },
};
use weir_types::{
    Batch, BatchHeader, BrokerId, LeaderEpoch, Now, Offset, PartitionIndex, ProducerEpoch,
    ProducerId, Sequence, ShardId, StorePartition, Tick, TimestampMs, TopicId,
    batch::HEADER_BYTES,
    log::{LogCommand, LogEvent, LogState, ReadError, StoredBatch, Token},
};
use weir_wire::build::{BatchBuilder, Stamp};

/// Where the scripts' wall clock starts.
const WALL: i64 = 1_000_000;

/// Runs a script and compares what came out.
pub(crate) fn check(script: &str, expected: Expect) {
    let mut world = World::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        writeln!(world.out, "{line}").unwrap();
        world.line(line);
    }
    expected.assert_eq(&world.out);
}

struct World {
    node: Node,
    image: Image,
    now: Now,
    out: String,
    topics: BTreeMap<String, TopicId>,
    /// What was appended, for reads.
    appended: BTreeMap<StorePartition, Vec<Batch>>,
    next_request: u64,
    proposal: Option<(ProposalId, Vec<weir_meta::MetaRecord>)>,
    /// Batches that go through plugins.
    transforming: BTreeMap<u64, Batch>,
}

impl World {
    fn new() -> Self {
        let now = Now {
            tick: Tick(0),
            wall: TimestampMs(WALL),
        };
        let config = NodeConfig::new(ShardId(0), 1, BrokerId(1));
        Self {
            node: Node::new(now, config),
            image: Image::default(),
            now,
            out: String::new(),
            topics: BTreeMap::new(),
            appended: BTreeMap::new(),
            next_request: 0,
            proposal: None,
            transforming: BTreeMap::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "ready" => {
                if !self.image.has_cluster_id() {
                    self.silently("broker");
                }
                self.silently(&format!("topic {} {}", words[1], words[2]));
                for index in 0..words[2].parse::<i32>().unwrap() {
                    self.silently(&format!("opened {} {index}", words[1]));
                }
            }
            "agree" => self.line(&line["agree ".len()..]),
            "broker" => {
                let command = register();
                self.agree(&command, None);
            }
            "topic" => {
                let command = self.create(&words[1..]);
                self.agree(&command, None);
            }
            "delete" => {
                let names = words[1..].iter().map(|n| TopicRef::Name(n.to_string()));
                self.agree(&Command::DeleteTopics(names.collect()), None);
            }
            "command" | "producer-id" => self.command(&words),
            "agreed" => {
                let (id, records) = self.proposal.take().unwrap();
                self.image.apply_entry(self.image.applied() + 1, &records);
                self.publish(Some(id));
            }
            "refused" => {
                let (proposal, _) = self.proposal.take().unwrap();
                self.step(Event::Refused { proposal });
            }
            "wake" => {
                let tick: u64 = words[1].parse().unwrap();
                self.now.wall.0 += i64::try_from(tick - self.now.tick.0).unwrap();
                self.now.tick = Tick(tick);
                self.step(Event::Wake);
            }
            "transformed" => self.transformed(&words),
            "attach" | "detach" => self.attach(&words),
            "hurry" => {
                let id = RequestId(words[1].parse().unwrap());
                self.step(Event::Hurry { id });
            }
            _ => self.question(&words),
        }
    }

    /// `attach TOPIC`, `detach TOPIC`: its batches go through a plugin, or no longer.
    fn attach(&mut self, words: &[&str]) {
        let value = (words[0] == "attach").then(|| "mask".to_string());
        let record = weir_meta::MetaRecord::TopicConfig {
            topic: self.topics[words[1]],
            name: "weir.ingest".into(),
            value,
        };
        self.image
            .apply_entry(self.image.applied() + 1, std::slice::from_ref(&record));
        self.publish(None);
    }

    /// `transformed TICKET`, with `size=BYTES`, `empty` or `refused`.
    fn transformed(&mut self, words: &[&str]) {
        let ticket = words[1].parse().unwrap();
        let batch = self.transforming.remove(&ticket).unwrap();
        let mut header = batch.header();
        let mut body = batch.body().to_vec();
        let result = match words.get(2) {
            Some(&"refused") => Err(weir_node::TransformRefusal {
                error: weir_types::ErrorCode::InvalidRecord,
                message: "it tastes of soap".to_string(),
            }),
            what => {
                if what == Some(&"empty") {
                    header.record_count = 0;
                    body.clear();
                }
                if let Some(size) = what.and_then(|what| what.strip_prefix("size=")) {
                    body.resize(size.parse::<usize>().unwrap() - HEADER_BYTES, 0);
                }
                let mut bytes = vec![0; HEADER_BYTES];
                bytes.extend(body);
                weir_types::batch::write_header(&mut bytes, &header);
                let batch = Batch::parse(&bytes.into()).unwrap();
                let header = batch.header();
                Ok((batch, header))
            }
        };
        let ticket = weir_node::TransformId(ticket);
        self.step(Event::Transformed { ticket, result });
    }

    /// Lines that ask something.
    fn question(&mut self, words: &[&str]) {
        let option = |key: &str| {
            words
                .iter()
                .find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
        };
        let number = |key: &str, default: i64| option(key).map_or(default, |v| v.parse().unwrap());
        match words[0] {
            "produce" => {
                let ask = self.produce(words);
                self.ask(Ask::Produce(ask), number("seen", 0));
            }
            "fetch" => {
                let ask = self.fetch(words);
                self.ask(ask, 0);
            }
            "offsets" => {
                let spec = match words[2] {
                    "earliest" => OffsetSpec::Earliest,
                    "latest" => OffsetSpec::Latest,
                    "max" => OffsetSpec::MaxTimestamp,
                    // Counted from where the clock starts.
                    time => {
                        OffsetSpec::Time(TimestampMs(WALL + time.parse::<i64>().unwrap() - 1000))
                    }
                };
                let ask = OffsetAsk {
                    key: self.key(words[1]),
                    spec,
                    current_leader_epoch: None,
                };
                self.ask(Ask::Offsets(vec![ask]), 0);
            }
            "epoch-end" => {
                let ask = EpochEndAsk {
                    key: self.key(words[1]),
                    epoch: LeaderEpoch(words[2].parse().unwrap()),
                    current_leader_epoch: None,
                };
                self.ask(Ask::EpochEnds(vec![ask]), 0);
            }
            "delete-records" => {
                let to = (words[2] != "all").then(|| Offset(words[2].parse().unwrap()));
                let ask = Ask::DeleteRecords {
                    partitions: vec![(self.key(words[1]), to)],
                    timeout_ms: number("timeout", 1000) as u64,
                };
                self.ask(ask, 0);
            }
            "sizes" => self.ask(Ask::Sizes(None), 0),
            _ => self.log(words),
        }
    }

    fn fetch(&self, words: &[&str]) -> Ask {
        let option = |key: &str| {
            words
                .iter()
                .find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
        };
        let number = |key: &str, default: i64| option(key).map_or(default, |v| v.parse().unwrap());
        let parts = words[1..].iter().filter(|w| w.contains('@'));
        let epoch = option("epoch").map(|e| LeaderEpoch(e.parse().unwrap()));
        let partitions = parts.map(|word| {
            let (key, offset) = word.split_once('@').unwrap();
            FetchPart {
                key: self.key(key),
                fetch_offset: Offset(offset.parse().unwrap()),
                current_leader_epoch: epoch,
                last_fetched_epoch: None,
                max_bytes: number("part", 1 << 20) as usize,
            }
        });
        let ask = FetchAsk {
            max_wait_ms: number("wait", 500) as u64,
            min_bytes: number("min", 1) as usize,
            max_bytes: number("max", 1 << 20) as usize,
            read_committed: false,
            partitions: partitions.collect(),
        };
        Ask::Fetch(ask)
    }

    /// Lines that begin with what the log says.
    fn log(&mut self, words: &[&str]) {
        let event = match words[0] {
            "opened" => LogEvent::Opened {
                topic: self.topics[words[1]],
                index: PartitionIndex(words[2].parse().unwrap()),
                partition: store(&self.topic_key(words[1], words[2])),
                state: LogState::default(),
            },
            "open-failed" => LogEvent::OpenFailed {
                topic: self.topics[words[1]],
                index: PartitionIndex(words[2].parse().unwrap()),
                reason: "it is damaged".to_string(),
            },
            "flushed" => LogEvent::Flushed {
                partition: store(&self.key(words[1])),
                end: Offset(words[2].parse().unwrap()),
            },
            "started" => LogEvent::StartMoved {
                partition: store(&self.key(words[1])),
                start: Offset(words[2].parse().unwrap()),
                size_bytes: 9,
                max_timestamp: None,
            },
            "failed" => LogEvent::Failed {
                partition: store(&self.key(words[1])),
                state: LogState {
                    end: Offset(words[2].parse().unwrap()),
                    ..LogState::default()
                },
                reason: "the disk is full".to_string(),
            },
            "offline" => LogEvent::Offline {
                partition: store(&self.key(words[1])),
                reason: "it is damaged".to_string(),
            },
            "read" => LogEvent::ReadDone {
                token: Token(words[1].parse().unwrap()),
                batches: Ok(self.stored(words)),
            },
            "read-fails" => LogEvent::ReadDone {
                token: Token(words[1].parse().unwrap()),
                batches: Err(ReadError::Disk {
                    reason: "gone".to_string(),
                }),
            },
            "found" => LogEvent::TimeFound {
                token: Token(words[1].parse().unwrap()),
                batch: Ok(self.stored(words).pop()),
            },
            "found-nothing" => LogEvent::TimeFound {
                token: Token(words[1].parse().unwrap()),
                batch: Ok(None),
            },
            other => panic!("no such line: {other}"),
        };
        self.step(Event::Log(event));
    }

    /// The last batch of a partition that holds `count` records; read as the cache would.
    fn stored(&self, words: &[&str]) -> Vec<StoredBatch> {
        let count: i32 = words[3].parse().unwrap();
        let batches = &self.appended[&store(&self.key(words[2]))];
        let found = batches.iter().rfind(|b| b.header().record_count == count);
        vec![StoredBatch::Cached(found.unwrap().clone())]
    }

    fn silently(&mut self, line: &str) {
        let before = self.out.len();
        self.line(line);
        self.out.truncate(before);
    }

    fn create(&mut self, words: &[&str]) -> Command {
        let id = TopicId([self.topics.len() as u8 + 1; 16]);
        self.topics.entry(words[0].to_string()).or_insert(id);
        let configs = words[2..].iter().map(|word| {
            let (key, value) = word.split_once('=').unwrap();
            (key.to_string(), Some(value.to_string()))
        });
        Command::CreateTopics(CreateTopics {
            topics: vec![NewTopic {
                id,
                name: words[0].to_string(),
                num_partitions: words[1].parse().unwrap(),
                replication_factor: 1,
                assignments: Vec::new(),
                configs: configs.collect(),
            }],
            validate_only: false,
            num_partitions_default: 1,
            replication_factor_default: 1,
        })
    }

    fn command(&mut self, words: &[&str]) {
        let ask = match words {
            ["producer-id"] => Ask::ProducerId,
            ["command", "ids"] => Ask::Meta {
                command: Command::AllocateProducerIds,
                timeout_ms: 1000,
            },
            ["command", "create", rest @ ..] => Ask::Meta {
                command: self.create(rest),
                timeout_ms: 1000,
            },
            other => panic!("no such command: {other:?}"),
        };
        self.ask(ask, 0);
    }

    /// Agrees on a command that came from elsewhere.
    fn agree(&mut self, command: &Command, proposal: Option<ProposalId>) {
        let decision = decide(&self.image, self.now, command).unwrap();
        self.image
            .apply_entry(self.image.applied() + 1, &decision.records);
        self.publish(proposal);
    }

    fn publish(&mut self, proposal: Option<ProposalId>) {
        let image = Arc::new(self.image.clone());
        self.step(Event::Agreed { image, proposal });
    }

    fn key(&self, text: &str) -> PartitionKey {
        let (topic, index) = text.split_once('/').unwrap();
        self.topic_key(topic, index)
    }

    fn topic_key(&self, topic: &str, index: &str) -> PartitionKey {
        let unknown = TopicId([99; 16]);
        PartitionKey {
            topic: self.topics.get(topic).copied().unwrap_or(unknown),
            index: PartitionIndex(index.parse().unwrap()),
        }
    }

    fn produce(&self, words: &[&str]) -> ProduceAsk {
        let option = |key: &str| {
            words
                .iter()
                .find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
        };
        let stamp = option("p").map_or_else(Stamp::default, |text| {
            let p: Vec<i64> = text.split('/').map(|n| n.parse().unwrap()).collect();
            Stamp {
                producer_id: ProducerId(p[0]),
                producer_epoch: ProducerEpoch(p[1] as i16),
                base_sequence: Sequence(p[2] as i32),
                ..Stamp::default()
            }
        });
        let size: usize = option("size").map_or(0, |n| n.parse().unwrap());
        let parts = words[1..].iter().filter(|w| w.contains(':'));
        let partitions = parts.map(|word| {
            let (key, count) = word.split_once(':').unwrap();
            let mut builder = BatchBuilder::new(self.now.wall);
            for at in 0..count.parse::<i64>().unwrap() {
                let value = vec![0; size.saturating_sub(HEADER_BYTES + 10)];
                let at = TimestampMs(self.now.wall.0 + at);
                builder.push(at, None, Some(&value), &[]);
            }
            let batch = Batch::parse(&builder.finish(stamp)).unwrap();
            ProducePart {
                key: self.key(key),
                header: batch.header(),
                batch,
                sequences: weir_node::Sequences::Contiguous,
            }
        });
        let acks = match option("acks") {
            Some("0") => Acks::None,
            Some("1") => Acks::Leader,
            _ => Acks::All,
        };
        ProduceAsk {
            acks,
            timeout_ms: option("timeout").map_or(1000, |n| n.parse().unwrap()),
            partitions: partitions.collect(),
        }
    }

    fn ask(&mut self, ask: Ask, seen: i64) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let seen = seen as u64;
        self.step(Event::Ask { id, seen, ask });
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.node.step(self.now, event, &mut effects);
        self.node.check();
        for effect in effects {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        let text = match effect {
            Effect::Answer { id, answer } => format!("answer {}: {}", id.0, say(&answer)),
            Effect::Propose { proposal, records } => {
                let text = format!("propose {} records", records.len());
                self.proposal = Some((proposal, records));
                text
            }
            Effect::Notice(notice) => format!("{notice:?}"),
            Effect::Tell { to, message } => format!("tell {}: {message:?}", to.0),
            Effect::Log(command) => self.command_text(command),
            Effect::Transform {
                ticket,
                key,
                batch,
                header,
            } => {
                let (topic, count) = (key.topic.0[0], header.record_count);
                let text = format!("transform {} {topic}/{}: {count}", ticket.0, key.index);
                self.transforming.insert(ticket.0, batch);
                text
            }
        };
        writeln!(self.out, "    {text}").unwrap();
    }

    fn command_text(&mut self, command: LogCommand) -> String {
        match command {
            LogCommand::Open { replicas } => {
                let names: Vec<String> = replicas
                    .iter()
                    .map(|(topic, index)| format!("{}/{index}", topic.0[0]))
                    .collect();
                format!("open {}", names.join(" "))
            }
            LogCommand::Append {
                partition,
                batch,
                meta,
            } => {
                self.appended.entry(partition).or_default().push(batch);
                let (from, to) = (meta.base_offset, meta.last_offset);
                format!(
                    "append {partition} {from}..={to} epoch {}",
                    meta.leader_epoch
                )
            }
            LogCommand::Read {
                token,
                partition,
                from,
                below,
                bytes_max,
            } => format!(
                "read #{} {partition} from {from} below {below} up to {bytes_max}",
                token.0
            ),
            LogCommand::FindTime {
                token,
                partition,
                timestamp,
                below,
            } => {
                let time = timestamp.0 - WALL;
                format!("find #{} {partition} time {time} below {below}", token.0)
            }
            LogCommand::Retain {
                partition,
                older_than,
                bytes_max,
                below,
            } => {
                let age = older_than.map(|t| t.0 - WALL);
                format!("retain {partition} older than {age:?} above {bytes_max:?} below {below}")
            }
            other => format!("{other:?}"),
        }
    }
}

/// The log's number of a partition: topic and index in one.
fn store(key: &PartitionKey) -> StorePartition {
    StorePartition(u32::from(key.topic.0[0]) * 100 + key.index.0 as u32)
}

fn register() -> Command {
    Command::RegisterBroker(RegisterBroker {
        id: BrokerId(1),
        new_cluster_id: "cluster".into(),
        listeners: vec![Listener {
            name: "quic".into(),
            host: "localhost".into(),
            port: 9092,
        }],
        rack: None,
    })
}

fn say(answer: &Answer) -> String {
    match answer {
        Answer::Produce(results) => {
            let one = |r: &weir_node::request::ProduceResult| match &r.message {
                Some(message) => format!("{} ({message})", r.error.name()),
                None if r.error.is_err() => r.error.name().to_string(),
                None => format!("at {}", r.base_offset),
            };
            results.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Answer::Fetch(results) => {
            let one = |r: &weir_node::request::FetchResult| {
                let offsets: Vec<String> = r.batches.iter().map(offsets).collect();
                let (high, offsets) = (r.high_watermark, offsets.join(" "));
                if r.error.is_err() {
                    format!("{} high {high}", r.error.name())
                } else {
                    format!("[{offsets}] high {high}")
                }
            };
            results.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Answer::Offsets(results) => {
            let one = |r: &weir_node::request::OffsetResult| match &r.found {
                _ if r.error.is_err() => r.error.name().to_string(),
                FoundOffset::Nothing => "nothing".to_string(),
                FoundOffset::At(offset, TimestampMs(-1)) => {
                    format!("{offset} epoch {}", r.leader_epoch)
                }
                FoundOffset::At(offset, time) => {
                    format!("{offset} time {} epoch {}", time.0 - WALL, r.leader_epoch)
                }
                FoundOffset::Inside { .. } => "inside a batch".to_string(),
            };
            results.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Answer::Sizes(sizes) => {
            let sizes: Vec<u64> = sizes.iter().map(|(_, size)| *size).collect();
            format!("{sizes:?}")
        }
        Answer::Meta(Ok(reply)) => match reply {
            weir_meta::Reply::Created(topics) => {
                let outcomes: Vec<&str> = topics.iter().map(|t| t.outcome.error.name()).collect();
                outcomes.join(", ")
            }
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    }
}

fn offsets(piece: &StoredBatch) -> String {
    let header = match piece {
        StoredBatch::Cached(batch) => batch.header(),
        StoredBatch::Read(bytes) => BatchHeader::read(bytes).unwrap(),
    };
    format!("{}..={}", header.base_offset, header.last_offset())
}
