//! What a producer holds: records gathered into batches by partition, and each batch's way to its
//! acknowledgement (sequences, order of retries, expiry).
//!
//! Pure: no IO, clock or lock; time is handed in. Whatever happens, the batches of a partition are
//! sent in the order in which their records were given, and a batch keeps its sequence until the
//! broker has shown that it was not appended.
//!
//! How order is kept (KIP-98, KIP-360): up to five batches of a partition are under way at once.
//! After a failure nothing of the partition is sent until all of them have been answered; then
//! they go out again in order under their old sequences, which the broker recognises. Only when
//! the *first* batch in line is told that its sequence leaves a gap is it sure that neither it nor
//! anything behind it was appended: then the partition takes a new epoch and counts from zero.

use super::{
    batch::{Body, FinishedBatch},
    delivery::{BatchCompletion, BatchOutcome},
    partitioner::Sticky,
};
use crate::{error::ProduceError, record::TopicPartition};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use weir_types::{
    BrokerId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Tick, TimestampMs,
    TopicId,
};
use weir_wire::build::{BatchBuilder, Stamp};

/// The place of a partition in the accumulator's table.
pub(crate) type Slot = usize;

/// A channel to one broker; a partition always takes the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneId {
    pub(crate) broker: BrokerId,
    pub(crate) index: u16,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) batch_bytes: usize,
    pub(crate) request_bytes: usize,
    pub(crate) buffer_bytes: usize,
    pub(crate) linger_ms: u64,
    pub(crate) delivery_timeout_ms: u64,
    pub(crate) backoff_ms: u64,
    pub(crate) backoff_max_ms: u64,
    pub(crate) in_flight_max: usize,
    pub(crate) lanes: u16,
    pub(crate) idempotent: bool,
    pub(crate) seed: u64,
}

/// Why a record was not taken.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// Wait until a batch is done.
    Full,
    /// Never.
    Refused(ProduceError),
}

/// A record was taken.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) batch: Arc<BatchCompletion>,
    pub(crate) index: i32,
    /// The lane that has something new to look at.
    pub(crate) wake: Option<LaneId>,
}

/// A batch on its way out.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) slot: Slot,
    pub(crate) id: u64,
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) stamp: Stamp,
    pub(crate) data: BatchData,
}

/// A batch's records.
#[derive(Debug)]
pub(crate) enum BatchData {
    /// Not yet compressed.
    Raw(BatchBuilder),
    /// As it was sent before.
    Built(FinishedBatch),
}

/// How one attempt to send a batch ended.
#[derive(Debug)]
pub(crate) enum Attempt {
    Acked {
        base_offset: Offset,
        log_append_time: TimestampMs,
    },
    /// It may succeed later.
    Retry {
        batch: FinishedBatch,
        cause: Arc<str>,
    },
    /// The broker misses what comes before it.
    Gap {
        batch: FinishedBatch,
        cause: Arc<str>,
    },
    /// The producer's epoch is over.
    Fenced {
        batch: FinishedBatch,
        cause: Arc<str>,
    },
    /// It is too large for the topic; these are its halves, with their numbers of records.
    Split { halves: [(FinishedBatch, i32); 2] },
    Failed {
        error: ProduceError,
        culprits: Arc<[i32]>,
    },
}

/// Completions to be told once no lock is held.
pub(crate) type Told = Vec<(Arc<BatchCompletion>, BatchOutcome)>;

pub(crate) struct Accumulator {
    settings: Settings,
    topics: HashMap<Arc<str>, Topic>,
    partitions: Vec<Partition>,
    lanes: HashMap<LaneId, VecDeque<Slot>>,
    used_bytes: usize,
    /// A record found no room: everything goes out, lingering or not.
    starved: bool,
    identity: Option<(ProducerId, ProducerEpoch)>,
    next_id: u64,
    unreported: Option<ProduceError>,
}

struct Topic {
    slots: Vec<Slot>,
    sticky: Sticky,
}

struct Partition {
    name: TopicPartition,
    topic_id: TopicId,
    leader: Option<BrokerId>,
    lane_index: u16,
    /// The lane whose list holds this partition.
    listed: Option<LaneId>,
    open: Option<OpenBatch>,
    /// In order; those under way come first except while the partition recovers.
    queue: VecDeque<Entry>,
    in_flight: usize,
    /// Where those under way went.
    flying_to: Option<BrokerId>,
    /// A batch failed: nothing is sent until nothing is under way.
    recovering: bool,
    /// The next thing to send begins a new epoch.
    renumber: bool,
    blocked_until: Tick,
    identity: Option<(ProducerId, ProducerEpoch)>,
    next_sequence: Sequence,
}

