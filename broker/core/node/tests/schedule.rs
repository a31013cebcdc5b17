//! Random schedules on one shard over a log that flushes late and fails: nothing is acknowledged
//! before it is flushed, nothing is doubled or reordered, every question is answered once, and a
//! fetch gives whole batches in order. The seeded faults are seen.

use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};
use weir_meta::{
    Command, Image,
    command::{CreateTopics, NewTopic, RegisterBroker, TopicRef},
    decide,
};
use weir_node::{
    Answer, Ask, Effect, Event, Mutants, Node, NodeConfig, PartitionKey, RequestId,
    request::{Acks, FetchAsk, FetchPart, ProduceAsk, ProducePart},
};
use weir_types::{
    Batch, BatchMeta, BrokerId, Now, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    ShardId, StorePartition, Tick, TimestampMs, TopicId,
    log::{LogCommand, LogEvent, LogState, StoredBatch, Token},
};
use weir_wire::build::{BatchBuilder, Stamp};

/// One step of a schedule. Partitions and producers are small numbers.
#[derive(Clone, Debug)]
enum Move {
    Produce {
        partition: i32,
        producer: i64,
        records: i32,
        /// Which sequence: 0 the next, more: that many batches back, and beyond those a gap.
        back: usize,
    },
    Fetch {
        from: i64,
        min_bytes: usize,
        max_bytes: usize,
    },
    Flush {
        partition: i32,
    },
    Fail {
        partition: i32,
    },
    Read,
    Pass {
        ms: u64,
    },
    Hurry,
    Topic {
        make: bool,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let produce =
        (0..3i32, 0..2i64, 1..4i32, 0..8usize).prop_map(|(partition, producer, records, back)| {
            Move::Produce {
                partition,
                producer,
                records,
                back: back.saturating_sub(4),
            }
        });
    let fetch =
        (0..4i64, 0..300usize, 0..400usize).prop_map(|(from, min_bytes, max_bytes)| Move::Fetch {
            from,
            min_bytes,
            max_bytes,
        });
    let one = prop_oneof![
        6 => produce,
        3 => fetch,
        4 => (0..3i32).prop_map(|partition| Move::Flush { partition }),
        1 => (0..3i32).prop_map(|partition| Move::Fail { partition }),
        4 => Just(Move::Read),
        2 => (0..400u64).prop_map(|ms| Move::Pass { ms }),
        1 => Just(Move::Hurry),
        1 => any::<bool>().prop_map(|make| Move::Topic { make }),
    ];
    prop::collection::vec(one, 0..120)
}

/// One partition's log: what was appended, and how much of it is on the disk.
#[derive(Default)]
struct Log {
    batches: Vec<(Batch, BatchMeta)>,
    flushed: i64,
}

impl Log {
    fn end(&self) -> i64 {
        self.batches
            .last()
            .map_or(0, |(_, meta)| meta.next_offset().0)
    }
}

enum Asked {
    Produce(PartitionKey, i32),
    Fetch(i64),
}

struct World {
    node: Node,
    image: Image,
    tick: u64,
    logs: BTreeMap<StorePartition, Log>,
    reads: Vec<(Token, StorePartition, Offset, Offset, usize)>,
    asked: BTreeMap<RequestId, Asked>,
    next: u64,
    topic: u8,
    /// What went wrong first.
    wrong: Option<String>,
}

impl World {
    fn new(mutants: Mutants) -> Self {
        let mut config = NodeConfig::new(ShardId(0), 1, BrokerId(1));
        config.mutants = mutants;
        let mut world = Self {
            node: Node::new(Now::default(), config),
            image: Image::default(),
            tick: 0,
            logs: BTreeMap::new(),
            reads: Vec::new(),
            asked: BTreeMap::new(),
            next: 0,
            topic: 0,
            wrong: None,
        };
        world.agree(&Command::RegisterBroker(RegisterBroker {
            id: BrokerId(1),
            new_cluster_id: "cluster".into(),
            listeners: Vec::new(),
            rack: None,
        }));
        world.make_topic();
        world
    }

