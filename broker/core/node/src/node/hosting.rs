//! Which partitions this shard hosts: what follows from each new image.

use super::{Node, OpenPartition, Partition};
use crate::{
    event::{Effect, ProposalId},
    gate::Gate,
    request::{Answer, PartitionKey, shard_of},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use weir_lag::Traffic;
use weir_meta::{Image, Topic, TopicConfig};
use weir_types::{
    ErrorCode, Now, PartitionIndex, StorePartition,
    log::{LogCommand, LogState},
};

impl Node {
    /// Records were agreed: takes the new image and does what follows from it.
    pub(super) fn agreed(
        &mut self,
        now: Now,
        image: &Arc<Image>,
        proposal: Option<ProposalId>,
        effects: &mut Vec<Effect>,
    ) {
        if image.applied() > self.image.applied() {
            self.take_image(now, image, effects);
        }
        if let Some(proposal) = proposal {
            self.proposal_applied(now, proposal, effects);
        }
        self.release_agreed(now, effects);
    }

    fn take_image(&mut self, now: Now, image: &Arc<Image>, effects: &mut Vec<Effect>) {
        let old = core::mem::replace(&mut self.image, image.clone());
        let defaults_changed = old.defaults() != image.defaults();
        self.drop_deleted(now, &old, effects);
        let mut opening = Vec::new();
        for topic in image.topics() {
            // Topics are shared between images: one that is the same object did not change.
            let before = old.topic(topic.id);
            if defaults_changed || !before.is_some_and(|before| Arc::ptr_eq(before, topic)) {
                self.take_topic(now, topic, &mut opening, effects);
            }
        }
        if !opening.is_empty() {
            let replicas = opening.iter().map(|k: &PartitionKey| (k.topic, k.index));
            let replicas = replicas.collect();
            effects.push(Effect::Log(LogCommand::Open { replicas }));
        }
        self.tell_topics(now, &old, effects);
        self.lag_image(now, &old, effects);
    }

    /// Forgets the partitions of topics that are gone.
    fn drop_deleted(&mut self, now: Now, old: &Image, effects: &mut Vec<Effect>) {
        let mut stores: Vec<StorePartition> = Vec::new();
        for topic in old.topics() {
            if self.image.topic(topic.id).is_some() {
                continue;
            }
            for key in keys(topic) {
                match self.partitions.remove(&key) {
                    Some(Partition::Open(open)) => {
                        self.by_store.remove(&open.store);
                        stores.push(open.store);
                    }
                    Some(Partition::Opening) => {
                        self.doomed.insert(key);
                    }
                    Some(Partition::Offline) | None => continue,
                }
                self.gone(now, key, ErrorCode::UnknownTopicOrPartition, effects);
            }
        }
        stores.extend(self.forget_offline());
        if !stores.is_empty() {
            let partitions = stores;
            effects.push(Effect::Log(LogCommand::Delete { partitions }));
        }
    }

    /// Partitions that went offline and whose topic is gone; their log names lead nowhere else.
    fn forget_offline(&mut self) -> Vec<StorePartition> {
        let orphans: Vec<(StorePartition, PartitionKey)> = self
            .by_store
            .iter()
            .filter(|(_, key)| !self.partitions.contains_key(key))
            .map(|(store, key)| (*store, *key))
            .collect();
        for (store, _) in &orphans {
            self.by_store.remove(store);
        }
        orphans.into_iter().map(|(store, _)| store).collect()
    }

    /// Whoever waits for something of a partition gets an error instead.
    pub(super) fn gone(
        &mut self,
        now: Now,
        key: PartitionKey,
        error: ErrorCode,
        effects: &mut Vec<Effect>,
    ) {
        self.stop_coordinating(now, key, effects);
        self.note_gone(now, key);
        self.give_up_ingest(key, error, effects);
        self.gate.lost(key, None, error, effects);
        self.wake_fetches(now, key, effects);
        self.release_opened(now, key, effects);
    }

    fn take_topic(
        &mut self,
        now: Now,
        topic: &Arc<Topic>,
        opening: &mut Vec<PartitionKey>,
        effects: &mut Vec<Effect>,
    ) {
        if topic.view.is_some() {
            // It has no log.
            return;
        }
        let config = TopicConfig::resolve(&self.config.statics, &self.image, topic);
        for key in keys(topic) {
            let hosted = topic
                .partition(key.index)
                .is_some_and(|partition| partition.replicas.contains(&self.config.broker));
            if !hosted || shard_of(key, self.config.shards) != self.config.shard {
                continue;
            }
            match self.partitions.get_mut(&key) {
                None => {
                    self.partitions.insert(key, Partition::Opening);
                    opening.push(key);
                }
                Some(Partition::Open(open)) => {
                    open.config = config.clone();
                    self.take_leadership(now, key, effects);
                }
                Some(Partition::Opening | Partition::Offline) => {}
            }
        }
    }

    /// Leads the partition or stops to, as the image says.
    fn take_leadership(&mut self, now: Now, key: PartitionKey, effects: &mut Vec<Effect>) {
        let broker = self.config.broker;
        let image = self.image.clone();
        let state = image.topic(key.topic).and_then(|t| t.partition(key.index));
        let (Some(state), Some(open)) = (state, self.open_mut(key)) else {
            return;
        };
        let replica = &mut open.replica;
        if state.leader == Some(broker) {
            let led_before = replica.leads() && replica.epoch() == state.leader_epoch;
            if replica.lead(state.leader_epoch, state.isr.len()) {
                let end = replica.high_watermark();
                self.gate.replicated(key, end, effects);
            }
            if led_before {
                self.load_if_replicated(now, key, effects);
            } else {
                self.begin_coordinating(now, key, effects);
                self.note_partition(now, key, Traffic::default());
                self.wake_fetches(now, key, effects);
            }
        } else {
            let led_before = replica.leads();
            replica.resign(state.leader_epoch);
            if led_before {
                let error = ErrorCode::NotLeaderOrFollower;
                self.stop_coordinating(now, key, effects);
                self.note_gone(now, key);
                self.give_up_ingest(key, error, effects);
                self.gate.lost(key, None, error, effects);
                self.wake_fetches(now, key, effects);
            }
        }
    }

    /// The log opened a partition.
    pub(super) fn opened(
        &mut self,
        now: Now,
        key: PartitionKey,
        store: StorePartition,
        state: LogState,
        effects: &mut Vec<Effect>,
    ) {
        if self.doomed.remove(&key) {
            let partitions = alloc::vec![store];
            effects.push(Effect::Log(LogCommand::Delete { partitions }));
            return;
        }
        assert!(
            matches!(self.partitions.get(&key), Some(Partition::Opening)),
            "I-NODE-10: only what is being opened is opened"
        );
        let topic = self.image.topic(key.topic);
        let config = topic.map_or_else(TopicConfig::default, |topic| {
            TopicConfig::resolve(&self.config.statics, &self.image, topic)
        });
        let tally = super::lag::Tally {
            empty_at: (state.end.0 == 0).then_some(now.tick),
            ..Default::default()
        };
        let open = OpenPartition {
            store,
            start_asked: state.start,
            replica: weir_replica::Replica::open(state),
            config,
            tally,
        };
        self.partitions.insert(key, Partition::Open(Box::new(open)));
        self.by_store.insert(store, key);
        self.take_leadership(now, key, effects);
        self.release_opened(now, key, effects);
    }

    /// The live bytes of the partitions that are named, or of all.
    pub(super) fn sizes(&self, keys: Option<&[PartitionKey]>) -> Vec<(PartitionKey, u64)> {
        let size = |key: PartitionKey| {
            let open = self.open(key).ok()?;
            Some((key, open.replica.size_bytes()))
        };
        match keys {
            Some(keys) => keys.iter().copied().filter_map(size).collect(),
            None => self.partitions.keys().copied().filter_map(size).collect(),
        }
    }

    /// Tells the log which batches are too old or too many.
    pub(super) fn retain(&mut self, now: Now, effects: &mut Vec<Effect>) {
        for (key, partition) in &self.partitions {
            let Partition::Open(open) = partition else {
                continue;
            };
            if self.keeps_groups(*key) || self.keeps_lag(*key) {
                // Snapshots say what may go.
                continue;
            }
            let (replica, config) = (&open.replica, &open.config);
            let old = config.retention_ms.is_some();
            let large = config
                .retention_bytes
                .is_some_and(|max| replica.size_bytes() > max);
            if replica.leads() && replica.log_start() < replica.high_watermark() && (old || large) {
                effects.push(Effect::Log(LogCommand::Retain {
                    partition: open.store,
                    older_than: config
                        .retention_ms
                        .map(|ms| weir_types::TimestampMs(now.wall.0.saturating_sub(ms))),
                    bytes_max: config.retention_bytes,
                    below: replica.high_watermark(),
                }));
            }
        }
    }

    /// Forgets idempotent producers that have been idle for too long.
    pub(super) fn forget_producers(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let ms = i64::try_from(self.config.producer_expiration_ms).unwrap_or(i64::MAX);
        let oldest = weir_types::TimestampMs(now.wall.0.saturating_sub(ms));
        for partition in self.partitions.values_mut() {
            let Partition::Open(open) = partition else {
                continue;
            };
            let before = open.replica.producers().len();
            open.replica.expire_producers(oldest);
            if open.replica.producers().len() < before {
                effects.push(Effect::Log(LogCommand::ExpireProducers {
                    partition: open.store,
                    oldest,
                }));
            }
        }
    }

    /// Drops the records below offsets; each part is answered when its start is durable.
    pub(super) fn delete_records(
        &mut self,
        now: Now,
        id: crate::event::RequestId,
        partitions: &[(PartitionKey, Option<weir_types::Offset>)],
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        let mut results = Vec::with_capacity(partitions.len());
        let mut conditions = Vec::new();
        for (part, (key, to)) in partitions.iter().enumerate() {
            match self.delete_below(*key, *to, effects) {
                Ok(start) => {
                    conditions.push((crate::gate::When::Started(*key, start), part));
                    results.push((ErrorCode::None, start));
                }
                Err(error) => results.push((error, weir_types::Offset(-1))),
            }
        }
        let deadline = now.tick + timeout_ms.min(crate::limits::TIMEOUT_MS_MAX);
        let answer = Answer::DeleteRecords(results);
        self.answer(id, answer, conditions, Some(deadline), effects);
    }

    pub(super) fn delete_below(
        &mut self,
        key: PartitionKey,
        to: Option<weir_types::Offset>,
        effects: &mut Vec<Effect>,
    ) -> Result<weir_types::Offset, ErrorCode> {
        self.open(key)?.replica.check_leader(None)?;
        let open = self.open(key)?;
        // A move further on that is under way decides what is answered.
        let start = open.replica.delete_records(to)?.max(open.start_asked);
        if let Some(open) = self.open_mut(key)
            && start > open.start_asked
            && start > open.replica.log_start()
        {
            open.start_asked = start;
            effects.push(Effect::Log(LogCommand::MoveStart {
                partition: open.store,
                to: start,
            }));
        }
        Ok(start)
    }

    /// Gives an answer to the gate.
    pub(super) fn answer(
        &mut self,
        id: crate::event::RequestId,
        answer: Answer,
        conditions: Vec<(crate::gate::When, usize)>,
        deadline: Option<weir_types::Tick>,
        effects: &mut Vec<Effect>,
    ) {
        // Taken out so that the gate can ask where partitions stand.
        let mut gate: Gate = core::mem::take(&mut self.gate);
        gate.answer(
            id,
            answer,
            conditions,
            deadline,
            |key| self.ends(key),
            effects,
        );
        self.gate = gate;
    }
}

/// The partitions of a topic.
fn keys(topic: &Topic) -> impl Iterator<Item = PartitionKey> + use<> {
    let id = topic.id;
    (0..topic.partitions.len()).map(move |index| PartitionKey {
        topic: id,
        index: PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX)),
    })
}
