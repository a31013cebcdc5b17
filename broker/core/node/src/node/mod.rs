//! The node: partitions of one shard, the requests that wait on them, and the timers.
//!
//! [`Node::step`] is the only way in and `effects` the only way out. It never answers but through
//! the gate, never names a partition of another shard, and never loops over all waiting requests
//! because of one batch.

mod admin;
mod coordinator;
mod fetch;
mod held;
mod hosting;
mod ingest;
mod kept;
mod lag;
mod log_events;
mod lookup;
mod produce;

use crate::{
    config::NodeConfig,
    event::{Effect, Event, RequestId},
    gate::{Ends, Gate},
    limits::REQUESTS_WAITING_MAX,
    request::{Answer, Ask, PartitionKey, shard_of},
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use weir_meta::{Image, TopicConfig};
use weir_replica::Replica;
use weir_types::{ErrorCode, Now, Offset, StorePartition, Tick, log::Token};

/// One shard of a broker.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    image: Arc<Image>,
    partitions: BTreeMap<PartitionKey, Partition>,
    by_store: BTreeMap<StorePartition, PartitionKey>,
    /// Deleted while the log was still opening them.
    doomed: BTreeSet<PartitionKey>,
    gate: Gate,
    ingest: ingest::Ingest,
    held: held::Held,
    fetches: BTreeMap<RequestId, fetch::WaitingFetch>,
    /// Fetches that wait for new records, by partition.
    parked: BTreeSet<(PartitionKey, RequestId)>,
    fetch_deadlines: BTreeSet<(Tick, RequestId)>,
    lookups: BTreeMap<RequestId, lookup::WaitingLookup>,
    tokens: BTreeMap<Token, (RequestId, usize)>,
    next_token: u64,
    admin: admin::Admin,
    coordinators: coordinator::Coordinators,
    lag: lag::Lag,
    next_retention: Tick,
    next_producer_check: Tick,
}

/// A partition of this shard.
#[derive(Debug)]
enum Partition {
    /// The log is opening it.
    Opening,
    /// It can be used.
    Open(Box<OpenPartition>),
    /// It cannot; every question gets `KafkaStorageError`.
    Offline,
}

/// A partition that can be used.
#[derive(Debug)]
struct OpenPartition {
    /// The log's name for it.
    store: StorePartition,
    replica: Replica,
    config: TopicConfig,
    /// The furthest start that the log was told to move to.
    start_asked: Offset,
    /// What is to be told of it.
    tally: lag::Tally,
}

/// What a node has at the moment, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Partitions that can be used.
    pub partitions_open: usize,
    /// Partitions that are being opened.
    pub partitions_opening: usize,
    /// Partitions that cannot be used.
    pub partitions_offline: usize,
    /// Live bytes of all of them.
    pub bytes: u64,
    /// Fetches that wait or read.
    pub fetches: usize,
    /// Answers that wait for the disk or for agreement.
    pub answers_waiting: usize,
    /// Batches that go through plugins, or wait for their turn to.
    pub ingesting: usize,
    /// Questions held back until partitions are open.
    pub held: usize,
    /// Idempotent producers that are remembered.
    pub producers: usize,
}

impl Node {
    /// A node without partitions, which get there with the first image.
    #[must_use]
    pub fn new(now: Now, config: NodeConfig) -> Self {
        assert!(config.shard.0 < config.shards, "the shard is one of them");
        Self {
            next_retention: now.tick + config.retention_check_interval_ms,
            next_producer_check: now.tick + config.producer_check_interval_ms,
            image: Arc::default(),
            partitions: BTreeMap::new(),
            by_store: BTreeMap::new(),
            doomed: BTreeSet::new(),
            gate: Gate::new(config.mutants.answer_early),
            ingest: ingest::Ingest::default(),
            held: held::Held::default(),
            fetches: BTreeMap::new(),
            parked: BTreeSet::new(),
            fetch_deadlines: BTreeSet::new(),
            lookups: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next_token: 0,
            admin: admin::Admin::default(),
            coordinators: coordinator::Coordinators::default(),
            lag: lag::Lag::default(),
            config,
        }
    }