    fn key(&self, partition: i32) -> PartitionKey {
        PartitionKey {
            topic: TopicId([self.topic; 16]),
            index: PartitionIndex(partition),
        }
    }

    fn store(&self, partition: i32) -> StorePartition {
        StorePartition(u32::from(self.topic) * 10 + u32::try_from(partition).unwrap())
    }

    fn make_topic(&mut self) {
        self.topic += 1;
        let id = TopicId([self.topic; 16]);
        let name = format!("t{}", self.topic);
        self.agree(&Command::CreateTopics(CreateTopics {
            topics: vec![NewTopic {
                id,
                name,
                num_partitions: 3,
                replication_factor: 1,
                assignments: Vec::new(),
                configs: Vec::new(),
            }],
            validate_only: false,
            num_partitions_default: 1,
            replication_factor_default: 1,
        }));
    }

    fn agree(&mut self, command: &Command) {
        let decision = decide(&self.image, Now::default(), command).unwrap();
        self.image
            .apply_entry(self.image.applied() + 1, &decision.records);
        let image = Arc::new(self.image.clone());
        self.step(Event::Agreed {
            image,
            proposal: None,
        });
    }

    fn ask(&mut self, asked: Asked, ask: Ask) {
        let id = RequestId(self.next);
        self.next += 1;
        self.asked.insert(id, asked);
        self.step(Event::Ask { id, seen: 0, ask });
    }

    fn step(&mut self, event: Event) {
        let now = Now {
            tick: Tick(self.tick),
            wall: TimestampMs(i64::try_from(self.tick).unwrap()),
        };
        let mut effects = Vec::new();
        self.node.step(now, event, &mut effects);
        self.node.check();
        for effect in effects {
            match effect {
                Effect::Answer { id, answer } => self.answered(id, &answer),
                Effect::Log(command) => self.log(command),
                Effect::Propose { .. } => panic!("nobody asked for it"),
                Effect::Tell { .. } => panic!("lag is not kept here"),
                Effect::Transform { .. } => panic!("nothing is attached"),
                Effect::Notice(_) => {}
            }
        }
    }

    fn log(&mut self, command: LogCommand) {
        match command {
            LogCommand::Open { replicas } => {
                for (topic, index) in replicas {
                    let number = u32::from(topic.0[0]) * 10 + u32::try_from(index.0).unwrap();
                    let partition = StorePartition(number);
                    self.logs.insert(partition, Log::default());
                    self.step(Event::Log(LogEvent::Opened {
                        topic,
                        index,
                        partition,
                        state: LogState::default(),
                    }));
                }
            }
            LogCommand::Append {
                partition,
                batch,
                meta,
            } => {
                let log = self.logs.get_mut(&partition).unwrap();
                assert_eq!(meta.base_offset.0, log.end(), "offsets have no gaps");
                let twice = log.batches.iter().any(|(_, old)| {
                    old.producer_id == meta.producer_id && old.base_sequence == meta.base_sequence
                });
                log.batches.push((batch, meta));
                if twice {
                    self.fail("a sequence is in the log twice");
                }
            }
            LogCommand::Read {
                token,
                partition,
                from,
                below,
                bytes_max,
            } => self.reads.push((token, partition, from, below, bytes_max)),
            LogCommand::Delete { partitions } => {
                for partition in partitions {
                    self.logs.remove(&partition);
                }
            }
            other => panic!("the schedule leads to no {other:?}"),
        }
    }

    fn fail(&mut self, what: &str) {
        self.wrong.get_or_insert_with(|| what.to_string());
    }

