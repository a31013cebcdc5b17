//! Drives the broker: starts it from the disk, hands events to its shards and carries their
//! effects out, steps the store. Every command and event of the log passes the oracle here.

use super::{
    Stage, Todo, World,
    broker::{Broker, Source},
    quorum::BROKER,
    show,
};
use crate::{
    checks::{durability, recovery, retention},
    violation::Checked,
};
use std::{collections::BTreeMap, sync::Arc};
use weir_group::GroupConfig;
use weir_meta::{StaticDefaults, TopicConfig};
use weir_node::{Answer, Ask, Effect, Event, Node, NodeConfig, RequestId, request::Acks};
use weir_store::{Crash, Disk, InlineStore, MetaLog, RewriteStep, StoreConfig};
use weir_types::{
    Offset, ShardId,
    log::{LogCommand, LogEvent},
};

impl World {
    /// The broker starts from what the disk holds.
    pub(super) fn start(&mut self) -> Checked {
        if self.broker.is_some() {
            return Ok(());
        }
        if self.stage == Stage::Over {
            return Ok(());
        }
        match self.open() {
            Ok(broker) => {
                self.trace.line(format_args!("the broker starts"));
                self.broker = Some(broker?);
                self.begin_shards()
            }
            Err(reason) => {
                self.trace
                    .line(format_args!("the broker cannot start: {reason}"));
                let cut = self.disk.is_off();
                recovery::failure_has_cause(self.log.disk_faulty || cut, &reason)?;
                if cut {
                    self.stop(Crash::Forget);
                }
                self.clock.after(50, Todo::Start);
                Ok(())
            }
        }
    }