    /// Takes one event and appends what is to be done to `effects`, in order.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Ask { id, seen, ask } => self.ask(now, id, seen, ask, effects),
            Event::Hurry { id } => self.hurry(now, id, effects),
            Event::Log(event) => self.log_event(now, event, effects),
            Event::Agreed { image, proposal } => self.agreed(now, &image, proposal, effects),
            Event::Refused { proposal } => self.proposal_refused(now, proposal, effects),
            Event::Told { message } => self.told(now, message, effects),
            Event::Untold { message } => self.untold(now, message),
            Event::Transformed { ticket, result } => {
                self.transformed(now, ticket, result, effects);
            }
            Event::Wake => {}
        }
        self.run_timers(now, effects);
    }

    /// When the next `Event::Wake` is due; there is always one.
    #[must_use]
    pub fn next_wake(&self) -> Tick {
        [
            self.gate.next_deadline(),
            self.held.next_deadline(),
            self.admin.next_deadline(),
            self.coordinators.next_deadline(),
            self.lag.next_deadline(),
            self.fetch_deadlines.first().map(|(tick, _)| *tick),
        ]
        .into_iter()
        .flatten()
        .fold(self.next_retention.min(self.next_producer_check), Tick::min)
    }

    /// What there is at the moment; looks at every partition.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            fetches: self.fetches.len(),
            answers_waiting: self.gate.len(),
            ingesting: self.ingest.len(),
            held: self.held.len(),
            ..Stats::default()
        };
        for partition in self.partitions.values() {
            match partition {
                Partition::Opening => stats.partitions_opening += 1,
                Partition::Offline => stats.partitions_offline += 1,
                Partition::Open(open) => {
                    stats.partitions_open += 1;
                    stats.bytes += open.replica.size_bytes();
                    stats.producers += open.replica.producers().len();
                }
            }
        }
        stats
    }

    /// The partitions that can be used, with their replicas, for simulation and metrics.
    pub fn replicas(&self) -> impl Iterator<Item = (PartitionKey, &Replica)> {
        self.partitions
            .iter()
            .filter_map(|(key, partition)| match partition {
                Partition::Open(open) => Some((*key, &open.replica)),
                Partition::Opening | Partition::Offline => None,
            })
    }

    /// Checks every invariant of the node and of what it hosts; panics with the number of the
    /// one that is broken.
    pub fn check(&self) {
        for (key, partition) in &self.partitions {
            let shard = shard_of(*key, self.config.shards);
            assert_eq!(
                shard, self.config.shard,
                "I-NODE-6: a partition of this shard"
            );
            if let Partition::Open(open) = partition {
                open.replica.check();
                assert_eq!(
                    self.by_store.get(&open.store),
                    Some(key),
                    "I-NODE-7: the log's names lead to partitions"
                );
            }
        }
        self.gate.check(|key| self.ends(key));
        for (key, id) in &self.parked {
            let fetch = self.fetches.get(id);
            let fetch = fetch.expect("I-NODE-8: what is parked is a fetch");
            fetch.check_parked(*key, self);
        }
        self.held.check();
        self.check_ingest();
        self.coordinators.check(&self.image);
        self.check_lag();
    }

    fn ask(&mut self, now: Now, id: RequestId, seen: u64, ask: Ask, effects: &mut Vec<Effect>) {
        let waiting =
            self.gate.len() + self.fetches.len() + self.lookups.len() + self.coordinators.len();
        let waiting = waiting + self.lag.len();
        if waiting >= REQUESTS_WAITING_MAX {
            let answer = Answer::Refused(ErrorCode::RequestTimedOut);
            Gate::answer_now(id, answer, effects);
            return;
        }
        match self.hold(now, id, seen, ask) {
            held::Admission::Go(ask) => self.carry_out(now, id, ask, effects),
            held::Admission::Held => {}
            held::Admission::Full => {
                let answer = Answer::Refused(ErrorCode::RequestTimedOut);
                Gate::answer_now(id, answer, effects);
            }
        }
    }

    /// Carries out a question whose partitions are known, or never will be.
    fn carry_out(&mut self, now: Now, id: RequestId, ask: Ask, effects: &mut Vec<Effect>) {
        match ask {
            Ask::Produce(ask) => self.produce(now, id, ask, effects),
            Ask::Fetch(ask) => self.fetch(now, id, ask, effects),
            Ask::Offsets(partitions) => self.offsets(id, &partitions, effects),
            Ask::EpochEnds(partitions) => {
                let ends = partitions.iter().map(|ask| self.epoch_end(ask)).collect();
                Gate::answer_now(id, Answer::EpochEnds(ends), effects);
            }
            Ask::DeleteRecords {
                partitions,
                timeout_ms,
            } => self.delete_records(now, id, &partitions, timeout_ms, effects),
            Ask::Producers(keys) => {
                let producers = keys.iter().map(|key| self.producers(*key)).collect();
                Gate::answer_now(id, Answer::Producers(producers), effects);
            }
            Ask::Sizes(keys) => {
                let sizes = self.sizes(keys.as_deref());
                Gate::answer_now(id, Answer::Sizes(sizes), effects);
            }
            Ask::Meta {
                command,
                timeout_ms,
            } => self.command(now, id, command, timeout_ms, effects),
            Ask::ProducerId => self.producer_id(now, id, effects),
            Ask::Groups(asks) => self.groups(now, id, asks, effects),
            Ask::History(ask) => self.history(now, id, &ask, effects),
            Ask::Watch(ask) => self.watch(now, id, *ask, effects),
            Ask::Lag(ask) => self.ask_lag(now, id, *ask, effects),
            Ask::LagHistory(query) => self.ask_lag_history(now, id, &query, effects),
        }
    }

    fn run_timers(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.gate.expire(now.tick, effects);
        self.expire_fetches(now, effects);
        self.expire_held(now, effects);
        self.expire_admin(now, effects);
        self.wake_coordinators(now, effects);
        self.lag_timers(now, effects);
        if now.tick >= self.next_retention {
            self.next_retention = now.tick + self.config.retention_check_interval_ms.max(1);
            self.retain(now, effects);
        }
        if now.tick >= self.next_producer_check {
            self.next_producer_check = now.tick + self.config.producer_check_interval_ms.max(1);
            self.forget_producers(now, effects);
        }
    }

    /// The partition, if it can be used; else the error to answer.
    fn open(&self, key: PartitionKey) -> Result<&OpenPartition, ErrorCode> {
        match self.partitions.get(&key) {
            Some(Partition::Open(open)) => Ok(open),
            Some(Partition::Offline) => Err(ErrorCode::KafkaStorageError),
            Some(Partition::Opening) => Err(ErrorCode::LeaderNotAvailable),
            None => Err(self.absent(key)),
        }
    }

    fn open_mut(&mut self, key: PartitionKey) -> Option<&mut OpenPartition> {
        match self.partitions.get_mut(&key) {
            Some(Partition::Open(open)) => Some(open),
            _ => None,
        }
    }

    /// Why a partition is not here.
    fn absent(&self, key: PartitionKey) -> ErrorCode {
        let topic = self.image.topic(key.topic);
        if topic.is_some_and(|topic| topic.partition(key.index).is_some()) {
            ErrorCode::NotLeaderOrFollower
        } else {
            ErrorCode::UnknownTopicOrPartition
        }
    }

    fn ends(&self, key: PartitionKey) -> Option<Ends> {
        let open = self.open(key).ok()?;
        Some(Ends {
            start: open.replica.log_start(),
            flushed: open.replica.flushed_end(),
            replicated: open.replica.high_watermark(),
        })
    }

    /// A token for a question to the log, which leads back to a part of a request.
    fn token(&mut self, id: RequestId, part: usize) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.tokens.insert(token, (id, part));
        token
    }
}