    fn answered(&mut self, id: RequestId, answer: &Answer) {
        let Some(asked) = self.asked.remove(&id) else {
            return self.fail("a question was answered twice");
        };
        match (asked, answer) {
            (Asked::Produce(key, records), Answer::Produce(results)) => {
                let result = &results[0];
                if result.error.is_err() {
                    return;
                }
                let number = u32::from(key.topic.0[0]) * 10 + u32::try_from(key.index.0).unwrap();
                let flushed = self
                    .logs
                    .get(&StorePartition(number))
                    .map_or(0, |l| l.flushed);
                if result.base_offset.0 + i64::from(records) > flushed {
                    self.fail("acknowledged before it was flushed");
                }
            }
            (Asked::Fetch(from), Answer::Fetch(results)) => {
                for result in results {
                    let mut next = from;
                    for piece in &result.batches {
                        let StoredBatch::Cached(batch) = piece else {
                            panic!("the log serves only cached batches");
                        };
                        let header = batch.header();
                        let follows = header.base_offset.0 <= next && header.next_offset().0 > next;
                        if !follows {
                            self.fail("a fetch skips or repeats records");
                        }
                        next = header.next_offset().0;
                    }
                    if !result.error.is_err() && next > from && next > result.high_watermark.0 {
                        self.fail("a fetch gives what is not replicated");
                    }
                }
            }
            _ => panic!("an answer fits its question"),
        }
    }

    /// The log answers its oldest read.
    fn read(&mut self) {
        if self.reads.is_empty() {
            return;
        }
        let (token, partition, from, below, bytes_max) = self.reads.remove(0);
        let batches = match self.logs.get(&partition) {
            None => Err(weir_types::log::ReadError::NotOpen),
            Some(log) => {
                let mut taken = Vec::new();
                let mut bytes = 0;
                for (batch, meta) in &log.batches {
                    let wanted = meta.next_offset() > from && meta.base_offset < below;
                    let fits = taken.is_empty() || bytes + batch.size_bytes() <= bytes_max;
                    if wanted && fits {
                        bytes += batch.size_bytes();
                        taken.push(StoredBatch::Cached(batch.clone()));
                    } else if wanted {
                        break;
                    }
                }
                Ok(taken)
            }
        };
        self.step(Event::Log(LogEvent::ReadDone { token, batches }));
    }

    fn flush(&mut self, partition: StorePartition) {
        if let Some(log) = self.logs.get_mut(&partition) {
            log.flushed = log.end();
            let end = Offset(log.flushed);
            self.step(Event::Log(LogEvent::Flushed { partition, end }));
        }
    }

    /// The disk loses what was not flushed.
    fn fail_disk(&mut self, partition: StorePartition) {
        let Some(log) = self.logs.get_mut(&partition) else {
            return;
        };
        let flushed = log.flushed;
        log.batches.retain(|(_, meta)| meta.base_offset.0 < flushed);
        let mut state = LogState {
            end: Offset(flushed),
            ..LogState::default()
        };
        for (_, meta) in &log.batches {
            state.producers.apply(meta);
        }
        self.step(Event::Log(LogEvent::Failed {
            partition,
            state,
            reason: "lost power".to_string(),
        }));
    }

    fn produce(&mut self, partition: i32, producer: i64, records: i32, back: usize) {
        let store = self.store(partition);
        let mine: Vec<(i32, i32)> = self.logs.get(&store).map_or_else(Vec::new, |log| {
            let metas = log.batches.iter().map(|(_, meta)| meta);
            let mine = metas.filter(|meta| meta.producer_id.0 == producer);
            mine.map(|m| (m.base_sequence.0, m.last_offset_delta() + 1))
                .collect()
        });
        let next = mine.last().map_or(0, |(first, count)| first + count);
        let (sequence, records) = match back {
            0 => (next, records),
            back => match mine.iter().rev().nth(back - 1) {
                Some(old) => *old,
                None if mine.is_empty() => (next, records),
                None => (next + 1, records),
            },
        };
        let mut builder = BatchBuilder::new(TimestampMs(0));
        for _ in 0..records {
            builder.push(TimestampMs(0), None, Some(b"value"), &[]);
        }
        let bytes = builder.finish(Stamp {
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence(sequence),
            ..Stamp::default()
        });
        let batch = Batch::parse(&bytes).unwrap();
        let key = self.key(partition);
        let ask = ProduceAsk {
            acks: Acks::All,
            timeout_ms: 1000,
            partitions: vec![ProducePart {
                key,
                header: batch.header(),
                batch,
                sequences: weir_node::Sequences::Contiguous,
            }],
        };
        self.ask(Asked::Produce(key, records), Ask::Produce(ask));
    }