    /// Opens store and metadata log. The outer error is the disk's, the inner a broken promise.
    fn open(&mut self) -> Result<Checked<Broker>, String> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let (store, report) =
            InlineStore::open(self.store_config(), disk.clone()).map_err(|e| e.to_string())?;
        self.trace.line(format_args!("{report:?}"));
        let (mut meta, contents) = MetaLog::open(&disk).map_err(|e| e.to_string())?;
        let mut journal = match self.recovered_journal(&contents) {
            Ok(journal) => journal,
            Err(violation) => return Ok(Err(violation)),
        };
        let records = self.registration(journal.image());
        if !records.is_empty() && !self.agree_on(&mut meta, &mut journal, &records) {
            return Err("the metadata log cannot be written".to_owned());
        }
        if let Err(violation) = self.cluster.image(journal.image()) {
            return Ok(Err(violation));
        }
        self.incarnation += 1;
        let now = self.clock.now();
        let shards = self.params.shards;
        let nodes = (0..shards).map(|shard| Node::new(now, self.node_config(shard)));
        Ok(Ok(Broker {
            nodes: nodes.collect(),
            wakes: vec![u64::MAX; shards.into()],
            arrivals: BTreeMap::new(),
            seen: vec![Arc::default(); shards.into()],
            store,
            meta,
            image: Arc::new(journal.image().clone()),
            journal,
            sessions: BTreeMap::new(),
            asks: BTreeMap::new(),
            commit_planned: false,
            read_planned: false,
            agree_at: 0,
        }))
    }

    fn store_config(&self) -> StoreConfig {
        let params = &self.params;
        StoreConfig {
            lanes: params.lanes,
            lane_file_bytes: params.lane_file_bytes,
            lane_entries_max: params.lane_entries_max,
            history_file_bytes: params.history_file_bytes,
            rewrite_memory_bytes: params.rewrite_memory_bytes,
            cache_bytes: params.cache_bytes,
            open_files_max: 4,
            new_store_id: 0x5eed,
            mutants: self.mutants.store(),
            ..StoreConfig::default()
        }
    }

    fn node_config(&self, shard: u16) -> NodeConfig {
        let mut config = NodeConfig::new(ShardId(shard), self.params.shards, BROKER);
        config.retention_check_interval_ms = 300;
        if self.params.producer_expiration_ms > 0 {
            config.producer_expiration_ms = self.params.producer_expiration_ms;
        } else {
            // Far beyond what the wall clock jumps.
            config.producer_expiration_ms = 10 * 365 * 24 * 60 * 60 * 1000;
        }
        config.producer_check_interval_ms = 500;
        config.mutants = self.mutants.node();
        let params = &self.params;
        config.groups = GroupConfig {
            initial_rebalance_delay_ms: params.group_delay_ms,
            session_timeout_min_ms: 1,
            consumer_session_timeout_ms: params.member_session_ms,
            consumer_heartbeat_interval_ms: params.member_session_ms / 4,
            assignment_interval_ms: params.group_interval_ms,
            snapshot_records_min: params.group_snapshot_records,
            mutants: self.mutants.groups(),
            ..GroupConfig::default()
        };
        config
    }

    fn begin_shards(&mut self) -> Checked {
        let image = self.broker.as_ref().map(|broker| broker.image.clone());
        for shard in 0..self.params.shards {
            let event = Event::Agreed {
                image: image.clone().unwrap_or_default(),
                proposal: None,
            };
            self.step_shard(shard, event)?;
        }
        let pause = self.random.between(1, self.params.rewrite_ms_max);
        self.clock.after(pause, Todo::Rewrite(self.incarnation));
        Ok(())
    }

    /// The broker stops existing; the disk keeps what the crash leaves.
    pub(super) fn stop(&mut self, crash: Crash) {
        self.disk.crash(crash);
        self.log.crashed();
        // Its handles are dead by now: whatever it does while it is dropped reaches nothing.
        self.broker = None;
        self.incarnation += 1;
        self.break_all();
    }

    /// The broker stops as it should.
    pub(super) fn close(&mut self) {
        let Some(broker) = self.broker.take() else {
            return;
        };
        self.incarnation += 1;
        self.log.crashed();
        let closed = broker.store.close();
        let meta = broker.meta.close();
        self.trace
            .line(format_args!("the broker stops: {closed:?} {meta:?}"));
        self.break_all();
        if self.stage != Stage::Over {
            self.clock.after(10, Todo::Start);
        }
    }

    /// When something that leaves now, from there, reaches the shard.
    pub(super) fn arrival(&mut self, shard: u16, from: Source, delay_ms_max: u64) -> u64 {
        let at = self.clock.tick() + self.random.between(0, delay_ms_max);
        let Some(broker) = &mut self.broker else {
            return at;
        };
        let last = broker.arrivals.entry((shard, from)).or_default();
        *last = (*last).max(at);
        *last
    }

    /// A question is on its way to a shard.
    pub(super) fn ask_shard(&mut self, shard: ShardId, event: Event) {
        let at = self.arrival(shard.0, Source::Sessions, 2);
        self.clock
            .at(at, Todo::Shard(self.incarnation, shard.0, event));
    }

    pub(super) fn wake_shard(&mut self, shard: u16) -> Checked {
        let tick = self.clock.tick();
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        let wake = &mut broker.wakes[usize::from(shard)];
        if *wake > tick {
            return Ok(());
        }
        *wake = u64::MAX;
        self.step_shard(shard, Event::Wake)
    }

    /// Hands an event to a node and carries out what it wants.
    pub(super) fn step_shard(&mut self, shard: u16, event: Event) -> Checked {
        let now = self.clock.now();
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        if !matches!(event, Event::Wake) {
            self.trace
                .line(format_args!("shard {shard} < {}", show::event(&event)));
        }
        if let Event::Log(told) = &event {
            self.log.heard(told);
        }
        if let Event::Agreed { image, .. } = &event {
            broker.seen[usize::from(shard)] = image.clone();
        }
        let node = &mut broker.nodes[usize::from(shard)];
        let mut effects = Vec::new();
        node.step(now, event, &mut effects);
        node.check();
        let wake = node.next_wake().0.max(now.tick.0 + 1);
        let planned = &mut broker.wakes[usize::from(shard)];
        if wake < *planned {
            *planned = wake;
            self.clock
                .at(wake, Todo::ShardWake(self.incarnation, shard));
        }
        for effect in effects {
            self.trace
                .line(format_args!("shard {shard} > {}", show::effect(&effect)));
            self.carry_out(shard, effect)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, shard: u16, effect: Effect) -> Checked {
        match effect {
            Effect::Answer { id, answer } => self.shard_answers(id, answer),
            Effect::Log(command) => self.command_log(shard, command),
            Effect::Propose { proposal, records } => {
                self.propose(shard, proposal, records);
                Ok(())
            }
            Effect::Notice(_) => Ok(()),
            // Lag is not kept here, so shards have nothing to say to one another.
            Effect::Tell { .. } => Ok(()),
            Effect::Transform {
                ticket,
                batch,
                header,
                ..
            } => {
                // A plugin that changes nothing, but takes its time.
                let at = self.clock.tick() + self.random.between(0, 20);
                let result = Ok((batch, header));
                let event = Event::Transformed { ticket, result };
                self.clock
                    .at(at, Todo::Shard(self.incarnation, shard, event));
                Ok(())
            }
        }
    }

    fn command_log(&mut self, shard: u16, command: LogCommand) -> Checked {
        self.log.command(ShardId(shard), &command)?;
        if let LogCommand::Retain {
            partition,
            older_than,
            bytes_max,
            ..
        } = &command
            && let Some(config) = self.config_of(shard, *partition)
        {
            let wall = self.clock.now().wall;
            retention::asked(&config, wall, *older_than, *bytes_max)?;
        }
        let reads = matches!(
            command,
            LogCommand::Read { .. } | LogCommand::FindTime { .. }
        );
        let delay = self.random.between(0, self.params.store_ms_max);
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        broker.store.submit(ShardId(shard), command);
        let incarnation = self.incarnation;
        if reads && !std::mem::replace(&mut broker.read_planned, true) {
            self.clock.after(delay, Todo::Read(incarnation));
        } else if !reads && !std::mem::replace(&mut broker.commit_planned, true) {
            self.clock.after(delay, Todo::Commit(incarnation));
        }
        Ok(())
    }

    /// The settings that count for a partition, as its shard knows them.
    fn config_of(&self, shard: u16, partition: weir_types::StorePartition) -> Option<TopicConfig> {
        let key = self.log.key(partition)?;
        let image = self.broker.as_ref()?.seen.get(usize::from(shard))?;
        let topic = image.topic(key.topic)?;
        Some(TopicConfig::resolve(
            &StaticDefaults::default(),
            image,
            topic,
        ))
    }

    /// A lane of the store commits.
    pub(super) fn commit(&mut self) -> Checked {
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        broker.commit_planned = false;
        if self.random.permille(20) {
            broker.store.roll();
        }
        let events = broker.store.step_commit();
        self.hear_log(events)?;
        self.plan_store();
        Ok(())
    }

    /// The store reads.
    pub(super) fn read(&mut self) -> Checked {
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        broker.read_planned = false;
        let events = broker.store.step_reads();
        self.hear_log(events)?;
        self.plan_store();
        Ok(())
    }

    /// The rewriter does a step.
    pub(super) fn rewrite(&mut self) -> Checked {
        let pause = self.random.between(1, self.params.rewrite_ms_max);
        self.clock.after(pause, Todo::Rewrite(self.incarnation));
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        let step = broker.store.step_rewrite();
        if step != RewriteStep::Idle {
            self.trace.line(format_args!("rewriter: {step:?}"));
        }
        if step == RewriteStep::Published {
            self.figures.rewrites += 1;
        }
        self.hear_log(Vec::new())
    }

    fn plan_store(&mut self) {
        let delay = self.random.between(0, self.params.store_ms_max);
        let Some(broker) = &mut self.broker else {
            return;
        };
        if broker.store.has_work() && !std::mem::replace(&mut broker.commit_planned, true) {
            self.clock.after(delay, Todo::Commit(self.incarnation));
        }
    }

    /// The store tells something. What it says counts, even if the power went right after it.
    fn hear_log(&mut self, events: Vec<(ShardId, LogEvent)>) -> Checked {
        let off = self.disk.is_off();
        for (shard, event) in events {
            self.trace.line(format_args!(
                "log > {} {}",
                shard.0,
                show::log_event(&event)
            ));
            if !off
                || matches!(
                    event,
                    LogEvent::Flushed { .. } | LogEvent::StartMoved { .. }
                )
            {
                self.log.event(shard, &event)?;
            }
            if !off {
                let at = self.arrival(shard.0, Source::Log, 2);
                let event = Event::Log(event);
                self.clock
                    .at(at, Todo::Shard(self.incarnation, shard.0, event));
            }
        }
        if off {
            self.crash();
        }
        Ok(())
    }

    /// A shard answers a question.
    fn shard_answers(&mut self, id: RequestId, answer: Answer) -> Checked {
        let asked = self
            .broker
            .as_mut()
            .and_then(|broker| broker.asks.remove(&id));
        let Some(asked) = asked else {
            return crate::checks::protocol::unexpected(format!("{id:?} is answered twice"));
        };
        match (&asked.ask, &answer) {
            (Ask::Produce(ask), Answer::Produce(results)) if ask.acks != Acks::None => {
                for (part, result) in ask.partitions.iter().zip(results) {
                    durability::acked(self.log.part(part.key), part, result)?;
                }
            }
            (Ask::Fetch(ask), Answer::Fetch(results)) => {
                for (part, result) in ask.partitions.iter().zip(results) {
                    let batches = crate::oracle::log::split(&result.batches)?;
                    let end = batches
                        .last()
                        .map_or(Offset::ZERO, |(h, _)| h.next_offset());
                    durability::served(self.log.part(part.key), result, end)?;
                }
            }
            _ => {}
        }
        self.session_answered(asked.conn, id, answer)
    }
}