struct OpenBatch {
    builder: BatchBuilder,
    completion: Arc<BatchCompletion>,
    opened: Tick,
}

struct Entry {
    id: u64,
    /// Nothing while it is under way.
    data: Option<BatchData>,
    count: i32,
    memory_bytes: usize,
    opened: Tick,
    sequence: Option<Sequence>,
    attempts: u32,
    completion: Arc<BatchCompletion>,
    last_cause: Option<Arc<str>>,
}

impl Partition {
    fn lane(&self) -> Option<LaneId> {
        self.leader.map(|broker| LaneId {
            broker,
            index: self.lane_index,
        })
    }

    fn is_empty(&self) -> bool {
        self.open.is_none() && self.queue.is_empty()
    }

    fn seal(&mut self, next_id: &mut u64) {
        let Some(open) = self.open.take() else {
            return;
        };
        *next_id += 1;
        self.queue.push_back(Entry {
            id: *next_id,
            count: open.builder.record_count(),
            memory_bytes: open.builder.size_bytes(),
            data: Some(BatchData::Raw(open.builder)),
            opened: open.opened,
            sequence: None,
            attempts: 0,
            completion: open.completion,
            last_cause: None,
        });
    }
}

impl Accumulator {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            topics: HashMap::new(),
            partitions: Vec::new(),
            lanes: HashMap::new(),
            used_bytes: 0,
            starved: false,
            identity: None,
            next_id: 0,
            unreported: None,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many partitions a topic has, if it is known.
    pub(crate) fn partitions_of(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).map(|topic| topic.slots.len())
    }

    /// The topics records were sent to.
    pub(crate) fn topic_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// Whether records wait for a partition that has no leader.
    pub(crate) fn is_waiting_for_leaders(&self) -> bool {
        self.partitions
            .iter()
            .any(|partition| partition.leader.is_none() && !partition.is_empty())
    }

    /// The numbers new epochs start from; nothing until InitProducerId was answered.
    pub(crate) fn set_identity(&mut self, id: ProducerId, epoch: ProducerEpoch) {
        self.identity = Some((id, epoch));
    }

    /// Whether an idempotent producer still lacks its id.
    pub(crate) fn wants_identity(&self) -> bool {
        self.settings.idempotent && self.identity.is_none()
    }

    /// Takes over what metadata says of a topic: the leader of each partition. Returns the lanes
    /// that have something new to look at.
    pub(crate) fn set_topic(
        &mut self,
        name: &Arc<str>,
        topic_id: TopicId,
        leaders: &[Option<BrokerId>],
    ) -> Vec<LaneId> {
        let seed = self.settings.seed ^ (self.topics.len() as u64).wrapping_mul(0x9e37_79b9);
        let topic = self
            .topics
            .entry(Arc::clone(name))
            .or_insert_with(|| Topic {
                slots: Vec::new(),
                sticky: Sticky::new(seed),
            });
        let mut changed = Vec::new();
        for (index, leader) in leaders.iter().enumerate() {
            let slot = match topic.slots.get(index) {
                Some(slot) => *slot,
                None => {
                    let slot = self.partitions.len();
                    self.partitions.push(new_partition(
                        name,
                        index,
                        topic_id,
                        slot,
                        &self.settings,
                    ));
                    topic.slots.push(slot);
                    slot
                }
            };
            changed.push((slot, *leader));
        }
        let mut woken = Vec::new();
        for (slot, leader) in changed {
            let Some(partition) = self.partitions.get_mut(slot) else {
                continue;
            };
            if partition.topic_id != topic_id {
                // Another topic of the same name: nothing of ours was appended to it.
                partition.topic_id = topic_id;
                partition.renumber = true;
                partition.recovering = true;
            }
            if partition.leader != leader {
                partition.leader = leader;
                partition.blocked_until = Tick::default();
            }
            woken.extend(self.list(slot));
        }
        woken
    }

    /// Chooses the partition that keyless records of `topic` stick to at the moment.
    pub(crate) fn stick(&mut self, topic: &str) -> Option<i32> {
        let Topic { slots, sticky } = self.topics.get_mut(topic)?;
        let partitions = &self.partitions;
        let chosen = sticky.choose(slots.len(), self.settings.batch_bytes, |index| {
            slots
                .get(index)
                .and_then(|slot| partitions.get(*slot))
                .is_some_and(|partition| partition.leader.is_some())
        });
        i32::try_from(chosen).ok()
    }

    /// Takes one record for a partition that exists. `was_sticky` counts it for the share of the
    /// partition that keyless records stick to.
    pub(crate) fn append(
        &mut self,
        topic: &str,
        index: i32,
        timestamp: TimestampMs,
        body: Body<'_>,
        was_sticky: bool,
        now: Tick,
    ) -> Result<Appended, AppendError> {
        let size = body.size_bytes_max();
        let limit_bytes = self.settings.request_bytes.min(self.settings.buffer_bytes);
        if size > limit_bytes {
            return Err(AppendError::Refused(ProduceError::RecordTooLarge {
                size_bytes: size,
                limit_bytes,
            }));
        }
        if self.used_bytes > 0 && self.used_bytes + size > self.settings.buffer_bytes {
            self.starved = true;
            return Err(AppendError::Full);
        }
        let slot = self.slot(topic, index).map_err(AppendError::Refused)?;
        if was_sticky && let Some(topic) = self.topics.get_mut(topic) {
            topic.sticky.count(size);
        }
        self.starved = false;
        Ok(self.push(slot, size, timestamp, body, now))
    }

    fn slot(&self, topic: &str, index: i32) -> Result<Slot, ProduceError> {
        let slots = self.topics.get(topic).map(|topic| topic.slots.as_slice());
        let slots = slots.unwrap_or_default();
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| slots.get(index));
        slot.copied().ok_or_else(|| ProduceError::NoSuchPartition {
            topic: Arc::from(topic),
            partition: index,
            partitions: slots.len(),
        })
    }

    fn push(
        &mut self,
        slot: Slot,
        size: usize,
        timestamp: TimestampMs,
        body: Body<'_>,
        now: Tick,
    ) -> Appended {
        let partition = &mut self.partitions[slot];
        let mut news = false;
        if let Some(open) = &partition.open
            && open.builder.size_bytes() + size > self.settings.batch_bytes
        {
            partition.seal(&mut self.next_id);
            news = true;
        }
        let index = partition.name.partition;
        let open = partition.open.get_or_insert_with(|| {
            news = true;
            OpenBatch {
                builder: BatchBuilder::new(timestamp),
                completion: BatchCompletion::new(index),
                opened: now,
            }
        });
        let fresh = open.builder.is_empty();
        let before = if fresh { 0 } else { open.builder.size_bytes() };
        let record_index = open.builder.record_count();
        open.builder
            .push(timestamp, body.key, body.value, body.headers);
        self.used_bytes += open.builder.size_bytes() - before;
        let batch = Arc::clone(&open.completion);
        let wake = if news {
            self.list(slot).or(self.partitions[slot].listed)
        } else {
            None
        };
        Appended {
            batch,
            index: record_index,
            wake,
        }
    }

    /// Puts a partition that has something into its lane's list; tells the lane if it is new there.
    fn list(&mut self, slot: Slot) -> Option<LaneId> {
        let partition = self.partitions.get_mut(slot)?;
        let lane = partition.lane()?;
        if partition.listed.is_some() || partition.is_empty() {
            return None;
        }
        partition.listed = Some(lane);
        self.lanes.entry(lane).or_default().push_back(slot);
        Some(lane)
    }

    /// Takes what a lane may send now into one request: at most one batch of each partition.
    /// Returns when to look again, and other lanes that partitions moved to.
    pub(crate) fn drain(
        &mut self,
        lane: LaneId,
        now: Tick,
        out: &mut Vec<Drained>,
    ) -> (Option<Tick>, Vec<LaneId>) {
        let mut list = self
            .lanes
            .get_mut(&lane)
            .map(std::mem::take)
            .unwrap_or_default();
        let (mut kept, mut moved) = (VecDeque::new(), Vec::new());
        let (mut wake, mut bytes) = (None::<Tick>, 0);
        while let Some(slot) = list.pop_front() {
            let partition = &mut self.partitions[slot];
            if partition.is_empty() || partition.lane() != Some(lane) {
                partition.listed = None;
                moved.extend(self.list(slot));
                continue;
            }
            match self.sendable(slot, lane, now) {
                Ok(size) if bytes > 0 && bytes + size > self.settings.request_bytes => {
                    list.push_front(slot);
                    wake = Some(now);
                    break;
                }
                Ok(size) => {
                    bytes += size;
                    out.extend(self.take(slot, lane));
                }
                Err(Some(until)) => wake = Some(wake.map_or(until, |wake| wake.min(until))),
                Err(None) => {}
            }
            kept.push_back(slot);
        }
        list.append(&mut kept);
        if let Some(place) = self.lanes.get_mut(&lane) {
            // `moved` never names this lane, so nothing was put here meanwhile.
            *place = list;
        }
        (wake, moved)
    }

    /// Whether a partition has a batch that may be sent now, and its size; else when to ask again.
    fn sendable(&mut self, slot: Slot, lane: LaneId, now: Tick) -> Result<usize, Option<Tick>> {
        let settings = &self.settings;
        let partition = &mut self.partitions[slot];
        if partition.recovering {
            if partition.in_flight > 0 {
                return Err(None);
            }
            partition.recovering = false;
        }
        if partition.blocked_until > now {
            return Err(Some(partition.blocked_until));
        }
        if partition.in_flight >= settings.in_flight_max
            || (partition.in_flight > 0 && partition.flying_to != Some(lane.broker))
        {
            return Err(None);
        }
        if settings.idempotent && self.identity.is_none() {
            return Err(None);
        }
        if partition.queue.len() == partition.in_flight {
            let Some(open) = &partition.open else {
                return Err(None);
            };
            let due = open.opened + settings.linger_ms;
            if due > now && !self.starved && open.builder.size_bytes() < settings.batch_bytes {
                return Err(Some(due));
            }
            partition.seal(&mut self.next_id);
        }
        let waiting = partition.queue.iter().find(|entry| entry.data.is_some());
        waiting.map(|entry| entry.memory_bytes).ok_or(None)
    }

    /// Takes the first batch of a partition that is not under way.
    fn take(&mut self, slot: Slot, lane: LaneId) -> Option<Drained> {
        if self.partitions[slot].renumber {
            self.begin_epoch(slot);
        }
        let partition = &mut self.partitions[slot];
        if self.settings.idempotent && partition.identity.is_none() {
            // Without an id nothing goes out; there is none when the epochs were used up just now.
            partition.identity = Some(self.identity?);
        }
        let entry = partition
            .queue
            .iter_mut()
            .find(|entry| entry.data.is_some())?;
        let data = entry.data.take()?;
        let mut stamp = Stamp::default();
        if let Some((id, epoch)) = partition.identity {
            let sequence = *entry.sequence.get_or_insert_with(|| {
                let sequence = partition.next_sequence;
                partition.next_sequence = sequence.plus(entry.count);
                sequence
            });
            stamp.producer_id = id;
            stamp.producer_epoch = epoch;
            stamp.base_sequence = sequence;
        }
        partition.in_flight += 1;
        partition.flying_to = Some(lane.broker);
        Some(Drained {
            slot,
            id: entry.id,
            partition: partition.name.clone(),
            topic_id: partition.topic_id,
            stamp,
            data,
        })
    }

    /// Gives a partition of which nothing is under way an epoch that it has not used (KIP-360).
    fn begin_epoch(&mut self, slot: Slot) {
        let partition = &mut self.partitions[slot];
        partition.renumber = false;
        if partition.identity == self.identity
            && let Some((id, epoch)) = self.identity
        {
            self.identity = epoch.0.checked_add(1).map(|next| (id, ProducerEpoch(next)));
        }
        partition.identity = self.identity;
        partition.next_sequence = Sequence(0);
        for entry in &mut partition.queue {
            entry.sequence = None;
        }
        if self.identity.is_none() {
            // The epochs are used up: wait for a new producer id.
            partition.renumber = true;
        }
    }
}

fn failed(error: ProduceError) -> BatchOutcome {
    BatchOutcome::Failed {
        error,
        culprits: Arc::from([]),
    }
}

fn new_partition(
    topic: &Arc<str>,
    index: usize,
    topic_id: TopicId,
    slot: Slot,
    settings: &Settings,
) -> Partition {
    let lane_index = slot % usize::from(settings.lanes.max(1));
    Partition {
        name: TopicPartition {
            topic: Arc::clone(topic),
            partition: PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX)),
        },
        topic_id,
        leader: None,
        lane_index: u16::try_from(lane_index).unwrap_or(0),
        listed: None,
        open: None,
        queue: VecDeque::new(),
        in_flight: 0,
        flying_to: None,
        recovering: false,
        renumber: false,
        blocked_until: Tick::default(),
        identity: None,
        next_sequence: Sequence(0),
    }
}

mod ending;
#[cfg(test)]
mod tests;