    fn fetch(&mut self, from: i64, min_bytes: usize, max_bytes: usize) {
        let part = |partition| FetchPart {
            key: self.key(partition),
            fetch_offset: Offset(from),
            current_leader_epoch: None,
            last_fetched_epoch: None,
            max_bytes: 200,
        };
        let ask = FetchAsk {
            max_wait_ms: 500,
            min_bytes,
            max_bytes,
            read_committed: false,
            partitions: (0..3).map(part).collect(),
        };
        self.ask(Asked::Fetch(from), Ask::Fetch(ask));
    }

    fn run(&mut self, one: &Move) {
        match *one {
            Move::Produce {
                partition,
                producer,
                records,
                back,
            } => self.produce(partition, producer, records, back),
            Move::Fetch {
                from,
                min_bytes,
                max_bytes,
            } => self.fetch(from, min_bytes, max_bytes),
            Move::Flush { partition } => self.flush(self.store(partition)),
            Move::Fail { partition } => self.fail_disk(self.store(partition)),
            Move::Read => self.read(),
            Move::Pass { ms } => {
                self.tick += ms;
                self.step(Event::Wake);
            }
            Move::Hurry => {
                if let Some(id) = self.asked.keys().next().copied() {
                    self.step(Event::Hurry { id });
                }
            }
            Move::Topic { make: true } => self.make_topic(),
            Move::Topic { make: false } => {
                let name = format!("t{}", self.topic);
                if self.image.topic_named(&name).is_some() {
                    self.agree(&Command::DeleteTopics(vec![TopicRef::Name(name)]));
                }
            }
        }
    }

    /// Lets everything that is under way come to its end.
    fn drain(&mut self) {
        while !self.reads.is_empty() {
            self.read();
        }
        for partition in self.logs.keys().copied().collect::<Vec<_>>() {
            self.flush(partition);
        }
        while !self.reads.is_empty() {
            self.read();
        }
        self.tick += 1000;
        self.step(Event::Wake);
        while !self.reads.is_empty() {
            self.read();
        }
        if !self.asked.is_empty() {
            self.fail("a question was never answered");
        }
    }
}

fn run(moves: &[Move], mutants: Mutants) -> Option<String> {
    let mut world = World::new(mutants);
    moves.iter().for_each(|one| world.run(one));
    world.drain();
    world.wrong
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_schedule_keeps_the_promises(moves in moves()) {
        prop_assert_eq!(run(&moves, Mutants::default()), None);
    }
}

/// Whether a fault is seen on at least one of a few schedules that are the same in every run.
fn seen(mutants: Mutants, what: &str) -> bool {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    (0..50).any(|_| {
        let schedule = moves().new_tree(&mut runner).unwrap().current();
        run(&schedule, mutants).as_deref() == Some(what)
    })
}

#[test]
fn the_seeded_faults_are_seen() {
    let answer_early = Mutants {
        answer_early: true,
        ..Mutants::default()
    };
    assert!(seen(answer_early, "acknowledged before it was flushed"));
    let forget_sequences = Mutants {
        forget_sequences: true,
        ..Mutants::default()
    };
    assert!(seen(forget_sequences, "a sequence is in the log twice"));
}
